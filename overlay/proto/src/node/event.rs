//! What a node tells the shell and the user: events, and why a command failed.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};
use netflow_wire::{InviteId, NetworkId, NodeId};

use crate::endpoint::{Endpoint, Hops, PathKey, PortId};
use crate::path::Class;

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
    /// A class of traffic takes another path to a peer.
    PathChanged {
        /// The network.
        network: NetworkId,
        /// The peer.
        node: NodeId,
        /// What takes it.
        class: Class,
        /// The path.
        path: PathInfo,
        /// The one before would have gone on working: at most one such change of a peer in 10 s.
        voluntary: bool,
        /// Why, for people.
        reason: String,
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
    /// A trace is over.
    TraceDone {
        /// What `Node::trace` returned.
        trace: u64,
        /// The relays of the path, nearest first.
        hops: Vec<TraceHopInfo>,
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

/// One relay of a traced path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceHopInfo {
    /// Which.
    pub relay: NodeId,
    /// Round trip from here to it in microseconds, on the data path; `None`: no answer.
    pub rtt_us: Option<u64>,
    /// Hop limit a frame of ours has when it comes there.
    pub hop_limit: u8,
}

/// A trace that was begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceStarted {
    /// Number of the [`Event::TraceDone`] to come; `None` for a direct path: no relay is asked.
    pub trace: Option<u64>,
    /// The path in use.
    pub path: PathInfo,
}

/// The way to a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathInfo {
    /// Without a relay.
    Direct {
        /// From which of our ports.
        port: PortId,
        /// Where datagrams go.
        addr: SocketAddr,
    },
    /// Through relays.
    Relay {
        /// Which, first hop first.
        hops: Hops,
        /// Where frames go.
        endpoint: Endpoint,
    },
}

impl PathInfo {
    /// Is there no relay on it?
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        matches!(self, Self::Direct { .. })
    }

    /// The way a key and an endpoint describe.
    pub(super) const fn of(key: PathKey, endpoint: Endpoint) -> Self {
        match key {
            PathKey::Direct { port, addr } => Self::Direct { port, addr },
            PathKey::Relay(hops) => Self::Relay { hops, endpoint },
        }
    }
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

/// What exactly it was, where programs act on more than the class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorDetail {
    /// Addresses clash with those of this host or of another network ([`ErrorKind::Conflict`]).
    Clash,
    /// The invite was used before ([`ErrorKind::Invite`]).
    InviteUsed,
    /// Its time is over.
    InviteExpired,
    /// An admin cancelled it.
    InviteCancelled,
    /// No relay it names knows it.
    InviteForeign,
    /// Needs the owner or an admin of the network ([`ErrorKind::Refused`]).
    NotAdmin,
}

/// A command that failed: what, why, and what to type next. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// Class.
    pub kind: ErrorKind,
    /// What exactly, where it matters. Never guessed from words: those of a refusal are the relay's.
    pub detail: Option<ErrorDetail>,
    /// What and why, one line, no secret in it.
    pub message: String,
    /// The next command, when one helps.
    pub next: Option<String>,
}

impl CommandError {
    /// An error without advice.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, detail: None, message: message.into(), next: None }
    }

    /// The same error, told more exactly.
    #[must_use]
    pub const fn detail(mut self, detail: ErrorDetail) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The same error with the command that helps.
    #[must_use]
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }
}
