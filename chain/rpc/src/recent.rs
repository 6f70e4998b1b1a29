//! Blocks as RPC needs them, and the last ones kept in memory.
//!
//! A block is read once: its transactions with their senders, its receipts with their places. A node that has just executed
//! a block hands it over ([`RecentBlocks::insert`]); others are read from the store, where the senders are noted, and kept as long
//! as nobody asks for more recently used ones. A committed block is final, so nothing in here is ever wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::B256;
use netchain_exec::{BlockContext, BlockReceipt, SignedTransaction};
use netchain_types::Header;

use crate::convert::Place;

/// Most blocks kept: three minutes of a quiet chain.
const MAX_BLOCKS: usize = 64;
/// Most bytes kept: seven full blocks of plain transfers, twenty seconds in which a wallet asks for its receipt. A tenth of what a
/// full node may use (design: 400 MiB).
const MAX_BYTES: usize = 40 << 20;
/// What a transaction and its receipt cost beside their encodings: both structures, two bloom filters' worth of it.
const TRANSACTION_BYTES: usize = 1_100;
/// Blocks whose fees are remembered: as many as one `eth_feeHistory` may ask for, 1.7 KB each.
const MAX_FEES: usize = 1_024;
/// Transactions of a block that a suggested tip looks at.
const TIP_SAMPLE: usize = 32;

/// A committed block, read.
#[derive(Debug)]
pub struct ReadBlock {
    /// Header.
    pub header: Header,
    /// Its hash.
    pub hash: B256,
    /// Bytes of the block as consensus encodes it.
    pub size: usize,
    /// Transactions, the system transaction last.
    pub transactions: Vec<SignedTransaction>,
    /// One receipt a transaction.
    pub receipts: Vec<BlockReceipt>,
    /// What its transactions saw of it.
    pub context: BlockContext,
}

impl ReadBlock {
    pub(crate) fn place(&self, index: usize) -> Place {
        Place {
            block_hash: self.hash,
            height: self.header.number,
            index: index as u64,
            timestamp: self.header.timestamp,
            base_fee: self.header.base_fee_per_gas,
        }
    }

    /// The block's bytes, what it cost to read them, and the logs: an estimate for the limit.
    fn weight(&self) -> usize {
        let logs = self.receipts.iter().flat_map(|it| it.receipt.logs());
        let logs: usize = logs.map(|log| 160 + log.data.data.len()).sum();
        // Encoded bytes stand in the transaction and once more in its parsed form.
        2 * self.size + self.transactions.len() * TRANSACTION_BYTES + logs
    }

    fn fees(&self) -> BlockFees {
        let base_fee = u128::from(self.header.base_fee_per_gas);
        let tip = |price: u128| price.saturating_sub(base_fee);
        // The system transaction, last, pays nothing.
        let users = self.transactions.len().saturating_sub(1);
        let mut paid: Vec<(u128, u64)> =
            self.receipts.iter().take(users).map(|it| (tip(it.effective_gas_price), it.gas_used)).collect();
        let sample = paid.iter().take(TIP_SAMPLE).map(|(tip, _)| *tip).collect();
        paid.sort_unstable();
        let total: u64 = paid.iter().map(|(_, gas)| gas).sum();
        let mut percentiles = Vec::with_capacity(101);
        let (mut index, mut sum) = (0, paid.first().map_or(0, |(_, gas)| *gas));
        for percent in 0..=100_u64 {
            let threshold = u128::from(total) * u128::from(percent) / 100;
            while u128::from(sum) < threshold && index + 1 < paid.len() {
                index += 1;
                sum += paid.get(index).map_or(0, |(_, gas)| *gas);
            }
            percentiles.push(paid.get(index).map_or(0, |(tip, _)| *tip));
        }
        BlockFees { sample, percentiles }
    }
}

/// What a block's transactions paid above the base fee.
#[derive(Debug)]
pub(crate) struct BlockFees {
    /// Tips of its first transactions.
    pub(crate) sample: Vec<u128>,
    /// Tip at 0, 1, ... 100 percent of the block's gas.
    pub(crate) percentiles: Vec<u128>,
}

#[derive(Default)]
struct Inner {
    /// By height, with the time of the last use.
    blocks: BTreeMap<u64, (u64, Arc<ReadBlock>)>,
    fees: BTreeMap<u64, Arc<BlockFees>>,
    bytes: usize,
    uses: u64,
}

/// The blocks read last, shared by the node that commits and RPC.
#[derive(Default)]
pub struct RecentBlocks(Mutex<Inner>);

