//! From a scenario to a world at time zero.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use netflow_overlay::node::{Quota, RelayConfig};
use netflow_overlay::{RelayInfo, Tier};

use super::users::Talker;
use super::{Event, NetState, World};
use crate::host::{Fixed, Host, Interface, MAIN_PORT};
use crate::net::{HostId, INTERNET, Net, SegmentId};
use crate::oracle::Oracle;
use crate::queue::Queue;
use crate::report::{Diary, Report};
use crate::rng::Rng;
use crate::scenario::{Flow, MS, Place, Plug, SECOND, Scenario, Talk};

/// Checks of everything that is not checked at each event.
pub(super) const WATCH_US: u64 = 5 * SECOND;
/// Pairs of a network that must talk in the end, on average: all in small networks, a sample in large ones. Fewer where there are many
/// networks: 240 in all.
const FINAL_PAIRS: u64 = 24;
const ALL_FINAL_PAIRS: u64 = 240;

impl World {
    /// The world of a scenario. `trace`: print what happens.
    #[must_use]
    pub fn new(scenario: Scenario, trace: bool) -> Self {
        let mut world = Self {
            rng: Rng(scenario.seed ^ 0x776f_726c_6400_0002),
            now_us: 0,
            net: Net::default(),
            hosts: Vec::new(),
            by_id: BTreeMap::new(),
            sites: Vec::new(),
            gateway_places: Vec::new(),
            queue: Queue::default(),
            links: BTreeMap::new(),
            next_link: 0,
            partitions: BTreeMap::new(),
            cuts: BTreeSet::new(),
            signatures: Arc::default(),
            neighbours: BTreeSet::new(),
            trails: BTreeMap::new(),
            networks: scenario.networks.iter().map(|_| NetState::default()).collect(),
            flows: Vec::new(),
            oracle: Oracle::default(),
            diary: Diary::new(trace),
            report: Report::default(),
            at_once: 0,
            demands_direct: scenario.demands_direct,
            scenario,
        };
        world.build_sites();
        world.build_hosts();
        world.plan();
        world
    }

    fn build_sites(&mut self) {
        for index in 0..self.scenario.sites.len() {
            let site = self.scenario.sites[index].clone();
            let outer = site.behind.map_or(INTERNET, |outer| self.sites[outer].1);
            let outer_ip = self.fresh_outer(index, outer);
            let seed = self.rng.draw();
            let (gateway, segment) = self.net.add_site(outer, outer_ip, site.nat, seed);
            self.net.gateway_mut(gateway).blocks_udp = site.blocks_udp;
            if site.v6 {
                self.net.add_v6(gateway, 0x2001_0db8_0001_0000 + index as u64);
            }
            self.sites.push((gateway, segment));
            self.gateway_places.push(site.place);
        }
    }

