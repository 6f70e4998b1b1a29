//! Signed transactions: reading, who signed, and the form revm wants.

use std::sync::Arc;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction as _, TxEnvelope, TxType};
use alloy_eips::Typed2718;
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use revm::context::TxEnv;
use revm::context_interface::cfg::gas::calculate_initial_tx_gas_for_tx;
use revm::context_interface::either::Either;
use revm::primitives::eip3860::MAX_INITCODE_SIZE;

use crate::env::SPEC;
use crate::system::system_address;

/// Longest transaction: the limit every Ethereum pool has; init code is at most 48 KiB.
pub const MAX_TRANSACTION_BYTES: usize = 128 << 10;

/// Why bytes are no transaction of this chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// Longer than [`MAX_TRANSACTION_BYTES`].
    #[error("the transaction is longer than {MAX_TRANSACTION_BYTES} bytes")]
    TooLong,
    /// Not the canonical encoding of a transaction.
    #[error("not an encoded transaction")]
    Encoding,
    /// A type this chain does not have: blobs.
    #[error("blob transactions are not supported on this chain")]
    Blob,
    /// Signed for another chain.
    #[error("the transaction is signed for chain {0}")]
    Chain(u64),
    /// The signature is not valid or not canonical (EIP-2).
    #[error("the signature is not valid")]
    Signature,
    /// The gas limit is below what the transaction costs before it does anything.
    #[error("intrinsic gas too low: gas {has}, minimum needed {needs}")]
    Gas {
        /// Its limit.
        has: u64,
        /// What it costs.
        needs: u64,
    },
    /// Longer init code than EIP-3860 allows.
    #[error("max initcode size exceeded: the limit is {MAX_INITCODE_SIZE} bytes")]
    InitCode,
    /// The key of the system transaction is public; what it signs counts at the end of a block only.
    #[error("nobody may send as the system account")]
    System,
}

/// A transaction with the account that signed it. Cloning shares it.
#[derive(Clone, Debug)]
pub struct SignedTransaction(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    envelope: TxEnvelope,
    sender: Address,
    hash: B256,
    bytes: Bytes,
}

impl PartialEq for SignedTransaction {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}

impl Eq for SignedTransaction {}

impl SignedTransaction {
    /// Reads a transaction (EIP-2718 bytes) and recovers its sender: what everything that comes from outside passes.
    ///
    /// # Errors
    /// See [`TransactionError`]. Safe on any input.
    pub fn decode(bytes: &[u8], chain_id: u64) -> Result<Self, TransactionError> {
        let transaction = Self::decode_any(bytes, chain_id)?;
        // An authorization (EIP-7702) by the system account cannot be applied: that account has code.
        if transaction.sender() == system_address() { Err(TransactionError::System) } else { Ok(transaction) }
    }

    /// As [`decode`](Self::decode), the system transaction included: for blocks.
    ///
    /// # Errors
    /// See [`TransactionError`]. Safe on any input.
    pub fn decode_any(bytes: &[u8], chain_id: u64) -> Result<Self, TransactionError> {
        Self::recover(parse(bytes, chain_id)?, bytes)
    }

    /// As [`decode_any`](Self::decode_any), blob transactions included: for blocks of Ethereum in conformance suites.
    ///
    /// # Errors
    /// See [`TransactionError`]. Safe on any input.
    pub fn decode_foreign(bytes: &[u8], chain_id: u64) -> Result<Self, TransactionError> {
        Self::recover(parse_foreign(bytes, chain_id)?, bytes)
    }

    fn recover(envelope: TxEnvelope, bytes: &[u8]) -> Result<Self, TransactionError> {
        let sender = envelope.recover_signer().map_err(|_| TransactionError::Signature)?;
        let bytes = Bytes::copy_from_slice(bytes);
        Ok(Self(Arc::new(Inner { hash: keccak256(&bytes), envelope, sender, bytes })))
    }

