//! Scenarios from seeds.

use super::{Fault, Flow, MS, Member, Place, Plug, Private, SECOND, Scenario, Site, Talk};
use crate::nat::{Filtering, Mapping, NatKind, Ports};
use crate::rng::Rng;

/// Where the measured day of [`Scenario::day`] begins: joins take a quarter of it, and whoever talked to the owner over them is idle then.
pub const DAY_BEGINS_US: u64 = 1_200 * SECOND;

/// How long the joins of a world of so many nodes are spread over: three a second.
#[must_use]
pub const fn joining_us(nodes: usize) -> u64 {
    60 * SECOND + nodes as u64 * (300 * MS)
}

impl Scenario {
    /// Any history of 3 to 40 nodes and some minutes.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng(seed ^ 0x6e66_5f73_696d_0001);
        let heal_us = rng.between(90, 180) * SECOND;
        let end_us = heal_us + 240 * SECOND;
        let relays: Vec<Place> = (0..rng.between(1, 4)).map(|_| draw_place(&mut rng, true)).collect();
        // Mostly small worlds: a mistake shows in them as well, and they are quick to run and to read.
        let most = if rng.chance(100) { 36 } else { 12 };
        let members = usize::try_from(rng.between(2, most)).unwrap_or(2);
        let sites = draw_sites(&mut rng, members);
        let members: Vec<Member> = (0..members).map(|_| draw_member(&mut rng, &sites)).collect();
        let networks: Vec<Private> =
            (0..rng.between(1, 3)).map(|_| draw_network(&mut rng, members.len(), relays.len())).collect();
        let mut joins = Vec::new();
        for (network, private) in networks.iter().enumerate() {
            for member in private.members.iter().skip(1) {
                let late = rng.chance(150);
                joins.push((network, *member, rng.between(3, if late { heal_us / SECOND } else { 20 }) * SECOND));
            }
        }
        let flows = (0..rng.between(1, 2 * members.len() as u64))
            .filter_map(|_| draw_flow(&mut rng, &networks, 15 * SECOND, heal_us))
            .collect();
        let hosts = members.len() + relays.len();
        let mesh = rng.chance(500);
        let mut scenario = Self {
            seed,
            sites,
            members,
            relays,
            mesh,
            networks,
            idle: None,
            joins,
            flows,
            faults: Vec::new(),
            cuts: Vec::new(),
            demands_direct: false,
            heal_us,
            end_us,
        };
        let faults = if rng.chance(100) { 0 } else { rng.below(14) };
        scenario.faults = (0..faults).map(|_| scenario.draw_fault(&mut rng, hosts, 20 * SECOND)).collect();
        scenario.faults.sort_by_key(|(at, _)| *at);
        // From numbers of their own: what was drawn before stays the same for every seed.
        let mut more = Rng(seed ^ 0x6e66_5f73_696d_0003);
        scenario.draw_willing(&mut more, 200);
        if scenario.relays.len() > 1 && more.chance(250) {
            scenario.draw_cuts(&mut more);
        }
        scenario
    }

    /// One large world: networks of 50 members (the first of 101, who never talk), a relay for each 50 nodes. After the time of joining come
    /// `minutes` in which each member begins a conversation an hour, something fails every minute and four programs a minute are
    /// restarted; in the last four everything is healed.
    #[must_use]
    pub fn large(seed: u64, nodes: usize, minutes: u64) -> Self {
        let mut rng = Rng(seed ^ 0x6e66_5f73_696d_0002);
        let joined_us = joining_us(nodes);
        let length_us = minutes * 60 * SECOND;
        let end_us = joined_us + length_us;
        let heal_us = end_us - (240 * SECOND).min(length_us / 2);
        let relays: Vec<Place> = (0..(nodes / 50).max(2)).map(|_| draw_place(&mut rng, true)).collect();
        let count = nodes.saturating_sub(relays.len()).max(4);
        let sites = draw_sites(&mut rng, count);
        let members: Vec<Member> = (0..count).map(|_| draw_member(&mut rng, &sites)).collect();
        let mut networks = Vec::new();
        let mut next = 0;
        while next < count {
            let size = if next == 0 { 101 } else { 50 }.min(count - next);
            let relay = rng.index(relays.len());
            let relays = vec![relay, (relay + 1) % relays.len()];
            networks.push(Private { members: (next..next + size).collect(), relays, willing: None });
            next += size;
        }
        let mut joins = Vec::new();
        for (network, private) in networks.iter().enumerate() {
            for member in private.members.iter().skip(1) {
                joins.push((network, *member, rng.between(3 * SECOND, joined_us.saturating_sub(30 * SECOND))));
            }
        }
        let talking = if networks.len() > 1 { &networks[1..] } else { &networks[..] };
        let skipped = networks.len() - talking.len();
        let idle = (skipped > 0).then_some(0);
        let talks = count as u64 * minutes.div_ceil(60);
        let flows = (0..talks).filter_map(|_| draw_flow(&mut rng, talking, joined_us, heal_us));
        let flows = flows.map(|flow| Flow { network: flow.network + skipped, ..flow }).collect();
        let hosts = members.len() + relays.len();
        let mut scenario = Self {
            seed,
            sites,
            members,
            relays,
            mesh: true,
            networks,
            idle,
            joins,
            flows,
            faults: Vec::new(),
            cuts: Vec::new(),
            demands_direct: false,
            heal_us,
            end_us,
        };
        scenario.faults = (0..minutes).map(|_| scenario.draw_fault(&mut rng, hosts, joined_us)).collect();
        for _ in 0..4 * minutes {
            let at_us = rng.between(joined_us, heal_us - SECOND);
            let down_us = rng.between(5 * SECOND, 300 * SECOND).min(heal_us - at_us);
            scenario.faults.push((at_us, Fault::Kill { host: rng.index(count), down_us }));
        }
        scenario.faults.sort_by_key(|(at, _)| *at);
        scenario
    }

    fn draw_fault(&self, rng: &mut Rng, hosts: usize, from_us: u64) -> (u64, Fault) {
        let at = rng.between(from_us, self.heal_us - SECOND);
        let left_us = self.heal_us - at;
        let for_us = |rng: &mut Rng| rng.between(SECOND / 5, 60 * SECOND).min(left_us);
        let host = rng.index(hosts);
        let member = rng.index(self.members.len());
        let network = rng.index(self.networks.len());
        let fault = match rng.below(100) {
            0..20 => Fault::Kill { host, down_us: for_us(rng) },
            20..30 => Fault::KillAtWrite { host, writes: rng.between(1, 4), down_us: for_us(rng) },
            30..45 if !self.sites.is_empty() => {
                Fault::Reboot { site: rng.index(self.sites.len()), renumber: rng.chance(500) }
            }
            45..55 => Fault::Unplug { host, down_us: for_us(rng) },
            55..70 => Fault::Uplink { member, down_us: for_us(rng) },
            70..85 => Fault::Partition { from: rng.draw(), to: rng.draw(), for_us: for_us(rng) },
            85..93 => Fault::Clock { host, by_s: i64::try_from(rng.below(7_200)).unwrap_or(0) - 3_600 },
            _ => {
                let members = &self.networks[network].members;
                Fault::Revoke { network, member: members[rng.index(members.len())] }
            }
        };
        (at, fault)
    }

    /// A network of `members` who never talk, for a day: what silence costs.
    #[must_use]
    pub fn day(seed: u64, members: usize) -> Self {
        let mut rng = Rng(seed ^ 0x6e66_5f73_696d_0004);
        // Joining, and the searches that end with it, are no part of the day.
        let joined_us = DAY_BEGINS_US;
        let relays: Vec<Place> = (0..2).map(|_| draw_place(&mut rng, true)).collect();
        let sites = draw_sites(&mut rng, members);
        let all: Vec<Member> = (0..members).map(|_| draw_member(&mut rng, &sites)).collect();
        let joins = (1..members).map(|member| (0, member, rng.between(3 * SECOND, joined_us / 4))).collect();
        Self {
            seed,
            sites,
            members: all,
            relays,
            mesh: true,
            networks: vec![Private { members: (0..members).collect(), relays: vec![0, 1], willing: None }],
            idle: Some(0),
            joins,
            flows: Vec::new(),
            faults: Vec::new(),
            cuts: Vec::new(),
            demands_direct: false,
            heal_us: joined_us,
            end_us: joined_us + 86_400 * SECOND,
        }
    }

    /// Some networks have a willing member: one on the internet that relays for the others, beside the relays or instead of them.
    fn draw_willing(&mut self, rng: &mut Rng, per_mille: u64) {
        for network in 0..self.networks.len() {
            if !rng.chance(per_mille) {
                continue;
            }
            let members = &self.networks[network].members;
            let willing = members[rng.index(members.len())];
            self.members[willing].plugs = vec![Plug::Public];
            self.members[willing].v6_only = false;
            self.networks[network].willing = Some(willing);
            if rng.chance(300) {
                self.networks[network].relays.clear();
            }
            let revokes = |fault: &Fault| matches!(fault, Fault::Revoke { network: of, member } if (*of, *member) == (network, willing));
            self.faults.retain(|(_, fault)| !revokes(fault));
        }
    }

    /// Members keep one relay each, owners all of them; perhaps two relays lose each other as well. Every pair still has a way of at most
    /// three relays.
    fn draw_cuts(&mut self, rng: &mut Rng) {
        self.mesh = true;
        let (relays, members) = (self.relays.len(), self.members.len());
        for private in self.networks.iter_mut().filter(|private| !private.relays.is_empty()) {
            // A node keeps links to four: to the willing one and three more, or to four relays.
            let most = if private.willing.is_some() { 3 } else { 4 };
            private.relays = (0..relays.min(most)).collect();
        }
        let most =
            self.networks.iter().map(|private| private.relays.len()).filter(|count| *count > 0).min().unwrap_or(0);
        let owners: Vec<usize> = self.networks.iter().map(|private| private.members[0]).collect();
        let at_us = rng.between(30 * SECOND, self.heal_us);
        for member in (0..members).filter(|member| !owners.contains(member)) {
            let kept = rng.index(most);
            self.cuts.extend((0..relays).filter(|relay| *relay != kept).map(|relay| (at_us, member, members + relay)));
        }
        if relays > 2 && rng.chance(500) {
            let one = rng.index(relays);
            let other = (one + 1 + rng.index(relays - 1)) % relays;
            self.cuts.push((at_us, members + one, members + other));
        }
    }
}

