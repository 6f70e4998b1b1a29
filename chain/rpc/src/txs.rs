//! Transactions: sending, finding, receipts.

use std::sync::Arc;

use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::{Transaction, TransactionReceipt};

use crate::RpcContext;
use crate::convert::{rpc_receipt, rpc_transaction};
use crate::error::{RpcResult, SERVER, error, store_error};
use crate::recent::ReadBlock;

impl RpcContext {
    pub(crate) fn send_raw(&self, raw: &Bytes) -> RpcResult<B256> {
        self.pool.submit(raw).map_err(|why| error(SERVER, why))
    }

    /// Block and index of a transaction in the chain.
    pub(crate) fn find(&self, hash: &B256) -> RpcResult<Option<(Arc<ReadBlock>, usize)>> {
        let Some((height, index)) = self.store.transaction(hash).map_err(store_error)? else { return Ok(None) };
        let read = self.read(height)?;
        Ok(read.map(|read| (read, usize::try_from(index).unwrap_or(usize::MAX))))
    }

    pub(crate) fn transaction(&self, hash: &B256) -> RpcResult<Option<Transaction>> {
        if let Some((read, index)) = self.find(hash)? {
            return Ok(read.transactions.get(index).map(|tx| rpc_transaction(tx, Some(read.place(index)))));
        }
        Ok(self.pool.get(hash).map(|tx| rpc_transaction(&tx, None)))
    }

    pub(crate) fn transaction_at(&self, id: BlockId, index: usize) -> RpcResult<Option<Transaction>> {
        let Some(read) = self.read_id(id)? else { return Ok(None) };
        Ok(read.transactions.get(index).map(|tx| rpc_transaction(tx, Some(read.place(index)))))
    }

    pub(crate) fn raw_transaction(&self, hash: &B256) -> RpcResult<Option<Bytes>> {
        if let Some((read, index)) = self.find(hash)? {
            return Ok(read.transactions.get(index).map(|tx| tx.bytes().clone()));
        }
        Ok(self.pool.get(hash).map(|tx| tx.bytes().clone()))
    }

    pub(crate) fn receipt(&self, hash: &B256) -> RpcResult<Option<TransactionReceipt>> {
        let Some((read, index)) = self.find(hash)? else { return Ok(None) };
        let pair = read.transactions.get(index).zip(read.receipts.get(index));
        Ok(pair.map(|(tx, receipt)| rpc_receipt(tx, receipt, read.place(index))))
    }
}
