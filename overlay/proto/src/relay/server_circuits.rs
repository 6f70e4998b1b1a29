//! The relay as a switch: tickets, circuits between members, frames from label to label.

use std::collections::BTreeSet;

use netflow_wire::control::{ControlMessage, circuit_reason, refused_code};
use netflow_wire::relay::RelayFrame;
use netflow_wire::{NetworkId, NodeId};
use rand_core::CryptoRng;

use super::bind::MIN_CHALLENGED_LEN;
use super::circuits::{CircuitKey, Hop};
use super::config::{Carrier, LinkId};
use super::quota::Denied;
use super::server::{RelayOutput, RelayServer};
use crate::endpoint::Endpoint;
use crate::time::{Now, SECOND_US};

/// How often the volume used is written down: what a crash may forget.
const NOTE_US: u64 = 300 * SECOND_US;

impl RelayServer {
    /// Every node with a circuit in a network.
    pub(super) fn circuit_ends(&self, network: NetworkId) -> BTreeSet<NodeId> {
        self.circuits.of_network(network).flat_map(|key| [key.low, key.high]).collect()
    }

    pub(super) fn bind_request(&mut self, now: Now, link: LinkId, rng: &mut dyn CryptoRng) {
        let Some(state) = self.links.get(&link) else { return };
        if state.attached.is_empty() {
            self.refuse(link, None, refused_code::NOT_MEMBER, "attach to a network first");
            return;
        }
        let (node, carrier) = (state.node, state.carrier);
        let (bind_id, bind_key) = self.binds.ticket(node, link, rng);
        self.send(link, ControlMessage::BindTicket { bind_id, bind_key });
        if carrier == Carrier::Stream {
            self.binds.bind_carrier(&node, link);
            self.node_bound(now, node, rng);
        }
    }

    /// An address was proved: open what waited, and repeat the labels a restarted client has forgotten.
    pub(super) fn node_bound(&mut self, now: Now, node: NodeId, rng: &mut dyn CryptoRng) {
        self.repeat_labels(node, None);
        self.open_wishes(now, node, rng);
    }

    /// Tells a node its circuits again, those of one network or all: it may have forgotten them.
    pub(super) fn repeat_labels(&mut self, node: NodeId, only: Option<NetworkId>) {
        let Some(link) = self.link_of(&node) else { return };
        for key in self.circuits.of_node(node) {
            if only.is_none_or(|network| network == key.network) {
                self.tell_opened(link, &key, node);
            }
        }
    }

    pub(super) fn open_wishes(&mut self, now: Now, node: NodeId, rng: &mut dyn CryptoRng) {
        for (network, asker) in self.wishes.waiting_for(node) {
            self.try_open(now, network, asker, node, rng);
        }
        for (network, wanted) in self.wishes.asked_by(node) {
            self.try_open(now, network, node, wanted, rng);
        }
    }

    pub(super) fn circuit_open(
        &mut self,
        now: Now,
        link: LinkId,
        network: NetworkId,
        peer: NodeId,
        rng: &mut dyn CryptoRng,
    ) {
        let Some(state) = self.links.get(&link) else { return };
        let node = state.node;
        let attached = state.attached.contains(&network);
        if let Err(reason) = self.may_open(now, network, node, peer, attached) {
            self.send(link, ControlMessage::CircuitClosed { network, peer, via: Vec::new(), label: 0, reason });
            return;
        }
        let reason = if self.wishes.add(network, node, peer) {
            if self.try_open(now, network, node, peer, rng) {
                return;
            }
            circuit_reason::PEER_OFFLINE
        } else {
            circuit_reason::FULL
        };
        self.send(link, ControlMessage::CircuitClosed { network, peer, via: Vec::new(), label: 0, reason });
    }

    fn may_open(&mut self, now: Now, network: NetworkId, node: NodeId, peer: NodeId, attached: bool) -> Result<(), u8> {
        let hosted = self.hosted.get_mut(&network).filter(|_| attached).ok_or(circuit_reason::NOT_MEMBER)?;
        let state = hosted.log.state();
        if state.is_revoked(&peer) {
            return Err(circuit_reason::REVOKED);
        }
        if node == peer || !state.is_member(&node) || !state.is_member(&peer) {
            return Err(circuit_reason::NOT_MEMBER);
        }
        if hosted.meter.has_volume(now) { Ok(()) } else { Err(circuit_reason::QUOTA) }
    }