    /// As [`decode_any`](Self::decode_any) for a transaction whose sender this node recovered before and wrote down: reading a
    /// stored block costs no signatures. Never for bytes from outside.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub fn decode_stored(bytes: &Bytes, chain_id: u64, sender: Address) -> Result<Self, TransactionError> {
        let envelope = parse(bytes, chain_id)?;
        Ok(Self(Arc::new(Inner { hash: keccak256(bytes), envelope, sender, bytes: bytes.clone() })))
    }

    /// The transaction with its signature.
    #[must_use]
    pub fn envelope(&self) -> &TxEnvelope {
        &self.0.envelope
    }

    /// Who signed it.
    #[must_use]
    pub fn sender(&self) -> Address {
        self.0.sender
    }

    /// Transaction hash.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.0.hash
    }

    /// EIP-2718 bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Price per gas it pays at a base fee.
    #[must_use]
    pub fn effective_gas_price(&self, base_fee: u64) -> u128 {
        self.0.envelope.effective_gas_price(Some(base_fee))
    }

    /// Whether its gas limit covers what it costs before it does anything (EIP-7623 included), and its init code may be that
    /// long: no block can take it otherwise, whatever the state.
    ///
    /// # Errors
    /// [`TransactionError::Gas`], [`TransactionError::InitCode`].
    pub fn check_gas(&self) -> Result<(), TransactionError> {
        let tx = &self.0.envelope;
        if tx.is_create() && tx.input().len() > MAX_INITCODE_SIZE {
            return Err(TransactionError::InitCode);
        }
        let gas = calculate_initial_tx_gas_for_tx(self.env(), SPEC, None);
        let needs = gas.initial_total_gas().max(gas.floor_gas);
        if tx.gas_limit() < needs { Err(TransactionError::Gas { has: tx.gas_limit(), needs }) } else { Ok(()) }
    }

    pub(crate) fn env(&self) -> TxEnv {
        let tx = &self.0.envelope;
        let authorizations = tx.authorization_list().unwrap_or_default();
        TxEnv {
            tx_type: tx.ty(),
            caller: self.0.sender,
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: tx.max_priority_fee_per_gas(),
            blob_hashes: tx.blob_versioned_hashes().unwrap_or_default().to_vec(),
            max_fee_per_blob_gas: tx.max_fee_per_blob_gas().unwrap_or_default(),
            authorization_list: authorizations.iter().cloned().map(Either::Left).collect(),
        }
    }
}

/// All checks but the signature's.
fn parse(bytes: &[u8], chain_id: u64) -> Result<TxEnvelope, TransactionError> {
    let envelope = parse_foreign(bytes, chain_id)?;
    if envelope.tx_type() == TxType::Eip4844 { Err(TransactionError::Blob) } else { Ok(envelope) }
}

/// The same of a chain that has blobs.
fn parse_foreign(bytes: &[u8], chain_id: u64) -> Result<TxEnvelope, TransactionError> {
    if bytes.len() > MAX_TRANSACTION_BYTES {
        return Err(TransactionError::TooLong);
    }
    let mut rest = bytes;
    let envelope = TxEnvelope::decode_2718(&mut rest).map_err(|_| TransactionError::Encoding)?;
    // A second encoding would be a second hash for one transaction.
    if !rest.is_empty() || envelope.encoded_2718() != bytes {
        return Err(TransactionError::Encoding);
    }
    // Without chain id: signed for every chain (before EIP-155), as deployers with known keys do.
    match envelope.chain_id().filter(|id| *id != chain_id) {
        Some(other) => Err(TransactionError::Chain(other)),
        None => Ok(envelope),
    }
}

/// Senders of a block's transactions as a node notes them beside the block: 20 bytes each, in block order.
#[must_use]
pub fn encode_senders<'a>(transactions: impl IntoIterator<Item = &'a SignedTransaction>) -> Bytes {
    transactions.into_iter().flat_map(|transaction| transaction.sender().0.0).collect::<Vec<u8>>().into()
}

/// Reads a stored block's transactions with the senders noted beside it. Notes that do not fit (a node of another version
/// wrote them, or none) cost the signatures once more.
///
/// # Errors
/// One of them is no transaction.
pub fn decode_stored_all(
    raws: &[Bytes],
    senders: &[u8],
    chain_id: u64,
) -> Result<Vec<SignedTransaction>, TransactionError> {
    if raws.is_empty() || senders.len() != raws.len() * Address::len_bytes() {
        return raws.iter().map(|raw| SignedTransaction::decode_any(raw, chain_id)).collect();
    }
    let senders = senders.chunks_exact(Address::len_bytes()).map(Address::from_slice);
    raws.iter().zip(senders).map(|(raw, sender)| SignedTransaction::decode_stored(raw, chain_id, sender)).collect()
}

/// A block's body: RLP list of transactions as byte strings.
#[must_use]
pub fn encode_body<'a>(transactions: impl IntoIterator<Item = &'a SignedTransaction>) -> Bytes {
    let bytes: Vec<&Bytes> = transactions.into_iter().map(SignedTransaction::bytes).collect();
    let mut out = Vec::new();
    alloy_rlp::encode_list::<&Bytes, Bytes>(&bytes, &mut out);
    out.into()
}

/// Reads a body. The last transaction may be the system's.
///
/// # Errors
/// Not that encoding, or one of them is no transaction. Safe on any input.
pub fn decode_body(body: &[u8], chain_id: u64) -> Result<Vec<SignedTransaction>, TransactionError> {
    let list: Vec<Bytes> = alloy_rlp::decode_exact(body).map_err(|_| TransactionError::Encoding)?;
    let last = list.len().saturating_sub(1);
    let read = |(index, bytes): (usize, &Bytes)| {
        if index == last {
            SignedTransaction::decode_any(bytes, chain_id)
        } else {
            SignedTransaction::decode(bytes, chain_id)
        }
    };
    list.iter().enumerate().map(read).collect()
}
