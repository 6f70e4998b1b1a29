//! `make sim`: many seeds, one seed told as it happens, or a thousand nodes.
//!
//! ```text
//! netflow-sim seeds COUNT [FIRST]     random histories on every core
//! netflow-sim seed NUMBER             one of them, with a trace
//! netflow-sim nodes COUNT [MINUTES]   one large world, and how fast it is
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![allow(clippy::disallowed_methods, reason = "measures how fast virtual time passes; the worlds know no clock")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use netflow_sim::scenario::SECOND;
use netflow_sim::{Report, Scenario, World};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|text| text.parse::<u64>().ok());
    let outcome = match (args.first().map(String::as_str), number(1)) {
        (Some("seeds"), Some(count)) => seeds(count, number(2).unwrap_or(0)),
        (Some("seed"), Some(seed)) => seed_told(seed),
        (Some("nodes"), Some(nodes)) => large(nodes, number(2).unwrap_or(60)),
        _ => Err("usage: netflow-sim seeds COUNT [FIRST] | seed NUMBER | nodes COUNT [MINUTES]".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

fn speed(virtual_us: u64, since: Instant) -> String {
    format!("{:.0} x real time", virtual_us as f64 / 1e6 / since.elapsed().as_secs_f64().max(1e-6))
}

fn seeds(count: u64, first: u64) -> Result<(), String> {
    let bar = bar(count, "{bar:30} {pos}/{len} seeds, {eta} left, {msg}");
    let (next, virtual_us, sum) =
        (AtomicU64::new(first), AtomicU64::new(0), Mutex::new((Report::default(), Vec::new())));
    let started = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            let scenario = Scenario::draw(seed);
            let end_us = scenario.end_us;
            let outcome = World::new(scenario, false).run();
            let total_us = virtual_us.fetch_add(end_us, Ordering::Relaxed) + end_us;
            bar.set_message(speed(total_us, started));
            bar.inc(1);
            let Ok(mut sum) = sum.lock() else { return };
            match outcome {
                Ok(report) => sum.0.add(&report),
                Err(what) => {
                    bar.suspend(|| eprintln!("{what}"));
                    sum.1.push(seed);
                }
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    bar.finish_and_clear();
    let (report, failed) = sum.into_inner().map_err(|_| "a run panicked".to_owned())?;
    println!("{report}");
    println!(
        "{count} seeds from {first}, {} on {cores} cores, {} failed",
        speed(virtual_us.into_inner(), started),
        failed.len()
    );
    if failed.is_empty() {
        Ok(())
    } else {
        let first = failed.first().copied().unwrap_or_default();
        Err(format!("failed seeds: {failed:?}; one again: make sim SEED={first}"))
    }
}

fn seed_told(seed: u64) -> Result<(), String> {
    let scenario = Scenario::draw(seed);
    println!("{scenario:#?}");
    let report = World::new(scenario, true).run()?;
    println!("{report}");
    Ok(())
}

fn large(nodes: u64, minutes: u64) -> Result<(), String> {
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let scenario = Scenario::large(seed, usize::try_from(nodes).unwrap_or(1_000), minutes);
    let idle = scenario.networks.first().map(|network| network.members.clone()).unwrap_or_default();
    let end_us = scenario.end_us;
    println!(
        "{} members, {} relays, {} networks, {} minutes",
        scenario.members.len(),
        scenario.relays.len(),
        scenario.networks.len(),
        minutes
    );
    let bar = bar(end_us / SECOND, "{bar:30} {pos}/{len} s of virtual time, {eta} left, {msg}");
    let mut world = World::new(scenario, false);
    // The first tenth is joining.
    let joined_us = end_us / 10;
    let started = Instant::now();
    world.run_until(joined_us, |world| progress(&bar, world, started))?;
    println!("joined: {}", speed(joined_us, started));
    let before: Vec<u64> = idle.iter().map(|host| world.bytes_of(*host)).collect();
    let steady = Instant::now();
    world.run_until(end_us, |world| progress(&bar, world, started))?;
    let window_us = end_us - joined_us;
    let steady = speed(window_us, steady);
    let mut used: Vec<u64> = idle.iter().zip(before).map(|(host, before)| world.bytes_of(*host) - before).collect();
    used.sort_unstable();
    bar.finish_and_clear();
    let report = world.finish()?;
    let a_day = |bytes: u64| bytes as f64 * 86_400e6 / window_us as f64 / 1e6;
    println!("{report}");
    println!("speed on one core: {} with joining, {steady} after it", speed(end_us, started));
    if let (Some(median), Some(most)) = (used.get(used.len() / 2), used.last()) {
        println!(
            "idle member of a network of {}: {:.2} MB a day (most {:.2}), budget 2",
            used.len(),
            a_day(*median),
            a_day(*most)
        );
    }
    Ok(())
}

fn progress(bar: &ProgressBar, world: &World, started: Instant) {
    bar.set_position(world.now_us() / SECOND);
    bar.set_message(speed(world.now_us(), started));
}
