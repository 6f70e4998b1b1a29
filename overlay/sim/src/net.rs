//! The underlay: segments joined by gateways. A datagram climbs from its host's segment through NAT boxes until its
//! destination is on the segment it has reached, crosses it, and descends through the boxes in front of the receiver. The
//! two halves are apart in time: whether a filter lets a datagram in is decided when it arrives.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::nat::{Firewall, NatBox, NatKind};

/// Index of a host.
pub type HostId = usize;
/// Index of a segment; 0 is the internet.
pub type SegmentId = usize;
/// Index of a gateway.
pub type GatewayId = usize;

/// The public internet.
pub const INTERNET: SegmentId = 0;
/// Hop limit of a datagram that does not ask for another one.
pub const DEFAULT_TTL: u8 = 64;
/// Routers between two sites on the internet: an opener with a hop limit of 2 to 7 passes its own boxes and dies on the way.
const CORE_HOPS: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Host(HostId),
    Gateway(GatewayId),
}

#[derive(Debug, Default)]
struct Segment {
    gateway: Option<GatewayId>,
    owners: BTreeMap<IpAddr, Owner>,
}

/// The box between a site and what is outside of it.
#[derive(Debug)]
pub struct Gateway {
    /// Translation of IPv4.
    pub nat: NatBox,
    /// Firewall of IPv6.
    pub firewall: Firewall,
    /// Segment inside.
    pub inner: SegmentId,
    /// Segment outside.
    pub outer: SegmentId,
    /// UDP never passes, whatever the family.
    pub blocks_udp: bool,
    /// Upper half of the IPv6 addresses inside, routed here.
    pub v6_prefix: Option<u64>,
}

/// A datagram on a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Source as it reads there.
    pub from: SocketAddr,
    /// Destination as it reads there.
    pub to: SocketAddr,
    /// The segment on which the destination is.
    pub segment: SegmentId,
    ttl: u8,
}

/// Why a datagram is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nobody has that address.
    Nobody,
    /// Its hop limit was used up.
    Ttl,
    /// A gateway lets no UDP pass.
    Blocked,
    /// A box had no mapping, or its filter said no.
    Filtered,
    /// The site has no route for that family.
    NoRoute,
}

/// Segments and gateways.
#[derive(Debug)]
pub struct Net {
    segments: Vec<Segment>,
    gateways: Vec<Gateway>,
    v6_routes: BTreeMap<u64, GatewayId>,
}

impl Default for Net {
    fn default() -> Self {
        Self { segments: vec![Segment::default()], gateways: Vec::new(), v6_routes: BTreeMap::new() }
    }
}

impl Net {
    /// A site behind a new gateway: its gateway and its segment.
    pub fn add_site(&mut self, outer: SegmentId, outer_ip: IpAddr, kind: NatKind, seed: u64) -> (GatewayId, SegmentId) {
        let (gateway, inner) = (self.gateways.len(), self.segments.len());
        self.segments.push(Segment { gateway: Some(gateway), owners: BTreeMap::new() });
        let nat = NatBox::new(kind, outer_ip, seed);
        let firewall = Firewall::default();
        self.gateways.push(Gateway { nat, firewall, inner, outer, blocks_udp: false, v6_prefix: None });
        self.set_owner(outer, outer_ip, Some(Owner::Gateway(gateway)));
        (gateway, inner)
    }

    /// Routes an IPv6 /64 to a site.
    pub fn add_v6(&mut self, gateway: GatewayId, prefix: u64) {
        self.v6_routes.insert(prefix, gateway);
        self.gateways[gateway].v6_prefix = Some(prefix);
    }

    /// Gives a host an address on a segment.
    pub fn plug(&mut self, host: HostId, segment: SegmentId, ip: IpAddr) {
        self.set_owner(segment, ip, Some(Owner::Host(host)));
    }

    /// Takes an address away again.
    pub fn unplug(&mut self, segment: SegmentId, ip: IpAddr) {
        self.set_owner(segment, ip, None);
    }

    /// Reboots a box; `outer_ip` may be another address than before.
    pub fn reboot(&mut self, gateway: GatewayId, outer_ip: IpAddr) {
        let (outer, old) = (self.gateways[gateway].outer, self.gateways[gateway].nat.outer_ip);
        self.set_owner(outer, old, None);
        self.set_owner(outer, outer_ip, Some(Owner::Gateway(gateway)));
        self.gateways[gateway].nat.reboot(outer_ip);
        self.gateways[gateway].firewall.reboot();
    }

    fn set_owner(&mut self, segment: SegmentId, ip: IpAddr, owner: Option<Owner>) {
        match owner {
            Some(owner) => drop(self.segments[segment].owners.insert(ip, owner)),
            None => drop(self.segments[segment].owners.remove(&ip)),
        }
    }

    /// A gateway.
    #[must_use]
    pub fn gateway(&self, id: GatewayId) -> &Gateway {
        &self.gateways[id]
    }

