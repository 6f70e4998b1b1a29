//! `netflowd`: the overlay router daemon of every tier.
//!
//! | module | owns |
//! |---|---|
//! | `config`, `args`, `exit`, `logging` | how it is started and how it ends |
//! | `identity`, `store` | what is on disk |
//! | `daemon` | the node, the event loop, the commands |
//! | `io` | UDP and TUN, batched |
//! | `link` | control links over QUIC |
//! | `networks` | interfaces, routes and filters of the machine |
//! | `api`, `http`, `metrics` | what others may ask |

mod api;
mod args;
mod config;
mod daemon;
mod exit;
mod http;
mod identity;
mod io;
mod link;
mod logging;
mod metrics;
mod networks;
mod portmap;
mod store;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::config::Config;
use crate::exit::{Code, Failure};

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("netflowd: {failure}");
            failure.exit_code()
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(|error| Failure::new(Code::Config, error))?;
    if args.check_config {
        return Ok(());
    }
    let log = logging::start(&config.log).map_err(|error| Failure::new(Code::Runtime, error))?;
    // One thread: the loop owns everything, and a router's second core is better spent on the kernel's half of the packets. It also means
    // that no thread exists before the privileges are dropped.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Runtime, format!("cannot start the event loop; {error}")))?;
    runtime.block_on(daemon::run(config, args.config, log))
}
