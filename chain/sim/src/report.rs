//! What a run came to.

use alloy_primitives::B256;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lowest and highest height of honest nodes.
    pub heights: (u64, u64),
    /// Messages delivered.
    pub messages: u64,
    /// Restarts from the log.
    pub restarts: u64,
    /// Witnesses convicted by evidence.
    pub convicted: u64,
    /// Times that two nodes held certificates of one block with different rounds.
    pub rounds_differ: u64,
    /// Hash over everything delivered: equal for two runs of a seed.
    pub trace: B256,
}