    /// A gateway, to change it.
    pub fn gateway_mut(&mut self, id: GatewayId) -> &mut Gateway {
        &mut self.gateways[id]
    }

    /// The box of a segment.
    #[must_use]
    pub fn gateway_of(&self, segment: SegmentId) -> Option<GatewayId> {
        self.segments[segment].gateway
    }

    /// The boxes between a segment and the internet, the nearest first.
    #[must_use]
    pub fn boxes(&self, segment: SegmentId) -> Vec<GatewayId> {
        let next = |gateway: &GatewayId| self.segments[self.gateways[*gateway].outer].gateway;
        std::iter::successors(self.segments[segment].gateway, next).collect()
    }

    /// The host with an address on a segment.
    #[must_use]
    pub fn host_on(&self, segment: SegmentId, ip: IpAddr) -> Option<HostId> {
        match self.segments[segment].owners.get(&ip) {
            Some(Owner::Host(host)) => Some(*host),
            Some(Owner::Gateway(_)) | None => None,
        }
    }

    /// The gateway with an address on a segment, or the one an IPv6 address is routed to.
    #[must_use]
    pub fn box_at(&self, segment: SegmentId, ip: IpAddr) -> Option<GatewayId> {
        match self.segments[segment].owners.get(&ip) {
            Some(Owner::Gateway(gateway)) => Some(*gateway),
            Some(Owner::Host(_)) => None,
            None => self.v6_site(ip).filter(|_| segment == INTERNET),
        }
    }

    /// Sends a UDP datagram from a segment.
    ///
    /// # Errors
    /// Why it got nowhere.
    pub fn climb(
        &mut self,
        now_us: u64,
        segment: SegmentId,
        from: SocketAddr,
        to: SocketAddr,
        ttl: u8,
    ) -> Result<Wire, Lost> {
        let mut wire = Wire { from, to, segment, ttl };
        loop {
            let here = &self.segments[wire.segment];
            if here.owners.contains_key(&to.ip()) || (wire.segment == INTERNET && self.v6_site(to.ip()).is_some()) {
                return Ok(wire);
            }
            let gateway = here.gateway.ok_or(Lost::Nobody)?;
            let gateway = &mut self.gateways[gateway];
            if gateway.blocks_udp {
                return Err(Lost::Blocked);
            }
            wire.ttl = wire.ttl.saturating_sub(1);
            if wire.ttl == 0 {
                return Err(Lost::Ttl);
            }
            if to.is_ipv4() {
                wire.from = gateway.nat.outbound(now_us, wire.from, to).ok_or(Lost::Filtered)?;
                wire.segment = gateway.outer;
            } else {
                gateway.v6_prefix.ok_or(Lost::NoRoute)?;
                gateway.firewall.outbound(now_us, wire.from, to);
                wire.segment = INTERNET;
            }
        }
    }

    /// The rest of the way, when the datagram has crossed its segment: the host, and source and destination as it sees them.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub fn descend(&mut self, now_us: u64, mut wire: Wire) -> Result<(HostId, SocketAddr, SocketAddr), Lost> {
        if wire.segment == INTERNET {
            wire.ttl = wire.ttl.saturating_sub(CORE_HOPS);
        }
        loop {
            if wire.ttl == 0 {
                return Err(Lost::Ttl);
            }
            let owner = self.segments[wire.segment].owners.get(&wire.to.ip()).copied();
            let gateway = match owner {
                Some(Owner::Host(host)) => return Ok((host, wire.from, wire.to)),
                Some(Owner::Gateway(gateway)) => gateway,
                None if wire.segment == INTERNET => self.v6_site(wire.to.ip()).ok_or(Lost::Nobody)?,
                None => return Err(Lost::Nobody),
            };
            let gateway = &mut self.gateways[gateway];
            if gateway.blocks_udp {
                return Err(Lost::Blocked);
            }
            if wire.to.is_ipv4() {
                // A packet that comes from the box itself is one of its inside that it is to turn round.
                if wire.from.ip() == gateway.nat.outer_ip && !gateway.nat.kind.hairpin {
                    return Err(Lost::Filtered);
                }
                wire.to = gateway.nat.inbound(now_us, wire.to.port(), wire.from).ok_or(Lost::Filtered)?;
            } else if !gateway.firewall.inbound(now_us, wire.from, wire.to) {
                return Err(Lost::Filtered);
            }
            wire.segment = gateway.inner;
            wire.ttl = wire.ttl.saturating_sub(1);
        }
    }

    fn v6_site(&self, ip: IpAddr) -> Option<GatewayId> {
        match ip {
            IpAddr::V6(ip) => self.v6_routes.get(&upper_half(ip)).copied(),
            IpAddr::V4(_) => None,
        }
    }
}

