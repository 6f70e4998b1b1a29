//! `netcheck`, `path` and `trace`: what the ways to the others look like.

use netctl_api::{
    ApiError, CarrierKind, FamilyCheck, NatBehaviour, NetcheckParams, NetcheckResult, PathChoice, PathParams,
    PathResult, PortMappingInfo, RelayCheck, RelayLinkInfo, TraceHop, TraceParams, TraceResult,
};
use netflow_overlay::identity::format_node_id;
use netflow_overlay::node::{
    Carrier, Filtering, MapProtocol, Mapping, MemberInfo, NatReport, PathReport, PeerInfo, PortMapping,
};
use netflow_overlay::path::Class;
use netflow_wire::NetworkId;

use crate::api::{Sink, view};
use crate::daemon::Daemon;
use crate::daemon::waiting::{Netchecking, Tracing};

/// The longest a measurement is waited for: a round of STUN, the filters of two families with every question lost, and the pause
/// between two rounds. netctl waits for 15 s.
const NETCHECK_US: u64 = 13_000_000;

impl Daemon {
    /// Measures the networks between this node and its relays, and answers when that is done.
    pub(super) fn netcheck(&mut self, sink: Sink) {
        let now = self.now();
        if !self.waiting.has_room() {
            let text = "too many requests wait already";
            sink.finish::<NetcheckParams>(Err(ApiError::new(netctl_api::ErrorCode::Refused, text)));
        } else if self.node.measure_nat(now) {
            self.waiting.netchecks.push(Netchecking { sink, deadline_us: now.after(NETCHECK_US) });
        } else {
            sink.finish::<NetcheckParams>(Ok(self.netcheck_result()));
        }
    }

    /// Answers those who wait for a measurement that is over.
    pub(super) fn settle_netchecks(&mut self) {
        if self.waiting.netchecks.is_empty() {
            return;
        }
        let (now_us, over) = (self.clock.mono_us(), !self.node.nat_report().is_measuring);
        for waiter in self.waiting.take_netchecks(now_us, over) {
            waiter.sink.finish::<NetcheckParams>(Ok(self.netcheck_result()));
        }
    }

