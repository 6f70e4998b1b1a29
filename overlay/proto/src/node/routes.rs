//! Ways over several relays, as a member uses them: asking for them, opening circuits over them, and tracing one.
//!
//! Spec: `docs/spec/routing.md`, "The member". What a relay answers is a hint: a path is checked (the relay that answered first
//! in it, none twice), opened, measured end to end, and used only when it is better than the others.

use std::collections::BTreeMap;

use netflow_wire::control::{CandidatePath, ControlMessage, circuit_reason};
use netflow_wire::probe::{EchoFrame, EchoRepr};
use netflow_wire::relay::INITIAL_HOP_LIMIT;
use netflow_wire::{FrameKind, NodeId};

use super::Node;
use super::api::{CommandError, ErrorKind, Event, PathInfo, TraceHopInfo, TraceStarted};
use super::commands::known;
use super::peer::Peer;
use super::peers::Via;
use crate::endpoint::{Endpoint, Hops, PathKey};
use crate::path::Class;
use crate::route;
use crate::session::PeerRef;
use crate::time::{MILLI_US, Now, SECOND_US};

/// A relayed round trip above this is worth asking whether another way is shorter.
const SLOW_US: u64 = 40 * MILLI_US;
/// Traffic must have gone on for so long: a single packet does not pay for a search.
const STEADY_US: u64 = 3 * SECOND_US;
/// Distance of looks at the peers with traffic.
const LOOK_US: u64 = 2 * SECOND_US;
/// Peers count as having traffic for so long.
const ACTIVE_US: u64 = 30 * SECOND_US;
/// Distance of two questions about one peer while nothing reaches it, and otherwise; doubles to the longest without news.
const URGENT_US: u64 = 2 * SECOND_US;
const CALM_US: u64 = 30 * SECOND_US;
const MAX_PAUSE_US: u64 = 600 * SECOND_US;
/// Questions in one look, over all peers: 2 a second.
const MAX_QUESTIONS: usize = 4;
/// Paths over several relays per peer: those of one answer. The other side may open as many.
const MAX_MULTI: usize = 3;
/// Beyond them the best of the other two classes: the cheapest way is seldom among the fastest three.
const MAX_BEST: usize = MAX_MULTI + 2;
/// Questions that are remembered, one for a peer and class: a thousand peers with traffic at a time.
const MAX_ASKED: usize = 3 * 1_024;
/// Traces at a time.
const MAX_TRACES: usize = 16;
/// How long the relays of a path have to answer.
const TRACE_US: u64 = SECOND_US;

/// The last question about one peer, for one class.
#[derive(Clone, Copy, Debug)]
struct Asked {
    since_us: u64,
    /// Questions in a row that brought no new path.
    fruitless: u32,
}

/// One trace under way.
#[derive(Debug)]
struct Trace {
    via: Via,
    hops: Hops,
    sent_us: u64,
    /// Number of each echo, and its round trip.
    echoes: Vec<(u64, Option<u64>)>,
}

/// Questions and traces under way.
#[derive(Default)]
pub(super) struct Routes {
    asked: BTreeMap<(PeerRef, Class), Asked>,
    traces: BTreeMap<u64, Trace>,
    last_trace: u64,
    look_us: Option<u64>,
}

impl Routes {
    /// There is traffic: look at it in a while.
    pub(super) fn arm(&mut self, now: Now) {
        self.look_us.get_or_insert(now.after(LOOK_US));
    }

    pub(super) fn forget_peer(&mut self, peer: &PeerRef) {
        for class in Class::ALL {
            self.asked.remove(&(*peer, class));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let traces = self.traces.values().map(|trace| trace.sent_us.saturating_add(TRACE_US)).min();
        [self.look_us, traces].into_iter().flatten().min()
    }

    fn may_ask(&mut self, now: Now, peer: PeerRef, class: Class, pause_us: u64) -> bool {
        let about = (peer, class);
        if self.asked.len() >= MAX_ASKED && !self.asked.contains_key(&about) {
            self.asked.retain(|_, asked| now.since(asked.since_us) < MAX_PAUSE_US);
            if self.asked.len() >= MAX_ASKED {
                return false;
            }
        }
        let asked = self.asked.get(&about).copied();
        let pause = asked.map_or(0, |asked| pause_us.saturating_mul(1 << asked.fruitless.min(6)).min(MAX_PAUSE_US));
        if asked.is_some_and(|asked| now.since(asked.since_us) < pause) {
            return false;
        }
        let fruitless = asked.map_or(0, |asked| asked.fruitless.saturating_add(1));
        self.asked.insert(about, Asked { since_us: now.mono_us, fruitless });
        true
    }
}

impl Node {
    /// No relay in common, as far as is known: asks at once for a way over several.
    pub(super) fn seek_route(&mut self, now: Now, peer: PeerRef) {
        if self.is_lost(now, &peer) {
            self.ask_urgently(now, peer);
        }
    }

