//! `make sim-chain`: many seeds, or one told as it happens.
//!
//! ```text
//! netchain-sim seeds COUNT [FIRST]     random histories on every core
//! netchain-sim seed NUMBER             one of them, with what happens
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![allow(clippy::disallowed_methods, reason = "measures how long the seeds take; the worlds know no clock")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use netchain_consensus::Tendermint;
use netchain_sim::{Report, Scenario, World};
use netchaind::chain::Chain;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|text| text.parse::<u64>().ok());
    let outcome = match (args.first().map(String::as_str), number(1)) {
        (Some("seeds"), Some(count)) => seeds(count, number(2).unwrap_or(1)),
        (Some("seed"), Some(seed)) => told(seed),
        _ => Err("usage: netchain-sim seeds COUNT [FIRST] | seed NUMBER".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::FAILURE
        }
    }
}

fn run(seed: u64, tell: bool) -> Result<Report, String> {
    World::<Chain, Tendermint>::new(Scenario::draw(seed), tell).run()
}

fn seeds(count: u64, first: u64) -> Result<(), String> {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {eta} left");
    let bar = ProgressBar::new(count).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (next, sum) = (AtomicU64::new(first), Mutex::new((Report::default(), Vec::new())));
    let started = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return;
            }
            let outcome = std::panic::catch_unwind(|| run(seed, false));
            bar.inc(1);
            let Ok(mut sum) = sum.lock() else { return };
            match outcome.unwrap_or_else(|_| Err(format!("SEED={seed}: panicked"))) {
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
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} seeds from {first} in {seconds:.0} s on {cores} cores, {} failed", failed.len());
    match failed.first() {
        None => Ok(()),
        Some(one) => Err(format!("failed seeds: {failed:?}; one again: make sim-chain SEED={one}")),
    }
}

fn told(seed: u64) -> Result<(), String> {
    println!("{:#?}", Scenario::draw(seed));
    println!("{}", run(seed, true)?);
    Ok(())
}
