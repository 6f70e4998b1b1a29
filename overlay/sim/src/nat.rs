//! One NAT box in RFC 4787 terms: a mapping behaviour, a filtering behaviour, how long a flow lives, and whether it turns
//! packets round for its own inside (hairpin). A box that forgets is the rule here, not the exception.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::rng::Rng;

/// To what the external port of an inner socket is bound (RFC 4787, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// One port for every destination.
    EndpointIndependent,
    /// One port per destination address.
    AddressDependent,
    /// One port per destination address and port.
    AddressAndPortDependent,
}

/// How a box picks external ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The inner port when it is free.
    Preserving,
    /// Any.
    Random,
}

/// Whose packets a mapping lets in (RFC 4787, 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// Anybody's.
    EndpointIndependent,
    /// Of addresses that were sent to.
    AddressDependent,
    /// Of addresses and ports that were sent to.
    AddressAndPortDependent,
}

/// How a box behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatKind {
    /// Mapping behaviour.
    pub mapping: Mapping,
    /// Choice of ports.
    pub ports: Ports,
    /// Filtering behaviour.
    pub filtering: Filtering,
    /// Does a packet from inside to its own outer address come back in?
    pub hairpin: bool,
    /// A flow without a packet for this long is forgotten, in microseconds.
    pub expiry_us: u64,
    /// Do packets from outside keep a flow alive too?
    pub refreshed_by_inbound: bool,
    /// Carrier grade: a flow ends this long after it began, whatever it carries.
    pub absolute_us: Option<u64>,
    /// Does it make port mappings for its inside when asked (PCP, NAT-PMP, UPnP)?
    pub maps_ports: bool,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    created_us: u64,
    last_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    inner: SocketAddr,
    to_ip: Option<IpAddr>,
    to_port: Option<u16>,
}

#[derive(Debug)]
struct Mapped {
    key: Key,
    flows: BTreeMap<SocketAddr, Flow>,
}

/// A box: its behaviour and its tables. Where it stands is the network's business.
#[derive(Debug)]
pub struct NatBox {
    /// Behaviour.
    pub kind: NatKind,
    /// Address on the outer segment.
    pub outer_ip: IpAddr,
    by_key: BTreeMap<Key, u16>,
    by_port: BTreeMap<u16, Mapped>,
    fixed: BTreeMap<u16, SocketAddr>,
    rng: Rng,
    until_sweep: u32,
}

/// Packets between two sweeps of dead flows.
const SWEEP_EVERY: u32 = 4_096;

impl NatBox {
    /// An empty box.
    #[must_use]
    pub const fn new(kind: NatKind, outer_ip: IpAddr, seed: u64) -> Self {
        Self {
            kind,
            outer_ip,
            by_key: BTreeMap::new(),
            by_port: BTreeMap::new(),
            fixed: BTreeMap::new(),
            rng: Rng(seed),
            until_sweep: SWEEP_EVERY,
        }
    }

    /// The power fails: every flow and port mapping is forgotten, the outer address may be another one.
    pub fn reboot(&mut self, outer_ip: IpAddr) {
        self.by_key.clear();
        self.by_port.clear();
        self.fixed.clear();
        self.outer_ip = outer_ip;
    }

    /// A packet from inside: its source outside. `None`: no port is left.
    pub fn outbound(&mut self, now_us: u64, inner: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        self.sweep(now_us);
        let fixed = self.fixed.iter().find(|(_, target)| **target == inner).map(|(port, _)| *port);
        if let Some(port) = fixed {
            return Some(SocketAddr::new(self.outer_ip, port));
        }
        let key = match self.kind.mapping {
            Mapping::EndpointIndependent => Key { inner, to_ip: None, to_port: None },
            Mapping::AddressDependent => Key { inner, to_ip: Some(to.ip()), to_port: None },
            Mapping::AddressAndPortDependent => Key { inner, to_ip: Some(to.ip()), to_port: Some(to.port()) },
        };
        let known = self.by_key.get(&key).copied().filter(|port| self.is_alive(now_us, *port));
        let port = match known {
            Some(port) => port,
            None => self.allot(now_us, key)?,
        };
        let kind = self.kind;
        let mapped = self.by_port.get_mut(&port)?;
        match mapped.flows.get_mut(&to).filter(|flow| lives(&kind, now_us, flow)) {
            Some(flow) => flow.last_us = now_us,
            None => drop(mapped.flows.insert(to, Flow { created_us: now_us, last_us: now_us })),
        }
        Some(SocketAddr::new(self.outer_ip, port))
    }

