//! What goes wrong in a run, drawn from its seed.

use crate::rng::Rng;

/// How a Byzantine witness behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Says one thing to one half and another to the other: votes and proposals.
    Equivocate,
    /// Keeps most of its messages to itself.
    Withhold,
    /// Offers blocks that break one rule: state root, body, reveal, clock, witness set, round, parent, evidence.
    BadBlock,
    /// Makes its blocks, and so its reveals, known seconds too late.
    LateReveal,
    /// Says everything seconds too late.
    Late,
}

const LIES: [Lie; 5] = [Lie::Equivocate, Lie::Withhold, Lie::BadBlock, Lie::LateReveal, Lie::Late];

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// SIGKILL: what was written is there, synced or not.
    Kill,
    /// The machine loses power: what was not synced is there in part.
    Power,
    /// The machine loses power while a block is written to the database.
    Commit,
}

/// One crash.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// When, microseconds.
    pub at_us: u64,
    /// Which node.
    pub node: usize,
    /// How.
    pub death: Death,
    /// How long it is down.
    pub down_us: u64,
}

/// Links that are cut, one way each, for a while.
#[derive(Clone, Debug)]
pub struct Partition {
    /// From and until, in microseconds.
    pub time: (u64, u64),
    /// Bit per node: messages *from* these ...
    pub from: u32,
    /// ... *to* these are lost.
    pub to: u32,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Where everything comes from.
    pub seed: u64,
    /// Number of nodes: witnesses of some set, or of none for now.
    pub nodes: usize,
    /// Witness sets, seats in order; they serve in turn.
    pub sets: Vec<Vec<usize>>,
    /// Blocks that a set votes on before the next one follows.
    pub epoch: u64,
    /// Byzantine nodes.
    pub liars: Vec<(usize, Lie)>,
    /// Messages lost, in 1/1000.
    pub loss_pm: u64,
    /// Cut links.
    pub partitions: Vec<Partition>,
    /// Crashes.
    pub crashes: Vec<Crash>,
    /// Full disks: node, from and until in microseconds.
    pub full: Vec<(usize, u64, u64)>,
    /// Nodes down until this time (`u64::MAX`: for ever).
    pub down: Vec<(usize, u64)>,
    /// Clock skew in seconds, per node.
    pub skew_s: Vec<i64>,
    /// Transactions that users send.
    pub transactions: usize,
    /// Blocks whose undo records the stores keep.
    pub undo_blocks: u64,
    /// From when on nothing is lost any more (liars keep lying).
    pub heal_us: u64,
    /// End of the run.
    pub end_us: u64,
    /// Heights every honest node must gain between healing and the end.
    pub progress: u64,
    /// Mutation: the log's disk does not sync.
    pub lying_disks: bool,
    /// Mutation: the database does not sync.
    pub lazy_database: bool,
    /// Mutation: signing texts name no chain.
    pub no_chain_id: bool,
    /// Votes the honest witnesses signed on another chain are played in.
    pub replay_other_chain: bool,
}

impl Scenario {
    /// No faults, one set.
    #[must_use]
    pub fn calm(seed: u64, witnesses: usize) -> Self {
        Self {
            seed,
            nodes: witnesses,
            sets: vec![(0..witnesses).collect()],
            // Longer than any run.
            epoch: 10_000,
            liars: Vec::new(),
            loss_pm: 0,
            partitions: Vec::new(),
            crashes: Vec::new(),
            full: Vec::new(),
            down: Vec::new(),
            skew_s: vec![0; witnesses],
            transactions: 12,
            undo_blocks: 50_400,
            heal_us: 0,
            end_us: 10_000_000,
            progress: 3,
            lying_disks: false,
            lazy_database: false,
            no_chain_id: false,
            replay_other_chain: false,
        }
    }

    /// Everything at once, within what the set must bear: less than a third of every set lies or has a wrong clock.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng(seed);
        // Mostly small worlds: they are fast, and a fault is a larger part of them.
        let witnesses = rng.pick(&[4, 4, 5, 6, 7, 7, 10, 13, 21]);
        let spare = rng.index(4);
        let nodes = witnesses + spare;
        let order = rng.shuffled(nodes);
        let faults = (witnesses - 1) / 3;
        let bad = rng.index(faults + 1);
        let mut liars = Vec::new();
        let mut skew_s: Vec<i64> = (0..nodes).map(|_| rng.skew(5)).collect();
        for node in order.iter().take(bad) {
            if rng.chance(150) {
                skew_s.get_mut(*node).into_iter().for_each(|skew| *skew = rng.skew(600));
            } else {
                liars.push((*node, rng.pick(&LIES)));
            }
        }
        let honest: Vec<usize> = order.iter().copied().skip(bad).collect();
        let heal_us = 20_000_000;
        let full = honest.iter().rev().take(rng.index(3)).map(|node| {
            let from = rng.below(heal_us);
            (*node, from, (from + rng.between(200_000, 5_000_000)).min(heal_us))
        });
        let full = full.collect();
        let crashing = rng.index(7);
        let mut scenario = Self {
            nodes,
            liars,
            skew_s,
            full,
            crashes: Self::draw_crashes(honest.iter().copied().take(crashing), heal_us, &mut rng),
            partitions: Self::draw_partitions(nodes, heal_us, &mut rng),
            loss_pm: rng.below(301),
            transactions: rng.index(60),
            undo_blocks: rng.pick(&[1, 2, 5, 50_400]),
            heal_us,
            end_us: heal_us + 90_000_000,
            replay_other_chain: rng.chance(200),
            ..Self::calm(seed, witnesses)
        };
        if rng.chance(700) {
            scenario.epoch = rng.between(2, 6);
            for _ in 0..rng.between(1, 3) {
                let seats = rng.between(witnesses as u64, nodes.min(21) as u64);
                let set = rng.shuffled(nodes).into_iter().take(usize::try_from(seats).unwrap_or(witnesses));
                scenario.sets.push(set.collect());
            }
        }
        scenario
    }

    fn draw_crashes(nodes: impl Iterator<Item = usize>, heal_us: u64, rng: &mut Rng) -> Vec<Crash> {
        let mut crashes = Vec::new();
        for node in nodes {
            for _ in 0..rng.between(1, 3) {
                let death = rng.pick(&[Death::Kill, Death::Power, Death::Power, Death::Commit]);
                let (at_us, down_us) = (rng.below(heal_us), rng.between(100_000, 4_000_000));
                crashes.push(Crash { at_us, node, death, down_us });
            }
        }
        crashes
    }

    fn draw_partitions(nodes: usize, heal_us: u64, rng: &mut Rng) -> Vec<Partition> {
        let all = (1_u64 << nodes) - 1;
        let bits = |rng: &mut Rng| u32::try_from(rng.draw() & all).unwrap_or(0);
        let count = rng.below(4);
        let partition = |_| {
            let from = rng.below(heal_us);
            let time = (from, from + rng.between(500_000, 6_000_000));
            let (from, to) = (bits(&mut *rng), bits(&mut *rng));
            Partition { time, from, to }
        };
        (0..count).map(partition).collect()
    }

    /// How a node lies, if it does.
    #[must_use]
    pub fn lie(&self, node: usize) -> Option<Lie> {
        self.liars.iter().find(|(liar, _)| *liar == node).map(|(_, lie)| *lie)
    }

    /// Number of the set that votes on a height, from 1 on.
    #[must_use]
    pub fn set_at(&self, height: u64) -> usize {
        let epochs = height.saturating_sub(1) / self.epoch.max(1);
        usize::try_from(epochs % (self.sets.len().max(1) as u64)).unwrap_or(0)
    }
}
