//! The overlay node as a value: bytes, times and random numbers go in, bytes and deadlines come out.
//!
//! Nothing here opens a socket, reads a clock or knows a runtime; the shell (`netflowd`) does. Layers inside this crate, lower ones first:
//!
//! * [`identity`], [`invite`], `backup` (feature `backup`): keys, signed records, tokens, sealed owner keys.
//! * [`netlog`]: the signed log of a network and the state replayed from it. Spec: `docs/spec/network-log.md`.
//! * [`policy`]: who may send what to whom inside a network.
//! * [`session`]: Noise sessions and the record layer. Spec: `docs/spec/wire.md`.
//! * `plane`: the data path: decisions of the node, kept for the packets that follow.
//! * [`path`]: measurement, choice, life and size of paths. [`relay`]: circuits, both ends. [`node`]: everything together.

#[cfg(any(test, feature = "backup"))]
pub mod backup;
mod cbor;
pub mod endpoint;
pub mod identity;
pub mod invite;
pub(crate) mod nat;
pub mod netlog;
pub mod node;
pub mod path;
pub(crate) mod plane;
pub mod policy;
pub mod relay;
pub mod route;
pub mod session;
pub mod time;

pub use endpoint::{Endpoint, Hops, PathKey, PortId};
pub use identity::{NodeKeys, NodeRecord, SignedRecord};
pub use netflow_wire::{Head, InviteId, NetworkId, NodeId, Range, RelayInfo, Tier};
pub use netlog::{EntryBody, EntryHash, NetworkLog, NetworkState};
pub use time::Now;
