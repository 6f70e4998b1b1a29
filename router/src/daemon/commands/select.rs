//! Which network and which member a request means.

use netctl_api::{ApiError, ErrorCode};
use netflow_overlay::identity::{format_network_id, format_node_id, parse_network_id, parse_node_id};
use netflow_overlay::node::{MemberInfo, NetworkInfo};
use netflow_wire::{NetworkId, NodeId};

use crate::daemon::Daemon;
use crate::networks::Problem;

/// A problem of the machine's side as an error of the API.
pub(super) fn problem(problem: &Problem, text: String) -> ApiError {
    let code = match problem {
        Problem::Clash(_) => ErrorCode::Conflict,
        Problem::System(_) => ErrorCode::Internal,
    };
    ApiError::new(code, text)
}

fn not_found(text: String, next: &str) -> ApiError {
    ApiError::new(ErrorCode::NotFound, text).next(next)
}

impl Daemon {
    /// A network by name or id; without one the active network, or the only one.
    pub(super) fn select(&self, wanted: Option<&str>) -> Result<NetworkInfo, ApiError> {
        let networks = self.node.networks();
        let Some(wanted) = wanted else {
            let active = networks.iter().find(|network| Some(network.network) == self.active).or(networks.first());
            let none = || not_found("this node is in no network yet".to_owned(), "netctl create-network NAME");
            return active.cloned().ok_or_else(none);
        };
        let id = parse_network_id(wanted).ok();
        let mut found = networks.into_iter().filter(|network| Some(network.network) == id || network.name == wanted);
        match (found.next(), found.next()) {
            (Some(network), None) => Ok(network),
            (Some(_), Some(_)) => {
                let text = format!("two networks are named {wanted}; use the nfnet1... id");
                Err(ApiError::new(ErrorCode::InvalidInput, text).next("netctl networks"))
            }
            (None, _) => {
                Err(not_found(format!("no network {:.80} on this node", wanted.escape_debug()), "netctl networks"))
            }
        }
    }

    /// A member by name, address or node id.
    pub(super) fn member(&self, network: &NetworkInfo, wanted: &str) -> Result<MemberInfo, ApiError> {
        let members = self.node.members(&network.network).map_err(crate::api::view::error)?;
        let node: Option<NodeId> = parse_node_id(wanted).ok();
        let address: Option<std::net::IpAddr> = wanted.parse().ok();
        let is_wanted = |member: &MemberInfo| match (node, address) {
            (Some(node), _) => member.node == node,
            (None, Some(std::net::IpAddr::V4(ip))) => member.ipv4 == Some(ip),
            (None, Some(std::net::IpAddr::V6(ip))) => member.ipv6 == ip,
            (None, None) => member.name == wanted,
        };
        let none = || {
            not_found(format!("no member {:.80} in network {}", wanted.escape_debug(), network.name), "netctl members")
        };
        members.into_iter().find(is_wanted).ok_or_else(none)
    }

    /// What the API shows of a network.
    pub(super) fn network_info(&self, network: &NetworkId) -> Result<netctl_api::NetworkInfo, ApiError> {
        let found = self.node.networks().into_iter().find(|info| info.network == *network);
        let gone = || not_found(format!("network {} is gone", format_network_id(network)), "netctl networks");
        Ok(self.show(&found.ok_or_else(gone)?))
    }

    /// This node's own name in a network.
    pub(super) fn own_name(&self, network: &NetworkId) -> Option<String> {
        let members = self.node.members(network).ok()?;
        members.into_iter().find(|member| member.is_self).map(|member| member.name)
    }
}

/// For messages.
pub(super) fn node_text(node: &NodeId) -> String {
    format_node_id(node)
}
