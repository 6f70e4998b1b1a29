//! Results and events of each method. Receivers ignore fields they do not know; `Option` fields may be absent.
//!
//! Node ids are `nf1...`, network ids `nfnet1...`; times in the past are ages (`_s`, `_ms` ago, by the daemon's monotonic
//! clock), only `_unix_s` fields are wall-clock time; byte counters count since the session, link or process began.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::Secret;

/// Event type of methods that send no events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NoEvent {}

/// Tier of a node: how it takes part in the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Edge node: home router, office, laptop.
    En,
    /// Central node: rendezvous and relay of a region.
    Cn,
    /// Root node: backbone relay.
    Rn,
    /// A tier this version does not know.
    #[serde(other)]
    Unknown,
}

/// What this node may do in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Holds the owner key.
    Owner,
    /// Appointed by the owner: may invite, revoke, tag, set policy.
    Admin,
    /// Plain member.
    Member,
    /// Was a member and has been revoked.
    Revoked,
    /// Joining: the issuer of the invite has not answered yet.
    Pending,
    /// A role this version does not know.
    #[serde(other)]
    Unknown,
}

/// One network of this node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkInfo {
    /// `nfnet1...`.
    pub id: String,
    /// Name given by the owner.
    pub name: String,
    /// Meant by commands that name no network.
    pub active: bool,
    /// Interface is configured and packets flow.
    pub up: bool,
    /// What this node may do there.
    pub role: Role,
    /// This node's name in the network.
    #[serde(default)]
    pub member_name: Option<String>,
    /// This node's IPv4 address, absent while an address clash is unsettled.
    #[serde(default)]
    pub ipv4: Option<Ipv4Addr>,
    /// This node's IPv6 address.
    #[serde(default)]
    pub ipv6: Option<Ipv6Addr>,
    /// IPv4 prefix of the network, e.g. `100.77.0.0/16`.
    #[serde(default)]
    pub ipv4_prefix: Option<String>,
    /// IPv6 prefix of the network, e.g. `fd12:3456:789a::/48`.
    #[serde(default)]
    pub ipv6_prefix: Option<String>,
    /// Name of the TUN interface, e.g. `nf0`.
    #[serde(default)]
    pub interface: Option<String>,
    /// Members that are not revoked, this node included.
    pub members: u32,
    /// Relays named by the network, each as `nf1...@addr:port`.
    #[serde(default)]
    pub relays: Vec<String>,
    /// Why it does not work, if it does not (address clash, revoked, no relay), as one line.
    #[serde(default)]
    pub problem: Option<String>,
}

/// A control link between this node and a relay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelayLinkInfo {
    /// Node id of the relay.
    pub node: String,
    /// Its tier, when it has said it.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// Address in use or tried.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// Control link is up and authenticated.
    pub connected: bool,
    /// UDP address is bound: circuits can carry packets.
    pub bound: bool,
    /// This node's address as the relay sees it.
    #[serde(default)]
    pub public_address: Option<SocketAddr>,
    /// Round trip of the control link in milliseconds.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
    /// Networks attached there, by name or id.
    #[serde(default)]
    pub networks: Vec<String>,
    /// Why it is not connected, as one line.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Result of `status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusResult {
    /// Version of the daemon, e.g. `0.1.0`.
    pub version: String,
    /// This node's id.
    pub node: String,
    /// This node's tier.
    pub tier: Tier,
    /// Time since the daemon started, seconds.
    pub uptime_s: u64,
    /// UDP address in use.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Post-quantum mode of new sessions: `strict`, `prefer` or `off`.
    pub pq: String,
    /// Networks of this node.
    pub networks: Vec<NetworkInfo>,
    /// Relays this node uses.
    #[serde(default)]
    pub relays: Vec<RelayLinkInfo>,
    /// This node relays for others.
    #[serde(default)]
    pub relaying: bool,
    /// How others name this node as their relay, `nf1...@addr:port` for each public address; empty when it does not relay.
    #[serde(default)]
    pub relay_addresses: Vec<String>,
}

/// Result of `up`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpResult {
    /// The network, after the change.
    pub network: NetworkInfo,
    /// False when it was up already.
    pub changed: bool,
}

/// Result of `down`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DownResult {
    /// The network, after the change.
    pub network: NetworkInfo,
    /// False when it was down already.
    pub changed: bool,
}

/// Result of `network.create`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkCreateResult {
    /// The new network.
    pub network: NetworkInfo,
    /// At least one relay has accepted the network; invites work once it has.
    pub published: bool,
}

/// Result of `network.invite`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkInviteResult {
    /// Name of the network.
    pub network: String,
    /// Id of the network.
    pub network_id: String,
    /// Public id of the invite, for lists and logs.
    pub invite: String,
    /// The token: whoever holds it first becomes a member.
    pub token: Secret,
    /// End of its life, seconds since 1970 UTC.
    pub expires_unix_s: u64,
    /// Tags the new member gets.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// How far a join is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStage {
    /// Reaching a relay named in the token.
    Connecting,
    /// The request is at a relay, and the issuer of the invite has not answered yet.
    Requested,
    /// The relay keeps the request; the issuer is offline.
    Waiting,
    /// Accepted; fetching the network's log.
    Accepted,
    /// A stage this version does not know.
    #[serde(other)]
    Unknown,
}

