//! The chain daemon as a library: what `netchaind` is wired from (docs/spec/chain.md).
//!
//! Threads: consensus ([`engine`]) alone, with the chain it executes; everything else on tokio. What joins them are bounded
//! queues, the store (readable from everywhere) and the mempool.

// The shell of the chain: clocks are what it is there for.
#![allow(clippy::disallowed_methods)]

pub mod admin;
pub mod answers;
pub mod chain;
pub mod config;
pub mod cpu;
pub mod engine;
pub mod fetch;
pub mod init;
pub mod keys;
pub mod mempool;
pub mod metrics;
mod offer;
pub mod offline;
pub mod pace;
pub mod preset;
pub mod recover;
pub mod reveal;
pub mod service;
pub mod sets;
pub mod snapshots;
pub mod txpool;
pub mod wal_file;
