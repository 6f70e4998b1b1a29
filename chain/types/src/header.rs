//! The block header: Ethereum's shape of the OSAKA fork, without blobs.

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256, b256, keccak256};
use alloy_rlp::{BufMut, Decodable, Encodable, RlpDecodable, RlpEncodable};

use crate::extra::{ConsensusExtra, MAX_EXTRA_BYTES, REVEAL_BYTES};

/// `keccak256(rlp([]))`: there are no ommers.
pub const EMPTY_OMMERS: B256 = b256!("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");
/// Root of the empty trie: there are no withdrawals.
pub const EMPTY_ROOT: B256 = b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
/// `sha256("")`: no execution-layer requests (EIP-7685).
pub const EMPTY_REQUESTS: B256 = b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
/// Longest encoded header: 21 fields with a 256-byte bloom and at most 256 bytes of extra data.
pub const MAX_HEADER_BYTES: usize = 1_024;

/// A block header. Field order and encoding are Ethereum's, so `hash` is what every Ethereum tool computes.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Header {
    /// Hash of the parent header.
    pub parent_hash: B256,
    /// Always [`EMPTY_OMMERS`].
    pub ommers_hash: B256,
    /// Account of the block's creator.
    pub beneficiary: Address,
    /// Root of the state trie after this block.
    pub state_root: B256,
    /// Root of the trie of transactions.
    pub transactions_root: B256,
    /// Root of the trie of receipts.
    pub receipts_root: B256,
    /// Bloom filter over the logs.
    pub logs_bloom: Bloom,
    /// Always 0.
    pub difficulty: U256,
    /// Height, genesis is 0.
    pub number: u64,
    /// Most gas of the block.
    pub gas_limit: u64,
    /// Gas used by the block.
    pub gas_used: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// RLP of [`ConsensusExtra`].
    pub extra_data: Bytes,
    /// Randomness after this block (`PREVRANDAO` of its transactions).
    pub mix_hash: B256,
    /// Always 0.
    pub nonce: B64,
    /// EIP-1559 base fee in base units per gas.
    pub base_fee_per_gas: u64,
    /// Always [`EMPTY_ROOT`].
    pub withdrawals_root: B256,
    /// Always 0.
    pub blob_gas_used: u64,
    /// Always 0.
    pub excess_blob_gas: u64,
    /// Always zero: there is no beacon chain.
    pub parent_beacon_block_root: B256,
    /// Always [`EMPTY_REQUESTS`].
    pub requests_hash: B256,
}

/// Why bytes are no header of this chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Longer than [`MAX_HEADER_BYTES`].
    #[error("the header is longer than {MAX_HEADER_BYTES} bytes")]
    TooLong,
    /// Not RLP of a header.
    #[error("not an encoded header")]
    Encoding,
    /// A field that this chain fixes has another value.
    #[error("header field {0} has a value this chain does not use")]
    Fixed(&'static str),
    /// `extraData` is not a [`ConsensusExtra`].
    #[error("extraData is not the consensus list")]
    Extra,
}

impl Header {
    /// A header with every fixed field set and the rest zero.
    #[must_use]
    pub fn blank() -> Self {
        Self {
            parent_hash: B256::ZERO,
            ommers_hash: EMPTY_OMMERS,
            beneficiary: Address::ZERO,
            state_root: EMPTY_ROOT,
            transactions_root: EMPTY_ROOT,
            receipts_root: EMPTY_ROOT,
            logs_bloom: Bloom::ZERO,
            difficulty: U256::ZERO,
            number: 0,
            gas_limit: 0,
            gas_used: 0,
            timestamp: 0,
            extra_data: Bytes::new(),
            mix_hash: B256::ZERO,
            nonce: B64::ZERO,
            base_fee_per_gas: 0,
            withdrawals_root: EMPTY_ROOT,
            blob_gas_used: 0,
            excess_blob_gas: 0,
            parent_beacon_block_root: B256::ZERO,
            requests_hash: EMPTY_REQUESTS,
        }
    }

    /// `keccak256(rlp(header))`: the block hash, and the value witnesses vote on.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(alloy_rlp::encode(self))
    }

    /// Reads an encoded header of this chain: exact, canonical, fixed fields as they must be, and its extra data.
    ///
    /// # Errors
    /// See [`HeaderError`]. Safe on any input.
    pub fn decode_checked(bytes: &[u8]) -> Result<(Self, ConsensusExtra), HeaderError> {
        if bytes.len() > MAX_HEADER_BYTES {
            return Err(HeaderError::TooLong);
        }
        let header: Self = alloy_rlp::decode_exact(bytes).map_err(|_| HeaderError::Encoding)?;
        // A second encoding of one header would be a second hash for it.
        if alloy_rlp::encode(&header) != bytes {
            return Err(HeaderError::Encoding);
        }
        let extra = header.check()?;
        Ok((header, extra))
    }

    /// Checks the fields this chain fixes and reads `extraData`.
    ///
    /// # Errors
    /// [`HeaderError::Fixed`] or [`HeaderError::Extra`].
    pub fn check(&self) -> Result<ConsensusExtra, HeaderError> {
        let fixed = [
            ("sha3Uncles", self.ommers_hash == EMPTY_OMMERS),
            ("difficulty", self.difficulty.is_zero()),
            ("nonce", self.nonce == B64::ZERO),
            ("withdrawalsRoot", self.withdrawals_root == EMPTY_ROOT),
            ("blobGasUsed", self.blob_gas_used == 0),
            ("excessBlobGas", self.excess_blob_gas == 0),
            ("parentBeaconBlockRoot", self.parent_beacon_block_root == B256::ZERO),
            ("requestsHash", self.requests_hash == EMPTY_REQUESTS),
            ("gasUsed", self.gas_used <= self.gas_limit),
        ];
        if let Some((name, _)) = fixed.iter().find(|(_, holds)| !holds) {
            return Err(HeaderError::Fixed(name));
        }
        if self.extra_data.len() > MAX_EXTRA_BYTES {
            return Err(HeaderError::Extra);
        }
        let extra: ConsensusExtra = alloy_rlp::decode_exact(&self.extra_data).map_err(|_| HeaderError::Extra)?;
        let reveal = if self.number == 0 { 0 } else { REVEAL_BYTES };
        if extra.reveal.len() != reveal || alloy_rlp::encode(&extra) != self.extra_data {
            return Err(HeaderError::Extra);
        }
        Ok(extra)
    }
}

/// Writes a header with its consensus list.
#[must_use]
pub fn with_extra(mut header: Header, extra: &ConsensusExtra) -> Header {
    let mut bytes = Vec::with_capacity(extra.length());
    extra.encode(&mut bytes as &mut dyn BufMut);
    header.extra_data = bytes.into();
    header
}

/// Reads one header from the front of `bytes` and moves past it; for lists of headers. Not checked: see [`Header::check`].
///
/// # Errors
/// Not RLP of a header.
pub fn decode_front(bytes: &mut &[u8]) -> Result<Header, HeaderError> {
    Header::decode(bytes).map_err(|_| HeaderError::Encoding)
}
