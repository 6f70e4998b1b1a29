//! The light client: follows a chain by its certificates and checks state by Merkle proofs, without an engine or a database.
//!
//! Trust begins at one header the user got from a source it believes (genesis, or a checkpoint of the program). From there
//! a header is believed when more than two thirds of the *known* set precommitted to it; the set changes only to the one
//! whose hash a believed header names as next. So one header per change of the set is enough, and headers in between are
//! skipped. Safety holds while more than two thirds of the set are honest for [`TRUSTING_PERIOD_S`] after their header:
//! ballots take 7 days to be redeemed, so within 6 days a set that lies can still be punished.

mod proof;
mod state;

pub use proof::{AccountClaim, MAX_PROOF_NODES, ProofError, verify_account, verify_storage};
pub use state::{MAX_STATE_BYTES, StateError};

use alloy_primitives::B256;
use netchain_types::{
    Certificate, CertificateError, ChainDomain, ConsensusExtra, Header, HeaderError, WitnessSet, WitnessSetError,
};

/// How long a believed header may be the base of the next step: 6 days, one less than the 7 days of ballot redemption.
pub const TRUSTING_PERIOD_S: u64 = 6 * 86_400;
/// How far ahead of the local clock a header may be: routers without a battery drift, and a block takes 3 s.
pub const MAX_CLOCK_DRIFT_S: u64 = 30;

/// A header this client believes, with the set that follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Hash of the header.
    pub hash: B256,
    /// Its height.
    pub number: u64,
    /// Its time, seconds since 1970.
    pub timestamp: u64,
    /// State after it.
    pub state_root: B256,
    /// The set that votes on the next block, when it is known; its hash is `next_hash`.
    pub set: Option<WitnessSet>,
    /// Hash of the set that votes on the next block.
    pub next_hash: B256,
}

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// The header is the new base.
    Advanced,
    /// The header is the base already.
    Known,
}

/// Why a header is not believed. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LightError {
    /// Not a header of this chain.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// The certificate proves nothing.
    #[error("certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The witness set handed over is none.
    #[error("witness set: {0}")]
    Set(#[from] WitnessSetError),
    /// The certificate is for another block.
    #[error("the certificate is for another block")]
    OtherBlock,
    /// Older than what is believed.
    #[error("block {0} is older than the believed one")]
    Old(u64),
    /// The base is too old to build on: get a fresh checkpoint.
    #[error("the believed header is older than the trusting period; a new checkpoint is needed")]
    Expired,
    /// The header is later than the clock allows, or not later than its predecessor.
    #[error("the header's time is not plausible")]
    Time,
    /// The header does not follow the believed one.
    #[error("the header's parent is not the believed header")]
    Parent,
    /// The header is signed by a set that the believed header does not name, or its set was not handed over.
    #[error("the witness set of the header is not known")]
    UnknownSet,
    /// The set handed over as the next one is not the one the header names.
    #[error("the next witness set is not the one the header names")]
    NextSet,
    /// Two certified blocks of one height: more than a third of the set lied. Stop and ask people.
    #[error("two certified blocks of height {0}: the chain has forked")]
    Fork(u64),
}

/// A client of one chain. Its state is [`MAX_STATE_BYTES`] at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightClient {
    chain: ChainDomain,
    trusted: Trusted,
}

impl LightClient {
    /// Starts from a header believed for other reasons, and the set it names as next (`extra.next_validators_hash`).
    ///
    /// # Errors
    /// The header is none of this chain, or `set` is not the one it names.
    pub fn new(chain: ChainDomain, header: &Header, set: WitnessSet) -> Result<Self, LightError> {
        let extra = header.check()?;
        if set.hash() != extra.next_validators_hash {
            return Err(LightError::UnknownSet);
        }
        Ok(Self { chain, trusted: believed(header, &extra, Some(set)) })
    }

    /// The believed header.
    #[must_use]
    pub const fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    /// The chain this client follows.
    #[must_use]
    pub const fn chain(&self) -> &ChainDomain {
        &self.chain
    }

