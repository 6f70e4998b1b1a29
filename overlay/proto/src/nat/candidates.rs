//! Addresses to be reached at, and which of a peer's addresses may be tried.
//!
//! A peer is a member and still a stranger to this site: what it names must not make this node scan somebody's private range
//! (pitfall 27: mysterium #5746, netbird #3878). A private address is tried only when there is evidence that it means the same
//! place here as there.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use netflow_wire::inner::{Candidate, CandidateKind, MAX_CANDIDATES};

use crate::node::{LocalInterface, PortMapping};

/// What this node knows of its own place in the underlay.
#[derive(Default)]
pub(crate) struct Place {
    /// Addresses of its interfaces.
    pub(crate) interfaces: Vec<LocalInterface>,
    /// The gateway's mapping of the main port.
    pub(crate) mapping: Option<PortMapping>,
    /// Number of the main port on this machine.
    pub(crate) main_port: Option<u16>,
    /// The main port as servers outside see it, the newest first, each address once.
    pub(crate) reflexive: Vec<SocketAddr>,
    /// Prefixes of the overlay networks this node is in.
    pub(crate) overlay: Vec<IpNet>,
}

impl Place {
    /// The addresses to tell a peer, best first, at most [`MAX_CANDIDATES`].
    pub(crate) fn gather(&self) -> Vec<Candidate> {
        let mut found: Vec<(u8, Candidate)> = Vec::new();
        for interface in &self.interfaces {
            let ip = interface.addr.to_canonical();
            if let Some(port) = self.main_port
                && is_unicast(ip)
                && !self.is_overlay(ip)
            {
                let order = match (ip, is_private(ip)) {
                    (IpAddr::V6(_), false) => 0,
                    (IpAddr::V4(_), false) => 1,
                    (_, true) if interface.has_default_route => 4,
                    (_, true) => 5,
                };
                found.push((order, Candidate { kind: CandidateKind::Host, addr: SocketAddr::new(ip, port) }));
            }
        }
        if let Some(mapping) = &self.mapping {
            found.push((2, Candidate { kind: CandidateKind::PortMapped, addr: mapping.external }));
        }
        let reflexive = self.reflexive.iter();
        found.extend(reflexive.map(|addr| (3, Candidate { kind: CandidateKind::ServerReflexive, addr: *addr })));
        found.retain(|(_, candidate)| is_unicast(candidate.addr.ip()) && candidate.addr.port() != 0);
        found.sort_by_key(|(order, _)| *order);
        let mut list: Vec<Candidate> = Vec::new();
        for (_, candidate) in found {
            if list.len() < MAX_CANDIDATES && list.iter().all(|known| known.addr != candidate.addr) {
                list.push(candidate);
            }
        }
        list
    }

    /// Those of a peer's candidates that may be probed, in the order of the ladder: IPv6, its own or mapped port, reflexive, LAN.
    pub(crate) fn admit(&self, theirs: &[Candidate]) -> Vec<Candidate> {
        let mut list: Vec<Candidate> = Vec::new();
        for candidate in theirs.iter().take(MAX_CANDIDATES) {
            let addr = SocketAddr::new(candidate.addr.ip().to_canonical(), candidate.addr.port());
            let known = list.iter().any(|other| other.addr == addr);
            if !known && self.may_probe(addr, theirs) {
                list.push(Candidate { kind: candidate.kind, addr });
            }
        }
        list.sort_by_key(|candidate| match (candidate.addr.ip(), candidate.kind) {
            (IpAddr::V6(_), _) => 0,
            (IpAddr::V4(_), CandidateKind::Host) => 1,
            (IpAddr::V4(_), CandidateKind::PortMapped) => 2,
            (IpAddr::V4(_), CandidateKind::ServerReflexive) => 3,
            (IpAddr::V4(_), CandidateKind::PeerReflexive | CandidateKind::Punch) => 4,
        });
        list
    }

    fn may_probe(&self, addr: SocketAddr, theirs: &[Candidate]) -> bool {
        let ip = addr.ip();
        if addr.port() == 0 || !is_unicast(ip) || self.is_overlay(ip) || self.is_own(addr) {
            return false;
        }
        !is_private(ip) || self.is_same_lan(ip, theirs)
    }

