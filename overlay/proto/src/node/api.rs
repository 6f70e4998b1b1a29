//! What goes into a [`Node`](super::Node) and what comes out of it: configuration, restored state, outputs.
//!
//! The one rule of the output queue: **a [`Output::Persist`] is durable before any later output is performed, and before
//! the answer of the command that caused it is shown to anybody.** The node puts what it must never forget (an entry it
//! signed, its boot epoch, an owner key) into the queue before whatever reveals it, so that no crash can make it sign two
//! different entries with one number, or lose a network it told a user about.

use std::net::SocketAddr;

use netflow_wire::{NetworkId, NodeId, RelayInfo, Tier};

pub use super::event::{
    CommandError, DownReason, ErrorDetail, ErrorKind, Event, NetworkPlan, PathInfo, TraceHopInfo, TraceStarted,
};
pub use super::views::{
    Counters, CreateOptions, InviteInfo, InviteOptions, InviteState, IssuedInvite, Issuer, LinkStatus, MemberInfo,
    NatReport, NetworkInfo, NetworkRelayInfo, NetworkStateInfo, NodeStatus, PathReport, PathState, PeerInfo,
    PeerSession, RelayReach,
};
pub use netflow_wire::inner::{Filtering, Mapping};

use crate::endpoint::PortId;
use crate::identity::NodeKeys;
pub use crate::relay::{Carrier, Grant, HostedInfo, LinkId, MeshInfo, Quota, RelayConfig, RelayStatus, Transit};
use crate::session::PqMode;

/// Smallest inner MTU: the IPv6 minimum link MTU (RFC 8200, 5).
pub const MIN_MTU: u16 = 1280;
/// Default inner MTU. 1280 + 32 (record header and tag) + 8 (relay) + 48 (outer IPv6 and UDP) = 1368 passes every common uplink,
/// PPPoE and tunnels included, without path MTU discovery.
pub const DEFAULT_MTU: u16 = MIN_MTU;
/// Most networks of one node: the handshake of a stranger is tried against the key of each.
pub const MAX_NETWORKS: usize = 16;
/// Control links kept per network.
pub const MAX_RELAYS_USED: usize = 4;

/// Everything a node is told once.
pub struct NodeConfig {
    /// Long-term keys of this node.
    pub keys: NodeKeys,
    /// Account that earns for this node (EVM address), zeros for none. Goes into the node record.
    pub reward: [u8; 20],
    /// Sequence number of the node record. Raise it when `reward` or a key changes.
    pub record_seq: u64,
    /// Role in the network of operators.
    pub tier: Tier,
    /// Name this node wishes for in a network it joins; the host name.
    pub name: String,
    /// Program and version for the control `Hello`, at most 64 bytes.
    pub software: String,
    /// Relays a network created here gets when the command names none, at most 16.
    pub default_relays: Vec<RelayInfo>,
    /// Relay service for others; `None` on an edge node.
    pub relay: Option<RelayConfig>,
    /// Post-quantum policy of sessions.
    pub pq: PqMode,
    /// Does this CPU have AES instructions? Decides the record suite offered.
    pub aes_hardware: bool,
    /// Inner MTU of every network, at least [`MIN_MTU`].
    pub mtu: u16,
}

/// A mapping of the main port that a gateway keeps for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// Where the world reaches the main port.
    pub external: SocketAddr,
    /// Who made it.
    pub protocol: MapProtocol,
    /// How long the gateway promised to keep it, in seconds; the shell renews it.
    pub lifetime_s: u32,
}

/// How a gateway is asked to map a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapProtocol {
    /// Port Control Protocol (RFC 6887).
    Pcp,
    /// NAT Port Mapping Protocol (RFC 6886).
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
}

/// One address of an interface of this machine; those of overlay TUNs and loopback are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalInterface {
    /// Name of the interface.
    pub name: String,
    /// Address.
    pub addr: std::net::IpAddr,
    /// Length of the prefix that is directly connected.
    pub prefix_len: u8,
    /// Does a default route of this family leave by it?
    pub has_default_route: bool,
}

/// What the shell found on disk.
#[derive(Default)]
pub struct Restored {
    /// Last [`Persist::BootEpoch`], 0 when there is none.
    pub boot_epoch: u32,
    /// Networks this node belongs to, is joining, or began to create.
    pub networks: Vec<RestoredNetwork>,
    /// Networks whose log this relay keeps for others.
    pub hosted: Vec<RestoredHosted>,
}

/// One network as [`Persist`] outputs wrote it. A missing part is `None`; parts are returned byte for byte.
pub struct RestoredNetwork {
    /// Which one.
    pub network: NetworkId,
    /// Raw entries of every [`Persist::LogAppend`], oldest first. A torn last write is left out by the shell.
    pub log: Vec<Vec<u8>>,
    /// Last [`Persist::NetworkSecret`].
    pub secret: Option<Vec<u8>>,
    /// Last [`Persist::NetworkMeta`].
    pub meta: Option<Vec<u8>>,
    /// Last [`Persist::PendingJoin`].
    pub pending_join: Option<Vec<u8>>,
}

/// One network a relay keeps for others.
pub struct RestoredHosted {
    /// Which one.
    pub network: NetworkId,
    /// Raw entries of every [`Persist::HostedAppend`], oldest first.
    pub log: Vec<Vec<u8>>,
    /// Last [`Persist::HostedMeta`].
    pub meta: Option<Vec<u8>>,
}

