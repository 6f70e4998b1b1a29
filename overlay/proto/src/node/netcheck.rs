//! What the NAT in front of this node does: STUN rounds against its relays, and the report of them (`netctl netcheck`).

use std::net::{IpAddr, SocketAddr};

use netflow_wire::NodeId;
use netflow_wire::control::ControlMessage;
use netflow_wire::inner::Mapping;
use netflow_wire::probe::ReachFrame;
use netflow_wire::stun::StunMessage;

use super::Node;
use super::api::Carrier;
use super::links::{LinkPhase, RelayLink};
use super::outbox::SELF_CLIENT;
use super::views::{NatReport, RelayReach};
use crate::endpoint::{Endpoint, PortId};
use crate::nat::answers::{Answer, Server, mapping_class};
use crate::nat::classify::{Ask, Classifier, MAX_SERVERS, request};
use crate::nat::ports::Use;
use crate::nat::survey;
use crate::time::{Now, SECOND_US};

/// The port relays listen on as well, for sites that let nothing else out: the second port that tells mappings apart.
const SECOND_PORT: u16 = 443;
/// Relays asked in a round. Two tell the mapping class; a third is there for the day one of them is ill.
const MAX_ASKED: usize = 3;

/// What somebody asked for so lately is not measured again: who asks twice in a row sees the same. Longer than any measurement takes.
const FRESH_US: u64 = 15 * SECOND_US;

impl Node {
    /// Measures again what the NAT does, and what the relays' clocks show and which packets reach them. [`Node::nat_report`] shows the
    /// result when [`NatReport::is_measuring`] ends, some six seconds later. `false`: there is no relay to ask, or all is fresh.
    pub fn measure_nat(&mut self, now: Now) -> bool {
        let begun_us = self.direct.survey.started_us();
        let is_measuring = self.direct.classifier.is_measuring() || self.direct.survey.due_us().is_some();
        if begun_us.is_some_and(|at_us| now.since(at_us) < FRESH_US) {
            return is_measuring;
        }
        if self.servers().is_empty() {
            return false;
        }
        if !self.direct.classifier.is_measuring() {
            self.direct.classifier.wake(now);
        }
        let relays = self.links.iter().filter_map(|(node, relay)| {
            let to = relay.endpoint().and_then(|endpoint| endpoint.addr());
            relay.up().filter(|(link, _)| *link != SELF_CLIENT).map(|_| (*node, to))
        });
        let relays: Vec<(NodeId, Option<SocketAddr>)> = relays.collect();
        let mut out = Vec::new();
        self.direct.survey.start(now, self.rng.as_mut(), relays.into_iter(), &mut out);
        self.ask_survey(out);
        self.settle(now);
        true
    }

    fn ask_survey(&mut self, asks: Vec<survey::Ask>) {
        for ask in asks {
            match ask {
                survey::Ask::Time { relay, id } => {
                    if let Some((link, _)) = self.links.get(&relay).and_then(RelayLink::up) {
                        self.outbox.send(link, ControlMessage::TimeQuery { id });
                    }
                }
                survey::Ask::Stun { to, request } => self.outbox.datagram(Endpoint::main(to), request),
            }
        }
    }

    /// A relay says what its clock shows.
    pub(super) fn time_answered(&mut self, now: Now, relay: NodeId, id: u64, unix_ms: u64) {
        let wall = self.wall;
        self.direct.survey.time_answered(now, &relay, id, unix_ms, |mono_us| wall.unix_ms(now, mono_us));
    }

    /// What the wall clock of this machine shows, to the millisecond. The shell says it whenever it wakes up; nothing is decided by it.
    pub fn handle_wall_clock(&mut self, now: Now, unix_ms: u64) {
        self.wall.set(now, unix_ms);
        if let Some(relay) = &mut self.relay {
            relay.set_wall_clock(self.wall);
        }
    }

