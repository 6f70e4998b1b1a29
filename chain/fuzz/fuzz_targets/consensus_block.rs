//! Feeds arbitrary bytes to the `consensus::block` body that the corpus replay of netchain-sim runs.
#![no_main]
#[path = "../../sim/tests/parsers/mod.rs"]
mod parsers;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::consensus::block(bytes));
