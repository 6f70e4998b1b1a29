//! What the policy needs to know of an IP packet, and nothing it cannot be sure of.
//!
//! Every way to make the filter and the receiving kernel see different packets ends in a refusal: lengths that do not add up, extension headers in
//! an order no sender uses, routing header type 0 (RFC 5095), a first fragment too short for its ports (RFC 1858, RFC 7112).

use std::net::IpAddr;

use etherparse::{
    IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, TcpHeaderSlice,
    UdpHeaderSlice,
};

/// Extension headers in a row. RFC 8200 names seven kinds, each at most once but for destination options.
const MAX_EXTENSIONS: usize = 8;
/// Bytes of an ICMP header that an error or echo carries (RFC 792, RFC 4443).
const ICMP_HEADER: usize = 8;

/// Protocol and ports of a flow, seen from the sender of a packet. ICMP echo has its identifier in both ports, other protocols zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tuple {
    pub(super) source: IpAddr,
    pub(super) dest: IpAddr,
    pub(super) proto: u8,
    pub(super) source_port: u16,
    pub(super) dest_port: u16,
}

impl Tuple {
    /// The same flow seen from the other end.
    pub(super) const fn reversed(self) -> Self {
        Self {
            source: self.dest,
            dest: self.source,
            proto: self.proto,
            source_port: self.dest_port,
            dest_port: self.source_port,
        }
    }
}

/// Which part a packet plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// May open a flow, and may belong to one.
    Opener,
    /// May open a flow, never counts as a reply: a TCP segment with SYN alone, an echo request.
    OnlyOpener,
    /// May be a reply, opens nothing: an echo reply, other ICMP messages.
    OnlyReply,
    /// An ICMP error about this packet, which the destination sent before.
    ErrorAbout(Tuple),
}

/// A fragment's place in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstFragment {
    pub(super) id: u32,
    /// Bytes of the fragmentable part up to the end of the transport header: no later fragment may reach in here.
    pub(super) covered: usize,
}

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// With a transport header: whole, or the first fragment.
    Head { tuple: Tuple, role: Role, fragment: Option<FirstFragment> },
    /// A later fragment, starting `offset` bytes into the fragmentable part.
    Tail { source: IpAddr, dest: IpAddr, id: u32, offset: usize },
}

impl Packet {
    pub(super) const fn addresses(&self) -> (IpAddr, IpAddr) {
        match self {
            Self::Head { tuple, .. } => (tuple.source, tuple.dest),
            Self::Tail { source, dest, .. } => (*source, *dest),
        }
    }

    /// Reads a packet whose length is exactly what its header says.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => parse_v4(bytes),
            6 => parse_v6(bytes),
            _ => None,
        }
    }
}

fn parse_v4(bytes: &[u8]) -> Option<Packet> {
    let header = Ipv4HeaderSlice::from_slice(bytes).ok()?;
    if usize::from(header.total_len()) != bytes.len() {
        return None;
    }
    let (source, dest) = (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()));
    let payload = bytes.get(header.slice().len()..)?;
    let id = u32::from(header.identification());
    let offset = usize::from(header.fragments_offset().value()) * 8;
    if offset > 0 {
        return Some(Packet::Tail { source, dest, id, offset });
    }
    let (tuple, role, length) = transport(source, dest, header.protocol(), payload)?;
    let fragment = header.more_fragments().then_some(FirstFragment { id, covered: length });
    Some(Packet::Head { tuple, role, fragment })
}

