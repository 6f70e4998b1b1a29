//! The twin in memory: for tests, the conformance suites and the simulator.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use crate::apply::{StateUpdate, apply};
use crate::changes::StateChanges;
use crate::record::{Account, AccountRecord};
use crate::tables::{Tables, TablesState};
use crate::{State, StateError};

/// [`Tables`] as maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryTables {
    records: BTreeMap<B256, AccountRecord>,
    slots: BTreeMap<(B256, B256), U256>,
    account_nodes: BTreeMap<Nibbles, Vec<u8>>,
    storage_nodes: BTreeMap<(B256, Nibbles), Vec<u8>>,
    codes: BTreeMap<B256, Bytes>,
    hashes: BTreeMap<u64, B256>,
}

impl MemoryTables {
    /// Performs the writes of an update.
    pub fn write(&mut self, update: &StateUpdate) {
        for (owner, (_, after)) in &update.records {
            set(&mut self.records, *owner, *after);
        }
        for (slot, (_, after)) in &update.slots {
            set(&mut self.slots, *slot, (!after.is_zero()).then_some(*after));
        }
        for (path, node) in &update.account_nodes {
            set(&mut self.account_nodes, *path, node.clone());
        }
        for (owner, nodes) in &update.storage_nodes {
            for (path, node) in nodes {
                set(&mut self.storage_nodes, (*owner, *path), node.clone());
            }
        }
        self.codes.extend(update.codes.clone());
    }

    /// Accounts and trie nodes held: for tests that nothing is left behind.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize, usize) {
        (self.records.len(), self.slots.len(), self.account_nodes.len(), self.storage_nodes.len())
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

impl Tables for MemoryTables {
    fn record(&self, owner: &B256) -> Result<Option<AccountRecord>, StateError> {
        Ok(self.records.get(owner).copied())
    }

    fn next_record(&self, from: &B256) -> Result<Option<(B256, AccountRecord)>, StateError> {
        Ok(self.records.range::<B256, _>(from..).next().map(|(key, record)| (*key, *record)))
    }

    fn slot(&self, owner: &B256, slot: &B256) -> Result<U256, StateError> {
        Ok(self.slots.get(&(*owner, *slot)).copied().unwrap_or_default())
    }

    fn next_slot(&self, owner: &B256, from: &B256) -> Result<Option<(B256, U256)>, StateError> {
        let next = self.slots.range((*owner, *from)..).next().filter(|((of, _), _)| of == owner);
        Ok(next.map(|((_, slot), value)| (*slot, *value)))
    }

    fn account_node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.account_nodes.get(path).cloned())
    }

    fn storage_node(&self, owner: &B256, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.storage_nodes.get(&(*owner, *path)).cloned())
    }

    fn storage_paths(&self, owner: &B256) -> Result<Vec<Nibbles>, StateError> {
        let from = (*owner, Nibbles::new());
        Ok(self.storage_nodes.range(from..).map_while(|((of, path), _)| (of == owner).then_some(*path)).collect())
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.codes.get(hash).cloned())
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        Ok(self.hashes.get(&number).copied())
    }
}

/// A state in memory with its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryState {
    tables: MemoryTables,
    root: B256,
}

impl Default for MemoryState {
    fn default() -> Self {
        Self { tables: MemoryTables::default(), root: EMPTY_ROOT_HASH }
    }
}

impl MemoryState {
    /// State root.
    #[must_use]
    pub const fn root(&self) -> B256 {
        self.root
    }

    /// The tables.
    #[must_use]
    pub const fn tables(&self) -> &MemoryTables {
        &self.tables
    }

    /// Applies changes and returns the new root.
    ///
    /// # Errors
    /// [`StateError::Corrupt`]; a bug, as there is no disk.
    pub fn commit(&mut self, changes: &StateChanges) -> Result<B256, StateError> {
        let update = apply(&self.tables, self.root, changes)?;
        self.tables.write(&update);
        self.root = update.root;
        Ok(self.root)
    }

    /// Makes a block hash known to `BLOCKHASH`.
    pub fn set_block_hash(&mut self, number: u64, hash: B256) {
        self.tables.hashes.insert(number, hash);
    }
}

impl State for MemoryState {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        TablesState(&self.tables).account(address)
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        TablesState(&self.tables).storage(address, slot)
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        TablesState(&self.tables).code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        TablesState(&self.tables).block_hash(number)
    }
}
