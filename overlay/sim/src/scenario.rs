//! A scenario is data: who stands where behind which boxes, what fails when, and who talks to whom. All of it is drawn from
//! one seed, and printing it is half of understanding a failure.

mod draw;

pub use draw::{DAY_BEGINS_US, draw_nat, joining_us};

use crate::nat::{Filtering, Mapping, NatKind, Ports};

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
    /// A member on the internet that relays for the others, named before them.
    pub willing: Option<usize>,
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
    /// Pairs of hosts that do not reach each other from that time on, for good: members that share no relay talk over the mesh.
    pub cuts: Vec<(u64, usize, usize)>,
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
            networks: vec![Private { members: vec![0, 1], relays: vec![0, 1], willing: None }],
            idle: None,
            joins: vec![(0, 1, 3 * SECOND)],
            flows: Vec::new(),
            faults: Vec::new(),
            cuts: Vec::new(),
            demands_direct: true,
            heal_us: 10 * SECOND,
            end_us: 10 * SECOND + for_us,
        }
    }

    /// Two members whose boxes give random ports, so that no direct path is possible, and three relays: each member reaches one of them, and
    /// those two only reach each other by the third.
    #[must_use]
    pub fn over_the_mesh(for_us: u64) -> Self {
        let random = NatKind { mapping: Mapping::AddressAndPortDependent, ports: Ports::Random, ..PLAIN };
        let plain = Self::pair(Some(random), Some(random), for_us);
        let (a, b, first, second, third) = (0, 1, 2, 3, 4);
        let cut_us = 8 * SECOND;
        Self {
            relays: vec![FINE, Place { at: (20_000, 5_000), ..FINE }, Place { at: (9_000, 9_000), ..FINE }],
            mesh: true,
            networks: vec![Private { members: vec![a, b], relays: vec![0, 1, 2], willing: None }],
            cuts: [(a, second), (a, third), (b, first), (b, third), (first, second)]
                .map(|(one, other)| (cut_us, one, other))
                .to_vec(),
            ..plain
        }
    }
}
