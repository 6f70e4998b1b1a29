//! Sessions between nodes: Noise `IKpsk2` handshakes, hybrid with ML-KEM-768, and our own record layer. Spec: `docs/spec/wire.md`.
//!
//! One grammar: [`SessionTable`] takes frames, packets and times, and gives frames, events and a deadline. It knows no addresses: a
//! [`Source`] only feeds cookies and rate limits. **A caller may learn a peer's path only from `Inner`, `Established` and `Accepted`**,
//! the outcomes of authenticated frames; `Reply` goes back to the source and means nothing, `CookieTaken` names no place.
//!
//! Layers, lower ones first: `aead`, `primitives`, `kem` (cryptography of the shelf) · `replay`, `record`, `keys` (one session's data path,
//! movable to a worker) · `resolver`, `noise` (one handshake) · `cookie`, `load` (denial of service) · `peer` (slots of one peer) ·
//! `table`, `data`, `handshake`, `timers` (all peers).
//!
//! Decisions, and where: which session is newest and who sends when: `peer`. Order of checks, replay of handshakes, simultaneous
//! initiation: `handshake`. When cookies are asked for: `load`. What authenticates which header: `keys`, `noise`, `record`.
//! Why not Noise transport messages: `docs/adr/0002-own-record-layer.md`.

mod aead;
mod cookie;
mod data;
mod handshake;
mod kem;
mod keys;
mod load;
mod noise;
mod peer;
mod primitives;
mod record;
mod replay;
mod resolver;
mod table;
mod timers;
mod types;
#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "test vectors: a wrong length must fail the test")]
mod vectors;

pub(crate) use data::NULL_MESSAGE;
pub use kem::kem_public_key;
pub use netflow_wire::Suite;
pub(crate) use record::{OpenState, SealState};
pub use table::{MAX_INNER_LEN, MAX_NETWORKS, MAX_PEERS, SessionTable};
pub use types::{
    DropReason, FrameOutcome, LocalIdentity, PeerRef, PqMode, RefuseReason, RemoteKeys, SealOutcome, SealStatus,
    SessionEvent, SessionInfo, Source, UpsertError,
};
