//! Options of commands, and the plain copies queries return.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::Ipv4Net;
use netflow_wire::inner::{Filtering, Mapping};
use netflow_wire::{InviteId, NetworkId, NodeId, RelayInfo, Tier};

use super::api::{LocalInterface, PortMapping};
use super::event::{NetworkPlan, PathInfo};
use crate::path::Class;
use crate::relay::{Carrier, Quota};
use crate::session::PqMode;

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

/// An invite in `netctl invites`. Public: every member can see it, and only the token joins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InviteInfo {
    /// Which.
    pub invite: InviteId,
    /// Who made it, and alone redeems it.
    pub issuer: Issuer,
    /// When it expires, seconds since 1970.
    pub expires_unix_s: u64,
    /// Tags the new member gets.
    pub tags: Vec<String>,
    /// What became of it.
    pub state: InviteState,
}

/// Who made an invite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Issuer {
    /// The owner, with the key of the network.
    Owner,
    /// An admin; perhaps not one any more.
    Node(NodeId),
}

/// What became of an invite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InviteState {
    /// Can be used.
    Open,
    /// This node came with it.
    Used(NodeId),
    /// Its time was over before anybody used it.
    Expired,
    /// Withdrawn by an admin.
    Cancelled,
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
    /// Of those delivered, packets whose flow was known: the data path took them past the node.
    pub rx_known: u64,
    /// The same of those sealed and sent.
    pub tx_known: u64,
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

/// How a path stands, for people; the better, the earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PathState {
    /// Carries traffic.
    Used,
    /// Ready, and kept so: the next one when the first dies.
    Warm,
    /// Ready.
    Open,
    /// Silent under traffic; being probed.
    Suspect,
    /// Was dead; begins to answer.
    Recovering,
    /// Does not answer.
    Dead,
}

/// One path in `netctl path`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathReport {
    /// Which.
    pub path: PathInfo,
    /// How it stands.
    pub state: PathState,
    /// The control link of its first relay is down.
    pub link_lost: bool,
    /// Bulk flows use it beside the path that was chosen for them.
    pub shares_bulk: bool,
    /// The classes of traffic that take it, and why; empty: none.
    pub reasons: Vec<(Class, String)>,
    /// Smoothed round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// Mean deviation of it in microseconds.
    pub rtt_var_us: u64,
    /// Smallest round trip of the last minutes in microseconds.
    pub min_rtt_us: Option<u64>,
    /// Share of frames lost, in parts per million.
    pub loss_ppm: u32,
    /// Most bits a second that passed over a stretch of the last minute; `None`: little was sent.
    pub goodput_bps: Option<u64>,
    /// Largest outer IP packet known to pass, in bytes.
    pub outer_mtu: u16,
    /// Largest inner packet that passes whole, in bytes.
    pub inner_mtu: u16,
    /// Price of a byte relative to other paths.
    pub price: u64,
    /// Microseconds since it was measured last.
    pub measured_us: Option<u64>,
}

/// What a node knows of its place in the underlay, for `netctl netcheck`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NatReport {
    /// Does UDP over IPv4 get out and back? `None`: not measured, or no relay has such an address.
    pub udp_v4: Option<bool>,
    /// The same for IPv6.
    pub udp_v6: Option<bool>,
    /// How the NAT maps (RFC 4787, 4.1).
    pub mapping: Mapping,
    /// Whom it lets in over IPv4 (RFC 4787, 5).
    pub filtering: Filtering,
    /// Whom the firewall lets in over IPv6, in the same terms.
    pub filtering_v6: Filtering,
    /// Does a packet to our own outside address come back in (RFC 4787, 6)?
    pub hairpin: Option<bool>,
    /// Mapping of the main port at the gateway.
    pub port_mapping: Option<PortMapping>,
    /// Addresses of this machine.
    pub interfaces: Vec<LocalInterface>,
    /// The main port as relays see it, one for each outside address.
    pub reflexive: Vec<SocketAddr>,
    /// Relays, the nearest first.
    pub relays: Vec<RelayReach>,
    /// When the last round of STUN ended, in [`crate::Now::mono_us`].
    pub measured_us: Option<u64>,
    /// Clock of this machine minus that of the relays in milliseconds, the median over those that answered [`super::Node::measure_nat`].
    pub clock_skew_ms: Option<i64>,
    /// A measurement is under way: ask again in a few seconds.
    pub is_measuring: bool,
}

/// How a relay is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayReach {
    /// The relay.
    pub node: NodeId,
    /// Remote address of the control link, while it is up.
    pub addr: Option<SocketAddr>,
    /// What carries the link.
    pub carrier: Option<Carrier>,
    /// Round trip of a STUN request in microseconds; `None`: no answer.
    pub rtt_us: Option<u64>,
    /// Our main port as this relay sees it.
    pub reflexive: Option<SocketAddr>,
    /// Largest IP packet known to reach it, in bytes, since [`super::Node::measure_nat`].
    pub mtu: Option<u16>,
}
