//! `debug_trace*`: callTracer, prestateTracer and the others of revm-inspectors.

use alloy_eips::BlockId;
use alloy_primitives::B256;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace};
use netchain_exec::Call;
use serde_json::{Value, json};

use crate::RpcContext;
use crate::error::{RpcResult, SERVER, error, store_error, trace_error};
use crate::recent::ReadBlock;

impl RpcContext {
    fn trace_read(
        &self,
        read: &ReadBlock,
        only: Option<usize>,
        options: &GethDebugTracingOptions,
    ) -> RpcResult<Vec<netchain_exec::TracedTransaction>> {
        let height = read.header.number;
        let before = height.checked_sub(1).ok_or_else(|| error(SERVER, "genesis is not traceable"))?;
        let state = self.store.state_at(before).map_err(store_error)?;
        self.executor.trace(state, &read.context, &read.transactions, only, options, read.hash).map_err(trace_error)
    }

    pub(crate) fn trace_transaction(&self, hash: &B256, options: &GethDebugTracingOptions) -> RpcResult<GethTrace> {
        let found = self.find(hash)?.ok_or_else(|| error(SERVER, "transaction not found"))?;
        let traces = self.trace_read(&found.0, Some(found.1), options)?;
        traces.into_iter().next().map(|it| it.trace).ok_or_else(|| error(SERVER, "transaction not found"))
    }

    pub(crate) fn trace_block(&self, id: BlockId, options: &GethDebugTracingOptions) -> RpcResult<Vec<Value>> {
        let read = self.read_id(id)?.ok_or_else(|| error(SERVER, "block not found"))?;
        let traces = self.trace_read(&read, None, options)?;
        Ok(traces.into_iter().map(|it| json!({ "txHash": it.hash, "result": it.trace })).collect())
    }

    pub(crate) fn trace_call(
        &self,
        request: &TransactionRequest,
        id: Option<BlockId>,
        options: GethDebugTracingCallOptions,
    ) -> RpcResult<GethTrace> {
        let height = self.height(id)?;
        let (state, context) = (self.state(Some(height.into()))?, self.context(height)?);
        let overrides = options.state_overrides.as_ref();
        let call = Call { request, overrides, gas_cap: self.limits.gas_cap };
        self.executor.trace_call(state, &context, &call, &options.tracing_options).map_err(trace_error)
    }
}
