//! The path service: which ways of several relays lead from here to a member.
//!
//! Spec: `docs/spec/routing.md`, "Path service". A relay says where a member is bound only to relays the network's own log
//! names, and answers paths only to members: nobody learns from it who is in a network.

use std::collections::{BTreeMap, BTreeSet};

use netflow_wire::control::{ControlMessage, MAX_ROUTE};
use netflow_wire::{NetworkId, NodeId};
use rand_core::CryptoRng;

use super::config::LinkId;
use super::server::RelayServer;
use crate::endpoint::Hops;
use crate::route::{Class, best_paths};
use crate::time::{MILLI_US, Now, SECOND_US};

/// Members being looked for at a time. An entry is about 1 KB with its questions.
const MAX_LOOKUPS: usize = 1_024;
/// Who waits for one of them.
const MAX_ASKERS: usize = 64;
/// Answers of other relays kept, about 150 bytes each.
const MAX_KNOWN: usize = 16_384;
/// How long another relay may take to answer.
const LOOKUP_US: u64 = 500 * MILLI_US;
/// How long its answer counts: a yes, and a no.
const YES_US: u64 = 10 * SECOND_US;
const NO_US: u64 = 2 * SECOND_US;

type Member = (NetworkId, NodeId);

struct Lookup {
    /// Questions without an answer yet.
    open: BTreeSet<u64>,
    askers: Vec<(LinkId, Class)>,
    due_us: u64,
}

/// What is known and what is being asked about where members are.
#[derive(Default)]
pub(super) struct PathService {
    lookups: BTreeMap<Member, Lookup>,
    /// Question to the relay it went to.
    asks: BTreeMap<u64, (Member, NodeId)>,
    /// Is the member bound at the relay, and until when that counts.
    known: BTreeMap<(Member, NodeId), (bool, u64)>,
}

impl PathService {
    pub(super) fn next_due(&self) -> Option<u64> {
        self.lookups.values().map(|lookup| lookup.due_us).min()
    }

    fn learn(&mut self, now: Now, member: Member, relay: NodeId, bound: bool) {
        if self.known.len() >= MAX_KNOWN {
            self.known.retain(|_, (_, until_us)| *until_us > now.mono_us);
        }
        if self.known.len() < MAX_KNOWN {
            let until_us = now.after(if bound { YES_US } else { NO_US });
            self.known.insert((member, relay), (bound, until_us));
        }
    }

    fn get(&self, now: Now, member: Member, relay: NodeId) -> Option<bool> {
        self.known.get(&(member, relay)).filter(|(_, until_us)| *until_us > now.mono_us).map(|(bound, _)| *bound)
    }
}

impl RelayServer {
    /// A member asks for paths.
    pub(super) fn path_query(
        &mut self,
        now: Now,
        link: LinkId,
        network: NetworkId,
        peer: NodeId,
        class: u8,
        rng: &mut dyn CryptoRng,
    ) {
        let attached = self.is_attached(link, &network);
        let Some(class) = Class::from_code(class).filter(|_| attached) else {
            self.strike(link, "a path query of no member, or of no class");
            return;
        };
        let allowed = self.links.get_mut(&link).is_some_and(|state| state.queries.take(now));
        if !allowed {
            return;
        }
        let member = (network, peer);
        if !self.hosted.get(&network).is_some_and(|hosted| hosted.log.state().is_member(&peer)) {
            self.send(link, ControlMessage::PathAnswer { network, peer, class: class.code(), paths: Vec::new() });
            return;
        }
        let full = self.paths.lookups.len() >= MAX_LOOKUPS;
        let ask = match self.paths.lookups.get_mut(&member) {
            Some(lookup) => {
                if lookup.askers.len() < MAX_ASKERS {
                    lookup.askers.push((link, class));
                }
                return;
            }
            None if full => Vec::new(),
            None => self.places_to_ask(now, member),
        };
        if ask.is_empty() {
            self.answer_paths(now, link, member, class);
            return;
        }
        let mut lookup = Lookup { open: BTreeSet::new(), askers: vec![(link, class)], due_us: now.after(LOOKUP_US) };
        for (relay, next, route) in ask {
            let id = rng.next_u64();
            lookup.open.insert(id);
            self.paths.asks.insert(id, (member, relay));
            self.send(next, ControlMessage::WhereIs { id, network, peer, route });
        }
        self.paths.lookups.insert(member, lookup);
    }

    /// Relays of the network whose answer is not known: each with the link to the first relay on the way, and the way.
    fn places_to_ask(&self, now: Now, member: Member) -> Vec<(NodeId, LinkId, Vec<NodeId>)> {
        let Some(hosted) = self.hosted.get(&member.0) else { return Vec::new() };
        let others = hosted.log.state().relays().iter().map(|relay| relay.node).filter(|relay| *relay != self.me);
        let unknown = others.filter(|relay| self.paths.get(now, member, *relay).is_none());
        let way = |relay: NodeId| {
            let to = BTreeSet::from([relay]);
            let route = best_paths(&self.mesh.table, self.me, &to, Class::Interactive).into_iter().next()?.relays;
            Some((relay, self.mesh.link(route.get(1)?)?, route))
        };
        unknown.filter_map(way).collect()
    }