fn parse_v6(bytes: &[u8]) -> Option<Packet> {
    let header = Ipv6HeaderSlice::from_slice(bytes).ok()?;
    let payload = bytes.get(header.slice().len()..)?;
    // Jumbograms say 0 here; a TUN has none.
    if usize::from(header.payload_length()) != payload.len() {
        return None;
    }
    let (source, dest) = (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
    let walked = walk(header.next_header(), payload)?;
    let rest = payload.get(walked.at..)?;
    match walked.fragment {
        Some(Fragment { id, offset, .. }) if offset > 0 => Some(Packet::Tail { source, dest, id, offset }),
        Some(Fragment { id, start, more, .. }) => {
            let (tuple, role, length) = transport(source, dest, walked.next, rest)?;
            let covered = walked.at - start + length;
            Some(Packet::Head { tuple, role, fragment: more.then_some(FirstFragment { id, covered }) })
        }
        None => {
            let (tuple, role, _) = transport(source, dest, walked.next, rest)?;
            Some(Packet::Head { tuple, role, fragment: None })
        }
    }
}

struct Fragment {
    id: u32,
    offset: usize,
    more: bool,
    /// Where the fragmentable part starts.
    start: usize,
}

struct Walked {
    next: IpNumber,
    at: usize,
    fragment: Option<Fragment>,
}

/// Walks the extension headers of RFC 8200. A later fragment ends the walk: what follows is not a header.
fn walk(first: IpNumber, payload: &[u8]) -> Option<Walked> {
    let (mut next, mut at, mut fragment) = (first, 0, None);
    for position in 0..=MAX_EXTENSIONS {
        let rest = payload.get(at..)?;
        match next {
            IpNumber::IPV6_HEADER_HOP_BY_HOP | IpNumber::IPV6_ROUTE_HEADER | IpNumber::IPV6_DESTINATION_OPTIONS => {
                if next == IpNumber::IPV6_HEADER_HOP_BY_HOP && position > 0 {
                    return None;
                }
                let header = Ipv6RawExtHeaderSlice::from_slice(rest).ok()?;
                // Source routing: the destination we check would not be where the packet ends (RFC 5095).
                if next == IpNumber::IPV6_ROUTE_HEADER && header.payload().first() == Some(&0) {
                    return None;
                }
                next = header.next_header();
                at += header.slice().len();
            }
            IpNumber::AUTHENTICATION_HEADER => {
                let header = etherparse::IpAuthHeaderSlice::from_slice(rest).ok()?;
                next = header.next_header();
                at += header.slice().len();
            }
            IpNumber::IPV6_FRAGMENTATION_HEADER => {
                let header = Ipv6FragmentHeaderSlice::from_slice(rest).ok()?;
                if fragment.is_some() {
                    return None;
                }
                next = header.next_header();
                at += header.slice().len();
                let offset = usize::from(header.fragment_offset().value()) * 8;
                fragment =
                    Some(Fragment { id: header.identification(), offset, more: header.more_fragments(), start: at });
                if offset > 0 {
                    return Some(Walked { next, at, fragment });
                }
            }
            _ => return Some(Walked { next, at, fragment }),
        }
    }
    None
}

/// Protocol, ports and part of a packet with its transport header, and how long that header is.
fn transport(source: IpAddr, dest: IpAddr, proto: IpNumber, payload: &[u8]) -> Option<(Tuple, Role, usize)> {
    let tuple = |source_port, dest_port| Tuple { source, dest, proto: proto.0, source_port, dest_port };
    match proto {
        IpNumber::TCP => {
            let header = TcpHeaderSlice::from_slice(payload).ok()?;
            let role = if header.syn() && !header.ack() { Role::OnlyOpener } else { Role::Opener };
            Some((tuple(header.source_port(), header.destination_port()), role, header.slice().len()))
        }
        IpNumber::UDP => {
            let header = UdpHeaderSlice::from_slice(payload).ok()?;
            Some((tuple(header.source_port(), header.destination_port()), Role::Opener, header.slice().len()))
        }
        IpNumber::ICMP if source.is_ipv4() => icmp(&tuple, payload, IcmpKind::of_v4),
        IpNumber::IPV6_ICMP if source.is_ipv6() => icmp(&tuple, payload, IcmpKind::of_v6),
        _ => Some((tuple(0, 0), Role::Opener, 0)),
    }
}

enum IcmpKind {
    EchoRequest,
    EchoReply,
    Error,
    Other,
}

impl IcmpKind {
    /// RFC 792. Redirects are no errors here: nothing inside a network has a reason to send one.
    const fn of_v4(kind: u8) -> Self {
        match kind {
            8 => Self::EchoRequest,
            0 => Self::EchoReply,
            3 | 11 | 12 => Self::Error,
            _ => Self::Other,
        }
    }

    /// RFC 4443.
    const fn of_v6(kind: u8) -> Self {
        match kind {
            128 => Self::EchoRequest,
            129 => Self::EchoReply,
            1..=4 => Self::Error,
            _ => Self::Other,
        }
    }
}

fn icmp(
    tuple: &impl Fn(u16, u16) -> Tuple,
    payload: &[u8],
    kind_of: fn(u8) -> IcmpKind,
) -> Option<(Tuple, Role, usize)> {
    let (header, about) = payload.split_at_checked(ICMP_HEADER)?;
    let &[kind, _, _, _, id_high, id_low, ..] = header else { return None };
    let id = u16::from_be_bytes([id_high, id_low]);
    let (tuple, role) = match kind_of(kind) {
        IcmpKind::EchoRequest => (tuple(id, id), Role::OnlyOpener),
        IcmpKind::EchoReply => (tuple(id, id), Role::OnlyReply),
        IcmpKind::Error => (tuple(0, 0), embedded(about).map_or(Role::OnlyReply, Role::ErrorAbout)),
        IcmpKind::Other => (tuple(0, 0), Role::OnlyReply),
    };
    Some((tuple, role, ICMP_HEADER))
}

/// Flow of the packet an ICMP error quotes. The quote may end anywhere after the ports.
fn embedded(quote: &[u8]) -> Option<Tuple> {
    let (source, dest, proto, rest) = match quote.first()? >> 4 {
        4 => {
            let header = Ipv4HeaderSlice::from_slice(quote).ok()?;
            if header.fragments_offset().value() > 0 {
                return None;
            }
            let rest = quote.get(header.slice().len()..)?;
            (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()), header.protocol(), rest)
        }
        6 => {
            let header = Ipv6HeaderSlice::from_slice(quote).ok()?;
            let payload = quote.get(header.slice().len()..)?;
            let walked = walk(header.next_header(), payload)?;
            if walked.fragment.is_some_and(|fragment| fragment.offset > 0) {
                return None;
            }
            let rest = payload.get(walked.at..)?;
            (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()), walked.next, rest)
        }
        _ => return None,
    };
    let word = |at: usize| Some(u16::from_be_bytes(rest.get(at..)?.first_chunk().copied()?));
    let (source_port, dest_port) = match proto {
        IpNumber::TCP | IpNumber::UDP => (word(0)?, word(2)?),
        IpNumber::ICMP | IpNumber::IPV6_ICMP => (word(4)?, word(4)?),
        _ => (0, 0),
    };
    Some(Tuple { source, dest, proto: proto.0, source_port, dest_port })
}
