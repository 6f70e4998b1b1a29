//! Blocks: `eth_getBlockBy*`, counts, receipts of a block, and the one place where stored blocks are read.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Bytes, U64};
use alloy_rpc_types_eth::{Block, BlockTransactions, TransactionReceipt};
use netchain_exec::{BlockContext, SignedTransaction, TransactionError, decode_stored_all, receipts_with_context};
use netchain_store::BlockBytes;
use netchain_types::{Certificate, ConsensusExtra};

use crate::RpcContext;
use crate::convert::{consensus_header, rpc_header, rpc_receipt, rpc_transaction};
use crate::error::{INTERNAL, RpcResult, SERVER, error, store_error};
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
        if let Some(chain) = &self.foreign {
            return Ok(chain.block(height).map(|block| Arc::clone(&block.read)));
        }
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
            BlockId::Hash(hash) => self.height_of_hash(&hash.block_hash)?,
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
        let mut header = rpc_header(&read.header, read.hash, Some(read.size));
        let mut withdrawals = Some(Vec::new());
        if let Some(block) = self.foreign.as_ref().and_then(|chain| chain.block(read.header.number)) {
            header.inner = block.header.clone();
            withdrawals.clone_from(&block.withdrawals);
        }
        Block { header, uncles: Vec::new(), transactions, withdrawals: withdrawals.map(Into::into) }
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

    /// The block in Ethereum's encoding: `[header, transactions, ommers, withdrawals]`.
    pub(crate) fn raw_block(&self, id: BlockId) -> RpcResult<Bytes> {
        let read = self.read_id(id)?.ok_or_else(|| error(SERVER, "block not found"))?;
        if let Some(block) = self.foreign.as_ref().and_then(|chain| chain.block(read.header.number)) {
            return Ok(block.bytes.clone());
        }
        let body = alloy_consensus::BlockBody {
            transactions: read.transactions.iter().map(|tx| tx.envelope().clone()).collect(),
            ommers: Vec::<alloy_consensus::Header>::new(),
            withdrawals: Some(Vec::new().into()),
        };
        Ok(alloy_rlp::encode(alloy_consensus::Block { header: consensus_header(&read.header), body }).into())
    }

    /// The header in RLP: what the hash is of.
    pub(crate) fn raw_header(&self, id: BlockId) -> RpcResult<Bytes> {
        let height = self.height(Some(id))?;
        if let Some(block) = self.foreign.as_ref().and_then(|chain| chain.block(height)) {
            return Ok(alloy_rlp::encode(&block.header).into());
        }
        Ok(alloy_rlp::encode(self.header(height)?).into())
    }

    /// The receipts of a block, each in EIP-2718 form.
    pub(crate) fn raw_receipts(&self, id: BlockId) -> RpcResult<Vec<Bytes>> {
        Ok(self.store.receipts(self.height(Some(id))?).map_err(store_error)?.unwrap_or_default())
    }

    pub(crate) fn tag(number: BlockNumberOrTag) -> BlockId {
        BlockId::Number(number)
    }
}
