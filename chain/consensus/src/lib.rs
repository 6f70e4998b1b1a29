//! Blocks decided by up to 21 witnesses, as a sans-IO core (docs/spec/chain.md, docs/adr/0010-consensus-core.md).
//!
//! [`Host`] is the grammar: `handle_message / handle_timeout` in, `poll_effect / poll_timeout` out; time is an argument. What
//! the chain does with blocks is an [`Application`]; [`twin::MemoryChain`] is one in memory. Consensus itself is the pinned
//! core of Malachite: Tendermint as a transition function whose effects are data.
//!
//! Two traps, both held by tests. **One block may be certified in different rounds on different nodes**: state takes the
//! round from the header. **The core's votes carry no chain id**: ours are signed with the chain's domain in front.

pub mod application;
pub mod block;
pub mod context;
pub mod dpos;
pub mod evidence;
pub mod host;
pub mod keys;
pub mod message;
pub mod timing;
pub mod twin;
pub mod wal;

pub use application::{Application, Draft, Invalid, Now, Tip};
pub use block::{Block, BlockParts, CertifiedBlock};
pub use dpos::{DposState, Making};
pub use evidence::Evidence;
pub use host::{Config, Effect, Host, Peer, Rules, Tendermint};
pub use keys::Keys;
pub use message::Message;
pub use timing::Timing;

pub use arc_malachitebft_core_types::{ThresholdParam, ThresholdParams};
