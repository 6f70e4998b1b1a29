//! Real processes that are killed. Small numbers; `make crash-chain` has the large ones.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

#[path = "../examples/common/mod.rs"]
mod common;
#[path = "../examples/common/faults.rs"]
mod faults;

use std::path::PathBuf;
use std::time::Duration;

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_netchaind").into()
}

#[test]
fn killed_witnesses_come_back_with_the_same_state_and_lose_nothing_acknowledged() {
    let root = tempfile::tempdir().unwrap();
    println!("{}", faults::kill_and_return(program(), root.path(), 4, 6, 7).unwrap());
}

#[test]
fn blocks_go_on_with_a_third_dead_stop_with_one_more_and_go_on_when_it_is_back() {
    let root = tempfile::tempdir().unwrap();
    println!("{}", faults::as_many_dead_as_it_bears(program(), root.path(), 4, Duration::from_secs(120)).unwrap());
}
