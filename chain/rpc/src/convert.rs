//! From our structures to the JSON of Ethereum tools.

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{ReceiptEnvelope, TxEnvelope};
use alloy_primitives::{B256, U256};
use alloy_rpc_types_eth::{Log, Transaction, TransactionReceipt};
use netchain_exec::{BlockReceipt, SignedTransaction};
use netchain_types::Header;

/// The header as Ethereum's, field by field the same.
pub(crate) fn consensus_header(header: &Header) -> alloy_consensus::Header {
    alloy_consensus::Header {
        parent_hash: header.parent_hash,
        ommers_hash: header.ommers_hash,
        beneficiary: header.beneficiary,
        state_root: header.state_root,
        transactions_root: header.transactions_root,
        receipts_root: header.receipts_root,
        logs_bloom: header.logs_bloom,
        difficulty: header.difficulty,
        number: header.number,
        gas_limit: header.gas_limit,
        gas_used: header.gas_used,
        timestamp: header.timestamp,
        extra_data: header.extra_data.clone(),
        mix_hash: header.mix_hash,
        nonce: header.nonce,
        base_fee_per_gas: Some(header.base_fee_per_gas),
        withdrawals_root: Some(header.withdrawals_root),
        blob_gas_used: Some(header.blob_gas_used),
        excess_blob_gas: Some(header.excess_blob_gas),
        parent_beacon_block_root: Some(header.parent_beacon_block_root),
        requests_hash: Some(header.requests_hash),
        ..alloy_consensus::Header::default()
    }
}

/// The header as RPC shows it.
pub(crate) fn rpc_header(header: &Header, hash: B256, size: Option<usize>) -> alloy_rpc_types_eth::Header {
    alloy_rpc_types_eth::Header {
        hash,
        inner: consensus_header(header),
        // As geth since 2024: it says nothing after proof of work.
        total_difficulty: None,
        size: size.map(U256::from),
    }
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) block_hash: B256,
    pub(crate) height: u64,
    pub(crate) index: u64,
    pub(crate) timestamp: u64,
    pub(crate) base_fee: u64,
}

/// A transaction as RPC shows it; waiting ones have no place.
pub(crate) fn rpc_transaction(tx: &SignedTransaction, place: Option<Place>) -> Transaction {
    let inner: Recovered<TxEnvelope> = Recovered::new_unchecked(tx.envelope().clone(), tx.sender());
    Transaction {
        inner,
        block_hash: place.map(|place| place.block_hash),
        block_number: place.map(|place| place.height),
        transaction_index: place.map(|place| place.index),
        effective_gas_price: place.map(|place| tx.effective_gas_price(place.base_fee)),
        block_timestamp: place.map(|place| place.timestamp),
    }
}

/// The logs of a receipt with their places.
pub(crate) fn rpc_logs(receipt: &BlockReceipt, hash: B256, place: Place) -> Vec<Log> {
    let logs = receipt.receipt.logs().iter().zip(receipt.first_log_index..);
    let log = |(log, index): (&alloy_primitives::Log, u64)| Log {
        inner: log.clone(),
        block_hash: Some(place.block_hash),
        block_number: Some(place.height),
        block_timestamp: Some(place.timestamp),
        transaction_hash: Some(hash),
        transaction_index: Some(place.index),
        log_index: Some(index),
        removed: false,
    };
    logs.map(log).collect()
}

/// A receipt as RPC shows it.
pub(crate) fn rpc_receipt(tx: &SignedTransaction, receipt: &BlockReceipt, place: Place) -> TransactionReceipt {
    use alloy_consensus::Transaction as _;
    let logs = rpc_logs(receipt, tx.hash(), place);
    let kind = receipt.receipt.tx_type();
    let inner = alloy_consensus::Receipt {
        status: alloy_consensus::Eip658Value::Eip658(receipt.receipt.is_success()),
        cumulative_gas_used: receipt.receipt.cumulative_gas_used(),
        logs,
    };
    let with_bloom = alloy_consensus::ReceiptWithBloom { logs_bloom: *receipt.receipt.logs_bloom(), receipt: inner };
    TransactionReceipt {
        inner: envelope(kind, with_bloom),
        transaction_hash: tx.hash(),
        transaction_index: Some(place.index),
        block_hash: Some(place.block_hash),
        block_number: Some(place.height),
        gas_used: receipt.gas_used,
        effective_gas_price: receipt.effective_gas_price,
        blob_gas_used: None,
        blob_gas_price: None,
        from: tx.sender(),
        to: tx.envelope().to(),
        contract_address: receipt.contract_address,
    }
}

fn envelope(
    kind: alloy_consensus::TxType,
    receipt: alloy_consensus::ReceiptWithBloom<alloy_consensus::Receipt<Log>>,
) -> ReceiptEnvelope<Log> {
    use alloy_consensus::TxType as T;
    match kind {
        T::Legacy => ReceiptEnvelope::Legacy(receipt),
        T::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
        T::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
        T::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
        T::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
    }
}
