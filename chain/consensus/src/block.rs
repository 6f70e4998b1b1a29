//! A block as consensus carries it: the header, the certificate of its parent, evidence, and a body it does not look into.

use std::cmp::Ordering;
use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use netchain_types::{Certificate, ConsensusExtra, Header};

use crate::evidence::Evidence;

/// Longest encoded block: 2,000 plain transfers a second for 3 s are 660 KB, three times that leaves room for contracts.
pub const MAX_BLOCK_BYTES: usize = 2 << 20;
/// Most pieces of evidence in one block: one more than the liars a set of 21 tolerates.
pub const MAX_BLOCK_EVIDENCE: usize = 7;

/// RLP `[header, [last_commit]?, [evidence, ...], body]`.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct BlockParts {
    /// The header; its hash is what is voted on.
    pub header: Header,
    /// The certificate of the parent: none in block 1, else exactly one.
    pub last_commit: Vec<Certificate>,
    /// Equivocations to be punished by this block.
    pub evidence: Vec<Evidence>,
    /// Transactions, as the executor encodes them. The header's roots commit to them.
    pub body: Bytes,
}

/// Why parts are no block, whatever the state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Not RLP of a block, another encoding of one, or too long.
    #[error("not an encoded block")]
    Encoding,
    /// The header breaks a fixed rule.
    #[error(transparent)]
    Header(#[from] netchain_types::HeaderError),
    /// The carried certificate is not the one the header names.
    #[error("the header names another certificate of its parent")]
    LastCommit,
    /// More than [`MAX_BLOCK_EVIDENCE`].
    #[error("more evidence than a block may carry")]
    Evidence,
}

#[derive(Debug)]
struct Inner {
    hash: B256,
    extra: ConsensusExtra,
    parts: BlockParts,
}

/// A well-formed block. Cloning shares it. Equal when the hashes are: the header commits to all of it.
#[derive(Clone, Debug)]
pub struct Block(Arc<Inner>);

impl Block {
    /// Checks what can be checked without any state.
    ///
    /// # Errors
    /// See [`BlockError`].
    pub fn new(parts: BlockParts) -> Result<Self, BlockError> {
        let extra = parts.header.check()?;
        let named = parts.last_commit.first().map_or(B256::ZERO, Certificate::hash);
        if parts.last_commit.len() > 1 || named != extra.last_commit_hash {
            return Err(BlockError::LastCommit);
        }
        if parts.evidence.len() > MAX_BLOCK_EVIDENCE {
            return Err(BlockError::Evidence);
        }
        Ok(Self(Arc::new(Inner { hash: parts.header.hash(), extra, parts })))
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing else.
    ///
    /// # Errors
    /// See [`BlockError`]. Safe on any input.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return Err(BlockError::Encoding);
        }
        let parts: BlockParts = alloy_rlp::decode_exact(bytes).map_err(|_| BlockError::Encoding)?;
        if alloy_rlp::encode(&parts) != bytes {
            return Err(BlockError::Encoding);
        }
        Self::new(parts)
    }

    /// RLP of the parts.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(&self.0.parts)
    }

    /// Block hash: the value voted on.
    #[must_use]
    pub fn hash(&self) -> B256 {
        self.0.hash
    }

    /// Height.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.0.parts.header.number
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.0.parts.header
    }

    /// The consensus list of the header.
    #[must_use]
    pub fn extra(&self) -> &ConsensusExtra {
        &self.0.extra
    }

    /// The certificate of the parent, none in block 1.
    #[must_use]
    pub fn last_commit(&self) -> Option<&Certificate> {
        self.0.parts.last_commit.first()
    }

    /// Evidence carried.
    #[must_use]
    pub fn evidence(&self) -> &[Evidence] {
        &self.0.parts.evidence
    }

    /// The executor's part.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.0.parts.body
    }

    /// All of it.
    #[must_use]
    pub fn parts(&self) -> &BlockParts {
        &self.0.parts
    }
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}

impl Eq for Block {}

impl PartialOrd for Block {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Block {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.hash.cmp(&other.0.hash)
    }
}

/// A block with the proof that it is final: what a node that is behind asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedBlock {
    /// The block.
    pub block: Block,
    /// Its certificate.
    pub certificate: Certificate,
}