    /// A private address means a host on a link of ours, and both ends are seen from outside as one: behind the same NAT, or
    /// by a relay on that very LAN.
    fn is_same_lan(&self, ip: IpAddr, theirs: &[Candidate]) -> bool {
        let connected = self.interfaces.iter().filter_map(prefix_of).find(|prefix| prefix.contains(&ip));
        let Some(prefix) = connected else { return false };
        let ours = |other: IpAddr| self.reflexive.iter().any(|own| own.ip() == other);
        let same_outside = theirs
            .iter()
            .any(|candidate| candidate.kind != CandidateKind::Host && ours(candidate.addr.ip().to_canonical()));
        // Without a NAT the peer has no reflexive address apart from its host one; the LAN's relay sees both as they are.
        let seen_here = self.reflexive.iter().any(|own| prefix.contains(&own.ip()));
        let public_here = theirs.iter().any(|candidate| {
            let other = candidate.addr.ip().to_canonical();
            candidate.kind == CandidateKind::Host && other.is_ipv6() && !is_private(other) && self.is_connected(other)
        });
        same_outside || seen_here || public_here
    }

    fn is_connected(&self, ip: IpAddr) -> bool {
        self.interfaces.iter().filter_map(prefix_of).any(|prefix| prefix.contains(&ip))
    }

    fn is_overlay(&self, ip: IpAddr) -> bool {
        self.overlay.iter().any(|prefix| prefix.contains(&ip))
    }

    /// Our own main port: a probe there would only come back.
    fn is_own(&self, addr: SocketAddr) -> bool {
        let host = self.interfaces.iter().any(|interface| interface.addr.to_canonical() == addr.ip());
        (host && self.main_port == Some(addr.port())) || self.reflexive.contains(&addr)
    }
}

fn prefix_of(interface: &LocalInterface) -> Option<IpNet> {
    IpNet::new(interface.addr.to_canonical(), interface.prefix_len).ok().map(|net| net.trunc())
}

/// An address one host can have on the internet or in a private network. Link-local ones need a scope nobody else knows.
pub(crate) fn is_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first != 0 && first < 224 && !v4.is_loopback() && !v4.is_link_local()
        }
        // 2000::/3 is what is allocated for the internet, fc00::/7 what is private (RFC 4291, RFC 4193).
        IpAddr::V6(v6) => {
            let [first, ..] = v6.segments();
            first & 0xe000 == 0x2000 || is_unique_local(v6)
        }
    }
}

/// RFC 1918, RFC 6598 (carrier NAT), RFC 4193: the same address is at many places.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || matches!(v4.octets(), [100, 64..=127, ..]),
        IpAddr::V6(v6) => is_unique_local(v6),
    }
}

/// A host of the internet.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    is_unicast(ip) && !is_private(ip)
}

