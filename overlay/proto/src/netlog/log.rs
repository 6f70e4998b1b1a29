//! A replica of the log.

use ed25519_dalek::SigningKey;
use ipnet::Ipv4Net;
use netflow_wire::{Head, NetworkId, Range};

use super::body::EntryBody;
use super::entry::{EntryError, EntryHash, SignedEntry};
use super::state::NetworkState;
use crate::time::Now;

/// What `create-network` decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisParams {
    /// Name of the network: a DNS label.
    pub name: String,
    /// Its IPv4 addresses; `None`: a /16 of 100.64.0.0/10 derived from the network id.
    pub ipv4: Option<Ipv4Net>,
}

/// What [`NetworkLog::insert`] did.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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

/// The last entry of an author, abbreviated for data-path messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortHead {
    /// First 8 bytes of the author's key.
    pub author: [u8; 8],
    /// Sequence number.
    pub seq: u32,
    /// First 8 bytes of the hash.
    pub hash: [u8; 8],
}

/// A stretch of an author's chain, abbreviated, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortRange {
    /// First 8 bytes of the author's key.
    pub author: [u8; 8],
    /// First.
    pub from: u32,
    /// Last.
    pub to: u32,
}

/// A replica of a network's log together with the state it says.
pub struct NetworkLog {
    state: NetworkState,
}

#[expect(unused_variables, clippy::todo, missing_docs, clippy::missing_errors_doc, reason = "surface first; bodies follow within the hour")]
impl NetworkLog {
    pub fn create(owner: &SigningKey, params: GenesisParams, now: Now) -> Result<Self, LogError> { todo!() }
    pub fn empty(network: NetworkId) -> Self { todo!() }
    /// Replays stored entries; entries that no longer fit are skipped (a torn tail of the file), the genesis must be there.
    pub fn from_entries(network: NetworkId, raws: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, LogError> { todo!() }
    /// Verifies and inserts one entry; nothing changes before the signature holds.
    pub fn insert(&mut self, raw: &[u8]) -> Result<Inserted, LogError> { todo!() }
    /// Inserts a batch in any order with one replay at the end; result i belongs to entry i.
    pub fn insert_all(&mut self, raws: &[Vec<u8>]) -> Vec<Result<Inserted, LogError>> { todo!() }
    /// Signs a change, if every replica would apply it, and inserts it. Returns the raw entry: persist and spread it.
    pub fn author(&mut self, key: &SigningKey, body: EntryBody, now: Now) -> Result<Vec<u8>, LogError> { todo!() }
    /// The bodies that revoke a node: `AdminRemove` with the cut first when it is an admin (owner only).
    pub fn revoke_bodies(&self, node: &netflow_wire::NodeId) -> Vec<EntryBody> { todo!() }
    pub fn admin_remove_body(&self, node: &netflow_wire::NodeId) -> EntryBody { todo!() }
    pub fn network(&self) -> NetworkId { todo!() }
    pub fn heads(&self) -> Vec<Head> { todo!() }
    pub fn short_heads(&self) -> Vec<ShortHead> { todo!() }
    /// Same digest, same log.
    pub fn digest(&self) -> [u8; 16] { todo!() }
    pub fn wanted(&self, theirs: &[Head]) -> Vec<Range> { todo!() }
    pub fn wanted_short(&self, theirs: &[ShortHead]) -> Vec<ShortRange> { todo!() }
    pub fn range(&self, range: &Range) -> Vec<&[u8]> { todo!() }
    pub fn range_short(&self, range: &ShortRange) -> Vec<&[u8]> { todo!() }
    /// What a replica with these heads lacks, in an order in which it can insert them.
    pub fn missing_for(&self, theirs: &[Head]) -> Vec<&[u8]> { todo!() }
    /// Every raw entry, in an order in which an empty replica can insert them.
    pub fn entries(&self) -> Vec<&[u8]> { todo!() }
    /// Raw bytes held.
    pub fn bytes(&self) -> u64 { todo!() }
    pub fn state(&self) -> &NetworkState { &self.state }
}