fn draw_place(rng: &mut Rng, relay: bool) -> Place {
    let rough = !relay && rng.chance(300);
    let mtu = [1_280, 1_400, 1_420, 1_492, 9_000];
    Place {
        at: (u32::try_from(rng.below(40_000)).unwrap_or(0), u32::try_from(rng.below(40_000)).unwrap_or(0)),
        access_us: if relay { rng.between(200, 2_000) } else { rng.between(MS, 20 * MS) },
        jitter_us: if rough { rng.below(20 * MS) } else { rng.below(MS) },
        loss_ppm: if rough { rng.below(30_000) } else { rng.below(1_000) },
        double_ppm: if rough { rng.below(20_000) } else { 0 },
        corrupt_ppm: if rough { rng.below(2_000) } else { 0 },
        mtu: if !relay && rng.chance(300) { mtu[rng.index(mtu.len())] } else { 1_500 },
    }
}

/// A box as the field has them: mostly endpoint-independent, some of every other kind.
pub fn draw_nat(rng: &mut Rng) -> NatKind {
    let mapping = match rng.below(10) {
        0..6 => Mapping::EndpointIndependent,
        6 => Mapping::AddressDependent,
        _ => Mapping::AddressAndPortDependent,
    };
    let filtering = match rng.below(10) {
        0..2 => Filtering::EndpointIndependent,
        2..4 => Filtering::AddressDependent,
        _ => Filtering::AddressAndPortDependent,
    };
    NatKind {
        mapping,
        ports: if rng.chance(500) { Ports::Preserving } else { Ports::Random },
        filtering,
        hairpin: rng.chance(300),
        expiry_us: rng.between(30, 300) * SECOND,
        refreshed_by_inbound: rng.chance(700),
        absolute_us: None,
        maps_ports: rng.chance(250),
    }
}

