//! `netctl bench`: what two members can send each other, and what the ciphers of this machine do.
//!
//! Nothing of it is in the daemon: `serve` listens at this node's address inside the network, where only members can reach it, and the
//! others connect to it through the overlay like any program.

mod crypto;
mod latency;
mod peer;
mod protocol;
mod serve;
mod throughput;

use super::Context;
use crate::cli::Bench;
use crate::failure::Failure;

/// `netctl bench ..`.
pub(super) fn run(ctx: &Context<'_>, command: &Bench) -> Result<u8, Failure> {
    match command {
        Bench::Serve { port } => serve::serve(ctx, *port),
        Bench::Throughput(options) => throughput::throughput(ctx, options),
        Bench::Latency(options) => latency::latency(ctx, options),
        Bench::Crypto { each } => crypto::crypto(ctx, *each),
    }
}
