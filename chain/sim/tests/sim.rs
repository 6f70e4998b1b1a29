//! Seeds, directed runs, and the mutations that must be caught.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use alloy_primitives::{U256, keccak256};
use netchain_consensus::{
    Application, Block, CertifiedBlock, Draft, Invalid, Rules, Tendermint, ThresholdParam, ThresholdParams, Tip,
};
use netchain_exec::WITNESS_CONTRACT;
use netchain_sim::{Crash, Database, Death, Lie, Parts, Report, Scenario, Twin, World};
use netchain_state::AccountRecord;
use netchain_store::{Batch, Kv, Table};
use netchain_types::Certificate;
use netchaind::chain::Chain;

/// Seeds of one `make test`.
const SEEDS: u64 = 200;

fn run(scenario: Scenario) -> Result<Report, String> {
    World::<Chain, Tendermint>::new(scenario, false).run()
}

fn seeds(first: u64) {
    let mut sum = Report::default();
    for seed in (first..=SEEDS).step_by(2) {
        sum.add(&run(Scenario::draw(seed)).unwrap_or_else(|what| panic!("{what}")));
    }
    println!("{sum}");
    // What is never reached is not tested.
    for (what, count) in [
        ("restarts", sum.restarts),
        ("full disks", sum.full_disks),
        ("cut commits", sum.cut_commits),
        ("evidence", sum.evidence),
        ("set changes", sum.set_changes),
        ("transactions", sum.transactions),
    ] {
        assert!(count >= 10, "only {count} {what} in {} seeds", SEEDS / 2);
    }
}

// Two halves: the test runner gives each a core.
#[test]
fn any_seed_agrees_is_valid_never_signs_twice_and_goes_on_after_healing_odd() {
    seeds(1);
}

#[test]
fn any_seed_agrees_is_valid_never_signs_twice_and_goes_on_after_healing_even() {
    seeds(2);
}

#[test]
fn a_seed_runs_the_same_twice() {
    assert_eq!(run(Scenario::draw(4)).unwrap(), run(Scenario::draw(4)).unwrap());
}

fn down(n: usize, until: u64) -> Vec<(usize, u64)> {
    (0..n).map(|node| (node * 3, until)).collect()
}

#[test]
fn six_of_twenty_one_dead_go_on() {
    let six = Scenario { down: down(6, u64::MAX), end_us: 40_000_000, ..Scenario::calm(1, 21) };
    assert!(run(six).unwrap().heights.0 >= 3);
}

#[test]
fn seven_of_twenty_one_dead_stop_and_the_seventh_brings_them_back() {
    let end_us = 30_000_000;
    let seven = Scenario { down: down(7, u64::MAX), progress: 0, end_us, heal_us: end_us, ..Scenario::calm(2, 21) };
    assert_eq!(run(seven).unwrap().heights, (0, 0));
    let mut back = Scenario { down: down(7, u64::MAX), end_us: 60_000_000, ..Scenario::calm(3, 21) };
    back.down[6].1 = 12_000_000;
    assert!(run(back).unwrap().heights.0 >= 3);
}

#[test]
fn twenty_one_bear_six_liars_under_loss() {
    let lies = [Lie::Equivocate, Lie::Withhold, Lie::BadBlock, Lie::LateReveal, Lie::Equivocate, Lie::Late];
    let liars = lies.iter().enumerate().map(|(i, lie)| (i * 3, *lie)).collect();
    let scenario = Scenario { liars, loss_pm: 150, heal_us: 8_000_000, end_us: 90_000_000, ..Scenario::calm(6, 21) };
    let report = run(scenario).unwrap();
    assert!(report.convicted >= 1 && report.evidence >= 1, "{report}");
}

#[test]
fn a_set_can_be_replaced_as_a_whole_and_change_its_size() {
    let sets = vec![vec![0, 1, 2, 3], vec![4, 5, 6, 7, 8, 9, 10], vec![3, 2, 11, 0, 5], (0..12).collect()];
    let calm = Scenario::calm(7, 12);
    let scenario = Scenario { sets, epoch: 3, progress: 26, end_us: 200_000_000, ..calm };
    let report = run(scenario).unwrap();
    assert!(report.set_changes >= 8, "{report}");
}

#[test]
fn a_set_that_changes_with_every_block_goes_on() {
    let sets = vec![vec![0, 1, 2, 3, 4], vec![5, 4, 3, 2, 1], vec![1, 0, 6, 7, 2]];
    let scenario = Scenario { sets, epoch: 1, progress: 20, end_us: 200_000_000, ..Scenario::calm(8, 8) };
    assert!(run(scenario).unwrap().set_changes >= 19);
}

