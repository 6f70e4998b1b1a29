//! Seeds, and every seed that once found a bug.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use netflow_sim::{Report, Scenario, World};

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn run(seed: u64) -> Result<Report, String> {
    World::new(Scenario::draw(seed), false).run()
}

#[test]
fn replay() {
    if let Some(seed) = env("NETFLOW_SIM_SEED") {
        let report = World::new(Scenario::draw(seed), true).run().unwrap_or_else(|what| panic!("{what}"));
        println!("{report}");
    }
}

/// Seeds of `make test`; 200 in four parts, so that two cores share them.
fn seeds(part: u64) {
    let count = env("SEEDS").unwrap_or(200);
    let mut sum = Report::default();
    for seed in (0..count).filter(|seed| seed % 4 == part) {
        let report = run(seed).unwrap_or_else(|what| panic!("{what}"));
        sum.add(&report);
    }
    println!("{sum}");
}

#[test]
fn any_seed_keeps_every_promise_part_1() {
    seeds(0);
}

#[test]
fn any_seed_keeps_every_promise_part_2() {
    seeds(1);
}

#[test]
fn any_seed_keeps_every_promise_part_3() {
    seeds(2);
}

#[test]
fn any_seed_keeps_every_promise_part_4() {
    seeds(3);
}