    /// What this node knows of its place in the underlay.
    pub fn nat_report(&self) -> NatReport {
        let classifier = &self.direct.classifier;
        let family = |v4: bool| {
            let any = classifier.answers.iter().any(|answer| answer.server.addr.is_ipv4() == v4);
            let asked = self.servers().iter().any(|server| server.addr.is_ipv4() == v4);
            (classifier.measured_us.is_some() && (any || asked)).then_some(any)
        };
        let mut relays: Vec<RelayReach> = self.links.iter().map(|(node, relay)| self.reach(*node, relay)).collect();
        relays.sort_by_key(|relay| relay.rtt_us.unwrap_or(u64::MAX));
        NatReport {
            udp_v4: family(true),
            udp_v6: family(false),
            mapping: self.mapping_class(),
            filtering: classifier.filtering,
            filtering_v6: classifier.filtering_v6,
            hairpin: classifier.hairpin,
            port_mapping: self.local.mapping,
            interfaces: self.local.interfaces.clone(),
            reflexive: self.place().reflexive,
            relays,
            measured_us: classifier.measured_us,
            clock_skew_ms: self.direct.survey.skew_ms(),
            is_measuring: classifier.is_measuring() || self.direct.survey.due_us().is_some(),
        }
    }

    fn reach(&self, node: NodeId, relay: &RelayLink) -> RelayReach {
        let answers = &self.direct.classifier.answers;
        let answer = answers.iter().find(|answer| answer.server.relay == node && answer.server.main);
        let carrier = match relay.phase {
            LinkPhase::Up { carrier, .. } => Some(carrier),
            LinkPhase::Idle { .. } | LinkPhase::Dialing { .. } => None,
        };
        RelayReach {
            node,
            addr: relay.up().map(|(_, remote)| remote),
            carrier,
            rtt_us: answer.map(|answer| answer.rtt_us),
            reflexive: relay.bind.observed().or_else(|| answer.map(|answer| answer.mapped)),
            mtu: self.direct.survey.mtu(&node),
        }
    }

    /// The class of the mapping as far as it is known. No UDP at all, while a relay is reached otherwise: blocked.
    pub(super) fn mapping_class(&self) -> Mapping {
        let classifier = &self.direct.classifier;
        match classifier.mapping {
            Mapping::Unknown
                if classifier.measured_us.is_some() && classifier.answers.is_empty() && self.is_carried() =>
            {
                Mapping::UdpBlocked
            }
            // One relay is enough where nothing is translated.
            Mapping::Unknown if self.is_untranslated() => Mapping::EndpointIndependent,
            // Before the first round, and where relays answer no STUN: by the addresses they bound.
            Mapping::Unknown => mapping_class(&self.bound()),
            known @ (Mapping::EndpointIndependent
            | Mapping::AddressDependent
            | Mapping::AddressAndPortDependent
            | Mapping::UdpBlocked) => known,
        }
    }

    /// What relays saw when they bound our address, as if it were the answers of a round.
    fn bound(&self) -> Vec<Answer> {
        let answer = |(node, relay): (&NodeId, &RelayLink)| {
            let (link, addr) = relay.up()?;
            let mapped = relay.bind.observed().filter(|_| link != SELF_CLIENT)?;
            Some(Answer { server: Server { relay: *node, addr, main: true }, mapped, rtt_us: 0 })
        };
        self.links.iter().filter_map(answer).collect()
    }

    fn is_carried(&self) -> bool {
        self.links.iter().any(|(_, relay)| matches!(relay.phase, LinkPhase::Up { carrier: Carrier::Stream, .. }))
    }

    /// Do relays see an address of this very machine?
    fn is_untranslated(&self) -> bool {
        let here = |ip: IpAddr| self.local.interfaces.iter().any(|interface| interface.addr.to_canonical() == ip);
        let answers = self.direct.classifier.answers.iter().copied().chain(self.bound()).collect::<Vec<_>>();
        !answers.is_empty() && answers.iter().all(|answer| here(answer.mapped.ip()))
    }

    /// A STUN message for this node's own questions. `false`: not one of them.
    pub(super) fn own_stun(&mut self, now: Now, from: Endpoint, datagram: &[u8]) -> bool {
        let Endpoint::Udp { port, addr } = from else { return false };
        let Ok(message) = StunMessage::new_checked(datagram) else { return false };
        if port == PortId::MAIN && self.direct.survey.stun(now, addr, &message) {
            return true;
        }
        self.with_classifier(now, |classifier, rng, out| classifier.stun(now, rng, port, addr, &message, out))
    }