const fn is_unique_local(v6: Ipv6Addr) -> bool {
    v6.segments()[0] & 0xfe00 == 0xfc00
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::MapProtocol;
    use proptest::prelude::*;

    fn interface(addr: &str, prefix_len: u8) -> LocalInterface {
        LocalInterface { name: "eth0".into(), addr: addr.parse().unwrap(), prefix_len, has_default_route: true }
    }

    fn home() -> Place {
        Place {
            interfaces: vec![interface("192.168.1.20", 24), interface("2001:db8:1::20", 64), interface("fe80::1", 64)],
            mapping: None,
            main_port: Some(4790),
            reflexive: vec!["198.51.100.7:40001".parse().unwrap()],
            overlay: vec!["100.77.0.0/16".parse().unwrap(), "fd11:2233:4455::/48".parse().unwrap()],
        }
    }

    fn candidate(kind: CandidateKind, addr: &str) -> Candidate {
        Candidate { kind, addr: addr.parse().unwrap() }
    }

    fn host(addr: &str) -> Candidate {
        candidate(CandidateKind::Host, addr)
    }

    fn reflexive(addr: &str) -> Candidate {
        candidate(CandidateKind::ServerReflexive, addr)
    }

    #[test]
    fn pitfall_27_a_strangers_private_range_is_never_probed() {
        let place = home();
        // Another home that uses the very same private range.
        let theirs = [host("192.168.1.30:4790"), host("10.0.0.5:4790"), reflexive("203.0.113.9:555")];
        assert_eq!(place.admit(&theirs), [reflexive("203.0.113.9:555")]);
        // Behind the same NAT, and on a link of ours: the same LAN.
        let theirs = [host("192.168.1.30:4790"), host("10.0.0.5:4790"), reflexive("198.51.100.7:40002")];
        assert_eq!(place.admit(&theirs), [host("192.168.1.30:4790"), reflexive("198.51.100.7:40002")]);
        // The same carrier NAT, other homes.
        let theirs = [host("192.168.7.30:4790"), host("100.64.3.3:4790"), reflexive("198.51.100.7:40002")];
        assert_eq!(place.admit(&theirs), [reflexive("198.51.100.7:40002")]);
    }

    #[test]
    fn pitfall_27_nothing_that_is_no_host_elsewhere_is_probed() {
        let place = home();
        let bad = [
            "127.0.0.1:1",
            "0.0.0.0:1",
            "0.1.2.3:1",
            "169.254.1.1:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "240.0.0.1:1",
            "[::1]:1",
            "[::]:1",
            "[fe80::2]:1",
            "[ff02::1]:1",
            "[64:ff9b::7f00:1]:1",
            "[::ffff:127.0.0.1]:1",
            "100.77.0.9:1",
            "[fd11:2233:4455::9]:1",
            "[fd99::1]:1",
            "192.168.1.20:4790",
            "198.51.100.7:40001",
        ];
        for addr in bad {
            assert_eq!(place.admit(&[host(addr), reflexive("198.51.100.7:1")]).len(), 1, "{addr}");
        }
    }

    #[test]
    fn a_relay_on_the_lan_is_evidence_for_its_lan_alone() {
        let mut place = home();
        place.reflexive = vec!["192.168.1.20:4790".parse().unwrap()];
        let admitted = place.admit(&[host("192.168.1.30:4790"), host("10.0.0.5:4790")]);
        assert_eq!(admitted, [host("192.168.1.30:4790")]);
    }

    #[test]
    fn what_is_told_to_peers_is_complete_sorted_and_without_overlay_addresses() {
        let mut place = home();
        place.interfaces.push(interface("100.77.0.4", 16));
        let external = "198.51.100.7:4790".parse().unwrap();
        place.mapping = Some(PortMapping { external, protocol: MapProtocol::Pcp, lifetime_s: 3600 });
        let expected = [
            host("[2001:db8:1::20]:4790"),
            candidate(CandidateKind::PortMapped, "198.51.100.7:4790"),
            reflexive("198.51.100.7:40001"),
            host("192.168.1.20:4790"),
        ];
        assert_eq!(place.gather(), expected);
        place.interfaces.extend((0..100).map(|n| interface(&format!("10.9.{n}.1"), 24)));
        assert_eq!(place.gather().len(), MAX_CANDIDATES);
        assert_eq!(place.gather()[..3], expected[..3], "the best ones are kept");
    }

    proptest! {
        #[test]
        fn pitfall_27_whatever_a_peer_names_only_public_or_proven_lan_hosts_are_left(
            v4 in prop::collection::vec((any::<u32>(), any::<u16>()), 0..20),
            v6 in prop::collection::vec((any::<u128>(), any::<u16>()), 0..4),
        ) {
            let place = home();
            let list = v4.iter().map(|(ip, port)| (IpAddr::V4((*ip).into()), *port))
                .chain(v6.iter().map(|(ip, port)| (IpAddr::V6((*ip).into()), *port)));
            let theirs: Vec<Candidate> =
                list.map(|(ip, port)| Candidate { kind: CandidateKind::Host, addr: SocketAddr::new(ip, port) }).collect();
            for admitted in place.admit(&theirs) {
                prop_assert!(is_unicast(admitted.addr.ip()) && !is_private(admitted.addr.ip()) && admitted.addr.port() != 0);
            }
        }
    }
}