fn draw_sites(rng: &mut Rng, members: usize) -> Vec<Site> {
    let count = rng.between(1, members as u64 + 1);
    let mut sites: Vec<Site> = Vec::new();
    for index in 0..usize::try_from(count).unwrap_or(1) {
        let site = match rng.below(10) {
            // A carrier's box, with homes of later sites behind it.
            0 => {
                let absolute_us = rng.chance(500).then_some(60 * SECOND);
                let nat = NatKind { absolute_us, maps_ports: false, ..draw_nat(rng) };
                Site { nat, behind: None, v6: false, blocks_udp: false, place: draw_place(rng, false) }
            }
            1 | 2 if index > 0 => {
                let outer = rng.index(index);
                let behind = Some(outer).filter(|outer| sites[*outer].behind.is_none());
                let place = behind.map_or_else(|| draw_place(rng, false), |outer| sites[outer].place);
                Site { nat: draw_nat(rng), behind, v6: false, blocks_udp: false, place }
            }
            _ => {
                let (v6, blocks_udp) = (rng.chance(350), rng.chance(80));
                Site { nat: draw_nat(rng), behind: None, v6, blocks_udp, place: draw_place(rng, false) }
            }
        };
        sites.push(site);
    }
    sites
}

fn draw_member(rng: &mut Rng, sites: &[Site]) -> Member {
    let plug = |rng: &mut Rng| if rng.chance(120) { Plug::Public } else { Plug::Site(rng.index(sites.len())) };
    let mut plugs = vec![plug(rng)];
    if rng.chance(250) {
        let second = plug(rng);
        if second != plugs[0] {
            plugs.push(second);
        }
    }
    let v6_only = plugs.len() == 1
        && matches!(plugs[0], Plug::Site(site) if sites[site].v6 && !sites[site].blocks_udp)
        && rng.chance(150);
    let skew_s = if rng.chance(200) { i64::try_from(rng.below(240)).unwrap_or(0) - 120 } else { 0 };
    Member { plugs, v6_only, skew_s, place: draw_place(rng, false) }
}

