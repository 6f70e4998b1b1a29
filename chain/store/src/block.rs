//! Blocks as bytes: RLP `[header, [certificate of the parent]?, [evidence...], body]` (docs/spec/chain.md), body = RLP list of
//! transactions as byte strings (EIP-2718).

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{Decodable, Encodable, Header as Rlp};
use netchain_types::Header;

use crate::StoreError;

/// An encoded block with the header read out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockBytes {
    /// The header.
    pub header: Header,
    /// Its hash.
    pub hash: B256,
    /// All of the block, as consensus encodes it.
    pub bytes: Bytes,
}

impl BlockBytes {
    /// Reads the header of an encoded block. The rest is not judged here.
    ///
    /// # Errors
    /// Not the RLP of a list that begins with a header.
    pub fn new(bytes: Bytes) -> Result<Self, StoreError> {
        let bad = StoreError::Block("it is not an encoded block");
        let mut items = list(&bytes).ok_or(bad.clone())?;
        let header = Header::decode(&mut items).map_err(|_| bad)?;
        let hash = header.hash();
        Ok(Self { header, hash, bytes })
    }

    /// A block without certificate and evidence: the genesis.
    #[must_use]
    pub fn bare(header: &Header) -> Self {
        let mut payload = Vec::new();
        header.encode(&mut payload);
        payload.extend_from_slice(&[0xc0, 0xc0, 0x80]);
        let mut bytes = Vec::with_capacity(payload.len() + 4);
        Rlp { list: true, payload_length: payload.len() }.encode(&mut bytes);
        bytes.extend_from_slice(&payload);
        Self { header: header.clone(), hash: header.hash(), bytes: bytes.into() }
    }

    /// The body: RLP list of transactions, empty for the genesis.
    ///
    /// # Errors
    /// The bytes are no block.
    pub fn body(&self) -> Result<Bytes, StoreError> {
        let bad = || StoreError::Corrupt("a stored block is not readable");
        let mut items = list(&self.bytes).ok_or_else(bad)?;
        for _ in 0..3 {
            let item = Rlp::decode(&mut items).map_err(|_| bad())?;
            items = items.get(item.payload_length..).ok_or_else(bad)?;
        }
        Bytes::decode(&mut items).map_err(|_| bad())
    }

    /// The transactions, each as EIP-2718 bytes.
    ///
    /// # Errors
    /// The bytes are no block.
    pub fn transactions(&self) -> Result<Vec<Bytes>, StoreError> {
        transactions_of(&self.body()?)
    }
}

/// Transactions of a body, each as EIP-2718 bytes.
///
/// # Errors
/// Not an RLP list of strings. Safe on any input.
pub fn transactions_of(body: &[u8]) -> Result<Vec<Bytes>, StoreError> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    alloy_rlp::decode_exact(body).map_err(|_| StoreError::Block("the body is no list of transactions"))
}

fn list(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    let payload = Rlp::decode_bytes(&mut rest, true).ok()?;
    rest.is_empty().then_some(payload)
}

/// A block to commit, with what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBlock {
    /// The block.
    pub block: BlockBytes,
    /// One receipt a transaction, EIP-2718 bytes.
    pub receipts: Vec<Bytes>,
    /// Certificate of this block as this node knows it; empty for the genesis.
    pub certificate: Bytes,
    /// What the node keeps beside the state; opaque.
    pub notes: Bytes,
}

impl NewBlock {
    /// Hashes of the transactions.
    pub(crate) fn transaction_hashes(&self) -> Result<Vec<B256>, StoreError> {
        Ok(self.block.transactions()?.iter().map(keccak256).collect())
    }
}