/// A change of durable state. The shell makes it durable (fsync) before it performs any later output.
///
/// Suggested layout: `networks/<id>/{log,secret,meta,join}` and `hosted/<id>/{log,meta}`. `secret` and `join` hold keys:
/// mode 0600. Values other than the logs replace the earlier one whole (write, fsync, rename).
#[derive(Clone, PartialEq, Eq)]
pub enum Persist {
    /// Append one raw entry to the log of a network of ours.
    LogAppend {
        /// The network.
        network: NetworkId,
        /// The entry as it is passed on.
        raw: Vec<u8>,
    },
    /// Replace the secret part of a network: the owner key. Secret.
    NetworkSecret {
        /// The network.
        network: NetworkId,
        /// Opaque; empty: remove it.
        bytes: Vec<u8>,
    },
    /// Replace the state of a network that is not in the log. Its presence also says that create or join is complete.
    NetworkMeta {
        /// The network.
        network: NetworkId,
        /// Opaque.
        bytes: Vec<u8>,
    },
    /// Replace the join in progress. Secret: it holds the invite key.
    PendingJoin {
        /// The network.
        network: NetworkId,
        /// Opaque; `None`: remove it.
        bytes: Option<Vec<u8>>,
    },
    /// Forget a network of ours: everything named above.
    NetworkRemove {
        /// The network.
        network: NetworkId,
    },
    /// Append one raw entry to the log of a network hosted for others.
    HostedAppend {
        /// The network.
        network: NetworkId,
        /// The entry as it is passed on.
        raw: Vec<u8>,
    },
    /// Replace the relay's own notes on a hosted network (volume used today).
    HostedMeta {
        /// The network.
        network: NetworkId,
        /// Opaque.
        bytes: Vec<u8>,
    },
    /// Forget a hosted network.
    HostedRemove {
        /// The network.
        network: NetworkId,
    },
    /// Number of this start of the program: the high half of handshake counters, never used twice.
    BootEpoch(u32),
}

/// The kind only: two of the variants carry secrets.
impl std::fmt::Debug for Persist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LogAppend { network, raw } => write!(f, "LogAppend({network:?}, {} bytes)", raw.len()),
            Self::NetworkSecret { network, .. } => write!(f, "NetworkSecret({network:?})"),
            Self::NetworkMeta { network, .. } => write!(f, "NetworkMeta({network:?})"),
            Self::PendingJoin { network, bytes } => write!(f, "PendingJoin({network:?}, {})", bytes.is_some()),
            Self::NetworkRemove { network } => write!(f, "NetworkRemove({network:?})"),
            Self::HostedAppend { network, raw } => write!(f, "HostedAppend({network:?}, {} bytes)", raw.len()),
            Self::HostedMeta { network, .. } => write!(f, "HostedMeta({network:?})"),
            Self::HostedRemove { network } => write!(f, "HostedRemove({network:?})"),
            Self::BootEpoch(epoch) => write!(f, "BootEpoch({epoch})"),
        }
    }
}

/// One side effect for the shell. Performed in the order they come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Make durable, before anything after it.
    Persist(Persist),
    /// Send one UDP datagram. "Don't fragment" is always set: too large ones are to vanish, not to be cut.
    Datagram {
        /// The local port to send from.
        from: PortId,
        /// Where to. Never a v4-mapped address: a shell with a dual-stack socket maps it.
        to: SocketAddr,
        /// IP TTL or hop limit of this one datagram; `None`: the system's.
        ttl: Option<u8>,
        /// Payload.
        bytes: Vec<u8>,
    },
    /// Send one of our frames over the stream of a [`Carrier::Stream`] link. May be dropped when that is full, like a datagram.
    LinkFrame {
        /// The link.
        link: LinkId,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Bind one more UDP socket to a port the system chooses. The shell answers with `handle_port_open`.
    PortOpen {
        /// What to call it.
        port: PortId,
    },
    /// Close such a socket.
    PortClose {
        /// Which.
        port: PortId,
    },
    /// Keep a mapping of the main port at the gateway (PCP, NAT-PMP, UPnP), or give it back. Answered by `handle_port_map`, then and at every change.
    MapPort {
        /// Keep it?
        wanted: bool,
    },
    /// Write one IP packet into the TUN of a network.
    Inside {
        /// The network.
        network: NetworkId,
        /// The packet.
        packet: Vec<u8>,
    },
    /// Send one control message over a link. `bytes` is CBOR without the length prefix.
    LinkSend {
        /// The link.
        link: LinkId,
        /// Message for the stream; the shell writes the u32 LE length before it.
        bytes: Vec<u8>,
    },
    /// Open a control link to a node. The shell answers with `handle_link_up` or `handle_link_failed`, and ignores a
    /// request for a node it is connecting to already.
    LinkConnect {
        /// Key the other side must prove.
        node: NodeId,
        /// Addresses to try in order.
        addrs: Vec<SocketAddr>,
    },
    /// Close a control link after what was sent; the shell need not report it.
    LinkClose {
        /// The link.
        link: LinkId,
    },
    /// Something a user or the shell wants to know.
    Event(Event),
}