    /// Frame 0x1D: a relay's packet came through our filter.
    pub(super) fn reach_probe(&mut self, now: Now, from: Endpoint, datagram: &[u8]) -> bool {
        let Endpoint::Udp { port, .. } = from else { return false };
        let Ok(frame) = ReachFrame::new_checked(datagram) else { return false };
        let token = frame.token();
        self.with_classifier(now, |classifier, rng, out| classifier.reached(now, rng, port, token, out))
    }

    pub(super) fn test_port_opened(&mut self, now: Now, port: PortId) {
        let taken = self.with_classifier(now, |classifier, rng, out| classifier.port_opened(now, rng, port, out));
        if !taken && self.direct.ports.close(port) {
            self.outbox.close_port(port);
        }
    }

    pub(super) fn netcheck_timeout(&mut self, now: Now) {
        if self.direct.classifier.wants_round(now) {
            let servers = self.servers();
            self.with_classifier(now, |classifier, rng, out| {
                classifier.start(now, rng, &servers, out);
                true
            });
        }
        self.with_classifier(now, |classifier, rng, out| {
            classifier.timeout(now, rng, out);
            true
        });
        let mut out = Vec::new();
        self.direct.survey.timeout(now, self.rng.as_mut(), &mut out);
        self.ask_survey(out);
    }

    fn with_classifier(
        &mut self,
        now: Now,
        work: impl FnOnce(&mut Classifier, &mut dyn rand_core::CryptoRng, &mut Vec<Ask>) -> bool,
    ) -> bool {
        let mut out = Vec::new();
        let known = work(&mut self.direct.classifier, self.rng.as_mut(), &mut out);
        for ask in out {
            self.ask(now, ask);
        }
        known
    }

    fn ask(&mut self, now: Now, ask: Ask) {
        match ask {
            Ask::Stun { port, to, transaction } => {
                self.outbox.datagram(Endpoint::Udp { port, addr: to }, request(transaction));
            }
            Ask::OpenPort => {
                if let Some(port) = self.direct.ports.open(Use::Test) {
                    self.outbox.open_port(port);
                }
            }
            Ask::ClosePort(port) => {
                if self.direct.ports.close(port) {
                    self.outbox.close_port(port);
                }
            }
            Ask::ProbeMe { relay, addr, token, alt } => {
                if let Some((link, _)) = self.links.get(&relay).and_then(RelayLink::up) {
                    self.outbox.send(link, ControlMessage::ProbeMe { addr, token, alt });
                }
            }
            Ask::Changed => {
                self.want_port_map();
                self.ground_changed(now);
            }
        }
    }

    /// A gateway is asked for a mapping where our IPv4 address is translated.
    fn want_port_map(&mut self) {
        let answers = &self.direct.classifier.answers;
        let wanted = answers.iter().any(|answer| answer.mapped.is_ipv4()) && !self.is_untranslated();
        if wanted != self.direct.map_wanted {
            self.direct.map_wanted = wanted;
            self.outbox.map_port(wanted);
        }
    }

    /// Relay addresses to ask, those of linked relays: both families, and a second port of the first.
    fn servers(&self) -> Vec<Server> {
        let mut servers: Vec<Server> = Vec::new();
        let linked = self.links.iter().filter(|(_, relay)| relay.up().is_some_and(|(link, _)| link != SELF_CLIENT));
        for (node, relay) in linked.take(MAX_ASKED) {
            let used = relay.up().map(|(_, remote)| remote);
            for v4 in [true, false] {
                let of_family = used.iter().chain(&relay.addrs).find(|addr| addr.is_ipv4() == v4);
                servers.extend(of_family.map(|addr| Server { relay: *node, addr: *addr, main: true }));
            }
        }
        let first = servers.iter().find(|server| server.addr.is_ipv4() && server.addr.port() != SECOND_PORT).copied();
        servers.extend(first.map(|server| Server {
            addr: SocketAddr::new(server.addr.ip(), SECOND_PORT),
            main: false,
            ..server
        }));
        servers.truncate(MAX_SERVERS);
        servers
    }
}