    /// Somebody wants to reach the peer, and nothing does: no path is open, all of them are dead, or the handshake is not answered over any.
    /// Circuits stay open while the links of their relays are down, so an open one says nothing by itself.
    fn is_lost(&self, now: Now, peer: &PeerRef) -> bool {
        self.peers.get(peer).is_some_and(|state| {
            let is_wanted = state.has_waiting() || now.since(state.last_traffic_us) < ACTIVE_US;
            is_wanted && (!state.has_live_path() || self.sessions.info(peer).is_none())
        })
    }

    /// Nothing reaches the peer: any way will do first, and each class with packets gets its best. Returns how many questions that were.
    fn ask_urgently(&mut self, now: Now, peer: PeerRef) -> usize {
        let used = self.peers.get(&peer).map(|state| state.classes_used(now).collect::<Vec<_>>()).unwrap_or_default();
        let classes = if used.is_empty() { vec![Class::Interactive] } else { used };
        let asked = classes.into_iter().filter(|class| self.ask_paths(now, peer, *class, URGENT_US));
        asked.count()
    }

    /// Asks every relay of the network, unless that was done a moment ago.
    fn ask_paths(&mut self, now: Now, peer: PeerRef, class: Class, pause_us: u64) -> bool {
        if !self.routes.may_ask(now, peer, class, pause_us) {
            return false;
        }
        let class = route_class(class).code();
        for relay in self.links.usable(&peer.network) {
            if let Some((link, _)) = self.links.get(&relay).and_then(super::links::RelayLink::up) {
                let message = ControlMessage::PathQuery { network: peer.network, peer: peer.node, class };
                self.outbox.send(link, message);
            }
        }
        true
    }

    /// Looks whether a peer with traffic is slow to reach, and closes the trace that is over.
    pub(super) fn routes_timeout(&mut self, now: Now) {
        self.traces_timeout(now);
        if self.routes.look_us.is_none_or(|due| due > now.mono_us) {
            return;
        }
        let mut active = false;
        let (mut lost, mut relayed) = (Vec::new(), Vec::new());
        for (peer, state) in self.peers.iter() {
            if now.since(state.last_traffic_us) >= ACTIVE_US {
                continue;
            }
            active = true;
            if self.is_lost(now, peer) {
                lost.push(*peer);
            } else {
                relayed.extend(self.classes_to_improve(now, peer, state).map(|class| (*peer, class)));
            }
        }
        self.routes.look_us = active.then(|| now.after(LOOK_US));
        let mut left = MAX_QUESTIONS;
        for peer in lost {
            if left == 0 {
                return;
            }
            left = left.saturating_sub(self.ask_urgently(now, peer));
        }
        for (peer, class) in relayed {
            if left == 0 {
                return;
            }
            left -= usize::from(self.ask_paths(now, peer, class, CALM_US));
        }
    }

    /// Classes of a peer that may have a better way over several relays: a conversation that is slow, and bulk and cheap traffic over any
    /// relay, for whose room and price nothing but an answer speaks.
    fn classes_to_improve(&self, now: Now, peer: &PeerRef, state: &Peer) -> impl Iterator<Item = Class> {
        let steady = self.sessions.info(peer).is_some_and(|info| now.since(info.established_us) >= STEADY_US);
        let relayed = |class: Class| state.via_for(class).filter(|via| !via.key.is_direct());
        let is_slow = |via: &Via| {
            state.paths.get(&via.key).and_then(|path| path.metrics.rtt.smoothed_us()).is_some_and(|rtt| rtt > SLOW_US)
        };
        let slow = relayed(Class::Interactive).is_some_and(|via| is_slow(&via)).then_some(Class::Interactive);
        let others = state.classes_used(now).filter(|class| *class != Class::Interactive && relayed(*class).is_some());
        let all: Vec<Class> = slow.into_iter().chain(others).filter(|_| steady).collect();
        all.into_iter()
    }

