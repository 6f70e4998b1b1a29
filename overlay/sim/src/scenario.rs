//! A scenario is data: who stands where behind which boxes, what fails when, and who talks to whom. All of it is drawn from
//! one seed, and printing it is half of understanding a failure.

use crate::nat::{Filtering, Mapping, NatKind, Ports};
use crate::rng::Rng;

/// A second in virtual microseconds.
pub const SECOND: u64 = 1_000_000;
/// A millisecond.
pub const MS: u64 = 1_000;

/// A line to the internet.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Position on the map; one unit is a microsecond of light. Delays keep the triangle inequality.
    pub at: (u32, u32),
    /// One way from the host to the backbone.
    pub access_us: u64,
    /// Random extra delay up to this: more than the spacing of packets reorders them.
    pub jitter_us: u64,
    /// Of a million datagrams.
    pub loss_ppm: u64,
    /// Of a million datagrams, arrive twice.
    pub double_ppm: u64,
    /// Of a million datagrams, one byte differs on arrival and no checksum noticed.
    pub corrupt_ppm: u64,
    /// Largest IP packet; larger ones vanish.
    pub mtu: usize,
}

/// A site: a gateway and what is behind it.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its box.
    pub nat: NatKind,
    /// Behind this site's box instead of on the internet: double NAT, or a home of a carrier-grade one.
    pub behind: Option<usize>,
    /// Has IPv6, with a stateful firewall.
    pub v6: bool,
    /// Lets no UDP pass.
    pub blocks_udp: bool,
    /// Its line.
    pub place: Place,
}

/// Where an interface is plugged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plug {
    /// Straight on the internet.
    Public,
    /// On the segment of a site.
    Site(usize),
}

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// Interfaces: the first that is up has the default route.
    pub plugs: Vec<Plug>,
    /// No IPv4 at all.
    pub v6_only: bool,
    /// Seconds its wall clock is off.
    pub skew_s: i64,
    /// Line, where it is plugged straight into the internet.
    pub place: Place,
}

/// A private network.
#[derive(Clone, Debug)]
pub struct Private {
    /// Members; the first owns it.
    pub members: Vec<usize>,
    /// Relays it names.
    pub relays: Vec<usize>,
}

/// How members talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// A small question, answered.
    Ask,
    /// A call: small packets, one way.
    OneWay,
    /// A transfer: large packets in bursts, each answered by a small one.
    Bulk,
}

/// Who talks to whom.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Index of the network.
    pub network: usize,
    /// Member that sends.
    pub from: usize,
    /// Member that answers.
    pub to: usize,
    /// How.
    pub talk: Talk,
    /// Between two packets (or bursts).
    pub every_us: u64,
    /// From when on.
    pub start_us: u64,
    /// Until when.
    pub end_us: u64,
}

/// What goes wrong. Hosts are numbered members first, then relays; times are in microseconds.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the fields say it: who, how long, by how much")]
pub enum Fault {
    /// kill -9, and a start later.
    Kill { host: usize, down_us: u64 },
    /// kill -9 right after one of the next writes.
    KillAtWrite { host: usize, writes: u64, down_us: u64 },
    /// A box loses its tables; `renumber`: and comes back with another address.
    Reboot { site: usize, renumber: bool },
    /// The cable of a host is out for a time.
    Unplug { host: usize, down_us: u64 },
    /// The first interface goes down for a time; the next one takes over.
    Uplink { member: usize, down_us: u64 },
    /// Hosts of the first set do not reach hosts of the second; the other direction works.
    Partition { from: u64, to: u64, for_us: u64 },
    /// The wall clock jumps.
    Clock { host: usize, by_s: i64 },
    /// A member is revoked by the owner.
    Revoke { network: usize, member: usize },
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where it came from.
    pub seed: u64,
    /// Sites.
    pub sites: Vec<Site>,
    /// Members.
    pub members: Vec<Member>,
    /// Lines of the relays, all public and of both families.
    pub relays: Vec<Place>,
    /// Do the relays work together?
    pub mesh: bool,
    /// Networks.
    pub networks: Vec<Private>,
    /// A network whose members never talk, for measuring what silence costs.
    pub idle: Option<usize>,
    /// When each member joins each of its networks: (network, member, time).
    pub joins: Vec<(usize, usize, u64)>,
    /// Talk.
    pub flows: Vec<Flow>,
    /// Faults and their times.
    pub faults: Vec<(u64, Fault)>,
    /// Is every pair that can be direct held to it? After random faults a node may be in the pause between two attempts
    /// (up to an hour), so there only the share is judged.
    pub demands_direct: bool,
    /// From here on nothing new fails and everybody runs.
    pub heal_us: u64,
    /// The end.
    pub end_us: u64,
}