    /// Opens a wished circuit when both ends are bound and attached. `true`: the asker was answered.
    fn try_open(&mut self, now: Now, network: NetworkId, asker: NodeId, peer: NodeId, rng: &mut dyn CryptoRng) -> bool {
        let Some(hosted) = self.hosted.get(&network) else { return false };
        let ready = |node: &NodeId| hosted.attached.contains_key(node) && self.binds.address(node).is_some();
        if !ready(&asker) || !ready(&peer) || self.may_open(now, network, asker, peer, true).is_err() {
            return false;
        }
        let Some(key) = CircuitKey::new(network, asker, peer) else { return false };
        self.wishes.remove(network, asker, peer);
        self.wishes.remove(network, peer, asker);
        let opened = self.circuits.open(key, rng).is_some();
        for (end, other) in [(asker, peer), (peer, asker)] {
            let Some(link) = self.link_of(&end) else { continue };
            if opened {
                self.tell_opened(link, &key, end);
            } else if end == asker {
                let reason = circuit_reason::FULL;
                self.send(
                    link,
                    ControlMessage::CircuitClosed { network, peer: other, via: Vec::new(), label: 0, reason },
                );
            }
        }
        true
    }

    fn tell_opened(&mut self, link: LinkId, key: &CircuitKey, node: NodeId) {
        let Some(circuit) = self.circuits.get(key) else { return };
        let label = circuit.label_of(key, &node);
        let (network, peer, epoch) = (key.network, key.other(&node), self.epoch);
        self.send(link, ControlMessage::CircuitOpened { network, peer, via: Vec::new(), label, epoch });
    }

    /// A client needs a circuit no longer.
    pub(super) fn circuit_closed(&mut self, link: LinkId, network: NetworkId, peer: NodeId) {
        let Some(node) = self.links.get(&link).map(|state| state.node) else { return };
        self.wishes.remove(network, node, peer);
        if let Some(key) = CircuitKey::new(network, node, peer) {
            self.close_circuit(&key, circuit_reason::PEER_OFFLINE);
        }
    }

    pub(super) fn close_circuit(&mut self, key: &CircuitKey, reason: u8) {
        let Some(circuit) = self.circuits.close(key) else { return };
        for node in [key.low, key.high] {
            if let Some(link) = self.link_of(&node) {
                let (network, peer, label) = (key.network, key.other(&node), circuit.label_of(key, &node));
                self.send(link, ControlMessage::CircuitClosed { network, peer, via: Vec::new(), label, reason });
            }
        }
    }

    /// Frame 0x18: check, count, swap the label in place, send on.
    pub(super) fn forward(&mut self, now: Now, from: Endpoint, datagram: &mut [u8], rng: &mut dyn CryptoRng) -> bool {
        let length = datagram.len();
        let Ok(mut frame) = RelayFrame::new_checked(datagram) else { return false };
        if frame.epoch() != self.epoch {
            return false;
        }
        let Some(hop) = self.circuits.hop(frame.label()).copied() else { return false };
        if self.binds.address(&hop.from) != Some(from) {
            self.dropped_frames = self.dropped_frames.saturating_add(1);
            // Perhaps its NAT gave it another port: let it prove that. Smaller than the frame, and once a second.
            if length >= MIN_CHALLENGED_LEN
                && let Some(addr) = from.addr()
                && let Some(bytes) = self.binds.challenge(now, &hop.from, addr, rng)
            {
                self.emit(RelayOutput::Datagram { to: from, bytes });
            }
            return true;
        }
        let to = self.binds.address(&hop.to);
        let Some(to) = to.filter(|_| frame.take_hop()) else {
            self.dropped_frames = self.dropped_frames.saturating_add(1);
            return true;
        };
        if self.charge(now, &hop, length) {
            frame.set_label(hop.to_label);
            self.emit(RelayOutput::Datagram { to, bytes: frame.into_inner().to_vec() });
        }
        true
    }

    /// Takes the bytes of one frame from its network's quota. At the end of the volume all its circuits close.
    fn charge(&mut self, now: Now, hop: &Hop, length: usize) -> bool {
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        let network = hop.key.network;
        let Some(hosted) = self.hosted.get_mut(&network) else { return false };
        match hosted.meter.take(now, bytes) {
            Ok(()) => {
                hosted.forwarded_bytes = hosted.forwarded_bytes.saturating_add(bytes);
                self.forwarded_frames = self.forwarded_frames.saturating_add(1);
                self.forwarded_bytes = self.forwarded_bytes.saturating_add(bytes);
                self.circuits.count(hop, bytes);
                self.next_note_us.get_or_insert(now.after(NOTE_US));
                true
            }
            Err(denied) => {
                hosted.quota_dropped_frames = hosted.quota_dropped_frames.saturating_add(1);
                self.quota_dropped_frames = self.quota_dropped_frames.saturating_add(1);
                if denied == Denied::Volume {
                    let keys: Vec<CircuitKey> = self.circuits.of_network(network).collect();
                    for key in keys {
                        self.close_circuit(&key, circuit_reason::QUOTA);
                    }
                }
                false
            }
        }
    }
}
