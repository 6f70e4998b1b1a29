//! Blocks: `eth_getBlockBy*`, counts, receipts of a block, and the one place where stored blocks are read.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::{Block, BlockTransactions, TransactionReceipt};
use netchain_exec::{BlockContext, BlockReceipt, SignedTransaction, receipts_with_context};
use netchain_types::{Certificate, ConsensusExtra, Header};

use crate::RpcContext;
use crate::convert::{Place, rpc_header, rpc_receipt, rpc_transaction};
use crate::error::{INTERNAL, RpcResult, error, store_error};

/// A stored block, read.
pub(crate) struct Read {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    pub(crate) size: usize,
    pub(crate) transactions: Vec<SignedTransaction>,
}

impl Read {
    pub(crate) fn place(&self, index: usize) -> Place {
        Place {
            block_hash: self.hash,
            height: self.header.number,
            index: index as u64,
            timestamp: self.header.timestamp,
            base_fee: self.header.base_fee_per_gas,
        }
    }
}

impl RpcContext {
    /// The block of a height; none above the tip and before what this store holds.
    pub(crate) fn read(&self, height: u64) -> RpcResult<Option<Read>> {
        let Some(block) = self.store.block(height).map_err(store_error)? else { return Ok(None) };
        let raws = block.transactions().map_err(store_error)?;
        let decode = |raw| SignedTransaction::decode_any(raw, self.chain_id());
        let transactions: Result<Vec<_>, _> = raws.iter().map(|raw| decode(raw)).collect();
        let transactions = transactions.map_err(|failed| error(INTERNAL, failed.to_string()))?;
        Ok(Some(Read { header: block.header, hash: block.hash, size: block.bytes.len(), transactions }))
    }

    pub(crate) fn read_id(&self, id: BlockId) -> RpcResult<Option<Read>> {
        let height = match id {
            BlockId::Number(tag) => Some(self.height_of_tag(tag)?),
            BlockId::Hash(hash) => self.store.height_of(&hash.block_hash).map_err(store_error)?,
        };
        height.map_or(Ok(None), |height| self.read(height))
    }

    pub(crate) fn receipts(&self, read: &Read) -> RpcResult<Vec<BlockReceipt>> {
        let bytes = self.store.receipts(read.header.number).map_err(store_error)?.unwrap_or_default();
        receipts_with_context(&bytes, &read.transactions, read.header.base_fee_per_gas)
            .map_err(|failed| error(INTERNAL, failed.to_string()))
    }

    /// What the block's transactions saw of it.
    pub(crate) fn context(&self, height: u64) -> RpcResult<BlockContext> {
        let header = self.header(height)?;
        let bad = |_| error(INTERNAL, "a stored block is not readable");
        let extra: ConsensusExtra = header.check().map_err(bad)?;
        let mut context = BlockContext::of(&header, &extra, 0, alloy_primitives::Bytes::new());
        let Some(block) = self.store.block(height).map_err(store_error)? else { return Ok(context) };
        if height > 0 {
            let block = netchain_consensus::Block::decode(&block.bytes)
                .map_err(|_| error(INTERNAL, "a stored block is not readable"))?;
            context.last_commit_bitmap = block.last_commit().map_or(0, Certificate::bitmap);
            let mut evidence = Vec::new();
            alloy_rlp::encode_list(block.evidence(), &mut evidence);
            context.evidence = evidence.into();
        }
        Ok(context)
    }

    pub(crate) fn rpc_block(&self, read: &Read, full: bool) -> Block {
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
        let receipts = self.receipts(&read)?;
        let all = read.transactions.iter().zip(&receipts).enumerate();
        Ok(Some(all.map(|(index, (tx, receipt))| rpc_receipt(tx, receipt, read.place(index))).collect()))
    }

    pub(crate) fn tag(number: BlockNumberOrTag) -> BlockId {
        BlockId::Number(number)
    }
}
