//! Nodes of the chain in virtual time: the daemon's consensus host, executor, store and mempool, with real signatures, on disks
//! that lose what was not synced, fill up and tear writes, over a network that loses, delays and cuts, beside witnesses that
//! lie, through changes of the witness set - all from one seed, judged by oracles.
//!
//! ```text
//! make sim-chain SEEDS=2000     many seeds
//! make sim-chain SEED=17        one of them, told as it happens
//! ```

pub mod contract;
pub mod database;
pub mod disk;
mod keys;
pub mod liar;
pub mod machine;
pub mod oracle;
pub mod people;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod traffic;
pub mod world;

pub use database::Database;
pub use machine::{Parts, Twin};
pub use report::Report;
pub use scenario::{Crash, Death, Lie, Partition, Scenario};
pub use world::World;
