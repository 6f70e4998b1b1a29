//! Result of `netcheck`: what the networks between this node and the internet do to its packets.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// How a property of a NAT or firewall depends on the remote endpoint (RFC 4787).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatBehaviour {
    /// It does not: one mapping for everybody, or everybody may answer.
    EndpointIndependent,
    /// It depends on the remote address.
    AddressDependent,
    /// It depends on the remote address and port.
    AddressAndPortDependent,
    /// Not measured yet, or a behaviour this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// UDP over one address family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyCheck {
    /// A relay has answered over UDP.
    pub udp: bool,
    /// This node's address as relays see it.
    #[serde(default)]
    pub public_address: Option<SocketAddr>,
    /// Who may send to a port of this node over this family.
    #[serde(default)]
    pub filtering: NatBehaviour,
}

/// Protocol that asks a router for a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapProtocol {
    /// Port Control Protocol, RFC 6887.
    Pcp,
    /// NAT Port Mapping Protocol, RFC 6886.
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
    /// One this version does not know.
    #[serde(other)]
    Unknown,
}

/// A port that a router forwards to this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMappingInfo {
    /// How it was asked for.
    pub protocol: MapProtocol,
    /// Outside address and port.
    pub external: SocketAddr,
    /// How long the router keeps it without a renewal, seconds.
    pub lifetime_s: u32,
}

/// What carries the control link to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CarrierKind {
    /// QUIC over UDP.
    Quic,
    /// TLS 1.3 over TCP, which carries the packets as well: UDP is blocked on the way.
    Stream,
    /// One this version does not know.
    #[serde(other)]
    Unknown,
}

/// A relay as `netcheck` found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelayCheck {
    /// Node id of the relay.
    pub node: String,
    /// Address in use or tried.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// Round trip in milliseconds; absent when it cannot be reached.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
    /// What carries the control link.
    #[serde(default)]
    pub carrier: Option<CarrierKind>,
    /// This node's address as that relay sees it.
    #[serde(default)]
    pub public_address: Option<SocketAddr>,
    /// Largest underlay packet known to reach it, bytes; absent over a stream.
    #[serde(default)]
    pub mtu_bytes: Option<u16>,
    /// Why it cannot be reached, one line.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Result of `netcheck`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetcheckResult {
    /// Datagrams come back from a relay; false = blocked, absent = nothing was heard from any relay by any means.
    #[serde(default)]
    pub udp: Option<bool>,
    /// UDP over IPv4.
    pub ipv4: FamilyCheck,
    /// UDP over IPv6.
    pub ipv6: FamilyCheck,
    /// Which outside port an inside port gets.
    pub mapping: NatBehaviour,
    /// Who may send to that port over IPv4.
    pub filtering: NatBehaviour,
    /// Two nodes behind this NAT reach each other by their outside addresses.
    #[serde(default)]
    pub hairpin: Option<bool>,
    /// The port a router forwards to this node, when one does.
    #[serde(default)]
    pub port_mapping: Option<PortMappingInfo>,
    /// Largest underlay packet known to reach the fastest relay, bytes.
    #[serde(default)]
    pub mtu_bytes: Option<u16>,
    /// Clock of this node minus clock of the relays, milliseconds; the median over the relays.
    #[serde(default)]
    pub clock_skew_ms: Option<i64>,
    /// Since the classification, seconds; absent before the first one.
    #[serde(default)]
    pub age_s: Option<u64>,
    /// The relays, fastest first, unreachable ones last.
    pub relays: Vec<RelayCheck>,
    /// What it means for direct paths, one line.
    pub verdict: String,
}
