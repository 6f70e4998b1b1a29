//! Requests about whole networks.

use ipnet::{IpNet, Ipv4Net};
use netctl_api::{
    ApiError, DownParams, DownResult, ErrorCode, NetworkCreateParams, NetworkInviteParams, NetworkInviteResult,
    NetworkJoinParams, NetworkLeaveParams, NetworkLeaveResult, NetworkSwitchParams, NetworkSwitchResult, Secret,
    UpParams, UpResult,
};
use netflow_overlay::identity::{format_invite_id, format_network_id};
use netflow_overlay::node::{CreateOptions, InviteOptions, NetworkInfo, NetworkStateInfo, check_member_name};
use netflow_wire::{NetworkId, RelayInfo};

use super::{connecting, select};
use crate::api::{Sink, view};
use crate::config::RelayAddress;
use crate::daemon::Daemon;
use crate::daemon::lookup::LOOKUP_US;
use crate::daemon::waiting::{Creating, Joining, Unnamed};
use crate::exit::Failure;

/// How long `create` waits for a relay before it says that the network is not published yet: half of the five seconds in which a first
/// ping shall be answered.
const PUBLISH_WAIT_US: u64 = 2_500_000;
/// The longest a join request is kept open; the join itself goes on.
const MAX_JOIN_WAIT_S: u64 = 3_600;

/// Returns early with an error of the API, keeping failures of the daemon apart.
macro_rules! try_api {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        }
    };
}
pub(super) use try_api;

impl Daemon {
    /// Creates a network; when it is to have the relays of the configuration, not before one of them was looked up.
    pub(super) async fn create(&mut self, params: NetworkCreateParams, sink: Sink) -> Result<(), Failure> {
        if !params.relays.is_empty() || self.lookup.is_done() {
            return self.create_now(params, sink).await;
        }
        if self.waiting.has_room() {
            self.waiting.unnamed.push(Unnamed { params, sink, deadline_us: self.clock.mono_us() + LOOKUP_US });
        } else {
            let full = ApiError::new(ErrorCode::Refused, "too many requests wait already");
            sink.finish::<NetworkCreateParams>(Err(full));
        }
        Ok(())
    }

    /// Creates what waited for relays, or says what to do.
    pub(in crate::daemon) async fn create_waiting(&mut self) -> Result<(), Failure> {
        let (now_us, is_done) = (self.clock.mono_us(), self.lookup.is_done());
        for Unnamed { params, sink, .. } in self.waiting.take_unnamed(now_us, is_done) {
            if is_done {
                self.create_now(params, sink).await?;
            } else {
                let text = format!("no relay for {}; {}; nothing was created", params.name, self.lookup.problem());
                let next = format!("netctl create-network {} --relay nf1...@ADDRESS:PORT", params.name);
                sink.finish::<NetworkCreateParams>(Err(ApiError::new(ErrorCode::Offline, text).next(next)));
            }
        }
        Ok(())
    }

    async fn create_now(&mut self, params: NetworkCreateParams, sink: Sink) -> Result<(), Failure> {
        let created = self.try_create(&params).await?;
        match created {
            Err(error) => sink.finish::<NetworkCreateParams>(Err(error)),
            Ok(network) => {
                let (own, networks) = (self.node.node_id(), self.node.networks());
                let relays = networks.iter().find(|info| info.network == network).map_or(&[][..], |info| &info.relays);
                // A relay that creates a network has it at a relay already; without relays nothing will come.
                let published = relays.iter().any(|relay| relay.relay.node == own);
                let patience = if relays.is_empty() { 0 } else { PUBLISH_WAIT_US };
                let deadline_us = self.clock.mono_us() + patience;
                self.waiting.creating.push(Creating { network, sink, deadline_us, published });
            }
        }
        Ok(())
    }

