//! Feeds arbitrary bytes to `netflow_wire::fuzzing::inner`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netflow_wire::fuzzing::inner(bytes));
