//! From changes to the new root and the writes that go with it.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use crate::StateError;
use crate::changes::{AccountChange, StateChanges};
use crate::record::{AccountRecord, encode_slot};
use crate::tables::Tables;
use crate::trie::{NodeUpdates, Trie, TrieSource};

/// Everything a store writes for one set of changes, and what was there before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateUpdate {
    /// State root before.
    pub parent_root: B256,
    /// State root afterwards.
    pub root: B256,
    /// Records by `keccak(address)`: before and after. Only those that differ.
    pub records: BTreeMap<B256, (Option<AccountRecord>, Option<AccountRecord>)>,
    /// Slots by `keccak(address)` and `keccak(slot)`: before and after. Only those that differ.
    pub slots: BTreeMap<(B256, B256), (U256, U256)>,
    /// Nodes of the account trie.
    pub account_nodes: NodeUpdates,
    /// Nodes of storage tries by `keccak(address)`.
    pub storage_nodes: BTreeMap<B256, NodeUpdates>,
    /// New code.
    pub codes: BTreeMap<B256, Bytes>,
}

/// The account trie of some tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountSource<'a, T: ?Sized>(pub(crate) &'a T);

impl<T: Tables + ?Sized> TrieSource for AccountSource<'_, T> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError> {
        self.0.account_node(path)
    }

    fn leaf(&self, prefix: &Nibbles) -> Result<Option<(Nibbles, Vec<u8>)>, StateError> {
        Ok(self.0.next_record(&first_key(prefix))?.map(|(key, record)| (Nibbles::unpack(key), record.leaf())))
    }
}

/// A storage trie of some tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotSource<'a, T: ?Sized>(pub(crate) &'a T, pub(crate) B256);

impl<T: Tables + ?Sized> TrieSource for SlotSource<'_, T> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError> {
        self.0.storage_node(&self.1, path)
    }

    fn leaf(&self, prefix: &Nibbles) -> Result<Option<(Nibbles, Vec<u8>)>, StateError> {
        let next = self.0.next_slot(&self.1, &first_key(prefix))?;
        Ok(next.map(|(key, value)| (Nibbles::unpack(key), encode_slot(value))))
    }
}

/// The lowest key with this prefix.
fn first_key(prefix: &Nibbles) -> B256 {
    let mut key = B256::ZERO;
    for (byte, pair) in key.iter_mut().zip(prefix.to_vec().chunks(2)) {
        *byte = pair.first().map_or(0, |high| high << 4) | pair.get(1).copied().unwrap_or(0);
    }
    key
}

/// Works out what `changes` do to the state in `tables`, whose root is `parent_root`. Nothing is written. The work is
/// proportional to the changes and the depth of the tries.
///
/// # Errors
/// See [`StateError`].
pub fn apply<T: Tables + ?Sized>(
    tables: &T,
    parent_root: B256,
    changes: &StateChanges,
) -> Result<StateUpdate, StateError> {
    let mut update = StateUpdate { parent_root, codes: changes.codes.clone(), ..StateUpdate::default() };
    for (address, change) in &changes.accounts {
        let owner = keccak256(address);
        let before = tables.record(&owner)?;
        let storage_root = apply_storage(tables, owner, before.as_ref(), change, &mut update)?;
        let after = change.account.map(|account| AccountRecord { account, storage_root });
        if before != after {
            update.records.insert(owner, (before, after));
        }
    }
    let mut trie = Trie::open(AccountSource(tables), parent_root);
    // Insertions first: a branch that loses a child and wins another one is not folded up in between.
    for (owner, (_, after)) in &update.records {
        if let Some(record) = after {
            trie.insert(Nibbles::unpack(owner), record.leaf())?;
        }
    }
    for owner in update.records.iter().filter(|(_, (_, after))| after.is_none()).map(|(owner, _)| owner) {
        trie.remove(&Nibbles::unpack(owner))?;
    }
    (update.root, update.account_nodes) = trie.commit();
    Ok(update)
}

