//! The world: hosts on a network in virtual time, driven by one queue. Everything random comes from the scenario's seed, so
//! that a seed runs the same way every time.

mod build;
mod datagrams;
mod faults;
mod links;
mod shell;
mod users;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use netflow_overlay::node::LinkId;
use netflow_overlay::{NetworkId, NodeId, PortId};

use crate::host::Host;
use crate::memo::Memo;
use crate::net::{GatewayId, HostId, Net, SegmentId, Wire};
use crate::oracle::Oracle;
use crate::queue::Queue;
use crate::report::{Diary, Report};
use crate::rng::Rng;
use crate::scenario::{Place, Scenario};

/// Things that may happen at one moment of virtual time before it counts as standing still.
const MAX_AT_ONCE: u64 = 200_000;

/// What crosses a control link.
#[derive(Clone, Debug)]
enum Payload {
    Message(Vec<u8>),
    /// A frame, and the relays it has passed.
    Frame(Vec<u8>, Vec<HostId>),
}

/// Something the shell tells its node.
#[derive(Clone, Debug)]
enum Tell {
    PortOpen { port: PortId, local: u16 },
    PortMap,
    LinkFailed { node: NodeId },
    LinkDown { link: LinkId },
    LinkAddress { link: LinkId, remote: SocketAddr },
    Unreachable { port: PortId, to: SocketAddr },
}

#[derive(Clone, Copy, Debug)]
enum Undo {
    Start(HostId),
    Plug(HostId),
    Uplink(HostId),
    Partition(usize),
}

#[derive(Debug)]
struct Arrival {
    sender: HostId,
    wire: Wire,
    bytes: Vec<u8>,
    /// Relays a relayed frame has passed.
    trail: Vec<HostId>,
}

#[derive(Debug)]
enum Event {
    Wake { host: HostId },
    Arrive(Box<Arrival>),
    Tell { host: HostId, boot: u32, tell: Tell },
    LinkUp { link: u64 },
    LinkData { link: u64, to: usize, payload: Payload },
    LinkTick { link: u64 },
    LinkTimeout { link: u64, since_us: u64 },
    Fault(usize),
    Undo(Undo),
    Cut(usize),
    Heal,
    Create { network: usize },
    Join { network: usize, member: HostId },
    Revoke { network: usize, member: HostId },
    Talk { flow: usize },
    Say { host: HostId, network: NetworkId, packet: Vec<u8> },
    Watch,
}

struct Link {
    /// The client, then the server: host, its start, its name for the link.
    ends: [(HostId, u32, LinkId); 2],
    stream: bool,
    /// Address of the server as the client dialled it.
    addr: SocketAddr,
    /// Address of the client as the server sees it.
    seen: SocketAddr,
    /// When the last thing arrives at each end: nothing overtakes.
    last_us: [u64; 2],
    /// Nothing gets through since then.
    stalled_us: Option<u64>,
    /// The client has another address and has not said anything from it yet.
    moved: bool,
    backlog: Vec<(usize, Payload)>,
}

/// How far a private network has come.
#[derive(Debug, Default)]
pub(crate) struct NetState {
    pub(crate) id: Option<NetworkId>,
    /// Tokens given out and not used up yet.
    tokens: BTreeMap<HostId, String>,
    /// Members whose owner died over their revocation.
    revoking: BTreeSet<HostId>,
    /// When a member was revoked.
    pub(crate) revoked: BTreeMap<HostId, u64>,
}

/// A run.
pub struct World {
    pub(crate) scenario: Scenario,
    pub(crate) now_us: u64,
    rng: Rng,
    pub(crate) net: Net,
    pub(crate) hosts: Vec<Host>,
    pub(crate) by_id: BTreeMap<NodeId, HostId>,
    /// Segment and box of each site, and its line.
    pub(crate) sites: Vec<(GatewayId, SegmentId)>,
    gateway_places: Vec<Place>,
    queue: Queue<Event>,
    links: BTreeMap<u64, Link>,
    next_link: u64,
    partitions: BTreeMap<usize, (u64, u64)>,
    /// Pairs of hosts that do not reach each other, for good.
    cuts: BTreeSet<(HostId, HostId)>,
    signatures: Arc<Memo>,
    /// Private addresses a host was found to be right to send to; forgotten when a box comes back with another one.
    neighbours: BTreeSet<(HostId, IpAddr)>,
    /// Relayed frames a relay has seen, by their tag: where they had been before.
    trails: BTreeMap<(HostId, u128), Vec<HostId>>,
    pub(crate) networks: Vec<NetState>,
    pub(crate) flows: Vec<users::Talker>,
    pub(crate) oracle: Oracle,
    pub(crate) diary: Diary,
    pub(crate) report: Report,
    at_once: u64,
    /// Is a direct path demanded where there must be one?
    demands_direct: bool,
}

