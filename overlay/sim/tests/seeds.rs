//! Seeds, and every seed that once found a bug.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use netflow_sim::nat::{Filtering, Mapping, NatKind, Ports};
use netflow_sim::scenario::{PLAIN, SECOND};
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

fn holds(seed: u64) {
    println!("{}", run(seed).unwrap_or_else(|what| panic!("{what}")));
}

#[test]
fn a_stream_that_lost_its_address_for_ten_seconds_goes_on_when_it_is_back() {
    holds(182);
}

#[test]
fn two_random_nats_that_let_everybody_in_do_not_fill_their_tables() {
    holds(129);
}

#[test]
fn a_node_that_restarts_in_the_middle_of_a_search_stays_within_its_entries() {
    holds(133);
}

#[test]
fn a_mapped_port_behind_a_carriers_box_is_found_by_a_search() {
    holds(191);
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
    // A node may be in the pause between two attempts when a run ends; see `Scenario::demands_direct`.
    assert!(sum.must_direct * 100 >= sum.must * 98, "{} of {} pairs are direct", sum.must_direct, sum.must);
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

/// None, endpoint-independent all over, the usual home router, the box nobody can foresee.
fn kinds() -> [(&'static str, Option<NatKind>); 4] {
    let full = NatKind { filtering: Filtering::EndpointIndependent, ..PLAIN };
    let random = NatKind { mapping: Mapping::AddressAndPortDependent, ports: Ports::Random, ..PLAIN };
    [("none", None), ("EIM/EIF", Some(full)), ("EIM/APDF", Some(PLAIN)), ("random APDM", Some(random))]
}

#[test]
fn every_cell_of_the_nat_matrix_connects_and_all_that_can_be_direct_are_within_thirty_seconds() {
    for (a, one) in kinds() {
        for (b, two) in kinds() {
            let report = World::new(Scenario::pair(one, two, 120 * SECOND), false).run();
            let report = report.unwrap_or_else(|what| panic!("{a} x {b}: {what}"));
            println!(
                "{a} x {b}: {} of {} direct after {:.1} s",
                report.must_direct + report.may_direct,
                report.pairs,
                report.slowest_direct_us as f64 / 1e6
            );
            assert_eq!(report.pairs, 2, "{a} x {b}: both directions talk");
            assert!(report.slowest_direct_us <= 30 * SECOND, "{a} x {b}: {report}");
        }
    }
}

#[test]
fn a_seed_runs_the_same_twice() {
    assert_eq!(run(3).unwrap(), run(3).unwrap());
}