/// The storage of one account: notes slots and nodes in `update`, returns the root.
fn apply_storage<T: Tables + ?Sized>(
    tables: &T,
    owner: B256,
    before: Option<&AccountRecord>,
    change: &AccountChange,
    update: &mut StateUpdate,
) -> Result<B256, StateError> {
    let old_root = before.map_or(EMPTY_ROOT_HASH, |record| record.storage_root);
    let wipe = change.wiped || change.account.is_none();
    let mut nodes = NodeUpdates::new();
    let mut slots: BTreeMap<B256, (U256, U256)> = BTreeMap::new();
    let mut root = old_root;
    if wipe && old_root != EMPTY_ROOT_HASH {
        let mut from = Some(B256::ZERO);
        while let Some(start) = from {
            let Some((slot, value)) = tables.next_slot(&owner, &start)? else { break };
            slots.insert(slot, (value, U256::ZERO));
            from = after(&slot);
        }
        nodes.extend(tables.storage_paths(&owner)?.into_iter().map(|path| (path, None)));
        root = EMPTY_ROOT_HASH;
    }
    let mut edits: BTreeMap<B256, U256> = BTreeMap::new();
    // An account that is gone stores nothing.
    for (slot, value) in change.storage.iter().filter(|_| change.account.is_some()) {
        let key = keccak256(slot.to_be_bytes::<32>());
        let old = match slots.get(&key) {
            Some((old, _)) => *old,
            None => tables.slot(&owner, &key)?,
        };
        slots.insert(key, (old, *value));
        let current = if wipe { U256::ZERO } else { old };
        if current != *value {
            edits.insert(key, *value);
        }
    }
    if !edits.is_empty() {
        let mut trie = Trie::open(SlotSource(tables, owner), root);
        for (key, value) in edits.iter().filter(|(_, value)| !value.is_zero()) {
            trie.insert(Nibbles::unpack(key), encode_slot(*value))?;
        }
        for (key, _) in edits.iter().filter(|(_, value)| value.is_zero()) {
            trie.remove(&Nibbles::unpack(key))?;
        }
        let (new_root, updates) = trie.commit();
        root = new_root;
        nodes.extend(updates);
    }
    let differ = slots.into_iter().filter(|(_, (old, new))| old != new);
    update.slots.extend(differ.map(|(slot, values)| ((owner, slot), values)));
    if !nodes.is_empty() {
        update.storage_nodes.insert(owner, nodes);
    }
    Ok(root)
}

/// The next key, none after the last one.
pub(crate) fn after(key: &B256) -> Option<B256> {
    U256::from_be_bytes(key.0).checked_add(U256::ONE).map(|next| B256::from(next.to_be_bytes::<32>()))
}

/// Adds accounts to the account trie of `tables`, whose root is `root`: a step of building a state from a sorted stream.
/// Returns the new root and the nodes to write. Nothing is written.
///
/// # Errors
/// See [`StateError`].
pub fn extend_accounts<T: Tables + ?Sized>(
    tables: &T,
    root: B256,
    records: &[(B256, AccountRecord)],
) -> Result<(B256, NodeUpdates), StateError> {
    let mut trie = Trie::open(AccountSource(tables), root);
    for (owner, record) in records {
        trie.insert(Nibbles::unpack(owner), record.leaf())?;
    }
    Ok(trie.commit())
}

/// Adds slots to a storage trie likewise.
///
/// # Errors
/// See [`StateError`].
pub fn extend_slots<T: Tables + ?Sized>(
    tables: &T,
    owner: B256,
    root: B256,
    slots: &[(B256, U256)],
) -> Result<(B256, NodeUpdates), StateError> {
    let mut trie = Trie::open(SlotSource(tables, owner), root);
    for (slot, value) in slots {
        trie.insert(Nibbles::unpack(slot), encode_slot(*value))?;
    }
    Ok(trie.commit())
}
