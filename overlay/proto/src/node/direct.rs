//! Direct links: what this node knows of its own place in the underlay, and the ladder of attempts to reach peers without a relay.
//!
//! The ladder itself is [`crate::nat`]; here it meets sessions, peers and ports. Signalling is sealed and goes through whatever
//! path the peer has; only an answered sealed probe makes a path (`measure`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use netflow_wire::inner::{Candidate, Candidates, Inner, Mapping};

use super::api::{LocalInterface, PortMapping};
use super::outbox::SELF_CLIENT;
use super::peer::Peer;
use super::{Node, canonical};
use crate::endpoint::{PathKey, PortId};
use crate::nat::answers::reflexive as seen_by;
use crate::nat::budget::Budget;
use crate::nat::candidates::Place;
use crate::nat::classify::Classifier;
use crate::nat::ports::{Ports, Use};
use crate::nat::punch::{Action, Context, Punch};
use crate::nat::search::{MIN_PORTS, is_random};
use crate::nat::survey::Survey;
use crate::session::PeerRef;
use crate::time::{Now, SECOND_US};

/// Interface addresses looked at; more belong to a machine that has other ways to say what to use.
const MAX_INTERFACES: usize = 64;
/// Attempts go on while the peer has had traffic for no longer than this ago.
const ACTIVE_US: u64 = 60 * SECOND_US;

/// What the shell told about this machine.
#[derive(Default)]
pub(super) struct Local {
    pub(super) interfaces: Vec<LocalInterface>,
    pub(super) mapping: Option<PortMapping>,
    /// Number of the main port.
    pub(super) main_port: Option<u16>,
}

/// Attempts under way, and what they share.
#[derive(Default)]
pub(super) struct Direct {
    punches: BTreeMap<PeerRef, Punch>,
    deadlines: BTreeSet<(u64, PeerRef)>,
    scheduled: BTreeMap<PeerRef, u64>,
    /// The one peer of the patient search: it takes all ports and entries there are.
    searching: Option<PeerRef>,
    pub(super) budget: Budget,
    pub(super) ports: Ports,
    pub(super) classifier: Classifier,
    pub(super) survey: Survey,
    /// What peers were told last: when it changes, what failed may work.
    told: (Vec<Candidate>, Option<Mapping>),
    /// A mapping at the gateway was asked for.
    pub(super) map_wanted: bool,
    /// The configuration wants none of it.
    pub(super) off: bool,
}

impl Direct {
    fn schedule(&mut self, peer: PeerRef, due_us: Option<u64>) {
        if let Some(old) = self.scheduled.remove(&peer) {
            self.deadlines.remove(&(old, peer));
        }
        if let Some(due_us) = due_us {
            self.scheduled.insert(peer, due_us);
            self.deadlines.insert((due_us, peer));
        }
    }

    fn forget(&mut self, peer: &PeerRef) {
        self.schedule(*peer, None);
        self.punches.remove(peer);
        if self.searching == Some(*peer) {
            self.searching = None;
        }
    }

    /// Are ports open that may not be needed any more?
    pub(super) fn has_ports(&self) -> bool {
        !self.ports.is_empty()
    }

    fn next_due(&self) -> Option<u64> {
        let punches = self.deadlines.first().map(|(due_us, _)| *due_us);
        [punches, self.classifier.due_us(), self.survey.due_us()].into_iter().flatten().min()
    }
}

impl Node {
    /// The addresses of this machine's interfaces, at the start and whenever they change. Overlay TUNs and loopback are left out.
    pub fn handle_interfaces(&mut self, now: Now, mut interfaces: Vec<LocalInterface>) {
        interfaces.truncate(MAX_INTERFACES);
        let ways_out = |interfaces: &[LocalInterface]| -> BTreeSet<IpAddr> {
            interfaces.iter().filter(|interface| interface.has_default_route).map(|interface| interface.addr).collect()
        };
        let is_new = !self.local.interfaces.is_empty() && ways_out(&interfaces) != ways_out(&self.local.interfaces);
        self.local.interfaces = interfaces;
        if is_new {
            self.uplink_changed(now);
        }
        self.direct.classifier.wake(now);
        self.ground_changed(now);
        self.settle(now);
    }

    /// Whether direct paths are looked for; they are unless this says otherwise. Without, no peer is told an address of this machine, and
    /// none is probed. Paths that exist stay.
    pub fn set_direct(&mut self, wanted: bool) {
        self.direct.off = !wanted;
    }

    /// What became of [`Output::PortOpen`](super::Output::PortOpen): the local port number, or one line why not. For the main port,
    /// which is open from the start, the shell says its number once without being asked: peers on the same LAN need it.
    pub fn handle_port_open(&mut self, now: Now, port: PortId, local_port: Result<u16, String>) {
        if port == PortId::MAIN {
            self.local.main_port = local_port.ok();
            self.ground_changed(now);
        } else if !port.is_punch() {
            if let (PortId::STUN_ALT, Some(relay)) = (port, &mut self.relay) {
                relay.set_other_port(local_port.is_ok());
            }
        } else if local_port.is_err() {
            self.direct.ports.close(port);
        } else {
            match self.direct.ports.purpose(port) {
                Some(Use::Test) => self.test_port_opened(now, port),
                Some(Use::Search(peer)) => self.search_port_opened(now, peer, port),
                // Closed again before it was open.
                Some(Use::Path(_)) | None => self.outbox.close_port(port),
            }
        }
        self.settle(now);
    }

