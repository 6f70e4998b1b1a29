//! Messages of the control link: one QUIC stream, each message `u32 LE length | CBOR`.
//!
//! Spec: `docs/spec/wire.md`, section "Control messages". CBOR is deterministic (definite lengths, shortest integers): [`ControlMessage::decode`]
//! refuses every other spelling, so two implementations can never disagree on what was said.

mod codec;
mod codes;
mod limits;

use std::net::SocketAddr;

use minicbor::{Decode, Encode};

pub use self::codec::{ControlError, message_length};
pub use self::codes::{circuit_reason, join_reason, refused_code};
pub use self::limits::*;
use crate::bounded;
use crate::ids::{InviteId, NetworkId, NodeId};

/// What a node is in the network of operators. Decides nothing about trust inside a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Tier {
    /// Edge node: member of private networks.
    #[n(0)]
    Edge,
    /// Central node: relay and rendezvous of its edge nodes.
    #[n(1)]
    Central,
    /// Root node: backbone relay.
    #[n(2)]
    Root,
}

/// Newest entry of one author's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Head {
    /// Ed25519 key of the author.
    #[cbor(n(0), encode_with = "bounded::encode_array", decode_with = "bounded::decode_array")]
    pub author: [u8; 32],
    /// Sequence number of the entry, counted from 0.
    #[n(1)]
    pub seq: u32,
    /// Entry hash.
    #[cbor(n(2), encode_with = "bounded::encode_array", decode_with = "bounded::decode_array")]
    pub hash: [u8; 32],
}

/// A stretch of one author's chain, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Range {
    /// Ed25519 key of the author.
    #[cbor(n(0), encode_with = "bounded::encode_array", decode_with = "bounded::decode_array")]
    pub author: [u8; 32],
    /// First sequence number wanted.
    #[n(1)]
    pub from: u32,
    /// Last sequence number wanted.
    #[n(2)]
    pub to: u32,
}

/// A relay as a network's log and its invites name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RelayInfo {
    /// Key the relay proves on the control link.
    #[n(0)]
    pub node: NodeId,
    /// Its role.
    #[n(1)]
    pub tier: Tier,
    /// UDP addresses, at most [`MAX_RELAY_ADDRS`], in order of preference.
    #[cbor(
        n(2),
        encode_with = "bounded::encode_addrs::<_, _, MAX_RELAY_ADDRS>",
        decode_with = "bounded::decode_addrs::<_, MAX_RELAY_ADDRS>"
    )]
    pub addrs: Vec<SocketAddr>,
}

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
        /// Label the receiver of this message sends with, and receives with.
        #[n(2)]
        label: u32,
        /// Epoch of the label.
        #[n(3)]
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
        /// Its label, 0 when none was given.
        #[n(2)]
        label: u32,
        /// One of [`circuit_reason`].
        #[n(3)]
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
}
