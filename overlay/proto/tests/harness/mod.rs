//! A world in memory: real nodes, virtual time, seeded randomness. Datagrams can be lost, doubled and reordered, addresses
//! change, links be cut, programs be killed at any write and started again from what was written.
#![allow(unreachable_pub, reason = "shared by several test binaries")]
#![allow(dead_code, reason = "each test uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a wrong assumption must fail the test"
)]

pub mod underlay;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use netflow_overlay::node::{
    Carrier, CreateOptions, Event, InviteOptions, LinkId, Node, NodeConfig, Output, Persist, Quota, RelayConfig,
    Restored, RestoredHosted, RestoredNetwork, Transit,
};
use netflow_overlay::session::PqMode;
use netflow_overlay::{NetworkId, NodeId, NodeKeys, Now, PortId, RelayInfo, Tier};
use netflow_wire::ControlMessage;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use underlay::{Route, Underlay};

pub const MS: u64 = 1_000;
pub const SECOND: u64 = 1_000_000;
/// One way, everywhere.
const LATENCY: u64 = 10 * MS;
const UNIX_START: u64 = 1_790_000_000;

/// Index of a node in the world.
pub type Id = usize;

pub struct Sim {
    pub name: String,
    pub id: NodeId,
    pub tier: Tier,
    pub addr: SocketAddr,
    pub node: Option<Node>,
    pub relay: Option<RelayConfig>,
    pub default_relays: Vec<RelayInfo>,
    pub pq: PqMode,
    key_seed: u64,
    starts: u64,
    due: Option<u64>,
    /// Everything the program made durable, ever.
    pub journal: Vec<Persist>,
    /// The program dies right after this many writes in all.
    pub die_after: Option<usize>,
    pub events: Vec<Event>,
    pub inside: Vec<(NetworkId, Vec<u8>)>,
    /// Datagrams for this node end here instead: somebody else sits at its address.
    pub tap: Option<Vec<(SocketAddr, Vec<u8>)>>,
    /// Log entries this node hears nothing of, however often they are sent over its links.
    pub deaf_to_entries: bool,
    /// No control link of this node comes or stays up.
    pub links_cut: bool,
    /// Nothing of this node gets through at all.
    pub offline: bool,
}

struct Link {
    ends: [(Id, LinkId); 2],
}