    async fn try_create(&mut self, params: &NetworkCreateParams) -> Result<Result<NetworkId, ApiError>, Failure> {
        if !self.waiting.has_room() {
            return Ok(Err(ApiError::new(ErrorCode::Refused, "too many requests wait already")));
        }
        // Before anything is made: the name is given to the first member by a second entry.
        try_api!(params.member_name.as_deref().map_or(Ok(()), check_member_name).map_err(view::error));
        let options = try_api!(self.create_options(params).await);
        let created = self.node.create_network(self.now(), &params.name, &options);
        let network = try_api!(self.done(created).await?);
        // The member has the configured name already; giving it once more would be refused as taken.
        if let Some(name) = params.member_name.as_ref().filter(|name| self.own_name(&network).as_ref() != Some(name)) {
            let own = self.node.node_id();
            let renamed = self.node.rename_member(self.now(), &network, &own, name);
            try_api!(self.done(renamed).await?);
        }
        self.set_active(Some(network));
        Ok(Ok(network))
    }

    async fn create_options(&self, params: &NetworkCreateParams) -> Result<CreateOptions, ApiError> {
        let invalid = |text: String| ApiError::new(ErrorCode::InvalidInput, text);
        let mut relays: Vec<RelayInfo> = Vec::new();
        for text in &params.relays {
            // Names were looked up by the client's task: a slow resolver must not hold up packets.
            let relay = text.parse::<RelayAddress>().and_then(RelayAddress::without_lookup).map_err(invalid)?;
            match relays.iter_mut().find(|known| known.node == relay.node) {
                Some(known) => known.addrs.extend(relay.addrs),
                None => relays.push(relay),
            }
        }
        let occupied = self
            .networks
            .netlink()
            .occupied()
            .await
            .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
        let ipv4_prefix = match &params.ipv4_prefix {
            None => None,
            Some(text) => {
                let prefix: Ipv4Net = text.parse().map_err(|_| {
                    invalid(format!("{:?} is no prefix like 100.77.0.0/16", text.chars().take(40).collect::<String>()))
                })?;
                self.refuse_clash(prefix).await?;
                Some(prefix)
            }
        };
        let avoid =
            occupied.into_iter().filter_map(|net| if let IpNet::V4(net) = net { Some(net) } else { None }).collect();
        Ok(CreateOptions { ipv4_prefix, avoid, relays })
    }

