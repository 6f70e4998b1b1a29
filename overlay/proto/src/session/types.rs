//! The values the session table takes and gives: names of peers, keys, outcomes, reasons.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use netflow_wire::{NetworkId, NodeId, Suite};
use zeroize::Zeroizing;

/// One peer of one network. The same node in two networks is two peers with unrelated sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerRef {
    /// The network the session belongs to.
    pub network: NetworkId,
    /// The other end.
    pub node: NodeId,
}

/// How much post-quantum protection a node insists on. `docs/adr/0002-own-record-layer.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PqMode {
    /// Hybrid or nothing: never starts and never answers a handshake without ML-KEM-768.
    Strict,
    /// Hybrid with every peer whose record pins a KEM key; answers classical initiations of peers that cannot.
    #[default]
    Prefer,
    /// Never starts a hybrid handshake. Answers one, because the peer's record-pinned choice costs it nothing to honour.
    Off,
}

/// Our own long-term keys and the choices that go with them. No `Debug`, no comparison: it holds secrets.
pub struct LocalIdentity {
    /// x25519 private key (unclamped bytes are fine).
    pub static_secret: Zeroizing<[u8; 32]>,
    /// ML-KEM-768 key as its 64-byte seed (FIPS 203 `d | z`).
    pub kem_seed: Zeroizing<[u8; 64]>,
    /// High 32 bits of the handshake counter. Must be greater than in every earlier run of this node: `max(persisted + 1, unix_s)`.
    pub boot_epoch: u32,
    /// The processor has AES instructions: AES-GCM is offered, ChaCha20-Poly1305 otherwise.
    pub aes_hw: bool,
    /// Post-quantum policy.
    pub pq: PqMode,
}

/// A peer's long-term public keys, from its signed record.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteKeys {
    /// x25519 static public key.
    pub x25519: [u8; 32],
    /// ML-KEM-768 encapsulation key; the caller has compared it with the hash in the record. `None`: the record pins none.
    pub kem: Option<Box<[u8; 1184]>>,
}

/// Where a datagram came from. Only used for cookies and rate limits: the table knows no paths and follows no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Straight from this address.
    Direct(SocketAddr),
    /// Through a circuit of a relay.
    Relayed {
        /// Address of the relay.
        relay: SocketAddr,
        /// Our label of the circuit at that relay.
        label: u32,
    },
}

impl Source {
    /// Canonical bytes of the source, the input of a cookie: kind, address (v4-mapped), port, label.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 23] {
        let (kind, address, label) = match self {
            Self::Direct(address) => (0u8, address, 0u32),
            Self::Relayed { relay, label } => (1u8, relay, *label),
        };
        let ip = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut out = [0u8; 23];
        let (head, rest) = out.split_at_mut(1);
        head.copy_from_slice(&[kind]);
        let (ip_part, rest) = rest.split_at_mut(16);
        ip_part.copy_from_slice(&ip.octets());
        let (port_part, label_part) = rest.split_at_mut(2);
        port_part.copy_from_slice(&address.port().to_le_bytes());
        label_part.copy_from_slice(&label.to_le_bytes());
        out
    }
}

/// What became of a packet given to `seal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealOutcome {
    /// The frame to send on the peer's path.
    Frame(Vec<u8>),
    /// No session yet: the packet waits (at most 64 per peer, oldest dropped) and a handshake is under way.
    /// It comes out of `poll_transmit` once the session stands.
    Queued,
    /// The peer is not in the table.
    NoPeer,
    /// It cannot be sent, now or later, for this reason.
    Refused(RefuseReason),
}

/// What became of a packet given to `seal_into`: the same without the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealStatus {
    /// The frame was appended to the buffer.
    Sealed,
    /// See [`SealOutcome::Queued`].
    Queued,
    /// See [`SealOutcome::NoPeer`].
    NoPeer,
    /// See [`SealOutcome::Refused`].
    Refused(RefuseReason),
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefuseReason {
    /// The policy is strict and the peer's record pins no post-quantum key.
    #[error("strict post-quantum policy, but the peer has no ML-KEM key")]
    PqRequired,
    /// The peer's KEM key is not a valid ML-KEM-768 encapsulation key.
    #[error("the peer's ML-KEM key is malformed")]
    BadKemKey,
    /// An inner message has at least one byte.
    #[error("empty packet")]
    Empty,
    /// The packet is larger than any datagram can carry.
    #[error("packet larger than a datagram")]
    TooLarge,
    /// A limit of the table is reached (indices, handshakes of this run).
    #[error("session table exhausted")]
    Exhausted,
}