/// A home router as most are.
pub const PLAIN: NatKind = NatKind {
    mapping: Mapping::EndpointIndependent,
    ports: Ports::Preserving,
    filtering: Filtering::AddressAndPortDependent,
    hairpin: false,
    expiry_us: 60 * SECOND,
    refreshed_by_inbound: true,
    absolute_us: None,
    maps_ports: false,
};

/// A line without any trouble.
pub const FINE: Place =
    Place { at: (0, 0), access_us: 4 * MS, jitter_us: 0, loss_ppm: 0, double_ppm: 0, corrupt_ppm: 0, mtu: 1_500 };

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
            .filter_map(|_| draw_flow(&mut rng, &networks, heal_us))
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
            demands_direct: false,
            heal_us,
            end_us,
        };
        let faults = if rng.chance(100) { 0 } else { rng.below(14) };
        scenario.faults = (0..faults).map(|_| scenario.draw_fault(&mut rng, hosts)).collect();
        scenario.faults.sort_by_key(|(at, _)| *at);
        scenario
    }

    /// Two members behind the boxes given (`None`: none), two relays, fine weather, no faults, ten minutes at most.
    #[must_use]
    pub fn pair(a: Option<NatKind>, b: Option<NatKind>, for_us: u64) -> Self {
        let boxes = [a, b].into_iter().flatten();
        let sites = boxes.map(|nat| Site { nat, behind: None, v6: false, blocks_udp: false, place: FINE }).collect();
        let second = usize::from(a.is_some());
        let plugs = [a.map_or(Plug::Public, |_| Plug::Site(0)), b.map_or(Plug::Public, |_| Plug::Site(second))];
        let member = |plug| Member { plugs: vec![plug], v6_only: false, skew_s: 0, place: FINE };
        Self {
            seed: 1,
            sites,
            members: plugs.map(member).to_vec(),
            relays: vec![FINE, Place { at: (20_000, 5_000), ..FINE }],
            mesh: false,
            networks: vec![Private { members: vec![0, 1], relays: vec![0, 1] }],
            idle: None,
            joins: vec![(0, 1, 3 * SECOND)],
            flows: Vec::new(),
            faults: Vec::new(),
            demands_direct: true,
            heal_us: 10 * SECOND,
            end_us: 10 * SECOND + for_us,
        }
    }

    /// One large world: networks of 50 members (the first of 101, who never talk), a relay for each 50 nodes, something
    /// failing every minute, everything healed for the last tenth of the time.
    #[must_use]
    pub fn large(seed: u64, nodes: usize, minutes: u64) -> Self {
        let mut rng = Rng(seed ^ 0x6e66_5f73_696d_0002);
        let end_us = minutes * 60 * SECOND;
        let (joined_us, heal_us) = (end_us / 10, end_us - (end_us / 10).max(240 * SECOND).min(end_us / 2));
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
            networks.push(Private { members: (next..next + size).collect(), relays });
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
        let flows = (0..count).filter_map(|_| draw_flow(&mut rng, talking, heal_us));
        let idle = (skipped > 0).then_some(0);
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
            demands_direct: false,
            heal_us,
            end_us,
        };
        scenario.faults = (0..minutes).map(|_| scenario.draw_fault(&mut rng, hosts)).collect();
        scenario.faults.retain(|(at, _)| *at > joined_us);
        scenario.faults.sort_by_key(|(at, _)| *at);
        scenario
    }

    fn draw_fault(&self, rng: &mut Rng, hosts: usize) -> (u64, Fault) {
        let at = rng.between(20 * SECOND, self.heal_us - SECOND);
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
    Private { members: pick, relays: (0..count).map(|next| (first + next) % relays).collect() }
}

fn draw_flow(rng: &mut Rng, networks: &[Private], heal_us: u64) -> Option<Flow> {
    let network = rng.index(networks.len());
    let members = &networks[network].members;
    let (from, to) = (members[rng.index(members.len())], members[rng.index(members.len())]);
    let start_us = rng.between(15 * SECOND, heal_us);
    let (talk, every_us, length_us) = match rng.below(10) {
        0..6 => (Talk::Ask, rng.between(SECOND / 5, 5 * SECOND), 120 * SECOND),
        6..8 => (Talk::OneWay, rng.between(20 * MS, 200 * MS), 20 * SECOND),
        _ => (Talk::Bulk, 50 * MS, 6 * SECOND),
    };
    let end_us = (start_us + rng.between(length_us / 10, length_us)).min(heal_us);
    (from != to).then_some(Flow { network, from, to, talk, every_us, start_us, end_us })
}
