//! The node's values as the API shows them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netctl_api as api;
use netctl_api::{ApiError, ErrorCode};
use netflow_overlay::identity::{format_network_id, format_node_id};
use netflow_overlay::node::{
    CommandError, ErrorDetail, ErrorKind, HostedInfo, PathInfo, PathReport, PathState, PeerInfo, PeerSession,
};
use netflow_overlay::policy::{Action, Policy, Proto, Rule, Selector};
use netflow_wire::Tier;

/// The node's errors in the codes of the API. Both lead to the same exit codes of `netctl`.
pub(crate) fn error(error: CommandError) -> ApiError {
    let of_kind = match error.kind {
        ErrorKind::Failure => ErrorCode::Internal,
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::Conflict => ErrorCode::Exists,
        ErrorKind::Invalid => ErrorCode::InvalidInput,
        ErrorKind::Invite => ErrorCode::Invite,
        ErrorKind::Offline => ErrorCode::Offline,
        ErrorKind::Refused => ErrorCode::Refused,
    };
    let code = error.detail.map_or(of_kind, |detail| match detail {
        ErrorDetail::Clash => ErrorCode::Conflict,
        ErrorDetail::InviteUsed => ErrorCode::InviteUsed,
        ErrorDetail::InviteExpired => ErrorCode::InviteExpired,
        ErrorDetail::InviteCancelled => ErrorCode::InviteCancelled,
        ErrorDetail::InviteForeign => ErrorCode::InviteForeign,
        ErrorDetail::NotAdmin => ErrorCode::NotAdmin,
    });
    ApiError { code, message: error.message, next: error.next }
}

pub(crate) fn tier(tier: Tier) -> api::Tier {
    match tier {
        Tier::Edge => api::Tier::En,
        Tier::Central => api::Tier::Cn,
        Tier::Root => api::Tier::Rn,
    }
}

/// Milliseconds with three decimals out of microseconds.
pub(crate) fn ms(us: u64) -> f64 {
    // Exact up to 2^53 microseconds, 285 years.
    us as f64 / 1_000.0
}

pub(crate) fn path(path: &PathInfo, rtt_us: Option<u64>, reason: &str) -> api::PathInfo {
    let (kind, relay, address) = match path {
        PathInfo::Direct { addr, .. } => (api::PathKind::Direct, None, Some(*addr)),
        PathInfo::Relay { hops, endpoint } => (api::PathKind::Relay, Some(hops.first()), endpoint.addr()),
    };
    api::PathInfo {
        kind,
        relay: relay.as_ref().map(format_node_id),
        address,
        rtt_ms: rtt_us.map(ms),
        reason: reason.to_owned(),
    }
}

/// Direct or relayed.
pub(crate) fn path_kind(path: &PathInfo) -> api::PathKind {
    match path {
        PathInfo::Direct { .. } => api::PathKind::Direct,
        PathInfo::Relay { .. } => api::PathKind::Relay,
    }
}

/// A line of `netctl path`.
pub(crate) fn path_report(report: &PathReport) -> api::PathReport {
    let info = path(&report.path, report.rtt_us, "");
    api::PathReport {
        kind: info.kind,
        hops: path_hops(&report.path),
        address: info.address,
        state: match report.state {
            PathState::Used => api::PathState::Primary,
            PathState::Warm => api::PathState::Warm,
            PathState::Open => api::PathState::Ready,
            PathState::Suspect => api::PathState::Suspect,
            PathState::Recovering => api::PathState::Recovering,
            PathState::Dead => api::PathState::Dead,
        },
        classes: report.reasons.iter().map(|(used, _)| used.name().to_owned()).collect(),
        rtt_ms: info.rtt_ms,
        rtt_var_ms: report.rtt_us.map(|_| ms(report.rtt_var_us)),
        loss_pct: Some(f64::from(report.loss_ppm) / 10_000.0),
        goodput_bps: report.goodput_bps,
        mtu_bytes: Some(report.outer_mtu),
    }
}

/// The relays of a path, first hop first; none when it is direct.
pub(crate) fn path_hops(path: &PathInfo) -> Vec<String> {
    match path {
        PathInfo::Direct { .. } => Vec::new(),
        PathInfo::Relay { hops, .. } => hops.as_slice().iter().map(format_node_id).collect(),
    }
}

/// A path in one word for a line of `ping`.
pub(crate) fn path_line(path: &PathInfo) -> String {
    match path {
        PathInfo::Direct { addr, .. } => format!("direct {addr}"),
        PathInfo::Relay { hops, endpoint } => {
            let relay = |relay| format!("{}..", format_node_id(relay).chars().take(12).collect::<String>());
            let relays: Vec<String> = hops.as_slice().iter().map(relay).collect();
            format!("relay {} {endpoint}", relays.join(" > "))
        }
    }
}

fn session(session: &PeerSession) -> api::SessionInfo {
    api::SessionInfo {
        suite: session.suite.to_owned(),
        hybrid_pq: session.hybrid_pq,
        age_s: session.age_us / 1_000_000,
        rx_bytes: session.rx_bytes,
        tx_bytes: session.tx_bytes,
        rx_packets: 0,
        tx_packets: 0,
        last_rx_s: session.idle_us.map(|us| us / 1_000_000),
    }
}

pub(crate) fn ipv4_of(addresses: &[IpAddr]) -> Option<Ipv4Addr> {
    addresses.iter().find_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None })
}

