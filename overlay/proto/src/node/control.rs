//! The client's side of control links: greeting, attaching networks, tickets, and sorting what relays say.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netflow_wire::control::{CONTROL_VERSION, ControlMessage, refused_code};
use netflow_wire::inner::Mapping;
use netflow_wire::{FrameKind, NetworkId, NodeId};

use super::api::{Carrier, Event, LinkId, Quota};
use super::links::{Attachment, LinkPhase, refused_until};
use super::outbox::{SELF_CLIENT, SELF_CLIENT_ADDR, SELF_RELAY_ADDR, SELF_SERVER};
use super::{Node, canonical};
use crate::endpoint::{Endpoint, PortId};
use crate::nat::search::is_random;
use crate::relay::{BindProgress, batches};
use crate::session::PeerRef;
use crate::time::Now;

impl Node {
    /// Brings the links wanted in line with the networks that are up or being joined, and dials.
    pub(super) fn refresh_links(&mut self, now: Now) {
        let mut wanted: BTreeMap<NodeId, Vec<SocketAddr>> = BTreeMap::new();
        for network in self.networks.values() {
            for (relay, addrs) in network.wanted_relays() {
                if relay == self.id && self.relay.is_none() {
                    continue;
                }
                let known = wanted.entry(relay).or_default();
                known.extend(
                    addrs.iter().map(|addr| canonical(*addr)).filter(|addr| !known.contains(addr)).collect::<Vec<_>>(),
                );
            }
        }
        // Relays that work together keep links whoever is a member of what.
        for (relay, addrs) in self.relay.iter().flat_map(crate::relay::RelayServer::mesh_dials) {
            let known = wanted.entry(relay).or_default();
            let new: Vec<SocketAddr> =
                addrs.iter().map(|addr| canonical(*addr)).filter(|addr| !known.contains(addr)).collect();
            known.extend(new);
        }
        let unwanted: Vec<NodeId> =
            self.links.iter().map(|(relay, _)| *relay).filter(|relay| !wanted.contains_key(relay)).collect();
        for link in self.links.set_wanted(now, &wanted) {
            self.close_link(now, link);
        }
        for relay in unwanted {
            self.peers.forget_relay(&relay);
        }
        self.greet_mesh(now);
        self.attach_wanted(now);
        self.dial(now);
    }

    /// The second port of a relay: answers that must come from another port than the question went to.
    pub(super) fn open_relay_port(&mut self) {
        if self.relay.is_some() {
            self.outbox.open_port(PortId::STUN_ALT);
        }
    }

    /// Links that are up already when their relay comes into the mesh.
    fn greet_mesh(&mut self, now: Now) {
        let Some(server) = &mut self.relay else { return };
        for (relay, state) in self.links.iter() {
            if let LinkPhase::Up { link, remote, carrier } = state.phase {
                server.handle_dialled_up(now, link, *relay, remote, carrier);
            }
        }
    }

    fn dial(&mut self, now: Now) {
        for (node, addrs) in self.links.take_dials(now) {
            if node == self.id {
                if let Some(relay) = &mut self.relay {
                    relay.handle_link_up(now, SELF_SERVER, node, SELF_CLIENT_ADDR, Carrier::Quic);
                    self.relay_link_up(now, SELF_CLIENT, node, SELF_RELAY_ADDR, Carrier::Quic);
                }
            } else {
                self.outbox.connect(node, addrs);
            }
        }
    }

    fn close_link(&mut self, now: Now, link: LinkId) {
        if link == SELF_CLIENT {
            if let Some(relay) = &mut self.relay {
                relay.handle_link_down(now, SELF_SERVER);
            }
        } else {
            self.outbox.close(link);
        }
    }

    /// A link this side dialled is up.
    pub(super) fn relay_link_up(
        &mut self,
        now: Now,
        link: LinkId,
        relay: NodeId,
        remote: SocketAddr,
        carrier: Carrier,
    ) {
        match self.links.link_up(link, relay, remote, carrier) {
            None => {
                self.close_link(now, link);
                return;
            }
            Some(Some(old)) => self.close_link(now, old),
            Some(None) => {}
        }
        let (tier, software) = (self.tier, self.software.clone());
        self.outbox.send(link, ControlMessage::Hello { version: CONTROL_VERSION, tier, software });
        if let Some(server) = &mut self.relay {
            server.handle_dialled_up(now, link, relay, remote, carrier);
        }
        self.direct.classifier.wake(now);
        self.peers.set_suspect(&relay, false);
        self.attach_wanted(now);
        self.request_joins(now, Some(relay));
    }

    /// Asks every relay that is linked to serve every network it should and does not yet.
    fn attach_wanted(&mut self, now: Now) {
        let mut ask: Vec<(NodeId, LinkId, NetworkId)> = Vec::new();
        for (relay, state) in self.links.iter() {
            let Some((link, _)) = state.up() else { continue };
            for (id, network) in &self.networks {
                if network.is_up() && network.uses_relay(relay) && !state.attachments.contains_key(id) {
                    ask.push((*relay, link, *id));
                }
            }
        }
        for (relay, link, network) in ask {
            self.ask_to_attach(now, relay, link, network);
        }
    }

