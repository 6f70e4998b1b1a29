//! Messages of the control link: one QUIC stream, each message `u32 LE length | CBOR`.
//!
//! Spec: `docs/spec/wire.md`, section "Control messages". CBOR is deterministic (definite lengths, shortest integers): [`ControlMessage::decode`]
//! refuses every other spelling, so two implementations can never disagree on what was said.

mod codec;
mod codes;
mod limits;
mod types;

use std::net::SocketAddr;

use minicbor::{Decode, Encode};

pub use self::codec::{ControlError, message_length};
pub use self::codes::{circuit_reason, join_reason, path_class, refused_code};
pub use self::limits::*;
pub use self::types::{CandidatePath, CircuitPath, Head, LinkAdvert, Range, RelayAdvert, RelayInfo, Tier};
use crate::bounded;
use crate::ids::{InviteId, NetworkId, NodeId};

/// One message of the control link. On the wire: a CBOR array `[code, fields...]` in the order below.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(flat)]
pub enum ControlMessage {
    /// First message both ways.
    #[n(0)]
    Hello {
        /// [`CONTROL_VERSION`].
        #[n(0)]
        version: u16,
        /// Role of the sender.
        #[n(1)]
        tier: Tier,
        /// Program and version, for logs.
        #[cbor(
            n(2),
            encode_with = "bounded::encode_text::<_, _, MAX_SOFTWARE_LEN>",
            decode_with = "bounded::decode_text::<_, MAX_SOFTWARE_LEN>"
        )]
        software: String,
    },
    /// A member subscribes to a network at this relay.
    #[n(1)]
    Attach {
        /// The network.
        #[n(0)]
        network: NetworkId,
    },
    /// The relay serves the network to this member.
    #[n(2)]
    Attached {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// Bytes the network may relay a day.
        #[n(1)]
        quota_bytes_day: u64,
        /// Bits the network may relay a second.
        #[n(2)]
        rate_bps: u64,
    },
    /// Newest entries known to the sender: after `Attached` and after any change.
    #[n(3)]
    LogHeads {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// One per author.
        #[cbor(
            n(1),
            encode_with = "bounded::encode_list::<_, _, _, MAX_HEADS>",
            decode_with = "bounded::decode_list::<_, _, MAX_HEADS>"
        )]
        heads: Vec<Head>,
    },
    /// Ask for entries.
    #[n(4)]
    LogPull {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// Stretches wanted.
        #[cbor(
            n(1),
            encode_with = "bounded::encode_list::<_, _, _, MAX_HEADS>",
            decode_with = "bounded::decode_list::<_, _, MAX_HEADS>"
        )]
        ranges: Vec<Range>,
    },
    /// Raw signed entries.
    #[n(5)]
    LogEntries {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// Raw entries, an author's in rising order.
        #[cbor(
            n(1),
            encode_with = "bounded::encode_blobs::<_, _, MAX_ENTRIES, MAX_ENTRY_LEN>",
            decode_with = "bounded::decode_blobs::<_, MAX_ENTRIES, MAX_ENTRY_LEN>"
        )]
        entries: Vec<Vec<u8>>,
    },
    /// The creator hosts a new network here; the genesis entry comes first.
    #[n(6)]
    Publish {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// Raw entries.
        #[cbor(
            n(1),
            encode_with = "bounded::encode_blobs::<_, _, MAX_ENTRIES, MAX_ENTRY_LEN>",
            decode_with = "bounded::decode_blobs::<_, MAX_ENTRIES, MAX_ENTRY_LEN>"
        )]
        entries: Vec<Vec<u8>>,
    },
    /// A joiner asks, through the relay, the issuer of its invite to admit it.
    #[n(7)]
    JoinRequest {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// The invite.
        #[n(1)]
        invite: InviteId,
        /// Signed node record of the joiner.
        #[cbor(
            n(2),
            encode_with = "bounded::encode_bytes::<_, _, MAX_RECORD_LEN>",
            decode_with = "bounded::decode_bytes::<_, MAX_RECORD_LEN>"
        )]
        record: Vec<u8>,
        /// ML-KEM-768 encapsulation key whose hash the record carries; empty for none.
        #[cbor(
            n(3),
            encode_with = "bounded::encode_bytes::<_, _, MAX_KEM_KEY_LEN>",
            decode_with = "bounded::decode_bytes::<_, MAX_KEM_KEY_LEN>"
        )]
        kem_key: Vec<u8>,
        /// Name the joiner wishes for.
        #[cbor(
            n(4),
            encode_with = "bounded::encode_text::<_, _, MAX_NAME_LEN>",
            decode_with = "bounded::decode_text::<_, MAX_NAME_LEN>"
        )]
        name: String,
        /// Signature of the invite key: the joiner holds the token.
        #[cbor(n(5), encode_with = "bounded::encode_array", decode_with = "bounded::decode_array")]
        proof: [u8; 64],
    },
    /// The relay keeps the request: the issuer is offline.
    #[n(8)]
    JoinPending {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// The invite.
        #[n(1)]
        invite: InviteId,
    },
    /// The request failed.
    #[n(9)]
    JoinRefused {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// The invite.
        #[n(1)]
        invite: InviteId,
        /// One of [`join_reason`].
        #[n(2)]
        reason: u8,
        /// For people.
        #[cbor(
            n(3),
            encode_with = "bounded::encode_text::<_, _, MAX_TEXT_LEN>",
            decode_with = "bounded::decode_text::<_, MAX_TEXT_LEN>"
        )]
        text: String,
    },
    /// Ask for a bind ticket.
    #[n(10)]
    BindRequest,
    /// Secret of the address check of the relay's UDP port.
    #[n(11)]
    BindTicket {
        /// Names the binding in clear frames.
        #[n(0)]
        bind_id: u64,
        /// Key of the MACs of frames 0x19, 0x1B and 0x1C.
        #[cbor(n(1), encode_with = "bounded::encode_array", decode_with = "bounded::decode_array")]
        bind_key: [u8; 32],
    },
    /// Ask for a circuit to a member.
    #[n(12)]
    CircuitOpen {
        /// The network both are members of.
        #[n(0)]
        network: NetworkId,
        /// The other end.
        #[n(1)]
        peer: NodeId,
        /// Further relays of the path after this one, nearest first; empty: the other end is at this relay too.
        #[cbor(
            n(2),
            encode_with = "bounded::encode_list::<_, _, _, MAX_VIA>",
            decode_with = "bounded::decode_list::<_, _, MAX_VIA>"
        )]
        via: Vec<NodeId>,
    },
    /// To both ends: the circuit carries traffic.
    #[n(13)]
    CircuitOpened {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// The other end.
        #[n(1)]
        peer: NodeId,
        /// Further relays of the path after this one, nearest first; empty: the other end is at this relay too.
        #[cbor(
            n(2),
            encode_with = "bounded::encode_list::<_, _, _, MAX_VIA>",
            decode_with = "bounded::decode_list::<_, _, MAX_VIA>"
        )]
        via: Vec<NodeId>,
        /// Label the receiver of this message sends with, and receives with.
        #[n(3)]
        label: u32,
        /// Epoch of the label.
        #[n(4)]
        epoch: u16,
    },
    /// The circuit is gone, or was not opened.
    #[n(14)]
    CircuitClosed {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// The other end.
        #[n(1)]
        peer: NodeId,
        /// Further relays of the path after this one, nearest first; empty: the other end is at this relay too.
        #[cbor(
            n(2),
            encode_with = "bounded::encode_list::<_, _, _, MAX_VIA>",
            decode_with = "bounded::decode_list::<_, _, MAX_VIA>"
        )]
        via: Vec<NodeId>,
        /// Its label, 0 when none was given.
        #[n(3)]
        label: u32,
        /// One of [`circuit_reason`].
        #[n(4)]
        reason: u8,
    },
    /// A request was refused.
    #[n(15)]
    Refused {
        /// The network it was about.
        #[n(0)]
        network: Option<NetworkId>,
        /// One of [`refused_code`].
        #[n(1)]
        code: u8,
        /// For people.
        #[cbor(
            n(2),
            encode_with = "bounded::encode_text::<_, _, MAX_TEXT_LEN>",
            decode_with = "bounded::decode_text::<_, MAX_TEXT_LEN>"
        )]
        text: String,
    },
    /// Is the link alive?
    #[n(16)]
    Ping {
        /// Echoed in the answer.
        #[n(0)]
        id: u64,
    },
    /// It is.
    #[n(17)]
    Pong {
        /// From the question.
        #[n(0)]
        id: u64,
    },
    /// A member asks the relay to send one frame 0x1D to an address of its own: does it pass the filter there?
    #[n(18)]
    ProbeMe {
        /// Where to: the IP address is that of the control link, or the bound one.
        #[cbor(n(0), encode_with = "bounded::encode_addr", decode_with = "bounded::decode_addr")]
        addr: SocketAddr,
        /// Comes back in the frame.
        #[n(1)]
        token: u64,
        /// From the relay's second port instead of its main one.
        #[n(2)]
        alt: bool,
    },
    /// Two relays that name each other in their configuration begin to work together. First both ways, before any other message of the mesh.
    #[n(19)]
    MeshHello,
    /// What relays measured of their links: the sender's own, and what it heard of others.
    #[n(20)]
    LinkState {
        /// Newest of each relay.
        #[cbor(
            n(0),
            encode_with = "bounded::encode_list::<_, _, _, MAX_ADVERTS>",
            decode_with = "bounded::decode_list::<_, _, MAX_ADVERTS>"
        )]
        adverts: Vec<RelayAdvert>,
    },
    /// One relay of a network asks another, along a route of mesh links, whether a member is bound there.
    #[n(21)]
    WhereIs {
        /// Echoed in the answer.
        #[n(0)]
        id: u64,
        /// The network: both relays host it.
        #[n(1)]
        network: NetworkId,
        /// The member.
        #[n(2)]
        peer: NodeId,
        /// From the relay that asks to the one that answers.
        #[cbor(
            n(3),
            encode_with = "bounded::encode_list::<_, _, _, MAX_ROUTE>",
            decode_with = "bounded::decode_list::<_, _, MAX_ROUTE>"
        )]
        route: Vec<NodeId>,
    },
    /// The answer, back along the same route.
    #[n(22)]
    Here {
        /// From the question.
        #[n(0)]
        id: u64,
        /// The network.
        #[n(1)]
        network: NetworkId,
        /// The member.
        #[n(2)]
        peer: NodeId,
        /// As in the question.
        #[cbor(
            n(3),
            encode_with = "bounded::encode_list::<_, _, _, MAX_ROUTE>",
            decode_with = "bounded::decode_list::<_, _, MAX_ROUTE>"
        )]
        route: Vec<NodeId>,
        /// Is the member attached and bound there?
        #[n(4)]
        bound: bool,
    },
    /// A circuit over several relays grows to the next one: "this is my label, go on from here".
    #[n(23)]
    CircuitExtend {
        /// Which circuit.
        #[n(0)]
        circuit: CircuitPath,
        /// Label the sender of this message receives with from the receiver of it.
        #[n(1)]
        label: u32,
        /// Epoch of that label.
        #[n(2)]
        epoch: u16,
    },
    /// It reaches the end on this side: "this is my label".
    #[n(24)]
    CircuitExtended {
        /// Which circuit.
        #[n(0)]
        circuit: CircuitPath,
        /// Label the sender of this message receives with from the receiver of it.
        #[n(1)]
        label: u32,
        /// Epoch of that label.
        #[n(2)]
        epoch: u16,
    },
    /// It is gone, or was refused on the way.
    #[n(25)]
    CircuitRelease {
        /// Which circuit.
        #[n(0)]
        circuit: CircuitPath,
        /// One of [`circuit_reason`].
        #[n(1)]
        reason: u8,
    },
    /// A member asks which ways of several relays lead from here to another member.
    #[n(26)]
    PathQuery {
        /// The network both are members of.
        #[n(0)]
        network: NetworkId,
        /// The other end.
        #[n(1)]
        peer: NodeId,
        /// One of [`path_class`].
        #[n(2)]
        class: u8,
    },
    /// The best ones, best first; none: the relay knows no way.
    #[n(27)]
    PathAnswer {
        /// The network.
        #[n(0)]
        network: NetworkId,
        /// The other end.
        #[n(1)]
        peer: NodeId,
        /// From the question.
        #[n(2)]
        class: u8,
        /// Candidates, the relay that answers first in each.
        #[cbor(
            n(3),
            encode_with = "bounded::encode_list::<_, _, _, MAX_CANDIDATES>",
            decode_with = "bounded::decode_list::<_, _, MAX_CANDIDATES>"
        )]
        paths: Vec<CandidatePath>,
    },
    /// A member asks what the relay's clock shows.
    #[n(28)]
    TimeQuery {
        /// Random; echoed in the answer.
        #[n(0)]
        id: u64,
    },
    /// What it shows.
    #[n(29)]
    TimeAnswer {
        /// From the question.
        #[n(0)]
        id: u64,
        /// Milliseconds since 1970-01-01 UTC when the question was read. A hint for people: nothing is set by it.
        #[n(1)]
        unix_ms: u64,
    },
}
