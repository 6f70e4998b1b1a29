//! `make sim`: many seeds, one seed told as it happens, a thousand nodes, or a day of silence.
//!
//! ```text
//! netflow-sim seeds COUNT [FIRST]     random histories on every core
//! netflow-sim seed NUMBER             one of them, with a trace
//! netflow-sim nodes COUNT [MINUTES]   one large world, and how fast it is
//! netflow-sim day [MEMBERS]           a network whose members never talk, and what each sends and receives
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![allow(clippy::disallowed_methods, reason = "measures how fast virtual time passes; the worlds know no clock")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use netflow_sim::scenario::{DAY_BEGINS_US, SECOND, joining_us};
use netflow_sim::{Report, Scenario, World};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|text| text.parse::<u64>().ok());
    let outcome =
        match (args.first().map(String::as_str), number(1)) {
            (Some("seeds"), Some(count)) => seeds(count, number(2).unwrap_or(0)),
            (Some("seed"), Some(seed)) => seed_told(seed),
            (Some("nodes"), Some(nodes)) => large(nodes, number(2).unwrap_or(60)),
            (Some("day"), members) => day(members.unwrap_or(101)),
            _ => Err("usage: netflow-sim seeds COUNT [FIRST] | seed NUMBER | nodes COUNT [MINUTES] | day [MEMBERS]"
                .to_owned()),
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

/// Seed of a large world or a day, if another one is wished.
fn seed_or_one() -> u64 {
    std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn large(nodes: u64, minutes: u64) -> Result<(), String> {
    let nodes = usize::try_from(nodes).unwrap_or(1_000);
    let scenario = Scenario::large(seed_or_one(), nodes, minutes);
    let idle = scenario.networks.first().map(|network| network.members.clone()).unwrap_or_default();
    println!(
        "{} members, {} relays, {} networks, {} conversations, {} faults, {minutes} minutes",
        scenario.members.len(),
        scenario.relays.len(),
        scenario.networks.len(),
        scenario.flows.len(),
        scenario.faults.len(),
    );
    let (joined_us, end_us) = (joining_us(nodes), scenario.end_us);
    let mut world = World::new(scenario, std::env::var_os("TRACE").is_some());
    pass(&mut world, joined_us, "joining")?;
    let before = bytes(&world, &idle);
    pass(&mut world, end_us, "after it")?;
    let used = used(&world, &idle, &before);
    let report = world.finish()?;
    println!("{report}");
    print_a_day(&used, end_us - joined_us, idle.len());
    Ok(())
}

fn day(members: u64) -> Result<(), String> {
    let scenario = Scenario::day(seed_or_one(), usize::try_from(members).unwrap_or(101));
    let hosts: Vec<usize> = (0..scenario.members.len()).collect();
    let end_us = scenario.end_us;
    let mut world = World::new(scenario, false);
    pass(&mut world, DAY_BEGINS_US, "joining")?;
    let before = bytes(&world, &hosts);
    pass(&mut world, end_us, "a day of silence")?;
    let used = used(&world, &hosts, &before);
    world.finish()?;
    print_a_day(&used, end_us - DAY_BEGINS_US, hosts.len());
    match used.last() {
        Some(most) if a_day(*most, end_us - DAY_BEGINS_US) > BUDGET_MB => Err("over the budget".to_owned()),
        _ => Ok(()),
    }
}

/// Lets the world pass to a time, and says how fast it did.
fn pass(world: &mut World, until_us: u64, what: &str) -> Result<(), String> {
    let (from_us, events, since, cpu) = (world.now_us(), world.report().events, Instant::now(), cpu_s());
    let bar = bar((until_us - from_us) / SECOND, "{bar:30} {pos}/{len} s of virtual time, {eta} left, {msg}");
    world.run_until(until_us, |world| {
        bar.set_position((world.now_us() - from_us) / SECOND);
        bar.set_message(speed(world.now_us() - from_us, since));
    })?;
    bar.finish_and_clear();
    let virtual_s = (until_us - from_us) as f64 / 1e6;
    let (clock_s, cpu_s) = (since.elapsed().as_secs_f64(), cpu_s().zip(cpu).map(|(after, before)| after - before));
    let took_s = cpu_s.unwrap_or(clock_s);
    println!(
        "{what}: {virtual_s:.0} s of virtual time in {took_s:.1} s of one core ({clock_s:.1} s by the clock): {:.0} x real time, {} events",
        virtual_s / took_s.max(1e-6),
        world.report().events - events
    );
    Ok(())
}

/// Processor time of this process in seconds (proc_pid_stat(5), fields 14 and 15, in hundredths on Linux): what else the machine does is no
/// part of it. `None` elsewhere.
fn cpu_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) as f64 / 100.0)
}

fn bytes(world: &World, hosts: &[usize]) -> Vec<u64> {
    hosts.iter().map(|host| world.bytes_of(*host)).collect()
}

/// Bytes since then, sorted.
fn used(world: &World, hosts: &[usize], before: &[u64]) -> Vec<u64> {
    let mut used: Vec<u64> = bytes(world, hosts).iter().zip(before).map(|(now, before)| now - before).collect();
    used.sort_unstable();
    used
}

/// Issue 3: control traffic of an idle node of a network of 100.
const BUDGET_MB: f64 = 2.0;

fn a_day(bytes: u64, in_us: u64) -> f64 {
    bytes as f64 * 86_400e6 / in_us as f64 / 1e6
}

fn print_a_day(used: &[u64], in_us: u64, members: usize) {
    if let (Some(median), Some(most)) = (used.get(used.len() / 2), used.last()) {
        println!(
            "idle member of a network of {members}: median {:.2} MB a day, most {:.2}, budget {BUDGET_MB}",
            a_day(*median, in_us),
            a_day(*most, in_us)
        );
    }
}