    /// A relay knows ways: opens circuits over those that are new.
    pub(super) fn paths_answered(
        &mut self,
        now: Now,
        relay: NodeId,
        peer: PeerRef,
        class: u8,
        paths: &[CandidatePath],
    ) {
        let Some((link, _)) = self.links.get(&relay).and_then(super::links::RelayLink::up) else { return };
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let mut open = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            // Our own relay first and none twice, or it is not a path.
            let Some(hops) = Hops::new(&path.relays).filter(|hops| hops.first() == relay) else {
                self.counters.rx_refused = self.counters.rx_refused.saturating_add(1);
                continue;
            };
            let multi = state.paths.keys().filter(|key| is_multi(key)).count();
            let key = PathKey::Relay(hops);
            let limit = if at == 0 { MAX_BEST } else { MAX_MULTI };
            if is_multi(&key) && multi < limit && !state.paths.contains_key(&key) && state.want(now, key) {
                open.push(via_of(hops));
            }
            if let Some(known) = state.paths.get_mut(&key) {
                // Among free relays fewer are cheaper.
                known.price = u64::from(path.price).saturating_mul(8).saturating_add(path.relays.len() as u64);
            }
        }
        let answered = Class::ALL.into_iter().find(|known| route_class(*known).code() == class);
        if !open.is_empty()
            && let Some(asked) = answered.and_then(|class| self.routes.asked.get_mut(&(peer, class)))
        {
            asked.fruitless = 0;
        }
        for via in open {
            self.outbox.send(link, ControlMessage::CircuitOpen { network: peer.network, peer: peer.node, via });
        }
    }

    /// May the other side have one more circuit over several relays with us?
    pub(super) fn takes_route(&self, peer: &PeerRef, key: &PathKey) -> bool {
        let known = self.peers.get(peer).map(|state| &state.paths);
        let multi = known.map_or(0, |paths| paths.keys().filter(|key| is_multi(key)).count());
        !is_multi(key) || multi < 2 * MAX_BEST || known.is_some_and(|paths| paths.contains_key(key))
    }

    /// A circuit over several relays is gone: it is asked for again when it is needed, perhaps another way.
    pub(super) fn route_closed(&mut self, now: Now, peer: PeerRef, key: &PathKey) {
        self.peers.remove_path(&peer, key);
        self.seek_route(now, peer);
    }

    /// Asks again for the open circuits over several relays that begin at this one: it may have started anew.
    pub(super) fn reopen_routes(&mut self, relay: &NodeId) {
        let Some((link, _)) = self.links.get(relay).and_then(super::links::RelayLink::up) else { return };
        let mut ask = Vec::new();
        for (peer, state) in self.peers.iter() {
            for key in state.paths.keys().filter(|key| is_multi(key) && state.via(key).is_some()) {
                if let PathKey::Relay(hops) = key
                    && hops.first() == *relay
                {
                    ask.push((*peer, via_of(*hops)));
                }
            }
        }
        for (peer, via) in ask {
            self.outbox.send(link, ControlMessage::CircuitOpen { network: peer.network, peer: peer.node, via });
        }
    }

    /// Tells a relay that a circuit of ours is not needed any more.
    pub(super) fn close_route(&mut self, peer: PeerRef, key: &PathKey, reason: u8) {
        let PathKey::Relay(hops) = key else { return };
        if let Some((link, _)) = self.links.get(&hops.first()).and_then(super::links::RelayLink::up) {
            let (network, peer, via) = (peer.network, peer.node, via_of(*hops));
            self.outbox.send(link, ControlMessage::CircuitClosed { network, peer, via, label: 0, reason });
        }
    }

    // ---- trace

    /// Asks every relay of the path in use how far it is. [`Event::TraceDone`] follows within a second or so; the member at
    /// the end is measured by the path itself.
    ///
    /// # Errors
    /// No such network or member, no path yet, a direct path (it has no hops), or too many traces at a time.
    pub fn trace(
        &mut self,
        now: Now,
        network: &netflow_wire::NetworkId,
        node: &NodeId,
    ) -> Result<TraceStarted, CommandError> {
        known(self.network(network)?, node)?;
        let peer = PeerRef { network: *network, node: *node };
        let via = self.peers.get(&peer).and_then(Peer::primary);
        let via = via.ok_or_else(|| CommandError::new(ErrorKind::Offline, "there is no path to this member yet"))?;
        let path = PathInfo::of(via.key, via.to);
        let (PathKey::Relay(hops), Some((label, epoch))) = (via.key, via.label) else {
            return Ok(TraceStarted { trace: None, path });
        };
        if self.routes.traces.len() >= MAX_TRACES {
            return Err(CommandError::new(ErrorKind::Conflict, format!("{MAX_TRACES} traces are under way already")));
        }
        let mut echoes = Vec::new();
        for hop_limit in (1..).take(hops.as_slice().len()) {
            let id = self.rng.next_u64();
            echoes.push((id, None));
            let frame = EchoRepr { hop_limit, epoch, label, id, answer: None };
            self.outbox.datagram(via.to, frame.to_bytes().to_vec());
        }
        self.routes.last_trace = self.routes.last_trace.wrapping_add(1);
        let trace = self.routes.last_trace;
        self.routes.traces.insert(trace, Trace { via, hops, sent_us: now.mono_us, echoes });
        self.settle(now);
        Ok(TraceStarted { trace: Some(trace), path })
    }

