//! What goes into a [`Node`](super::Node) and what comes out of it: configuration, restored state, outputs, events.
//!
//! The one rule of the output queue: **a [`Output::Persist`] is durable before any later output is performed, and before
//! the answer of the command that caused it is shown to anybody.** The node puts what it must never forget (an entry it
//! signed, its boot epoch, an owner key) into the queue before whatever reveals it, so that no crash can make it sign two
//! different entries with one number, or lose a network it told a user about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use netflow_wire::{InviteId, NetworkId, NodeId, RelayInfo, Tier};

use crate::identity::NodeKeys;
pub use crate::relay::{Grant, HostedInfo, LinkId, Quota, RelayConfig, RelayStatus};
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
    /// Send one UDP datagram from the one socket.
    Datagram {
        /// Where to. Never a v4-mapped address: a shell with a dual-stack socket maps it.
        to: SocketAddr,
        /// Payload.
        bytes: Vec<u8>,
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

/// What happened, for the shell (TUNs, routes) and for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A network carries traffic: make its TUN. Repeated when the plan of addresses changes; the last one counts.
    NetworkUp(NetworkPlan),
    /// A network is down: remove its TUN and routes.
    NetworkDown {
        /// The network.
        network: NetworkId,
        /// Why.
        reason: DownReason,
    },
    /// The log of a network changed: members, tags, policy or relays.
    MembershipChanged {
        /// The network.
        network: NetworkId,
    },
    /// A relay accepted a network of ours.
    RelayAttached {
        /// The network.
        network: NetworkId,
        /// The relay.
        relay: NodeId,
    },
    /// A relay does not serve a network of ours.
    RelayRefused {
        /// The network.
        network: NetworkId,
        /// The relay.
        relay: NodeId,
        /// Its words.
        text: String,
    },
    /// A join waits for the issuer's node to come online.
    JoinWaiting {
        /// The network.
        network: NetworkId,
        /// The relay that keeps the request.
        relay: NodeId,
    },
    /// This node is a member now. `NetworkUp` follows.
    JoinCompleted {
        /// The network.
        network: NetworkId,
    },
    /// The join is over without success; nothing of it is left on disk.
    JoinFailed {
        /// The network.
        network: NetworkId,
        /// Why, with its exit code.
        error: CommandError,
    },
    /// This node admitted another one.
    MemberAdmitted {
        /// The network.
        network: NetworkId,
        /// Who.
        node: NodeId,
        /// The invite it used.
        invite: InviteId,
    },
    /// A session with a peer began or was renewed.
    PeerEstablished {
        /// The network.
        network: NetworkId,
        /// The peer.
        node: NodeId,
    },
    /// An answer to one probe of `Node::ping`.
    PingReply {
        /// What `Node::ping` returned.
        ping: u64,
        /// Number of the probe from 0.
        seq: u32,
        /// Round trip in microseconds.
        rtt_us: u64,
        /// Path it took.
        path: PathInfo,
    },
    /// No answer to one probe within its time.
    PingLost {
        /// What `Node::ping` returned.
        ping: u64,
        /// Number of the probe from 0.
        seq: u32,
        /// What is known about why.
        text: String,
    },
    /// A member was revoked; its keys are gone here.
    MemberRevoked {
        /// The network.
        network: NetworkId,
        /// Who. May be this node; then `NetworkDown` follows.
        node: NodeId,
    },
    /// Somebody who may write the log signed two entries with one number. The author is frozen for everybody.
    ForkDetected {
        /// The network.
        network: NetworkId,
        /// The author's key.
        author: [u8; 32],
    },
}

