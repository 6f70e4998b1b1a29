//! What a user looks at. Plain copies; nothing here changes anything.

use std::net::IpAddr;

use netflow_wire::{InviteId, NetworkId, NodeId};

use super::Node;
use super::api::{
    CommandError, InviteInfo, InviteState, Issuer, LinkStatus, MemberInfo, NetworkInfo, NetworkRelayInfo,
    NetworkStateInfo, NodeStatus, PathInfo, PeerInfo, PeerSession, RelayStatus,
};
use super::links::Attachment;
use super::network::{Network, Phase};
use crate::endpoint::PathKey;
use crate::netlog::{Invite, InviteStatus};
use crate::path::Class;
use crate::policy::Policy;
use crate::relay::RelayServer;
use crate::session::{PeerRef, SessionInfo, Suite};
use crate::time::Now;

impl Node {
    /// This node.
    pub const fn node_id(&self) -> NodeId {
        self.id
    }

    /// For `netctl status`.
    pub fn status(&self, _now: Now) -> NodeStatus {
        let outgoing = self.links.iter().map(|(node, relay)| LinkStatus {
            node: *node,
            outgoing: true,
            up: relay.up().is_some(),
            bound: relay.bind.is_bound(),
            remote: relay.up().map(|(_, remote)| remote),
            observed: relay.bind.observed(),
            last_error: relay.last_error.clone(),
        });
        let accepted = self.relay.iter().flat_map(RelayServer::links).map(|(node, _, bound)| LinkStatus {
            node,
            outgoing: false,
            up: true,
            bound,
            remote: None,
            observed: None,
            last_error: None,
        });
        NodeStatus {
            node: self.id,
            tier: self.tier,
            boot_epoch: self.boot_epoch,
            pq: self.pq,
            links: outgoing.chain(accepted).collect(),
            counters: self.counters,
        }
    }

    /// For `netctl networks`.
    pub fn networks(&self) -> Vec<NetworkInfo> {
        self.networks.iter().map(|(id, network)| self.network_info(*id, network)).collect()
    }

    fn network_info(&self, id: NetworkId, network: &Network) -> NetworkInfo {
        let state = match &network.phase {
            Phase::Joining(_) => NetworkStateInfo::Joining,
            Phase::Member { up: true } => NetworkStateInfo::Up,
            Phase::Member { up: false } => NetworkStateInfo::Down,
            Phase::Revoked => NetworkStateInfo::Revoked,
        };
        let relays = network.relays().iter().map(|relay| {
            let link = self.links.get(&relay.node);
            let quota = match link.and_then(|link| link.attachments.get(&id)) {
                Some(Attachment::Attached(quota)) => Some(*quota),
                _ => None,
            };
            let linked = link.is_some_and(|link| link.up().is_some());
            NetworkRelayInfo { relay: relay.clone(), linked, attached: quota.is_some(), quota }
        });
        NetworkInfo {
            network: id,
            name: network.name(),
            state,
            plan: network.plan.clone(),
            members: network.log.state().members().len(),
            is_admin: network.log.state().is_admin(&self.id),
            is_owner: network.owner.is_some(),
            relays: relays.collect(),
        }
    }

    /// For `netctl members`.
    ///
    /// # Errors
    /// No such network.
    pub fn members(&self, network: &NetworkId) -> Result<Vec<MemberInfo>, CommandError> {
        let state = self.network(network)?.log.state();
        let info = |member: &crate::netlog::Member| MemberInfo {
            node: member.node,
            name: member.name.clone(),
            ipv4: member.ipv4,
            ipv6: member.ipv6,
            tags: member.tags.clone(),
            is_admin: state.is_admin(&member.node),
            is_self: member.node == self.id,
        };
        Ok(state.members().values().map(info).collect())
    }

    /// Nodes that were revoked and not readmitted.
    ///
    /// # Errors
    /// No such network.
    pub fn revoked_nodes(&self, network: &NetworkId) -> Result<Vec<NodeId>, CommandError> {
        Ok(self.network(network)?.log.state().revoked().keys().copied().collect())
    }

