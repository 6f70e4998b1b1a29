//! Hosts, disks and a network in virtual time: one heap of events, one generator of numbers, no clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;

use alloy_primitives::{B256, keccak256};
use arc_malachitebft_core_types::{NilOrVal, Round, SignedVote, VoteType};
use ed25519_dalek::SigningKey;
use netchain_consensus::context::{Height, Vote, Voter};
use netchain_consensus::twin::{MemoryChain, account_of};
use netchain_consensus::{Application, Config, Effect, Host, Keys, Message, Now, Rules, Timing};
use netchain_types::{ChainDomain, Witness, WitnessSet};

use crate::disk::Disk;
use crate::keys::{Cache, SimKeys};
use crate::liar::{Said, twist};
use crate::oracle::Oracle;
use crate::report::Report;
use crate::rng::Rng;
use crate::scenario::Scenario;

/// Clock of the genesis block.
const GENESIS_S: u64 = 1_700_000_000;
/// One block a second: more heights per virtual second than the chain's three.
const BLOCK_US: u64 = 1_000_000;

/// An application the simulator can look into and restart.
pub trait Twin: Application + Clone {
    /// From the chain at genesis.
    fn new(chain: MemoryChain) -> Self;
    /// The chain as it stands.
    fn chain(&self) -> &MemoryChain;
}

impl Twin for MemoryChain {
    fn new(chain: MemoryChain) -> Self {
        chain
    }

    fn chain(&self) -> &MemoryChain {
        self
    }
}

#[derive(Clone, Debug)]
enum Event {
    Deliver { to: usize, from: usize, message: Rc<Message> },
    Wake(usize),
    Crash(usize, u64),
    Start(usize),
}

struct Node<A, R> {
    host: Option<Host<A, R>>,
    /// The database: survives.
    app: A,
    disk: Disk,
    /// Bytes of the log a restart finds.
    log: Vec<u8>,
    wake_us: u64,
    /// Effects it still performs before it dies.
    dies_after: Option<(u64, u64)>,
}

/// One run of a scenario.
pub struct World<A, R> {
    scenario: Scenario,
    chain: ChainDomain,
    set: WitnessSet,
    keys: Vec<SigningKey>,
    nodes: Vec<Node<A, R>>,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    bodies: BTreeMap<u64, Event>,
    sequence: u64,
    now_us: u64,
    rng: Rng,
    cache: Cache,
    oracle: Oracle,
    convicted: BTreeSet<alloy_primitives::Address>,
    report: Report,
}