    fn answer_paths(&mut self, now: Now, link: LinkId, member: Member, class: Class) {
        // The own price and load are part of every path from here.
        self.tell_news(now);
        let (network, peer) = member;
        let Some(hosted) = self.hosted.get(&network) else { return };
        let relays = hosted.log.state().relays().iter().map(|relay| relay.node);
        let here = self.is_bound_here(network, &peer);
        let bound = relays
            .filter(|relay| if *relay == self.me { here } else { self.paths.get(now, member, *relay) == Some(true) });
        let to: BTreeSet<NodeId> = bound.collect();
        let paths = best_paths(&self.mesh.table, self.me, &to, class);
        self.send(link, ControlMessage::PathAnswer { network, peer, class: class.code(), paths });
    }

    pub(super) fn is_bound_here(&self, network: NetworkId, node: &NodeId) -> bool {
        let attached = self.hosted.get(&network).is_some_and(|hosted| hosted.attached.contains_key(node));
        attached && self.binds.address(node).is_some()
    }

    /// A relay asks along a route whether a member is bound at its end.
    pub(super) fn where_is(
        &mut self,
        now: Now,
        from: NodeId,
        id: u64,
        network: NetworkId,
        peer: NodeId,
        route: Vec<NodeId>,
    ) {
        let allowed = self.mesh.neighbours.get_mut(&from).is_some_and(|neighbour| neighbour.where_budget.take(now));
        let Some((before, after)) = around(&route, &self.me).filter(|_| allowed) else { return };
        if before != Some(from) {
            return;
        }
        match after {
            Some(next) => {
                if let Some(link) = self.mesh.link(&next) {
                    self.send(link, ControlMessage::WhereIs { id, network, peer, route });
                }
            }
            None => {
                // Only a relay the network itself names may know, and only then there is something to say.
                let origin = route.first().copied();
                let named = self
                    .hosted
                    .get(&network)
                    .is_some_and(|hosted| hosted.log.state().relays().iter().any(|relay| Some(relay.node) == origin));
                let bound = named && self.is_bound_here(network, &peer);
                if let Some(link) = self.mesh.link(&from) {
                    self.send(link, ControlMessage::Here { id, network, peer, route, bound });
                }
            }
        }
    }

    /// The answer on its way back.
    pub(super) fn here(
        &mut self,
        now: Now,
        from: NodeId,
        (id, network, peer): (u64, NetworkId, NodeId),
        route: Vec<NodeId>,
        bound: bool,
    ) {
        let Some((before, after)) = around(&route, &self.me) else { return };
        if after != Some(from) {
            return;
        }
        if let Some(previous) = before {
            if let Some(link) = self.mesh.link(&previous) {
                self.send(link, ControlMessage::Here { id, network, peer, route, bound });
            }
            return;
        }
        let member = (network, peer);
        let asked = self.paths.asks.get(&id).copied();
        let Some((_, relay)) = asked.filter(|(of, relay)| *of == member && route.last() == Some(relay)) else { return };
        self.paths.asks.remove(&id);
        self.paths.learn(now, member, relay, bound);
        if let Some(lookup) = self.paths.lookups.get_mut(&member) {
            lookup.open.remove(&id);
            if lookup.open.is_empty() {
                self.finish_lookup(now, member);
            }
        }
    }

    fn finish_lookup(&mut self, now: Now, member: Member) {
        let Some(lookup) = self.paths.lookups.remove(&member) else { return };
        for id in lookup.open {
            // Silence is a no for a while: or every question would wait for a relay that is away.
            if let Some((_, relay)) = self.paths.asks.remove(&id) {
                self.paths.learn(now, member, relay, false);
            }
        }
        for (link, class) in lookup.askers {
            if self.is_attached(link, &member.0) {
                self.answer_paths(now, link, member, class);
            }
        }
    }

    /// Answers with what is known when another relay takes too long.
    pub(super) fn paths_timeout(&mut self, now: Now) {
        let late = self.paths.lookups.iter().filter(|(_, lookup)| lookup.due_us <= now.mono_us);
        let late: Vec<Member> = late.map(|(member, _)| *member).collect();
        for member in late {
            self.finish_lookup(now, member);
        }
    }
}

/// The relays before and after this one in a route of the wire. `None`: not a route of two or three different relays with this one in it.
fn around(route: &[NodeId], me: &NodeId) -> Option<(Option<NodeId>, Option<NodeId>)> {
    let hops = Hops::new(route).filter(|_| (2..=MAX_ROUTE).contains(&route.len()))?;
    let at = hops.as_slice().iter().position(|relay| relay == me)?;
    let before = at.checked_sub(1).and_then(|at| route.get(at)).copied();
    Some((before, route.get(at + 1).copied()))
}
