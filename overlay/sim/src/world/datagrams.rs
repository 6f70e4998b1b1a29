//! UDP: from a socket through boxes and weather to a socket.

use std::net::SocketAddr;

use netflow_overlay::PortId;
use netflow_wire::FrameKind;

use super::{Arrival, Event, Tell, World};
use crate::host::{Interface, same_link};
use crate::net::{DEFAULT_TTL, HostId, INTERNET, Wire, is_private};
use crate::scenario::{MS, Place};

/// Between two hosts of one site.
const LAN_US: u64 = 300;
/// Relayed frames remembered for finding loops; all are forgotten at once then.
const MAX_TRAILS: usize = 50_000;
/// Entries one node may cause in its router's connection tracking (issue 3): searches for all peers, and its links in use.
const MAX_PAIRS: usize = 300;

impl World {
    /// A datagram leaves a node.
    pub(super) fn datagram(&mut self, host: HostId, port: PortId, to: SocketAddr, ttl: Option<u8>, bytes: Vec<u8>) {
        let Some(local) = self.hosts[host].ports.get(&port).copied() else { return };
        self.oracle.watch_clear(&bytes, "a datagram");
        self.report.datagrams += 1;
        let header = if to.is_ipv4() { 28 } else { 48 };
        let size = bytes.len() + header;
        self.hosts[host].bytes += size as u64;
        self.watch_target(host, to);
        let Some((segment, ip)) = self.hosts[host].source(to.ip()) else {
            self.tell_later(0, host, Tell::Unreachable { port, to });
            return;
        };
        self.watch_pairs(host, local, to);
        let sent = self.net.climb(self.now_us, segment, SocketAddr::new(ip, local), to, ttl.unwrap_or(DEFAULT_TTL));
        let wire = match sent {
            Ok(wire) => wire,
            Err(why) => {
                self.report.lost(why);
                return;
            }
        };
        let trail = self.leaves_relay(host, &bytes);
        let from_place = self.place_of(host, segment);
        let near = wire.segment != INTERNET && wire.segment == segment;
        let to_place = if near { from_place } else { self.place_at(&wire).unwrap_or(from_place) };
        if !near && size > from_place.mtu.min(to_place.mtu) {
            self.report.too_large += 1;
            return;
        }
        let copies = if near {
            1
        } else {
            1 + u64::from(self.rng.below(1_000_000) < from_place.double_ppm + to_place.double_ppm)
        };
        let mut original = Some(bytes);
        for copy in 0..copies {
            if !near && self.rng.below(1_000_000) < from_place.loss_ppm + to_place.loss_ppm {
                self.report.weather_lost += 1;
                continue;
            }
            let last = copy + 1 == copies;
            let Some(mut bytes) = (if last { original.take() } else { original.clone() }) else { return };
            if !near && self.rng.below(1_000_000) < from_place.corrupt_ppm + to_place.corrupt_ppm {
                let at = self.rng.index(bytes.len());
                let flip = 1 + u8::try_from(self.rng.below(255)).unwrap_or(0);
                bytes[at] ^= flip;
            }
            let delay = if near {
                LAN_US
            } else {
                delay(&from_place, &to_place) + self.rng.below(from_place.jitter_us + to_place.jitter_us + 1)
            };
            self.later(delay, Event::Arrive(Box::new(Arrival { sender: host, wire, bytes, trail: trail.clone() })));
        }
    }

    /// A datagram has crossed its segment.
    pub(super) fn arrive(&mut self, arrival: Arrival) {
        let Arrival { sender, wire, mut bytes, trail } = arrival;
        let (host, from, to) = match self.net.descend(self.now_us, wire) {
            Ok(found) => found,
            Err(why) => {
                self.report.lost(why);
                return;
            }
        };
        if self.is_cut(sender, host) || !self.hosts[sender].plugged {
            return;
        }
        let Some(port) = self.hosts[host].socket(to).filter(|_| self.hosts[host].node.is_some()) else { return };
        self.hosts[host].bytes += bytes.len() as u64 + if to.is_ipv4() { 28 } else { 48 };
        if self.enters_relay(host, &bytes, trail) {
            self.with_node(host, |node, now| node.handle_datagram(now, port, from, &mut bytes));
        }
    }

    // ---- loops

    /// A relayed frame comes to a relay: it must not have been here. `false`: it has.
    pub(super) fn enters_relay(&mut self, host: HostId, bytes: &[u8], trail: Vec<HostId>) -> bool {
        let Some(tag) = relayed_tag(bytes).filter(|_| self.hosts[host].fixed.relay.is_some()) else { return true };
        if trail.contains(&host) {
            self.oracle
                .violated(format!("a relayed frame is at {} again after {trail:?}", self.hosts[host].fixed.name));
            return false;
        }
        if self.trails.len() >= MAX_TRAILS {
            self.trails.clear();
        }
        self.trails.insert((host, tag), trail);
        true
    }

    pub(super) fn leaves_relay(&self, host: HostId, bytes: &[u8]) -> Vec<HostId> {
        let Some(tag) = relayed_tag(bytes) else { return Vec::new() };
        let Some(trail) = self.trails.get(&(host, tag)) else { return Vec::new() };
        trail.iter().copied().chain([host]).collect()
    }