impl<A: Twin, R: Rules> World<A, R> {
    /// A world at genesis.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let key = |i: usize| SigningKey::from_bytes(&keccak256(format!("witness {i}")).0);
        let keys: Vec<SigningKey> = (0..scenario.witnesses).map(key).collect();
        let seats = keys.iter().map(|key| {
            let vote_key = key.verifying_key().to_bytes();
            let mut reveal_key = [0; 48];
            reveal_key.iter_mut().zip(keccak256(vote_key)).for_each(|(to, from)| *to = from);
            Witness { account: account_of(&vote_key), vote_key, reveal_key }
        });
        let set = WitnessSet::new(seats.collect()).expect("distinct keys make a set");
        let genesis = MemoryChain::genesis(set.clone(), keccak256(scenario.seed.to_be_bytes()), b"sim", GENESIS_S);
        let mut chain = ChainDomain { chain_id: 7, genesis: genesis.genesis_hash() };
        if scenario.no_chain_id {
            // A signing text that names no chain is one that names the same nothing on every chain.
            chain = NO_CHAIN;
        }
        let node = |_| Node {
            host: None,
            app: A::new(genesis.clone()),
            disk: Disk::new(scenario.lying_disks),
            log: Vec::new(),
            wake_us: u64::MAX,
            dies_after: None,
        };
        let mut world = Self {
            nodes: (0..scenario.witnesses).map(node).collect(),
            rng: Rng(scenario.seed ^ 0xc0ff_ee00),
            chain,
            set,
            keys,
            events: BinaryHeap::new(),
            bodies: BTreeMap::new(),
            sequence: 0,
            now_us: 0,
            cache: Cache::default(),
            oracle: Oracle::default(),
            convicted: BTreeSet::new(),
            report: Report::default(),
            scenario,
        };
        world.plan();
        world
    }

    /// Runs to the end, or to the first violation.
    ///
    /// # Errors
    /// What was violated, when, and how to see it again.
    pub fn run(mut self) -> Result<Report, String> {
        let seed = self.scenario.seed;
        self.go().map_err(|what| {
            format!("SEED={seed} at {} us: {what}\n  replay: NETCHAIN_SIM_SEED={seed} cargo test -p netchain-sim replay\n  {:?}", self.now_us, self.scenario)
        })?;
        self.report.heights = self.heights();
        self.report.rounds_differ = self.oracle.rounds_differ;
        self.report.convicted = self.convicted.len() as u64;
        Ok(self.report)
    }

    fn go(&mut self) -> Result<(), String> {
        let mut goal = None;
        while let Some(Reverse((at, id))) = self.events.pop() {
            if at > self.scenario.end_us {
                break;
            }
            self.now_us = at;
            if at >= self.scenario.heal_us && goal.is_none() {
                goal = Some(self.heights().1 + self.scenario.progress);
            }
            if goal.is_some_and(|goal| self.heights().0 >= goal) {
                return Ok(());
            }
            if let Some(event) = self.bodies.remove(&id) {
                self.step(event)?;
            }
        }
        let (low, high) = self.heights();
        match goal {
            Some(goal) if low < goal => Err(format!("progress: heights {low}..{high}, {goal} expected after healing")),
            _ => Ok(()),
        }
    }

    fn plan(&mut self) {
        for node in 0..self.scenario.witnesses {
            let down = self.scenario.down.iter().find(|(down, _)| *down == node).map_or(0, |(_, until)| *until);
            let start = self.rng.below(50_000).max(down);
            self.at(start, Event::Start(node));
        }
        for (at, node, down) in self.scenario.crashes.clone() {
            self.at(at, Event::Crash(node, down));
        }
        if self.scenario.replay_other_chain {
            self.plan_replay();
        }
    }

    /// Votes for nil that every witness has honestly signed on a sister chain, poured into this one.
    fn plan_replay(&mut self) {
        let sister = ChainDomain { chain_id: 8, genesis: B256::repeat_byte(8) };
        let sister = if self.scenario.no_chain_id { NO_CHAIN } else { sister };
        let witnesses = self.keys.len();
        for (height, from) in (1..=6).flat_map(|height| (0..witnesses).map(move |from| (height, from))) {
            let Some(key) = self.keys.get(from) else { continue };
            let voter = Voter(account_of(&key.verifying_key().to_bytes()));
            let (height, round) = (Height(height), Round::new(0));
            let vote = Vote { kind: VoteType::Prevote, height, round, value: NilOrVal::Nil, voter };
            let signature = Keys::sign(key, &vote.signing_bytes(&sister));
            let message = Rc::new(Message::Vote(SignedVote::new(vote, signature)));
            for to in 0..self.nodes.len() {
                for _ in 0..3 {
                    let at = self.rng.below(8_000_000);
                    self.at(at, Event::Deliver { to, from, message: message.clone() });
                }
            }
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence)));
        self.bodies.insert(self.sequence, event);
    }

    fn honest(&self, node: usize) -> bool {
        self.scenario.lie(node).is_none()
    }

    fn heights(&self) -> (u64, u64) {
        let forever = |node: &usize| !self.scenario.down.contains(&(*node, u64::MAX));
        let honest = (0..self.nodes.len()).filter(|node| self.honest(*node)).filter(forever);
        let heights = honest
            .filter_map(|node| self.nodes.get(node))
            .map(|node| node.host.as_ref().map_or(node.app.tip().height, |host| host.height() - 1));
        heights.fold((u64::MAX, 0), |(low, high), at| (low.min(at), high.max(at)))
    }

    fn now(&self, node: usize) -> Now {
        let skew = self.scenario.skew_s.get(node).copied().unwrap_or(0);
        Now { mono_us: self.now_us, unix_s: (GENESIS_S + 10 + self.now_us / 1_000_000).saturating_add_signed(skew) }
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Deliver { to, from, message } => {
                self.report.messages += 1;
                let now = self.now(to);
                let Some(host) = self.nodes.get_mut(to).and_then(|node| node.host.as_mut()) else { return Ok(()) };
                // Through the wire and back, now and then: all of it would be half of the run.
                let message = if self.report.messages.is_multiple_of(16) {
                    let bytes = message.encode();
                    self.report.trace = keccak256([self.report.trace.as_slice(), &bytes].concat());
                    Message::decode(&bytes).map_err(|error| format!("codec: {error}"))?
                } else {
                    (*message).clone()
                };
                host.handle_message(now, from as u64, message);
                self.perform(to)
            }
            Event::Wake(node) => {
                let now = self.now(node);
                let Some(it) = self.nodes.get_mut(node) else { return Ok(()) };
                it.wake_us = u64::MAX;
                let Some(host) = it.host.as_mut() else { return Ok(()) };
                host.handle_timeout(now);
                self.perform(node)
            }
            Event::Crash(node, down_us) => {
                let after = self.rng.below(12);
                if let Some(it) = self.nodes.get_mut(node).filter(|it| it.host.is_some()) {
                    it.dies_after = Some((after, down_us));
                }
                Ok(())
            }
            Event::Start(node) => self.start(node),
        }
    }

    fn start(&mut self, node: usize) -> Result<(), String> {
        let now = self.now(node);
        let (Some(it), Some(key)) = (self.nodes.get_mut(node), self.keys.get(node)) else { return Ok(()) };
        if it.host.is_some() {
            return Ok(());
        }
        let account = account_of(&key.verifying_key().to_bytes());
        let timing = Timing { block_us: BLOCK_US, ..Timing::default() };
        let config = Config { chain: self.chain, account, timing };
        let keys = SimKeys { key: key.clone(), cache: self.cache.clone() };
        it.host = Some(Host::start(config, Box::new(keys), it.app.clone(), &it.log, now));
        self.perform(node)
    }

    /// Performs what a host asks for, in order; a crash may come between any two.
    fn perform(&mut self, node: usize) -> Result<(), String> {
        loop {
            let Some(it) = self.nodes.get_mut(node) else { return Ok(()) };
            if let Some((0, down_us)) = it.dies_after {
                self.crash(node, down_us);
                return Ok(());
            }
            let Some(effect) = it.host.as_mut().and_then(Host::poll_effect) else { break };
            if let Some((left, _)) = it.dies_after.as_mut() {
                *left -= 1;
            }
            self.effect(node, effect)?;
        }
        let Some(it) = self.nodes.get_mut(node) else { return Ok(()) };
        let due = it.host.as_ref().and_then(Host::poll_timeout).map(|due| due.max(self.now_us + 1));
        if let Some(due) = due.filter(|due| *due < it.wake_us) {
            it.wake_us = due;
            self.at(due, Event::Wake(node));
        }
        Ok(())
    }

    fn crash(&mut self, node: usize, down_us: u64) {
        let Some(it) = self.nodes.get_mut(node) else { return };
        if let Some(host) = it.host.take() {
            it.app = host.app().clone();
        }
        it.log = it.disk.crash(&mut self.rng);
        it.dies_after = None;
        it.wake_us = u64::MAX;
        self.report.restarts += 1;
        self.at(self.now_us + down_us, Event::Start(node));
    }

    fn effect(&mut self, node: usize, effect: Effect) -> Result<(), String> {
        let honest = self.honest(node);
        let Some(it) = self.nodes.get_mut(node) else { return Ok(()) };
        match effect {
            Effect::WalCut(length) => it.disk.cut(length),
            Effect::WalReset(bytes) => it.disk.reset(bytes),
            Effect::WalAppend(bytes) => it.disk.append(bytes),
            Effect::WalSync => it.disk.sync(),
            Effect::Broadcast(message) => {
                if honest && self.theirs(node, &message) {
                    self.oracle.signed(&message)?;
                }
                self.broadcast(node, message);
            }
            Effect::Send(to, message) => {
                let to = usize::try_from(to).unwrap_or(usize::MAX);
                self.send(node, to, 0, &Rc::new(message));
            }
            Effect::Committed(..) if honest => {
                let chain = it.host.as_ref().map(|host| host.app().chain());
                chain.map_or(Ok(()), |app| self.oracle.committed(&self.chain, &self.set, app))?;
            }
            Effect::Committed(..) => {}
            Effect::Evidence(evidence) => {
                let seat = self.set.seat_of(&evidence.account).unwrap_or(usize::MAX);
                self.oracle.convicted(&evidence, self.honest(seat))?;
                self.convicted.insert(evidence.account);
            }
            Effect::Halt(why) if honest => return Err(format!("node {node} stopped: {why}")),
            Effect::Halt(_) => {}
        }
        Ok(())
    }

    /// Whether the message is the node's own statement (the core also repeats locked proposals of others).
    fn theirs(&self, node: usize, message: &Message) -> bool {
        let voter = match message {
            Message::Vote(vote) => vote.message.voter,
            Message::Proposal(proposal) => proposal.message.voter,
            Message::Polka(_) | Message::Round(_) | Message::BlockRequest(_) | Message::Block(_) => return false,
        };
        self.set.seat_of(&voter.0) == Some(node)
    }

    fn broadcast(&mut self, node: usize, message: Message) {
        let said = match (self.scenario.lie(node), self.keys.get(node)) {
            (Some(lie), Some(key)) => twist(lie, message, &self.chain, key, &mut self.rng),
            _ => vec![Said { to: 2, late_us: 0, message: Rc::new(message) }],
        };
        for Said { to: half, late_us, message } in said {
            for to in (0..self.nodes.len()).filter(|to| *to != node && (half == 2 || to % 2 == half)) {
                self.send(node, to, late_us, &message);
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, late_us: u64, message: &Rc<Message>) {
        let now = self.now_us;
        let bit = |set: u32, node: usize| set >> node.min(31) & 1 == 1;
        let healed = now >= self.scenario.heal_us;
        let cut = self
            .scenario
            .partitions
            .iter()
            .any(|p| (p.time.0..p.time.1).contains(&now) && bit(p.from, from) && bit(p.to, to));
        let lost = self.rng.chance(self.scenario.loss_pm);
        let delay = self.rng.between(5_000, 120_000) + late_us;
        if healed || !(cut || lost) {
            self.at(now + delay, Event::Deliver { to, from, message: message.clone() });
        }
    }
}

/// The domain of a signing text without one.
const NO_CHAIN: ChainDomain = ChainDomain { chain_id: 0, genesis: B256::ZERO };
