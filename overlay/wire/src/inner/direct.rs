//! Inner messages that look for direct paths and measure paths: `Candidates`, `Probe`, `ProbeAck`.
//!
//! Spec: `docs/spec/wire.md`, section "Inner messages". All of them travel sealed, so a relay that carries them learns no address.

use std::net::SocketAddr;

use crate::bounded::{from_mapped, to_mapped};
use crate::bytes::{array_ref, check_length, check_zero, u16_at, u32_at, u64_at};
use crate::frame::WireError;

/// Most candidates of one round: host, mapped and reflexive addresses of both families, and a few punch ports; 313 bytes.
pub const MAX_CANDIDATES: usize = 16;
/// Bytes of a probe before its padding.
pub const PROBE_HEADER_LEN: usize = 10;
/// Bytes of the answer to a probe.
pub const PROBE_ACK_LEN: usize = 41;

/// Bytes before those of a part.
pub const PART_HEADER_LEN: usize = 6;
/// Most bytes of one part: both together are a packet of the smallest inner MTU.
pub const MAX_PART_LEN: usize = 1_280;

const CANDIDATES_HEADER_LEN: usize = 9;
const CANDIDATE_LEN: usize = 19;
const ADDR_LEN: usize = 18;
const NOMINATE: u8 = 1;

/// Defines a one-byte enumeration with its wire values.
macro_rules! wire_byte {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)* }

        impl $name {
            /// The value a byte of the wire means.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

wire_byte! {
    /// How a candidate address was found.
    CandidateKind {
        /// An address of one of the sender's interfaces.
        Host = 0,
        /// The sender's main port as servers outside see it.
        ServerReflexive = 1,
        /// A mapping its gateway promised (PCP, NAT-PMP, UPnP).
        PortMapped = 2,
        /// The sender's address as a peer saw it: the observed address of a probe's answer.
        PeerReflexive = 3,
        /// The reflexive address of an extra port opened for hole punching.
        Punch = 4,
    }
}

wire_byte! {
    /// Mapping behaviour of the sender's NAT (RFC 4787, 4.1).
    Mapping {
        /// Not measured yet.
        Unknown = 0,
        /// One external address and port whatever the destination.
        EndpointIndependent = 1,
        /// Another one for each destination address.
        AddressDependent = 2,
        /// Another one for each destination address and port.
        AddressAndPortDependent = 3,
        /// No UDP at all gets out.
        UdpBlocked = 4,
    }
}

wire_byte! {
    /// Filtering behaviour of the sender's NAT or firewall (RFC 4787, 5).
    Filtering {
        /// Not measured yet.
        Unknown = 0,
        /// Anybody may send to an open mapping.
        EndpointIndependent = 1,
        /// Only addresses it has sent to.
        AddressDependent = 2,
        /// Only addresses and ports it has sent to.
        AddressAndPortDependent = 3,
    }
}

/// One address the sender may be reached at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// How it was found.
    pub kind: CandidateKind,
    /// The address; its port is never 0.
    pub addr: SocketAddr,
}

/// Where the sender may be reached directly, and what its NAT is like. The highest `round` counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// Number of this list, rising within one session of the two nodes.
    pub round: u32,
    /// How the sender's NAT maps.
    pub mapping: Mapping,
    /// How it filters.
    pub filtering: Filtering,
    /// Host candidates behind the same external address are worth probing: its NAT hairpins, or both are on one LAN.
    pub same_lan: bool,
    /// The sender wants the receiver's candidates in return.
    pub wants_answer: bool,
    /// The sender is ready for the patient (birthday) search.
    pub patient: bool,
    /// At most [`MAX_CANDIDATES`].
    pub list: Vec<Candidate>,
}

/// The answer to a probe: what arrived, from where, and what has arrived on this path so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeAck {
    /// From the probe.
    pub id: u64,
    /// UDP payload bytes of the datagram the probe came in.
    pub len: u16,
    /// Where the probe came from, as the sender of the answer saw it; `None` on a relayed path.
    pub observed: Option<SocketAddr>,
    /// Data frames received from the prober on this path so far; wraps.
    pub rx_packets: u32,
    /// Datagram bytes of these frames.
    pub rx_bytes: u64,
}

/// Half of an inside packet that fits the smallest inner MTU but not the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Names the packet; both parts have it.
    pub id: u32,
    /// 0 for the first, 1 for the second.
    pub index: u8,
    /// 1..=[`MAX_PART_LEN`] bytes of it.
    pub bytes: &'a [u8],
}

pub(super) fn parse_part(plaintext: &[u8]) -> Result<Part<'_>, WireError> {
    let bytes = plaintext.get(PART_HEADER_LEN..).ok_or(WireError::Length)?;
    if bytes.is_empty() || bytes.len() > MAX_PART_LEN {
        return Err(WireError::Length);
    }
    let index = crate::bytes::byte(plaintext, 5);
    if index > 1 {
        return Err(WireError::Value);
    }
    Ok(Part { id: u32_at(plaintext, 1), index, bytes })
}

impl Part<'_> {
    pub(super) fn emit(&self, kind: u8, out: &mut Vec<u8>) {
        out.push(kind);
        out.extend_from_slice(&self.id.to_le_bytes());
        out.push(self.index);
        out.extend_from_slice(self.bytes);
    }
}

