//! State of older heights, and proofs.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use netchain_state::{Account, AccountProof, AccountRecord, State, StateError, Tables, TablesState, prove, prove_over};

use crate::kv::Table;
use crate::tables::{KvTables, pair};
use crate::undo::{collect_before, decode_record, decode_value};
use crate::{Store, StoreError};

/// Blocks a proof may lie back: the work grows with every change in between. 256 is as far as `BLOCKHASH` reaches.
pub const MAX_PROOF_BLOCKS: u64 = 256;

/// The state at one height. Stays what it is while blocks are committed; reading fails once its undo records are gone.
#[derive(Clone, Debug)]
pub struct StateAt {
    store: Store,
    height: u64,
}

impl Store {
    /// The state after the block at `height`.
    ///
    /// # Errors
    /// The height is not reached yet or not kept any more.
    pub fn state_at(&self, height: u64) -> Result<StateAt, StoreError> {
        let tip = self.tip().ok_or(StoreError::Empty)?.height;
        if height > tip {
            return Err(StateError::Future { height, tip }.into());
        }
        let state = StateAt { store: self.clone(), height };
        state.still_there()?;
        Ok(state)
    }

    /// Proves an account and slots of it under the state root of `height` (`eth_getProof`), present or absent.
    ///
    /// # Errors
    /// The height is not reached yet, not kept any more, or more than [`MAX_PROOF_BLOCKS`] back.
    pub fn proof(&self, height: u64, address: &Address, slots: &[U256]) -> Result<AccountProof, StoreError> {
        let _no_commit = self.0.gate.read().unwrap_or_else(PoisonError::into_inner);
        let tip = self.tip().ok_or(StoreError::Empty)?;
        let tables = KvTables(self.kv());
        if height == tip.height {
            return Ok(prove(&tables, tip.root, address, slots)?);
        }
        self.state_at(height)?;
        if tip.height - height > MAX_PROOF_BLOCKS {
            return Err(StateError::Pruned { height, oldest: tip.height - MAX_PROOF_BLOCKS }.into());
        }
        let old_root = self.root_at(height)?.ok_or(StoreError::Corrupt("a header is missing"))?;
        let before = collect_before(self.kv(), height + 1, tip.height, Some(&keccak256(address)))?;
        let slots_before: BTreeMap<B256, U256> =
            before.slots.into_iter().map(|((_, key), value)| (key, value)).collect();
        Ok(prove_over(&tables, tip.root, old_root, &before.records, &slots_before, address, slots)?)
    }
}

impl StateAt {
    /// The height.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// Checked after reading: undo records go away from below.
    fn still_there(&self) -> Result<(), StateError> {
        let oldest = self.store.oldest_state();
        if self.height < oldest { Err(StateError::Pruned { height: self.height, oldest }) } else { Ok(()) }
    }

    /// The first undo record of a key above the height.
    fn undo(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let from = [key, &(self.height + 1).to_be_bytes()].concat();
        let next = self.store.kv().scan(table, &from, key.len(), 1)?;
        Ok(next.into_iter().next().map(|(_, value)| value))
    }

    fn record(&self, owner: &B256) -> Result<Option<AccountRecord>, StateError> {
        // The table first: a block committed between the two reads leaves an undo record, and that one counts.
        let now = KvTables(self.store.kv()).record(owner)?;
        let record = match self.undo(Table::AccountUndo, owner.as_slice())? {
            Some(bytes) => decode_record(&bytes)?,
            None => now,
        };
        self.still_there()?;
        Ok(record)
    }
}

impl State for StateAt {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        Ok(self.record(&keccak256(address))?.map(|record| record.account))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let (owner, slot) = (keccak256(address), keccak256(slot.to_be_bytes::<32>()));
        let now = KvTables(self.store.kv()).slot(&owner, &slot)?;
        let value = match self.undo(Table::SlotUndo, &pair(&owner, slot.as_slice()))? {
            Some(bytes) => decode_value(&bytes)?,
            None => now,
        };
        self.still_there()?;
        Ok(value)
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        TablesState(&KvTables(self.store.kv())).code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        if number > self.height {
            return Ok(B256::ZERO);
        }
        TablesState(&KvTables(self.store.kv())).block_hash(number)
    }
}
