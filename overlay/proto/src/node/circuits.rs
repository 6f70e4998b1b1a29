//! From a peer to datagrams and back: circuits on demand, sealed frames over the primary path, keepalives.

use netflow_wire::control::{ControlMessage, circuit_reason};
use netflow_wire::inner::{Inner, is_ip};
use netflow_wire::{FrameKind, NetworkId, NodeId};

use super::api::Event;
use super::peer::{IDLE_US, Sizes};
use super::peers::Via;
use super::routes::{NO_PATH, is_multi, key_of};
use super::{MAX_RELAYS_USED, Node};
use crate::endpoint::{Endpoint, PathKey};
use crate::path::Class;
use crate::session::{FrameOutcome, PeerRef, SealStatus};
use crate::time::{Now, SECOND_US};

/// Record header and tag around an inner packet.
const RECORD_OVERHEAD: usize = 16 + 16;
/// Distance of keepalives on a session with recent traffic. NAT mappings live at least 30 s in practice (RFC 4787 asks for 120).
pub(super) const KEEPALIVE_US: u64 = 25 * SECOND_US;
/// How long after the last traffic a session counts as used.
const RECENT_US: u64 = 180 * SECOND_US;
/// Pause after a circuit was refused for want of quota or room.
const REFUSED_PAUSE_US: u64 = 30 * SECOND_US;
/// Peers looked at per call: packets get their turn again soon.
const BATCH: usize = 256;
/// The relay keeps a wish for an offline peer and tells us; asking again is only against lost state.
const OFFLINE_PAUSE_US: u64 = 60 * SECOND_US;

impl Node {
    /// Seals one inner message for a peer and sends it; keeps it while there is no path or no session.
    /// `false`: it cannot be sent.
    pub(super) fn send_plain(&mut self, now: Now, peer: PeerRef, plaintext: &[u8], via: Option<&Via>) -> bool {
        self.send_sealed(now, peer, plaintext, via, Class::Interactive).is_some_and(|_| true)
    }

    /// The answer to something on the path it came: nothing is expected in return.
    pub(super) fn send_answer(&mut self, now: Now, peer: PeerRef, plaintext: &[u8], via: &Via) {
        self.send_over(now, peer, plaintext, Some(via), Class::Interactive, false);
    }

    /// The same for a class of traffic. Returns the path it went; `None`: it cannot be sent, `Some(None)`: it waits.
    pub(super) fn send_sealed(
        &mut self,
        now: Now,
        peer: PeerRef,
        plaintext: &[u8],
        via: Option<&Via>,
        class: Class,
    ) -> Option<Option<PathKey>> {
        self.send_over(now, peer, plaintext, via, class, true)
    }

    /// `asks`: a sign of life is expected. If answers did, two quiet ends would probe each other's answers for ever.
    fn send_over(
        &mut self,
        now: Now,
        peer: PeerRef,
        plaintext: &[u8],
        via: Option<&Via>,
        class: Class,
        asks: bool,
    ) -> Option<Option<PathKey>> {
        let Some(state) = self.peers.hot_entry(peer) else {
            self.counters.queue_full = self.counters.queue_full.saturating_add(1);
            return None;
        };
        if state.last_traffic_us == 0 {
            state.last_traffic_us = now.mono_us;
        }
        let Some(via) = via.copied().or_else(|| state.via_for(class)) else {
            if !state.wait(plaintext) {
                self.counters.queue_full = self.counters.queue_full.saturating_add(1);
            }
            self.peers.mark(peer);
            self.want_circuits(now, peer);
            return Some(None);
        };
        // One buffer from the relay header to the tag: this is the path of every packet.
        let overhead = via.header_len().saturating_add(RECORD_OVERHEAD);
        let mut datagram = Vec::with_capacity(plaintext.len().saturating_add(overhead));
        via.push_header(&mut datagram);
        match self.sessions.seal_into(now, self.rng.as_mut(), &peer, plaintext, &mut datagram) {
            SealStatus::Sealed => {
                let outer = u16::try_from(plaintext.len()).unwrap_or(u16::MAX).saturating_add(via.overhead());
                let asks = asks && state.is_active(now);
                let path = state.paths.get_mut(&via.key);
                let due = path.and_then(|path| path.sent(now, outer, asks));
                if let Some(due) = due.filter(|due| state.scheduled_us.is_none_or(|scheduled| *due < scheduled)) {
                    self.peers.ensure(&peer, due);
                }
                self.outbox.datagram(via.to, datagram);
                Some(Some(via.key))
            }
            SealStatus::Queued => Some(None),
            SealStatus::NoPeer | SealStatus::Refused(_) => {
                self.counters.rx_refused = self.counters.rx_refused.saturating_add(1);
                None
            }
        }
    }

