//! Proof that a block is final: precommits of more than two thirds of the set, by name.

use alloy_primitives::{B256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use ed25519_dalek::{Signature, VerifyingKey};

use crate::vote::{ChainDomain, VoteKind, vote_signing_bytes};
use crate::witness::{MAX_WITNESSES, WitnessSet};

/// Longest encoded certificate: 21 signatures of 64 bytes with heads, hash and numbers.
pub const MAX_CERTIFICATE_BYTES: usize = 2_048;

/// One precommit of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct CommitSignature {
    /// Seat of the signer in the set of this height.
    pub seat: u8,
    /// ed25519 signature over [`vote_signing_bytes`] of the precommit.
    pub signature: [u8; 64],
}

/// The certificate of one block: RLP `[height, round, block_hash, [[seat, signature], ...]]`, seats strictly ascending.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Certificate {
    /// Height of the block.
    pub height: u64,
    /// Round in which these precommits were cast. Differs between nodes for one block; state never uses it.
    pub round: u32,
    /// Hash of the block.
    pub block_hash: B256,
    /// Precommits, seats strictly ascending.
    pub signatures: Vec<CommitSignature>,
}

/// Why a certificate proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not the encoding of a certificate, or too long.
    #[error("not an encoded certificate")]
    Encoding,
    /// Seats repeat or are out of order, or are not in the set.
    #[error("the certificate's seats are not distinct, ascending seats of the set")]
    Seats,
    /// Fewer signers than the quorum.
    #[error("{have} signers, {need} needed")]
    Quorum {
        /// Signers of the certificate.
        have: usize,
        /// Quorum of the set.
        need: usize,
    },
    /// A signature does not verify, or is not canonical.
    #[error("the signature of seat {0} does not verify")]
    Signature(u8),
}

impl Certificate {
    /// `keccak256(rlp(certificate))`: `last_commit_hash` of the next header.
    #[must_use]
    pub fn hash(&self) -> B256 {
        keccak256(self.encode())
    }

    /// RLP of the certificate.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(self)
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing else. Signatures are not checked here.
    ///
    /// # Errors
    /// [`CertificateError::Encoding`]. Safe on any input.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::Encoding);
        }
        let certificate: Self = alloy_rlp::decode_exact(bytes).map_err(|_| CertificateError::Encoding)?;
        if certificate.signatures.len() > MAX_WITNESSES || certificate.encode() != bytes {
            return Err(CertificateError::Encoding);
        }
        Ok(certificate)
    }

    /// Bit `i` is set when seat `i` signed.
    #[must_use]
    pub fn bitmap(&self) -> u32 {
        self.signatures.iter().filter(|s| s.seat < 32).fold(0, |bits, s| bits | 1 << s.seat)
    }

    /// Verifies that more than two thirds of `set` precommitted to `block_hash` on this chain.
    ///
    /// Counts are checked before any signature: a forged certificate costs an attacker's bytes, not our curve operations.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn verify(&self, chain: &ChainDomain, set: &WitnessSet) -> Result<(), CertificateError> {
        let ascending = self.signatures.windows(2).all(|pair| matches!(pair, [a, b] if a.seat < b.seat));
        let known = self.signatures.last().is_none_or(|last| usize::from(last.seat) < set.len());
        if !ascending || !known {
            return Err(CertificateError::Seats);
        }
        if self.signatures.len() < set.quorum() {
            return Err(CertificateError::Quorum { have: self.signatures.len(), need: set.quorum() });
        }
        let text = vote_signing_bytes(chain, VoteKind::Precommit, self.height, self.round, Some(&self.block_hash));
        for commit in &self.signatures {
            let bad = CertificateError::Signature(commit.seat);
            let seat = set.seats().get(usize::from(commit.seat)).ok_or(CertificateError::Seats)?;
            let key = VerifyingKey::from_bytes(&seat.vote_key).map_err(|_| bad)?;
            // Strict: no second valid signature can be made from a first one, and weak keys sign nothing.
            key.verify_strict(&text, &Signature::from_bytes(&commit.signature)).map_err(|_| bad)?;
        }
        Ok(())
    }
}
