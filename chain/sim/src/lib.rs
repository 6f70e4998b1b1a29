//! Witnesses in virtual time (docs/adr/0010-consensus-core.md): the real consensus host with real signatures, disks that lose
//! what was not synced, a network that loses, delays and cuts, witnesses that lie - all from one seed, judged by oracles.
//!
//! ```text
//! cargo test -p netchain-sim                                   # 30 seeds, or SEEDS=n of them, and the mutations
//! NETCHAIN_SIM_SEED=17 cargo test -p netchain-sim replay -- --nocapture    # one seed again
//! ```

pub mod disk;
mod keys;
pub mod liar;
pub mod oracle;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod world;

pub use report::Report;
pub use scenario::{Lie, Partition, Scenario};
pub use world::{Twin, World};
