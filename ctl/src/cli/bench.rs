//! `netctl bench`.

use clap::{Args, Subcommand};

/// TCP and UDP port of `netctl bench serve`: beside netflowd's own, above what home routers map.
const DEFAULT_PORT: u16 = 4799;

/// Subcommands of `bench`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Answer the measurements of other members, until Ctrl-C
    Serve {
        /// TCP and UDP port at this node's address in the network
        #[arg(long, default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
    },
    /// Rate of TCP to a member that runs `netctl bench serve`, and the round trip before and meanwhile
    Throughput(Throughput),
    /// Round trips of UDP packets to a member that runs `netctl bench serve`: distribution and loss
    Latency(Latency),
    /// Rate of the ciphers on one core of this machine, and which one netflowd offers
    Crypto {
        /// How long each figure is measured, in milliseconds
        #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=10_000))]
        each: u32,
    },
}

/// Options of `bench throughput`.
#[derive(Debug, Args)]
pub(crate) struct Throughput {
    /// Name, address or node id of the member
    pub(crate) peer: String,
    /// How long
    #[arg(short, long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub(crate) seconds: u32,
    /// TCP connections at the same time
    #[arg(short = 'P', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) streams: u32,
    /// From the member to this node
    #[arg(short = 'R', long)]
    pub(crate) reverse: bool,
    /// Port of `netctl bench serve` there
    #[arg(long, default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
}

/// Options of `bench latency`.
#[derive(Debug, Args)]
pub(crate) struct Latency {
    /// Name, address or node id of the member
    pub(crate) peer: String,
    /// Packets
    #[arg(short, long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: u32,
    /// Time between packets, in milliseconds
    #[arg(short, long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) interval: u32,
    /// Bytes of UDP payload
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(24..=1200))]
    pub(crate) size: u16,
    /// Port of `netctl bench serve` there
    #[arg(long, default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
}

impl Bench {
    /// The command as typed.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::Serve { .. } => "bench serve",
            Self::Throughput(_) => "bench throughput",
            Self::Latency(_) => "bench latency",
            Self::Crypto { .. } => "bench crypto",
        }
    }
}
