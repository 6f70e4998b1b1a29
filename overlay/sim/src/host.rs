//! A host: interfaces, sockets, a disk, and the program on it. Does what `netflowd` does around the core, and nothing more.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use netflow_overlay::identity::Signatures;
use netflow_overlay::node::{LocalInterface, NetworkPlan, Node, NodeConfig, RelayConfig};
use netflow_overlay::session::PqMode;
use netflow_overlay::{NetworkId, NodeId, NodeKeys, Now, PortId, RelayInfo, Tier};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::disk::Disk;
use crate::net::{INTERNET, SegmentId};
use crate::pairs::Pairs;
use crate::scenario::Place;

/// The port of every node.
pub const MAIN_PORT: u16 = 4_790;
/// Wall clock at the start of the world: any date will do.
pub const UNIX_START: u64 = 1_790_000_000;
/// First port the system gives to sockets that do not care.
const FIRST_EPHEMERAL: u16 = 32_768;

/// An interface with its addresses.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Where it is plugged in.
    pub segment: SegmentId,
    /// IPv4 address.
    pub v4: Option<IpAddr>,
    /// IPv6 address.
    pub v6: Option<IpAddr>,
    /// Administratively up.
    pub up: bool,
}

impl Interface {
    /// Its address of the family of another one.
    #[must_use]
    pub const fn like(&self, other: IpAddr) -> Option<IpAddr> {
        if other.is_ipv4() { self.v4 } else { self.v6 }
    }

    fn prefix_len(&self, ip: IpAddr) -> u8 {
        match (ip.is_ipv4(), self.segment) {
            // A line to a provider: nobody else is on the link.
            (true, INTERNET) => 32,
            (false, INTERNET) => 128,
            (true, _) => 24,
            (false, _) => 64,
        }
    }
}

/// What is fixed about a host.
pub struct Fixed {
    /// For logs.
    pub name: String,
    /// Seed of its keys.
    pub key_seed: u64,
    /// Role.
    pub tier: Tier,
    /// Relay service.
    pub relay: Option<RelayConfig>,
    /// Relays of networks it makes.
    pub default_relays: Vec<RelayInfo>,
    /// Line when it is plugged straight into the internet.
    pub place: Place,
}

/// A host.
pub struct Host {
    /// What does not change.
    pub fixed: Fixed,
    /// Its node id.
    pub id: NodeId,
    /// The program, when it runs.
    pub node: Option<Node>,
    /// Number of the start: what was meant for an earlier one is not delivered.
    pub boot: u32,
    /// When its timer is set, to know an old one.
    pub wake_us: Option<u64>,
    /// Interfaces in order of preference.
    pub interfaces: Vec<Interface>,
    /// Cable in.
    pub plugged: bool,
    /// Sockets: the core's number to the local port.
    pub ports: BTreeMap<PortId, u16>,
    by_port: BTreeMap<u16, PortId>,
    next_port: u16,
    /// Seconds the wall clock is off.
    pub skew_s: i64,
    /// What is durable.
    pub disk: Disk,
    /// Dies when that many writes were made in all, and starts again after so long.
    pub die_at: Option<(u64, u64)>,
    /// Networks that carry traffic, with their addresses.
    pub plans: BTreeMap<NetworkId, NetworkPlan>,
    /// Does the node want a port mapping?
    pub wants_mapping: bool,
    /// Bytes of its own data path and control links, both directions, headers included.
    pub bytes: u64,
    /// Whom it sent to lately.
    pub pairs: Pairs,
}

impl Host {
    /// A host that does not run yet.
    #[must_use]
    pub fn new(fixed: Fixed, interfaces: Vec<Interface>, skew_s: i64) -> Self {
        let id = keys(fixed.key_seed).node_id();
        Self {
            fixed,
            id,
            node: None,
            boot: 0,
            wake_us: None,
            interfaces,
            plugged: true,
            ports: BTreeMap::new(),
            by_port: BTreeMap::new(),
            next_port: FIRST_EPHEMERAL,
            skew_s,
            disk: Disk::default(),
            die_at: None,
            plans: BTreeMap::new(),
            wants_mapping: false,
            bytes: 0,
            pairs: Pairs::default(),
        }
    }

    /// Its clocks.
    #[must_use]
    pub fn now(&self, now_us: u64) -> Now {
        let unix_s = UNIX_START + now_us / 1_000_000;
        Now { mono_us: now_us, unix_s: unix_s.saturating_add_signed(self.skew_s) }
    }

