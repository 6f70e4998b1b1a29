//! Feeds arbitrary bytes to `netflow_wire::fuzzing::relay_echo`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netflow_wire::fuzzing::relay_echo(bytes));