    pub(super) fn send_inner(&mut self, now: Now, peer: PeerRef, inner: &Inner<'_>) {
        if let Ok(plaintext) = inner.to_vec() {
            self.send_plain(now, peer, &plaintext, None);
        }
    }

    /// A frame the session table made by itself. The first initiation to a peer goes out on every open path: none has been
    /// measured yet, one may be dead, and the answer comes back on the fastest that is not.
    pub(super) fn send_own_frame(&mut self, peer: &PeerRef, frame: &[u8]) {
        let Some(state) = self.peers.get(peer) else { return };
        let initiation = frame.first() == Some(&(FrameKind::HandshakeInit as u8));
        let open: Vec<Via> = if initiation && self.sessions.info(peer).is_none() {
            state.open_by_doubt().take(MAX_RELAYS_USED).collect()
        } else {
            state.primary().into_iter().collect()
        };
        for via in open {
            self.outbox.datagram(via.to, via.wrap(frame));
        }
    }

    /// One frame that came over a circuit of ours.
    pub(super) fn session_frame(&mut self, now: Now, expected: PeerRef, via: &Via, frame: &mut [u8]) {
        self.open_frame(now, Some(expected), via, frame);
    }

    /// One end-to-end frame without a relay header. Nothing moves because of where it came from: an authentic one from an address
    /// that is no path yet makes us probe there, and only the answer makes it one. `false`: no frame of ours.
    pub(super) fn direct_frame(&mut self, now: Now, from: Endpoint, frame: &mut [u8]) -> bool {
        let Endpoint::Udp { port, addr } = from else { return false };
        let initiation = frame.first() == Some(&(FrameKind::HandshakeInit as u8));
        if initiation && !self.gate.admits(now, self.peers.is_direct(from)) {
            return false;
        }
        self.open_frame(now, None, &Via::direct(port, addr), frame)
    }

    fn open_frame(&mut self, now: Now, expected: Option<PeerRef>, via: &Via, frame: &mut [u8]) -> bool {
        let len = frame.len().saturating_add(via.header_len());
        let is_expected = |peer: &PeerRef| expected.is_none_or(|expected| expected == *peer);
        match self.sessions.handle_frame(now, self.rng.as_mut(), &via.source(), frame) {
            FrameOutcome::Inner { peer, plaintext } if is_expected(&peer) => {
                self.heard(now, peer, via, len);
                self.note_circuit(now, peer, via, frame);
                if let Some(plaintext) = frame.get(plaintext) {
                    self.inner_received(now, peer, via, len, plaintext);
                }
                true
            }
            FrameOutcome::Established { peer } | FrameOutcome::Accepted { peer } if is_expected(&peer) => {
                self.heard(now, peer, via, len);
                true
            }
            FrameOutcome::Reply(bytes) => {
                self.outbox.datagram(via.to, via.wrap(&bytes));
                true
            }
            FrameOutcome::CookieTaken { .. } => true,
            // The relay put a frame on the circuit of another peer. It is authentic, but who mixes up circuits is not to be helped.
            FrameOutcome::Inner { .. }
            | FrameOutcome::Established { .. }
            | FrameOutcome::Accepted { .. }
            | FrameOutcome::Drop(_) => {
                self.counters.rx_refused = self.counters.rx_refused.saturating_add(1);
                true
            }
        }
    }

    /// Something authentic came over a path, or from where there is none yet.
    fn heard(&mut self, now: Now, peer: PeerRef, via: &Via, len: usize) {
        let Some(state) = self.peers.hot_entry(peer) else { return };
        match state.paths.get_mut(&via.key).map(|path| path.heard(now, len)) {
            Some(None) => {}
            Some(Some(due)) => self.peers.ensure(&peer, due),
            None => self.probe_back(now, peer, via),
        }
    }