fn draw_network(rng: &mut Rng, members: usize, relays: usize) -> Private {
    let mut pick: Vec<usize> = (0..members).collect();
    for index in 0..pick.len() {
        let other = rng.index(pick.len());
        pick.swap(index, other);
    }
    pick.truncate(usize::try_from(rng.between(2, members as u64)).unwrap_or(2));
    let first = rng.index(relays);
    let count = usize::try_from(rng.between(1, relays as u64)).unwrap_or(1);
    Private { members: pick, relays: (0..count).map(|next| (first + next) % relays).collect(), willing: None }
}

fn draw_flow(rng: &mut Rng, networks: &[Private], from_us: u64, heal_us: u64) -> Option<Flow> {
    let network = rng.index(networks.len());
    let members = &networks[network].members;
    let (from, to) = (members[rng.index(members.len())], members[rng.index(members.len())]);
    let start_us = rng.between(from_us, heal_us);
    let (talk, every_us, length_us) = match rng.below(10) {
        0..6 => (Talk::Ask, rng.between(SECOND / 5, 5 * SECOND), 120 * SECOND),
        6..8 => (Talk::OneWay, rng.between(20 * MS, 200 * MS), 20 * SECOND),
        _ => (Talk::Bulk, 50 * MS, 6 * SECOND),
    };
    let end_us = (start_us + rng.between(length_us / 10, length_us)).min(heal_us);
    (from != to).then_some(Flow { network, from, to, talk, every_us, start_us, end_us })
}