    /// An address for a box that nobody had before.
    pub(super) fn fresh_outer(&mut self, site: usize, outer: SegmentId) -> IpAddr {
        self.report.outer_addresses += 1;
        let [_, _, high, low] = u32::try_from(self.report.outer_addresses).unwrap_or(u32::MAX).to_be_bytes();
        if outer == INTERNET {
            IpAddr::V4(Ipv4Addr::new(203, 1, high, low))
        } else {
            let [_, _, site_high, site_low] = u32::try_from(site).unwrap_or(0).to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(10, site_high, site_low, low.max(2)))
        }
    }

    fn build_hosts(&mut self) {
        let members = self.scenario.members.len();
        let infos: Vec<RelayInfo> = (0..self.scenario.relays.len()).map(|relay| self.relay_info(relay)).collect();
        let willing: BTreeSet<usize> = self.scenario.networks.iter().filter_map(|private| private.willing).collect();
        for index in 0..members {
            let member = self.scenario.members[index].clone();
            let interfaces = member.plugs.iter().enumerate();
            let interfaces: Vec<Interface> =
                interfaces.map(|(nth, plug)| self.interface(index, nth, *plug, member.v6_only)).collect();
            let default_relays = self
                .scenario
                .networks
                .iter()
                .find(|private| private.members.first() == Some(&index))
                .map_or_else(Vec::new, |private| private.relays.iter().map(|relay| infos[*relay].clone()).collect());
            let relay = willing.contains(&index).then(|| willing_config(self.willing_info(index).addrs));
            let fixed = self.fixed(format!("m{index}"), index, Tier::Edge, relay, default_relays, member.place);
            self.add_host(Host::new(fixed, interfaces, member.skew_s));
        }
        for relay in 0..self.scenario.relays.len() {
            let (v4, v6) = relay_addrs(relay);
            let interface = Interface { segment: INTERNET, v4: Some(v4), v6: Some(v6), up: true };
            let quota = Quota { bytes_per_day: 1 << 40, rate_bps: 1 << 40 };
            let config = RelayConfig {
                public_addrs: infos[relay].addrs.clone(),
                default_quota: Some(quota),
                grants: Vec::new(),
                max_networks: RelayConfig::MAX_NETWORKS,
                max_circuits: RelayConfig::MAX_CIRCUITS,
                mesh: self.mesh_of(relay, &infos),
                rate_bps: None,
                price: 0,
                transit: Vec::new(),
            };
            let place = self.scenario.relays[relay];
            let fixed =
                self.fixed(format!("r{relay}"), members + relay, Tier::Central, Some(config), Vec::new(), place);
            self.add_host(Host::new(fixed, vec![interface], 0));
        }
    }

    /// Relays of a mesh all know each other, up to what a relay takes.
    fn mesh_of(&self, relay: usize, infos: &[RelayInfo]) -> Vec<RelayInfo> {
        let others = infos.iter().enumerate().filter(|(other, _)| self.scenario.mesh && *other != relay);
        others.map(|(_, info)| info.clone()).take(64).collect()
    }

    fn fixed(
        &self,
        name: String,
        host: HostId,
        tier: Tier,
        relay: Option<RelayConfig>,
        default_relays: Vec<RelayInfo>,
        place: Place,
    ) -> Fixed {
        Fixed { name, key_seed: self.key_seed(host), tier, relay, default_relays, place }
    }

    fn key_seed(&self, host: HostId) -> u64 {
        Rng(self.scenario.seed.wrapping_mul(1_000_003) ^ (host as u64 + 1)).draw()
    }

    fn add_host(&mut self, host: Host) {
        let index = self.hosts.len();
        for interface in &host.interfaces {
            for ip in [interface.v4, interface.v6].into_iter().flatten() {
                self.net.plug(index, interface.segment, ip);
            }
        }
        self.by_id.insert(host.id, index);
        self.hosts.push(host);
    }

    fn interface(&self, host: HostId, nth: usize, plug: Plug, v6_only: bool) -> Interface {
        match plug {
            Plug::Public => {
                let is_willing = self.scenario.networks.iter().any(|private| private.willing == Some(host));
                let v6 = Some(willing_v6(host)).filter(|_| is_willing);
                Interface { segment: INTERNET, v4: Some(public_v4(host, nth)), v6, up: true }
            }
            Plug::Site(site) => {
                let (gateway, segment) = self.sites[site];
                let v4 = self.private_v4(host, segment);
                let v6 = self
                    .net
                    .gateway(gateway)
                    .v6_prefix
                    .map(|prefix| IpAddr::V6(Ipv6Addr::from((u128::from(prefix) << 64) | (host as u128 + 0x100))));
                Interface { segment, v4: Some(v4).filter(|_| !v6_only), v6, up: true }
            }
        }
    }

    /// An address of a home that nobody there has.
    fn private_v4(&self, host: HostId, segment: SegmentId) -> IpAddr {
        let nth = |nth: usize| IpAddr::V4(Ipv4Addr::new(192, 168, 1, u8::try_from(2 + nth % 200).unwrap_or(2)));
        let mut all = (host..host + 200).map(nth);
        all.find(|ip| self.net.host_on(segment, *ip).is_none()).unwrap_or_else(|| nth(host))
    }

    pub(super) fn relay_info(&self, relay: usize) -> RelayInfo {
        let host = self.scenario.members.len() + relay;
        let (v4, v6) = relay_addrs(relay);
        let addrs = [v4, v6].map(|ip| SocketAddr::new(ip, MAIN_PORT)).to_vec();
        RelayInfo { node: crate::host::keys(self.key_seed(host)).node_id(), tier: Tier::Central, addrs }
    }

    /// A member that relays for its network.
    pub(super) fn willing_info(&self, member: usize) -> RelayInfo {
        let addrs = [public_v4(member, 0), willing_v6(member)].map(|ip| SocketAddr::new(ip, MAIN_PORT)).to_vec();
        RelayInfo { node: crate::host::keys(self.key_seed(member)).node_id(), tier: Tier::Edge, addrs }
    }

    fn plan(&mut self) {
        for host in 0..self.hosts.len() {
            self.start(host);
        }
        for network in 0..self.networks.len() {
            self.queue.put(SECOND, Event::Create { network });
        }
        for (network, member, at_us) in self.scenario.joins.clone() {
            self.queue.put(at_us, Event::Join { network, member });
        }
        for index in 0..self.scenario.faults.len() {
            self.queue.put(self.scenario.faults[index].0, Event::Fault(index));
        }
        for index in 0..self.scenario.cuts.len() {
            self.queue.put(self.scenario.cuts[index].0, Event::Cut(index));
        }
        self.queue.put(self.scenario.heal_us, Event::Heal);
        let mut flows = self.scenario.flows.clone();
        let early = flows.len();
        flows.extend(self.final_flows());
        for (index, flow) in flows.into_iter().enumerate() {
            self.queue.put(flow.start_us, Event::Talk { flow: index });
            self.flows.push(Talker::new(flow, index >= early));
        }
        self.queue.put(WATCH_US, Event::Watch);
    }

    /// Who must reach whom after everything was healed.
    fn final_flows(&mut self) -> Vec<Flow> {
        let mut flows = Vec::new();
        let each = FINAL_PAIRS.min(ALL_FINAL_PAIRS / self.scenario.networks.len().max(1) as u64).max(1);
        for (network, private) in self.scenario.networks.iter().enumerate() {
            let members = &private.members;
            if self.scenario.idle == Some(network) {
                continue;
            }
            let all = (members.len() * members.len().saturating_sub(1)) as u64;
            let keep = (each * 1_000_000).checked_div(all).unwrap_or(0).min(1_000_000);
            for (from, to) in members.iter().flat_map(|from| members.iter().map(move |to| (*from, *to))) {
                if from != to && self.rng.below(1_000_000) < keep {
                    let start_us = self.scenario.heal_us + self.rng.below(SECOND);
                    let end_us = self.scenario.end_us;
                    flows.push(Flow { network, from, to, talk: Talk::Ask, every_us: 900 * MS, start_us, end_us });
                }
            }
        }
        flows
    }
}