    /// A packet from outside to a port of the box: the inner socket it is for. `None`: filtered.
    pub fn inbound(&mut self, now_us: u64, port: u16, from: SocketAddr) -> Option<SocketAddr> {
        if let Some(inner) = self.fixed.get(&port) {
            return Some(*inner);
        }
        let kind = self.kind;
        let mapped = self.by_port.get_mut(&port)?;
        let alive = |flow: &&mut Flow| lives(&kind, now_us, flow);
        let of_address = SocketAddr::new(from.ip(), 0)..=SocketAddr::new(from.ip(), u16::MAX);
        let flow = match kind.filtering {
            Filtering::EndpointIndependent => mapped.flows.values_mut().find(alive)?,
            Filtering::AddressDependent => mapped.flows.range_mut(of_address).map(|(_, flow)| flow).find(alive)?,
            Filtering::AddressAndPortDependent => mapped.flows.get_mut(&from).filter(alive)?,
        };
        if kind.refreshed_by_inbound {
            flow.last_us = now_us;
        }
        Some(mapped.key.inner)
    }

    /// A port mapping for an inner socket, kept until it is dropped or the box reboots.
    pub fn map_port(&mut self, now_us: u64, inner: SocketAddr) -> Option<SocketAddr> {
        if !self.kind.maps_ports {
            return None;
        }
        let known = self.fixed.iter().find(|(_, target)| **target == inner).map(|(port, _)| *port);
        let port = match known {
            Some(port) => port,
            None => self.free_port(now_us, inner.port(), true)?,
        };
        self.fixed.insert(port, inner);
        Some(SocketAddr::new(self.outer_ip, port))
    }

    /// Ends the port mapping of an inner socket.
    pub fn unmap_port(&mut self, inner: SocketAddr) {
        self.fixed.retain(|_, target| *target != inner);
    }

    /// Live flows, which is what fills a box.
    #[must_use]
    pub fn flows(&self, now_us: u64) -> usize {
        let alive = |mapped: &Mapped| mapped.flows.values().filter(|flow| lives(&self.kind, now_us, flow)).count();
        self.by_port.values().map(alive).sum()
    }

    fn is_alive(&self, now_us: u64, port: u16) -> bool {
        let mapped = self.by_port.get(&port);
        mapped.is_some_and(|mapped| mapped.flows.values().any(|flow| lives(&self.kind, now_us, flow)))
    }

    fn allot(&mut self, now_us: u64, key: Key) -> Option<u16> {
        let port = self.free_port(now_us, key.inner.port(), self.kind.ports == Ports::Preserving)?;
        if let Some(old) = self.by_key.insert(key, port) {
            self.by_port.remove(&old);
        }
        if let Some(old) = self.by_port.insert(port, Mapped { key, flows: BTreeMap::new() })
            && old.key != key
        {
            self.by_key.remove(&old.key);
        }
        Some(port)
    }

    fn free_port(&mut self, now_us: u64, wish: u16, preserve: bool) -> Option<u16> {
        let free = |this: &Self, port: u16| !this.is_alive(now_us, port) && !this.fixed.contains_key(&port);
        if preserve && free(self, wish) {
            return Some(wish);
        }
        // 1024 random tries find a port unless the box is full, as a real one is then.
        (0..1_024)
            .map(|_| u16::try_from(self.rng.between(1_024, 65_535)).unwrap_or(u16::MAX))
            .collect::<Vec<_>>()
            .into_iter()
            .find(|port| free(self, *port))
    }

    fn sweep(&mut self, now_us: u64) {
        self.until_sweep = self.until_sweep.saturating_sub(1);
        if self.until_sweep > 0 {
            return;
        }
        self.until_sweep = SWEEP_EVERY;
        let kind = self.kind;
        for mapped in self.by_port.values_mut() {
            mapped.flows.retain(|_, flow| lives(&kind, now_us, flow));
        }
        self.by_port.retain(|_, mapped| !mapped.flows.is_empty());
        let by_port = &self.by_port;
        self.by_key.retain(|_, port| by_port.contains_key(port));
    }
}

fn lives(kind: &NatKind, now_us: u64, flow: &Flow) -> bool {
    now_us.saturating_sub(flow.last_us) < kind.expiry_us
        && kind.absolute_us.is_none_or(|limit| now_us.saturating_sub(flow.created_us) < limit)
}

