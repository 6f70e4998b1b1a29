//! Messages of the control link: one QUIC stream, each message `u32 LE length | CBOR`.
//!
//! Spec: `docs/spec/wire.md`, section "Control messages". CBOR is deterministic (definite lengths, shortest integers): [`ControlMessage::decode`]
//! refuses every other spelling, so two implementations can never disagree on what was said.

use std::fmt;
use std::net::SocketAddr;

use minicbor::{Decode, Encode};

use crate::bounded;
use crate::ids::{InviteId, NetworkId, NodeId};

/// Version of the control protocol in [`ControlMessage::Hello`].
pub const CONTROL_VERSION: u16 = 1;
/// Longest CBOR of one message. One log entry of the largest size and a full batch both fit; a stream buffer of this size per link is affordable.
pub const MAX_MESSAGE_LEN: usize = 65_536;
/// Bytes of the length prefix.
pub const LENGTH_PREFIX: usize = 4;
/// Longest raw log entry. A policy of 256 rules is about 12 KiB; a fragment message counts in u16.
pub const MAX_ENTRY_LEN: usize = 16_384;
/// Most entries in one message: 60 KiB of the smallest real entries (about 120 bytes).
pub const MAX_ENTRIES: usize = 512;
/// Most authors in one message. An author is the owner or an admin; 256 heads are 19 KiB.
pub const MAX_HEADS: usize = 256;
/// Longest node record. A record is about 230 bytes; twice that leaves room for a field.
pub const MAX_RECORD_LEN: usize = 512;
/// Longest ML-KEM-768 encapsulation key (FIPS 203, table 3); empty when the node has none.
pub const MAX_KEM_KEY_LEN: usize = 1_184;
/// Longest name of a member or network in bytes: one DNS label (RFC 1035, 2.3.4).
pub const MAX_NAME_LEN: usize = 63;
/// Longest human-readable reason: one line of a terminal, twice.
pub const MAX_TEXT_LEN: usize = 256;
/// Longest software string in [`ControlMessage::Hello`].
pub const MAX_SOFTWARE_LEN: usize = 64;
/// Most addresses of one relay: two families, a few uplinks.
pub const MAX_RELAY_ADDRS: usize = 8;
/// Most relays of one network in one list. A node keeps links to at most four of them.
pub const MAX_RELAYS: usize = 16;

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

/// Codes of [`ControlMessage::JoinRefused::reason`].
pub mod join_reason {
    /// No invite of this id in the log.
    pub const UNKNOWN: u8 = 0;
    /// The invite was redeemed before.
    pub const USED: u8 = 1;
    /// The invite's time is over.
    pub const EXPIRED: u8 = 2;
    /// The issuer cancelled the invite.
    pub const CANCELLED: u8 = 3;
    /// The request does not parse, or a proof in it does not verify.
    pub const MALFORMED: u8 = 4;
    /// The network has no address or place left.
    pub const FULL: u8 = 5;
    /// The node was revoked from this network.
    pub const REVOKED: u8 = 6;
}

/// Codes of [`ControlMessage::CircuitClosed::reason`].
pub mod circuit_reason {
    /// One of the two ends is not a member of the network.
    pub const NOT_MEMBER: u8 = 0;
    /// The network's quota is used up.
    pub const QUOTA: u8 = 1;
    /// The peer is not bound here. The wish is kept and the circuit opens when it binds.
    pub const PEER_OFFLINE: u8 = 2;
    /// No label, or no room in the wish list.
    pub const FULL: u8 = 3;
    /// One of the two ends was revoked.
    pub const REVOKED: u8 = 4;
}

