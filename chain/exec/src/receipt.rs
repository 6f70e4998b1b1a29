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
    let decode = |bytes: &Bytes| ReceiptEnvelope::decode_2718(&mut bytes.as_ref()).map_err(|_| bad);
    let receipts: Vec<ReceiptEnvelope> = receipts.iter().map(decode).collect::<Result<_, _>>()?;
    if receipts.len() == transactions.len() { Ok(with_context(receipts, transactions, base_fee)) } else { Err(bad) }
}

/// Adds to each receipt what follows from its place in the block.
#[must_use]
pub fn with_context(
    receipts: Vec<ReceiptEnvelope>,
    transactions: &[SignedTransaction],
    base_fee: u64,
) -> Vec<BlockReceipt> {
    let (mut gas_before, mut first_log_index) = (0, 0);
    let place = |(receipt, transaction): (ReceiptEnvelope, &SignedTransaction)| {
        let envelope = transaction.envelope();
        let contract_address =
            (envelope.is_create() && receipt.is_success()).then(|| transaction.sender().create(envelope.nonce()));
        let cumulative = receipt.cumulative_gas_used();
        let placed = BlockReceipt {
            gas_used: cumulative.saturating_sub(std::mem::replace(&mut gas_before, cumulative)),
            effective_gas_price: transaction.effective_gas_price(base_fee),
            contract_address,
            first_log_index,
            receipt,
        };
        first_log_index += placed.receipt.logs().len() as u64;
        placed
    };
    receipts.into_iter().zip(transactions).map(place).collect()
}
