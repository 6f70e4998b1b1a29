//! From a block's undo records back to the state before it.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use crate::StateError;
use crate::apply::{AccountSource, SlotSource, StateUpdate};
use crate::record::{AccountRecord, encode_slot};
use crate::tables::Tables;
use crate::trie::Trie;

/// Works out the writes that bring the state in `tables`, whose root is `root`, back to `old_root`. `records` and `slots` are
/// what was there, by hashed key. Nothing is written.
///
/// # Errors
/// [`StateError::Corrupt`] when that does not give `old_root`.
pub fn revert<T: Tables + ?Sized>(
    tables: &T,
    root: B256,
    old_root: B256,
    records: &BTreeMap<B256, Option<AccountRecord>>,
    slots: &BTreeMap<(B256, B256), U256>,
) -> Result<StateUpdate, StateError> {
    let wrong = StateError::Corrupt("the undo records do not lead back to the older root");
    let mut update = StateUpdate { parent_root: root, root: old_root, ..StateUpdate::default() };
    let mut accounts = Trie::open(AccountSource(tables), root);
    for (owner, old) in records {
        let now = tables.record(owner)?;
        update.records.insert(*owner, (now, *old));
        let old_slots: BTreeMap<B256, U256> =
            slots.range((*owner, B256::ZERO)..=(*owner, B256::repeat_byte(0xff))).map(|((_, k), v)| (*k, *v)).collect();
        let root_of = |record: Option<AccountRecord>| record.map_or(EMPTY_ROOT_HASH, |record| record.storage_root);
        let mut trie = Trie::open(SlotSource(tables, *owner), root_of(now));
        for (slot, value) in old_slots.iter().filter(|(_, value)| !value.is_zero()) {
            trie.insert(Nibbles::unpack(slot), encode_slot(*value))?;
        }
        for (slot, _) in old_slots.iter().filter(|(_, value)| value.is_zero()) {
            trie.remove(&Nibbles::unpack(slot))?;
        }
        for (slot, value) in old_slots {
            update.slots.insert((*owner, slot), (tables.slot(owner, &slot)?, value));
        }
        let (storage_root, nodes) = trie.commit();
        if storage_root != root_of(*old) {
            return Err(wrong);
        }
        if !nodes.is_empty() {
            update.storage_nodes.insert(*owner, nodes);
        }
        if let Some(record) = old {
            accounts.insert(Nibbles::unpack(owner), record.leaf())?;
        }
    }
    for owner in records.iter().filter(|(_, old)| old.is_none()).map(|(owner, _)| owner) {
        accounts.remove(&Nibbles::unpack(owner))?;
    }
    let (found, nodes) = accounts.commit();
    update.account_nodes = nodes;
    if found == old_root { Ok(update) } else { Err(wrong) }
}
