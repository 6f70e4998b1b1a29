//! Calls that change nothing: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.

use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::state::StateOverride;
use netchain_state::State;
use revm::context::TxEnv;
use revm::context_interface::either::Either;
use revm::context_interface::result::{EVMError, ExecutionResult};
use revm::{ExecuteEvm, InspectEvm};
use revm_inspectors::access_list::AccessListInspector;

use crate::Executor;
use crate::block::BlockContext;
use crate::env::Mode;
use crate::overlay::{Overlay, ReadError};

/// Most gas of one transaction (EIP-7825): what an estimate can give.
const TRANSACTION_GAS_CAP: u64 = 1 << 24;
/// Cost of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// An estimate may be this many thousandths above the least gas: geth's choice, it halves the number of runs.
const ESTIMATE_ERROR_PERMILLE: u64 = 15;
/// Most slots and accounts one request may override: a request's size is limited by RPC, this bounds the work.
const MAX_OVERRIDES: usize = 10_000;

/// A call and the state it is made on.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// The call.
    pub request: &'a TransactionRequest,
    /// Accounts that are to look otherwise.
    pub overrides: Option<&'a StateOverride>,
    /// Most gas this node spends on a call.
    pub gas_cap: u64,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    /// Result, return data, logs, gas.
    pub result: ExecutionResult,
}

/// Why a call gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The state cannot be read.
    #[error("the state cannot be read: {0}")]
    Read(#[from] ReadError),
    /// The request contradicts itself or the state.
    #[error("{0}")]
    Invalid(String),
    /// The contract reverted; its data is the reason.
    #[error("execution reverted")]
    Reverted(Bytes),
    /// It stopped, however much gas it got.
    #[error("execution failed: {0}")]
    Halted(String),
}

impl Executor {
    /// Executes a call on the state of a block and forgets what it changed.
    ///
    /// # Errors
    /// See [`CallError`]; a revert is an outcome here.
    pub fn call<S: State>(&self, state: S, context: &BlockContext, call: &Call<'_>) -> Result<CallOutcome, CallError> {
        let mut overlay = overridden(state, call.overrides)?;
        let env = self.call_env(&mut overlay, call, context)?;
        Ok(CallOutcome { result: self.run_call(&mut overlay, context, env)? })
    }

    /// Least gas, within 1.5 %, with which a transaction succeeds.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn estimate_gas<S: State>(&self, state: S, context: &BlockContext, call: &Call<'_>) -> Result<u64, CallError> {
        let call = Call { gas_cap: call.gas_cap.min(TRANSACTION_GAS_CAP), ..call.clone() };
        let mut overlay = overridden(&state, call.overrides)?;
        let env = self.call_env(&mut overlay, &call, context)?;
        let plain = matches!(env.kind, TxKind::Call(to) if env.data.is_empty() && !self.runs_code(&mut overlay, &to)?);
        if plain && env.tx_type == 0 && env.gas_limit >= TRANSFER_GAS {
            let env = TxEnv { gas_limit: TRANSFER_GAS, ..env.clone() };
            if self.run_call(&mut overlay, context, env)?.is_success() {
                return Ok(TRANSFER_GAS);
            }
        }
        let run = |gas_limit| {
            let mut overlay = overridden(&state, call.overrides)?;
            self.run_call(&mut overlay, context, TxEnv { gas_limit, ..env.clone() })
        };
        let mut high = env.gas_limit;
        let used = match run(high)? {
            ExecutionResult::Success { gas, .. } => gas.tx_gas_used(),
            ExecutionResult::Revert { output, .. } => return Err(CallError::Reverted(output)),
            ExecutionResult::Halt { reason, .. } => return Err(CallError::Halted(reason.to_string())),
        };
        // What it used is not enough where gas is given back at the end, or a 64th is kept from an inner call.
        let mut low = used.saturating_sub(1);
        let first_guess = used.saturating_add(used / 63 + 2_300).min(high);
        if succeeds(run(first_guess))? {
            high = first_guess;
        } else {
            low = first_guess;
        }
        while high - low > 1 && (high - low) * 1_000 > high * ESTIMATE_ERROR_PERMILLE {
            let middle = low + (high - low) / 2;
            if succeeds(run(middle))? {
                high = middle;
            } else {
                low = middle;
            }
        }
        Ok(high)
    }

    /// The accounts and slots a call touches, and the gas it uses when it names them beforehand.
    ///
    /// # Errors
    /// See [`CallError`]; a revert is an outcome here.
    pub fn access_list<S: State>(
        &self,
        state: S,
        context: &BlockContext,
        call: &Call<'_>,
    ) -> Result<(AccessList, CallOutcome), CallError> {
        let mut overlay = overridden(&state, call.overrides)?;
        let env = self.call_env(&mut overlay, call, context)?;
        let mut inspector = AccessListInspector::new(env.access_list.clone());
        let mut evm = self.evm(&mut overlay, self.block_env(context), Mode::Call, &mut inspector);
        evm.inspect_tx(env.clone()).map_err(call_error)?;
        drop(evm);
        let list = inspector.into_access_list();
        let mut overlay = overridden(&state, call.overrides)?;
        let env = TxEnv { access_list: list.clone(), tx_type: env.tx_type.max(1), ..env };
        Ok((list, CallOutcome { result: self.run_call(&mut overlay, context, env)? }))
    }

    pub(crate) fn run_call<S: State>(
        &self,
        overlay: &mut Overlay<S>,
        context: &BlockContext,
        env: TxEnv,
    ) -> Result<ExecutionResult, CallError> {
        let mut evm = self.evm(overlay, self.block_env(context), Mode::Call, ());
        Ok(evm.transact(env).map_err(call_error)?.result)
    }

    fn runs_code<S: State>(&self, overlay: &mut Overlay<S>, to: &Address) -> Result<bool, CallError> {
        let code = overlay.account(to)?.is_some_and(|account| account.code_hash != netchain_state::KECCAK_EMPTY);
        Ok(code || crate::precompiles::precompiles().contains(to))
    }

    /// The call as a transaction of its sender.
    pub(crate) fn call_env<S: State>(
        &self,
        overlay: &mut Overlay<S>,
        call: &Call<'_>,
        context: &BlockContext,
    ) -> Result<TxEnv, CallError> {
        let request = call.request;
        if request.gas_price.is_some()
            && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some())
        {
            return Err(CallError::Invalid("gasPrice and maxFeePerGas cannot both be given".into()));
        }
        if request.blob_versioned_hashes.as_ref().is_some_and(|hashes| !hashes.is_empty()) {
            return Err(CallError::Invalid("blob transactions are not supported on this chain".into()));
        }
        if request.chain_id.is_some_and(|id| id != self.params.chain_id) {
            return Err(CallError::Invalid(format!("the chain id is {}", self.params.chain_id)));
        }
        let caller = request.from.unwrap_or_default();
        let account = overlay.account(&caller)?.unwrap_or_default();
        let value = request.value.unwrap_or_default();
        let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
        let gas_price = request.gas_price.or(request.max_fee_per_gas).unwrap_or(0);
        if gas_price > 0 && gas_price < u128::from(context.base_fee) {
            return Err(CallError::Invalid(format!("the price per gas is below the base fee {}", context.base_fee)));
        }
        let mut gas_limit = request.gas.unwrap_or(call.gas_cap).min(call.gas_cap);
        if gas_price > 0 {
            // What the sender can pay for.
            let afford = account.balance.saturating_sub(value) / U256::from(gas_price);
            gas_limit = gas_limit.min(afford.try_into().unwrap_or(u64::MAX));
        }
        let access_list = request.access_list.clone().unwrap_or_default();
        let authorizations = request.authorization_list.clone().unwrap_or_default();
        let tx_type = match () {
            () if !authorizations.is_empty() => 4,
            () if dynamic => 2,
            () if request.access_list.is_some() => 1,
            () => 0,
        };
        Ok(TxEnv {
            tx_type,
            caller,
            gas_limit,
            gas_price,
            kind: request.to.unwrap_or(TxKind::Create),
            value,
            data: request.input.input().cloned().unwrap_or_default(),
            nonce: account.nonce,
            chain_id: Some(self.params.chain_id),
            access_list,
            gas_priority_fee: (tx_type == 2 || tx_type == 4)
                .then(|| request.max_priority_fee_per_gas.unwrap_or(0).min(gas_price)),
            blob_hashes: Vec::new(),
            max_fee_per_blob_gas: 0,
            authorization_list: authorizations.into_iter().map(Either::Left).collect(),
        })
    }
}

