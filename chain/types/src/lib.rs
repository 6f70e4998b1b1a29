//! Data structures of the chain, shared by the engine, the light client and the tools (docs/spec/chain.md).
//!
//! One header shape serves both chain instances: Ethereum's, so that every Ethereum tool computes the same block hash, with
//! what consensus adds in `extraData` ([`ConsensusExtra`]). The block hash is the value the witnesses vote on; a
//! [`Certificate`] carries their precommits by name. Nothing here knows a clock, a database or a socket.

pub mod certificate;
pub mod extra;
pub mod header;
pub mod order;
pub mod vote;
pub mod witness;

pub use certificate::{Certificate, CertificateError, CommitSignature};
pub use extra::ConsensusExtra;
pub use header::{Header, HeaderError};
pub use order::{ProposerOrder, next_mix, shuffle, shuffle_seed};
pub use vote::{ChainDomain, VoteKind, proposal_signing_bytes, vote_signing_bytes};
pub use witness::{MAX_SET_BYTES, MAX_WITNESSES, Witness, WitnessSet, WitnessSetError, quorum};
