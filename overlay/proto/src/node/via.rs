//! Where frames of an open path go, and what is put in front of them.

use std::net::SocketAddr;

use netflow_wire::data::DATA_OVERHEAD;
use netflow_wire::relay::{INITIAL_HOP_LIMIT, RELAY_HEADER_LEN, RelayRepr};

use crate::endpoint::{Endpoint, PathKey, PortId};
use crate::session::Source;

/// IP and UDP headers of a datagram.
const IPV4_UDP_LEN: u16 = 20 + 8;
const IPV6_UDP_LEN: u16 = 40 + 8;

/// An open path, ready to send on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Via {
    pub(super) key: PathKey,
    pub(super) to: Endpoint,
    /// Label and epoch, when a relay is in the way.
    pub(super) label: Option<(u32, u16)>,
}

impl Via {
    /// Straight to an address.
    pub(super) const fn direct(port: PortId, addr: SocketAddr) -> Self {
        Self { key: PathKey::Direct { port, addr }, to: Endpoint::Udp { port, addr }, label: None }
    }

    /// Bytes in front of an end-to-end frame.
    pub(super) const fn header_len(&self) -> usize {
        if self.label.is_some() { RELAY_HEADER_LEN } else { 0 }
    }

    /// Appends what goes in front of an end-to-end frame.
    pub(super) fn push_header(&self, datagram: &mut Vec<u8>) {
        if let Some((label, epoch)) = self.label {
            datagram.extend_from_slice(&RelayRepr { hop_limit: INITIAL_HOP_LIMIT, epoch, label }.to_bytes());
        }
    }

    /// A frame of ours as a datagram for this path.
    pub(super) fn wrap(&self, frame: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::with_capacity(self.header_len().saturating_add(frame.len()));
        self.push_header(&mut datagram);
        datagram.extend_from_slice(frame);
        datagram
    }

    /// Where frames of this path come from, for cookies.
    pub(super) fn source(&self) -> Source {
        match self.label {
            Some((label, _)) => Source::Relayed { relay: self.to.limit_addr(), label },
            None => Source::Direct(self.to.limit_addr()),
        }
    }

    /// Bytes of the outer packet that are not the inner one: IP, UDP, relay header, record. A stream ends at a relay that goes on with
    /// UDP of a family unknown here: the larger header.
    pub(super) fn overhead(&self) -> u16 {
        let ip_udp = match self.to {
            Endpoint::Udp { addr: SocketAddr::V4(_), .. } => IPV4_UDP_LEN,
            Endpoint::Udp { addr: SocketAddr::V6(_), .. } | Endpoint::Carrier(_) => IPV6_UDP_LEN,
        };
        let ours = u16::try_from(self.header_len() + DATA_OVERHEAD).unwrap_or(u16::MAX);
        ip_udp.saturating_add(ours)
    }
}