enum Delivery {
    Datagram {
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    /// At the outside of a NAT box of [`Underlay`], or at a neighbour on its LAN.
    Inward {
        nat: Option<usize>,
        from: SocketAddr,
        to: SocketAddr,
        bytes: Vec<u8>,
    },
    Message {
        link: u64,
        to_end: usize,
        bytes: Vec<u8>,
    },
    Frame {
        link: u64,
        to_end: usize,
        bytes: Vec<u8>,
    },
    LinkUp {
        link: u64,
    },
    LinkFailed {
        id: Id,
        node: NodeId,
    },
    LinkDown {
        id: Id,
        link: LinkId,
    },
}

#[derive(Clone, Copy, Default)]
pub struct Weather {
    pub loss_percent: u32,
    pub double_percent: u32,
    pub jitter_us: u64,
}

pub struct World {
    pub now: Now,
    pub rng: ChaCha20Rng,
    pub sims: Vec<Sim>,
    queue: BTreeMap<(u64, u64), Delivery>,
    order: u64,
    links: BTreeMap<u64, Link>,
    next_link: u64,
    pub weather: Weather,
    /// Nodes without a site that do not relay reach each other's address too; else only relays are reached.
    pub direct: bool,
    /// Pairs of nodes between which no datagram passes.
    pub cut: BTreeSet<(Id, Id)>,
    /// One way between two nodes, where it is not the usual.
    pub latency: BTreeMap<(Id, Id), u64>,
    /// Outer IP packets above this vanish without a word.
    pub underlay_mtu: usize,
    /// Inner MTU of nodes started from now on.
    pub inner_mtu: u16,
    /// The next data frame the first node sends to a relay goes straight to the second one instead, from the first one's address.
    pub divert: Option<(Id, Id)>,
    /// Such a frame goes both ways.
    pub divert_copies: bool,
    /// Every datagram put on the wire: sender, receiver address, bytes.
    pub capture: Vec<(Id, SocketAddr, Vec<u8>)>,
    pub keep_capture: bool,
    /// Every control message: sender, receiver, bytes.
    pub messages: Vec<(Id, Id, Vec<u8>)>,
    pub steps: u64,
    /// Pairs of nodes between which nothing passes, smaller index first.
    pub blocked: BTreeSet<(Id, Id)>,
    /// Sites and boxes of the nodes that have one.
    pub underlay: Underlay,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            now: Now { mono_us: SECOND, unix_s: UNIX_START },
            rng: ChaCha20Rng::seed_from_u64(seed),
            sims: Vec::new(),
            queue: BTreeMap::new(),
            order: 0,
            links: BTreeMap::new(),
            next_link: 0,
            weather: Weather::default(),
            direct: false,
            cut: BTreeSet::new(),
            latency: BTreeMap::new(),
            underlay_mtu: 65_535,
            inner_mtu: 1280,
            divert: None,
            divert_copies: false,
            capture: Vec::new(),
            keep_capture: false,
            messages: Vec::new(),
            steps: 0,
            blocked: BTreeSet::new(),
            underlay: Underlay::default(),
        }
    }

    // ---- relays among themselves

    /// Relays name each other, pair by pair, besides those they name already.
    pub fn mesh(&mut self, pairs: &[(Id, Id)]) {
        for (one, two) in pairs {
            for (relay, other) in [(*one, *two), (*two, *one)] {
                let info = self.relay_info(other);
                self.configure(relay, |config| config.mesh.push(info));
            }
        }
    }

    /// One relay names these, and no others.
    pub fn set_mesh(&mut self, relay: Id, others: &[Id]) {
        let mesh = others.iter().map(|other| self.relay_info(*other)).collect();
        self.configure(relay, |config| config.mesh = mesh);
    }

    /// A relay carries on what these bring, and no others.
    pub fn agree(&mut self, relay: Id, others: &[Id], quota: Quota) {
        let transit = others.iter().map(|other| Transit { relay: self.sims[*other].id, quota }).collect();
        self.configure(relay, |config| config.transit = transit);
    }

    /// A relay asks this for a gigabyte.
    pub fn price(&mut self, relay: Id, price: u32) {
        self.configure(relay, |config| config.price = price);
    }

    fn configure(&mut self, relay: Id, change: impl FnOnce(&mut RelayConfig)) {
        change(self.sims[relay].relay.as_mut().expect("a relay"));
        let (now, config) = (self.now, self.sims[relay].relay.clone());
        self.node(relay).set_relay_config(now, config);
        self.perform(relay);
    }

    /// Nothing passes between two nodes any more.
    pub fn block(&mut self, one: Id, two: Id) {
        self.blocked.insert((one.min(two), one.max(two)));
        let between = |link: &Link| link.ends.iter().all(|(id, _)| *id == one || *id == two);
        let broken: Vec<u64> = self.links.iter().filter(|(_, link)| between(link)).map(|(key, _)| *key).collect();
        self.break_all(&broken);
    }

    fn is_blocked(&self, one: Id, two: Id) -> bool {
        self.blocked.contains(&(one.min(two), one.max(two)))
    }

    pub fn quota() -> Quota {
        Quota { bytes_per_day: 1 << 40, rate_bps: 1 << 40 }
    }

    pub fn relay_config(addr: SocketAddr) -> RelayConfig {
        RelayConfig {
            public_addrs: vec![addr],
            default_quota: Some(Self::quota()),
            grants: Vec::new(),
            max_networks: 64,
            max_circuits: 4_096,
            mesh: Vec::new(),
            rate_bps: None,
            price: 0,
            transit: Vec::new(),
        }
    }

    pub fn add(&mut self, name: &str, tier: Tier, relays: &[Id]) -> Id {
        let key_seed = self.rng.next_u64();
        self.add_with_key(name, tier, relays, key_seed)
    }

    pub fn add_with_key(&mut self, name: &str, tier: Tier, relays: &[Id], key_seed: u64) -> Id {
        let id = self.sims.len();
        let addr = SocketAddr::from(([198, 51, (id >> 8) as u8, id as u8], 4_790));
        let relay = (tier != Tier::Edge).then(|| Self::relay_config(addr));
        let keys = NodeKeys::generate(&mut ChaCha20Rng::seed_from_u64(key_seed));
        let default_relays = relays.iter().map(|relay| self.relay_info(*relay)).collect();
        self.sims.push(Sim {
            name: name.to_owned(),
            id: keys.node_id(),
            tier,
            addr,
            node: None,
            relay,
            default_relays,
            pq: PqMode::Strict,
            key_seed,
            starts: 0,
            due: None,
            journal: Vec::new(),
            die_after: None,
            events: Vec::new(),
            inside: Vec::new(),
            tap: None,
            deaf_to_entries: false,
            links_cut: false,
            offline: false,
        });
        self.start(id);
        id
    }

    pub fn relay_info(&self, id: Id) -> RelayInfo {
        let mut addrs = vec![self.sims[id].addr];
        let v6 = self.underlay.sites.get(&id).and_then(|site| site.v6);
        addrs.extend(v6.map(|ip| SocketAddr::new(ip, underlay::MAIN)));
        RelayInfo { node: self.sims[id].id, tier: self.sims[id].tier, addrs }
    }

    /// Gives a node a site: its addresses, and the box its IPv4 address is behind.
    pub fn place(&mut self, id: Id, v4: Option<&str>, v6: Option<&str>, nat: Option<usize>) {
        let parse = |text: &str| text.parse().unwrap();
        self.underlay.place(id, v4.map(parse), v6.map(parse), nat);
        self.tell_site(id);
    }

    /// A relay on the public internet, in both families.
    pub fn place_relay(&mut self, id: Id) {
        let v4 = self.sims[id].addr.ip();
        let v6: IpAddr = format!("2001:db8:ffff::{id}").parse().unwrap();
        self.underlay.relay_ips.extend([v4, v6]);
        self.underlay.place(id, Some(v4), Some(v6), None);
        self.tell_site(id);
    }

    /// What a shell tells its node at the start, and when interfaces change.
    pub fn tell_site(&mut self, id: Id) {
        if self.underlay.sites.contains_key(&id) {
            let (now, interfaces) = (self.now, self.underlay.interfaces(id));
            self.node(id).handle_port_open(now, PortId::MAIN, Ok(underlay::MAIN));
            if self.sims[id].relay.is_some() {
                self.node(id).handle_port_open(now, PortId::STUN_ALT, Ok(underlay::port_number(PortId::STUN_ALT)));
            }
            self.node(id).handle_interfaces(now, interfaces);
            self.perform(id);
        }
    }

    pub fn node(&mut self, id: Id) -> &mut Node {
        self.sims[id].node.as_mut().expect("the node runs")
    }

    pub fn id(&self, id: Id) -> NodeId {
        self.sims[id].id
    }

    // ---- life and death

    /// Starts a program on what its journal says.
    pub fn start(&mut self, id: Id) {
        let sim = &mut self.sims[id];
        sim.starts += 1;
        let config = NodeConfig {
            keys: NodeKeys::generate(&mut ChaCha20Rng::seed_from_u64(sim.key_seed)),
            reward: [0; 20],
            record_seq: 1,
            tier: sim.tier,
            name: sim.name.clone(),
            software: "harness".to_owned(),
            default_relays: sim.default_relays.clone(),
            relay: sim.relay.clone(),
            pq: sim.pq,
            aes_hardware: id.is_multiple_of(2),
            mtu: self.inner_mtu,
        };
        let rng = ChaCha20Rng::seed_from_u64(sim.key_seed ^ (sim.starts << 32) ^ 0x5eed);
        sim.node = Some(Node::new(config, restored(&sim.journal), self.now, Box::new(rng)));
        self.perform(id);
        self.tell_site(id);
    }

    /// kill -9: what was not written is gone, connections break.
    pub fn kill(&mut self, id: Id) {
        self.sims[id].node = None;
        self.break_links(id);
    }

    pub fn restart(&mut self, id: Id) {
        self.kill(id);
        self.start(id);
    }

    fn break_links(&mut self, id: Id) {
        let broken: Vec<u64> = self
            .links
            .iter()
            .filter(|(_, link)| link.ends.iter().any(|(end, _)| *end == id))
            .map(|(link, _)| *link)
            .collect();
        self.break_all(&broken);
    }

    fn break_all(&mut self, broken: &[u64]) {
        for link in broken {
            let Some(link) = self.links.remove(link) else { continue };
            for (end, link) in link.ends {
                self.later(LATENCY, Delivery::LinkDown { id: end, link });
            }
        }
    }

    /// Control links of a node break (and stay broken), or may come up again. Datagrams are not affected.
    pub fn cut_links(&mut self, id: Id, cut: bool) {
        self.sims[id].links_cut = cut;
        if cut {
            self.break_links(id);
        }
    }

    /// A node's cable is out, or in again.
    pub fn unplug(&mut self, id: Id, out: bool) {
        self.sims[id].offline = out;
        if out {
            self.break_links(id);
        }
    }

    /// The NAT gives a node another address: what is sent to the old one is lost.
    pub fn rebind(&mut self, id: Id, addr: SocketAddr) {
        self.sims[id].addr = addr;
    }

    // ---- time

    fn later(&mut self, delay: u64, delivery: Delivery) {
        self.order += 1;
        self.queue.insert((self.now.mono_us + delay, self.order), delivery);
    }

    /// Lets time pass.
    pub fn run(&mut self, duration_us: u64) {
        let end = self.now.mono_us + duration_us;
        while self.step(end) {}
        self.set_time(end);
    }

    /// Lets time pass until something holds; `false`: it never did within the time.
    pub fn run_until(&mut self, limit_us: u64, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now.mono_us + limit_us;
        loop {
            if holds(self) {
                return true;
            }
            if !self.step(end) {
                self.set_time(end);
                return holds(self);
            }
        }
    }

    fn set_time(&mut self, mono_us: u64) {
        self.now = Now { mono_us, unix_s: UNIX_START + mono_us / SECOND };
    }

    /// Does the next thing that is due before `end`.
    fn step(&mut self, end: u64) -> bool {
        let timers = self.sims.iter().enumerate().filter_map(|(id, sim)| Some((sim.node.as_ref().and(sim.due)?, id)));
        let timer = timers.min().map(|(due, id)| (due.max(self.now.mono_us), id));
        let delivery = self.queue.keys().next().copied();
        match (timer, delivery) {
            (Some((due, id)), delivery) if delivery.is_none_or(|(at, _)| due < at) => {
                if due > end {
                    return false;
                }
                self.count_step(due);
                let now = self.now;
                self.node(id).handle_timeout(now);
                self.perform(id);
            }
            (_, Some((at, order))) => {
                if at > end {
                    return false;
                }
                self.count_step(at);
                let delivery = self.queue.remove(&(at, order)).unwrap();
                self.deliver(delivery);
            }
            _ => return false,
        }
        true
    }

    fn count_step(&mut self, at: u64) {
        self.steps = if at == self.now.mono_us { self.steps + 1 } else { 0 };
        assert!(self.steps < 1_000_000, "time stands still: a timer is always due");
        self.set_time(at.max(self.now.mono_us));
    }

    // ---- the wire

    fn deliver(&mut self, delivery: Delivery) {
        let now = self.now;
        match delivery {
            Delivery::Datagram { from, to, bytes } if !self.underlay.sites.is_empty() => {
                let arrived = self.underlay.arrive(now.mono_us, from, to);
                self.arrived(arrived, from, bytes);
            }
            Delivery::Inward { nat, from, to, bytes } => {
                let arrived = match nat {
                    Some(nat) if self.underlay.boxes[nat].external == to.ip() => {
                        self.underlay.inward(now.mono_us, nat, from, to.port())
                    }
                    nat => self.underlay.lan(nat, to),
                };
                self.arrived(arrived, from, bytes);
            }
            Delivery::Frame { link, to_end, mut bytes } => {
                let Some((id, link)) = self.links.get(&link).map(|link| link.ends[to_end]) else { return };
                if self.sims[id].node.is_some() {
                    self.node(id).handle_link_frame(now, link, &mut bytes);
                    self.perform(id);
                }
            }
            Delivery::Datagram { from, to, mut bytes } => {
                let target = self.sims.iter().position(|sim| sim.addr == to);
                let Some(id) = target.filter(|id| self.sims[*id].node.is_some() && !self.sims[*id].offline) else {
                    return;
                };
                if let Some(tap) = &mut self.sims[id].tap {
                    tap.push((from, bytes));
                    return;
                }
                self.node(id).handle_datagram(now, PortId::MAIN, from, &mut bytes);
                self.perform(id);
            }
            Delivery::Message { link, to_end, bytes } => {
                let Some((id, link)) = self.links.get(&link).map(|link| link.ends[to_end]) else { return };
                let entries = matches!(ControlMessage::decode(&bytes), Ok(ControlMessage::LogEntries { .. }));
                if self.sims[id].node.is_some() && !(entries && self.sims[id].deaf_to_entries) {
                    self.node(id).handle_link_message(now, link, &bytes);
                    self.perform(id);
                }
            }
            Delivery::LinkUp { link } => self.link_up(link),
            Delivery::LinkFailed { id, node } => {
                if self.sims[id].node.is_some() {
                    self.node(id).handle_link_failed(now, &node, "no route to host");
                    self.perform(id);
                }
            }
            Delivery::LinkDown { id, link } => {
                if self.sims[id].node.is_some() {
                    self.node(id).handle_link_down(now, link);
                    self.perform(id);
                }
            }
        }
    }

    fn link_up(&mut self, link: u64) {
        let now = self.now;
        let Some([(client, at_client), (server, at_server)]) = self.links.get(&link).map(|link| link.ends) else {
            return;
        };
        let (client_id, server_id) = (self.sims[client].id, self.sims[server].id);
        let (client_addr, server_addr, carrier) = self.link_addresses(client, server);
        if self.sims[client].node.is_some() && self.sims[server].node.is_some() {
            self.node(server).handle_link_up(now, at_server, client_id, client_addr, false, carrier);
            self.perform(server);
        }
        if self.sims[client].node.is_some() && self.links.contains_key(&link) {
            self.node(client).handle_link_up(now, at_client, server_id, server_addr, true, carrier);
            self.perform(client);
        }
    }

    /// Performs what a node wants, in order, the way a shell must: a write is durable before anything after it.
    pub fn perform(&mut self, id: Id) {
        while let Some(output) = self.sims[id].node.as_mut().and_then(Node::poll_output) {
            match output {
                Output::Persist(change) => {
                    self.sims[id].journal.push(change);
                    if self.sims[id].die_after.is_some_and(|limit| self.sims[id].journal.len() >= limit) {
                        self.sims[id].die_after = None;
                        self.kill(id);
                        return;
                    }
                }
                Output::Datagram { from, to, ttl, bytes } if self.underlay.sites.contains_key(&id) => {
                    self.datagram_from_site(id, from, to, ttl.unwrap_or(64), bytes);
                }
                Output::Datagram { from: PortId::MAIN, to, bytes, .. } => self.datagram(id, to, bytes),
                // Without a site: one address, one port, no gateway.
                Output::Datagram { .. } | Output::MapPort { .. } => {}
                Output::LinkFrame { link, bytes } => {
                    if let Some((key, to_end, _)) = self.link_end(id, link) {
                        self.later(LATENCY, Delivery::Frame { link: key, to_end, bytes });
                    }
                }
                Output::PortOpen { port } => {
                    let now = self.now;
                    let sited = self.underlay.sites.contains_key(&id);
                    if sited {
                        self.underlay.open(id, port);
                    }
                    let number = underlay::port_number(port);
                    let opened = if sited { Ok(number) } else { Err("one port each".to_owned()) };
                    self.node(id).handle_port_open(now, port, opened);
                }
                Output::PortClose { port } => self.underlay.close(id, port),
                Output::Inside { network, packet } => self.sims[id].inside.push((network, packet)),
                Output::LinkSend { link, bytes } => self.message(id, link, bytes),
                Output::LinkConnect { node, addrs } => self.connect(id, node, &addrs),
                Output::LinkClose { link } => self.close(id, link),
                Output::Event(event) => self.sims[id].events.push(event),
            }
        }
        self.sims[id].due = self.sims[id].node.as_ref().and_then(Node::poll_timeout);
    }

    fn datagram(&mut self, id: Id, to: SocketAddr, bytes: Vec<u8>) {
        if self.keep_capture {
            self.capture.push((id, to, bytes.clone()));
        }
        let (from, target) = (self.sims[id].addr, self.sims.iter().position(|sim| sim.addr == to));
        let headers = if to.is_ipv4() { 28 } else { 48 };
        let blocked = target.is_some_and(|target| self.is_blocked(id, target));
        if self.sims[id].offline || blocked || bytes.len() + headers > self.underlay_mtu {
            return;
        }
        if let Some((_, receiver)) =
            self.divert.filter(|(sender, _)| *sender == id && bytes[0] == 0x18 && bytes[8] == 0x13)
        {
            self.divert = None;
            let (to, inner) = (self.sims[receiver].addr, bytes[8..].to_vec());
            self.later(LATENCY, Delivery::Datagram { from, to, bytes: inner });
            if !self.divert_copies {
                return;
            }
        }
        let pair = target.map(|target| (id.min(target), id.max(target)));
        let is_edge = |id: Id| self.sims[id].relay.is_none();
        if !self.direct && is_edge(id) && target.is_some_and(is_edge) {
            return;
        }
        if pair.is_some_and(|pair| self.cut.contains(&pair)) {
            return;
        }
        let latency = pair.and_then(|pair| self.latency.get(&pair).copied()).unwrap_or(LATENCY);
        let copies = 1 + u32::from(self.chance(self.weather.double_percent));
        for _ in 0..copies {
            if !self.chance(self.weather.loss_percent) {
                let jitter = if self.weather.jitter_us == 0 { 0 } else { self.rng.next_u64() % self.weather.jitter_us };
                self.later(latency + jitter, Delivery::Datagram { from, to, bytes: bytes.clone() });
            }
        }
    }

    fn datagram_from_site(&mut self, id: Id, port: PortId, to: SocketAddr, ttl: u8, bytes: Vec<u8>) {
        if self.keep_capture {
            self.capture.push((id, to, bytes.clone()));
        }
        if self.sims[id].offline || self.chance(self.weather.loss_percent) {
            return;
        }
        let nat = self.underlay.sites[&id].nat;
        let route = self.underlay.leave(self.now.mono_us, &mut self.rng, id, port, to, ttl);
        let jitter = if self.weather.jitter_us == 0 { 0 } else { self.rng.next_u64() % self.weather.jitter_us };
        match route {
            Route::Public { from } => self.later(LATENCY + jitter, Delivery::Datagram { from, to, bytes }),
            Route::Inward { nat, from, .. } => self.later(MS, Delivery::Inward { nat: Some(nat), from, to, bytes }),
            Route::Lan { from } => self.later(MS, Delivery::Inward { nat, from, to, bytes }),
            Route::Dropped => {}
        }
    }

    fn arrived(&mut self, at: Option<(Id, PortId)>, from: SocketAddr, mut bytes: Vec<u8>) {
        let now = self.now;
        if let Some((id, port)) = at.filter(|(id, _)| self.sims[*id].node.is_some() && !self.sims[*id].offline) {
            self.node(id).handle_datagram(now, port, from, &mut bytes);
            self.perform(id);
        }
    }

    /// The client as the server sees it, the server as the client reaches it, and what carries the link.
    fn link_addresses(&mut self, client: Id, server: Id) -> (SocketAddr, SocketAddr, Carrier) {
        let (client_addr, server_addr) = (self.sims[client].addr, self.sims[server].addr);
        let Some(site) = self.underlay.sites.get(&client) else { return (client_addr, server_addr, Carrier::Quic) };
        let v6 = self.underlay.sites.get(&server).and_then(|site| site.v6).filter(|_| site.v4.is_none());
        let server_addr = v6.map_or(server_addr, |ip| SocketAddr::new(ip, underlay::MAIN));
        match self.underlay.seen_from(self.now.mono_us, &mut self.rng, client, server_addr) {
            Some(seen) => (seen, server_addr, Carrier::Quic),
            None => (client_addr, server_addr, Carrier::Stream),
        }
    }

    fn link_end(&self, id: Id, link: LinkId) -> Option<(u64, usize, Id)> {
        let state = self.links.get(&(link.0 / 2))?;
        let end = state.ends.iter().position(|end| *end == (id, link))?;
        Some((link.0 / 2, 1 - end, state.ends[1 - end].0))
    }

    /// Puts a datagram on the wire as anybody could.
    pub fn inject(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        self.later(LATENCY, Delivery::Datagram { from, to, bytes });
    }

    fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.next_u32() % 100 < percent
    }

    fn message(&mut self, id: Id, link: LinkId, bytes: Vec<u8>) {
        if let Some((key, to_end, to)) = self.link_end(id, link) {
            self.messages.push((id, to, bytes.clone()));
            self.later(LATENCY, Delivery::Message { link: key, to_end, bytes });
        }
    }

    fn connect(&mut self, id: Id, node: NodeId, addrs: &[SocketAddr]) {
        let target = self.sims.iter().position(|sim| sim.id == node && addrs.contains(&sim.addr));
        let up = |id: Id| !self.sims[id].links_cut && !self.sims[id].offline && self.sims[id].node.is_some();
        match target.filter(|target| up(*target) && up(id) && !self.is_blocked(id, *target)) {
            Some(server) => {
                let key = self.next_link;
                self.next_link += 1;
                let ends = [(id, LinkId(2 * key)), (server, LinkId(2 * key + 1))];
                self.links.insert(key, Link { ends });
                self.later(2 * LATENCY, Delivery::LinkUp { link: key });
            }
            None => self.later(SECOND, Delivery::LinkFailed { id, node }),
        }
    }

    /// Says something over the control link between two nodes in the name of the first.
    pub fn forge(&mut self, from: Id, to: Id, message: &ControlMessage) {
        let between =
            |ends: &[(Id, LinkId); 2]| ends.iter().any(|end| end.0 == to) && ends.iter().any(|end| end.0 == from);
        let ends = self.links.values().map(|link| link.ends).find(between).unwrap();
        let now = self.now;
        let link = if ends[0].0 == to { ends[0].1 } else { ends[1].1 };
        self.node(to).handle_link_message(now, link, &message.encode().unwrap());
        self.perform(to);
    }

    pub fn keys(&self, id: Id) -> NodeKeys {
        NodeKeys::generate(&mut ChaCha20Rng::seed_from_u64(self.sims[id].key_seed))
    }

    fn close(&mut self, id: Id, link: LinkId) {
        if !self.links.get(&(link.0 / 2)).is_some_and(|state| state.ends.contains(&(id, link))) {
            return;
        }
        let Some(state) = self.links.remove(&(link.0 / 2)) else { return };
        for (end, link) in state.ends.into_iter().filter(|end| *end != (id, link)) {
            self.later(LATENCY, Delivery::LinkDown { id: end, link });
        }
    }

    // ---- what users do

    pub fn create(&mut self, id: Id, name: &str) -> NetworkId {
        self.create_with(id, name, &CreateOptions::default())
    }

    pub fn create_with(&mut self, id: Id, name: &str, options: &CreateOptions) -> NetworkId {
        let now = self.now;
        let network = self.node(id).create_network(now, name, options).unwrap();
        self.perform(id);
        network
    }

    pub fn invite(&mut self, id: Id, network: NetworkId) -> String {
        let now = self.now;
        let invite = self.node(id).create_invite(now, &network, &InviteOptions::default()).unwrap();
        self.perform(id);
        invite.token
    }

    pub fn join(&mut self, id: Id, token: &str) -> NetworkId {
        let now = self.now;
        let network = self.node(id).join(now, token, None).unwrap();
        self.perform(id);
        network
    }

    pub fn revoke(&mut self, id: Id, network: NetworkId, whom: Id) {
        let (now, whom) = (self.now, self.sims[whom].id);
        self.node(id).revoke(now, &network, &whom).unwrap();
        self.perform(id);
    }

    /// Invites and joins, and waits until it is done.
    pub fn admit(&mut self, issuer: Id, network: NetworkId, joiner: Id) {
        let token = self.invite(issuer, network);
        self.join(joiner, &token);
        assert!(self.run_until(20 * SECOND, |world| world.is_up(joiner, network)), "{} joins", self.sims[joiner].name);
    }

    pub fn is_up(&self, id: Id, network: NetworkId) -> bool {
        let Some(node) = &self.sims[id].node else { return false };
        node.networks().iter().any(|info| info.network == network && info.plan.is_some())
    }

    pub fn address(&self, id: Id, network: NetworkId) -> IpAddr {
        let node = self.sims[id].node.as_ref().unwrap();
        let info = node.networks().into_iter().find(|info| info.network == network).unwrap();
        IpAddr::V4(info.plan.unwrap().ipv4.unwrap())
    }

    pub fn members(&self, id: Id, network: NetworkId) -> BTreeSet<NodeId> {
        let members = self.sims[id].node.as_ref().unwrap().members(&network).unwrap_or_default();
        members.into_iter().map(|member| member.node).collect()
    }

    /// Gives a node's TUN a UDP packet for another member.
    pub fn send(&mut self, from: Id, to: Id, network: NetworkId, payload: &[u8]) {
        let (source, dest) = (self.address(from, network), self.address(to, network));
        self.send_raw(from, network, &udp(source, dest, payload));
    }

    pub fn send_raw(&mut self, from: Id, network: NetworkId, packet: &[u8]) {
        let now = self.now;
        self.node(from).handle_inside(now, &network, packet);
        self.perform(from);
    }

    /// Payloads of UDP packets that came out of a node's TUN.
    pub fn received(&self, id: Id, network: NetworkId) -> Vec<Vec<u8>> {
        let inside = self.sims[id].inside.iter().filter(|(of, _)| *of == network);
        inside.filter_map(|(_, packet)| udp_payload(packet)).collect()
    }

    /// Does one packet sent now arrive within the time?
    pub fn reaches(&mut self, from: Id, to: Id, network: NetworkId, limit_us: u64) -> bool {
        let payload = self.rng.next_u64().to_le_bytes().to_vec();
        self.send(from, to, network, &payload);
        self.run_until(limit_us, |world| world.received(to, network).contains(&payload))
    }

    pub fn saw(&self, id: Id, matches: impl Fn(&Event) -> bool) -> bool {
        self.sims[id].events.iter().any(matches)
    }
}