    // ---- whom a node may send to

    fn watch_target(&mut self, host: HostId, to: SocketAddr) {
        if !is_private(to.ip()) || self.neighbours.contains(&(host, to.ip())) {
            return;
        }
        if self.has_peer_on_link(host, to) {
            self.neighbours.insert((host, to.ip()));
        } else {
            let name = &self.hosts[host].fixed.name;
            self.oracle.violated(format!("{name} sends to {to}, a private address that is no member's on its links"));
        }
    }

    /// What has left the machine is an entry in its router.
    fn watch_pairs(&mut self, host: HostId, local: u16, to: SocketAddr) {
        let known = self.hosts[host].fixed.relay.is_some() || self.is_relay(to);
        if !known {
            let pairs = self.hosts[host].pairs.sent(self.now_us, local, to);
            self.report.most_pairs = self.report.most_pairs.max(pairs);
            if pairs > MAX_PAIRS {
                let name = &self.hosts[host].fixed.name;
                self.oracle.violated(format!("{name} has {pairs} entries in connection tracking"));
            }
        }
    }

    /// Is a private address one this node may try: of a member of one of its networks, or of the box such a member is behind, on a
    /// link it is (or was) plugged into, or on a link further out that its own boxes lead to (a peer's frame came from there, and
    /// the answer goes back there)? Two homes behind one carrier's box look alike from outside: what is on our own link and a
    /// member's in the other home passes too.
    fn has_peer_on_link(&self, host: HostId, to: SocketAddr) -> bool {
        let outermost = |segment: usize| self.net.boxes(segment).last().copied();
        let ours: Vec<&Interface> = self.hosts[host].interfaces.iter().filter(|it| it.segment != INTERNET).collect();
        let outside =
            |it: &&Interface| self.net.boxes(it.segment).into_iter().map(|gateway| self.net.gateway(gateway).outer);
        let reached: Vec<usize> = ours.iter().map(|it| it.segment).chain(ours.iter().flat_map(outside)).collect();
        let reached = |segment: usize| segment != INTERNET && reached.contains(&segment);
        let shared = |other: &HostId| {
            self.scenario.networks.iter().any(|net| net.members.contains(&host) && net.members.contains(other))
        };
        let mut theirs =
            (0..self.scenario.members.len()).filter(shared).flat_map(|other| &self.hosts[other].interfaces);
        theirs.any(|it| {
            let is_it = it.like(to.ip()) == Some(to.ip());
            let boxed = self.net.boxes(it.segment).into_iter().any(|gateway| {
                let gateway = self.net.gateway(gateway);
                reached(gateway.outer) && gateway.nat.outer_ip == to.ip()
            });
            let alike = |own: &&Interface| {
                own.like(to.ip()).is_some_and(|own| same_link(own, to.ip(), 24))
                    && outermost(it.segment) == outermost(own.segment)
            };
            boxed || (is_it && (reached(it.segment) || ours.iter().any(alike)))
        })
    }

    fn is_relay(&self, to: SocketAddr) -> bool {
        self.net.host_on(INTERNET, to.ip()).is_some_and(|host| self.hosts[host].fixed.relay.is_some())
    }

    // ---- distances

    fn place_of(&self, host: HostId, segment: usize) -> Place {
        match self.net.gateway_of(segment) {
            Some(gateway) => self.gateway_places[gateway],
            None => self.hosts[host].fixed.place,
        }
    }

    fn place_at(&self, wire: &Wire) -> Option<Place> {
        if let Some(host) = self.net.host_on(wire.segment, wire.to.ip()) {
            return Some(self.place_of(host, wire.segment));
        }
        self.net.box_at(wire.segment, wire.to.ip()).map(|gateway| self.gateway_places[gateway])
    }

    /// Place of a host's default line.
    fn line(&self, host: HostId) -> Place {
        let interfaces = &self.hosts[host].interfaces;
        let used = interfaces.iter().find(|interface| interface.up).or_else(|| interfaces.first());
        used.map_or(self.hosts[host].fixed.place, |interface| self.place_of(host, interface.segment))
    }

    pub(super) fn loss_ppm(&self, host: HostId) -> u64 {
        self.line(host).loss_ppm
    }

    /// One way between two hosts over their default lines.
    pub(super) fn host_delay(&self, a: HostId, b: HostId) -> u64 {
        delay(&self.line(a), &self.line(b))
    }
}

fn delay(a: &Place, b: &Place) -> u64 {
    let x = u64::from(a.at.0.abs_diff(b.at.0));
    let y = u64::from(a.at.1.abs_diff(b.at.1));
    a.access_us + b.access_us + (x * x + y * y).isqrt() + MS / 5
}

/// What stays the same of a relayed frame from hop to hop: its last 16 bytes, which are the tag of a sealed one.
fn relayed_tag(bytes: &[u8]) -> Option<u128> {
    if *bytes.first()? != FrameKind::Relay as u8 {
        return None;
    }
    bytes.get(8..)?.last_chunk().map(|tag| u128::from_le_bytes(*tag))
}
