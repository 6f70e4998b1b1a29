//! Calls that change nothing: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.

use alloy_eips::BlockId;
use alloy_primitives::{Bytes, U64, U256};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{AccessListResult, TransactionRequest};
use netchain_exec::{Call, CallOutcome};

use crate::RpcContext;
use crate::error::{RpcResult, SERVER, call_error, error, reverted};

impl RpcContext {
    fn call<'a>(&self, request: &'a TransactionRequest, overrides: Option<&'a StateOverride>) -> Call<'a> {
        Call { request, overrides, gas_cap: self.limits.gas_cap }
    }

    pub(crate) fn eth_call(
        &self,
        request: &TransactionRequest,
        id: Option<BlockId>,
        overrides: Option<&StateOverride>,
    ) -> RpcResult<Bytes> {
        let height = self.height(id)?;
        let (state, context) = (self.state(Some(height.into()))?, self.context(height)?);
        let outcome = self.executor.call(state, &context, &self.call(request, overrides)).map_err(call_error)?;
        output(&outcome)
    }

    pub(crate) fn estimate(
        &self,
        request: &TransactionRequest,
        id: Option<BlockId>,
        overrides: Option<&StateOverride>,
    ) -> RpcResult<U64> {
        let height = self.height(id)?;
        let (state, context) = (self.state(Some(height.into()))?, self.context(height)?);
        let gas = self.executor.estimate_gas(state, &context, &self.call(request, overrides)).map_err(call_error)?;
        Ok(U64::from(gas))
    }

    pub(crate) fn access_list(&self, request: &TransactionRequest, id: Option<BlockId>) -> RpcResult<AccessListResult> {
        let height = self.height(id)?;
        let (state, context) = (self.state(Some(height.into()))?, self.context(height)?);
        let (list, outcome) =
            self.executor.access_list(state, &context, &self.call(request, None)).map_err(call_error)?;
        let failed = (!outcome.result.is_success()).then(|| "execution reverted".to_owned());
        Ok(AccessListResult { access_list: list, gas_used: U256::from(gas_of(&outcome)), error: failed })
    }
}

fn gas_of(outcome: &CallOutcome) -> u64 {
    outcome.result.tx_gas_used()
}

fn output(outcome: &CallOutcome) -> RpcResult<Bytes> {
    let data = outcome.result.output().cloned().unwrap_or_default();
    match &outcome.result {
        result if result.is_success() => Ok(data),
        result if result.is_halt() => Err(error(SERVER, format!("execution failed: {result:?}"))),
        _ => Err(reverted(&data)),
    }
}
