//! Transactions: sending, finding, receipts.

use alloy_consensus::Transaction as _;
use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::{Transaction, TransactionReceipt};
use serde_json::{Map, Value, json};

use crate::RpcContext;
use crate::convert::{rpc_receipt, rpc_transaction};
use crate::error::{RpcResult, SERVER, error, store_error};

impl RpcContext {
    pub(crate) fn send_raw(&self, raw: &Bytes) -> RpcResult<B256> {
        self.pool.submit(raw).map_err(|why| error(SERVER, why))
    }

    /// Block and index of a transaction in the chain.
    pub(crate) fn find(&self, hash: &B256) -> RpcResult<Option<(crate::blocks::Read, usize)>> {
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
        let receipts = self.receipts(&read)?;
        let pair = read.transactions.get(index).zip(receipts.get(index));
        Ok(pair.map(|(tx, receipt)| rpc_receipt(tx, receipt, read.place(index))))
    }

    /// `txpool_content`: waiting transactions by kind, sender and nonce.
    pub(crate) fn pool_content(&self) -> RpcResult<Value> {
        let mut kinds = [Map::new(), Map::new()];
        for (ready, tx) in self.pool.content() {
            let [pending, queued] = &mut kinds;
            let kind = if ready { pending } else { queued };
            let sender = kind.entry(tx.sender().to_string()).or_insert_with(|| Value::Object(Map::new()));
            let view = serde_json::to_value(rpc_transaction(&tx, None));
            if let (Some(nonces), Ok(view)) = (sender.as_object_mut(), view) {
                nonces.insert(tx.envelope().nonce().to_string(), view);
            }
        }
        let [pending, queued] = kinds;
        Ok(json!({ "pending": pending, "queued": queued }))
    }
}