pub fn udp(source: IpAddr, dest: IpAddr, payload: &[u8]) -> Vec<u8> {
    udp_from(source, dest, 4_000, payload)
}

/// With a source port of its own: another flow.
pub fn udp_from(source: IpAddr, dest: IpAddr, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = match (source, dest) {
        (IpAddr::V4(source), IpAddr::V4(dest)) => PacketBuilder::ipv4(source.octets(), dest.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(dest)) => PacketBuilder::ipv6(source.octets(), dest.octets(), 64),
        _ => panic!("two families"),
    };
    builder.udp(port, 5_000).write(&mut packet, payload).unwrap();
    packet
}

/// An IPv4 packet with another DSCP.
pub fn with_dscp(mut packet: Vec<u8>, dscp: u8) -> Vec<u8> {
    packet[1] = dscp << 2;
    packet[10..12].fill(0);
    let words = packet[..20].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!u16::try_from(folded).unwrap()).to_be_bytes());
    packet
}

pub fn udp_payload(packet: &[u8]) -> Option<Vec<u8>> {
    let parsed = SlicedPacket::from_ip(packet).ok()?;
    let (Some(NetSlice::Ipv4(_) | NetSlice::Ipv6(_)), Some(TransportSlice::Udp(udp))) = (parsed.net, parsed.transport)
    else {
        return None;
    };
    Some(udp.payload().to_vec())
}