    /// What is known now.
    fn netcheck_result(&self) -> NetcheckResult {
        let report = self.node.nat_report();
        let links = self.relay_links();
        let mut relays: Vec<RelayCheck> = links.iter().map(|link| relay_check(link, &report)).collect();
        relays.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        let mapping = mapping(report.mapping);
        let udp = match (report.udp_v4, report.udp_v6) {
            (None, None) => links.iter().any(|link| link.connected).then(|| links.iter().any(|link| link.bound)),
            (v4, v6) => Some(v4 == Some(true) || v6 == Some(true)),
        };
        let family = |ipv4: bool| FamilyCheck {
            udp: if ipv4 { report.udp_v4 } else { report.udp_v6 } == Some(true),
            public_address: report.reflexive.iter().find(|addr| addr.is_ipv4() == ipv4).copied(),
            filtering: filtering(if ipv4 { report.filtering } else { report.filtering_v6 }),
        };
        NetcheckResult {
            udp,
            ipv4: family(true),
            ipv6: family(false),
            mapping,
            filtering: filtering(report.filtering),
            hairpin: report.hairpin,
            port_mapping: report.port_mapping.map(port_mapping),
            mtu_bytes: relays.iter().find_map(|relay| relay.mtu_bytes),
            clock_skew_ms: report.clock_skew_ms,
            age_s: report.measured_us.map(|at_us| self.now().since(at_us) / 1_000_000),
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

    /// The hops of the path in use, each asked for its round trip now.
    pub(super) fn trace(&mut self, params: &TraceParams, sink: Sink) {
        match self.start_trace(params) {
            Ok((result, Some(trace))) => {
                self.waiting.tracing.insert(trace, Tracing { result, sink });
            }
            Ok((result, None)) => sink.finish::<TraceParams>(Ok(result)),
            Err(error) => sink.finish::<TraceParams>(Err(error)),
        }
    }

    fn start_trace(&mut self, params: &TraceParams) -> Result<(TraceResult, Option<u64>), ApiError> {
        let (network, member, peer) = self.peer_of(params.network.as_deref(), &params.peer)?;
        let in_use = peer.as_ref().and_then(|peer| Some((peer, peer.path.as_ref()?)));
        let Some((peer, path)) = in_use else {
            let text = format!("no path to {} yet; nothing was sent to it", member.name);
            let next = format!("netctl ping {}", member.name);
            return Err(ApiError::new(netctl_api::ErrorCode::Offline, text).next(next));
        };
        if !self.waiting.has_room() {
            return Err(ApiError::new(netctl_api::ErrorCode::Refused, "too many requests wait already"));
        }
        let now = self.now();
        let started = self.node.trace(now, &network, &member.node).map_err(view::error)?;
        let links = self.relay_links();
        let relay_hop = |node: String| {
            let address = links.iter().find(|link| link.node == node).and_then(|link| link.address);
            TraceHop { node, name: None, relay: true, address, rtt_ms: None }
        };
        let mut hops: Vec<TraceHop> = view::path_hops(path).into_iter().map(relay_hop).collect();
        let path = view::path(path, peer.rtt_us, &peer.reason);
        let address = path.address.filter(|_| hops.is_empty());
        let (node, name) = (format_node_id(&member.node), member.name);
        hops.push(TraceHop {
            node: node.clone(),
            name: Some(name.clone()),
            relay: false,
            address,
            rtt_ms: path.rtt_ms,
        });
        let result = TraceResult { node, name, kind: path.kind, hops, reason: peer.reason.clone() };
        Ok((result, started.trace))
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

fn relay_check(link: &RelayLinkInfo, report: &NatReport) -> RelayCheck {
    let reach = report.relays.iter().find(|reach| format_node_id(&reach.node) == link.node);
    #[allow(clippy::cast_precision_loss, reason = "a round trip in microseconds has at most nine digits")]
    let measured = reach.and_then(|reach| reach.rtt_us).map(|rtt_us| rtt_us as f64 / 1_000.0);
    let carrier = reach.and_then(|reach| reach.carrier).map(|carrier| match carrier {
        Carrier::Quic => CarrierKind::Quic,
        Carrier::Stream => CarrierKind::Stream,
    });
    RelayCheck {
        node: link.node.clone(),
        address: link.address,
        rtt_ms: measured.or(link.rtt_ms),
        carrier,
        public_address: reach.and_then(|reach| reach.reflexive).or(link.public_address),
        mtu_bytes: reach.and_then(|reach| reach.mtu),
        problem: link.problem.clone(),
    }
}

/// Unreachable relays come last.
fn rank(relay: &RelayCheck) -> f64 {
    relay.rtt_ms.unwrap_or(f64::INFINITY)
}

const fn mapping(class: Mapping) -> NatBehaviour {
    match class {
        Mapping::EndpointIndependent => NatBehaviour::EndpointIndependent,
        Mapping::AddressDependent => NatBehaviour::AddressDependent,
        Mapping::AddressAndPortDependent => NatBehaviour::AddressAndPortDependent,
        Mapping::Unknown | Mapping::UdpBlocked => NatBehaviour::Unknown,
    }
}

const fn filtering(class: Filtering) -> NatBehaviour {
    match class {
        Filtering::EndpointIndependent => NatBehaviour::EndpointIndependent,
        Filtering::AddressDependent => NatBehaviour::AddressDependent,
        Filtering::AddressAndPortDependent => NatBehaviour::AddressAndPortDependent,
        Filtering::Unknown => NatBehaviour::Unknown,
    }
}

const fn port_mapping(mapping: PortMapping) -> PortMappingInfo {
    let protocol = match mapping.protocol {
        MapProtocol::Pcp => netctl_api::MapProtocol::Pcp,
        MapProtocol::NatPmp => netctl_api::MapProtocol::NatPmp,
        MapProtocol::Upnp => netctl_api::MapProtocol::Upnp,
    };
    PortMappingInfo { protocol, external: mapping.external, lifetime_s: mapping.lifetime_s }
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
