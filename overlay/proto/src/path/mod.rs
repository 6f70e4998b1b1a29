//! Paths to a peer: how each is measured, which one carries what, when one is dead, and what size passes.
//!
//! Five independent parts, none of which knows a packet or an address: [`metrics`] round trip and goodput of a path, [`loss`] what it loses,
//! [`liveness`] whether it still works, [`pmtud`] the largest packet it carries, [`select`] which of several is used. [`class`]
//! says what an inside packet wants. `node` puts them together.

pub mod class;
pub mod liveness;
pub mod loss;
pub mod metrics;
pub mod pmtud;
pub mod select;

pub use class::{Class, classify};
pub use liveness::{Health, Liveness};
pub use loss::LossRange;
pub use metrics::{Metrics, Snapshot};
pub use pmtud::Pmtud;
pub use select::{Chooser, Offer, Standing};