/// Event of `network.join`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinEvent {
    /// How far it is.
    pub stage: JoinStage,
    /// The same for people, one line.
    pub text: String,
}

/// Result of `network.join`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkJoinResult {
    /// The network joined, up.
    pub network: NetworkInfo,
    /// From the request to the membership, milliseconds.
    pub elapsed_ms: u64,
}

/// Result of `network.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkListResult {
    /// Networks of this node.
    pub networks: Vec<NetworkInfo>,
}

/// Result of `network.switch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkSwitchResult {
    /// The network that is active now.
    pub network: NetworkInfo,
    /// Name of the network that was active before.
    #[serde(default)]
    pub previous: Option<String>,
}

/// Result of `network.leave`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkLeaveResult {
    /// Id of the network left.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Name of the network that is active now.
    #[serde(default)]
    pub active: Option<String>,
}

/// Result of `network.export_owner`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OwnerExport {
    /// `nfnet1...`.
    pub network: String,
    /// Name of the network.
    pub name: String,
    /// The owner's ed25519 secret key, 64 hexadecimal digits. The client seals it before it reaches a disk.
    pub owner_key: Secret,
    /// Relays that store the network's log, as `nf1...@host:port`.
    #[serde(default)]
    pub relays: Vec<String>,
}

/// Result of `network.import_owner`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkImportOwnerResult {
    /// The network, as far as its log is there.
    pub network: NetworkInfo,
}

/// One member of a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberInfo {
    /// `nf1...`.
    pub node: String,
    /// Name in this network.
    pub name: String,
    /// IPv4 address; absent while an address clash is unsettled.
    #[serde(default)]
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Ipv6Addr,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What the member may do.
    pub role: Role,
    /// It is this node.
    #[serde(default)]
    pub this_node: bool,
    /// A session with it is up. Always true for this node.
    #[serde(default)]
    pub connected: bool,
    /// Since its last authenticated packet, seconds; absent if none since the daemon started.
    #[serde(default)]
    pub last_seen_s: Option<u64>,
}

/// Result of `members.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembersListResult {
    /// Name of the network.
    pub network: String,
    /// Its id.
    pub network_id: String,
    /// Members, sorted by name.
    pub members: Vec<MemberInfo>,
    /// Node ids that were revoked.
    #[serde(default)]
    pub revoked: Vec<String>,
}

/// Result of `members.revoke`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MembersRevokeResult {
    /// Name of the network.
    pub network: String,
    /// Node id of the revoked member.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Members and relays the entry was sent to at once; the others learn it by gossip.
    pub told: u32,
}

/// Result of the methods that change one member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberChanged {
    /// Name of the network.
    pub network: String,
    /// The member after the change.
    pub member: MemberInfo,
}

/// Protocol a rule speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleProto {
    /// Every protocol.
    #[default]
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleAction {
    /// Let it pass, and the replies of the flow too.
    Allow,
    /// Drop it.
    Deny,
}

/// One rule of a policy; the same shape in the file of `netctl policy set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRule {
    /// What it decides.
    pub action: RuleAction,
    /// Who opens the flow: `*` or `tag:NAME`.
    pub from: String,
    /// Who is addressed: `*` or `tag:NAME`.
    pub to: String,
    /// Protocol; any if absent.
    #[serde(default)]
    pub proto: RuleProto,
    /// Destination ports, TCP and UDP only; all if empty.
    #[serde(default)]
    pub ports: Vec<PortRange>,
}

/// Ports `lo` to `hi`, both included. In JSON a string: `"443"` or `"8000-8100"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    /// First port.
    pub lo: u16,
    /// Last port, not below `lo`.
    pub hi: u16,
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (lo, hi) = text.split_once('-').unwrap_or((&text, &text));
        match (lo.trim().parse(), hi.trim().parse()) {
            (Ok(lo), Ok(hi)) if lo <= hi => Ok(Self { lo, hi }),
            _ => Err(format!(
                "{:?} is not a port or a range like \"8000-8100\"",
                text.chars().take(32).collect::<String>()
            )),
        }
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        if range.lo == range.hi { range.lo.to_string() } else { format!("{}-{}", range.lo, range.hi) }
    }
}

/// Result of `policy.get` and `policy.set`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyResult {
    /// Name of the network.
    pub network: String,
    /// Its id.
    pub network_id: String,
    /// Rules in force, in order.
    pub rules: Vec<PolicyRule>,
}

/// The session with a peer: what really protects the packets now.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Record suite: `ChaCha20-Poly1305` or `AES-256-GCM`.
    pub suite: String,
    /// The keys come from X25519 and ML-KEM-768 together; false = X25519 alone.
    pub hybrid_pq: bool,
    /// Since the handshake, seconds.
    pub age_s: u64,
    /// Bytes of inner packets received.
    pub rx_bytes: u64,
    /// Bytes of inner packets sent.
    pub tx_bytes: u64,
    /// Data frames received and accepted; 0 where the daemon counts bytes only.
    #[serde(default)]
    pub rx_packets: u64,
    /// Data frames sent; 0 where the daemon counts bytes only.
    #[serde(default)]
    pub tx_packets: u64,
    /// Since the last accepted frame, seconds.
    #[serde(default)]
    pub last_rx_s: Option<u64>,
}