/// Why a peer was not taken into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpsertError {
    /// `add_network` was not called for the peer's network.
    #[error("network not active")]
    UnknownNetwork,
    /// Another node of the same network already uses this x25519 key; the first keeps it.
    #[error("static key already belongs to another node")]
    DuplicateStatic,
    /// The key is our own.
    #[error("static key is our own")]
    OwnStatic,
    /// The table holds its maximum of peers.
    #[error("too many peers")]
    TooManyPeers,
}

/// What became of a frame given to `handle_frame`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameOutcome {
    /// Authenticated, fresh data of this peer: the plaintext is this range of the buffer that was passed in. Never empty.
    Inner {
        /// Who sent it.
        peer: PeerRef,
        /// Where in the buffer.
        plaintext: Range<usize>,
    },
    /// Send these bytes back to the source, and draw no other conclusion: the source is not authenticated.
    /// Never longer than the frame it answers.
    Reply(Vec<u8>),
    /// The frame completed a handshake and carried nothing else. [`SessionEvent::Established`] is queued as well.
    Established {
        /// The other end.
        peer: PeerRef,
    },
    /// An authenticated frame without payload (keepalive, key confirmation).
    Accepted {
        /// Who sent it.
        peer: PeerRef,
    },
    /// A cookie reply to our pending initiation was taken; the initiation goes out again through `poll_transmit`.
    /// Says nothing about where the peer is: send it where the initiation went, never to the source of this frame.
    CookieTaken {
        /// The peer the initiation was for.
        peer: PeerRef,
    },
    /// Nothing happened.
    Drop(DropReason),
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// Why a frame was dropped. Counted by [`SessionTable::drops`](super::SessionTable::drops).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// Every reason, in a fixed order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// A stable name for metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

drop_reasons! {
    /// Not a session frame, wrong length, or a reserved bit set.
    Malformed => "malformed",
    /// The mac fits none of our networks.
    BadMac => "bad_mac",
    /// The receiver index is not ours (any more).
    UnknownIndex => "unknown_index",
    /// Noise or AEAD authentication failed.
    BadCrypto => "bad_crypto",
    /// The initiator is not a peer of that network.
    UnknownPeer => "unknown_peer",
    /// Handshake counter not above the last one of this peer.
    HandshakeReplay => "handshake_replay",
    /// Record counter seen before or older than the window.
    Replay => "replay",
    /// Session too old or its counter at the limit.
    Expired => "expired",
    /// Classical handshake against a strict policy, or contradictory capabilities.
    PqRefused => "pq_refused",
    /// The source, though verified, sends more initiations than allowed under load.
    RateLimited => "rate_limited",
    /// Both ends initiated at once and ours has precedence.
    SimultaneousInit => "simultaneous_init",
    /// A limit of the table is reached.
    Exhausted => "exhausted",
}

/// What `info` tells about a session in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// AEAD of the records.
    pub suite: Suite,
    /// AEAD of the handshake.
    pub handshake_suite: Suite,
    /// The keys depend on an ML-KEM-768 shared secret as well. What was really used, not what was wished.
    pub hybrid_pq: bool,
    /// We sent the initiation.
    pub initiator: bool,
    /// `mono_us` at which the session was established.
    pub established_us: u64,
    /// Datagram bytes of data frames sent to the peer, over all sessions.
    pub tx_bytes: u64,
    /// Datagram bytes of authenticated data frames received, over all sessions.
    pub rx_bytes: u64,
    /// Data frames sent, over all sessions.
    pub tx_packets: u64,
    /// Authenticated data frames received, over all sessions.
    pub rx_packets: u64,
    /// `mono_us` of the last authenticated data frame.
    pub last_rx_us: Option<u64>,
}

/// Something that happened to a peer's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// A session was established or renewed and confirmed.
    Established {
        /// The other end.
        peer: PeerRef,
        /// False when it replaced a session that was still usable.
        first: bool,
    },
    /// The last usable session ran out; the next packet starts a handshake.
    Expired {
        /// The other end.
        peer: PeerRef,
    },
    /// No answer for 90 s without new traffic (or for longer with): the queue is gone, nothing more is sent until the next packet.
    HandshakeFailed {
        /// The other end.
        peer: PeerRef,
    },
}
