//! What both ends of the relay service share with the shell: links, quotas, configuration, status.

use std::net::SocketAddr;

use netflow_wire::{NetworkId, NodeId, RelayInfo};

/// A control link as the shell numbers it. Never reused by the shell within one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What carries a control link, and with it the frames of its node when UDP is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Carrier {
    /// QUIC; frames go beside it as UDP datagrams.
    #[default]
    Quic,
    /// TLS 1.3 over TCP; frames go over the same stream.
    Stream,
}

/// The relay service: whom it serves and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// UDP addresses others reach this relay at. Named in networks created on this node.
    pub public_addrs: Vec<SocketAddr>,
    /// What a network without a grant gets; `None`: only granted networks are served.
    pub default_quota: Option<Quota>,
    /// Agreements with networks.
    pub grants: Vec<Grant>,
    /// Most networks hosted.
    pub max_networks: usize,
    /// Most circuits open at a time, over all networks. Two labels each.
    pub max_circuits: usize,
    /// Relays this one works together with; each of them must name this one too. At most 64.
    pub mesh: Vec<RelayInfo>,
    /// Rate of the uplink in bits a second, when it is the bottleneck; `None`: frames are never kept back.
    pub rate_bps: Option<u64>,
    /// Price of a gigabyte forwarded, in the unit the operator announces. Told in the mesh.
    pub price: u32,
    /// Agreements with relays to carry on what they bring, of networks not hosted here.
    pub transit: Vec<Transit>,
}

impl RelayConfig {
    /// Default of `max_networks`.
    pub const MAX_NETWORKS: usize = 1_024;
    /// Default of `max_circuits`: about 700 bytes each with their labels, so 45 MB at the limit.
    pub const MAX_CIRCUITS: usize = 65_536;
}

/// How much a network may relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes a day (UTC), both directions together, as they leave the relay.
    pub bytes_per_day: u64,
    /// Bits a second, both directions together.
    pub rate_bps: u64,
}

/// An agreement to relay for one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose traffic.
    pub network: NetworkId,
    /// How much of it.
    pub quota: Quota,
}

/// An agreement to carry on what another relay brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transit {
    /// The relay, one of the mesh.
    pub relay: NodeId,
    /// How much.
    pub quota: Quota,
}

/// One relay of the mesh, for `netctl relay status`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MeshInfo {
    /// Which.
    pub relay: NodeId,
    /// Is the link up?
    pub up: bool,
    /// Smoothed round trip in microseconds.
    pub rtt_us: Option<u32>,
    /// Part of the frames lost, in thousandths.
    pub loss_permille: u16,
}

/// The relay service, for `netctl relay status`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayStatus {
    /// Nodes with a bound address.
    pub bindings: usize,
    /// Circuits open.
    pub circuits: usize,
    /// Most circuits.
    pub max_circuits: usize,
    /// Wishes for peers that are offline.
    pub wishes: usize,
    /// Hosted networks.
    pub networks: Vec<HostedInfo>,
    /// Frames forwarded.
    pub forwarded_frames: u64,
    /// Bytes forwarded, as they left.
    pub forwarded_bytes: u64,
    /// Frames dropped: unknown label, wrong source address, hop limit.
    pub dropped_frames: u64,
    /// Frames dropped for rate or volume.
    pub quota_dropped_frames: u64,
    /// Frames that wait for the uplink now.
    pub queued_frames: usize,
    /// Frames dropped because they waited too long, or found no room to wait.
    pub queue_dropped_frames: u64,
    /// Relays of the mesh.
    pub mesh: Vec<MeshInfo>,
    /// Adverts whose signature did not hold: some neighbour lies, or has a broken memory.
    pub forged_adverts: u64,
}

/// One hosted network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostedInfo {
    /// The network.
    pub network: NetworkId,
    /// Its name, as its log says.
    pub name: String,
    /// Members in the log.
    pub members: usize,
    /// Members attached now.
    pub attached: usize,
    /// Circuits open.
    pub circuits: usize,
    /// Joins waiting for their issuer.
    pub pending_joins: usize,
    /// What it may use.
    pub quota: Quota,
    /// Bytes relayed today.
    pub used_today: u64,
    /// Bytes relayed since the start.
    pub forwarded_bytes: u64,
    /// Frames dropped for rate or volume since the start.
    pub quota_dropped_frames: u64,
}
