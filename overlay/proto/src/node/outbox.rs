//! The queue of side effects, and the short cut from this node to its own relay service.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use netflow_wire::control::ControlMessage;
use netflow_wire::{NetworkId, NodeId};

use super::api::{Event, LinkId, Output, Persist};
use super::plane::PacketSink;
use crate::endpoint::{Endpoint, PortId};

/// This node's link to its own relay service, as the client sees it. The shell counts up from 0 and never gets here.
pub(super) const SELF_CLIENT: LinkId = LinkId(u64::MAX);
/// The same link as the relay service sees it.
pub(super) const SELF_SERVER: LinkId = LinkId(u64::MAX - 1);
/// Where the client reaches its own relay service. No datagram from outside has an unspecified source.
pub(super) const SELF_RELAY_ADDR: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 1);
/// Where the relay service reaches its own client.
pub(super) const SELF_CLIENT_ADDR: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 2);

/// Data outputs waiting for the shell above which packets are dropped: a shell that does not drain is a shell that stands
/// still, and packets are the one thing nobody misses then. State changes and messages are never dropped.
const MAX_DATA: usize = 8_192;

/// Something for this node itself.
pub(super) enum Local {
    /// A message from our client to our relay service.
    ToServer(ControlMessage),
    /// The other way.
    ToClient(ControlMessage),
    /// A datagram from our client to our relay service.
    DatagramToServer(Vec<u8>),
    /// The other way.
    DatagramToClient(Vec<u8>),
}

/// Outputs in order.
#[derive(Default)]
pub(super) struct Outbox {
    queue: VecDeque<Output>,
    data: usize,
    local: VecDeque<Local>,
    /// Packets dropped because the shell did not drain.
    pub(super) dropped: u64,
}

impl Outbox {
    pub(super) fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front()?;
        if matches!(output, Output::Datagram { .. } | Output::LinkFrame { .. } | Output::Inside { .. }) {
            self.data = self.data.saturating_sub(1);
        }
        Some(output)
    }

    pub(super) fn pop_local(&mut self) -> Option<Local> {
        self.local.pop_front()
    }

    pub(super) fn persist(&mut self, change: Persist) {
        self.queue.push_back(Output::Persist(change));
    }

    pub(super) fn event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    /// One frame to wherever the endpoint is.
    pub(super) fn datagram(&mut self, to: Endpoint, bytes: Vec<u8>) {
        self.datagram_with_ttl(to, None, bytes);
    }

    /// The same with an IP TTL (hop limit) for this one datagram: an opener dies before it reaches the other side's NAT.
    pub(super) fn datagram_with_ttl(&mut self, to: Endpoint, ttl: Option<u8>, bytes: Vec<u8>) {
        if self.data.saturating_add(self.local.len()) >= MAX_DATA {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        match to {
            Endpoint::Udp { addr: SELF_RELAY_ADDR, .. } => self.local.push_back(Local::DatagramToServer(bytes)),
            Endpoint::Udp { addr: SELF_CLIENT_ADDR, .. } => self.local.push_back(Local::DatagramToClient(bytes)),
            Endpoint::Udp { port, addr } => {
                self.data += 1;
                self.queue.push_back(Output::Datagram { from: port, to: addr, ttl, bytes });
            }
            Endpoint::Carrier(link) => {
                self.data += 1;
                self.queue.push_back(Output::LinkFrame { link, bytes });
            }
        }
    }

    /// The buffer for one datagram of the data path.
    pub(super) fn place(&mut self, from: PortId, to: SocketAddr, len: usize) -> Option<&mut Vec<u8>> {
        if self.data.saturating_add(self.local.len()) >= MAX_DATA {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        self.data += 1;
        self.queue.push_back(Output::Datagram { from, to, ttl: None, bytes: Vec::with_capacity(len) });
        match self.queue.back_mut() {
            Some(Output::Datagram { bytes, .. }) => Some(bytes),
            _ => None,
        }
    }

    /// Moves packets to the data path, in order, up to the first output that is something else: packets of a flow that was decided just
    /// now must not come behind those that follow.
    pub(super) fn spill(&mut self, sink: &mut impl PacketSink) {
        while let Some(Output::Datagram { ttl: None, .. } | Output::Inside { .. }) = self.queue.front() {
            match self.pop() {
                Some(Output::Datagram { from, to, bytes, .. }) => {
                    if let Some(place) = sink.datagram(from, to, bytes.len()) {
                        place.extend_from_slice(&bytes);
                    }
                }
                Some(Output::Inside { network, packet }) => sink.inside(&network, &packet),
                _ => {}
            }
        }
    }

    pub(super) fn open_port(&mut self, port: PortId) {
        self.queue.push_back(Output::PortOpen { port });
    }

    pub(super) fn close_port(&mut self, port: PortId) {
        self.queue.push_back(Output::PortClose { port });
    }

    pub(super) fn map_port(&mut self, wanted: bool) {
        self.queue.push_back(Output::MapPort { wanted });
    }

    pub(super) fn inside(&mut self, network: NetworkId, packet: Vec<u8>) {
        if self.data >= MAX_DATA {
            self.dropped = self.dropped.saturating_add(1);
        } else {
            self.data += 1;
            self.queue.push_back(Output::Inside { network, packet });
        }
    }

    pub(super) fn send(&mut self, link: LinkId, message: ControlMessage) {
        if link == SELF_CLIENT {
            self.local.push_back(Local::ToServer(message));
        } else if link == SELF_SERVER {
            self.local.push_back(Local::ToClient(message));
        } else if let Ok(bytes) = message.encode() {
            self.queue.push_back(Output::LinkSend { link, bytes });
        }
    }

    pub(super) fn connect(&mut self, node: NodeId, addrs: Vec<SocketAddr>) {
        self.queue.push_back(Output::LinkConnect { node, addrs });
    }

    pub(super) fn close(&mut self, link: LinkId) {
        if link != SELF_CLIENT && link != SELF_SERVER {
            self.queue.push_back(Output::LinkClose { link });
        }
    }
}