    /// The gateway's mapping of the main port, when there is one or when it changed.
    pub fn handle_port_map(&mut self, now: Now, mapping: Option<PortMapping>) {
        self.local.mapping = mapping.map(|mapping| PortMapping { external: canonical(mapping.external), ..mapping });
        self.ground_changed(now);
        self.settle(now);
    }

    // ---- hooks of sessions and paths

    /// User traffic with a peer begins or resumes.
    pub(super) fn direct_wanted(&mut self, now: Now, peer: PeerRef) {
        self.with_punch(now, peer, |punch, ctx, out, linked| {
            if !linked {
                punch.want(ctx.now, out);
            }
        });
    }

    /// The last direct path to a peer died. Often that is a NAT that forgot: ask again at once, and look whether ours did.
    pub(super) fn direct_lost(&mut self, now: Now, peer: PeerRef) {
        self.direct.classifier.wake(now);
        self.close_unused_ports();
        self.with_punch(now, peer, |punch, ctx, out, linked| {
            punch.changed(ctx.now, out);
            if !linked {
                punch.want(ctx.now, out);
            }
        });
    }

    /// Our probe to this address was answered.
    pub(super) fn direct_found(&mut self, now: Now, peer: PeerRef, port: PortId) {
        self.direct.ports.keep(port, peer);
        self.with_punch(now, peer, |punch, _, out, _| punch.connected(out));
    }

    /// The peer says where it may be reached.
    pub(super) fn candidates_from_peer(&mut self, now: Now, peer: PeerRef, theirs: Candidates) {
        self.with_punch(now, peer, |punch, ctx, out, linked| punch.candidates(ctx, &theirs, linked, out));
    }

    /// A peer saw us at this address when our probe came from this port. When our NAT keeps mappings, that address is a known one,
    /// or the NAT has begun anew.
    pub(super) fn direct_observed(&mut self, now: Now, port: PortId, observed: SocketAddr) {
        let known = self.direct.told.0.iter().any(|candidate| candidate.addr == observed);
        if port == PortId::MAIN && !known && !is_random(self.mapping_class()) {
            self.direct.classifier.wake(now);
        }
    }

    /// A first session with a peer: its numbers begin anew, and there is traffic.
    pub(super) fn direct_session_began(&mut self, now: Now, peer: PeerRef) {
        if let Some(punch) = self.direct.punches.get_mut(&peer) {
            punch.session_began();
        }
        self.direct_wanted(now, peer);
    }

    // ---- timers

    pub(super) fn direct_timeout(&mut self, now: Now) {
        self.netcheck_timeout(now);
        self.close_unused_ports();
        while let Some((due_us, peer)) = self.direct.deadlines.first().copied() {
            if due_us > now.mono_us {
                break;
            }
            self.direct.schedule(peer, None);
            if self.sessions.info(&peer).is_none() || self.peers.get(&peer).is_none() {
                self.forget_punch(&peer);
                continue;
            }
            self.with_punch(now, peer, |punch, ctx, out, linked| {
                punch.timeout(ctx, out);
                if !linked {
                    punch.want(ctx.now, out);
                }
            });
        }
    }

    pub(super) fn next_direct_due(&self) -> Option<u64> {
        self.direct.next_due()
    }

    // ---- inside

