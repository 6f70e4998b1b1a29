//! Frame formats of the overlay: a checked view for each frame that lives in a datagram, an owned value for each message.
//!
//! The specification is `docs/spec/wire.md`; every module here cites its section by name. Nothing here knows keys, sockets or clocks.
//! Bytes go in through `Frame::new_checked(buffer)` (length, kind, reserved bits and values checked once) and come out through a `Repr`.
//! No parser panics, and none allocates on the path of a packet.

pub mod bind;
mod bounded;
mod bytes;
pub mod control;
pub mod data;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod handshake;
pub mod ids;
pub mod inner;
pub mod probe;
pub mod relay;
pub mod stun;

pub use bytes::{MAC_LEN, TAG_LEN};
pub use control::{ControlMessage, Head, Range, RelayInfo, Tier};
pub use frame::{Datagram, FrameKind, MAX_DATAGRAM_LEN, Suite, WireError, classify, classify_datagram};
pub use ids::{InviteId, NetworkId, NodeId};
