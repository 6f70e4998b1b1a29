//! `debug_trace*`: a block's transactions executed again with somebody looking.

use alloy_primitives::B256;
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use netchain_state::State;
use revm::InspectEvm;
use revm_inspectors::tracing::{DebugInspector, TransactionContext};

use crate::block::BlockContext;
use crate::call::{Call, CallError, call_error, overridden};
use crate::cost::{Paid, pay_out};
use crate::env::Mode;
use crate::overlay::Overlay;
use crate::transaction::SignedTransaction;
use crate::{Executor, ReadError};

/// Why there is no trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The call or transaction could not be executed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The tracer is not known here or its options are wrong.
    #[error("tracing is not possible with these options: {0}")]
    Tracer(String),
}

impl From<ReadError> for TraceError {
    fn from(error: ReadError) -> Self {
        Self::Call(error.into())
    }
}

/// The trace of one transaction.
#[derive(Clone, Debug)]
pub struct TracedTransaction {
    /// Its hash.
    pub hash: B256,
    /// What the tracer saw.
    pub trace: GethTrace,
}

impl Executor {
    /// Executes the transactions of a block on the state before it and traces them, or only the one at index `only`.
    /// `block_hash` goes into the traces.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn trace<S: State>(
        &self,
        state: S,
        context: &BlockContext,
        transactions: &[SignedTransaction],
        only: Option<usize>,
        options: &GethDebugTracingOptions,
        block_hash: B256,
    ) -> Result<Vec<TracedTransaction>, TraceError> {
        let mut overlay = Overlay::new(state);
        let mut traces = Vec::new();
        let last = only.unwrap_or(usize::MAX);
        for (index, transaction) in transactions.iter().enumerate().take(last.saturating_add(1)) {
            let tracing = index == last || only.is_none();
            let place = TransactionContext {
                block_hash: Some(block_hash),
                tx_index: Some(index),
                tx_hash: Some(transaction.hash()),
            };
            let trace = self.trace_one(&mut overlay, context, transaction, tracing.then_some(options), place)?;
            traces.extend(trace.map(|trace| TracedTransaction { hash: transaction.hash(), trace }));
        }
        Ok(traces)
    }

    /// Traces a call that is not in any block.
    ///
    /// # Errors
    /// See [`TraceError`].
    pub fn trace_call<S: State>(
        &self,
        state: S,
        context: &BlockContext,
        call: &Call<'_>,
        options: &GethDebugTracingOptions,
    ) -> Result<GethTrace, TraceError> {
        let mut overlay = overridden(state, call.overrides)?;
        let env = self.call_env(&mut overlay, call, context)?;
        let mut inspector = inspector(options)?;
        let block = self.block_env(context);
        let mut evm = self.evm(&mut overlay, block.clone(), Mode::Call, &mut inspector);
        let result = evm.inspect_tx(env.clone()).map_err(call_error)?;
        drop(evm);
        inspector.get_result(None, &env, &block, &result, &mut overlay).map_err(tracer_error)
    }

    fn trace_one<S: State>(
        &self,
        overlay: &mut Overlay<S>,
        context: &BlockContext,
        transaction: &SignedTransaction,
        options: Option<&GethDebugTracingOptions>,
        place: TransactionContext,
    ) -> Result<Option<GethTrace>, TraceError> {
        let system = transaction.sender() == crate::system::system_address();
        let mode = if system { Mode::System } else { Mode::User };
        let env = transaction.env();
        let block = self.block_env(context);
        let mut inspector = options.map(inspector).transpose()?;
        let result = match &mut inspector {
            Some(inspector) => {
                self.evm(overlay, block.clone(), mode, inspector).inspect_tx(env.clone()).map_err(call_error)?
            }
            None => revm::ExecuteEvm::transact(&mut self.evm(overlay, block.clone(), mode, ()), env.clone())
                .map_err(call_error)?,
        };
        let trace = match &mut inspector {
            Some(inspector) => {
                Some(inspector.get_result(Some(place), &env, &block, &result, overlay).map_err(tracer_error)?)
            }
            None => None,
        };
        let gas_used = result.result.tx_gas_used();
        overlay.keep(result.state);
        if !system {
            let gas_price = transaction.effective_gas_price(context.base_fee);
            let paid = Paid { gas_used, gas_price, base_fee: context.base_fee };
            pay_out(overlay, &self.params, &context.beneficiary, paid)?;
        }
        Ok(trace)
    }
}

fn inspector(options: &GethDebugTracingOptions) -> Result<DebugInspector, TraceError> {
    DebugInspector::new(options.clone()).map_err(|error| TraceError::Tracer(error.to_string()))
}

fn tracer_error<E: std::fmt::Display>(error: E) -> TraceError {
    TraceError::Tracer(error.to_string())
}
