//! Whom the relay serves: quotas, grants, who is attached to what, and who is put out.

use std::collections::BTreeMap;

use netflow_wire::control::{circuit_reason, refused_code};
use netflow_wire::{NetworkId, NodeId};

use super::circuits::CircuitKey;
use super::config::{LinkId, Quota, RelayConfig};
use super::mesh::MAX_NEIGHBOURS;
use super::quota::Meter;
use super::server::{RelayOutput, RelayServer};
use super::shaper::Shaper;
use crate::netlog::NetworkLog;
use crate::time::Now;

/// Networks one link may attach to: as many as one node can be in.
const MAX_ATTACHED: usize = crate::node::MAX_NETWORKS;

impl RelayServer {
    /// New grants and limits. Networks without a quota now are dropped, circuits and all.
    pub fn set_config(&mut self, now: Now, config: RelayConfig) {
        self.config = config;
        self.apply_config(now);
        let networks: Vec<NetworkId> = self.hosted.keys().copied().collect();
        for network in networks {
            match (self.quota_of(&network), self.hosted.get_mut(&network)) {
                (Some(quota), Some(hosted)) => hosted.meter.set_quota(quota),
                _ => self.unhost(network, refused_code::NOT_ADMITTED, "no grant for this network here any more"),
            }
        }
    }

    /// Brings limits, mesh, agreements and the rate in line with the configuration.
    pub(super) fn apply_config(&mut self, now: Now) {
        self.circuits.set_max(self.config.max_circuits);
        for node in self.mesh.configure(now, &self.config.mesh, self.config.price) {
            if let Some(link) = self.mesh.link(&node) {
                self.mesh_down(now, link);
            }
            self.mesh.neighbours.remove(&node);
        }
        self.apply_transit(now);
        match (&mut self.shaper, self.config.rate_bps) {
            (Some(shaper), Some(rate)) => shaper.set_rate(rate),
            (shaper, rate) => *shaper = rate.map(|rate| Shaper::new(rate, now)),
        }
    }

    fn apply_transit(&mut self, now: Now) {
        let agreed: BTreeMap<NodeId, Quota> =
            self.config.transit.iter().take(MAX_NEIGHBOURS).map(|transit| (transit.relay, transit.quota)).collect();
        let gone: Vec<NodeId> = self.transit.keys().filter(|relay| !agreed.contains_key(relay)).copied().collect();
        for relay in gone {
            self.transit.remove(&relay);
            for key in self.circuits.paid_by(relay) {
                self.close_circuit(&key, circuit_reason::NO_TRANSIT, None);
            }
        }
        for (relay, quota) in agreed {
            self.transit.entry(relay).or_insert_with(|| Meter::new(quota, now)).set_quota(quota);
        }
    }

    pub(super) fn quota_of(&self, network: &NetworkId) -> Option<Quota> {
        let granted = self.config.grants.iter().find(|grant| grant.network == *network);
        granted.map(|grant| grant.quota).or(self.config.default_quota)
    }

    pub(super) fn has_room(&self) -> bool {
        self.hosted.len() < self.config.max_networks
    }

    /// Does the network's own log name this relay?
    pub(super) fn names_me(&self, log: &NetworkLog) -> bool {
        log.state().relays().iter().any(|relay| relay.node == self.me)
    }

    pub(super) fn unhost(&mut self, network: NetworkId, code: u8, text: &str) {
        let keys: Vec<CircuitKey> = self.circuits.of_network(network).collect();
        for key in keys {
            self.close_circuit(&key, circuit_reason::QUOTA, None);
        }
        self.wishes.forget_network(network);
        if let Some(shaper) = &mut self.shaper {
            shaper.clear(&network);
        }
        let Some(hosted) = self.hosted.remove(&network) else { return };
        for link in hosted.attached.into_values() {
            if let Some(state) = self.links.get_mut(&link) {
                state.attached.remove(&network);
            }
            self.refuse(link, Some(network), code, text);
        }
        self.emit(RelayOutput::Remove { network });
    }

    /// Records that a link speaks for a member now. `false`: too many networks on one link.
    pub(super) fn set_attached(&mut self, link: LinkId, network: NetworkId) -> bool {
        let Some(state) = self.links.get_mut(&link) else { return false };
        if state.attached.len() >= MAX_ATTACHED && !state.attached.contains(&network) {
            return false;
        }
        let Some(hosted) = self.hosted.get_mut(&network) else { return false };
        state.attached.insert(network);
        hosted.attached.insert(state.node, link);
        true
    }

    /// Takes a node that is no member any more out of a network, at once.
    pub(super) fn expel(&mut self, network: NetworkId, node: NodeId) {
        for key in self.circuits.of_member(network, node) {
            self.close_circuit(&key, circuit_reason::REVOKED, None);
        }
        self.wishes.forget_asker(node, Some(network));
        let link = self.hosted.get_mut(&network).and_then(|hosted| hosted.attached.remove(&node));
        if let Some(state) = link.and_then(|link| self.links.get_mut(&link)) {
            state.attached.remove(&network);
        }
    }
}