    /// Believes a later header. `header` and `certificate` as encoded on the chain; `set` is the encoded set that signed,
    /// needed only when the client does not hold it; `next_set` the one the header names as next, handed over when it
    /// differs (without it the next update has to bring it as `set`). `now_unix_s` is the local clock.
    ///
    /// # Errors
    /// See [`LightError`]; the client is as before.
    pub fn update(
        &mut self,
        now_unix_s: u64,
        header: &[u8],
        certificate: &[u8],
        set: Option<&[u8]>,
        next_set: Option<&[u8]>,
    ) -> Result<Updated, LightError> {
        self.step(Some(now_unix_s), header, certificate, set, next_set)
    }

    /// As [`update`](Self::update) without a clock, so without the trusting period: the believed set may have left office long ago, and
    /// nobody could punish it today for signing another history. Only for who starts from the genesis and has nobody
    /// to ask for a checkpoint: it then believes what a node that executes every block from the genesis believes. The result is a
    /// base for [`update`](Self::update) when it is young enough for that.
    ///
    /// # Errors
    /// As there; the client is as before.
    pub fn follow(
        &mut self,
        header: &[u8],
        certificate: &[u8],
        next_set: Option<&[u8]>,
    ) -> Result<Updated, LightError> {
        self.step(None, header, certificate, None, next_set)
    }

    fn step(
        &mut self,
        now_unix_s: Option<u64>,
        header: &[u8],
        certificate: &[u8],
        set: Option<&[u8]>,
        next_set: Option<&[u8]>,
    ) -> Result<Updated, LightError> {
        let (header, extra) = Header::decode_checked(header)?;
        let certificate = Certificate::decode(certificate)?;
        let hash = header.hash();
        if certificate.block_hash != hash || certificate.height != header.number {
            return Err(LightError::OtherBlock);
        }
        if hash == self.trusted.hash {
            return Ok(Updated::Known);
        }
        self.check_place(now_unix_s, &header)?;
        let set = self.signers(&extra, set)?;
        certificate.verify(&self.chain, &set)?;
        if header.number == self.trusted.number {
            return Err(LightError::Fork(header.number));
        }
        let next = match next_set {
            _ if extra.next_validators_hash == extra.validators_hash => Some(set),
            Some(bytes) => {
                let next = WitnessSet::decode(bytes).map_err(|_| LightError::NextSet)?;
                if next.hash() != extra.next_validators_hash {
                    return Err(LightError::NextSet);
                }
                Some(next)
            }
            None => None,
        };
        self.trusted = believed(&header, &extra, next);
        Ok(Updated::Advanced)
    }

    fn check_place(&self, now_unix_s: Option<u64>, header: &Header) -> Result<(), LightError> {
        let base = &self.trusted;
        if header.number < base.number {
            return Err(LightError::Old(header.number));
        }
        if now_unix_s.is_some_and(|now| now.saturating_sub(base.timestamp) >= TRUSTING_PERIOD_S) {
            return Err(LightError::Expired);
        }
        let late = now_unix_s.is_some_and(|now| header.timestamp > now.saturating_add(MAX_CLOCK_DRIFT_S));
        let early = header.number > base.number && header.timestamp <= base.timestamp;
        if late || early {
            return Err(LightError::Time);
        }
        if header.number == base.number.saturating_add(1) && header.parent_hash != base.hash {
            return Err(LightError::Parent);
        }
        Ok(())
    }

    /// The set that must have signed: the one the believed header names, and no other.
    fn signers(&self, extra: &ConsensusExtra, handed: Option<&[u8]>) -> Result<WitnessSet, LightError> {
        if extra.validators_hash != self.trusted.next_hash {
            return Err(LightError::UnknownSet);
        }
        if let Some(set) = &self.trusted.set {
            return Ok(set.clone());
        }
        let set = WitnessSet::decode(handed.ok_or(LightError::UnknownSet)?)?;
        if set.hash() == extra.validators_hash { Ok(set) } else { Err(LightError::UnknownSet) }
    }
}

fn believed(header: &Header, extra: &ConsensusExtra, set: Option<WitnessSet>) -> Trusted {
    Trusted {
        hash: header.hash(),
        number: header.number,
        timestamp: header.timestamp,
        state_root: header.state_root,
        set,
        next_hash: extra.next_validators_hash,
    }
}