/// A stateful firewall for IPv6: nothing is translated, only answers come in.
#[derive(Debug, Default)]
pub struct Firewall {
    flows: BTreeMap<(SocketAddr, SocketAddr), u64>,
}

/// UDP of a home router's firewall: Linux forgets an answered flow after 120 s.
const FIREWALL_US: u64 = 120_000_000;

impl Firewall {
    /// A packet from inside opens the way back.
    pub fn outbound(&mut self, now_us: u64, inner: SocketAddr, to: SocketAddr) {
        if self.flows.len() > 4_096 {
            self.flows.retain(|_, last| now_us.saturating_sub(*last) < FIREWALL_US);
        }
        self.flows.insert((inner, to), now_us);
    }

    /// May this packet come in?
    pub fn inbound(&mut self, now_us: u64, from: SocketAddr, inner: SocketAddr) -> bool {
        match self.flows.get_mut(&(inner, from)).filter(|last| now_us.saturating_sub(**last) < FIREWALL_US) {
            Some(last) => {
                *last = now_us;
                true
            }
            None => false,
        }
    }

    /// Everything is forgotten.
    pub fn reboot(&mut self) {
        self.flows.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    fn nat(mapping: Mapping, filtering: Filtering) -> NatBox {
        let kind = NatKind {
            mapping,
            ports: Ports::Random,
            filtering,
            hairpin: false,
            expiry_us: 30 * S,
            refreshed_by_inbound: true,
            absolute_us: None,
            maps_ports: true,
        };
        NatBox::new(kind, IpAddr::from([203, 0, 113, 1]), 7)
    }

    fn at(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, last], port))
    }

    fn inner() -> SocketAddr {
        SocketAddr::from(([192, 168, 1, 10], 4_790))
    }

    #[test]
    fn a_mapping_depends_on_what_its_name_says() {
        let ports = |mapping| {
            let mut nat = nat(mapping, Filtering::AddressAndPortDependent);
            [at(1, 1), at(1, 2), at(2, 1)].map(|to| nat.outbound(0, inner(), to).unwrap().port())
        };
        let [a, b, c] = ports(Mapping::EndpointIndependent);
        assert!(a == b && b == c);
        let [a, b, c] = ports(Mapping::AddressDependent);
        assert!(a == b && b != c);
        let [a, b, c] = ports(Mapping::AddressAndPortDependent);
        assert!(a != b && b != c && a != c);
    }

    #[test]
    fn a_filter_lets_in_what_its_name_says() {
        let lets = |filtering| {
            let mut nat = nat(Mapping::EndpointIndependent, filtering);
            let port = nat.outbound(0, inner(), at(1, 1)).unwrap().port();
            [at(1, 1), at(1, 2), at(2, 1)].map(|from| nat.inbound(1, port, from).is_some())
        };
        assert_eq!(lets(Filtering::EndpointIndependent), [true, true, true]);
        assert_eq!(lets(Filtering::AddressDependent), [true, true, false]);
        assert_eq!(lets(Filtering::AddressAndPortDependent), [true, false, false]);
    }

    #[test]
    fn a_flow_that_is_silent_too_long_or_too_old_is_forgotten() {
        let mut nat = nat(Mapping::EndpointIndependent, Filtering::EndpointIndependent);
        let port = nat.outbound(0, inner(), at(1, 1)).unwrap().port();
        assert!(nat.inbound(29 * S, port, at(1, 1)).is_some(), "and refreshed by it");
        assert!(nat.inbound(58 * S, port, at(1, 1)).is_some());
        assert!(nat.inbound(89 * S, port, at(1, 1)).is_none());
        nat.kind.absolute_us = Some(60 * S);
        let port = nat.outbound(100 * S, inner(), at(1, 1)).unwrap().port();
        for second in 101..160 {
            assert_eq!(nat.outbound(second * S, inner(), at(1, 1)).unwrap().port(), port);
        }
        assert!(nat.inbound(160 * S, port, at(1, 1)).is_none(), "60 s are over");
    }

    #[test]
    fn a_port_mapping_lets_anybody_in_until_the_box_reboots() {
        let mut nat = nat(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent);
        let external = nat.map_port(0, inner()).unwrap();
        assert_eq!(nat.inbound(1_000 * S, external.port(), at(9, 9)), Some(inner()));
        assert_eq!(nat.outbound(1_000 * S, inner(), at(3, 3)), Some(external));
        nat.reboot(IpAddr::from([203, 0, 113, 2]));
        assert_eq!(nat.inbound(1_001 * S, external.port(), at(9, 9)), None);
    }
}