    /// Frame 0x1E: the answer to a trace of ours, or for our relay service.
    pub(super) fn relay_echo(&mut self, now: Now, from: Endpoint, datagram: &mut [u8]) -> bool {
        if let Ok(frame) = EchoFrame::new_checked(&*datagram)
            && frame.is_answer()
            && self.trace_answered(now, from, &EchoRepr::parse(&frame))
        {
            return true;
        }
        match &mut self.relay {
            Some(relay) => relay.handle_frame(now, from, FrameKind::RelayEcho, datagram, self.rng.as_mut()),
            None => false,
        }
    }

    fn trace_answered(&mut self, now: Now, from: Endpoint, answer: &EchoRepr) -> bool {
        for trace in self.routes.traces.values_mut() {
            let ours = trace.via.to == from && trace.via.label == Some((answer.label, answer.epoch));
            let relays = trace.hops.as_slice().iter();
            let hop = trace.echoes.iter_mut().zip(relays).find(|((id, _), _)| *id == answer.id);
            if let Some(((_, rtt), relay)) = hop.filter(|_| ours)
                && answer.answer == Some(relay.short())
            {
                rtt.get_or_insert(now.since(trace.sent_us));
                self.traces_timeout(now);
                return true;
            }
        }
        false
    }

    fn traces_timeout(&mut self, now: Now) {
        let over = |trace: &Trace| {
            let complete = trace.echoes.iter().all(|(_, rtt)| rtt.is_some());
            complete || now.since(trace.sent_us) >= TRACE_US
        };
        let done: Vec<u64> =
            self.routes.traces.iter().filter(|(_, trace)| over(trace)).map(|(number, _)| *number).collect();
        for number in done {
            let Some(trace) = self.routes.traces.remove(&number) else { continue };
            let limits = (1..=INITIAL_HOP_LIMIT).rev();
            let hops = trace.hops.as_slice().iter().zip(&trace.echoes).zip(limits);
            let hops = hops.map(|((relay, (_, rtt_us)), hop_limit)| TraceHopInfo {
                relay: *relay,
                rtt_us: *rtt_us,
                hop_limit,
            });
            self.outbox.event(Event::TraceDone { trace: number, hops: hops.collect() });
        }
    }

    /// A STUN message: requests are for our relay service.
    pub(super) fn stun(&mut self, now: Now, from: Endpoint, datagram: &[u8]) -> bool {
        match (&mut self.relay, datagram) {
            (Some(relay), [0, 1, ..]) => relay.handle_stun(now, from, datagram),
            _ => false,
        }
    }
}

/// The class as relays know it.
const fn route_class(class: Class) -> route::Class {
    match class {
        Class::Interactive => route::Class::Interactive,
        Class::Bulk => route::Class::Bulk,
        Class::Cheap => route::Class::Cheap,
    }
}

/// Over more than one relay?
pub(super) fn is_multi(key: &PathKey) -> bool {
    matches!(key, PathKey::Relay(hops) if hops.as_slice().len() > 1)
}

/// The relays after the first.
pub(super) fn via_of(hops: Hops) -> Vec<NodeId> {
    hops.as_slice().iter().skip(1).copied().collect()
}

/// The path a relay names: itself, and the relays after it. `None`: not a path.
pub(super) fn key_of(relay: NodeId, via: &[NodeId]) -> Option<PathKey> {
    let relays: Vec<NodeId> = std::iter::once(relay).chain(via.iter().copied()).collect();
    Hops::new(&relays).map(PathKey::Relay)
}

/// Reason given with a circuit nobody may have.
pub(super) const NO_PATH: u8 = circuit_reason::BAD_PATH;
