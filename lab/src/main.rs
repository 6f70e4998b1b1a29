//! `netflow-lab`: the lab by hand, the demo, the measurements, and the small helper processes a lab needs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use netflow_lab::{cleanup, demo, failover, flood, matrix, measure, preflight, shell, wire};

/// An internet of network namespaces on one machine.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Show the main job: two homes behind NATs share a private network through relays that cannot read it.
    Demo,
    /// Build the demo's internet and leave it running until Ctrl-C.
    Shell,
    /// Measure size, memory, idle traffic and join time against their budgets.
    Measure {
        /// Leave out the idle traffic, which takes eight minutes.
        #[arg(long)]
        quick: bool,
        /// How long idle traffic is counted, seconds.
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(60..=86_400))]
        idle: u64,
    },
    /// Cut the direct path, kill the relay in use and switch the uplink under running traffic; print the gaps.
    Failover,
    /// Flood an edge node and a relay with forged handshakes; print what is left of the throughput, and how long a join takes.
    Flood {
        /// Forged initiations a second.
        #[arg(long, default_value_t = 100_000)]
        rate: u32,
    },
    /// The two cells of the NAT matrix that need a patient search, many pairs at a time; print the distribution.
    Patient {
        /// Pairs for each cell.
        #[arg(long, default_value_t = 20)]
        runs: usize,
    },
    /// Say whether this machine has what the lab needs.
    Preflight,
    /// Remove what labs left behind whose owner is dead, the files of failed tests included.
    Sweep,
    /// (used by the lab itself) Remove a lab when stdin closes.
    #[command(hide = true)]
    Watchdog {
        /// The lab's name.
        id: String,
    },
    /// (used by the lab itself) Join two namespaces by a cable with delay and rate.
    #[command(hide = true)]
    Wire {
        /// One-way delay in microseconds.
        delay_us: u64,
        /// Rate in kbit/s, 0 without a limit.
        rate_kbit: u64,
        /// Largest IP packet in bytes, 0 without a limit.
        mtu: u16,
        /// Namespace and device of one end, then of the other.
        #[arg(num_args = 4)]
        ends: Vec<String>,
    },
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Demo => demo::run(),
        Task::Shell => shell::run(),
        Task::Measure { quick, idle } => measure::run((!quick).then_some(idle)),
        Task::Failover => failover::run(),
        Task::Flood { rate } => flood::run(rate),
        Task::Patient { runs } => matrix::patient(runs),
        Task::Preflight => preflight::check(),
        Task::Sweep => {
            cleanup::sweep();
            cleanup::sweep_files()
        }
        Task::Watchdog { id } => {
            cleanup::watchdog(&id);
            Ok(())
        }
        Task::Wire { ends, delay_us, rate_kbit, mtu } => match ends.as_slice() {
            [ns_a, dev_a, ns_b, dev_b] => {
                wire::run((ns_a, dev_a), (ns_b, dev_b), wire::WireSpec { delay_us, rate_kbit, mtu })
            }
            _ => anyhow::bail!("a wire has two ends"),
        },
    }
}

fn main() -> ExitCode {
    match run(Args::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netflow-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
