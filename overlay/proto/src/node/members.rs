//! Acting on what the log says: who is a peer, who is out, whether this node itself still belongs.

use netflow_wire::control::circuit_reason;
use netflow_wire::{NetworkId, NodeId};

use super::Node;
use super::api::{DownReason, Event, NetworkPlan, Persist};
use super::network::Phase;
use crate::netlog::{EntryBody, Member};
use crate::session::{PeerRef, RemoteKeys};
use crate::time::Now;

/// Addresses given anew at a time; the rest follows with the next change.
const MAX_HEALED: usize = 16;

impl Node {
    /// The log of a network changed. Keys and circuits of whoever is out are gone when this returns.
    pub(super) fn log_changed(&mut self, now: Now, id: NetworkId) {
        self.plane.advance();
        let Some(network) = self.networks.get(&id) else { return };
        let state = network.log.state();
        let (member, revoked) = (state.is_member(&self.id), state.is_revoked(&self.id));
        match &network.phase {
            Phase::Joining(_) if member => self.join_completed(now, id),
            Phase::Joining(_) => {}
            Phase::Member { .. } if revoked || !member => self.revoked(now, id),
            Phase::Member { up } => {
                if *up {
                    self.sync_peers(now, id);
                    self.plan_changed(id);
                    self.refresh_links(now);
                }
                self.outbox.event(Event::MembershipChanged { network: id });
                self.heal_addresses(now, id);
            }
            // An owner or admin let this node in again.
            Phase::Revoked if member => {
                if let Some(network) = self.networks.get_mut(&id) {
                    network.phase = Phase::Member { up: true };
                }
                self.bring_up(now, id);
            }
            Phase::Revoked => {}
        }
    }

    /// Starts carrying traffic in a network this node is a member of.
    pub(super) fn bring_up(&mut self, now: Now, id: NetworkId) {
        self.sessions.add_network(id);
        self.sync_peers(now, id);
        self.plan_changed(id);
        self.refresh_links(now);
    }

    /// Stops: every session and path of the network is gone.
    pub(super) fn take_down(&mut self, now: Now, id: NetworkId, reason: DownReason) {
        self.plane.advance();
        self.sessions.remove_network(&id);
        if let Some(network) = self.networks.get_mut(&id) {
            network.keyed.clear();
        }
        for peer in self.peers.of_network(&id) {
            self.drop_peer(peer, circuit_reason::PEER_OFFLINE);
        }
        self.probes.forget_network(&id);
        let relays: Vec<NodeId> = self.links.iter().map(|(relay, _)| *relay).collect();
        for relay in relays {
            if let Some(state) = self.links.get_mut(&relay) {
                state.attachments.remove(&id);
            }
        }
        if let Some(network) = self.networks.get_mut(&id)
            && network.plan.take().is_some()
        {
            self.outbox.event(Event::NetworkDown { network: id, reason });
        }
        self.refresh_links(now);
    }

    /// Removes every trace of a network, on disk too.
    pub(super) fn forget_network(&mut self, now: Now, id: &NetworkId) {
        self.take_down(now, *id, DownReason::Left);
        self.networks.remove(id);
        self.outbox.persist(Persist::NetworkRemove { network: *id });
        self.refresh_links(now);
    }

    /// This node is out.
    fn revoked(&mut self, now: Now, id: NetworkId) {
        let Some(network) = self.networks.get_mut(&id) else { return };
        network.phase = Phase::Revoked;
        self.outbox.event(Event::MemberRevoked { network: id, node: self.id });
        self.take_down(now, id, DownReason::Revoked);
    }

    /// Brings session keys and circuits in line with the members.
    fn sync_peers(&mut self, now: Now, id: NetworkId) {
        let Some(network) = self.networks.get(&id) else { return };
        let members = network.log.state().members();
        let mut out: Vec<PeerRef> = self.peers.of_network(&id);
        out.retain(|peer| !members.contains_key(&peer.node));
        let gone: Vec<NodeId> = network.keyed.keys().filter(|node| !members.contains_key(node)).copied().collect();
        let mut fresh: Vec<&Member> = members
            .values()
            .filter(|member| member.node != self.id)
            .filter(|member| network.keyed.get(&member.node) != Some(&member.record.record().seq))
            .collect();
        // Who was there first keeps a session key that two records name.
        fresh.sort_by_key(|member| (member.added_unix_s, member.node));
        let mut keyed = Vec::new();
        for member in fresh {
            let peer = PeerRef { network: id, node: member.node };
            if self.sessions.upsert_peer(peer, remote_keys(member)).is_ok() {
                keyed.push((member.node, member.record.record().seq));
            }
        }
        for peer in out {
            self.drop_peer(peer, circuit_reason::REVOKED);
        }
        for node in &gone {
            let node = *node;
            self.sessions.remove_peer(&PeerRef { network: id, node });
            self.outbox.event(Event::MemberRevoked { network: id, node });
        }
        if let Some(network) = self.networks.get_mut(&id) {
            network.keyed.retain(|node, _| !gone.contains(node));
            network.keyed.extend(keyed);
            network.engine.handle_timeout(now);
        }
    }

    /// Two admins gave one address to two members: the one who came later gets another from the admin who added it.
    fn heal_addresses(&mut self, now: Now, id: NetworkId) {
        let Some(network) = self.networks.get_mut(&id) else { return };
        let mut raws = Vec::new();
        while raws.len() < MAX_HEALED {
            let state = network.log.state();
            let own = |member: &&Member| member.ipv4.is_none() && member.added_by == self.id.0;
            let Some(member) = state.members().values().find(own) else { break };
            let Some(ipv4) = state.free_ipv4(&member.node) else { break };
            let body = EntryBody::MemberAddress { node: member.node, ipv4 };
            let Ok(raw) = network.log.author(&self.keys.node, body, now) else { break };
            raws.push(raw);
        }
        if !raws.is_empty() {
            self.authored(now, id, raws);
        }
    }

    /// Session, paths, circuits and probes of one peer.
    fn drop_peer(&mut self, peer: PeerRef, reason: u8) {
        self.sessions.remove_peer(&peer);
        self.probes.forget_peer(&peer);
        self.routes.forget_peer(&peer);
        for key in self.peers.remove(&peer) {
            self.close_route(peer, &key, reason);
        }
    }

    /// Tells the shell the addresses, when they are new.
    fn plan_changed(&mut self, id: NetworkId) {
        let Some(network) = self.networks.get_mut(&id) else { return };
        let state = network.log.state();
        let Some(own) = state.member(&self.id) else { return };
        let plan = NetworkPlan {
            network: id,
            name: state.name().to_owned(),
            ipv4: own.ipv4,
            ipv6: own.ipv6,
            ipv4_prefix: state.ipv4_prefix(),
            ipv6_prefix: state.ipv6_prefix(),
            mtu: self.mtu,
        };
        if network.plan.as_ref() != Some(&plan) {
            network.plan = Some(plan.clone());
            self.outbox.event(Event::NetworkUp(plan));
        }
    }
}

fn remote_keys(member: &Member) -> RemoteKeys {
    let kem = <[u8; 1184]>::try_from(member.kem_key.as_slice()).ok().map(Box::new);
    RemoteKeys { x25519: member.x25519, kem }
}
