//! Seeds, directed runs, and the four mutations that must be caught.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use netchain_consensus::twin::MemoryChain;
use netchain_consensus::{
    Application, Block, CertifiedBlock, Draft, Invalid, Rules, Tendermint, ThresholdParam, ThresholdParams, Tip,
};
use netchain_sim::{Lie, Scenario, Twin, World};
use netchain_types::Certificate;

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn run(scenario: Scenario) -> Result<netchain_sim::Report, String> {
    World::<MemoryChain, Tendermint>::new(scenario).run()
}

fn seeds(offset: u64) {
    let count = env("SEEDS").unwrap_or(30) / 2;
    for seed in (0..count).map(|i| 1 + offset + 2 * i) {
        let report = run(Scenario::draw(seed)).unwrap_or_else(|what| panic!("{what}"));
        println!("seed {seed}: {report:?}");
    }
}

// Two halves: the test runner gives each a core.
#[test]
fn any_seed_agrees_is_valid_never_signs_twice_and_goes_on_after_healing_odd() {
    seeds(0);
}

#[test]
fn any_seed_agrees_is_valid_never_signs_twice_and_goes_on_after_healing_even() {
    seeds(1);
}

#[test]
fn replay() {
    if let Some(seed) = env("NETCHAIN_SIM_SEED") {
        println!("{:?}", run(Scenario::draw(seed)).unwrap_or_else(|what| panic!("{what}")));
    }
}

#[test]
fn a_seed_runs_the_same_twice() {
    assert_eq!(run(Scenario::draw(4)).unwrap(), run(Scenario::draw(4)).unwrap());
}

#[test]
fn six_of_twenty_one_dead_go_on_seven_stop_and_the_seventh_brings_them_back() {
    let dead = |n: usize, until| (0..n).map(|node| (node * 3, until)).collect::<Vec<_>>();
    let six = Scenario { down: dead(6, u64::MAX), end_us: 40_000_000, ..Scenario::calm(1, 21) };
    assert!(run(six).unwrap().heights.0 >= 3);
    let seven = Scenario {
        down: dead(7, u64::MAX),
        progress: 0,
        end_us: 30_000_000,
        heal_us: 30_000_000,
        ..Scenario::calm(2, 21)
    };
    assert_eq!(run(seven).unwrap().heights, (0, 0));
    let mut back = Scenario { down: dead(7, u64::MAX), end_us: 60_000_000, ..Scenario::calm(3, 21) };
    back.down[6].1 = 12_000_000;
    assert!(run(back).unwrap().heights.0 >= 3);
}

#[test]
fn twenty_one_bear_six_liars_under_loss() {
    let lies = [Lie::Equivocate, Lie::Withhold, Lie::BadBlock, Lie::Late, Lie::Equivocate, Lie::BadBlock];
    let liars = lies.iter().enumerate().map(|(i, lie)| (i * 3, *lie)).collect();
    let scenario = Scenario { liars, loss_pm: 150, heal_us: 8_000_000, end_us: 90_000_000, ..Scenario::calm(6, 21) };
    println!("{:?}", run(scenario).unwrap_or_else(|what| panic!("{what}")));
}

/// Mutation: 14 of 21 decide.
struct Fourteen;

impl Rules for Fourteen {
    fn thresholds() -> ThresholdParams {
        ThresholdParams { quorum: ThresholdParam::new(13, 21), ..ThresholdParams::default() }
    }
}

#[test]
fn mutation_quorum_14_is_caught() {
    let seven = |progress| Scenario {
        down: (0..7).map(|node| (node * 3, u64::MAX)).collect(),
        progress,
        end_us: 20_000_000,
        heal_us: 20_000_000,
        ..Scenario::calm(5, 21)
    };
    run(seven(0)).unwrap();
    let what = World::<MemoryChain, Fourteen>::new(seven(0)).run().unwrap_err();
    assert!(what.contains("validity"), "{what}");
}

fn crashing(seed: u64, lying_disks: bool) -> Scenario {
    let crashes = (0..40).map(|i| (400_000 + i * 377_000, usize::try_from(i).unwrap() % 4, 150_000)).collect();
    Scenario { crashes, lying_disks, heal_us: 16_000_000, end_us: 60_000_000, ..Scenario::calm(seed, 4) }
}

#[test]
fn mutation_no_fsync_is_caught() {
    run(crashing(1, false)).unwrap();
    let caught = (1..=10).find_map(|seed| run(crashing(seed, true)).err()).expect("no run without fsync was caught");
    println!("{caught}");
    assert!(caught.contains("double-sign") || caught.contains("evidence"), "{caught}");
}

#[test]
fn mutation_no_chain_id_in_signing_bytes_is_caught() {
    let replayed =
        |no_chain_id| Scenario { replay_other_chain: true, no_chain_id, end_us: 40_000_000, ..Scenario::calm(1, 4) };
    run(replayed(false)).unwrap();
    let what = run(replayed(true)).unwrap_err();
    assert!(what.contains("evidence against an honest witness"), "{what}");
}

/// Mutation: state counts the round of the local certificate.
#[derive(Clone)]
struct LocalRound(MemoryChain);

impl Twin for LocalRound {
    fn new(chain: MemoryChain) -> Self {
        Self(chain)
    }

    fn chain(&self) -> &MemoryChain {
        &self.0
    }
}

impl Application for LocalRound {
    fn tip(&self) -> Tip {
        self.0.tip()
    }

    fn propose(&mut self, draft: &Draft<'_>) -> Option<Block> {
        self.0.propose(draft)
    }

    fn binds(&self, block: &Block) -> bool {
        self.0.binds(block)
    }

    fn validate(&mut self, block: &Block) -> Result<(), Invalid> {
        self.0.validate(block)
    }

    fn commit(&mut self, block: &Block, certificate: &Certificate) -> Result<(), Invalid> {
        let state = self.0.state_after(block, certificate.round);
        self.0.keep(block, certificate, state);
        Ok(())
    }

    fn certified(&self, height: u64) -> Option<CertifiedBlock> {
        self.0.certified(height)
    }
}

#[test]
fn mutation_local_round_in_state_is_caught() {
    let lossy = |seed| Scenario { loss_pm: 300, heal_us: 40_000_000, end_us: 120_000_000, ..Scenario::calm(seed, 4) };
    let caught = (1..=20).find_map(|seed| {
        let fine = run(lossy(seed)).unwrap();
        World::<LocalRound, Tendermint>::new(lossy(seed)).run().err().map(|what| (what, fine.rounds_differ))
    });
    let (what, differ) = caught.expect("no run with the local round in state was caught");
    println!("{what} (certificates of one block with different rounds: {differ})");
    assert!(what.contains("agreement") || what.contains("state root"), "{what}");
}