/// What the shell needs to make a network's TUN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkPlan {
    /// The network.
    pub network: NetworkId,
    /// Its name.
    pub name: String,
    /// Own IPv4 address; `None` while two admins gave it to two members.
    pub ipv4: Option<Ipv4Addr>,
    /// Own IPv6 address.
    pub ipv6: Ipv6Addr,
    /// IPv4 prefix of the network.
    pub ipv4_prefix: Ipv4Net,
    /// IPv6 prefix of the network.
    pub ipv6_prefix: Ipv6Net,
    /// Inner MTU.
    pub mtu: u16,
}

/// Why a network is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DownReason {
    /// The user said so.
    Command,
    /// The user left it; nothing of it is left on disk.
    Left,
    /// This node was revoked.
    Revoked,
}

/// The way to a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathInfo {
    /// Through a relay.
    Relay {
        /// Which.
        relay: NodeId,
        /// Where datagrams go.
        addr: SocketAddr,
    },
}

/// Class of a failed command: the exit code `netctl` documents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// Anything else (exit 1).
    Failure,
    /// No such network, member, relay (exit 5).
    NotFound,
    /// Exists already, or clashes with something that does (exit 6).
    Conflict,
    /// A name, rule or token that cannot be (exit 7).
    Invalid,
    /// The invite is used, expired, cancelled or foreign (exit 8).
    Invite,
    /// The other side is not reachable (exit 9).
    Offline,
    /// Not allowed: not an admin, quota, policy (exit 10).
    Refused,
}

impl ErrorKind {
    /// Exit code of `netctl`.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Invalid => 7,
            Self::Invite => 8,
            Self::Offline => 9,
            Self::Refused => 10,
        }
    }

    /// Code of the control API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Invite => "invite",
            Self::Offline => "offline",
            Self::Refused => "refused",
        }
    }
}

/// A command that failed: what, why, and what to type next. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// Class.
    pub kind: ErrorKind,
    /// What and why, one line, no secret in it.
    pub message: String,
    /// The next command, when one helps.
    pub next: Option<String>,
}

impl CommandError {
    /// An error without advice.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), next: None }
    }

    /// The same error with the command that helps.
    #[must_use]
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }
}

/// Options of `Node::create_network`.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// IPv4 prefix, a /16 inside 100.64.0.0/10; `None`: one that no network of this node has.
    pub ipv4_prefix: Option<Ipv4Net>,
    /// Local prefixes (routes of this host) the choice must not clash with.
    pub avoid: Vec<Ipv4Net>,
    /// Relays; empty: `NodeConfig::default_relays`, and this node itself when it relays.
    pub relays: Vec<RelayInfo>,
}

/// Options of `Node::create_invite`.
#[derive(Clone, Debug)]
pub struct InviteOptions {
    /// How long the invite is good for, in seconds from now; 1 minute ..= 90 days.
    pub lifetime_s: u64,
    /// Tags the member gets.
    pub tags: Vec<String>,
}

impl Default for InviteOptions {
    /// One day, no tags.
    fn default() -> Self {
        Self { lifetime_s: 86_400, tags: Vec::new() }
    }
}

/// What `Node::create_invite` returns. The token is a secret: it is on no disk, and cannot be shown again.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedInvite {
    /// The invite.
    pub invite: InviteId,
    /// Text form to hand over (`nfinvite1...`).
    pub token: String,
    /// When it expires, seconds since 1970.
    pub expires_unix_s: u64,
}

impl std::fmt::Debug for IssuedInvite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedInvite({:?}, token hidden)", self.invite)
    }
}

/// Own state, for `netctl status`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// This node.
    pub node: NodeId,
    /// Its role.
    pub tier: Tier,
    /// Number of this start.
    pub boot_epoch: u32,
    /// Post-quantum policy.
    pub pq: PqMode,
    /// Control links, own and accepted.
    pub links: Vec<LinkStatus>,
    /// Counters since the start.
    pub counters: Counters,
}

