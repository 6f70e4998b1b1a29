//! Requests that change nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use netctl_api::{
    ApiError, MembersListParams, MembersListResult, NetworkInfo, NetworkListResult, PeersParams, PeersResult,
    PingParams, PolicyGetParams, PolicyResult, RelayLinkInfo, RelayServerInfo, RelayStatusResult, Role, StatusResult,
};
use netflow_overlay::identity::{format_network_id, format_node_id};
use netflow_overlay::node::{LinkStatus, MemberInfo, NetworkStateInfo, PeerInfo};
use netflow_overlay::session::PqMode;
use netflow_wire::NodeId;

use crate::api::{Sink, view};
use crate::config::format_relay;
use crate::daemon::Daemon;
use crate::daemon::waiting::{Pinging, Schedule};

impl Daemon {
    pub(super) fn status(&self) -> StatusResult {
        StatusResult {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: format_node_id(&self.node.node_id()),
            tier: view::tier(self.config.tier),
            uptime_s: self.clock.mono_us() / 1_000_000,
            listen: Some(self.io.ports().local_addr()),
            pq: pq(self.config.pq).to_owned(),
            networks: self.list().networks,
            relays: self.relay_links(),
            relaying: self.config.relay.is_some(),
            relay_addresses: self.own_relay_addresses(),
        }
    }

    /// `nf1...@address` of this relay, to paste into the configuration of others.
    fn own_relay_addresses(&self) -> Vec<String> {
        let node = format_node_id(&self.node.node_id());
        let addresses = self.config.relay.iter().flat_map(|relay| &relay.public_addrs);
        addresses.map(|address| format!("{node}@{address}")).collect()
    }

    pub(super) fn list(&self) -> NetworkListResult {
        NetworkListResult { networks: self.node.networks().iter().map(|network| self.show(network)).collect() }
    }

    pub(super) fn show(&self, info: &netflow_overlay::node::NetworkInfo) -> NetworkInfo {
        let plan = info.plan.as_ref();
        let role = match info.state {
            NetworkStateInfo::Joining => Role::Pending,
            NetworkStateInfo::Revoked => Role::Revoked,
            NetworkStateInfo::Up | NetworkStateInfo::Down if info.is_owner => Role::Owner,
            NetworkStateInfo::Up | NetworkStateInfo::Down if info.is_admin => Role::Admin,
            NetworkStateInfo::Up | NetworkStateInfo::Down => Role::Member,
        };
        NetworkInfo {
            id: format_network_id(&info.network),
            name: info.name.clone(),
            active: self.active_or_only(&info.network),
            up: self.networks.is_up(&info.network),
            role,
            member_name: self.own_name(&info.network),
            ipv4: plan.and_then(|plan| plan.ipv4),
            ipv6: plan.map(|plan| plan.ipv6),
            ipv4_prefix: plan.map(|plan| plan.ipv4_prefix.to_string()),
            ipv6_prefix: plan.map(|plan| plan.ipv6_prefix.to_string()),
            interface: self.io.interface(&info.network).map(str::to_owned),
            members: view::small(info.members),
            relays: info.relays.iter().flat_map(|relay| format_relay(&relay.relay)).collect(),
            problem: self.problem_of(info),
        }
    }

    fn active_or_only(&self, network: &netflow_wire::NetworkId) -> bool {
        match self.active {
            Some(active) => active == *network,
            None => self.node.networks().first().is_some_and(|first| first.network == *network),
        }
    }

    fn problem_of(&self, info: &netflow_overlay::node::NetworkInfo) -> Option<String> {
        if let Some(problem) = self.networks.problem(&info.network) {
            return Some(problem.text().to_owned());
        }
        match info.state {
            NetworkStateInfo::Joining => Some("waits to be admitted".to_owned()),
            NetworkStateInfo::Revoked => Some("this node was revoked".to_owned()),
            NetworkStateInfo::Down => None,
            NetworkStateInfo::Up if info.relays.is_empty() => Some("the network names no relay".to_owned()),
            NetworkStateInfo::Up if info.relays.iter().any(|relay| relay.attached) => None,
            NetworkStateInfo::Up => Some("no relay serves it now".to_owned()),
        }
    }

    /// Links to relays, with what the shell and the node each know about them.
    pub(super) fn relay_links(&self) -> Vec<RelayLinkInfo> {
        let networks = self.node.networks();
        let serving = |node: &NodeId| {
            let serves = |network: &&netflow_overlay::node::NetworkInfo| {
                network.relays.iter().any(|relay| relay.relay.node == *node && relay.attached)
            };
            networks.iter().filter(serves).map(|network| network.name.clone()).collect()
        };
        let tiers =
            networks.iter().flat_map(|network| &network.relays).map(|relay| (relay.relay.node, relay.relay.tier));
        let tiers: BTreeMap<_, _> = tiers.collect();
        let links = self.node.status(self.now()).links;
        let outgoing = links.iter().filter(|link| link.outgoing);
        outgoing
            .map(|link| RelayLinkInfo {
                node: format_node_id(&link.node),
                tier: tiers.get(&link.node).map(|tier| view::tier(*tier)),
                address: link.remote,
                connected: link.up,
                bound: link.bound,
                public_address: link.observed,
                rtt_ms: self.link_rtt(link).map(|rtt| rtt.as_secs_f64() * 1_000.0),
                networks: serving(&link.node),
                problem: link.last_error.clone().filter(|_| !link.up),
            })
            .collect()
    }