/// How packets travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// Through a relay, which sees ciphertext only.
    Relay,
    /// From address to address.
    Direct,
    /// A kind this version does not know.
    #[serde(other)]
    Unknown,
}

/// A path to a peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PathInfo {
    /// How packets travel.
    pub kind: PathKind,
    /// Node id of the relay.
    #[serde(default)]
    pub relay: Option<String>,
    /// Underlay address packets are sent to.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// Smoothed round trip in milliseconds, measured inside the session.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
    /// Why this path is used or not, one line, e.g. `lowest RTT of 2 relays`.
    pub reason: String,
}

/// A peer: another member as the data plane sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerInfo {
    /// `nf1...`.
    pub node: String,
    /// Name in this network.
    pub name: String,
    /// IPv4 address.
    #[serde(default)]
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Ipv6Addr,
    /// The session, if one is up.
    #[serde(default)]
    pub session: Option<SessionInfo>,
    /// The path in use.
    #[serde(default)]
    pub path: Option<PathInfo>,
    /// Other paths that are ready.
    #[serde(default)]
    pub other_paths: Vec<PathInfo>,
    /// Why there is no session or path, one line.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Result of `peers`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeersResult {
    /// Name of the network.
    pub network: String,
    /// Its id.
    pub network_id: String,
    /// Peers, sorted by name.
    pub peers: Vec<PeerInfo>,
}

/// Event of `ping`: one probe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PingEvent {
    /// Number of the probe, from 1.
    pub seq: u32,
    /// Round trip in microseconds; absent = lost.
    #[serde(default)]
    pub rtt_us: Option<u64>,
    /// Path the probe took, e.g. `relay cn1 192.0.2.1:4790`.
    #[serde(default)]
    pub path: Option<String>,
}

/// Result of `ping`. No answer at all is the error `timeout` instead.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PingResult {
    /// Node id of the peer.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Its IPv4 address.
    #[serde(default)]
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    #[serde(default)]
    pub ipv6: Option<Ipv6Addr>,
    /// Probes sent.
    pub sent: u32,
    /// Probes answered.
    pub received: u32,
    /// Shortest round trip, microseconds.
    #[serde(default)]
    pub min_us: Option<u64>,
    /// Mean round trip, microseconds.
    #[serde(default)]
    pub avg_us: Option<u64>,
    /// Longest round trip, microseconds.
    #[serde(default)]
    pub max_us: Option<u64>,
}

/// Verdict of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Works, but not as well as it could.
    Warn,
    /// Does not work.
    Fail,
}

/// One check of `doctor`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What was checked, e.g. `relay nf1abc...`.
    pub name: String,
    /// The verdict.
    pub state: CheckState,
    /// What was found, one line.
    pub text: String,
    /// What to do about it, one line; a command where there is one.
    #[serde(default)]
    pub next: Option<String>,
}

/// Result of `doctor`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DoctorResult {
    /// Checks, in the order in which to repair.
    pub checks: Vec<Check>,
}

/// A network this node relays for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelayedNetwork {
    /// `nfnet1...`.
    pub network: String,
    /// Members attached now.
    pub attached: u32,
    /// Circuits open now.
    pub circuits: u32,
    /// Bytes received from members and forwarded, since the process started.
    pub rx_bytes: u64,
    /// Bytes that left, since the process started.
    pub tx_bytes: u64,
    /// Frames dropped by rate or quota.
    #[serde(default)]
    pub dropped_packets: u64,
    /// Bytes used of today's quota.
    #[serde(default)]
    pub used_bytes_day: u64,
    /// Quota in bytes a day; absent = none.
    #[serde(default)]
    pub quota_bytes_day: Option<u64>,
    /// Rate limit in bits per second; absent = none.
    #[serde(default)]
    pub rate_bps: Option<u64>,
}

/// What this node relays.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelayServerInfo {
    /// Addresses given to members.
    pub public_addresses: Vec<SocketAddr>,
    /// Control links from other nodes.
    pub links: u32,
    /// Bound UDP addresses.
    pub bindings: u32,
    /// Open circuits.
    pub circuits: u32,
    /// Most networks this node hosts.
    #[serde(default)]
    pub max_networks: Option<u32>,
    /// Networks hosted, by id.
    pub networks: Vec<RelayedNetwork>,
}

/// Result of `relay.status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelayStatusResult {
    /// Relays this node uses.
    pub relays: Vec<RelayLinkInfo>,
    /// What this node relays; absent when it does not.
    #[serde(default)]
    pub server: Option<RelayServerInfo>,
}

/// Result of `version`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionResult {
    /// Name of the daemon: `netflowd`.
    pub software: String,
    /// Its version, e.g. `0.1.0`.
    pub version: String,
    /// API versions it speaks.
    pub api: Vec<u32>,
    /// Tier of the node.
    pub tier: Tier,
}