/// What a program finds on disk after these writes.
pub fn restored(journal: &[Persist]) -> Restored {
    let mut boot_epoch = 0;
    let mut networks: BTreeMap<NetworkId, RestoredNetwork> = BTreeMap::new();
    let mut hosted: BTreeMap<NetworkId, RestoredHosted> = BTreeMap::new();
    let own = |network: &NetworkId| RestoredNetwork {
        network: *network,
        log: Vec::new(),
        secret: None,
        meta: None,
        pending_join: None,
    };
    let other = |network: &NetworkId| RestoredHosted { network: *network, log: Vec::new(), meta: None };
    for change in journal.iter().cloned() {
        match change {
            Persist::LogAppend { network, raw } => {
                networks.entry(network).or_insert_with(|| own(&network)).log.push(raw)
            }
            Persist::NetworkSecret { network, bytes } => {
                networks.entry(network).or_insert_with(|| own(&network)).secret =
                    Some(bytes).filter(|bytes| !bytes.is_empty());
            }
            Persist::NetworkMeta { network, bytes } => {
                networks.entry(network).or_insert_with(|| own(&network)).meta = Some(bytes);
            }
            Persist::PendingJoin { network, bytes } => {
                networks.entry(network).or_insert_with(|| own(&network)).pending_join = bytes;
            }
            Persist::NetworkRemove { network } => drop(networks.remove(&network)),
            Persist::HostedAppend { network, raw } => {
                hosted.entry(network).or_insert_with(|| other(&network)).log.push(raw)
            }
            Persist::HostedMeta { network, bytes } => {
                hosted.entry(network).or_insert_with(|| other(&network)).meta = Some(bytes);
            }
            Persist::HostedRemove { network } => drop(hosted.remove(&network)),
            Persist::BootEpoch(epoch) => boot_epoch = epoch,
        }
    }
    Restored { boot_epoch, networks: networks.into_values().collect(), hosted: hosted.into_values().collect() }
}
