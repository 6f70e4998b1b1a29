//! `make crash-chain`: a local network under load whose processes are killed (SIGKILL), one after another, at random moments.
//! `--dead`: as many die at a time as the chain bears, then one more.
//!
//! Must hold: every killed node comes back by itself and catches up; all nodes have one block and one state root per height;
//! nobody is proven to have signed twice; every transaction that any node acknowledged, the killed ones included, is in the chain.

#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a program for developers

mod common;
#[path = "common/faults.rs"]
mod faults;

use std::time::Duration;

use common::{arg, flag, program};

fn main() -> anyhow::Result<()> {
    let root = std::env::temp_dir().join(format!("netchain-crash-{}", std::process::id()));
    let verdict = if flag("--dead") {
        let witnesses = usize::try_from(arg("--witnesses", 21))?;
        faults::as_many_dead_as_it_bears(program()?, &root, witnesses, Duration::from_secs(300))?
    } else {
        let (kills, witnesses) = (arg("--kills", 20), usize::try_from(arg("--witnesses", 4))?);
        faults::kill_and_return(program()?, &root, witnesses, kills, arg("--seed", 1))?
    };
    println!("{verdict}");
    Ok(std::fs::remove_dir_all(&root)?)
}
