//! Receipts with what the chain derives: what `eth_getTransactionReceipt` adds to the stored ones.

use alloy_consensus::{ReceiptEnvelope, Transaction as _};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, Bytes};

use crate::transaction::SignedTransaction;

/// A receipt and what follows from its place in the block.
#[derive(Clone, Debug)]
pub struct BlockReceipt {
    /// As stored.
    pub receipt: ReceiptEnvelope,
    /// Gas this transaction used.
    pub gas_used: u64,
    /// Price it paid per gas.
    pub effective_gas_price: u128,
    /// Contract it created.
    pub contract_address: Option<Address>,
    /// Number of the block's logs before its first one.
    pub first_log_index: u64,
}

/// Reads the receipts of a block. `receipts` and `transactions` are in block order and equally long.
///
/// # Errors
/// A receipt is not readable, or there is not one a transaction.
pub fn receipts_with_context(
    receipts: &[Bytes],
    transactions: &[SignedTransaction],
    base_fee: u64,
) -> Result<Vec<BlockReceipt>, crate::TransactionError> {
    let bad = crate::TransactionError::Encoding;
    if receipts.len() != transactions.len() {
        return Err(bad);
    }
    let (mut gas_before, mut first_log_index) = (0, 0);
    let mut out = Vec::with_capacity(receipts.len());
    for (bytes, transaction) in receipts.iter().zip(transactions) {
        let receipt = ReceiptEnvelope::decode_2718(&mut bytes.as_ref()).map_err(|_| bad)?;
        let cumulative = receipt.cumulative_gas_used();
        let logs = receipt.logs().len() as u64;
        let envelope = transaction.envelope();
        let contract_address =
            (envelope.is_create() && receipt.is_success()).then(|| transaction.sender().create(envelope.nonce()));
        out.push(BlockReceipt {
            receipt,
            gas_used: cumulative - gas_before,
            effective_gas_price: transaction.effective_gas_price(base_fee),
            contract_address,
            first_log_index,
        });
        gas_before = cumulative;
        first_log_index += logs;
    }
    Ok(out)
}