    /// Starts the program on what its disk holds. `signatures`: who says that the entries of logs are signed.
    pub fn start(&mut self, now_us: u64, signatures: Arc<dyn Signatures>) {
        self.boot += 1;
        let config = NodeConfig {
            keys: keys(self.fixed.key_seed),
            reward: [0; 20],
            record_seq: 1,
            tier: self.fixed.tier,
            name: self.fixed.name.clone(),
            software: "sim".to_owned(),
            default_relays: self.fixed.default_relays.clone(),
            relay: self.fixed.relay.clone(),
            pq: PqMode::Strict,
            aes_hardware: self.fixed.key_seed.is_multiple_of(2),
            mtu: 1_280,
        };
        let rng = ChaCha8Rng::seed_from_u64(self.fixed.key_seed ^ (u64::from(self.boot) << 32) ^ 0x5eed);
        let now = self.now(now_us);
        self.ports = BTreeMap::from([(PortId::MAIN, MAIN_PORT)]);
        self.by_port = BTreeMap::from([(MAIN_PORT, PortId::MAIN)]);
        self.node = Some(Node::with_signatures(config, self.disk.read(), now, Box::new(rng), signatures));
        let interfaces = self.local_interfaces();
        if let Some(node) = &mut self.node {
            node.handle_port_open(now, PortId::MAIN, Ok(MAIN_PORT));
            node.handle_interfaces(now, interfaces);
        }
    }

    /// The program is gone, with everything it had not written.
    pub fn stop(&mut self) {
        self.node = None;
        self.wake_us = None;
        self.die_at = None;
        self.ports.clear();
        self.by_port.clear();
        self.plans.clear();
        self.wants_mapping = false;
    }

    /// What the shell tells about interfaces.
    #[must_use]
    pub fn local_interfaces(&self) -> Vec<LocalInterface> {
        let mut all = Vec::new();
        for (index, interface) in
            self.interfaces.iter().enumerate().filter(|(_, interface)| interface.up && self.plugged)
        {
            for addr in [interface.v4, interface.v6].into_iter().flatten() {
                let has_default_route = self.default_of(addr).is_some_and(|first| std::ptr::eq(first, interface));
                let prefix_len = interface.prefix_len(addr);
                all.push(LocalInterface { name: format!("eth{index}"), addr, prefix_len, has_default_route });
            }
        }
        all
    }

    /// The interface that packets of a family leave by when nothing nearer is known.
    #[must_use]
    pub fn default_of(&self, family: IpAddr) -> Option<&Interface> {
        let usable = |interface: &&Interface| interface.up && interface.like(family).is_some();
        self.interfaces.iter().filter(|_| self.plugged).find(usable)
    }

    /// Source address and segment of a datagram. `None`: the network is unreachable.
    #[must_use]
    pub fn source(&self, to: IpAddr) -> Option<(SegmentId, IpAddr)> {
        let on_link = |interface: &&Interface| {
            interface.up && interface.like(to).is_some_and(|own| same_link(own, to, interface.prefix_len(own)))
        };
        let near = self.interfaces.iter().filter(|_| self.plugged).find(on_link);
        let interface = near.or_else(|| self.default_of(to))?;
        Some((interface.segment, interface.like(to)?))
    }

    /// The socket a datagram is for.
    #[must_use]
    pub fn socket(&self, to: SocketAddr) -> Option<PortId> {
        let mine = |interface: &Interface| interface.up && interface.like(to.ip()) == Some(to.ip());
        if !self.plugged || !self.interfaces.iter().any(mine) {
            return None;
        }
        self.by_port.get(&to.port()).copied()
    }

    /// Opens one more socket.
    pub fn open(&mut self, port: PortId) -> u16 {
        while self.by_port.contains_key(&self.next_port) {
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
        }
        let local = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
        self.bind(port, local);
        local
    }

    /// Opens a socket on a fixed port.
    pub fn bind(&mut self, port: PortId, local: u16) {
        self.ports.insert(port, local);
        self.by_port.insert(local, port);
    }

    /// Closes a socket.
    pub fn close(&mut self, port: PortId) {
        if let Some(local) = self.ports.remove(&port) {
            self.by_port.remove(&local);
        }
    }
}

/// Keys of a seed.
#[must_use]
pub fn keys(seed: u64) -> NodeKeys {
    NodeKeys::generate(&mut ChaCha8Rng::seed_from_u64(seed))
}

/// Are two addresses on one link, by their first `prefix_len` bits?
#[must_use]
pub fn same_link(a: IpAddr, b: IpAddr, prefix_len: u8) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            u32::from(a).checked_shr(32 - u32::from(prefix_len)) == u32::from(b).checked_shr(32 - u32::from(prefix_len))
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            u128::from(a).checked_shr(128 - u32::from(prefix_len))
                == u128::from(b).checked_shr(128 - u32::from(prefix_len))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