impl std::fmt::Debug for RecentBlocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.lock();
        f.debug_struct("RecentBlocks").field("blocks", &inner.blocks.len()).field("bytes", &inner.bytes).finish()
    }
}

impl RecentBlocks {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a committed block; those used longest ago go for it.
    pub fn insert(&self, block: Arc<ReadBlock>) {
        let (height, weight) = (block.header.number, block.weight());
        let fees = Arc::new(block.fees());
        let mut inner = self.lock();
        inner.keep_fees(height, fees);
        inner.uses += 1;
        let used = inner.uses;
        if weight > MAX_BYTES || inner.blocks.contains_key(&height) {
            return;
        }
        inner.blocks.insert(height, (used, block));
        inner.bytes += weight;
        while inner.blocks.len() > MAX_BLOCKS || inner.bytes > MAX_BYTES {
            let oldest = inner.blocks.iter().min_by_key(|(_, (used, _))| *used).map(|(height, _)| *height);
            let Some((_, gone)) = oldest.and_then(|height| inner.blocks.remove(&height)) else { break };
            inner.bytes = inner.bytes.saturating_sub(gone.weight());
        }
    }

    pub(crate) fn get(&self, height: u64) -> Option<Arc<ReadBlock>> {
        let mut inner = self.lock();
        inner.uses += 1;
        let now = inner.uses;
        let (used, block) = inner.blocks.get_mut(&height)?;
        *used = now;
        Some(block.clone())
    }

    /// Fees of a height; `read` when they are not known yet. The block itself is not kept for it.
    pub(crate) fn fees<E>(
        &self,
        height: u64,
        read: impl FnOnce() -> Result<Option<Arc<ReadBlock>>, E>,
    ) -> Result<Option<Arc<BlockFees>>, E> {
        if let Some(fees) = self.lock().fees.get(&height) {
            return Ok(Some(fees.clone()));
        }
        let Some(block) = read()? else { return Ok(None) };
        let fees = Arc::new(block.fees());
        self.lock().keep_fees(height, fees.clone());
        Ok(Some(fees))
    }
}

impl Inner {
    fn keep_fees(&mut self, height: u64, fees: Arc<BlockFees>) {
        self.fees.insert(height, fees);
        // The oldest heights go: clients ask for the last ones.
        while self.fees.len() > MAX_FEES {
            self.fees.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(height: u64, size: usize) -> Arc<ReadBlock> {
        let header = Header { number: height, ..Header::blank() };
        let extra = netchain_types::ConsensusExtra {
            round: 0,
            shuffle_round: 0,
            slot: 0,
            reveal: alloy_primitives::Bytes::new(),
            last_commit_hash: B256::ZERO,
            validators_hash: B256::ZERO,
            next_validators_hash: B256::ZERO,
        };
        let context = BlockContext::of(&header, &extra, 0, alloy_primitives::Bytes::new());
        Arc::new(ReadBlock {
            hash: header.hash(),
            header,
            size,
            transactions: Vec::new(),
            receipts: Vec::new(),
            context,
        })
    }

    #[test]
    fn the_blocks_kept_are_bounded_in_number_and_bytes_and_those_in_use_stay() {
        let recent = RecentBlocks::default();
        for height in 0..200 {
            recent.insert(block(height, 100));
            assert!(recent.get(0).is_some(), "used all the time");
        }
        assert_eq!(recent.lock().blocks.len(), MAX_BLOCKS);
        assert!(recent.get(1).is_none() && recent.get(199).is_some());
        for height in 200..300 {
            recent.insert(block(height, 2 << 20));
        }
        let inner = recent.lock();
        let sum: usize = inner.blocks.values().map(|(_, block)| block.weight()).sum();
        assert!(inner.bytes <= MAX_BYTES && inner.bytes == sum && inner.blocks.len() <= 10);
    }

    #[test]
    fn a_block_larger_than_the_limit_is_not_kept() {
        let recent = RecentBlocks::default();
        recent.insert(block(1, MAX_BYTES));
        assert!(recent.get(1).is_none());
        assert_eq!(recent.lock().bytes, 0);
    }

    #[test]
    fn fees_are_remembered_for_a_bounded_number_of_heights() {
        let recent = RecentBlocks::default();
        for height in 0..2_000 {
            let read = || Ok::<_, ()>(Some(block(height, 1)));
            assert_eq!(recent.fees(height, read).unwrap().unwrap().percentiles, vec![0; 101]);
        }
        assert_eq!(recent.lock().fees.len(), MAX_FEES);
        assert!(recent.fees(1_999, || Err(())).is_ok(), "not read again");
    }
}
