//! Results about the data plane: peers, ping, relays.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::RelayLinkInfo;

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
    /// Whether that path is direct.
    #[serde(default)]
    pub path_kind: Option<PathKind>,
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
