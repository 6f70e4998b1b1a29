//! Feeds arbitrary bytes to the `node` body the corpus replay of netflow-overlay runs.
#![no_main]
#[path = "../../proto/tests/parsers/mod.rs"]
mod parsers;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| parsers::whole::node(bytes));