pub(crate) fn ipv6_of(addresses: &[IpAddr]) -> Ipv6Addr {
    let found = addresses.iter().find_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None });
    found.unwrap_or(Ipv6Addr::UNSPECIFIED)
}

pub(crate) fn peer(peer: &PeerInfo) -> api::PeerInfo {
    let problem = match (&peer.session, &peer.path) {
        (Some(_), Some(_)) => None,
        _ => Some(peer.reason.clone()),
    };
    api::PeerInfo {
        node: format_node_id(&peer.node),
        name: peer.name.clone(),
        ipv4: ipv4_of(&peer.addresses),
        ipv6: ipv6_of(&peer.addresses),
        session: peer.session.as_ref().map(session),
        path: peer.path.as_ref().map(|used| path(used, peer.rtt_us, &peer.reason)),
        other_paths: peer.alternatives.iter().map(|(other, rtt)| path(other, *rtt, "ready, not the fastest")).collect(),
        problem,
    }
}

pub(crate) fn rules(policy: &Policy) -> Vec<api::PolicyRule> {
    policy.rules.iter().map(rule).collect()
}

fn rule(rule: &Rule) -> api::PolicyRule {
    api::PolicyRule {
        action: match rule.action {
            Action::Allow => api::RuleAction::Allow,
            Action::Deny => api::RuleAction::Deny,
        },
        from: selector(&rule.from),
        to: selector(&rule.to),
        proto: match rule.proto {
            Proto::Any => api::RuleProto::Any,
            Proto::Tcp => api::RuleProto::Tcp,
            Proto::Udp => api::RuleProto::Udp,
            Proto::Icmp => api::RuleProto::Icmp,
        },
        ports: rule.ports.iter().map(|(lo, hi)| api::PortRange { lo: *lo, hi: *hi }).collect(),
    }
}

fn selector(selector: &Selector) -> String {
    match selector {
        Selector::Any => "*".to_owned(),
        Selector::Tag(tag) => format!("tag:{tag}"),
    }
}

/// Rules as the API writes them, as the log keeps them.
pub(crate) fn policy(rules: &[api::PolicyRule]) -> Result<Policy, ApiError> {
    let rules = rules.iter().map(parse_rule).collect::<Result<_, _>>()?;
    Ok(Policy { rules })
}

fn parse_rule(rule: &api::PolicyRule) -> Result<Rule, ApiError> {
    Ok(Rule {
        from: parse_selector(&rule.from)?,
        to: parse_selector(&rule.to)?,
        proto: match rule.proto {
            api::RuleProto::Any => Proto::Any,
            api::RuleProto::Tcp => Proto::Tcp,
            api::RuleProto::Udp => Proto::Udp,
            api::RuleProto::Icmp => Proto::Icmp,
        },
        ports: rule.ports.iter().map(|range| (range.lo, range.hi)).collect(),
        action: match rule.action {
            api::RuleAction::Allow => Action::Allow,
            api::RuleAction::Deny => Action::Deny,
        },
    })
}

fn parse_selector(text: &str) -> Result<Selector, ApiError> {
    match text.strip_prefix("tag:") {
        _ if text == "*" => Ok(Selector::Any),
        Some(tag) => Ok(Selector::Tag(tag.to_owned())),
        None => {
            let text = format!("{:?} is no selector; write * or tag:NAME", text.chars().take(40).collect::<String>());
            Err(ApiError::new(ErrorCode::InvalidInput, text))
        }
    }
}

pub(crate) fn hosted(info: &HostedInfo) -> api::RelayedNetwork {
    api::RelayedNetwork {
        network: format_network_id(&info.network),
        attached: small(info.attached),
        circuits: small(info.circuits),
        rx_bytes: info.forwarded_bytes,
        tx_bytes: info.forwarded_bytes,
        dropped_packets: info.quota_dropped_frames,
        used_bytes_day: info.used_today,
        quota_bytes_day: Some(info.quota.bytes_per_day),
        rate_bps: Some(info.quota.rate_bps),
    }
}

pub(crate) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_comes_from_its_type_and_never_from_its_words() {
        let details = [
            (ErrorKind::Conflict, ErrorDetail::Clash, ErrorCode::Conflict),
            (ErrorKind::Invite, ErrorDetail::InviteUsed, ErrorCode::InviteUsed),
            (ErrorKind::Invite, ErrorDetail::InviteExpired, ErrorCode::InviteExpired),
            (ErrorKind::Invite, ErrorDetail::InviteCancelled, ErrorCode::InviteCancelled),
            (ErrorKind::Invite, ErrorDetail::InviteForeign, ErrorCode::InviteForeign),
            (ErrorKind::Refused, ErrorDetail::NotAdmin, ErrorCode::NotAdmin),
        ];
        // A relay chooses the words of a refusal.
        let words = "expired cancelled used clash admin owner";
        for (kind, detail, code) in details {
            assert_eq!(error(CommandError::new(kind, words).detail(detail)).code, code);
            assert_eq!(code.exit_code(), kind.exit_code(), "the finer code means the same class");
        }
        assert_eq!(error(CommandError::new(ErrorKind::Refused, words)).code, ErrorCode::Refused);
        assert_eq!(error(CommandError::new(ErrorKind::Invite, words)).code, ErrorCode::Invite);
        assert_eq!(error(CommandError::new(ErrorKind::Conflict, words)).code, ErrorCode::Exists);
    }
}
