//! Requests about invites that exist.

use netctl_api::{
    ApiError, ErrorCode, InviteInfo, InviteState, NetworkInviteCancelParams, NetworkInviteCancelResult,
    NetworkInvitesParams, NetworkInvitesResult,
};
use netflow_overlay::identity::{format_invite_id, format_network_id, format_node_id};
use netflow_overlay::node::{self, Issuer, MemberInfo};
use netflow_wire::NodeId;

use super::networks::try_api;
use crate::api::view;
use crate::daemon::Daemon;
use crate::exit::Failure;

impl Daemon {
    pub(super) fn invites(&self, params: NetworkInvitesParams) -> Result<NetworkInvitesResult, ApiError> {
        let network = self.select(params.network.as_deref())?;
        let invites = self.node.invites(self.now(), &network.network).map_err(view::error)?;
        let members = self.node.members(&network.network).map_err(view::error)?;
        Ok(NetworkInvitesResult {
            network: network.name,
            network_id: format_network_id(&network.network),
            invites: invites.iter().map(|invite| show(invite, &members)).collect(),
        })
    }

    pub(super) async fn cancel_invite(
        &mut self,
        params: NetworkInviteCancelParams,
    ) -> Result<Result<NetworkInviteCancelResult, ApiError>, Failure> {
        let network = try_api!(self.select(params.network.as_deref()));
        let invites = try_api!(self.node.invites(self.now(), &network.network).map_err(view::error));
        let ids: Vec<String> = invites.iter().map(|invite| format_invite_id(&invite.invite)).collect();
        let chosen = try_api!(choose(&ids, &params.invite));
        let Some(invite) = invites.get(chosen).map(|invite| invite.invite) else {
            return Ok(Err(none(&params.invite)));
        };
        let cancelled = self.node.cancel_invite(self.now(), &network.network, &invite);
        try_api!(self.done(cancelled).await?);
        Ok(Ok(NetworkInviteCancelResult { network: network.name, invite: format_invite_id(&invite) }))
    }
}

/// Which of `ids` is meant by a whole id or a beginning of it.
fn choose(ids: &[String], wanted: &str) -> Result<usize, ApiError> {
    let mut found = ids.iter().enumerate().filter(|(_, id)| !wanted.is_empty() && id.starts_with(wanted));
    match (found.next(), found.next()) {
        (Some((at, _)), None) => Ok(at),
        (Some(_), Some(_)) => {
            let text = format!("{:.80} begins the ids of several invites; write more of it", wanted.escape_debug());
            Err(ApiError::new(ErrorCode::InvalidInput, text).next("netctl invites"))
        }
        (None, _) => Err(none(wanted)),
    }
}

fn none(wanted: &str) -> ApiError {
    let text = format!("no invite {:.80} in this network", wanted.escape_debug());
    ApiError::new(ErrorCode::NotFound, text).next("netctl invites")
}

fn show(invite: &node::InviteInfo, members: &[MemberInfo]) -> InviteInfo {
    let name = |node: NodeId| {
        let member = members.iter().find(|member| member.node == node);
        member.map_or_else(|| format_node_id(&node), |member| member.name.clone())
    };
    let (state, used_by) = match invite.state {
        node::InviteState::Open => (InviteState::Open, None),
        node::InviteState::Used(node) => (InviteState::Used, Some(name(node))),
        node::InviteState::Expired => (InviteState::Expired, None),
        node::InviteState::Cancelled => (InviteState::Cancelled, None),
    };
    InviteInfo {
        invite: format_invite_id(&invite.invite),
        issued_by: match invite.issuer {
            Issuer::Owner => "owner".to_owned(),
            Issuer::Node(node) => name(node),
        },
        expires_unix_s: invite.expires_unix_s,
        state,
        used_by,
        tags: invite.tags.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_is_meant_by_its_id_or_a_beginning_only_it_has() {
        let ids = ["nfinv1abc".to_owned(), "nfinv1abd".to_owned(), "nfinv1xyz".to_owned()];
        assert_eq!(choose(&ids, "nfinv1x"), Ok(2));
        assert_eq!(choose(&ids, "nfinv1abd"), Ok(1));
        let code = |wanted| choose(&ids, wanted).map_err(|error| error.code);
        assert_eq!(code("nfinv1ab"), Err(ErrorCode::InvalidInput));
        assert_eq!(code("nfinv1q"), Err(ErrorCode::NotFound));
        assert_eq!(code(""), Err(ErrorCode::NotFound));
    }
}