impl World {
    /// Runs to the end, or to the first thing that must not be.
    ///
    /// # Errors
    /// What was violated, when, the last events, and how to see it again.
    pub fn run(mut self) -> Result<Report, String> {
        self.run_until(self.scenario.end_us, |_| {})?;
        self.finish()
    }

    /// Lets time pass, calling `tick` once in a virtual second.
    ///
    /// # Errors
    /// As [`World::run`].
    pub fn run_until(&mut self, end_us: u64, mut tick: impl FnMut(&Self)) -> Result<(), String> {
        let mut next_tick_us = self.now_us;
        while let Some((at_us, event)) = self.queue.take(end_us) {
            self.at_once = if at_us == self.now_us { self.at_once + 1 } else { 0 };
            self.now_us = at_us;
            self.report.events += 1;
            if at_us >= next_tick_us {
                next_tick_us = at_us + crate::scenario::SECOND;
                tick(self);
            }
            if self.at_once > MAX_AT_ONCE {
                self.oracle.violated(format!("time stands still: {event:?} again and again"));
            }
            self.step(event);
            if let Some(what) = self.oracle.verdict() {
                return Err(self.failure(&what));
            }
        }
        self.now_us = end_us;
        Ok(())
    }

    /// Judges the end of a run.
    ///
    /// # Errors
    /// As [`World::run`].
    pub fn finish(mut self) -> Result<Report, String> {
        self.judge_end();
        match self.oracle.verdict() {
            Some(what) => Err(self.failure(&what)),
            None => Ok(self.report),
        }
    }

    /// Virtual time so far in microseconds.
    #[must_use]
    pub const fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Bytes a host sent and received so far, headers and control links included.
    #[must_use]
    pub fn bytes_of(&self, host: HostId) -> u64 {
        self.hosts.get(host).map_or(0, |host| host.bytes)
    }

    /// What was counted so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    fn failure(&self, what: &str) -> String {
        let seed = self.scenario.seed;
        format!(
            "SEED={seed} at {} s: {what}\n  replay: make sim SEED={seed}\n  last events:\n{}",
            self.now_us as f64 / 1e6,
            self.diary.tail()
        )
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Wake { host } => self.wake(host),
            Event::Arrive(arrival) => self.arrive(*arrival),
            Event::Tell { host, boot, tell } => self.tell(host, boot, tell),
            Event::LinkUp { link } => self.link_up(link),
            Event::LinkData { link, to, payload } => self.link_data(link, to, payload),
            Event::LinkTick { link } => self.link_tick(link),
            Event::LinkTimeout { link, since_us } => self.link_timeout(link, since_us),
            Event::Fault(index) => self.fault(index),
            Event::Undo(undo) => self.undo(undo),
            Event::Cut(index) => self.cut(index),
            Event::Heal => self.heal(),
            Event::Create { network } => self.create(network),
            Event::Join { network, member } => self.join(network, member),
            Event::Revoke { network, member } => self.revoke(network, member),
            Event::Talk { flow } => self.talk(flow),
            Event::Say { host, network, packet } => {
                self.with_node(host, |node, now| node.handle_inside(now, &network, &packet));
            }
            Event::Watch => self.watch(),
        }
    }

    fn later(&mut self, delay_us: u64, event: Event) {
        self.queue.put(self.now_us + delay_us, event);
    }

    fn tell_later(&mut self, delay_us: u64, host: HostId, tell: Tell) {
        let boot = self.hosts[host].boot;
        self.later(delay_us, Event::Tell { host, boot, tell });
    }

    /// Do packets of the first host to the second get lost on purpose?
    fn is_cut(&self, from: HostId, to: HostId) -> bool {
        let bit = |mask: u64, host: HostId| mask >> (host % 64) & 1 == 1;
        self.partitions.values().any(|(a, b)| bit(*a, from) && bit(*b, to))
            || (!self.cuts.is_empty() && self.cuts.contains(&(from.min(to), from.max(to))))
    }
}
