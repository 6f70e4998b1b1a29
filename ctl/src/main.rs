//! `netctl`: the command line of the NetFlowCoin router.
//!
//! One process per command: parse the words, ask the daemon over its unix socket ([`netctl_api`]), print, exit with a
//! documented code. `wallet`, `tx`, `block` and `chain` ask a node of the chain over JSON-RPC instead ([`node`]) and sign with keys
//! of this machine ([`wallet`]). Errors are one line on stderr: `netctl: what; why; try: next command`. With `--json`, stdout gets one
//! JSON object per line, each with a `schema` field, for errors too. Described in `docs/spec/control-api.md`.

mod cli;
mod client;
mod commands;
mod failure;
mod node;
mod output;
mod qr;
mod secrets;
mod text;
mod tls;
mod usage;
mod wallet;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use failure::Failure;
use output::Out;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let wants_json = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    match run(args) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{failure}");
            if wants_json {
                // The exit code tells the failure even when stdout is gone.
                let _ = Out::new(true).raw(&failure.to_json());
            }
            ExitCode::from(failure.exit())
        }
    }
}

/// Runs the command line; the exit code when nothing went wrong on the way.
fn run(args: Vec<OsString>) -> Result<u8, Failure> {
    secrets::refuse_tokens_in_argv(&args)?;
    let cli = match cli::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage::explain(&error),
    };
    commands::run(&cli)
}