    pub(super) fn inner_received(&mut self, now: Now, peer: PeerRef, via: &Via, len: usize, plaintext: &[u8]) {
        match Inner::parse(plaintext) {
            Ok(Inner::Ip(packet)) => self.packet_from_peer(now, peer, packet),
            Ok(Inner::Part(part)) => {
                let whole = self.peers.hot(&peer).and_then(|state| state.parts.add(&part));
                if let Some(packet) = whole.filter(|packet| packet.first().is_some_and(|first| is_ip(*first))) {
                    self.packet_from_peer(now, peer, &packet);
                }
            }
            Ok(Inner::Keepalive { heads_digest }) => self.digest_from_peer(now, peer, &heads_digest),
            Ok(Inner::Heads(heads)) => self.heads_from_peer(now, peer, &heads),
            Ok(Inner::Pull(ranges)) => self.pull_by_peer(now, peer, &ranges),
            Ok(Inner::EntryFragment(fragment)) => self.fragment_from_peer(now, peer, &fragment),
            Ok(Inner::Ping { id, t }) => {
                // Somebody at the other end wants this path as much as for a packet: a search for a better one goes on.
                self.traffic(now, peer);
                if let Ok(answer) = (Inner::Pong { id, t }).to_vec() {
                    self.send_answer(now, peer, &answer, via);
                }
            }
            Ok(Inner::Pong { id, .. }) => self.pong(now, peer, via, id),
            Ok(Inner::Probe { id, .. }) => self.probe_from_peer(now, peer, via, len, id),
            Ok(Inner::ProbeAck(ack)) => self.probe_answered(now, peer, via, &ack),
            Ok(Inner::Candidates(candidates)) => self.candidates_from_peer(now, peer, candidates),
            Err(_) => self.counters.rx_refused = self.counters.rx_refused.saturating_add(1),
        }
    }

    // ---- sessions

    /// A renewal is no traffic: otherwise two idle nodes would keep each other awake for ever.
    pub(super) fn session_established(&mut self, now: Now, peer: PeerRef, first: bool) {
        self.outbox.event(Event::PeerEstablished { network: peer.network, node: peer.node });
        if !first {
            return;
        }
        if let Some(state) = self.peers.entry(peer) {
            state.last_traffic_us = now.mono_us;
            for path in state.paths.values_mut() {
                path.next_probe_us = now.mono_us;
            }
        }
        self.send_keepalive(now, peer);
        self.want_circuits(now, peer);
        self.direct_session_began(now, peer);
    }

    fn send_keepalive(&mut self, now: Now, peer: PeerRef) {
        let Some(network) = self.networks.get(&peer.network) else { return };
        let inner = Inner::Keepalive { heads_digest: network.log.digest() };
        if let Some(state) = self.peers.get_mut(&peer) {
            state.keepalive_us = Some(now.after(KEEPALIVE_US));
        }
        self.send_inner(now, peer, &inner);
    }

    // ---- circuits

    /// Asks for a circuit at every relay where both could be, unless asked a moment ago.
    pub(super) fn want_circuits(&mut self, now: Now, peer: PeerRef) {
        let relays = self.links.usable(&peer.network);
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let mut ask = Vec::new();
        for relay in relays {
            if state.want(now, PathKey::relay(relay))
                && let Some((link, _)) = self.links.get(&relay).and_then(super::links::RelayLink::up)
            {
                ask.push(link);
            }
        }
        for link in ask {
            self.outbox
                .send(link, ControlMessage::CircuitOpen { network: peer.network, peer: peer.node, via: Vec::new() });
        }
    }

    /// A relay became usable: ask it for what waits, and again for what was open (its labels may be new).
    pub(super) fn reopen_circuits(&mut self, now: Now, relay: &NodeId, only: Option<&NetworkId>) {
        self.reopen_routes(relay);
        let Some(served) = self.links.get(relay) else { return };
        let Some((link, _)) = served.up().filter(|_| served.bind.is_bound()) else { return };
        let mut ask = Vec::new();
        let key = PathKey::relay(*relay);
        for (peer, state) in self.peers.iter() {
            let here = only.is_none_or(|network| *network == peer.network) && served.is_attached(&peer.network);
            let open = state.via(&key).is_some();
            let used =
                state.has_waiting() || (state.last_traffic_us > 0 && now.since(state.last_traffic_us) < RECENT_US);
            if here && (open || used) {
                ask.push(*peer);
            }
        }
        for peer in ask {
            let _ = self.peers.get_mut(&peer).map(|state| state.want(now, key));
            self.outbox
                .send(link, ControlMessage::CircuitOpen { network: peer.network, peer: peer.node, via: Vec::new() });
        }
    }