    /// For `netctl invites`: all that the log holds, the one that expires last first.
    ///
    /// # Errors
    /// No such network.
    pub fn invites(&self, now: Now, network: &NetworkId) -> Result<Vec<InviteInfo>, CommandError> {
        let state = self.network(network)?.log.state();
        let info = |(id, invite): (&InviteId, &Invite)| InviteInfo {
            invite: *id,
            issuer: if state.owner() == Some(invite.issuer) {
                Issuer::Owner
            } else {
                Issuer::Node(NodeId(invite.issuer))
            },
            expires_unix_s: invite.expires_unix_s,
            tags: invite.tags.clone(),
            state: match invite.status {
                InviteStatus::Used(node) => InviteState::Used(node),
                InviteStatus::Open if now.unix_s <= invite.expires_unix_s => InviteState::Open,
                InviteStatus::Open => InviteState::Expired,
                InviteStatus::Cancelled => InviteState::Cancelled,
            },
        };
        let mut invites: Vec<InviteInfo> = state.invites().iter().map(info).collect();
        invites.sort_by_key(|invite| std::cmp::Reverse(invite.expires_unix_s));
        Ok(invites)
    }

    /// For `netctl peers`: members with a path or a session.
    ///
    /// # Errors
    /// No such network.
    pub fn peers(&self, now: Now, network: &NetworkId) -> Result<Vec<PeerInfo>, CommandError> {
        let state = self.network(network)?.log.state();
        let mut peers = Vec::new();
        for member in state.members().values().filter(|member| member.node != self.id) {
            let peer = PeerRef { network: *network, node: member.node };
            let session = self.sessions.info(&peer);
            let paths = self.peers.get(&peer);
            if session.is_none() && paths.is_none() {
                continue;
            }
            let primary = paths.and_then(|state| state.primary());
            let describe = |key: &PathKey| {
                let via = paths?.via(key)?;
                Some((PathInfo::of(via.key, via.to), paths?.paths.get(key)?.metrics.rtt.smoothed_us()))
            };
            let used = primary.and_then(|via| describe(&via.key));
            let others = paths.into_iter().flat_map(|state| state.paths.keys());
            let others = others.filter(|key| primary.is_none_or(|via| via.key != **key)).filter_map(describe);
            let addresses = member.ipv4.map(IpAddr::V4).into_iter().chain([IpAddr::V6(member.ipv6)]);
            peers.push(PeerInfo {
                node: member.node,
                name: member.name.clone(),
                addresses: addresses.collect(),
                session: session.map(|info| session_info(now, &info)),
                rtt_us: used.as_ref().and_then(|(_, rtt)| *rtt),
                path: used.map(|(path, _)| path),
                reason: paths.map_or("no path", |state| state.reason(Class::Interactive)).to_owned(),
                alternatives: others.collect(),
            });
        }
        Ok(peers)
    }

    /// For `netctl policy`.
    ///
    /// # Errors
    /// No such network.
    pub fn policy(&self, network: &NetworkId) -> Result<Policy, CommandError> {
        Ok(self.network(network)?.log.state().policy().clone())
    }

    /// For `netctl relay status`; `None` when this node does not relay.
    pub fn relay_status(&self) -> Option<RelayStatus> {
        self.relay.as_ref().map(RelayServer::status)
    }
}

const fn session_info(now: Now, info: &SessionInfo) -> PeerSession {
    PeerSession {
        suite: match info.suite {
            Suite::ChaChaPoly => "ChaCha20-Poly1305",
            Suite::AesGcm => "AES-256-GCM",
        },
        hybrid_pq: info.hybrid_pq,
        age_us: now.since(info.established_us),
        tx_bytes: info.tx_bytes,
        rx_bytes: info.rx_bytes,
        idle_us: match info.last_rx_us {
            Some(last) => Some(now.since(last)),
            None => None,
        },
    }
}
