//! How long to wait for what.

use arc_malachitebft_core_types::{Timeout, TimeoutKind};

/// Waiting times in microseconds. A round's times grow by a step each round, so that any network is slow enough at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the start of a height to the start of the next one.
    pub block_us: u64,
    /// For a proposal. One second: a block of 2 MiB reaches 20 peers over 100 Mbit/s in 4 s, a usual one of 100 KB in 0.2 s.
    pub propose_us: u64,
    /// For late votes, once a quorum has voted without agreeing.
    pub vote_us: u64,
    /// Added each round to the proposal's time; a vote's grows by half of it.
    pub step_us: u64,
    /// Between repetitions of what was said last.
    pub rebroadcast_us: u64,
    /// No wait is longer.
    pub max_us: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            block_us: 3_000_000,
            propose_us: 1_000_000,
            vote_us: 500_000,
            step_us: 250_000,
            rebroadcast_us: 1_000_000,
            max_us: 15_000_000,
        }
    }
}

impl Timing {
    /// Wait of one of the core's timeouts.
    #[must_use]
    pub fn duration_us(&self, timeout: &Timeout) -> u64 {
        let round = u64::from(timeout.round.as_u32().unwrap_or(0));
        let grown = |base: u64, step: u64| base.saturating_add(step.saturating_mul(round)).min(self.max_us);
        match timeout.kind {
            TimeoutKind::Propose => grown(self.propose_us, self.step_us),
            TimeoutKind::Prevote | TimeoutKind::Precommit => grown(self.vote_us, self.step_us / 2),
            TimeoutKind::Rebroadcast => self.rebroadcast_us.min(self.max_us),
            TimeoutKind::FinalizeHeight(_) => self.block_us,
        }
    }
}
