//! Packets on the data path: taken from what was decided before where that is known, decided here otherwise (`crate::plane`).

use std::net::SocketAddr;
use std::sync::Arc;

use netflow_wire::relay::{INITIAL_HOP_LIMIT, RelayRepr};
use netflow_wire::{FrameKind, NetworkId};

use super::Node;
use super::api::Counters;
use super::peer::Sizes;
use super::via::Via;
use crate::endpoint::{Endpoint, PathKey, PortId};
use crate::plane::{Circuit, ENTRY_US, FlowKey, Forward, Generation, Inbound, Opened, Outbound};
use crate::session::PeerRef;
use crate::time::Now;

/// Where the data path puts packets: buffers of the shell, filled in place.
pub trait PacketSink {
    /// The buffer to which one datagram of exactly `len` bytes is appended before the next call; `None`: there is no room, the packet is lost.
    fn datagram(&mut self, from: PortId, to: SocketAddr, len: usize) -> Option<&mut Vec<u8>>;

    /// A packet for the TUN of a network.
    fn inside(&mut self, network: &NetworkId, packet: &[u8]);
}

/// The caches of the data path, and what the node has to say about the packet it is looking at.
pub(super) struct Plane {
    generation: Arc<Generation>,
    outbound: Outbound,
    inbound: Inbound,
    forward: Option<Forward>,
    circuit: Option<Circuit>,
    admitted: Option<(PeerRef, FlowKey)>,
}

impl Plane {
    pub(super) fn new(generation: Arc<Generation>) -> Self {
        Self {
            generation,
            outbound: Outbound::default(),
            inbound: Inbound::default(),
            forward: None,
            circuit: None,
            admitted: None,
        }
    }

    /// What was decided before may be wrong now.
    pub(super) fn advance(&self) {
        self.generation.advance();
    }
}

impl Counters {
    const fn count_known_tx(&mut self) {
        self.tx_packets = self.tx_packets.saturating_add(1);
        self.tx_known = self.tx_known.saturating_add(1);
    }

    const fn count_known_rx(&mut self) {
        self.rx_packets = self.rx_packets.saturating_add(1);
        self.rx_known = self.rx_known.saturating_add(1);
    }
}

impl Node {
    /// One IP packet read from the TUN of `network`. Packets go into `sink`, in order; whatever else there is to do comes out of
    /// [`Node::poll_output`], with the packets that must not go before it.
    pub fn handle_inside_into(&mut self, now: Now, network: &NetworkId, packet: &[u8], sink: &mut impl PacketSink) {
        let Plane { outbound, generation, .. } = &mut self.plane;
        if outbound.seal(now, generation, network, packet, |from, to, len| sink.datagram(from, to, len)) {
            self.counters.count_known_tx();
        } else {
            self.decide_inside(now, network, packet);
            self.outbox.spill(sink);
        }
    }

    /// The same with everything through [`Node::poll_output`].
    pub fn handle_inside(&mut self, now: Now, network: &NetworkId, packet: &[u8]) {
        let (Plane { outbound, generation, .. }, outbox) = (&mut self.plane, &mut self.outbox);
        if outbound.seal(now, generation, network, packet, |from, to, len| outbox.place(from, to, len)) {
            self.counters.count_known_tx();
        } else {
            self.decide_inside(now, network, packet);
        }
    }

    fn decide_inside(&mut self, now: Now, network: &NetworkId, packet: &[u8]) {
        self.plane.forward = None;
        self.packet_from_inside(now, network, packet);
        self.routes.arm(now);
        self.settle(now);
        if let Some(forward) = self.plane.forward.take() {
            self.plane.outbound.learn(*network, packet, forward);
        }
    }

    /// One datagram that came to a local port: a frame of ours (first byte 0x10..=0x1f) or STUN (0x00..=0x03); anything else is
    /// counted and dropped. Outputs as of [`Node::handle_inside_into`].
    pub fn handle_datagram_into(
        &mut self,
        now: Now,
        port: PortId,
        from: SocketAddr,
        datagram: &mut [u8],
        sink: &mut impl PacketSink,
    ) {
        if let Some((peer, range)) = self.open_known(now, port, from, datagram)
            && let Some(packet) = datagram.get(range)
        {
            sink.inside(&peer.network, packet);
        } else {
            self.outbox.spill(sink);
        }
    }

    /// The same with everything through [`Node::poll_output`].
    pub fn handle_datagram(&mut self, now: Now, port: PortId, from: SocketAddr, datagram: &mut [u8]) {
        if let Some((peer, range)) = self.open_known(now, port, from, datagram)
            && let Some(packet) = datagram.get(range)
        {
            self.outbox.inside(peer.network, packet.to_vec());
        }
    }

