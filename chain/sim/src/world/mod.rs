//! Machines and a network in virtual time: one heap of events, one generator of numbers, no clock.

mod net;
mod plan;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use netchain_consensus::{Config, Effect, Host, Message, Now, Rules, Timing};
use netchain_exec::GenesisBlock;
use netchain_store::StoreOptions;
use netchain_types::ChainDomain;
use tempfile::TempDir;

use crate::keys::{Cache, SimKeys};
use crate::machine::{Machine, Plan, StartError, Twin};
use crate::oracle::Oracle;
use crate::people::{CHAIN_ID, GENESIS_S, Identity, genesis, sets};
use crate::report::Report;
use crate::rng::Rng;
use crate::scenario::{Death, Scenario};
use crate::traffic::{WALLETS, Wallet};

/// One block a second: more heights per virtual second than the chain's three.
const BLOCK_US: u64 = 1_000_000;
/// The domain of a signing text without one.
const NO_CHAIN: ChainDomain = ChainDomain { chain_id: CHAIN_ID, genesis: B256::ZERO };

#[derive(Clone, Debug)]
enum Event {
    Deliver { to: usize, from: usize, message: Rc<Message> },
    Transaction { to: usize, raw: Bytes },
    Wake(usize),
    Crash(usize, Death, u64),
    Full(usize, bool),
    Ask(usize),
    Start(usize),
}

/// One run of a scenario.
pub struct World<A, R> {
    scenario: Scenario,
    domain: ChainDomain,
    genesis: GenesisBlock,
    people: Vec<Identity>,
    machines: Vec<Machine<A, R>>,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    bodies: BTreeMap<u64, Event>,
    sequence: u64,
    now_us: u64,
    rng: Rng,
    cache: Cache,
    oracle: Oracle,
    convicted: BTreeSet<alloy_primitives::Address>,
    report: Report,
    tell: bool,
    /// Somebody committed since the goal was last looked at.
    moved: bool,
    /// Journals of mempools; real files, in memory where the system has such a place.
    _folder: TempDir,
}

fn folder() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder for journals")
}

impl<A: Twin, R: Rules> World<A, R> {
    /// A world at genesis. `tell`: says on standard output what happens.
    ///
    /// # Panics
    /// The scenario makes no genesis: a bug of the test.
    #[must_use]
    pub fn new(scenario: Scenario, tell: bool) -> Self {
        let people: Vec<Identity> = (0..scenario.nodes).map(Identity::new).collect();
        let wallets: Vec<Wallet> = (0..WALLETS).map(Wallet::new).collect();
        let sets = sets(&scenario, &people);
        let genesis = genesis(&scenario, &sets, &wallets).block().expect("a genesis");
        let mut domain = ChainDomain { chain_id: CHAIN_ID, genesis: genesis.header.hash() };
        if scenario.no_chain_id {
            // A signing text that names no chain is one that names the same nothing on every chain.
            domain = NO_CHAIN;
        }
        let folder = folder();
        let mut rng = Rng(scenario.seed ^ 0xc0ff_ee00);
        let mut machine =
            |node: usize| Machine::new(folder.path().join(node.to_string()), rng.draw(), scenario.lying_disks);
        let machines = (0..scenario.nodes).map(&mut machine).collect();
        let cache = Cache::default();
        let supply = genesis.changes.accounts.values().filter_map(|change| change.account);
        let supply = supply.fold(U256::ZERO, |sum, account| sum + account.balance);
        let judge = SimKeys { key: ed25519_dalek::SigningKey::from_bytes(&[1; 32]), cache: cache.clone() };
        let oracle = Oracle::new(Box::new(judge), domain, sets, supply, genesis.header.hash());
        let mut world = Self {
            domain,
            genesis,
            people,
            machines,
            events: BinaryHeap::new(),
            bodies: BTreeMap::new(),
            sequence: 0,
            now_us: 0,
            rng,
            cache,
            oracle,
            convicted: BTreeSet::new(),
            report: Report::default(),
            tell,
            moved: true,
            _folder: folder,
            scenario,
        };
        world.plan(&wallets);
        world
    }

