//! The relay among relays: mesh links, echoes, link state. What is measured and kept is in [`super::mesh`].

use std::net::SocketAddr;

use netflow_wire::NodeId;
use netflow_wire::control::{ControlMessage, MAX_ADVERTS, RelayAdvert, circuit_reason};
use rand_core::CryptoRng;

use super::circuits::Owner;
use super::config::{Carrier, LinkId};
use super::server::{RelayOutput, RelayServer};
use crate::endpoint::Endpoint;
use crate::route::{Accepted, Verified};
use crate::time::Now;

impl RelayServer {
    /// Relays of the mesh that this one dials, with their addresses: the node keeps control links to them.
    pub fn mesh_dials(&self) -> impl Iterator<Item = (NodeId, &[SocketAddr])> {
        self.mesh.dials()
    }

    /// A control link this node dialled is up. When it leads to a relay of the mesh, the two begin to work together.
    pub fn handle_dialled_up(&mut self, now: Now, link: LinkId, node: NodeId, remote: SocketAddr, carrier: Carrier) {
        let known = self.mesh.link(&node) == Some(link) || self.mesh.awaits(&node, link);
        if !known && self.mesh.dials().any(|(neighbour, _)| neighbour == node) {
            self.mesh.await_hello(now, &node, link, Endpoint::of_link(link, remote, carrier));
            self.send(link, ControlMessage::MeshHello);
        }
    }

    /// One message over a control link this node dialled. `false`: it is not one of the mesh.
    pub fn handle_dialled_message(
        &mut self,
        now: Now,
        link: LinkId,
        node: NodeId,
        message: ControlMessage,
        rng: &mut dyn CryptoRng,
    ) {
        if message == ControlMessage::MeshHello {
            if let Some(endpoint) = self.mesh.awaited(&node, link) {
                self.mesh_up(now, node, link, endpoint);
            }
        } else if self.mesh.link(&node) == Some(link) {
            self.mesh_message(now, node, message, rng);
        }
    }

    /// A control link this node dialled is gone.
    pub fn handle_dialled_down(&mut self, now: Now, link: LinkId) {
        self.mesh_down(now, link);
    }

    /// `MeshHello` over an accepted link: answered when the sender is one we name, and one that is to dial.
    pub(super) fn mesh_hello(&mut self, now: Now, link: LinkId) {
        let Some(state) = self.links.get(&link) else { return };
        let (node, endpoint) = (state.node, Endpoint::of_link(link, state.remote, state.carrier));
        if !self.mesh.neighbours.contains_key(&node) || node > self.me {
            self.strike(link, "this relay does not name you in its mesh");
            return;
        }
        self.send(link, ControlMessage::MeshHello);
        self.mesh_up(now, node, link, endpoint);
    }

    fn mesh_up(&mut self, now: Now, node: NodeId, link: LinkId, endpoint: Endpoint) {
        // It may have started again: its labels are gone, and it knows none of ours.
        self.release_neighbour(node);
        if !self.mesh.link_up(now, &node, link, endpoint) {
            return;
        }
        let table = self.mesh.table.all(now);
        for adverts in table.chunks(MAX_ADVERTS) {
            self.send(link, ControlMessage::LinkState { adverts: adverts.to_vec() });
        }
        self.tell_news(now);
    }

    /// A mesh link is gone: so is every circuit over it, and both its neighbours on each path hear so at once.
    pub(super) fn mesh_down(&mut self, now: Now, link: LinkId) {
        if let Some(node) = self.mesh.link_down(now, link) {
            self.release_neighbour(node);
            self.tell_news(now);
        }
    }

    fn release_neighbour(&mut self, node: NodeId) {
        for key in self.circuits.of_owner(Owner::Relay(node)) {
            self.close_circuit(&key, circuit_reason::UNREACHABLE, Some(Owner::Relay(node)));
        }
    }