pub(super) fn parse_candidates(plaintext: &[u8]) -> Result<Candidates, WireError> {
    let header = plaintext.first_chunk::<CANDIDATES_HEADER_LEN>().ok_or(WireError::Length)?;
    let [_, _, _, _, _, mapping, filtering, flags, declared] = *header;
    if flags & !0b111 != 0 {
        return Err(WireError::Reserved);
    }
    if usize::from(declared) > MAX_CANDIDATES {
        return Err(WireError::Value);
    }
    let (chunks, rest) = plaintext.get(CANDIDATES_HEADER_LEN..).unwrap_or_default().as_chunks::<CANDIDATE_LEN>();
    if chunks.len() != usize::from(declared) || !rest.is_empty() {
        return Err(WireError::Length);
    }
    Ok(Candidates {
        round: u32_at(plaintext, 1),
        mapping: Mapping::from_byte(mapping).ok_or(WireError::Value)?,
        filtering: Filtering::from_byte(filtering).ok_or(WireError::Value)?,
        same_lan: flags & 1 != 0,
        wants_answer: flags & 2 != 0,
        patient: flags & 4 != 0,
        list: chunks.iter().map(candidate).collect::<Result<_, _>>()?,
    })
}

fn candidate(item: &[u8; CANDIDATE_LEN]) -> Result<Candidate, WireError> {
    let kind = CandidateKind::from_byte(item[0]).ok_or(WireError::Value)?;
    let addr = addr_at(item, 1).filter(|addr| addr.port() != 0).ok_or(WireError::Value)?;
    Ok(Candidate { kind, addr })
}

pub(super) fn parse_probe(plaintext: &[u8]) -> Result<(u64, bool, u16), WireError> {
    let padding = plaintext.len().checked_sub(PROBE_HEADER_LEN).ok_or(WireError::Length)?;
    let padding = u16::try_from(padding).map_err(|_| WireError::Length)?;
    let flags = *plaintext.get(9).ok_or(WireError::Length)?;
    if flags & !NOMINATE != 0 {
        return Err(WireError::Reserved);
    }
    check_zero(plaintext, PROBE_HEADER_LEN..plaintext.len())?;
    Ok((u64_at(plaintext, 1), flags & NOMINATE != 0, padding))
}

pub(super) fn parse_probe_ack(plaintext: &[u8]) -> Result<ProbeAck, WireError> {
    check_length(plaintext, PROBE_ACK_LEN)?;
    let observed = addr_at(plaintext, 11);
    // Zeros say "relayed"; half an address says nothing.
    if observed.is_none() && array_ref::<ADDR_LEN>(plaintext, 11) != &[0; ADDR_LEN] {
        return Err(WireError::Value);
    }
    Ok(ProbeAck {
        id: u64_at(plaintext, 1),
        len: u16_at(plaintext, 9),
        observed,
        rx_packets: u32_at(plaintext, 29),
        rx_bytes: u64_at(plaintext, 33),
    })
}

impl Candidates {
    pub(super) const fn buffer_len(&self) -> usize {
        CANDIDATES_HEADER_LEN + self.list.len() * CANDIDATE_LEN
    }

    pub(super) fn emit(&self, kind: u8, out: &mut Vec<u8>) -> Result<(), WireError> {
        let count = u8::try_from(self.list.len()).map_err(|_| WireError::Value)?;
        let flags = u8::from(self.same_lan) | u8::from(self.wants_answer) << 1 | u8::from(self.patient) << 2;
        out.push(kind);
        out.extend_from_slice(&self.round.to_le_bytes());
        out.extend_from_slice(&[self.mapping as u8, self.filtering as u8, flags, count]);
        for candidate in &self.list {
            out.push(candidate.kind as u8);
            put_addr(out, Some(candidate.addr));
        }
        Ok(())
    }
}

impl ProbeAck {
    pub(super) fn emit(&self, kind: u8, out: &mut Vec<u8>) {
        out.push(kind);
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        put_addr(out, self.observed);
        out.extend_from_slice(&self.rx_packets.to_le_bytes());
        out.extend_from_slice(&self.rx_bytes.to_le_bytes());
    }
}

pub(super) fn emit_probe(kind: u8, id: u64, nominate: bool, padding: u16, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&id.to_le_bytes());
    out.push(u8::from(nominate));
    out.resize(out.len() + usize::from(padding), 0);
}

/// `ip[16] | port u16`, both in network order. `None`: the unspecified address or port 0, at which nobody is.
fn addr_at(bytes: &[u8], at: usize) -> Option<SocketAddr> {
    let addr = SocketAddr::new(from_mapped(*array_ref(bytes, at)), u16::from_be_bytes(*array_ref(bytes, at + 16)));
    (!addr.ip().is_unspecified() && addr.port() != 0).then_some(addr)
}

fn put_addr(out: &mut Vec<u8>, addr: Option<SocketAddr>) {
    let Some(addr) = addr else {
        out.extend_from_slice(&[0; ADDR_LEN]);
        return;
    };
    out.extend_from_slice(&to_mapped(addr.ip()));
    out.extend_from_slice(&addr.port().to_be_bytes());
}
