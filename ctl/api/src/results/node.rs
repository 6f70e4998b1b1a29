//! The node itself, and what several results share.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

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
