//! Sites of nodes: hosts on LANs behind chains of NAT boxes and firewalls, written without a look at the code under test.
//!
//! A node without a site sits on the public internet with one address, as before. Boxes follow RFC 4787: a mapping and a
//! filtering class each, ports given out at random or kept, entries that are forgotten 30 s after the last packet (180 s once
//! both sides have spoken), as Linux does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use netflow_overlay::PortId;
use netflow_overlay::node::LocalInterface;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;

use super::{Id, SECOND};

const UNREPLIED: u64 = 30 * SECOND;
const REPLIED: u64 = 180 * SECOND;
/// Number of every node's main port on its own machine.
pub const MAIN: u16 = 4_790;

/// What a mapping or a filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depends {
    Nothing,
    Address,
    AddressAndPort,
}

/// The four boxes of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No box.
    Public,
    /// Full cone.
    Open,
    /// Endpoint-independent mapping, port-restricted.
    Home,
    /// A random port for every destination.
    Random,
    /// The same, and everybody is let in at each of them. Not in the matrix.
    RandomOpen,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Public, Self::Open, Self::Home, Self::Random];

    pub fn classes(self) -> (Depends, Depends) {
        match self {
            Self::Public | Self::Open => (Depends::Nothing, Depends::Nothing),
            Self::Home => (Depends::Nothing, Depends::AddressAndPort),
            Self::Random => (Depends::AddressAndPort, Depends::AddressAndPort),
            Self::RandomOpen => (Depends::AddressAndPort, Depends::Nothing),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    external: u16,
    last_us: u64,
    replied: bool,
}

impl Flow {
    fn alive(&self, now_us: u64) -> bool {
        now_us < self.last_us + if self.replied { REPLIED } else { UNREPLIED }
    }
}

pub struct NatBox {
    pub external: IpAddr,
    mapping: Depends,
    filtering: Depends,
    pub hairpins: bool,
    /// UDP does not pass at all.
    pub blocks_udp: bool,
    /// The box it is a customer of; `None`: the internet.
    outer: Option<usize>,
    flows: BTreeMap<(SocketAddr, SocketAddr), Flow>,
    /// Most entries alive at a time, those to relays apart.
    pub most_entries: usize,
}

impl NatBox {
    /// The mapping key of a flow.
    fn key(&self, dst: SocketAddr) -> Option<SocketAddr> {
        match self.mapping {
            Depends::Nothing => None,
            Depends::Address => Some(SocketAddr::new(dst.ip(), 0)),
            Depends::AddressAndPort => Some(dst),
        }
    }

    /// Source of an outbound packet as the outside sees it.
    fn outbound(&mut self, now_us: u64, rng: &mut ChaCha20Rng, src: SocketAddr, dst: SocketAddr) -> SocketAddr {
        self.flows.retain(|_, flow| flow.alive(now_us));
        let same = self.flows.iter().find(|((from, to), _)| *from == src && self.key(*to) == self.key(dst));
        let used: BTreeSet<u16> = self.flows.values().map(|flow| flow.external).collect();
        let external = match same {
            Some((_, flow)) => flow.external,
            None if self.mapping == Depends::Nothing && !used.contains(&src.port()) => src.port(),
            None => loop {
                let port = u16::try_from(1_024 + rng.next_u32() % 64_512).unwrap();
                if !used.contains(&port) {
                    break port;
                }
            },
        };
        let flow = self.flows.entry((src, dst)).or_insert(Flow { external, last_us: now_us, replied: false });
        flow.last_us = now_us;
        SocketAddr::new(self.external, external)
    }

    /// Inside address an inbound packet goes to, if the filter lets it in.
    fn inbound(&mut self, now_us: u64, from: SocketAddr, port: u16) -> Option<SocketAddr> {
        self.flows.retain(|_, flow| flow.alive(now_us));
        let admits = |to: SocketAddr| match self.filtering {
            Depends::Nothing => true,
            Depends::Address => to.ip() == from.ip(),
            Depends::AddressAndPort => to == from,
        };
        let found = self.flows.iter().find(|((_, to), flow)| flow.external == port && admits(*to));
        let ((src, to), _) = found.map(|(key, flow)| (*key, *flow))?;
        let flow = self.flows.get_mut(&(src, to)).unwrap();
        flow.replied = true;
        flow.last_us = now_us;
        Some(src)
    }

    fn entries(&self, relays: &BTreeSet<IpAddr>) -> usize {
        self.flows.keys().filter(|(_, to)| !relays.contains(&to.ip())).count()
    }

    /// Loses its tables, as after a power cut; with another address when one is given.
    pub fn reboot(&mut self, external: Option<IpAddr>) {
        self.flows.clear();
        self.external = external.unwrap_or(self.external);
    }
}

/// Where a node lives.
#[derive(Clone, Debug)]
pub struct Site {
    pub v4: Option<IpAddr>,
    pub v6: Option<IpAddr>,
    /// The box in front of the IPv4 address; `None`: public.
    pub nat: Option<usize>,
    /// Flows of the IPv6 firewall: (inside, outside) and the last packet.
    firewall: BTreeMap<(SocketAddr, SocketAddr), u64>,
    pub open_ports: BTreeSet<PortId>,
    pub most_ports: usize,
}

/// All sites and boxes.
#[derive(Default)]
pub struct Underlay {
    pub sites: BTreeMap<Id, Site>,
    pub boxes: Vec<NatBox>,
    pub relay_ips: BTreeSet<IpAddr>,
    /// No datagram finds its way into a box of another site: punching cannot succeed.
    pub blind: bool,
    /// Destinations of every datagram that left a host: (host, destination).
    pub probed: BTreeSet<(Id, SocketAddr)>,
}

/// A datagram on its way: what the receiver's side sees.
pub enum Route {
    /// On the internet, from this address.
    Public {
        from: SocketAddr,
    },
    /// Turned round at a box: it goes in there again.
    Inward {
        nat: usize,
        from: SocketAddr,
        port: u16,
    },
    /// To a neighbour on the LAN (of a box).
    Lan {
        from: SocketAddr,
    },
    Dropped,
}

pub fn port_number(port: PortId) -> u16 {
    match port {
        PortId::MAIN => MAIN,
        PortId::ALT_443 => 443,
        PortId::STUN_ALT => 4_791,
        PortId(punch) => 20_000 + punch,
    }
}

fn port_id(number: u16) -> PortId {
    match number {
        MAIN => PortId::MAIN,
        443 => PortId::ALT_443,
        4_791 => PortId::STUN_ALT,
        punch => PortId(punch - 20_000),
    }
}

impl Underlay {
    pub fn add_box(&mut self, external: IpAddr, kind: Kind, outer: Option<usize>) -> usize {
        let (mapping, filtering) = kind.classes();
        self.boxes.push(NatBox {
            external,
            mapping,
            filtering,
            hairpins: false,
            blocks_udp: false,
            outer,
            flows: BTreeMap::new(),
            most_entries: 0,
        });
        self.boxes.len() - 1
    }

    pub fn place(&mut self, id: Id, v4: Option<IpAddr>, v6: Option<IpAddr>, nat: Option<usize>) {
        let site = Site { v4, v6, nat, firewall: BTreeMap::new(), open_ports: BTreeSet::new(), most_ports: 0 };
        self.sites.insert(id, site);
    }

    pub fn interfaces(&self, id: Id) -> Vec<LocalInterface> {
        let Some(site) = self.sites.get(&id) else { return Vec::new() };
        let interface = |(addr, prefix_len): (IpAddr, u8)| LocalInterface {
            name: "eth0".to_owned(),
            addr,
            prefix_len,
            has_default_route: true,
        };
        let v4 = site.v4.map(|addr| (addr, if site.nat.is_some() { 24 } else { 32 }));
        v4.into_iter().chain(site.v6.map(|addr| (addr, 64))).map(interface).collect()
    }

    /// A datagram leaves a host: through its boxes to wherever it comes out.
    pub fn leave(
        &mut self,
        now_us: u64,
        rng: &mut ChaCha20Rng,
        id: Id,
        port: PortId,
        to: SocketAddr,
        ttl: u8,
    ) -> Route {
        let Some(site) = self.sites.get_mut(&id) else { return Route::Dropped };
        self.probed.insert((id, to));
        if to.is_ipv6() {
            let Some(v6) = site.v6 else { return Route::Dropped };
            let from = SocketAddr::new(v6, port_number(port));
            site.firewall.insert((from, to), now_us);
            return if ttl > 8 { Route::Public { from } } else { Route::Dropped };
        }
        let Some(v4) = site.v4 else { return Route::Dropped };
        let mut from = SocketAddr::new(v4, port_number(port));
        let mut nat = site.nat;
        let mut ttl = ttl;
        if nat.is_some() && self.neighbour(nat, to).is_some() {
            return Route::Lan { from };
        }
        while let Some(at) = nat {
            ttl -= 1;
            let gate = &mut self.boxes[at];
            if ttl == 0 || gate.blocks_udp {
                return Route::Dropped;
            }
            from = gate.outbound(now_us, rng, from, to);
            gate.most_entries = gate.most_entries.max(gate.entries(&self.relay_ips));
            if to.ip() == gate.external {
                let inward = Route::Inward { nat: at, from, port: to.port() };
                return if gate.hairpins { inward } else { Route::Dropped };
            }
            nat = gate.outer;
            if nat.is_some()
                && let Some(inner) = self.boxes.iter().position(|other| other.outer == nat && other.external == to.ip())
            {
                return Route::Inward { nat: inner, from, port: to.port() };
            }
        }
        // Sites of the internet are more than eight hops apart.
        if is_private(to.ip()) || ttl <= 8 { Route::Dropped } else { Route::Public { from } }
    }

    fn neighbour(&self, nat: Option<usize>, to: SocketAddr) -> Option<Id> {
        self.sites.iter().find(|(_, site)| site.nat == nat && site.v4 == Some(to.ip())).map(|(id, _)| *id)
    }

    /// A datagram arrives from the internet: at which host and port?
    pub fn arrive(&mut self, now_us: u64, from: SocketAddr, to: SocketAddr) -> Option<(Id, PortId)> {
        if let Some(nat) = self.boxes.iter().position(|gate| gate.outer.is_none() && gate.external == to.ip()) {
            if self.blind && !self.relay_ips.contains(&from.ip()) {
                return None;
            }
            return self.inward(now_us, nat, from, to.port());
        }
        let at = |site: &&mut Site| site.v6 == Some(to.ip()) || (site.nat.is_none() && site.v4 == Some(to.ip()));
        let (id, site) = self.sites.iter_mut().map(|(id, site)| (*id, site)).find(|(_, site)| at(site))?;
        if to.is_ipv6() && !self.relay_ips.contains(&to.ip()) {
            let open = site.firewall.get(&(to, from)).is_some_and(|last| now_us < last + UNREPLIED);
            if !open {
                return None;
            }
        }
        Some((id, port_id(to.port()))).filter(|(_, port)| !port.is_punch() || site.open_ports.contains(port))
    }

    /// A datagram comes to the outside of a box.
    pub fn inward(&mut self, now_us: u64, nat: usize, from: SocketAddr, port: u16) -> Option<(Id, PortId)> {
        let gate = &mut self.boxes[nat];
        if gate.blocks_udp {
            return None;
        }
        let inside = gate.inbound(now_us, from, port)?;
        if let Some(next) =
            self.boxes.iter().position(|other| other.outer == Some(nat) && other.external == inside.ip())
        {
            return self.inward(now_us, next, from, inside.port());
        }
        self.lan(Some(nat), inside)
    }

    /// A host on the LAN of a box.
    pub fn lan(&self, nat: Option<usize>, to: SocketAddr) -> Option<(Id, PortId)> {
        let id = self.neighbour(nat, to)?;
        let port = port_id(to.port());
        (!port.is_punch() || self.sites[&id].open_ports.contains(&port)).then_some((id, port))
    }

    /// The address a public server sees when the node dials it.
    pub fn seen_from(&mut self, now_us: u64, rng: &mut ChaCha20Rng, id: Id, server: SocketAddr) -> Option<SocketAddr> {
        match self.leave(now_us, rng, id, PortId::MAIN, server, 64) {
            Route::Public { from } => Some(from),
            Route::Inward { .. } | Route::Lan { .. } | Route::Dropped => None,
        }
    }

    pub fn open(&mut self, id: Id, port: PortId) {
        let site = self.sites.get_mut(&id).unwrap();
        site.open_ports.insert(port);
        site.most_ports = site.most_ports.max(site.open_ports.len());
    }

    pub fn close(&mut self, id: Id, port: PortId) {
        self.sites.get_mut(&id).unwrap().open_ports.remove(&port);
    }
}

pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || matches!(v4.octets(), [100, 64..=127, ..]),
        IpAddr::V6(v6) => Ipv6Addr::segments(&v6)[0] & 0xfe00 == 0xfc00,
    }
}
