//! The committed state as [`Tables`], over any [`Kv`].

use alloy_primitives::{B256, Bytes, U256, keccak256};
use netchain_state::{AccountRecord, Nibbles, StateError, StateUpdate, Tables, decode_slot, encode_slot};

use crate::kv::{Batch, Kv, Table};

/// The state after the last committed block.
pub struct KvTables<'a>(pub(crate) &'a dyn Kv);

impl std::fmt::Debug for KvTables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KvTables")
    }
}

/// `a | b`.
pub(crate) fn pair(a: &B256, b: &[u8]) -> Vec<u8> {
    [a.as_slice(), b].concat()
}

fn key32(bytes: &[u8]) -> Result<B256, StateError> {
    B256::try_from(bytes).map_err(|_| StateError::Corrupt("a key has the wrong length"))
}

impl Tables for KvTables<'_> {
    fn record(&self, owner: &B256) -> Result<Option<AccountRecord>, StateError> {
        self.0.get(Table::Accounts, owner.as_slice())?.map(|bytes| AccountRecord::decode(&bytes)).transpose()
    }

    fn next_record(&self, from: &B256) -> Result<Option<(B256, AccountRecord)>, StateError> {
        let next = self.0.scan(Table::Accounts, from.as_slice(), 0, 1)?;
        next.first().map(|(key, value)| Ok((key32(key)?, AccountRecord::decode(value)?))).transpose()
    }

    fn slot(&self, owner: &B256, slot: &B256) -> Result<U256, StateError> {
        let value = self.0.get(Table::Slots, &pair(owner, slot.as_slice()))?;
        value.map_or(Ok(U256::ZERO), |bytes| decode_slot(&bytes))
    }

    fn next_slot(&self, owner: &B256, from: &B256) -> Result<Option<(B256, U256)>, StateError> {
        let next = self.0.scan(Table::Slots, &pair(owner, from.as_slice()), 32, 1)?;
        let slot = |key: &[u8]| key32(key.get(32..).unwrap_or_default());
        next.first().map(|(key, value)| Ok((slot(key)?, decode_slot(value)?))).transpose()
    }

    fn account_node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(Table::AccountNodes, &path.to_vec())?)
    }

    fn storage_node(&self, owner: &B256, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(Table::StorageNodes, &pair(owner, &path.to_vec()))?)
    }

    fn storage_paths(&self, owner: &B256) -> Result<Vec<Nibbles>, StateError> {
        let nodes = self.0.scan(Table::StorageNodes, owner.as_slice(), 32, usize::MAX)?;
        let path = |key: &[u8]| {
            let nibbles = key.get(32..).unwrap_or_default();
            let valid = nibbles.len() <= 64 && nibbles.iter().all(|nibble| *nibble < 16);
            if valid { Ok(Nibbles::from_nibbles(nibbles)) } else { Err(StateError::Corrupt("a path is no path")) }
        };
        nodes.iter().map(|(key, _)| path(key)).collect()
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.0.get(Table::Codes, hash.as_slice())?.map(Bytes::from))
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        Ok(self.0.get(Table::Headers, &number.to_be_bytes())?.map(keccak256))
    }
}

/// The writes of an update, undo records not included.
pub(crate) fn write_update(update: &StateUpdate, batch: &mut Batch) {
    for (owner, (_, after)) in &update.records {
        match after {
            Some(record) => batch.put(Table::Accounts, owner.to_vec(), record.encode()),
            None => batch.delete(Table::Accounts, owner.to_vec()),
        }
    }
    for ((owner, slot), (_, after)) in &update.slots {
        let key = pair(owner, slot.as_slice());
        if after.is_zero() {
            batch.delete(Table::Slots, key);
        } else {
            batch.put(Table::Slots, key, encode_slot(*after));
        }
    }
    for (path, node) in &update.account_nodes {
        match node {
            Some(node) => batch.put(Table::AccountNodes, path.to_vec(), node.clone()),
            None => batch.delete(Table::AccountNodes, path.to_vec()),
        }
    }
    for (owner, nodes) in &update.storage_nodes {
        for (path, node) in nodes {
            let key = pair(owner, &path.to_vec());
            match node {
                Some(node) => batch.put(Table::StorageNodes, key, node.clone()),
                None => batch.delete(Table::StorageNodes, key),
            }
        }
    }
    for (hash, code) in &update.codes {
        batch.put(Table::Codes, hash.to_vec(), code.to_vec());
    }
}
