//! `netcheck`, `path` and `trace`: what the ways to the others look like.

use netctl_api::{
    ApiError, FamilyCheck, NatBehaviour, NetcheckResult, PathChoice, PathParams, PathResult, RelayCheck, RelayLinkInfo,
    TraceHop, TraceParams, TraceResult,
};
use netflow_overlay::identity::format_node_id;
use netflow_overlay::node::{MemberInfo, PathReport, PeerInfo};
use netflow_overlay::path::Class;
use netflow_wire::NetworkId;

use crate::api::view;
use crate::daemon::Daemon;

impl Daemon {
    /// What is known about the networks between this node and its relays.
    pub(super) fn netcheck(&self) -> NetcheckResult {
        let links = self.relay_links();
        let mut relays: Vec<RelayCheck> = links.iter().map(relay_check).collect();
        relays.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        let ipv4 = family(&links, true);
        let ipv6 = family(&links, false);
        let mapping = mapping(&links);
        let udp = links.iter().any(|link| link.connected).then_some(ipv4.udp || ipv6.udp);
        NetcheckResult {
            udp,
            ipv4,
            ipv6,
            mapping,
            filtering: NatBehaviour::Unknown,
            hairpin: None,
            port_mapping: None,
            mtu_bytes: None,
            clock_skew_ms: None,
            age_s: None,
            verdict: verdict(udp, mapping).to_owned(),
            relays,
        }
    }

    /// Every path to a member, and why which one is used.
    pub(super) fn path(&self, params: &PathParams) -> Result<PathResult, ApiError> {
        let (network, member, _) = self.peer_of(params.network.as_deref(), &params.peer)?;
        let reports = self.node.path_report(self.now(), &network, &member.node).map_err(view::error)?;
        Ok(PathResult {
            node: format_node_id(&member.node),
            name: member.name,
            paths: reports.iter().map(view::path_report).collect(),
            choices: Class::ALL.iter().map(|class| choice(*class, &reports)).collect(),
        })
    }

    /// The hops of the path in use.
    pub(super) fn trace(&self, params: &TraceParams) -> Result<TraceResult, ApiError> {
        let (_, member, peer) = self.peer_of(params.network.as_deref(), &params.peer)?;
        let in_use = peer.as_ref().and_then(|peer| Some((peer, peer.path.as_ref()?)));
        let Some((peer, path)) = in_use else {
            let text = format!("no path to {} yet; nothing was sent to it", member.name);
            let next = format!("netctl ping {}", member.name);
            return Err(ApiError::new(netctl_api::ErrorCode::Offline, text).next(next));
        };
        let links = self.relay_links();
        let relay_hop = |node: String| {
            let link = links.iter().find(|link| link.node == node);
            let (address, rtt_ms) = link.map_or((None, None), |link| (link.address, link.rtt_ms));
            TraceHop { node, name: None, relay: true, address, rtt_ms }
        };
        let mut hops: Vec<TraceHop> = view::path_hops(path).into_iter().map(relay_hop).collect();
        let path = view::path(path, peer.rtt_us, &peer.reason);
        let address = path.address.filter(|_| hops.is_empty());
        hops.push(TraceHop {
            node: format_node_id(&member.node),
            name: Some(member.name.clone()),
            relay: false,
            address,
            rtt_ms: path.rtt_ms,
        });
        Ok(TraceResult {
            node: format_node_id(&member.node),
            name: member.name,
            kind: path.kind,
            hops,
            reason: peer.reason.clone(),
        })
    }

    /// A member other than this node, and its data plane if there is any.
    fn peer_of(
        &self,
        network: Option<&str>,
        peer: &str,
    ) -> Result<(NetworkId, MemberInfo, Option<PeerInfo>), ApiError> {
        let network = self.select(network)?;
        let member = self.member(&network, peer)?;
        if member.is_self {
            let text = format!("{} is this node", member.name);
            return Err(ApiError::new(netctl_api::ErrorCode::InvalidInput, text).next("netctl members"));
        }
        let peers = self.node.peers(self.now(), &network.network).map_err(view::error)?;
        let peer = peers.into_iter().find(|peer| peer.node == member.node);
        Ok((network.network, member, peer))
    }
}

/// Which of the paths a class takes, and why.
fn choice(class: Class, reports: &[PathReport]) -> PathChoice {
    let mut numbered = reports.iter().zip(0_u32..);
    let used = numbered.find_map(|(report, number)| {
        let (_, reason) = report.reasons.iter().find(|(taken, _)| *taken == class)?;
        Some((number, reason.clone()))
    });
    let (path, reason) = used.map_or((None, String::from("no path yet")), |(number, why)| (Some(number), why));
    PathChoice { class: class.name().to_owned(), path, reason }
}

fn relay_check(link: &RelayLinkInfo) -> RelayCheck {
    RelayCheck {
        node: link.node.clone(),
        address: link.address,
        rtt_ms: link.rtt_ms,
        carrier: None,
        public_address: link.public_address,
        problem: link.problem.clone(),
    }
}

/// Unreachable relays come last.
fn rank(relay: &RelayCheck) -> f64 {
    relay.rtt_ms.unwrap_or(f64::INFINITY)
}

fn family(links: &[RelayLinkInfo], ipv4: bool) -> FamilyCheck {
    let ours = |link: &&RelayLinkInfo| link.address.is_some_and(|address| address.is_ipv4() == ipv4);
    let mut links = links.iter().filter(ours).filter(|link| link.bound);
    let first = links.next();
    FamilyCheck { udp: first.is_some(), public_address: first.and_then(|link| link.public_address) }
}

/// What the addresses that several relays see of one socket tell about the NAT (RFC 5780 section 4.3, two points).
fn mapping(links: &[RelayLinkInfo]) -> NatBehaviour {
    let mut seen = links.iter().filter_map(|link| Some((link.address?.is_ipv4(), link.public_address?)));
    let Some((family, first)) = seen.next() else { return NatBehaviour::Unknown };
    let others: Vec<_> = seen.filter(|(other, _)| *other == family).map(|(_, address)| address).collect();
    if others.is_empty() {
        NatBehaviour::Unknown
    } else if others.iter().all(|address| *address == first) {
        NatBehaviour::EndpointIndependent
    } else {
        NatBehaviour::AddressDependent
    }
}

fn verdict(udp: Option<bool>, mapping: NatBehaviour) -> &'static str {
    match (udp, mapping) {
        (None, _) => "no relay can be reached: nothing works from here",
        (Some(false), _) => "UDP is blocked: traffic goes over TCP through a relay",
        (Some(true), NatBehaviour::EndpointIndependent) => "direct paths to most members are possible",
        (Some(true), NatBehaviour::Unknown) => "UDP works; one relay alone cannot tell how the NAT maps",
        (Some(true), NatBehaviour::AddressDependent | NatBehaviour::AddressAndPortDependent) => {
            "every destination sees another port: direct paths only to members whose NAT maps the same for everybody"
        }
    }
}