/// Codes of [`ControlMessage::Refused::code`].
pub mod refused_code {
    /// Anything without a code of its own; the text says what.
    pub const OTHER: u8 = 0;
    /// The relay does not host this network and nothing entitles it to.
    pub const NOT_ADMITTED: u8 = 1;
    /// The node is not a member of the network.
    pub const NOT_MEMBER: u8 = 2;
    /// Quota or a limit of the relay is used up.
    pub const QUOTA: u8 = 3;
    /// The message is not allowed in this state.
    pub const UNEXPECTED: u8 = 4;
    /// No common control version.
    pub const VERSION: u8 = 5;
    /// An entry or record in the message does not verify.
    pub const INVALID: u8 = 6;
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

/// Why a control message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Longer than [`MAX_MESSAGE_LEN`], or empty.
    #[error("control message length outside 1..=65536")]
    Length,
    /// Not CBOR of a known message, or a field over its limit.
    #[error("control message malformed")]
    Malformed,
    /// A valid message spelled in another way than the deterministic one, or followed by bytes.
    #[error("control message not in deterministic encoding")]
    NotCanonical,
    /// A field of a message to be sent is over its limit.
    #[error("control message field over its limit")]
    OverLimit,
}

impl ControlMessage {
    /// CBOR of the message, without the length prefix.
    ///
    /// # Errors
    /// [`ControlError::OverLimit`] and [`ControlError::Length`] when the message breaks a limit of this module.
    pub fn encode(&self) -> Result<Vec<u8>, ControlError> {
        let bytes = minicbor::to_vec(self).map_err(|_| ControlError::OverLimit)?;
        if bytes.len() > MAX_MESSAGE_LEN {
            return Err(ControlError::Length);
        }
        Ok(bytes)
    }

    /// Length prefix and CBOR: what goes into the stream.
    ///
    /// # Errors
    /// As [`ControlMessage::encode`].
    pub fn encode_framed(&self) -> Result<Vec<u8>, ControlError> {
        let body = self.encode()?;
        let length = u32::try_from(body.len()).map_err(|_| ControlError::Length)?;
        let mut framed = Vec::with_capacity(LENGTH_PREFIX + body.len());
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend_from_slice(&body);
        Ok(framed)
    }

    /// Reads exactly one message (without the length prefix).
    ///
    /// # Errors
    /// [`ControlError`]; nothing was changed anywhere.
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        if bytes.is_empty() || bytes.len() > MAX_MESSAGE_LEN {
            return Err(ControlError::Length);
        }
        let message: Self = minicbor::decode(bytes).map_err(|_| ControlError::Malformed)?;
        // One spelling only: also refuses trailing bytes, unknown fields and indefinite lengths.
        if message.encode().as_deref() != Ok(bytes) {
            return Err(ControlError::NotCanonical);
        }
        Ok(message)
    }

    /// Name of the message for logs and counters.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Attach { .. } => "attach",
            Self::Attached { .. } => "attached",
            Self::LogHeads { .. } => "log_heads",
            Self::LogPull { .. } => "log_pull",
            Self::LogEntries { .. } => "log_entries",
            Self::Publish { .. } => "publish",
            Self::JoinRequest { .. } => "join_request",
            Self::JoinPending { .. } => "join_pending",
            Self::JoinRefused { .. } => "join_refused",
            Self::BindRequest => "bind_request",
            Self::BindTicket { .. } => "bind_ticket",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::CircuitOpened { .. } => "circuit_opened",
            Self::CircuitClosed { .. } => "circuit_closed",
            Self::Refused { .. } => "refused",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
        }
    }
}

/// The name only: `BindTicket` carries a secret, and entries are long.
impl fmt::Debug for ControlMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads the length prefix at the start of a stream buffer.
///
/// `Ok(None)`: the buffer is shorter than the prefix. `Ok(Some(n))`: the message takes `n` bytes after the prefix.
///
/// # Errors
/// [`ControlError::Length`] when the peer announces 0 or more than [`MAX_MESSAGE_LEN`]: close the link, the stream cannot be resynchronised.
pub fn message_length(buffer: &[u8]) -> Result<Option<usize>, ControlError> {
    let Some(prefix) = buffer.first_chunk::<LENGTH_PREFIX>() else { return Ok(None) };
    match usize::try_from(u32::from_le_bytes(*prefix)) {
        Ok(length) if (1..=MAX_MESSAGE_LEN).contains(&length) => Ok(Some(length)),
        _ => Err(ControlError::Length),
    }
}
