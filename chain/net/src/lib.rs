//! The chain's network over libp2p (docs/spec/chain.md, "Network"): witness streams, gossip, discovery, sync.
//!
//! [`start`] makes one task that owns the swarm; [`NetCommand`] goes in, [`NetEvent`] comes out, both through bounded
//! channels. What is decided there is pure and tested without a socket: [`announce`] (which peer is which witness), [`sync`]
//! (whom to ask for which blocks) and [`wire`] (encodings).

// The shell of the network: the task reads clocks and hands them to the pure parts.
#![allow(clippy::disallowed_methods)]

pub mod announce;
mod behaviour;
mod codec;
mod outbox;
mod streams;
pub mod sync;
mod task;
pub mod wire;

pub use announce::{AnnounceError, Announcement, Announcer};
pub use task::{
    NetCommand, NetConfig, NetError, NetEvent, NetHandle, NetStatus, PeerStatus, Ticket, Verdict, WitnessKey, start,
};
pub use wire::{SnapshotInfo, SyncRequest, SyncResponse};

pub use libp2p::{Multiaddr, PeerId};

/// Peer id of an ed25519 secret; none when it is not 32 good bytes.
#[must_use]
pub fn peer_id(secret: &[u8; 32]) -> Option<String> {
    let key = libp2p::identity::Keypair::ed25519_from_bytes(*secret).ok()?;
    Some(PeerId::from(key.public()).to_string())
}