/// Address of a host's `nth` interface where that is plugged straight into the internet.
fn public_v4(host: HostId, nth: usize) -> IpAddr {
    let (high, low) = (u8::try_from(host / 200).unwrap_or(0), u8::try_from(2 + host % 200).unwrap_or(2));
    IpAddr::V4(Ipv4Addr::new(198, if nth == 0 { 18 } else { 19 }, high, low))
}

/// A member that relays is there for members without IPv4 too.
fn willing_v6(host: HostId) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xfffe, 0, 0, 0, 0, u16::try_from(host + 1).unwrap_or(u16::MAX)))
}

/// The relay service of an edge node: its own uplink is the bottleneck, and it knows no other relay.
fn willing_config(public_addrs: Vec<SocketAddr>) -> RelayConfig {
    RelayConfig {
        public_addrs,
        default_quota: Some(Quota { bytes_per_day: 1 << 34, rate_bps: 50_000_000 }),
        grants: Vec::new(),
        max_networks: 4,
        max_circuits: 4_096,
        mesh: Vec::new(),
        rate_bps: Some(50_000_000),
        price: 1,
        transit: Vec::new(),
    }
}

fn relay_addrs(relay: usize) -> (IpAddr, IpAddr) {
    let low = u8::try_from(relay + 1).unwrap_or(u8::MAX);
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, u16::from(low));
    (IpAddr::V4(Ipv4Addr::new(198, 51, 100, low)), IpAddr::V6(v6))
}