/// One control link this node wants or has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkStatus {
    /// The other end.
    pub node: NodeId,
    /// `true`: to a relay of ours; `false`: accepted by our relay service.
    pub outgoing: bool,
    /// Is it up?
    pub up: bool,
    /// Is our UDP address bound there (outgoing), or theirs here?
    pub bound: bool,
    /// Remote address, when it is up.
    pub remote: Option<SocketAddr>,
    /// Own address as the relay sees it.
    pub observed: Option<SocketAddr>,
    /// Last failure, one line.
    pub last_error: Option<String>,
}

/// What the data path counted. All since the start of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Datagrams received.
    pub rx_datagrams: u64,
    /// Datagrams of no known kind, of an unknown label, or from the wrong address.
    pub rx_unknown: u64,
    /// Frames that did not authenticate, replays, refused handshakes.
    pub rx_refused: u64,
    /// Packets from a peer whose source address is not the peer's.
    pub rx_spoofed: u64,
    /// Packets from inside whose source address is not ours.
    pub tx_spoofed: u64,
    /// Packets the policy denied, either direction.
    pub policy_denied: u64,
    /// Packets from inside to an address nobody has.
    pub tx_no_route: u64,
    /// Packets from inside over the MTU.
    pub tx_too_big: u64,
    /// Packets dropped because a queue was full.
    pub queue_full: u64,
    /// IP packets delivered to the inside.
    pub rx_packets: u64,
    /// IP packets sealed and sent.
    pub tx_packets: u64,
}

/// A network in `netctl networks`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkInfo {
    /// The network.
    pub network: NetworkId,
    /// Its name; the invite's word for it until the log is here.
    pub name: String,
    /// Where it stands.
    pub state: NetworkStateInfo,
    /// Addresses; `None` until joined.
    pub plan: Option<NetworkPlan>,
    /// Members, this node included.
    pub members: usize,
    /// May this node invite and revoke?
    pub is_admin: bool,
    /// Is the owner key on this node?
    pub is_owner: bool,
    /// Relays in the network's order.
    pub relays: Vec<NetworkRelayInfo>,
}

/// Where a network stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetworkStateInfo {
    /// Waiting to be admitted.
    Joining,
    /// Carries traffic.
    Up,
    /// Down by command.
    Down,
    /// This node was revoked.
    Revoked,
}

/// A relay of a network as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkRelayInfo {
    /// The relay.
    pub relay: RelayInfo,
    /// Is the control link up?
    pub linked: bool,
    /// Does the relay serve the network?
    pub attached: bool,
    /// Quota it announced.
    pub quota: Option<Quota>,
}

/// A member in `netctl members`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberInfo {
    /// Who.
    pub node: NodeId,
    /// Name in the network.
    pub name: String,
    /// IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Ipv6Addr,
    /// Tags.
    pub tags: Vec<String>,
    /// May it invite and revoke?
    pub is_admin: bool,
    /// Is it this node?
    pub is_self: bool,
}

/// A peer in `netctl peers`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerInfo {
    /// Who.
    pub node: NodeId,
    /// Name in the network.
    pub name: String,
    /// Inner addresses.
    pub addresses: Vec<IpAddr>,
    /// Session in use.
    pub session: Option<PeerSession>,
    /// Path in use.
    pub path: Option<PathInfo>,
    /// Why this path.
    pub reason: String,
    /// Smoothed round trip of that path in microseconds.
    pub rtt_us: Option<u64>,
    /// Other paths open, with their round trip.
    pub alternatives: Vec<(PathInfo, Option<u64>)>,
}

/// The session of a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerSession {
    /// Record suite really in use.
    pub suite: &'static str,
    /// Is it protected against a quantum computer (hybrid ML-KEM-768)?
    pub hybrid_pq: bool,
    /// Microseconds since it was established.
    pub age_us: u64,
    /// Bytes of inner packets sent.
    pub tx_bytes: u64,
    /// Bytes of inner packets received.
    pub rx_bytes: u64,
    /// Microseconds since something authentic arrived.
    pub idle_us: Option<u64>,
}
