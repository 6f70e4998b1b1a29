//! Overlay nodes in virtual time: the real [`netflow_overlay::node::Node`] on hosts behind sampled NAT boxes, on lines that
//! lose, delay, reorder, double, corrupt and cut, with programs that are killed and clocks that jump - all from one seed,
//! judged by a reference model and invariants.
//!
//! ```text
//! cargo nextest run -p netflow-sim        # 200 seeds, and every seed that once found a bug
//! make sim SEEDS=2000                     # more of them, with progress and speed
//! make sim SEED=17                        # one again, told as it happens
//! make sim NODES=1000                     # a thousand nodes for an hour of virtual time
//! ```
//!
//! Layers, lower ones first: [`nat`] one box; [`net`] segments and boxes, a datagram's way; [`host`] what a shell does;
//! [`world`] the queue and everything on it; [`model`] what is possible; [`oracle`] what must never be; [`scenario`] a seed as data.
#![allow(
    clippy::indexing_slicing,
    reason = "development only: a wrong index is a mistake of the simulator, and must stop it"
)]

pub mod disk;
pub mod host;
pub mod memo;
pub mod model;
pub mod nat;
pub mod net;
pub mod oracle;
pub mod packet;
pub mod pairs;
pub mod queue;
pub mod report;
pub mod rng;
pub mod scenario;
pub mod world;

pub use report::Report;
pub use scenario::Scenario;
pub use world::World;