    /// One message of a neighbour. Other messages than those of the mesh were sorted out before.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the words of members mean nothing between relays, those to come neither"
    )]
    pub(super) fn mesh_message(&mut self, now: Now, from: NodeId, message: ControlMessage, rng: &mut dyn CryptoRng) {
        match message {
            ControlMessage::LinkState { adverts } => self.link_state(now, from, adverts),
            ControlMessage::WhereIs { id, network, peer, route } => self.where_is(now, from, id, network, peer, route),
            ControlMessage::Here { id, network, peer, route, bound } => {
                self.here(now, from, (id, network, peer), route, bound);
            }
            ControlMessage::CircuitExtend { circuit, label, epoch } => {
                self.extend(now, from, circuit, (label, epoch), rng);
            }
            ControlMessage::CircuitExtended { circuit, label, epoch } => self.extended(from, &circuit, (label, epoch)),
            ControlMessage::CircuitRelease { circuit, reason } => self.released(from, &circuit, reason),
            // Everything else is between a relay and its clients.
            ControlMessage::Hello { .. }
            | ControlMessage::Attach { .. }
            | ControlMessage::Attached { .. }
            | ControlMessage::LogHeads { .. }
            | ControlMessage::LogPull { .. }
            | ControlMessage::LogEntries { .. }
            | ControlMessage::Publish { .. }
            | ControlMessage::JoinRequest { .. }
            | ControlMessage::JoinPending { .. }
            | ControlMessage::JoinRefused { .. }
            | ControlMessage::BindRequest
            | ControlMessage::BindTicket { .. }
            | ControlMessage::CircuitOpen { .. }
            | ControlMessage::CircuitOpened { .. }
            | ControlMessage::CircuitClosed { .. }
            | ControlMessage::Refused { .. }
            | ControlMessage::Ping { .. }
            | ControlMessage::Pong { .. }
            | ControlMessage::ProbeMe { .. }
            | ControlMessage::MeshHello
            | ControlMessage::PathQuery { .. }
            | ControlMessage::PathAnswer { .. }
            | ControlMessage::TimeQuery { .. }
            | ControlMessage::TimeAnswer { .. } => {}
        }
    }

    // ---- link state

    fn link_state(&mut self, now: Now, from: NodeId, adverts: Vec<RelayAdvert>) {
        let mut fresh = Vec::new();
        for advert in adverts {
            let budget = self.mesh.neighbours.get_mut(&from).is_some_and(|state| state.advert_budget.take(now));
            if !budget {
                break;
            }
            // Half of what comes went round: what is not wanted costs no signature check.
            let Some(advert) = Some(advert).filter(|advert| self.mesh.table.wants(advert)) else { continue };
            let Some(advert) = Verified::new(advert) else {
                self.forged_adverts = self.forged_adverts.saturating_add(1);
                continue;
            };
            match self.mesh.table.insert(now, advert) {
                Accepted::New(advert) => fresh.push(advert),
                Accepted::Own(seq) => self.mesh.outrun(seq),
                Accepted::Dropped => {}
            }
        }
        self.pass_on(&fresh, from);
        self.tell_news(now);
    }

    /// Tells what changed of our own links, when it is time.
    pub(super) fn tell_news(&mut self, now: Now) {
        if let Some(advert) = self.mesh.own_advert(now) {
            let up = self.mesh.neighbours.values().filter_map(|neighbour| neighbour.up);
            for (link, _) in up.collect::<Vec<_>>() {
                self.send(link, ControlMessage::LinkState { adverts: vec![advert.clone()] });
            }
        }
    }

    /// Passes adverts of others on, to whom they do not reach anyway: not to their origin, and not to relays it says it has a link to, which
    /// had them from itself. In a full mesh of n relays an advert is n messages and not n times n.
    fn pass_on(&mut self, adverts: &[RelayAdvert], from: NodeId) {
        let up = self.mesh.neighbours.iter().filter(|(node, _)| **node != from);
        let links: Vec<(NodeId, LinkId)> = up.filter_map(|(node, neighbour)| Some((*node, neighbour.up?.0))).collect();
        for (node, link) in links {
            let lacks =
                |advert: &&RelayAdvert| advert.origin != node && advert.links.iter().all(|told| told.neighbour != node);
            let lacking: Vec<RelayAdvert> = adverts.iter().filter(lacks).cloned().collect();
            for adverts in lacking.chunks(MAX_ADVERTS) {
                self.send(link, ControlMessage::LinkState { adverts: adverts.to_vec() });
            }
        }
    }

    // ---- timers

    /// Echoes, dead links, adverts.
    pub(super) fn mesh_timeout(&mut self, now: Now, rng: &mut dyn CryptoRng) {
        self.mesh.measure_load(now, self.forwarded_bytes, self.config.rate_bps);
        let circuits = &self.circuits;
        let due = self.mesh.echoes(now, |node| circuits.has_owner(Owner::Relay(*node)), rng);
        for (to, bytes) in due.send {
            self.emit(RelayOutput::Datagram { to, bytes });
        }
        for node in due.down {
            if let Some(link) = self.mesh.link(&node) {
                self.emit(RelayOutput::Close { link });
                self.mesh_down(now, link);
                self.drop_link(now, link);
            }
        }
        for link in self.mesh.hellos(now) {
            self.send(link, ControlMessage::MeshHello);
        }
        self.mesh.table.expire(now);
        self.tell_news(now);
    }
}
