//! Blocks: `eth_getBlockBy*`, counts, receipts of a block, and the one place where stored blocks are read.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::U64;
use alloy_rpc_types_eth::{Block, BlockTransactions, TransactionReceipt};
use netchain_exec::{BlockContext, SignedTransaction, TransactionError, decode_stored_all, receipts_with_context};
use netchain_store::BlockBytes;
use netchain_types::{Certificate, ConsensusExtra};

use crate::RpcContext;
use crate::convert::{rpc_header, rpc_receipt, rpc_transaction};
use crate::error::{INTERNAL, RpcResult, error, store_error};
use crate::recent::ReadBlock;

/// What consensus says of a stored block.
fn block_context(stored: &BlockBytes) -> RpcResult<BlockContext> {
    let bad = || error(INTERNAL, "a stored block is not readable");
    let extra: ConsensusExtra = stored.header.check().map_err(|_| bad())?;
    let mut context = BlockContext::of(&stored.header, &extra, 0, alloy_primitives::Bytes::new());
    if stored.header.number > 0 {
        let block = netchain_consensus::Block::decode(&stored.bytes).map_err(|_| bad())?;
        context.last_commit_bitmap = block.last_commit().map_or(0, Certificate::bitmap);
        let mut evidence = Vec::new();
        alloy_rlp::encode_list(block.evidence(), &mut evidence);
        context.evidence = evidence.into();
    }
    Ok(context)
}

impl RpcContext {
    /// The block of a height; none above the tip and before what this store holds.
    pub(crate) fn read(&self, height: u64) -> RpcResult<Option<Arc<ReadBlock>>> {
        if let Some(block) = self.recent.get(height) {
            return Ok(Some(block));
        }
        let read = self.read_stored(height)?;
        if let Some(block) = &read {
            self.recent.insert(block.clone());
        }
        Ok(read)
    }

    /// The block of a height out of the store.
    pub(crate) fn read_stored(&self, height: u64) -> RpcResult<Option<Arc<ReadBlock>>> {
        let Some(block) = self.store.block(height).map_err(store_error)? else { return Ok(None) };
        let unreadable = |failed: TransactionError| error(INTERNAL, failed.to_string());
        let raws = block.transactions().map_err(store_error)?;
        let senders = self.store.notes(height).map_err(store_error)?.unwrap_or_default();
        let transactions = decode_stored_all(&raws, &senders, self.chain_id()).map_err(unreadable)?;
        let receipts = self.store.receipts(height).map_err(store_error)?.unwrap_or_default();
        let receipts =
            receipts_with_context(&receipts, &transactions, block.header.base_fee_per_gas).map_err(unreadable)?;
        let context = block_context(&block)?;
        let (header, hash, size) = (block.header, block.hash, block.bytes.len());
        Ok(Some(Arc::new(ReadBlock { header, hash, size, transactions, receipts, context })))
    }

    pub(crate) fn read_id(&self, id: BlockId) -> RpcResult<Option<Arc<ReadBlock>>> {
        let height = match id {
            BlockId::Number(tag) => Some(self.height_of_tag(tag)?),
            BlockId::Hash(hash) => self.store.height_of(&hash.block_hash).map_err(store_error)?,
        };
        height.map_or(Ok(None), |height| self.read(height))
    }

    /// What the block's transactions saw of it.
    pub(crate) fn context(&self, height: u64) -> RpcResult<BlockContext> {
        if let Some(read) = self.read(height)? {
            return Ok(read.context.clone());
        }
        // The block a snapshot ended with is not here; its header is.
        let header = self.header(height)?;
        let extra = header.check().map_err(|_| error(INTERNAL, "a stored block is not readable"))?;
        Ok(BlockContext::of(&header, &extra, 0, alloy_primitives::Bytes::new()))
    }

    pub(crate) fn rpc_block(&self, read: &ReadBlock, full: bool) -> Block {
        let transactions = if full {
            let all = read.transactions.iter().enumerate();
            BlockTransactions::Full(all.map(|(index, tx)| rpc_transaction(tx, Some(read.place(index)))).collect())
        } else {
            BlockTransactions::Hashes(read.transactions.iter().map(SignedTransaction::hash).collect())
        };
        Block {
            header: rpc_header(&read.header, read.hash, Some(read.size)),
            uncles: Vec::new(),
            transactions,
            withdrawals: Some(Vec::new().into()),
        }
    }

    pub(crate) fn block_by(&self, id: BlockId, full: bool) -> RpcResult<Option<Block>> {
        Ok(self.read_id(id)?.map(|read| self.rpc_block(&read, full)))
    }

    pub(crate) fn count_by(&self, id: BlockId) -> RpcResult<Option<U64>> {
        Ok(self.read_id(id)?.map(|read| U64::from(read.transactions.len())))
    }

    pub(crate) fn block_receipts(&self, id: BlockId) -> RpcResult<Option<Vec<TransactionReceipt>>> {
        let Some(read) = self.read_id(id)? else { return Ok(None) };
        let all = read.transactions.iter().zip(&read.receipts).enumerate();
        Ok(Some(all.map(|(index, (tx, receipt))| rpc_receipt(tx, receipt, read.place(index))).collect()))
    }

    pub(crate) fn tag(number: BlockNumberOrTag) -> BlockId {
        BlockId::Number(number)
    }
}