/// The /64 of an address.
#[must_use]
pub fn upper_half(ip: Ipv6Addr) -> u64 {
    u64::try_from(u128::from(ip) >> 64).unwrap_or(0)
}

/// Is this address only good inside some site (RFC 1918, RFC 6598, RFC 4193, link-local)?
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::{Filtering, Mapping, Ports};

    const KIND: NatKind = NatKind {
        mapping: Mapping::EndpointIndependent,
        ports: Ports::Random,
        filtering: Filtering::AddressAndPortDependent,
        hairpin: false,
        expiry_us: 60_000_000,
        refreshed_by_inbound: true,
        absolute_us: None,
        maps_ports: false,
    };

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Host 0 is public, host 1 at home, host 2 at home behind a carrier's box.
    fn world() -> (Net, SegmentId, SegmentId) {
        let mut net = Net::default();
        net.plug(0, INTERNET, addr("198.51.100.1:0").ip());
        let (_, home) = net.add_site(INTERNET, addr("203.0.113.1:0").ip(), KIND, 1);
        net.plug(1, home, addr("192.168.1.10:0").ip());
        let (_, carrier) = net.add_site(INTERNET, addr("203.0.113.2:0").ip(), KIND, 2);
        let (_, inner) = net.add_site(carrier, addr("10.0.0.7:0").ip(), KIND, 3);
        net.plug(2, inner, addr("192.168.1.10:0").ip());
        (net, home, inner)
    }

    #[test]
    fn a_datagram_through_two_boxes_is_answered_and_a_stranger_is_not_let_in() {
        let (mut net, _, inner) = world();
        let (server, at_home) = (addr("198.51.100.1:4790"), addr("192.168.1.10:4790"));
        let wire = net.climb(0, inner, at_home, server, DEFAULT_TTL).unwrap();
        let (host, seen, _) = net.descend(1, wire).unwrap();
        assert_eq!((host, seen.ip()), (0, addr("203.0.113.2:0").ip()));
        let back = net.climb(2, INTERNET, server, seen, DEFAULT_TTL).unwrap();
        assert_eq!(net.descend(3, back), Ok((2, server, at_home)));
        let other = net.climb(2, INTERNET, addr("198.51.100.1:9"), seen, DEFAULT_TTL).unwrap();
        assert_eq!(net.descend(3, other), Err(Lost::Filtered));
    }

    #[test]
    fn a_short_lived_opener_opens_its_own_boxes_and_arrives_nowhere() {
        let (mut net, home, inner) = world();
        let at_home = addr("192.168.1.10:4790");
        let target = net.climb(0, home, at_home, addr("198.51.100.1:1"), DEFAULT_TTL).unwrap().from;
        let opener = net.climb(0, inner, at_home, target, 4).unwrap();
        assert_eq!(net.descend(1, opener), Err(Lost::Ttl));
        assert_eq!(net.gateway(2).nat.flows(1), 1);
        assert_eq!(net.climb(0, inner, at_home, target, 1), Err(Lost::Ttl));
    }

    #[test]
    fn only_a_box_with_hairpin_turns_packets_round() {
        let (mut net, home, _) = world();
        net.plug(3, home, addr("192.168.1.11:0").ip());
        let target = net.climb(0, home, addr("192.168.1.10:1"), addr("198.51.100.1:1"), DEFAULT_TTL).unwrap().from;
        net.gateway_mut(0).nat.kind.filtering = Filtering::EndpointIndependent;
        let wire = net.climb(1, home, addr("192.168.1.11:1"), target, DEFAULT_TTL).unwrap();
        assert_eq!(net.descend(1, wire), Err(Lost::Filtered));
        net.gateway_mut(0).nat.kind.hairpin = true;
        let (host, ..) = net.descend(1, wire).unwrap();
        assert_eq!(host, 1);
    }

    #[test]
    fn a_private_address_behind_another_box_is_out_of_reach() {
        let (mut net, home, _) = world();
        let wire = net.climb(0, home, addr("192.168.1.10:1"), addr("192.168.1.99:1"), DEFAULT_TTL);
        assert_eq!(wire, Err(Lost::Nobody));
    }

    #[test]
    fn a_stateful_firewall_lets_only_answers_in() {
        let (mut net, home, _) = world();
        let (inside, outside) = (addr("[2001:db8:1::10]:1"), addr("[2001:db8:ff::1]:1"));
        net.add_v6(0, 0x2001_0db8_0001_0000);
        net.plug(1, home, inside.ip());
        net.plug(0, INTERNET, outside.ip());
        let early = net.climb(0, INTERNET, outside, inside, DEFAULT_TTL).unwrap();
        assert_eq!(net.descend(0, early), Err(Lost::Filtered));
        let out = net.climb(1, home, inside, outside, DEFAULT_TTL).unwrap();
        assert_eq!(net.descend(2, out), Ok((0, inside, outside)));
        assert_eq!(net.descend(3, early), Ok((1, outside, inside)));
    }
}