    /// The packet of a known flow; everything else is dealt with here.
    fn open_known(
        &mut self,
        now: Now,
        port: PortId,
        from: SocketAddr,
        datagram: &mut [u8],
    ) -> Option<(PeerRef, std::ops::Range<usize>)> {
        self.counters.rx_datagrams = self.counters.rx_datagrams.saturating_add(1);
        let Plane { inbound, generation, .. } = &mut self.plane;
        match inbound.open(now, generation, port, from, datagram) {
            Opened::Inside(peer, range) => {
                self.counters.count_known_rx();
                return Some((peer, range));
            }
            Opened::Nothing => {}
            Opened::Refused => self.counters.rx_refused = self.counters.rx_refused.saturating_add(1),
            Opened::Plain(peer, via, range) => {
                self.plane.admitted = None;
                let len = datagram.len();
                if let Some(plaintext) = datagram.get(range) {
                    self.inner_received(now, peer, &via, len, plaintext);
                }
                self.settle(now);
                self.admit();
            }
            Opened::Unknown => self.decide_datagram(now, port, from, datagram),
        }
        None
    }

    /// Datagrams that came in one receive call from one address, `stride` bytes each, the last perhaps shorter. When all of them are to be sent
    /// on by the relay service in one direction, their headers are rewritten in place, and they are to leave as they are: the answer says
    /// where to. `None`: give each to [`Node::handle_datagram_into`]; nothing has changed.
    pub fn forward_run(
        &mut self,
        now: Now,
        port: PortId,
        from: SocketAddr,
        run: &mut [u8],
        stride: usize,
    ) -> Option<(PortId, SocketAddr)> {
        let is_relayed = run.first() == Some(&(FrameKind::Relay as u8)) && !from.ip().is_unspecified();
        let relay = self.relay.as_mut().filter(|_| is_relayed)?;
        let at = Endpoint::Udp { port, addr: super::canonical(from) };
        // Our own member is reached through the outbox, streams through their links: not here.
        let to = relay.forward_run(now, at, run, stride).and_then(|to| match to {
            Endpoint::Udp { port, addr } => Some((port, addr)),
            Endpoint::Carrier(_) => None,
        })?;
        let frames = u64::try_from(run.len().div_ceil(stride.max(1))).unwrap_or(u64::MAX);
        self.counters.rx_datagrams = self.counters.rx_datagrams.saturating_add(frames);
        Some(to)
    }

    fn decide_datagram(&mut self, now: Now, port: PortId, from: SocketAddr, datagram: &mut [u8]) {
        if from.ip().is_unspecified() {
            self.counters.rx_unknown = self.counters.rx_unknown.saturating_add(1);
            return;
        }
        (self.plane.circuit, self.plane.admitted) = (None, None);
        self.datagram(now, Endpoint::Udp { port, addr: super::canonical(from) }, datagram);
        self.settle(now);
        if let Some(circuit) = self.plane.circuit.take() {
            self.plane.inbound.learn(port, from, datagram, circuit);
            self.admit();
        }
    }

    fn admit(&mut self) {
        if let Some((peer, key)) = self.plane.admitted.take() {
            self.plane.inbound.admit(&self.plane.generation, peer, key);
        }
    }

    // ---- what the node decided, noted where it was decided

    /// This packet was sealed and left on this path.
    pub(super) fn note_forward(&mut self, now: Now, peer: PeerRef, key: &PathKey, sizes: &Sizes) {
        let Some(path) = self.peers.get(&peer).and_then(|state| state.paths.get(key)) else { return };
        let Some(Via { to: Endpoint::Udp { port, addr }, label, .. }) = path.via(key) else { return };
        // Our own relay service is reached through the outbox.
        if addr.ip().is_unspecified() {
            return;
        }
        let path = Arc::clone(&path.traffic);
        let Some((seal, traffic, until_us)) = self.sessions.lend_seal(now, &peer) else { return };
        self.plane.forward = Some(Forward {
            generation: self.plane.generation.now(),
            until_us: until_us.min(now.after(ENTRY_US)),
            max_len: usize::from(sizes.whole.min(sizes.mtu)),
            from: port,
            to: addr,
            relay: label.map(|(label, epoch)| RelayRepr { hop_limit: INITIAL_HOP_LIMIT, epoch, label }.to_bytes()),
            seal,
            traffic,
            path,
        });
    }

    /// This frame of a session came over this path.
    pub(super) fn note_circuit(&mut self, now: Now, peer: PeerRef, via: &Via, frame: &[u8]) {
        let Endpoint::Udp { addr, .. } = via.to else { return };
        let is_data = frame.first() == Some(&(FrameKind::Data as u8));
        let index = frame.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        let Some(index) = index.filter(|_| is_data && !addr.ip().is_unspecified()) else { return };
        let path = self.peers.get(&peer).and_then(|state| state.paths.get(&via.key));
        let Some(path) = path.filter(|path| !path.is_dead()).map(|path| Arc::clone(&path.traffic)) else { return };
        let Some((owner, open, traffic, until_us)) = self.sessions.lend_open(now, index) else { return };
        if owner == peer {
            let generation = self.plane.generation.now();
            let until_us = until_us.min(now.after(ENTRY_US));
            self.plane.circuit = Some(Circuit { generation, until_us, peer, via: *via, open, traffic, path });
        }
    }

    /// This packet of a peer may enter.
    pub(super) fn note_admitted(&mut self, peer: PeerRef, packet: &[u8]) {
        self.plane.admitted = FlowKey::of(packet).map(|key| (peer, key));
    }
}
