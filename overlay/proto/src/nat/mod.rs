//! Reaching peers without a relay: what this node's NAT does, where it and its peers may be reached, and the ladder of attempts.
//!
//! Pure: time, randomness and input are arguments, what to do comes out as values. `node/direct.rs` and `node/netcheck.rs` tie it
//! to sessions, ports and relays.
//!
//! The ladder (design/overlay.md, "Direct links"), all of it under one [`budget`]: IPv6 and own public addresses, a mapped port,
//! reflexive addresses with simultaneous open, hairpin and LAN addresses (one [`punch`] burst, best first), then the patient
//! birthday [`search`] between one side with a stable mapping and one with a random one.

pub(crate) mod answers;
pub(crate) mod budget;
pub(crate) mod candidates;
pub(crate) mod classify;
pub(crate) mod ports;
pub(crate) mod punch;
pub(crate) mod questions;
pub(crate) mod search;
pub(crate) mod survey;
