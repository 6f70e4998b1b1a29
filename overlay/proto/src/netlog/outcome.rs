//! What became of an entry offered to a replica.

use super::entry::EntryError;

/// What [`super::NetworkLog::insert`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The entry is part of the log now.
    New,
    /// It was before; nothing changed.
    Known,
    /// The author signed two entries for one place: both are kept as proof, nothing of the author counts from there on until the owner cuts its chain.
    Fork,
    /// Entries of this author are missing before this one. Nothing changed; pull `have..got`.
    Gap {
        /// Author of the chain.
        author: [u8; 32],
        /// First sequence number missing here.
        have: u32,
        /// Sequence number of the entry offered.
        got: u32,
    },
    /// The author's chain ends before this entry: frozen by a fork, or cut by the owner. Nothing changed.
    Beyond,
}

/// Why the log refused something. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not an entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// An entry of another network.
    #[error("entry of another network")]
    OtherNetwork,
    /// The author is neither the owner nor an admin appointed in the owner's chain as far as it is known here. May change when more of it arrives.
    #[error("the author is neither the owner nor an admin of this network")]
    NotAuthorized,
    /// The entry does not continue the author's chain, or its clock does not rise.
    #[error("the entry does not continue its author's chain")]
    BrokenChain,
    /// A limit of the log is reached.
    #[error("a limit of the network log is reached: {0}")]
    Limit(&'static str),
    /// Every replica would void this change; the text says why.
    #[error("{0}")]
    Void(&'static str),
    /// The network's first entry is missing here.
    #[error("the network's first entry is not here yet")]
    NoGenesis,
}
