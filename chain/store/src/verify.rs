//! `verify-db`: reading everything once.

use std::sync::PoisonError;

use netchain_state::{Verified, verify_tables};

use crate::kv::Table;
use crate::tables::KvTables;
use crate::{Store, StoreError};

/// Headers read at a time.
const PAGE: usize = 1_024;

/// What was read and found right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreVerified {
    /// Accounts, slots and trie nodes.
    pub state: Verified,
    /// Headers.
    pub headers: u64,
    /// Transactions with their receipts.
    pub transactions: u64,
}

impl Store {
    /// Checks every trie node, record, slot and code against the state root of the tip, and every header, body and index
    /// against the hash of the block after it. Commits wait. `progress` sees the numbers now and then.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn verify(&self, progress: &mut dyn FnMut(StoreVerified)) -> Result<StoreVerified, StoreError> {
        let _no_commit = self.0.gate.read().unwrap_or_else(PoisonError::into_inner);
        let tip = self.tip().ok_or(StoreError::Empty)?;
        let state = verify_tables(&KvTables(self.kv()), tip.root, &mut |state| {
            progress(StoreVerified { state, ..StoreVerified::default() });
        })?;
        let mut sum = StoreVerified { state, ..StoreVerified::default() };
        let stored = self.count(Table::AccountNodes)? + self.count(Table::StorageNodes)?;
        if stored != sum.state.nodes {
            return Err(StoreError::Corrupt("trie nodes are left over that no root leads to"));
        }
        self.verify_blocks(&mut sum, progress)?;
        progress(sum);
        Ok(sum)
    }

    fn verify_blocks(
        &self,
        sum: &mut StoreVerified,
        progress: &mut dyn FnMut(StoreVerified),
    ) -> Result<(), StoreError> {
        let tip = self.tip().ok_or(StoreError::Empty)?;
        let base = self.base()?;
        let first = self.kv().scan(Table::Headers, &[], 0, 1)?;
        let first = first.first().map_or(Ok(0), |(key, _)| crate::u64_of(key))?;
        let mut parent = None;
        for height in first..=tip.height {
            let header = self.header(height)?.ok_or(StoreError::Corrupt("a header is missing"))?;
            let hash = header.hash();
            if header.number != height || parent.is_some_and(|parent| parent != header.parent_hash) {
                return Err(StoreError::Corrupt("the headers are no chain"));
            }
            if self.height_of(&hash)? != Some(height) {
                return Err(StoreError::Corrupt("a block hash does not lead to its height"));
            }
            parent = Some(hash);
            sum.headers += 1;
            if height >= base {
                let block = self.block(height)?.ok_or(StoreError::Corrupt("a block is missing"))?;
                let receipts = self.receipts(height)?.ok_or(StoreError::Corrupt("receipts are missing"))?;
                let transactions = block.transactions()?;
                if block.hash != hash || receipts.len() != transactions.len() {
                    return Err(StoreError::Corrupt("a block is not the one of its header"));
                }
                for (index, transaction) in (0u32..).zip(&transactions) {
                    if self.transaction(&alloy_primitives::keccak256(transaction))? != Some((height, index)) {
                        return Err(StoreError::Corrupt("a transaction hash does not lead to its place"));
                    }
                    sum.transactions += 1;
                }
            }
            if height % 1_024 == 0 {
                progress(*sum);
            }
        }
        if parent == Some(tip.hash) { Ok(()) } else { Err(StoreError::Corrupt("the tip is not the last header")) }
    }

    /// Entries of a table.
    fn count(&self, table: Table) -> Result<u64, StoreError> {
        let mut count = 0;
        let mut from = Vec::new();
        loop {
            let page = self.kv().scan(table, &from, 0, PAGE)?;
            count += page.len() as u64;
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else { return Ok(count) };
            from = [last.as_slice(), &[0]].concat();
        }
    }
}