    pub(super) fn circuit_opened(
        &mut self,
        now: Now,
        relay: NodeId,
        peer: PeerRef,
        via: &[NodeId],
        (label, epoch): (u32, u16),
    ) {
        let Some(served) = self.links.get(&relay) else { return };
        let (Some((link, _)), Some(to)) = (served.up(), served.endpoint()) else { return };
        let PeerRef { network, node } = peer;
        let serving = self.networks.get(&network).filter(|state| state.is_up() && state.uses_relay(&relay));
        // The relay's copy of the log may be ahead of ours, but a node revoked here gets no circuit.
        let mine = label != 0 && node != self.id && serving.is_some_and(|state| !state.log.state().is_revoked(&node));
        let key = key_of(relay, via).filter(|key| mine && self.takes_route(&peer, key));
        let Some(key) = key else {
            let reason = if mine { NO_PATH } else { circuit_reason::PEER_OFFLINE };
            let via = via.to_vec();
            self.outbox.send(link, ControlMessage::CircuitClosed { network, peer: node, via, label, reason });
            return;
        };
        if !self.peers.open(now, peer, key, to, label, epoch) {
            return;
        }
        self.flush_waiting(now, peer);
    }

    /// A path is there: what waited for it is sealed now, and a handshake that found no path starts over.
    fn flush_waiting(&mut self, now: Now, peer: PeerRef) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let waiting = state.take_waiting();
        let idle = waiting.is_empty();
        self.settle_peers(now);
        let sizes = self.peers.get(&peer).map_or(Sizes::whole(self.mtu), |state| state.sizes(self.mtu));
        for plaintext in waiting {
            if plaintext.first().is_some_and(|first| is_ip(*first)) {
                self.packet_to_peer(now, peer, &plaintext, &sizes);
            } else {
                self.send_plain(now, peer, &plaintext, None);
            }
        }
        if idle && self.sessions.info(&peer).is_none() && self.probes.wants(&peer) {
            let _ = self.sessions.initiate(now, self.rng.as_mut(), &peer);
        }
    }

    pub(super) fn circuit_closed(
        &mut self,
        now: Now,
        relay: NodeId,
        peer: PeerRef,
        via: &[NodeId],
        label: u32,
        reason: u8,
    ) {
        let Some(state) = self.peers.get(&peer) else { return };
        let Some(key) = key_of(relay, via) else { return };
        // The answer to an earlier question must not close what was opened since.
        if let Some((open, _)) = state.via(&key).and_then(|via| via.label)
            && open != label
        {
            return;
        }
        if is_multi(&key) {
            self.route_closed(now, peer, &key);
            return;
        }
        let pause = match reason {
            circuit_reason::PEER_OFFLINE => OFFLINE_PAUSE_US,
            _ => REFUSED_PAUSE_US,
        };
        self.peers.closed(now, &peer, &key, pause);
        // It may be at another relay.
        self.seek_route(now, peer);
    }

    // ---- timers

    pub(super) fn peers_timeout(&mut self, now: Now) {
        for _ in 0..BATCH {
            let Some(peer) = self.peers.take_due(now) else { return };
            self.peer_timeout(now, peer);
        }
    }

    fn peer_timeout(&mut self, now: Now, peer: PeerRef) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let quiet = now.since(state.last_traffic_us);
        if !state.has_waiting() && quiet >= IDLE_US {
            self.give_back(peer);
            return;
        }
        let keepalive = state.keepalive_us.take_if(|due| *due <= now.mono_us).is_some() && quiet < RECENT_US;
        let pull = state.sync.check_us.is_some_and(|due| due <= now.mono_us);
        let wants = state.has_waiting();
        if keepalive && self.sessions.info(&peer).is_some() {
            self.send_keepalive(now, peer);
        }
        if pull {
            self.pull_from_peer(now, peer);
        }
        if wants {
            self.want_circuits(now, peer);
            if let Some(state) = self.peers.get_mut(&peer) {
                state.defer_wants(now);
            }
        }
        self.run_paths(now, peer);
    }

    /// Closes the circuits of a peer nobody talks to any more. Its session keys stay with the session table.
    fn give_back(&mut self, peer: PeerRef) {
        self.routes.forget_peer(&peer);
        for key in self.peers.remove(&peer) {
            self.close_route(peer, &key, circuit_reason::PEER_OFFLINE);
        }
    }
}
