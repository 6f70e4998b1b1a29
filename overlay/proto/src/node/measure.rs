//! Measuring the paths of peers: probes and their answers, paths that die and come back, addresses that turn out to be paths.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netflow_wire::inner::{Inner, PROBE_ACK_LEN, PROBE_HEADER_LEN, ProbeAck};
use netflow_wire::{NetworkId, NodeId};

use super::api::{CommandError, Event, PathInfo, PathReport, PathState};
use super::commands::known;
use super::peer::Sizes;
use super::peers::Via;
use super::{Node, canonical};
use crate::endpoint::{Endpoint, PathKey, PortId};
use crate::path::{Class, Health};
use crate::session::{PeerRef, SealStatus};
use crate::time::{MILLI_US, Now, SECOND_US};

/// Probes to addresses that are no path yet: a search uses up to 300 for a peer, and a few go on at a time.
const MAX_PENDING: usize = 4_096;
/// How long an answer from such an address is waited for: two sides that open their NATs at different times, and a slow path.
const PENDING_US: u64 = 10 * SECOND_US;
/// Refusals of the system for one destination in this time count once: every datagram brings one.
const REFUSED_US: u64 = 50 * MILLI_US;

/// Probes to addresses that are no path yet.
#[derive(Default)]
pub(super) struct Knocks {
    pending: BTreeMap<u64, Knock>,
    /// Ids in the order they left.
    order: std::collections::VecDeque<(u64, u64)>,
    last_refused: Option<(Endpoint, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Knock {
    peer: PeerRef,
    to: Endpoint,
}

impl Knocks {
    fn add(&mut self, now: Now, id: u64, knock: Knock) {
        while let Some((left_us, old)) = self.order.front().copied() {
            if now.since(left_us) < PENDING_US && self.order.len() < MAX_PENDING {
                break;
            }
            self.order.pop_front();
            self.pending.remove(&old);
        }
        self.order.push_back((now.mono_us, id));
        self.pending.insert(id, knock);
    }

    /// The peer an answer from this endpoint belongs to; each is taken once.
    fn take(&mut self, id: u64, from: Endpoint) -> Option<PeerRef> {
        let knock = self.pending.get(&id).filter(|knock| knock.to == from)?;
        let peer = knock.peer;
        self.pending.remove(&id);
        Some(peer)
    }
}

impl Node {
    /// User traffic of a peer, in either direction: its paths are measured from now on. Returns what fits them.
    pub(super) fn traffic(&mut self, now: Now, peer: PeerRef) -> Sizes {
        self.traffic_of(now, peer, None)
    }

    /// The same for a packet from inside, which has a class.
    pub(super) fn traffic_of(&mut self, now: Now, peer: PeerRef, class: Option<Class>) -> Sizes {
        let mtu = self.mtu;
        let Some(state) = self.peers.hot_entry(peer) else { return Sizes::whole(mtu) };
        if let Some(class) = class {
            state.used_by(now, class);
        }
        let was_active = state.is_active(now);
        state.last_traffic_us = now.mono_us;
        if was_active && state.keepalive_us.is_some() {
            return state.sizes(mtu);
        }
        let Some(state) = self.peers.get_mut(&peer) else { return Sizes::whole(mtu) };
        state.keepalive_us.get_or_insert(now.after(super::circuits::KEEPALIVE_US));
        if !was_active {
            state.resume(now);
            if self.sessions.info(&peer).is_some() {
                self.direct_wanted(now, peer);
            }
        }
        // What comes next already goes by what is known now.
        self.settle_peers(now);
        self.peers.get(&peer).map_or(Sizes::whole(mtu), |state| state.sizes(mtu))
    }

    /// Chooses paths and files deadlines of every peer that changed.
    pub(super) fn settle_peers(&mut self, now: Now) -> bool {
        for (port, addr, last_us) in self.peers.take_forgotten() {
            self.direct.budget.linger(now, port, addr, last_us);
        }
        let mut busy = false;
        while let Some((peer, changed)) = self.peers.settle(now, self.rng.as_mut()) {
            busy = true;
            self.plane.advance();
            for class in changed {
                let Some(state) = self.peers.get(&peer) else { continue };
                let Some(via) = state.via_for(class) else { continue };
                let (reason, voluntary) = (state.reason(class).to_owned(), state.was_voluntary(class));
                let (network, node, path) = (peer.network, peer.node, PathInfo::of(via.key, via.to));
                self.outbox.event(Event::PathChanged { network, node, class, path, voluntary, reason });
            }
        }
        busy
    }

    /// Runs the paths of one peer.
    pub(super) fn run_paths(&mut self, now: Now, peer: PeerRef) {
        let has_session = self.sessions.info(&peer).is_some();
        let Some(state) = self.peers.get_mut(&peer).filter(|state| state.is_active(now)) else { return };
        let roles: Vec<_> = state.paths.keys().map(|key| state.role(key)).collect();
        let had_direct = state.has_direct();
        let mut probes: Vec<(Via, Option<u16>)> = Vec::new();
        for ((key, path), role) in state.paths.iter_mut().zip(roles) {
            let Some(via) = path.via(key) else { continue };
            if !has_session {
                path.defer(now);
                continue;
            }
            let work = path.run(now, role);
            probes.extend(work.probe.then_some((via, None)));
            probes.extend(work.sizes.into_iter().map(|size| (via, Some(size))));
        }
        let lost_direct = had_direct && !state.has_direct();
        let forgotten = state.lost_direct(now);
        for key in forgotten {
            self.peers.remove_path(&peer, &key);
        }
        for (via, size) in probes {
            self.send_path_probe(now, peer, &via, size);
        }
        if lost_direct {
            self.direct_lost(now, peer);
        }
    }

    /// Sends a probe over a path, small or padded to an outer size.
    fn send_path_probe(&mut self, now: Now, peer: PeerRef, via: &Via, size: Option<u16>) {
        let id = self.rng.next_u64();
        let nominate = self.peers.get(&peer).and_then(|state| state.primary()).is_some_and(|used| used == *via);
        let inner = size.map_or(0, |size| size.saturating_sub(via.overhead()));
        let padding = inner.saturating_sub(u16::try_from(PROBE_HEADER_LEN).unwrap_or(0));
        let Ok(plaintext) = (Inner::Probe { id, nominate, padding }).to_vec() else { return };
        if let Some(Some(_)) = self.send_sealed(now, peer, &plaintext, Some(via), Class::Interactive)
            && let Some(path) = self.peers.hot(&peer).and_then(|state| state.paths.get_mut(&via.key))
        {
            path.probe_left(now, id, size);
        }
    }

    /// A peer asks whether a path works: say what arrived.
    pub(super) fn probe_from_peer(&mut self, now: Now, peer: PeerRef, via: &Via, len: usize, id: u64) {
        let path = self.peers.get(&peer).and_then(|state| state.paths.get(&via.key));
        let is_new = path.is_none();
        let (rx_packets, rx_bytes) = path.map_or((0, 0), |path| (path.traffic.rx_packets(), path.traffic.rx_bytes()));
        // An answer to an address that is no path is an entry like a probe there, and a peer has many ports to ask from.
        if let (true, Endpoint::Udp { port, addr }, None) = (is_new, via.to, via.label) {
            self.count_links(now);
            if !self.direct.budget.take(now, port, addr) {
                return;
            }
        }
        let observed = if via.label.is_none() { via.to.addr() } else { None };
        let ack = ProbeAck { id, len: u16::try_from(len).unwrap_or(u16::MAX), observed, rx_packets, rx_bytes };
        if let Ok(plaintext) = Inner::ProbeAck(ack).to_vec() {
            self.send_answer(now, peer, &plaintext, via);
        }
    }

    /// A probe of ours was answered: on a path, or at an address that becomes one by it.
    pub(super) fn probe_answered(&mut self, now: Now, peer: PeerRef, via: &Via, ack: &ProbeAck) {
        let known = self.peers.get_mut(&peer).and_then(|state| state.paths.get_mut(&via.key));
        if known.is_some_and(|path| path.answered(now, ack)) {
            return;
        }
        let Endpoint::Udp { port, addr } = via.to else { return };
        if via.label.is_some() || self.knocks.take(ack.id, via.to) != Some(peer) {
            return;
        }
        if let Some(observed) = ack.observed {
            self.direct_observed(now, port, observed);
        }
        if self.peers.add_direct(now, peer, port, addr) {
            self.direct_found(now, peer, port);
        }
    }

    /// An authentic frame came from an address that is no path: probe there, and let the answer decide.
    pub(super) fn probe_back(&mut self, now: Now, peer: PeerRef, via: &Via) {
        let Endpoint::Udp { port, addr } = via.to else { return };
        self.count_links(now);
        let Some(state) = self.peers.hot(&peer) else { return };
        if via.label.is_none() && state.chase.may_probe(now, via.to) && self.direct.budget.take(now, port, addr) {
            self.probe_direct(now, peer, port, addr, None);
        }
    }

    /// Sends a sealed probe to an address that may become a path. `None`: there is no session to seal it with.
    pub(super) fn probe_direct(
        &mut self,
        now: Now,
        peer: PeerRef,
        port: PortId,
        addr: SocketAddr,
        ttl: Option<u8>,
    ) -> Option<u64> {
        if self.direct.off {
            return None;
        }
        self.sessions.info(&peer)?;
        let id = self.rng.next_u64();
        // As long as its answer: a frame stolen on the way must not make the peer send more than it got.
        let padding = u16::try_from(PROBE_ACK_LEN.saturating_sub(PROBE_HEADER_LEN)).ok()?;
        let plaintext = (Inner::Probe { id, nominate: false, padding }).to_vec().ok()?;
        let mut frame = Vec::new();
        let sealed = self.sessions.seal_into(now, self.rng.as_mut(), &peer, &plaintext, &mut frame);
        if sealed != SealStatus::Sealed {
            return None;
        }
        let to = Endpoint::Udp { port, addr };
        self.outbox.datagram_with_ttl(to, ttl, frame);
        // An opener that dies on the way is not answered.
        if ttl.is_none() {
            self.knocks.add(now, id, Knock { peer, to });
        }
        Some(id)
    }

    /// The system has no way to send from this port to this address (no route, interface down).
    pub fn handle_unreachable(&mut self, now: Now, port: PortId, to: SocketAddr) {
        let to = Endpoint::Udp { port, addr: canonical(to) };
        let is_repeated = self.knocks.last_refused.is_some_and(|(at, when)| at == to && now.since(when) < REFUSED_US);
        if !is_repeated {
            self.knocks.last_refused = Some((to, now.mono_us));
            for peer in self.peers.unreachable(now, to) {
                self.direct_lost(now, peer);
            }
        }
        self.settle(now);
    }

    /// This machine reaches the world by other addresses than before: every path has to prove itself again, and the relays are told
    /// our new address at once.
    pub(super) fn uplink_changed(&mut self, now: Now) {
        self.peers.doubt_all(now);
        self.links.rebind(now);
    }

    /// For `netctl path`: every path to a node, the used ones first, and why they are used.
    ///
    /// # Errors
    /// Unknown network or node.
    pub fn path_report(&self, now: Now, network: &NetworkId, node: &NodeId) -> Result<Vec<PathReport>, CommandError> {
        known(self.network(network)?, node)?;
        let Some(state) = self.peers.get(&PeerRef { network: *network, node: *node }) else { return Ok(Vec::new()) };
        let mut reports = Vec::new();
        for (key, path) in &state.paths {
            let Some(via) = path.via(key) else { continue };
            let used = |class: &&Class| state.via_for(**class).is_some_and(|used| used.key == *key);
            let classes: Vec<Class> = Class::ALL.iter().filter(used).copied().collect();
            let shares_bulk = state.shares_bulk(key);
            let shared =
                shares_bulk.then(|| (Class::Bulk, "as good as the first: flows are shared among them".to_owned()));
            let reasons = classes.iter().map(|class| (*class, state.reason(*class).to_owned())).chain(shared);
            reports.push(PathReport {
                path: PathInfo::of(*key, via.to),
                state: match path.life.health() {
                    Health::Dead => PathState::Dead,
                    Health::Recovering => PathState::Recovering,
                    Health::Suspect => PathState::Suspect,
                    Health::Alive if shares_bulk || !classes.is_empty() => PathState::Used,
                    Health::Alive if state.is_warm(key) => PathState::Warm,
                    Health::Alive => PathState::Open,
                },
                link_lost: path.suspect,
                shares_bulk,
                reasons: reasons.collect(),
                rtt_us: path.metrics.rtt.smoothed_us(),
                rtt_var_us: path.metrics.rtt.var_us(),
                min_rtt_us: path.metrics.rtt.min_us(),
                loss_ppm: path.metrics.loss_ppm(),
                goodput_bps: path.metrics.goodput_bps(now),
                outer_mtu: path.mtu.confirmed(),
                inner_mtu: path.capacity(&via),
                price: path.price,
                measured_us: path.metrics.age_us(now),
            });
        }
        reports.sort_by_key(|report| (report.reasons.is_empty(), report.state, report.shares_bulk));
        Ok(reports)
    }

    /// The path a class of packets to a peer takes now.
    #[must_use]
    pub fn path_in_use(&self, network: &NetworkId, node: &NodeId, class: Class) -> Option<PathKey> {
        let state = self.peers.get(&PeerRef { network: *network, node: *node })?;
        state.via_for(class).map(|via| via.key)
    }
}
