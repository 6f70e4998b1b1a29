//! Requests of owners and admins.

use std::collections::BTreeSet;

use netctl_api::{
    AdminsAddParams, AdminsRemoveParams, ApiError, ErrorCode, MemberChanged, MembersRenameParams, MembersRevokeParams,
    MembersRevokeResult, MembersTagParams, NetworkExportOwnerParams, NetworkImportOwnerParams,
    NetworkImportOwnerResult, OwnerExport, PolicyGetParams, PolicyResult, PolicySetParams, Secret,
};
use netflow_overlay::identity::{format_network_id, format_node_id};
use netflow_overlay::node::{CommandError, MemberInfo, NetworkInfo, PeerInfo};
use netflow_wire::NodeId;
use zeroize::Zeroizing;

use super::networks::try_api;
use crate::api::view;
use crate::config::format_relay;
use crate::daemon::Daemon;
use crate::exit::Failure;

type Changed = Result<Result<MemberChanged, ApiError>, Failure>;

impl Daemon {
    pub(super) async fn revoke(
        &mut self,
        params: MembersRevokeParams,
    ) -> Result<Result<MembersRevokeResult, ApiError>, Failure> {
        let (network, member) = try_api!(self.both(params.network.as_deref(), &params.member));
        let peers = self.node.peers(self.now(), &network.network).unwrap_or_default();
        let revoked = self.node.revoke(self.now(), &network.network, &member.node);
        try_api!(self.done(revoked).await?);
        let told = told(&network, &peers, &member.node);
        Ok(Ok(MembersRevokeResult {
            network: network.name,
            node: format_node_id(&member.node),
            name: member.name,
            told: view::small(told),
        }))
    }

    pub(super) async fn tag(&mut self, params: MembersTagParams) -> Changed {
        let (network, member) = try_api!(self.both(params.network.as_deref(), &params.member));
        let tagged = self.node.set_tags(self.now(), &network.network, &member.node, &params.tags);
        self.changed(network, &member, tagged).await
    }

    pub(super) async fn rename(&mut self, params: MembersRenameParams) -> Changed {
        let (network, member) = try_api!(self.both(params.network.as_deref(), &params.member));
        let renamed = self.node.rename_member(self.now(), &network.network, &member.node, &params.name);
        self.changed(network, &member, renamed).await
    }

    pub(super) async fn add_admin(&mut self, params: AdminsAddParams) -> Changed {
        let (network, member) = try_api!(self.both(params.network.as_deref(), &params.member));
        let added = self.node.add_admin(self.now(), &network.network, &member.node);
        self.changed(network, &member, added).await
    }

    pub(super) async fn remove_admin(&mut self, params: AdminsRemoveParams) -> Changed {
        let (network, member) = try_api!(self.both(params.network.as_deref(), &params.member));
        let removed = self.node.remove_admin(self.now(), &network.network, &member.node);
        self.changed(network, &member, removed).await
    }

    fn both(&self, network: Option<&str>, member: &str) -> Result<(NetworkInfo, MemberInfo), ApiError> {
        let network = self.select(network)?;
        let member = self.member(&network, member)?;
        Ok((network, member))
    }

    async fn changed(
        &mut self,
        network: NetworkInfo,
        member: &MemberInfo,
        result: Result<(), CommandError>,
    ) -> Changed {
        try_api!(self.done(result).await?);
        let member = try_api!(self.show_one(&network, &member.node));
        Ok(Ok(MemberChanged { network: network.name, member }))
    }

    pub(super) async fn set_policy(
        &mut self,
        params: PolicySetParams,
    ) -> Result<Result<PolicyResult, ApiError>, Failure> {
        let network = try_api!(self.select(params.network.as_deref()));
        let policy = try_api!(view::policy(&params.rules));
        let set = self.node.set_policy(self.now(), &network.network, &policy);
        try_api!(self.done(set).await?);
        Ok(self.policy(PolicyGetParams { network: Some(format_network_id(&network.network)) }))
    }

    pub(super) fn export_owner(&self, params: NetworkExportOwnerParams, uid: u32) -> Result<OwnerExport, ApiError> {
        require_root(uid)?;
        let network = self.select(params.network.as_deref())?;
        let key = self.node.owner_key(&network.network).map_err(view::error)?;
        Ok(OwnerExport {
            network: format_network_id(&network.network),
            name: network.name,
            owner_key: Secret::new(hex::encode(key.as_slice())),
            relays: network.relays.iter().flat_map(|relay| format_relay(&relay.relay)).collect(),
        })
    }