/// Whether a run of an estimate succeeded. Too little gas to begin with is a "no" too.
fn succeeds(run: Result<ExecutionResult, CallError>) -> Result<bool, CallError> {
    match run {
        Ok(ExecutionResult::Success { .. }) => Ok(true),
        Ok(ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. }) | Err(CallError::Invalid(_)) => Ok(false),
        Err(error @ (CallError::Read(_) | CallError::Reverted(_) | CallError::Halted(_))) => Err(error),
    }
}

pub(crate) fn call_error(error: EVMError<ReadError>) -> CallError {
    match error {
        EVMError::Database(error) => CallError::Read(error),
        EVMError::Transaction(reason) => CallError::Invalid(reason.to_string()),
        EVMError::Header(_) | EVMError::Custom(_) | EVMError::CustomAny(_) => CallError::Halted(error.to_string()),
    }
}

/// A state with overrides on top.
// The order in which accounts are overridden does not show in the result.
#[allow(clippy::iter_over_hash_type)]
pub(crate) fn overridden<S: State>(state: S, overrides: Option<&StateOverride>) -> Result<Overlay<S>, CallError> {
    let mut overlay = Overlay::new(state);
    let Some(overrides) = overrides else { return Ok(overlay) };
    let mut count = 0;
    for (address, account) in overrides {
        if account.move_precompile_to.is_some() {
            return Err(CallError::Invalid("precompiles cannot be moved".into()));
        }
        if account.state.is_some() && account.state_diff.is_some() {
            return Err(CallError::Invalid("state and stateDiff cannot both be given".into()));
        }
        let slots = account.state.as_ref().or(account.state_diff.as_ref());
        count += 1 + slots.map_or(0, |slots| slots.len());
        if count > MAX_OVERRIDES {
            return Err(CallError::Invalid(format!("more than {MAX_OVERRIDES} overrides")));
        }
        let word = |word: &alloy_primitives::B256| U256::from_be_bytes(word.0);
        let storage: Vec<(U256, U256)> =
            slots.into_iter().flatten().map(|(slot, value)| (word(slot), word(value))).collect();
        let change = |info: &mut netchain_state::Account| {
            info.balance = account.balance.unwrap_or(info.balance);
            info.nonce = account.nonce.unwrap_or(info.nonce);
        };
        overlay.override_account(address, change, account.code.clone(), storage, account.state.is_some())?;
    }
    Ok(overlay)
}
