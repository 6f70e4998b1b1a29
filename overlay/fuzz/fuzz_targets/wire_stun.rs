//! Feeds arbitrary bytes to `netflow_wire::fuzzing::stun`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| netflow_wire::fuzzing::stun(bytes));
