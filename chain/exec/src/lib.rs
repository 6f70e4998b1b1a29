//! Execution of transactions, blocks and calls with revm over a [`State`](netchain_state::State).
//!
//! Rules: Ethereum's OSAKA without blobs, two more precompiles ([`precompiles`]), fees that are paid out instead of burned
//! ([`FeeRule`]), and one system transaction at the end of each block ([`system`]). Everything is a function of the state
//! and its arguments: no clock, no socket, no database. An [`Executor`] serves consensus ([`Executor::build`],
//! [`Executor::execute`]), RPC ([`Executor::call`], [`Executor::estimate_gas`], [`Executor::trace`]) and the conformance
//! suites (`statetest`).

mod block;
mod call;
pub mod conformance;
mod cost;
mod env;
pub mod genesis;
mod order;
mod overlay;
mod params;
pub mod precompiles;
mod receipt;
pub mod system;
mod trace;
mod transaction;
pub mod witness;

pub use block::{BlockContext, Candidates, ExecError, ExecutedBlock, NoCandidates, Verdict, roots_of_body};
pub use call::{Call, CallError, CallOutcome};
pub use genesis::{Genesis, GenesisBlock, GenesisError};
pub use netchain_state as state;
pub use order::order_after;
pub use overlay::{Overlay, ReadError};
pub use params::{ChainParams, DEFAULT_GAS_LIMIT, DEFAULT_MIN_BASE_FEE, FeeRule, WITNESS_CONTRACT};
pub use receipt::{BlockReceipt, receipts_with_context, with_context};
pub use trace::{TraceError, TracedTransaction};
pub use transaction::{
    MAX_TRANSACTION_BYTES, SignedTransaction, TransactionError, decode_body, decode_stored_all, encode_body,
    encode_senders,
};

/// Executes by the rules of one chain. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    params: std::sync::Arc<ChainParams>,
}

impl Executor {
    /// An executor of a chain.
    #[must_use]
    pub fn new(params: ChainParams) -> Self {
        Self { params: std::sync::Arc::new(params) }
    }

    /// The chain's parameters.
    #[must_use]
    pub fn params(&self) -> &ChainParams {
        &self.params
    }
}
