//! The seam between consensus and what the chain *does*.

use alloy_primitives::{Address, B256};
use netchain_types::{Certificate, ProposerOrder, WitnessSet};

use crate::block::{Block, CertifiedBlock};
use crate::evidence::Evidence;

/// Time, as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds of a clock that never goes back.
    pub mono_us: u64,
    /// Seconds since 1970, as far as this machine knows.
    pub unix_s: u64,
}

/// The committed end of the chain, and who decides what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Height of the last committed block, 0 at genesis.
    pub height: u64,
    /// Its hash.
    pub hash: B256,
    /// Its timestamp in seconds since 1970.
    pub timestamp: u64,
    /// The set that voted on it; verifies the certificate that the next block carries.
    pub voted: WitnessSet,
    /// The set that votes on the next block.
    pub next: WitnessSet,
    /// Who makes the next block, round by round.
    pub order: ProposerOrder,
}

/// What a creator builds a block from.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// Clock of the creator.
    pub now: Now,
    /// Consensus round: becomes `header.round`.
    pub round: u32,
    /// The creator: becomes `header.beneficiary`.
    pub creator: Address,
    /// Certificate of the tip, none at genesis.
    pub last_commit: Option<&'a Certificate>,
    /// Verified evidence that no block carried yet, as far as this node knows.
    pub evidence: &'a [Evidence],
}

/// Why a well-formed block is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the block is invalid: {0}")]
pub struct Invalid(pub &'static str);

/// Execution and state, as consensus needs them. Everything but [`propose`](Self::propose) is a function of the committed
/// state and its arguments: two nodes with one tip give one answer.
///
/// The certificate given to [`commit`](Self::commit) is *this node's*. Nodes hold different ones for the same block, with
/// different rounds and signers (trap 1 of the design): it may be stored and served, it must never reach the state. State
/// takes the round from the header and the signers from the certificate carried inside the block.
pub trait Application {
    /// The committed end of the chain.
    fn tip(&self) -> Tip;

    /// Builds a block on the tip; none when this node cannot (it then lets its turn pass).
    fn propose(&mut self, draft: &Draft<'_>) -> Option<Block>;

    /// Whether the header's roots commit to evidence and body. Checked before consensus sees the block: a relay could put
    /// another body under a signed header, and the *hash* must not be judged by that.
    fn binds(&self, block: &Block) -> bool;

    /// Executes a block on the tip without keeping the result. Height, parent, creator, place in the order, sets, carried
    /// certificate and evidence were checked already.
    ///
    /// # Errors
    /// Why it is invalid.
    fn validate(&mut self, block: &Block) -> Result<(), Invalid>;

    /// Executes and keeps a final block and its certificate; durable when it returns.
    ///
    /// # Errors
    /// The block is final for the others and impossible here: the node must stop.
    fn commit(&mut self, block: &Block, certificate: &Certificate) -> Result<(), Invalid>;

    /// A committed block with its certificate, for a node that is behind.
    fn certified(&self, height: u64) -> Option<CertifiedBlock>;
}
