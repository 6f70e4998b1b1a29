//! Control links: QUIC connections between node keys, over the same UDP socket as the data path.
//!
//! One link is one connection with one bidirectional stream, opened by the side that dialled, carrying `u32 LE length | CBOR` messages.
//! Sharing the socket means that the keepalive of the link also keeps the NAT mapping of the data path.
//!
//! ```text
//! UDP socket --QUIC datagrams--> QuicSocket --> quinn --> connection task --messages--> LinkEvent --> Node
//! ```
//!
//! Times: the keepalive is 25 s, because NATs forget UDP mappings after 30 s at the earliest (RFC 4787 asks for 120, many keep 30).
//! One exchange is 126 bytes with IPv4 headers (measured), 166 with IPv6, so a day costs 0.44 to 0.57 MB per relay and stays under 2 MB for
//! three. Idle links die after 60 s: two keepalives lost with all their retransmissions. That is too slow under traffic, so a link that
//! sent something and heard nothing at all for 3 s is closed at once (`connection`), and a relay that was restarted answers the
//! first packet with a stateless reset, whose key survives restarts (`tls`).

mod connection;
mod manager;
mod socket;
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

use netflow_overlay::node::LinkId;
use netflow_wire::NodeId;

pub(crate) use manager::{LinkManager, LinkSettings};
pub(crate) use socket::QuicSocket;

/// What happened on the links, in the order in which the node must hear it.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A link is up, and whoever is at the other end proved its key.
    Up { link: LinkId, peer: NodeId, remote: SocketAddr, outgoing: bool, handle: connection::Handle },
    /// A dial failed.
    Failed { node: NodeId, error: String },
    /// One message, without its length.
    Message { link: LinkId, bytes: Vec<u8>, remote: SocketAddr },
    /// The link is gone.
    Down { link: LinkId, reason: String },
}
