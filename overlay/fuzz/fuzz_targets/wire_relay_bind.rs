//! Feeds arbitrary bytes to `netflow_wire::fuzzing::relay_bind`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netflow_wire::fuzzing::relay_bind(bytes));
