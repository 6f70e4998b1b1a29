//! Undo records: what a block replaced, by key and height, and per block the list of those keys.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use alloy_primitives::{B256, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use netchain_state::{AccountRecord, StateUpdate, decode_slot, encode_slot};

use crate::StoreError;
use crate::kv::{Batch, Kv, Table};
use crate::tables::pair;

/// Keys a block changed: RLP `[root before, [owner...], [owner | slot...]]`.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct UndoKeys {
    pub(crate) parent_root: B256,
    pub(crate) owners: Vec<B256>,
    pub(crate) slots: Vec<[u8; 64]>,
}

fn account_key(owner: &B256, height: u64) -> Vec<u8> {
    pair(owner, &height.to_be_bytes())
}

fn slot_key(slot: &[u8; 64], height: u64) -> Vec<u8> {
    [&slot[..], &height.to_be_bytes()].concat()
}

fn joined(owner: &B256, slot: &B256) -> [u8; 64] {
    let mut key = [0; 64];
    for (to, from) in key.iter_mut().zip(owner.iter().chain(slot.iter())) {
        *to = *from;
    }
    key
}

pub(crate) fn write_undo(update: &StateUpdate, height: u64, batch: &mut Batch) {
    let mut keys =
        UndoKeys { parent_root: update.parent_root, owners: Vec::new(), slots: Vec::with_capacity(update.slots.len()) };
    for (owner, (before, _)) in &update.records {
        keys.owners.push(*owner);
        batch.put(
            Table::AccountUndo,
            account_key(owner, height),
            before.map_or_else(Vec::new, |record| record.encode()),
        );
    }
    for ((owner, slot), (before, _)) in &update.slots {
        let key = joined(owner, slot);
        let value = if before.is_zero() { Vec::new() } else { encode_slot(*before) };
        batch.put(Table::SlotUndo, slot_key(&key, height), value);
        keys.slots.push(key);
    }
    batch.put(Table::UndoKeys, height.to_be_bytes(), alloy_rlp::encode(&keys));
}

pub(crate) fn undo_keys(kv: &dyn Kv, height: u64) -> Result<Option<UndoKeys>, StoreError> {
    let bytes = kv.get(Table::UndoKeys, &height.to_be_bytes())?;
    let decode = |bytes: Vec<u8>| {
        alloy_rlp::decode_exact(&bytes).map_err(|_| StoreError::Corrupt("a list of undo records is not readable"))
    };
    bytes.map(decode).transpose()
}

/// Removes the undo records of a block.
pub(crate) fn drop_undo(kv: &dyn Kv, height: u64, batch: &mut Batch) -> Result<(), StoreError> {
    let Some(keys) = undo_keys(kv, height)? else { return Ok(()) };
    for owner in &keys.owners {
        batch.delete(Table::AccountUndo, account_key(owner, height));
    }
    for slot in &keys.slots {
        batch.delete(Table::SlotUndo, slot_key(slot, height));
    }
    batch.delete(Table::UndoKeys, height.to_be_bytes());
    Ok(())
}

pub(crate) fn account_before(kv: &dyn Kv, owner: &B256, height: u64) -> Result<Option<AccountRecord>, StoreError> {
    let missing = StoreError::Corrupt("an undo record is missing");
    let bytes = kv.get(Table::AccountUndo, &account_key(owner, height))?.ok_or(missing)?;
    decode_record(&bytes)
}

pub(crate) fn decode_record(bytes: &[u8]) -> Result<Option<AccountRecord>, StoreError> {
    if bytes.is_empty() { Ok(None) } else { Ok(Some(AccountRecord::decode(bytes)?)) }
}

pub(crate) fn decode_value(bytes: &[u8]) -> Result<U256, StoreError> {
    if bytes.is_empty() { Ok(U256::ZERO) } else { Ok(decode_slot(bytes)?) }
}

/// What the blocks `from..=to` replaced: accounts and slots as they were before `from`. `only`: slots of this owner alone.
#[derive(Debug, Default)]
pub(crate) struct Before {
    pub(crate) records: BTreeMap<B256, Option<AccountRecord>>,
    pub(crate) slots: BTreeMap<(B256, B256), U256>,
}

pub(crate) fn collect_before(kv: &dyn Kv, from: u64, to: u64, only: Option<&B256>) -> Result<Before, StoreError> {
    let mut before = Before::default();
    for height in from..=to {
        let keys = undo_keys(kv, height)?.ok_or(StoreError::Corrupt("undo records of a block are missing"))?;
        for owner in keys.owners {
            // The oldest record of a key counts.
            if let Entry::Vacant(free) = before.records.entry(owner) {
                free.insert(account_before(kv, &owner, height)?);
            }
        }
        for slot in keys.slots {
            let (owner, key) = slot.split_at(32);
            let place = (B256::from_slice(owner), B256::from_slice(key));
            if only.is_some_and(|only| place.0 != *only) || before.slots.contains_key(&place) {
                continue;
            }
            let missing = StoreError::Corrupt("an undo record is missing");
            let value = kv.get(Table::SlotUndo, &slot_key(&slot, height))?.ok_or(missing)?;
            before.slots.insert(place, decode_value(&value)?);
        }
    }
    Ok(before)
}
