//! Where frames come from and go to: local ports, remote addresses, carriers, and the ways made of them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use netflow_wire::NodeId;

use crate::relay::{Carrier, LinkId};

/// A local UDP socket of the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

impl PortId {
    /// The node's one port: frames, QUIC and STUN.
    pub const MAIN: Self = Self(0);
    /// UDP 443 at a relay, for sites that let nothing else out.
    pub const ALT_443: Self = Self(1);
    /// A second port of a relay: answers of RFC 5780 and reachability probes come from it when asked for.
    pub const STUN_ALT: Self = Self(2);
    /// The first number of ports opened for hole punching; lower ones are fixed roles.
    pub const FIRST_PUNCH: Self = Self(16);

    /// Was it opened for hole punching?
    #[must_use]
    pub const fn is_punch(self) -> bool {
        self.0 >= Self::FIRST_PUNCH.0
    }
}

/// Where frames of somebody come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// UDP between a local port and a remote address.
    Udp {
        /// Our side.
        port: PortId,
        /// Their side. Never a v4-mapped address.
        addr: SocketAddr,
    },
    /// Over the stream of a control link, where UDP is blocked.
    Carrier(LinkId),
}

impl Endpoint {
    /// From the node's main port.
    #[must_use]
    pub const fn main(addr: SocketAddr) -> Self {
        Self::Udp { port: PortId::MAIN, addr }
    }

    /// Where the frames of the node at the other end of a control link go.
    #[must_use]
    pub const fn of_link(link: LinkId, remote: SocketAddr, carrier: Carrier) -> Self {
        match carrier {
            Carrier::Quic => Self::main(remote),
            Carrier::Stream => Self::Carrier(link),
        }
    }

    /// The remote UDP address, if it has one.
    #[must_use]
    pub const fn addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Udp { addr, .. } => Some(*addr),
            Self::Carrier(_) => None,
        }
    }

    /// An address that stands for this endpoint in cookies and rate limits. A carrier gets one of `::/64`, which no datagram comes from.
    #[must_use]
    pub fn limit_addr(&self) -> SocketAddr {
        match self {
            Self::Udp { addr, .. } => *addr,
            Self::Carrier(link) => SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(u128::from(link.0))), 0),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Udp { addr, .. } => addr.fmt(f),
            Self::Carrier(_) => f.write_str("TLS over TCP"),
        }
    }
}

/// Most relays of one path. Three are enough for edge, backbone, edge; each costs a round trip share, a quota and a price.
pub const MAX_HOPS: usize = 3;

/// The relays of a path, first hop first: one to [`MAX_HOPS`], none twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hops {
    len: u8,
    ids: [NodeId; MAX_HOPS],
}

impl Hops {
    /// One relay.
    #[must_use]
    pub const fn one(relay: NodeId) -> Self {
        Self { len: 1, ids: [relay, NodeId([0; 32]), NodeId([0; 32])] }
    }

    /// `None` for no relay, too many, or one that is named twice.
    #[must_use]
    pub fn new(relays: &[NodeId]) -> Option<Self> {
        let (first, rest) = relays.split_first()?;
        let mut hops = Self::one(*first);
        for relay in rest {
            let place = hops.ids.get_mut(usize::from(hops.len))?;
            *place = *relay;
            hops.len += 1;
        }
        let all = hops.as_slice();
        let twice = all.iter().enumerate().any(|(at, relay)| all.iter().skip(at + 1).any(|other| other == relay));
        (!twice).then_some(hops)
    }

    /// The relay this node hands its frames to.
    #[must_use]
    pub const fn first(&self) -> NodeId {
        let [first, ..] = self.ids;
        first
    }

    /// All of them, first hop first.
    #[must_use]
    pub fn as_slice(&self) -> &[NodeId] {
        self.ids.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The same path as the other end sees it.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut back = *self;
        for (place, relay) in back.ids.iter_mut().zip(self.as_slice().iter().rev()) {
            *place = *relay;
        }
        back
    }

    /// Does the path pass this relay?
    #[must_use]
    pub fn has(&self, relay: &NodeId) -> bool {
        self.as_slice().contains(relay)
    }
}

/// Names one way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathKey {
    /// Without a relay.
    Direct {
        /// Our port.
        port: PortId,
        /// The peer's address as we reach it.
        addr: SocketAddr,
    },
    /// By circuits through these relays.
    Relay(Hops),
}

impl PathKey {
    /// Through one relay.
    #[must_use]
    pub const fn relay(relay: NodeId) -> Self {
        Self::Relay(Hops::one(relay))
    }

    /// The relay this node hands its frames to, when there is one.
    #[must_use]
    pub const fn first_relay(&self) -> Option<NodeId> {
        match self {
            Self::Direct { .. } => None,
            Self::Relay(hops) => Some(hops.first()),
        }
    }

    /// Is it direct?
    #[must_use]
    pub const fn is_direct(&self) -> bool {
        matches!(self, Self::Direct { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_names_a_relay_twice_nor_more_than_three() {
        let id = |byte: u8| NodeId([byte; 32]);
        assert_eq!(Hops::new(&[]), None);
        assert_eq!(Hops::new(&[id(1)]), Some(Hops::one(id(1))));
        assert_eq!(Hops::new(&[id(1), id(2), id(1)]), None);
        assert_eq!(Hops::new(&[id(1), id(2), id(3), id(4)]), None);
        let path = Hops::new(&[id(3), id(2), id(1)]).unwrap();
        assert_eq!(path.as_slice(), &[id(3), id(2), id(1)]);
        assert_eq!(path.reversed(), Hops::new(&[id(1), id(2), id(3)]).unwrap());
        assert_eq!(Hops::new(&[id(3), id(2)]).unwrap().reversed().as_slice(), &[id(2), id(3)]);
    }
}
