//! The methods of the control API. Each command drains the node's outputs before it answers, so nothing is shown that is not stored.

mod admin;
mod invites;
mod networks;
mod query;
mod routes;
mod select;

use netctl_api::{
    ApiError, Call, ErrorCode, JoinStage, NetworkCreateResult, NetworkJoinParams, NetworkJoinResult, VersionResult,
};
use netctl_api::{DoctorParams, JoinEvent, VersionParams};
use netflow_overlay::PortId;
use netflow_overlay::identity::format_node_id;
use netflow_overlay::node::{Carrier, CommandError, LinkId};
use netflow_wire::NetworkId;

use super::Daemon;
use super::waiting::CreateMethod;
use crate::api::{ApiJob, Sink, doctor, view};
use crate::exit::Failure;

/// Gives a result to whoever asked.
macro_rules! finish {
    ($sink:expr, $params:ty, $result:expr) => {{
        let result = $result;
        $sink.finish::<$params>(result)
    }};
}

impl Daemon {
    /// Answers a request, now or later.
    pub(super) async fn call(&mut self, job: ApiJob) -> Result<(), Failure> {
        let ApiJob { call, uid, sink } = job;
        tracing::debug!(method = call.name(), uid, "control");
        match call {
            Call::Version(_) => finish!(sink, VersionParams, Ok(self.version())),
            Call::Doctor(_) => self.doctor(sink),
            Call::Status(_) => finish!(sink, netctl_api::StatusParams, Ok(self.status())),
            Call::Up(params) => finish!(sink, netctl_api::UpParams, self.up(params).await?),
            Call::Down(params) => finish!(sink, netctl_api::DownParams, self.down(params).await?),
            Call::NetworkCreate(params) => self.create(params, sink).await?,
            Call::NetworkJoin(params) => self.join(params, sink).await?,
            Call::NetworkInvite(params) => finish!(sink, netctl_api::NetworkInviteParams, self.invite(params).await?),
            Call::NetworkInvites(params) => finish!(sink, netctl_api::NetworkInvitesParams, self.invites(params)),
            Call::NetworkInviteCancel(params) => {
                finish!(sink, netctl_api::NetworkInviteCancelParams, self.cancel_invite(params).await?);
            }
            Call::NetworkList(_) => finish!(sink, netctl_api::NetworkListParams, Ok(self.list())),
            Call::NetworkSwitch(params) => finish!(sink, netctl_api::NetworkSwitchParams, self.switch(params).await?),
            Call::NetworkLeave(params) => finish!(sink, netctl_api::NetworkLeaveParams, self.leave(params).await?),
            Call::NetworkExportOwner(params) => {
                finish!(sink, netctl_api::NetworkExportOwnerParams, self.export_owner(params, uid));
            }
            Call::NetworkImportOwner(params) => {
                finish!(sink, netctl_api::NetworkImportOwnerParams, self.import_owner(params, uid).await?);
            }
            Call::MembersList(params) => finish!(sink, netctl_api::MembersListParams, self.members(params)),
            Call::MembersRevoke(params) => finish!(sink, netctl_api::MembersRevokeParams, self.revoke(params).await?),
            Call::MembersTag(params) => finish!(sink, netctl_api::MembersTagParams, self.tag(params).await?),
            Call::MembersRename(params) => finish!(sink, netctl_api::MembersRenameParams, self.rename(params).await?),
            Call::AdminsAdd(params) => finish!(sink, netctl_api::AdminsAddParams, self.add_admin(params).await?),
            Call::AdminsRemove(params) => {
                finish!(sink, netctl_api::AdminsRemoveParams, self.remove_admin(params).await?)
            }
            Call::PolicyGet(params) => finish!(sink, netctl_api::PolicyGetParams, self.policy(params)),
            Call::PolicySet(params) => finish!(sink, netctl_api::PolicySetParams, self.set_policy(params).await?),
            Call::Peers(params) => finish!(sink, netctl_api::PeersParams, self.peers(params)),
            Call::Ping(params) => self.ping(params, sink),
            Call::Netcheck(_) => self.netcheck(sink),
            Call::Path(params) => finish!(sink, netctl_api::PathParams, self.path(&params)),
            Call::Trace(params) => self.trace(&params, sink),
            Call::RelayStatus(_) => finish!(sink, netctl_api::RelayStatusParams, Ok(self.relays())),
        }
        Ok(())
    }

