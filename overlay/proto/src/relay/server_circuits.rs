//! The relay between its members: tickets, circuits of one relay, and who is told what of all circuits.

use std::collections::BTreeSet;

use netflow_wire::control::{ControlMessage, circuit_reason, refused_code};
use netflow_wire::{NetworkId, NodeId};
use rand_core::CryptoRng;

use super::circuits::{CircuitKey, Owner, Payer};
use super::config::{Carrier, LinkId};
use super::server::RelayServer;
use crate::endpoint::Hops;
use crate::time::Now;

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
        for key in self.circuits.of_owner(Owner::Member(node)) {
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

    pub(super) fn may_open(
        &mut self,
        now: Now,
        network: NetworkId,
        node: NodeId,
        peer: NodeId,
        attached: bool,
    ) -> Result<(), u8> {
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
        let Some(key) = CircuitKey::new(network, asker, peer, Hops::one(self.me)) else { return false };
        self.wishes.remove(network, asker, peer);
        self.wishes.remove(network, peer, asker);
        let opened = self.circuits.open(now, key, Payer::Network, (&self.me, self.epoch), rng).is_some();
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

    /// Tells a member its label, once the circuit is complete.
    pub(super) fn tell_opened(&mut self, link: LinkId, key: &CircuitKey, node: NodeId) {
        let Some(circuit) = self.circuits.get(key).filter(|circuit| circuit.is_ready()) else { return };
        let Some(label) = circuit.label_of(&node) else { return };
        let (network, peer, via, epoch) = (key.network, key.other(&node), via_of(key, &node), self.epoch);
        self.send(link, ControlMessage::CircuitOpened { network, peer, via, label, epoch });
    }

    /// A client needs a circuit no longer.
    pub(super) fn circuit_closed(&mut self, link: LinkId, network: NetworkId, peer: NodeId, via: &[NodeId]) {
        let Some(node) = self.links.get(&link).map(|state| state.node) else { return };
        if via.is_empty() {
            self.wishes.remove(network, node, peer);
        }
        let relays: Vec<NodeId> = std::iter::once(self.me).chain(via.iter().copied()).collect();
        let key = Hops::new(&relays).and_then(|hops| CircuitKey::new(network, node, peer, hops));
        if let Some(key) = key {
            self.close_circuit(&key, circuit_reason::PEER_OFFLINE, None);
        }
    }

    /// Closes a circuit and says so on both sides, or on the one that did not cause it.
    pub(super) fn close_circuit(&mut self, key: &CircuitKey, reason: u8, except: Option<Owner>) {
        let Some(circuit) = self.circuits.close(key) else { return };
        for side in circuit.sides.iter().filter(|side| Some(side.owner) != except) {
            match side.owner {
                Owner::Member(node) => {
                    if let Some(link) = self.link_of(&node) {
                        let (network, peer, via, label) =
                            (key.network, key.other(&node), via_of(key, &node), side.label);
                        self.send(link, ControlMessage::CircuitClosed { network, peer, via, label, reason });
                    }
                }
                Owner::Relay(relay) => {
                    if let Some(link) = self.mesh.link(&relay) {
                        self.send(link, ControlMessage::CircuitRelease { circuit: key.to_wire(), reason });
                    }
                }
            }
        }
    }
}

/// The relays of a circuit after this one, as one of its ends names them.
fn via_of(key: &CircuitKey, node: &NodeId) -> Vec<NodeId> {
    key.hops_from(node).as_slice().iter().skip(1).copied().collect()
}
