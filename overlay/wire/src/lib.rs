//! Frame formats of the overlay: a checked view for each frame that lives in a datagram, an owned value for each message.
//!
//! The specification is `docs/spec/wire.md`; every type here cites its section by name. Nothing here knows keys, sockets or clocks.

mod bounded;
pub mod control;
pub mod ids;

pub use control::{ControlMessage, Head, Range, RelayInfo, Tier};
pub use ids::{InviteId, NetworkId, NodeId};