    fn version(&self) -> VersionResult {
        VersionResult {
            software: "netflowd".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api: vec![netctl_api::API_VERSION],
            tier: view::tier(self.config.tier),
        }
    }

    /// The checks ask the kernel and the disk, which takes a while: they run beside the loop.
    fn doctor(&self, sink: Sink) {
        let question = doctor::Question {
            config: self.config.clone(),
            listen: self.io.ports().local_addr(),
            networks: self.list().networks,
            relays: self.relay_links(),
            netlink: self.networks.netlink().clone(),
            prefixes: self.networks.prefixes(),
            interfaces: self.io.interfaces().map(str::to_owned).collect(),
            by_stream: self.relays_by_stream(),
            has_web_port: self.io.ports().extra().any(|(port, _)| port == PortId::ALT_443),
            is_behind_gateway: self.is_behind_a_gateway(),
            mapping: self.mapping.current,
        };
        tokio::spawn(async move { sink.finish::<DoctorParams>(Ok(doctor::examine(question).await)) });
    }

    /// Relays reached by TLS over TCP only.
    fn relays_by_stream(&self) -> Vec<String> {
        let by_stream = |link: &LinkId| self.links.get(*link).is_some_and(|link| link.carrier() == Carrier::Stream);
        let links = self.link_addresses.iter().filter(|(link, _)| by_stream(link));
        links.map(|(_, (node, _))| format_node_id(node)).collect()
    }

    /// The result of a command, once what it caused is done.
    async fn done<T>(&mut self, result: Result<T, CommandError>) -> Result<Result<T, ApiError>, Failure> {
        self.drain().await?;
        Ok(result.map_err(view::error))
    }

    /// Answers those whose wait is over.
    pub(super) fn settle(&mut self) {
        let now_us = self.clock.mono_us();
        for waiter in self.waiting.take_created(now_us) {
            let network = self.network_info(&waiter.network);
            let published = waiter.published;
            finish!(waiter.sink, CreateMethod, network.map(|network| NetworkCreateResult { network, published }));
        }
        let networks = &self.networks;
        let settled = |network: &NetworkId| networks.is_up(network) || networks.problem(network).is_some();
        for waiter in self.waiting.take_joined(now_us, settled) {
            let elapsed_ms = now_us.saturating_sub(waiter.started_us) / 1_000;
            let joined = match waiter.outcome {
                Some(Err(error)) => Err(error),
                Some(Ok(())) => self.joined(&waiter.network, elapsed_ms),
                None => Err(still_joining()),
            };
            finish!(waiter.sink, NetworkJoinParams, joined);
        }
        self.settle_netchecks();
        self.waiting.expire_probes(now_us);
        for ping in self.waiting.abandoned() {
            self.node.stop_ping(ping);
        }
    }

    fn joined(&self, network: &NetworkId, elapsed_ms: u64) -> Result<NetworkJoinResult, ApiError> {
        let info = self.network_info(network)?;
        match self.networks.problem(network) {
            None => Ok(NetworkJoinResult { network: info, elapsed_ms }),
            Some(problem) => {
                let text = format!("joined {}, but it stays down; {}", info.name, problem.text());
                Err(select::problem(problem, text).next(format!("netctl up --network {}", info.name)))
            }
        }
    }
}

fn still_joining() -> ApiError {
    let text = "the join is not through yet; it goes on in the background until the issuer of the invite is online";
    ApiError::new(ErrorCode::Timeout, text).next("netctl networks")
}

/// The first word of a join.
fn connecting() -> JoinEvent {
    JoinEvent { stage: JoinStage::Connecting, text: "reaching a relay of the network".to_owned() }
}
