//! Control links: QUIC connections between node keys, over the same UDP socket as the data path; where UDP is blocked, TLS over TCP.
//!
//! One link is one connection with one bidirectional stream, opened by the side that dialled, carrying `u32 LE length | CBOR` messages.
//! Sharing the socket means that the keepalive of the link also keeps the NAT mapping of the data path.
//!
//! ```text
//! UDP socket --QUIC datagrams--> QuicSocket --> quinn --> connection task --messages--> LinkEvent --> Node
//! ```
//!
//! A dial tries QUIC at the relay's addresses first; what has not answered after 2 s is tried at port 443 as well, and then as TLS over TCP at
//! port 443 and at the relay's own port (`dial`). Such a stream carries our frames too (`stream`), and is left for QUIC as soon as that
//! works again.
//!
//! Times: the keepalive is 25 s, because NATs forget UDP mappings after 30 s at the earliest (RFC 4787 asks for 120, many keep 30).
//! One exchange is 126 bytes with IPv4 headers (measured), 166 with IPv6, so a day costs 0.44 to 0.57 MB per relay and stays under 2 MB for
//! three. Idle links die after 60 s: two keepalives lost with all their retransmissions. That is too slow under traffic, so a link that
//! sent something and heard nothing at all for 3 s is closed at once (`connection`), and a relay that was restarted answers the
//! first packet with a stateless reset, whose key survives restarts (`tls`).

mod accept;
mod connection;
mod dial;
mod handle;
mod manager;
mod socket;
mod stream;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests may fail loudly and measure time"
)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use netflow_overlay::node::{Carrier, LinkId};
use netflow_wire::NodeId;

pub(crate) use accept::Listeners;
pub(crate) use manager::{LinkManager, LinkSettings};
pub(crate) use socket::QuicSocket;

/// The port that networks which block UDP, or all but the web, leave open.
pub(crate) const WEB_PORT: u16 = 443;
/// Largest message, as the contract of the control protocol says; a longer one ends the link before it is read.
const MAX_MESSAGE: usize = 65_536;
/// See above.
const KEEPALIVE: Duration = Duration::from_secs(25);
/// Something was sent, and nothing at all came back, not even an acknowledgement: the other end is gone. Three seconds outlast the
/// retransmissions of any working path (first probe after about one second without an RTT sample).
const SILENCE: Duration = Duration::from_secs(3);
/// Why a link ended by either of the watches.
const NO_ANSWER: &str = "no answer in time";

/// What happened on the links, in the order in which the node must hear it.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A link is up, and whoever is at the other end proved its key.
    Up { link: LinkId, peer: NodeId, remote: SocketAddr, outgoing: bool, carrier: Carrier, handle: handle::Handle },
    /// A dial failed.
    Failed { node: NodeId, error: String },
    /// One message, without its length.
    Message { link: LinkId, bytes: Vec<u8>, remote: SocketAddr },
    /// Frames that came over a stream, in their order.
    Frames { link: LinkId, frames: Vec<Vec<u8>> },
    /// The link is gone.
    Down { link: LinkId, reason: String },
}