    fn ask_to_attach(&mut self, now: Now, relay: NodeId, link: LinkId, network: NetworkId) {
        if let Some(state) = self.links.get_mut(&relay) {
            state.attachments.insert(network, Attachment::Asked { since_us: now.mono_us });
            self.outbox.send(link, ControlMessage::Attach { network });
        }
    }

    /// A link is gone: ours to a relay, or one our relay service accepted.
    pub(super) fn link_gone(&mut self, now: Now, link: LinkId) {
        if let Some(relay) = self.links.link_down(now, link) {
            // Its circuits still carry frames for a while, but nobody would tell us when they end.
            self.peers.set_suspect(&relay, true);
            if let Some(server) = &mut self.relay {
                server.handle_dialled_down(now, link);
            }
        } else if let Some(relay) = &mut self.relay {
            relay.handle_link_down(now, link);
        }
    }

    pub(super) fn links_timeout(&mut self, now: Now) {
        let mut binds = Vec::new();
        let mut overdue = Vec::new();
        let relays: Vec<NodeId> = self.links.iter().map(|(relay, _)| *relay).collect();
        for relay in relays {
            let Some(state) = self.links.get_mut(&relay) else { continue };
            let (Some((link, _)), Some(endpoint)) = (state.up(), state.endpoint()) else { continue };
            binds.extend(state.bind.handle_timeout(now).map(|frame| (endpoint, frame)));
            overdue.extend(state.overdue(now).into_iter().map(|network| (relay, link, network)));
        }
        for (endpoint, frame) in binds {
            self.outbox.datagram(endpoint, frame);
        }
        for (relay, link, network) in overdue {
            let wanted = self.networks.get(&network).is_some_and(|state| state.is_up() && state.uses_relay(&relay));
            if wanted {
                self.ask_to_attach(now, relay, link, network);
            } else if let Some(state) = self.links.get_mut(&relay) {
                state.attachments.remove(&network);
            }
        }
        self.dial(now);
    }

    /// One message: from a relay of ours, or for our relay service.
    pub(super) fn link_message(&mut self, now: Now, link: LinkId, message: ControlMessage) {
        let Some(relay) = self.links.relay_of(link) else {
            if let Some(server) = &mut self.relay {
                server.handle_message(now, link, message, self.rng.as_mut());
            }
            return;
        };
        match message {
            ControlMessage::Hello { version, .. } => {
                if version != CONTROL_VERSION {
                    self.close_link(now, link);
                    self.links.link_down(now, link);
                    self.links.link_failed(now, &relay, "the relay speaks another control version");
                }
            }
            ControlMessage::Attached { network, quota_bytes_day, rate_bps } => {
                self.attached(now, relay, link, network, Quota { bytes_per_day: quota_bytes_day, rate_bps });
            }
            ControlMessage::LogHeads { network, heads } => self.heads_from_link(relay, link, network, heads),
            ControlMessage::LogPull { network, ranges } => self.pull_from_link(relay, link, network, &ranges),
            ControlMessage::LogEntries { network, entries } => {
                self.entries_from_link(now, relay, link, network, &entries)
            }
            request @ ControlMessage::JoinRequest { .. } => self.join_requested(now, link, &request),
            ControlMessage::JoinPending { network, .. } => self.join_pending(now, relay, network),
            ControlMessage::JoinRefused { network, invite, reason, text } => {
                self.join_refused(now, relay, network, invite, reason, &text);
            }
            ControlMessage::BindTicket { bind_id, bind_key } => self.bind_ticket(now, relay, bind_id, bind_key),
            ControlMessage::CircuitOpened { network, peer, via, label, epoch } => {
                self.circuit_opened(now, relay, PeerRef { network, node: peer }, &via, (label, epoch));
            }
            ControlMessage::CircuitClosed { network, peer, via, label, reason } => {
                self.circuit_closed(now, relay, PeerRef { network, node: peer }, &via, label, reason);
            }
            ControlMessage::PathAnswer { network, peer, class, paths } => {
                self.paths_answered(now, relay, PeerRef { network, node: peer }, class, &paths);
            }
            ControlMessage::Refused { network, code, text } => self.refused(now, relay, link, network, code, &text),
            ControlMessage::Ping { id } => self.outbox.send(link, ControlMessage::Pong { id }),
            ControlMessage::TimeAnswer { id, unix_ms } => self.time_answered(now, relay, id, unix_ms),
            ControlMessage::Pong { .. }
            | ControlMessage::TimeQuery { .. }
            | ControlMessage::Attach { .. }
            | ControlMessage::Publish { .. }
            | ControlMessage::BindRequest
            | ControlMessage::CircuitOpen { .. }
            | ControlMessage::ProbeMe { .. }
            | ControlMessage::PathQuery { .. } => {}
            message @ (ControlMessage::MeshHello
            | ControlMessage::LinkState { .. }
            | ControlMessage::WhereIs { .. }
            | ControlMessage::Here { .. }
            | ControlMessage::CircuitExtend { .. }
            | ControlMessage::CircuitExtended { .. }
            | ControlMessage::CircuitRelease { .. }) => {
                if let Some(server) = &mut self.relay {
                    server.handle_dialled_message(now, link, relay, message, self.rng.as_mut());
                }
            }
        }
    }