    /// A prefix somebody asked for must be free on this machine, before anything is created.
    async fn refuse_clash(&self, prefix: Ipv4Net) -> Result<(), ApiError> {
        let ours = self.io.interfaces().collect::<Vec<_>>();
        let clash = self.networks.netlink().find_clash(&[IpNet::V4(prefix)], &ours).await;
        match clash.map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))? {
            None => Ok(()),
            Some(clash) => {
                let text = format!("addresses {prefix} clash with {}; nothing was created", clash.with);
                Err(ApiError::new(ErrorCode::Conflict, text).next("netctl create-network NAME --prefix 100.x.0.0/16"))
            }
        }
    }

    pub(super) async fn join(&mut self, params: NetworkJoinParams, sink: Sink) -> Result<(), Failure> {
        let started_us = self.clock.mono_us();
        if !self.waiting.has_room() {
            sink.finish::<NetworkJoinParams>(Err(ApiError::new(ErrorCode::Refused, "too many requests wait already")));
            return Ok(());
        }
        match self.start_join(&params) {
            Err(error) => sink.finish::<NetworkJoinParams>(Err(error)),
            Ok(network) => {
                sink.event::<NetworkJoinParams>(&connecting());
                let deadline_us = started_us + u64::from(params.wait_s).min(MAX_JOIN_WAIT_S) * 1_000_000;
                // Before the outputs are done: the end of the join may be among them.
                self.waiting.joining.push(Joining { network, sink, started_us, deadline_us, outcome: None });
            }
        }
        self.drain().await
    }

    fn start_join(&mut self, params: &NetworkJoinParams) -> Result<NetworkId, ApiError> {
        self.node.join(self.now(), params.token.expose(), params.member_name.as_deref()).map_err(view::error)
    }

    pub(super) async fn invite(
        &mut self,
        params: NetworkInviteParams,
    ) -> Result<Result<NetworkInviteResult, ApiError>, Failure> {
        let network = try_api!(self.select(params.network.as_deref()));
        let options = InviteOptions { lifetime_s: params.expires_s, tags: params.tags.clone() };
        let issued = self.node.create_invite(self.now(), &network.network, &options);
        let issued = try_api!(self.done(issued).await?);
        Ok(Ok(NetworkInviteResult {
            network: network.name,
            network_id: format_network_id(&network.network),
            invite: format_invite_id(&issued.invite),
            token: Secret::new(issued.token),
            expires_unix_s: issued.expires_unix_s,
            tags: params.tags,
        }))
    }

    pub(super) async fn up(&mut self, params: UpParams) -> Result<Result<UpResult, ApiError>, Failure> {
        let network = try_api!(self.select(params.network.as_deref()));
        let changed = !self.networks.is_up(&network.network);
        try_api!(self.raise(&network).await?);
        Ok(self.network_info(&network.network).map(|network| UpResult { network, changed }))
    }

    /// Up in the node and on the machine. A machine that refused last time is asked again.
    async fn raise(&mut self, network: &NetworkInfo) -> Result<Result<(), ApiError>, Failure> {
        let raised = self.node.set_up(self.now(), &network.network, true);
        try_api!(self.done(raised).await?);
        let plan =
            self.node.networks().into_iter().find(|info| info.network == network.network).and_then(|info| info.plan);
        let Some(plan) = plan else { return Ok(Ok(())) };
        Ok(self.bring_up(&plan).await.map_err(|problem| {
            let text = format!("network {} stays down; {}", network.name, problem.text());
            select::problem(&problem, text).next("netctl doctor")
        }))
    }

    pub(super) async fn down(&mut self, params: DownParams) -> Result<Result<DownResult, ApiError>, Failure> {
        let network = try_api!(self.select(params.network.as_deref()));
        let changed = network.state == NetworkStateInfo::Up;
        let lowered = self.node.set_up(self.now(), &network.network, false);
        try_api!(self.done(lowered).await?);
        Ok(self.network_info(&network.network).map(|network| DownResult { network, changed }))
    }

    /// Makes a network the one commands mean, and brings it up; one of ours with the same addresses goes down for it.
    pub(super) async fn switch(
        &mut self,
        params: NetworkSwitchParams,
    ) -> Result<Result<NetworkSwitchResult, ApiError>, Failure> {
        let network = try_api!(self.select(Some(&params.network)));
        let previous = self.select(None).ok().map(|active| active.name).filter(|name| *name != network.name);
        for rival in self.rivals(&network) {
            let lowered = self.node.set_up(self.now(), &rival.network, false);
            try_api!(self.done(lowered).await?);
        }
        try_api!(self.raise(&network).await?);
        self.set_active(Some(network.network));
        Ok(self.network_info(&network.network).map(|network| NetworkSwitchResult { network, previous }))
    }

    fn rivals(&self, wanted: &NetworkInfo) -> Vec<NetworkInfo> {
        let overlaps = |other: &NetworkInfo| match (&other.plan, &wanted.plan) {
            (Some(a), Some(b)) => a.ipv4_prefix.contains(&b.ipv4_prefix) || b.ipv4_prefix.contains(&a.ipv4_prefix),
            _ => false,
        };
        let others = self.node.networks().into_iter().filter(|other| other.network != wanted.network);
        others.filter(|other| other.state == NetworkStateInfo::Up && overlaps(other)).collect()
    }

    pub(super) async fn leave(
        &mut self,
        params: NetworkLeaveParams,
    ) -> Result<Result<NetworkLeaveResult, ApiError>, Failure> {
        let network = try_api!(self.select(Some(&params.network)));
        let left = self.node.leave(self.now(), &network.network, params.force);
        try_api!(self.done(left).await?);
        let active = self.select(None).ok().map(|active| active.name);
        Ok(Ok(NetworkLeaveResult { id: format_network_id(&network.network), name: network.name, active }))
    }
}
