//! `eth_getProof` (EIP-1186): what is there, or that nothing is.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use crate::StateError;
use crate::apply::{AccountSource, SlotSource};
use crate::record::{AccountRecord, decode_slot, encode_slot};
use crate::tables::Tables;
use crate::trie::Trie;

/// An account with the proof of it. [`crate::EMPTY_ROOT_HASH`] and no nodes when the whole trie is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The account, none when the proof shows its absence.
    pub record: Option<AccountRecord>,
    /// Trie nodes from the state root down.
    pub nodes: Vec<Bytes>,
    /// The slots asked for, in that order.
    pub storage: Vec<StorageProof>,
}

/// A slot with the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot.
    pub slot: U256,
    /// Its value, 0 when the proof shows its absence.
    pub value: U256,
    /// Trie nodes from the storage root down.
    pub nodes: Vec<Bytes>,
}

/// Proves an account and slots of it in the state of `tables`, whose root is `root`.
///
/// # Errors
/// See [`StateError`].
pub fn prove<T: Tables + ?Sized>(
    tables: &T,
    root: B256,
    address: &Address,
    slots: &[U256],
) -> Result<AccountProof, StateError> {
    prove_over(tables, root, root, &BTreeMap::new(), &BTreeMap::new(), address, slots)
}

/// Proves in an older state: `records` are the accounts as they were where they differ from `tables`, `old_slots` the slots
/// of `address` likewise, by hashed key. Fails unless that gives `old_root`.
///
/// # Errors
/// See [`StateError`].
pub fn prove_over<T: Tables + ?Sized>(
    tables: &T,
    root: B256,
    old_root: B256,
    records: &BTreeMap<B256, Option<AccountRecord>>,
    old_slots: &BTreeMap<B256, U256>,
    address: &Address,
    slots: &[U256],
) -> Result<AccountProof, StateError> {
    let wrong = StateError::Corrupt("the undo records do not lead back to the older root");
    let owner = keccak256(address);
    let mut trie = Trie::open(AccountSource(tables), root);
    for (owner, record) in records {
        match record {
            Some(record) => trie.insert(Nibbles::unpack(owner), record.leaf())?,
            None => trie.remove(&Nibbles::unpack(owner))?,
        }
    }
    if trie.commit().0 != old_root {
        return Err(wrong);
    }
    let now = tables.record(&owner)?;
    let record = records.get(&owner).copied().unwrap_or(now);
    let nodes = bytes(trie.prove(&Nibbles::unpack(owner))?);
    let root_of = |record: Option<AccountRecord>| record.map_or(EMPTY_ROOT_HASH, |record| record.storage_root);
    let mut trie = Trie::open(SlotSource(tables, owner), root_of(now));
    for (slot, value) in old_slots {
        if value.is_zero() {
            trie.remove(&Nibbles::unpack(slot))?;
        } else {
            trie.insert(Nibbles::unpack(slot), encode_slot(*value))?;
        }
    }
    if trie.commit().0 != root_of(record) {
        return Err(wrong);
    }
    let mut storage = Vec::with_capacity(slots.len());
    for slot in slots {
        let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
        let value = trie.get(&key)?.map_or(Ok(U256::ZERO), |value| decode_slot(&value))?;
        storage.push(StorageProof { slot: *slot, value, nodes: bytes(trie.prove(&key)?) });
    }
    Ok(AccountProof { record, nodes, storage })
}

fn bytes(nodes: Vec<Vec<u8>>) -> Vec<Bytes> {
    nodes.into_iter().map(Bytes::from).collect()
}