#[test]
fn evidence_against_a_witness_that_has_left_the_set_is_not_offered_and_does_not_stop_the_chain() {
    // Liars serve one height out of three: a proof that the next creator has not found is late.
    let sets: Vec<Vec<usize>> = vec![(0..4).collect(), (4..8).collect(), (8..12).collect()];
    let lossy = |seed| Scenario {
        sets: Vec::clone(&sets),
        liars: vec![(0, Lie::Equivocate), (5, Lie::Equivocate), (10, Lie::Equivocate)],
        epoch: 1,
        loss_pm: 250,
        heal_us: 30_000_000,
        progress: 6,
        end_us: 200_000_000,
        ..Scenario::calm(seed, 12)
    };
    let reports = (1..=8).map(|seed| run(lossy(seed)).unwrap_or_else(|what| panic!("{what}")));
    let convicted: u64 = reports.map(|report| report.convicted).sum();
    assert!(convicted >= 8, "only {convicted}");
}

#[test]
fn a_full_disk_ends_a_witness_and_it_comes_back_without_signing_twice() {
    // More than a third at once: nothing is decided until there is space.
    let full = (0..3).map(|node| (node, 2_500_000 + node as u64 * 200_000, 9_000_000)).collect();
    let scenario = Scenario { full, heal_us: 10_000_000, end_us: 60_000_000, ..Scenario::calm(10, 4) };
    let report = run(scenario).unwrap();
    assert!(report.full_disks >= 3, "{report}");
}

#[test]
fn power_that_goes_in_the_middle_of_a_commit_leaves_a_whole_block() {
    let crash = |i: u64| Crash {
        at_us: 400_000 + i * 500_000,
        node: usize::try_from(i % 4).unwrap(),
        death: Death::Commit,
        down_us: 300_000,
    };
    let crashes = (0..28).map(crash).collect();
    let scenario =
        Scenario { crashes, transactions: 40, heal_us: 16_000_000, end_us: 60_000_000, ..Scenario::calm(11, 4) };
    let report = run(scenario).unwrap();
    assert!(report.cut_commits >= 8, "{report}");
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
    let seven = Scenario {
        down: down(7, u64::MAX),
        progress: 0,
        end_us: 20_000_000,
        heal_us: 20_000_000,
        ..Scenario::calm(5, 21)
    };
    run(seven.clone()).unwrap();
    let what = World::<Chain, Fourteen>::new(seven, false).run().unwrap_err();
    assert!(what.contains("validity"), "{what}");
}

fn crashing(seed: u64) -> Scenario {
    let crash = |i: u64| Crash {
        at_us: 400_000 + i * 377_000,
        node: usize::try_from(i % 4).unwrap(),
        death: Death::Power,
        down_us: 150_000,
    };
    let crashes = (0..40).map(crash).collect();
    Scenario { crashes, heal_us: 16_000_000, end_us: 60_000_000, ..Scenario::calm(seed, 4) }
}

#[test]
fn mutation_no_fsync_is_caught() {
    run(crashing(1)).unwrap();
    let lying = |seed| run(Scenario { lying_disks: true, ..crashing(seed) }).err();
    let caught = (1..=10).find_map(lying).expect("no run without fsync was caught");
    println!("{caught}");
    assert!(caught.contains("double-sign") || caught.contains("evidence"), "{caught}");
}

#[test]
fn mutation_no_fsync_of_the_database_is_caught() {
    let lazy = |seed| run(Scenario { lazy_database: true, ..crashing(seed) }).err();
    let caught = (1..=10).find_map(lazy).expect("no run without fsync of the database was caught");
    assert!(caught.contains("lost"), "{caught}");
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
struct LocalRound(Chain, Database);

impl Twin for LocalRound {
    fn open(parts: Parts) -> Result<Self, String> {
        let database = parts.database.clone();
        Ok(Self(<Chain as Twin>::open(parts)?, database))
    }

    fn chain(&self) -> &Chain {
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
        self.0.commit(block, certificate)?;
        // The contract's leaf is written anew with every block: from the next one on the state root knows.
        let key = keccak256(WITNESS_CONTRACT);
        let record = self.1.get(Table::Accounts, key.as_slice()).unwrap().unwrap();
        let mut record = AccountRecord::decode(&record).unwrap();
        record.account.balance += U256::from(certificate.round);
        let mut batch = Batch::default();
        batch.put(Table::Accounts, key.as_slice(), record.encode());
        self.1.write(batch, true).unwrap();
        Ok(())
    }

    fn certified(&self, height: u64) -> Option<CertifiedBlock> {
        self.0.certified(height)
    }
}

#[test]
fn mutation_local_round_in_state_is_caught() {
    // The oracle of the supply sees the forged balance, that of agreement the different ones: whichever comes first.
    let lossy = |seed| Scenario { loss_pm: 300, heal_us: 40_000_000, end_us: 120_000_000, ..Scenario::calm(seed, 4) };
    let caught = (1..=20).find_map(|seed| {
        let fine = run(lossy(seed)).unwrap();
        World::<LocalRound, Tendermint>::new(lossy(seed), false).run().err().map(|what| (what, fine.rounds_differ))
    });
    let (what, differ) = caught.expect("no run with the local round in state was caught");
    println!("{what} (certificates of one block with different rounds: {differ})");
    assert!(what.contains("supply") || what.contains("agreement") || what.contains("stopped"), "{what}");
}