    pub(super) async fn import_owner(
        &mut self,
        params: NetworkImportOwnerParams,
        uid: u32,
    ) -> Result<Result<NetworkImportOwnerResult, ApiError>, Failure> {
        try_api!(require_root(uid));
        let mut seed = Zeroizing::new([0; 32]);
        if hex::decode_to_slice(params.owner_key.expose(), seed.as_mut_slice()).is_err() {
            return Ok(Err(ApiError::new(ErrorCode::InvalidInput, "the owner key is not 64 hexadecimal digits")));
        }
        let network = try_api!(self.select(Some(&params.network)).map_err(|error| no_log(error, &params.name)));
        let imported = self.node.import_owner(self.now(), &network.network, &seed);
        try_api!(self.done(imported).await?);
        Ok(self.network_info(&network.network).map(|network| NetworkImportOwnerResult { network }))
    }
}

/// Nodes a revocation went to at once, the one that is out left out: relays that serve the network, and members with a session. A relay
/// may be a member too.
fn told(network: &NetworkInfo, peers: &[PeerInfo], revoked: &NodeId) -> usize {
    let relays = network.relays.iter().filter(|relay| relay.attached).map(|relay| relay.relay.node);
    let members = peers.iter().filter(|peer| peer.session.is_some()).map(|peer| peer.node);
    relays.chain(members).filter(|node| node != revoked).collect::<BTreeSet<_>>().len()
}

/// A backup holds the key and not the log: what to do on a node that has neither.
fn no_log(error: ApiError, name: &str) -> ApiError {
    if error.code != ErrorCode::NotFound {
        return error;
    }
    let text = format!(
        "this node is not in network {:.80}, and the owner key is of use only beside its log; restore on a member, or join \
         with an invite of an admin first",
        name.escape_debug()
    );
    ApiError::new(ErrorCode::NotFound, text).next("netctl join, then sudo netctl restore FILE")
}

/// Members of the group may use the network, but not take its key away.
fn require_root(uid: u32) -> Result<(), ApiError> {
    if uid == 0 {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::Permission, "only root may move the owner key")
        .next("sudo netctl backup FILE, or sudo netctl restore FILE"))
}

#[cfg(test)]
mod tests {
    use netflow_overlay::node::{NetworkRelayInfo, NetworkStateInfo, PeerSession};
    use netflow_wire::{NetworkId, RelayInfo, Tier};

    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId([byte; 32])
    }

    fn relay(byte: u8, attached: bool) -> NetworkRelayInfo {
        let relay = RelayInfo { node: node(byte), tier: Tier::Central, addrs: Vec::new() };
        NetworkRelayInfo { relay, linked: attached, attached, quota: None }
    }

    fn peer(byte: u8, has_session: bool) -> PeerInfo {
        let session = PeerSession { suite: "", hybrid_pq: true, age_us: 0, tx_bytes: 0, rx_bytes: 0, idle_us: None };
        PeerInfo {
            node: node(byte),
            name: String::new(),
            addresses: Vec::new(),
            session: has_session.then_some(session),
            path: None,
            reason: String::new(),
            rtt_us: None,
            alternatives: Vec::new(),
        }
    }

    #[test]
    fn told_counts_each_node_the_revocation_went_to_once() {
        let network = NetworkInfo {
            network: NetworkId([0; 32]),
            name: String::new(),
            state: NetworkStateInfo::Up,
            plan: None,
            members: 5,
            is_admin: true,
            is_owner: true,
            // 1 serves and is a member too, 2 serves, 3 does not.
            relays: vec![relay(1, true), relay(2, true), relay(3, false)],
        };
        let peers = [peer(1, true), peer(4, true), peer(5, false), peer(6, true)];
        assert_eq!(told(&network, &peers, &node(6)), 3);
        assert_eq!(told(&network, &peers, &node(2)), 3, "a relay that is out does not count");
    }

    #[test]
    fn a_restore_on_a_node_without_the_log_says_where_to_do_it() {
        let error = no_log(ApiError::new(ErrorCode::NotFound, "no network"), "home");
        assert!(error.message.contains("home") && error.message.contains("on a member"), "{error}");
        assert_eq!(
            (error.code, error.next.as_deref().map(|next| next.starts_with("netctl join"))),
            (ErrorCode::NotFound, Some(true))
        );
    }
}