    /// Runs to the end, or to the first violation.
    ///
    /// # Errors
    /// What was violated, when, and how to see it again.
    pub fn run(mut self) -> Result<Report, String> {
        let seed = self.scenario.seed;
        self.go().and_then(|()| self.last_judgement()).map_err(|what| {
            format!("SEED={seed} at {} us: {what}\n  replay: make sim-chain SEED={seed}", self.now_us)
        })?;
        self.report.heights = self.heights();
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
            if std::mem::take(&mut self.moved) && goal.is_some_and(|goal| self.heights().0 >= goal) {
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

    /// Databases as a whole, and the light client, when the run is over.
    fn last_judgement(&self) -> Result<(), String> {
        let running = self.machines.iter().enumerate().filter(|(node, _)| self.honest(*node));
        for (node, machine) in running {
            let Some(host) = machine.host.as_ref() else { continue };
            let store = host.app().chain().store();
            let judged = self.oracle.database(store).and_then(|()| self.oracle.light_client(&self.scenario, store));
            judged.map_err(|what| format!("node {node}: {what}"))?;
        }
        Ok(())
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.tell {
            use std::io::Write as _;
            // Nobody reads: no reason to stop.
            let _ = writeln!(std::io::stdout(), "{:>10.3} s  {}", self.now_us as f64 / 1e6, what());
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
        let honest = (0..self.machines.len()).filter(|node| self.honest(*node)).filter(forever);
        let heights = honest.filter_map(|node| self.machines.get(node)).map(Machine::height);
        heights.fold((u64::MAX, 0), |(low, high), at| (low.min(at), high.max(at)))
    }

    fn now(&self, node: usize) -> Now {
        let skew = self.scenario.skew_s.get(node).copied().unwrap_or(0);
        // Ten minutes after the genesis, so that the slowest clock is not before it.
        Now { mono_us: self.now_us, unix_s: (GENESIS_S + 610 + self.now_us / 1_000_000).saturating_add_signed(skew) }
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Deliver { to, from, message } => {
                self.report.messages += 1;
                let now = self.now(to);
                let Some(host) = self.machines.get_mut(to).and_then(|it| it.host.as_mut()) else { return Ok(()) };
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
            Event::Transaction { to, raw } => {
                if let Some(pool) = self.machines.get(to).and_then(|it| it.pool.as_ref()) {
                    // Refused when it comes too late; then a block carried it.
                    let _ = pool.submit(&raw, false);
                }
                Ok(())
            }
            Event::Wake(node) => {
                let now = self.now(node);
                let Some(it) = self.machines.get_mut(node) else { return Ok(()) };
                it.wake_us = u64::MAX;
                let Some(host) = it.host.as_mut() else { return Ok(()) };
                host.handle_timeout(now);
                self.perform(node)
            }
            Event::Crash(node, death, down_us) => {
                let after = self.rng.below(12);
                let Some(it) = self.machines.get_mut(node).filter(|it| it.host.is_some()) else { return Ok(()) };
                if death == Death::Commit {
                    it.database.cut_at_next_write();
                    it.cut_down_us = down_us;
                } else {
                    it.dies = Some((after, death, down_us));
                }
                Ok(())
            }
            Event::Full(node, full) => {
                self.machines.get_mut(node).into_iter().for_each(|it| it.set_full(full));
                self.say(|| format!("node {node}: disk {}", if full { "full" } else { "has space" }));
                Ok(())
            }
            Event::Ask(node) => {
                self.ask_around(node);
                Ok(())
            }
            Event::Start(node) => self.start(node),
        }
    }

    fn start(&mut self, node: usize) -> Result<(), String> {
        let now = self.now(node);
        let (Some(it), Some(who)) = (self.machines.get_mut(node), self.people.get(node)) else { return Ok(()) };
        if it.host.is_some() {
            return Ok(());
        }
        let timing = Timing { block_us: BLOCK_US, ..Timing::default() };
        let options =
            StoreOptions { undo_blocks: Some(self.scenario.undo_blocks), durable: !self.scenario.lazy_database };
        let config = Config { chain: self.domain, account: who.account, timing };
        let plan = Plan { genesis: &self.genesis, domain: self.domain, options, config };
        let keys = SimKeys { key: who.vote.clone(), cache: self.cache.clone() };
        match it.start(&plan, Box::new(keys), who.reveal(), now) {
            Ok(()) => {
                let height = it.height();
                self.say(|| format!("node {node}: starts after height {height}"));
                self.perform(node)
            }
            // Whoever watches over the process tries again.
            Err(StartError::Full) => {
                it.end(Death::Kill, &mut self.rng);
                self.at(self.now_us + 500_000, Event::Start(node));
                Ok(())
            }
            Err(StartError::Broken(what)) => Err(format!("node {node}: {what}")),
        }
    }

    /// Performs what a host asks for, in order; a crash may come between any two.
    fn perform(&mut self, node: usize) -> Result<(), String> {
        loop {
            let Some(it) = self.machines.get_mut(node) else { return Ok(()) };
            if it.database.is_dark() {
                // Power went while the host was at work: nothing of what it asked for since is done.
                self.report.cut_commits += 1;
                let down_us = it.cut_down_us;
                self.end(node, Death::Commit, down_us);
                return Ok(());
            }
            if let Some((0, death, down_us)) = it.dies {
                self.end(node, death, down_us);
                return Ok(());
            }
            let Some(effect) = it.host.as_mut().and_then(Host::poll_effect) else { break };
            if let Some((left, ..)) = it.dies.as_mut() {
                *left -= 1;
            }
            if !self.effect(node, effect)? {
                // The process ended itself; whoever watches over it starts it again.
                self.report.full_disks += 1;
                self.end(node, Death::Power, 300_000);
                return Ok(());
            }
        }
        let Some(it) = self.machines.get_mut(node) else { return Ok(()) };
        let due = it.host.as_ref().and_then(Host::poll_timeout).map(|due| due.max(self.now_us + 1));
        if let Some(due) = due.filter(|due| *due < it.wake_us) {
            it.wake_us = due;
            self.at(due, Event::Wake(node));
        }
        Ok(())
    }

    fn end(&mut self, node: usize, death: Death, down_us: u64) {
        let Some(it) = self.machines.get_mut(node) else { return };
        it.end(death, &mut self.rng);
        self.report.restarts += 1;
        self.say(|| format!("node {node}: ends ({death:?})"));
        self.at(self.now_us + down_us, Event::Start(node));
    }

    /// Performs one effect; false when the process must end for want of space.
    fn effect(&mut self, node: usize, effect: Effect) -> Result<bool, String> {
        let honest = self.honest(node);
        let Some(it) = self.machines.get_mut(node) else { return Ok(true) };
        match effect {
            Effect::WalCut(length) => it.disk.cut(length),
            Effect::WalReset(bytes) => return Ok(it.disk.reset(bytes).is_ok()),
            Effect::WalAppend(bytes) => return Ok(it.disk.append(bytes, &mut self.rng).is_ok()),
            Effect::WalSync => return Ok(it.disk.sync().is_ok()),
            Effect::Broadcast(message) => {
                if honest && self.theirs(node, &message) {
                    self.oracle.signed(&message)?;
                    self.oracle.offered(&self.scenario, &message)?;
                }
                self.broadcast(node, message);
            }
            Effect::Send(to, message) => {
                let to = usize::try_from(to).unwrap_or(usize::MAX);
                self.send(node, to, 0, &Rc::new(message));
            }
            Effect::Committed(height, hash) => {
                it.told = it.told.max(height);
                self.moved = true;
                self.committed(node, height, hash)?;
            }
            Effect::Evidence(evidence) => {
                let liar = self.people.iter().position(|who| who.account == evidence.account).unwrap_or(usize::MAX);
                self.oracle.convicted(&evidence, self.honest(liar))?;
                if self.convicted.insert(evidence.account) {
                    self.say(|| format!("node {node}: evidence against node {liar}, height {}", evidence.height));
                }
            }
            Effect::Halt(_) if it.database.has_failed() => return Ok(false),
            Effect::Halt(why) if honest && !it.database.is_dark() => return Err(format!("node {node} stopped: {why}")),
            Effect::Halt(_) => {}
        }
        Ok(true)
    }

    fn committed(&mut self, node: usize, height: u64, hash: B256) -> Result<(), String> {
        let Some(host) = self.machines.get(node).and_then(|it| it.host.as_ref()) else { return Ok(()) };
        let store = host.app().chain().store().clone();
        self.say(|| format!("node {node}: block {height} {hash}"));
        if !self.honest(node) {
            return Ok(());
        }
        self.oracle.committed(&self.scenario, &store, height, &mut self.report)
    }
}