    /// A relay serves a network of ours (asked for, or because a join through it succeeded).
    fn attached(&mut self, now: Now, relay: NodeId, link: LinkId, network: NetworkId, quota: Quota) {
        let Some(state) = self.networks.get(&network) else { return };
        if !state.uses_relay(&relay) {
            return;
        }
        let Some(served) = self.links.get_mut(&relay) else { return };
        let heads = served.pulls.entry(network).or_default().show(&state.log);
        let known = served.is_attached(&network);
        served.attachments.insert(network, Attachment::Attached(quota));
        served.told_refused.remove(&network);
        self.outbox.send(link, ControlMessage::LogHeads { network, heads });
        if !served.ticket_asked {
            served.ticket_asked = true;
            self.outbox.send(link, ControlMessage::BindRequest);
        }
        if !known {
            self.outbox.event(Event::RelayAttached { network, relay });
        }
        self.reopen_circuits(now, &relay, Some(&network));
    }

    /// The relay does not do something. A relay that does not know a network of ours is given it.
    fn refused(&mut self, now: Now, relay: NodeId, link: LinkId, network: Option<NetworkId>, code: u8, text: &str) {
        let Some(network) = network else {
            if let Some(state) = self.links.get_mut(&relay) {
                state.last_error = Some(text.to_owned());
            }
            return;
        };
        let Some(state) = self.networks.get(&network).filter(|state| state.is_up()) else { return };
        let Some(served) = self.links.get_mut(&relay) else { return };
        let asked = matches!(served.attachments.get(&network), Some(Attachment::Asked { .. }));
        if asked && code == refused_code::NOT_ADMITTED {
            served.attachments.insert(network, Attachment::Publishing { since_us: now.mono_us });
            let mut parts = batches(state.log.entries().into_iter().map(<[u8]>::to_vec).collect()).into_iter();
            if let Some(entries) = parts.next() {
                self.outbox.send(link, ControlMessage::Publish { network, entries });
            }
            for entries in parts {
                self.outbox.send(link, ControlMessage::LogEntries { network, entries });
            }
            self.outbox.send(link, ControlMessage::LogHeads { network, heads: state.log.heads() });
        } else if matches!(code, refused_code::NOT_ADMITTED | refused_code::NOT_MEMBER | refused_code::QUOTA) {
            let behind = code == refused_code::NOT_MEMBER && state.log.state().is_member(&self.id);
            let refused = Attachment::Refused { retry_us: refused_until(now, behind), text: text.to_owned() };
            served.attachments.insert(network, refused);
            if served.told_refused.insert(network) {
                self.outbox.event(Event::RelayRefused { network, relay, text: text.to_owned() });
            }
        }
    }

    // ---- binding

    fn bind_ticket(&mut self, now: Now, relay: NodeId, id: u64, key: [u8; 32]) {
        let Some(state) = self.links.get_mut(&relay).filter(|state| state.ticket_asked) else { return };
        match state.endpoint() {
            None => {}
            Some(Endpoint::Carrier(_)) => {
                state.bind.bound_by_carrier();
                self.reopen_circuits(now, &relay, None);
            }
            Some(endpoint) => {
                let frame = state.bind.start(now, id, key);
                self.outbox.datagram(endpoint, frame);
            }
        }
    }

    /// Frames 0x1A and 0x1C. Only from the address of a relay we are linked to.
    pub(super) fn bind_frame(&mut self, now: Now, from: Endpoint, kind: FrameKind, frame: &[u8]) -> bool {
        let Some(relay) = self.links.relay_at(from) else { return false };
        let Some(state) = self.links.get_mut(&relay) else { return false };
        let before = state.bind.observed();
        let progress = state.bind.handle_frame(now, kind, frame);
        let after = state.bind.observed();
        match progress {
            BindProgress::Send(frame) => self.outbox.datagram(from, frame),
            BindProgress::Bound => self.reopen_circuits(now, &relay, None),
            BindProgress::Refreshed => {}
            BindProgress::Drop => return false,
        }
        if before != after {
            // Another address outside: peers must know it, and the NAT may be another one. Other ports are what a random one gives.
            let host = |addr: Option<SocketAddr>| addr.map(|addr| addr.ip());
            let (has_moved, class) = (host(before) != host(after), self.mapping_class());
            if !has_moved && class == Mapping::EndpointIndependent {
                self.direct.classifier.wake_rarely(now);
            } else if has_moved || !is_random(class) {
                self.direct.classifier.wake(now);
            }
            self.ground_changed(now);
        }
        true
    }
}
