//! What a run came to.

use std::fmt;

use alloy_primitives::B256;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Lowest and highest height of honest nodes.
    pub heights: (u64, u64),
    /// Messages delivered.
    pub messages: u64,
    /// Starts after a crash.
    pub restarts: u64,
    /// Of these, after a full disk ended the process.
    pub full_disks: u64,
    /// Of these, after a power cut in the middle of a commit.
    pub cut_commits: u64,
    /// Witnesses convicted by evidence.
    pub convicted: u64,
    /// Pieces of evidence in the chain.
    pub evidence: u64,
    /// Blocks that a new witness set followed.
    pub set_changes: u64,
    /// Transactions of users in the chain.
    pub transactions: u64,
    /// Times that two nodes held certificates of one block with different rounds: how often trap 1 was open.
    pub rounds_differ: u64,
    /// Hash over what was delivered: equal for two runs of a seed.
    pub trace: B256,
}

impl Report {
    /// Adds another run's numbers.
    pub fn add(&mut self, other: &Self) {
        self.heights = (self.heights.0 + other.heights.0, self.heights.1 + other.heights.1);
        self.messages += other.messages;
        self.restarts += other.restarts;
        self.full_disks += other.full_disks;
        self.cut_commits += other.cut_commits;
        self.convicted += other.convicted;
        self.evidence += other.evidence;
        self.set_changes += other.set_changes;
        self.transactions += other.transactions;
        self.rounds_differ += other.rounds_differ;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "heights, lowest and highest  {} {}", self.heights.0, self.heights.1)?;
        writeln!(f, "messages                     {}", self.messages)?;
        writeln!(f, "restarts                     {}", self.restarts)?;
        writeln!(f, "  after a full disk          {}", self.full_disks)?;
        writeln!(f, "  after a cut commit         {}", self.cut_commits)?;
        writeln!(f, "witnesses convicted          {}", self.convicted)?;
        writeln!(f, "evidence in blocks           {}", self.evidence)?;
        writeln!(f, "changes of the set           {}", self.set_changes)?;
        writeln!(f, "transactions                 {}", self.transactions)?;
        write!(f, "certificates of other rounds {}", self.rounds_differ)
    }
}