    /// Lets the ladder of one peer work, performs what it wants and sets its timer.
    fn with_punch(
        &mut self,
        now: Now,
        peer: PeerRef,
        work: impl FnOnce(&mut Punch, &mut Context<'_>, &mut Vec<Action>, bool),
    ) {
        if self.direct.off || self.sessions.info(&peer).is_none() {
            return;
        }
        let linked = self.peers.get(&peer).is_some_and(Peer::has_direct);
        let active = self.peers.get(&peer).is_some_and(|state| now.since(state.last_traffic_us) < ACTIVE_US);
        let place = self.place();
        self.count_links(now);
        let mut punch = self.direct.punches.remove(&peer).unwrap_or_default();
        let mut out = Vec::new();
        let mut ctx = Context {
            now,
            mapping: self.mapping_class(),
            rng: self.rng.as_mut(),
            place: &place,
            may_search: self.direct.searching.is_none() && self.direct.ports.room() >= MIN_PORTS,
            free: self.direct.budget.free(now),
            next_free_us: self.direct.budget.next_free_us(),
        };
        work(&mut punch, &mut ctx, &mut out, linked);
        if !active {
            // No punching for peers nobody talks to.
            punch.stop(&mut out);
            out.retain(|action| matches!(action, Action::Tell { ask: false, .. } | Action::ClosePorts));
        }
        for action in out {
            self.perform(now, peer, &mut punch, &place, action);
        }
        if punch.is_searching() {
            self.direct.searching = Some(peer);
        } else if self.direct.searching == Some(peer) {
            self.direct.searching = None;
        }
        let retry = if active && !linked { punch.attempt_due_us() } else { None };
        let due = [punch.due_us(), retry].into_iter().flatten().min();
        self.direct.punches.insert(peer, punch);
        self.direct.schedule(peer, due.map(|due| due.max(now.mono_us.saturating_add(1))));
    }

    fn perform(&mut self, now: Now, peer: PeerRef, punch: &mut Punch, place: &Place, action: Action) {
        match action {
            Action::Probe { port, to, ttl } => {
                if self.direct.budget.take(now, port, to) {
                    self.probe_direct(now, peer, port, to, ttl);
                }
            }
            Action::Tell { ask, patient } => {
                let candidates = Candidates {
                    round: punch.next_round(),
                    mapping: self.mapping_class(),
                    filtering: self.direct.classifier.filtering,
                    same_lan: self.direct.classifier.hairpin == Some(true),
                    wants_answer: ask,
                    patient,
                    list: place.gather(),
                };
                self.send_inner(now, peer, &Inner::Candidates(candidates));
            }
            Action::OpenPorts => {
                while let Some(port) = self.direct.ports.open(Use::Search(peer)) {
                    self.outbox.open_port(port);
                }
            }
            Action::ClosePorts => {
                for port in self.direct.ports.take_if(|_, purpose| purpose == Use::Search(peer)) {
                    self.outbox.close_port(port);
                }
            }
        }
    }

    /// Direct links, and those that are no more, are entries of the same NAT as what punching makes.
    pub(super) fn count_links(&mut self, now: Now) {
        for (port, addr, last_us) in self.peers.take_forgotten() {
            self.direct.budget.linger(now, port, addr, last_us);
        }
        self.direct.budget.set_links(self.peers.count_direct());
    }

    fn search_port_opened(&mut self, now: Now, peer: PeerRef, port: PortId) {
        let mut taken = false;
        self.with_punch(now, peer, |punch, ctx, _, _| taken = punch.port_opened(ctx.now, port));
        if !taken && self.direct.ports.close(port) {
            self.outbox.close_port(port);
        }
    }

    fn forget_punch(&mut self, peer: &PeerRef) {
        self.direct.forget(peer);
        for port in self.direct.ports.take_if(|_, purpose| purpose == Use::Search(*peer)) {
            self.outbox.close_port(port);
        }
        self.close_unused_ports();
    }

    /// Ports whose path is gone.
    pub(super) fn close_unused_ports(&mut self) {
        let peers = &self.peers;
        let unused = |port: PortId, purpose: Use| match purpose {
            Use::Path(peer) => peers.get(&peer).is_none_or(|state| {
                !state.paths.keys().any(|key| matches!(key, PathKey::Direct { port: used, .. } if *used == port))
            }),
            Use::Test | Use::Search(_) => false,
        };
        for port in self.direct.ports.take_if(unused) {
            self.outbox.close_port(port);
        }
    }

    /// Own addresses or the NAT's class may have changed: peers without a direct path are told, and tried again.
    pub(super) fn ground_changed(&mut self, now: Now) {
        let told = (self.place().gather(), Some(self.mapping_class()));
        if told == self.direct.told {
            return;
        }
        self.direct.told = told;
        let peers: Vec<PeerRef> = self.direct.punches.keys().copied().collect();
        for peer in peers {
            self.with_punch(now, peer, |punch, ctx, out, linked| {
                if !linked {
                    punch.changed(ctx.now, out);
                    punch.want(ctx.now, out);
                }
            });
        }
    }

    /// This node's place as it is known now.
    pub(super) fn place(&self) -> Place {
        let mut reflexive: Vec<SocketAddr> = Vec::new();
        let bound = self.links.iter().filter(|(_, relay)| relay.up().is_some_and(|(link, _)| link != SELF_CLIENT));
        let bound = bound.filter_map(|(_, relay)| relay.bind.observed().map(canonical));
        for addr in bound.chain(seen_by(&self.direct.classifier.answers)) {
            // What a relay sees now is newer than what a round of STUN found.
            let newer = reflexive.iter().any(|known| known.ip() == addr.ip() && known.is_ipv6() == addr.is_ipv6());
            if !addr.ip().is_unspecified() && !newer {
                reflexive.push(addr);
            }
        }
        let overlay = self.networks.values().map(|network| network.log.state());
        Place {
            interfaces: self.local.interfaces.clone(),
            mapping: self.local.mapping,
            main_port: self.local.main_port,
            reflexive,
            overlay: overlay
                .flat_map(|state| [IpNet::from(state.ipv4_prefix()), IpNet::from(state.ipv6_prefix())])
                .collect(),
        }
    }
}