    fn link_rtt(&self, link: &LinkStatus) -> Option<Duration> {
        let (id, _) = self
            .link_addresses
            .iter()
            .find(|(_, (node, remote))| *node == link.node && Some(*remote) == link.remote)?;
        self.links.get(*id).map(|handle| handle.rtt())
    }

    pub(super) fn relays(&self) -> RelayStatusResult {
        let server = self.node.relay_status().map(|status| RelayServerInfo {
            public_addresses: self.config.relay.as_ref().map(|relay| relay.public_addrs.clone()).unwrap_or_default(),
            links: view::small(
                self.node.status(self.now()).links.iter().filter(|link| !link.outgoing && link.up).count(),
            ),
            bindings: view::small(status.bindings),
            circuits: view::small(status.circuits),
            max_networks: self.config.relay.as_ref().map(|relay| view::small(relay.max_networks)),
            networks: status.networks.iter().map(view::hosted).collect(),
        });
        RelayStatusResult { relays: self.relay_links(), server }
    }

    pub(super) fn members(&self, params: MembersListParams) -> Result<MembersListResult, ApiError> {
        let network = self.select(params.network.as_deref())?;
        let members = self.node.members(&network.network).map_err(view::error)?;
        let revoked = self.node.revoked_nodes(&network.network).map_err(view::error)?;
        let peers = self.node.peers(self.now(), &network.network).map_err(view::error)?;
        let mut members =
            members.iter().map(|member| show_member(member, &peers, network.is_owner)).collect::<Vec<_>>();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(MembersListResult {
            network: network.name,
            network_id: format_network_id(&network.network),
            members,
            revoked: revoked.iter().map(format_node_id).collect(),
        })
    }

    /// One member as `members` shows it.
    pub(super) fn show_one(
        &self,
        network: &netflow_overlay::node::NetworkInfo,
        node: &NodeId,
    ) -> Result<netctl_api::MemberInfo, ApiError> {
        let member = self.member(network, &super::select::node_text(node))?;
        let peers = self.node.peers(self.now(), &network.network).map_err(view::error)?;
        Ok(show_member(&member, &peers, network.is_owner))
    }

    pub(super) fn peers(&self, params: PeersParams) -> Result<PeersResult, ApiError> {
        let network = self.select(params.network.as_deref())?;
        let mut peers = self.node.peers(self.now(), &network.network).map_err(view::error)?;
        peers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(PeersResult {
            network: network.name,
            network_id: format_network_id(&network.network),
            peers: peers.iter().map(view::peer).collect(),
        })
    }

    pub(super) fn policy(&self, params: PolicyGetParams) -> Result<PolicyResult, ApiError> {
        let network = self.select(params.network.as_deref())?;
        let policy = self.node.policy(&network.network).map_err(view::error)?;
        let network_id = format_network_id(&network.network);
        Ok(PolicyResult { network: network.name, network_id, rules: view::rules(&policy) })
    }

    pub(super) fn ping(&mut self, params: PingParams, sink: Sink) {
        match self.start_ping(&params) {
            Err(error) => sink.finish::<PingParams>(Err(error)),
            Ok((ping, member)) => {
                let schedule = Schedule {
                    started_us: self.clock.mono_us(),
                    interval_us: u64::from(params.interval_ms) * 1_000,
                    timeout_us: u64::from(params.timeout_ms) * 1_000,
                };
                let open = (0..params.count).collect();
                let pinging =
                    Pinging { member, sink, open, schedule, rtts_us: Vec::new(), lost: 0, last_problem: String::new() };
                self.waiting.pinging.insert(ping, pinging);
            }
        }
    }

    fn start_ping(&mut self, params: &PingParams) -> Result<(u64, MemberInfo), ApiError> {
        use netctl_api::ErrorCode::{InvalidInput, Refused};
        if !(1..=netctl_api::MAX_PING_COUNT).contains(&params.count) || params.interval_ms < 10 {
            let text = format!("a ping has 1 to {} probes, at least 10 ms apart", netctl_api::MAX_PING_COUNT);
            return Err(ApiError::new(InvalidInput, text));
        }
        if !self.waiting.has_room() {
            return Err(ApiError::new(Refused, "too many requests wait already"));
        }
        let network = self.select(params.network.as_deref())?;
        let member = self.member(&network, &params.peer)?;
        if member.is_self {
            return Err(ApiError::new(InvalidInput, format!("{} is this node", member.name)).next("netctl members"));
        }
        let (now, interval_us) = (self.now(), u64::from(params.interval_ms) * 1_000);
        let ping =
            self.node.ping(now, &network.network, &member.node, params.count, interval_us).map_err(view::error)?;
        Ok((ping, member))
    }
}

fn show_member(member: &MemberInfo, peers: &[PeerInfo], self_is_owner: bool) -> netctl_api::MemberInfo {
    let session = peers.iter().find(|peer| peer.node == member.node).and_then(|peer| peer.session.as_ref());
    let role = match member.is_admin {
        true if member.is_self && self_is_owner => Role::Owner,
        true => Role::Admin,
        false => Role::Member,
    };
    netctl_api::MemberInfo {
        node: format_node_id(&member.node),
        name: member.name.clone(),
        ipv4: member.ipv4,
        ipv6: member.ipv6,
        tags: member.tags.clone(),
        role,
        this_node: member.is_self,
        connected: member.is_self || session.is_some(),
        last_seen_s: session.and_then(|session| session.idle_us).map(|us| us / 1_000_000),
    }
}

fn pq(mode: PqMode) -> &'static str {
    match mode {
        PqMode::Strict => "strict",
        PqMode::Prefer => "prefer",
        PqMode::Off => "off",
    }
}
