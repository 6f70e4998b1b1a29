//! Results and events of each method. Receivers ignore fields they do not know; `Option` fields may be absent.
//!
//! Node ids are `nf1...`, network ids `nfnet1...`; times in the past are ages (`_s`, `_ms` ago, by the daemon's monotonic
//! clock), only `_unix_s` fields are wall-clock time; byte counters count since the session, link or process began.

mod members;
mod netcheck;
mod network;
mod node;
mod paths;
mod routes;

pub use members::*;
pub use netcheck::*;
pub use network::*;
pub use node::*;
pub use paths::*;
pub use routes::*;
