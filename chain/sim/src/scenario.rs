//! What goes wrong in a run, drawn from its seed.

use crate::rng::Rng;

/// How a Byzantine witness behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Says one thing to one half and another to the other: votes and proposals.
    Equivocate,
    /// Keeps most of its messages to itself.
    Withhold,
    /// Offers blocks with a wrong state root, or another body under its header.
    BadBlock,
    /// Says everything seconds too late.
    Late,
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
    /// Number of witnesses.
    pub witnesses: usize,
    /// Byzantine ones.
    pub liars: Vec<(usize, Lie)>,
    /// Messages lost, in 1/1000.
    pub loss_pm: u64,
    /// Cut links.
    pub partitions: Vec<Partition>,
    /// Crashes: time, node, time down, all in microseconds.
    pub crashes: Vec<(u64, usize, u64)>,
    /// Nodes down until this time (`u64::MAX`: for ever).
    pub down: Vec<(usize, u64)>,
    /// Clock skew in seconds, per node.
    pub skew_s: Vec<i64>,
    /// From when on nothing is lost any more (liars keep lying).
    pub heal_us: u64,
    /// End of the run.
    pub end_us: u64,
    /// Heights every honest node must gain between healing and the end.
    pub progress: u64,
    /// Mutation: disks that do not sync.
    pub lying_disks: bool,
    /// Mutation: signing texts name no chain.
    pub no_chain_id: bool,
    /// Votes the honest witnesses signed on another chain are played in.
    pub replay_other_chain: bool,
}

impl Scenario {
    /// No faults.
    #[must_use]
    pub fn calm(seed: u64, witnesses: usize) -> Self {
        Self {
            seed,
            witnesses,
            liars: Vec::new(),
            loss_pm: 0,
            partitions: Vec::new(),
            crashes: Vec::new(),
            down: Vec::new(),
            skew_s: vec![0; witnesses],
            heal_us: 0,
            end_us: 10_000_000,
            progress: 3,
            lying_disks: false,
            no_chain_id: false,
            replay_other_chain: false,
        }
    }

    /// Everything at once, within what 21 witnesses must bear: at most a third less one lie.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let sizes = [4, 5, 7, 7, 10, 13, 21];
        let witnesses = *sizes.get(rng.index(sizes.len())).unwrap_or(&4);
        let faults = (witnesses - 1) / 3;
        let mut order: Vec<usize> = (0..witnesses).collect();
        for i in (1..witnesses).rev() {
            order.swap(i, rng.index(i + 1));
        }
        let lies = [Lie::Equivocate, Lie::Withhold, Lie::BadBlock, Lie::Late];
        let (liars, crashing) = (rng.index(faults + 1), rng.index(7));
        let heal_us = 15_000_000;
        let liars: Vec<(usize, Lie)> =
            order.iter().take(liars).map(|node| (*node, *lies.get(rng.index(4)).unwrap_or(&Lie::Late))).collect();
        let honest: Vec<usize> = order.iter().copied().skip(liars.len()).collect();
        let mut crashes = Vec::new();
        for node in honest.iter().take(crashing) {
            for _ in 0..rng.between(1, 3) {
                crashes.push((rng.below(heal_us), *node, rng.between(100_000, 4_000_000)));
            }
        }
        let all = (1_u64 << witnesses) - 1;
        let bits = |rng: &mut Rng| u32::try_from(rng.draw() & all).unwrap_or(0);
        let partitions = (0..rng.below(4))
            .map(|_| {
                let from = rng.below(heal_us);
                let time = (from, from + rng.between(500_000, 6_000_000));
                Partition { time, from: bits(&mut rng), to: bits(&mut rng) }
            })
            .collect();
        Self {
            liars,
            loss_pm: rng.below(301),
            partitions,
            crashes,
            skew_s: (0..witnesses).map(|_| i64::try_from(rng.below(11)).unwrap_or(0) - 5).collect(),
            heal_us,
            end_us: heal_us + 90_000_000,
            replay_other_chain: rng.chance(300),
            ..Self::calm(seed, witnesses)
        }
    }

    /// How a node lies, if it does.
    #[must_use]
    pub fn lie(&self, node: usize) -> Option<Lie> {
        self.liars.iter().find(|(liar, _)| *liar == node).map(|(_, lie)| *lie)
    }
}
