//! Blocks of another Ethereum chain behind the same methods, for the conformance suite (`rpctest`).
//!
//! The store keeps headers of this chain's one shape; blocks of other forks have fewer fields and so other hashes. Here are the
//! blocks as they came. The store then holds a shadow of each block: the same state, body and receipts below a header of our shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{B256, Bytes};

use crate::ReadBlock;

/// A block as it came.
#[derive(Clone, Debug)]
pub struct ForeignBlock {
    /// The header.
    pub header: Header,
    /// Withdrawals, none before Shanghai.
    pub withdrawals: Option<Vec<Withdrawal>>,
    /// RLP of the block.
    pub bytes: Bytes,
    /// What the methods show of it, under its own hash.
    pub read: Arc<ReadBlock>,
}

/// The blocks of a chain by height.
#[derive(Clone, Debug, Default)]
pub struct ForeignChain {
    blocks: BTreeMap<u64, ForeignBlock>,
    heights: BTreeMap<B256, u64>,
}

impl ForeignChain {
    /// Adds a block.
    pub fn push(&mut self, block: ForeignBlock) {
        let height = block.header.number;
        self.heights.insert(block.read.hash, height);
        self.blocks.insert(height, block);
    }

    /// Height of a hash.
    #[must_use]
    pub fn height_of(&self, hash: &B256) -> Option<u64> {
        self.heights.get(hash).copied()
    }

    /// The block of a height.
    #[must_use]
    pub fn block(&self, height: u64) -> Option<&ForeignBlock> {
        self.blocks.get(&height)
    }
}
