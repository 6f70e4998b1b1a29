//! The methods by name.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U256, keccak256};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{Filter, Index, TransactionRequest};
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions};
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::RpcContext;
use crate::error::{RpcResult, invalid};

/// Positional parameters: required ones, then optional ones.
pub(crate) struct Args<'a>(jsonrpsee::types::params::ParamsSequence<'a>);

impl Args<'_> {
    pub(crate) fn need<T: DeserializeOwned>(&mut self) -> RpcResult<T> {
        let value: Value = self.0.next().map_err(|_| invalid("missing value for required argument"))?;
        serde_json::from_value(value).map_err(|failed| invalid(format!("invalid argument: {failed}")))
    }

    /// Absent and `null` are none.
    pub(crate) fn may<T: DeserializeOwned>(&mut self) -> RpcResult<Option<T>> {
        let value: Option<Value> = self.0.optional_next().map_err(|failed| invalid(failed.to_string()))?;
        let value = value.filter(|value| !value.is_null());
        value.map(serde_json::from_value).transpose().map_err(|failed| invalid(format!("invalid argument: {failed}")))
    }
}

type Module = RpcModule<RpcContext>;

/// One method, on a thread that may block: all of them read the database.
fn method<R: Serialize + Clone + Send + 'static>(
    module: &mut Module,
    name: &'static str,
    run: impl Fn(&RpcContext, &mut Args<'_>) -> RpcResult<R> + Clone + Send + Sync + 'static,
) -> anyhow::Result<()> {
    module.register_blocking_method(name, move |params: Params<'_>, context, _| {
        let value = run(&context, &mut Args(params.sequence()))?;
        serde_json::to_value(value).map_err(|failed| crate::error::error(crate::error::INTERNAL, failed.to_string()))
    })?;
    Ok(())
}

/// One method that is over within some 100 us, on the thread that read the request: handing it to another one would cost as
/// much, and wallets send many.
fn light<R: Serialize + Clone + Send + 'static>(
    module: &mut Module,
    name: &'static str,
    run: impl Fn(&RpcContext, &mut Args<'_>) -> RpcResult<R> + Clone + Send + Sync + 'static,
) -> anyhow::Result<()> {
    module.register_method(name, move |params: Params<'_>, context, _| {
        let value = run(context, &mut Args(params.sequence()))?;
        serde_json::to_value(value).map_err(|failed| crate::error::error(crate::error::INTERNAL, failed.to_string()))
    })?;
    Ok(())
}

/// All methods.
///
/// # Errors
/// A name stands twice.
pub fn module(context: Arc<RpcContext>) -> anyhow::Result<Module> {
    let mut module = RpcModule::from_arc(context);
    node(&mut module)?;
    blocks(&mut module)?;
    transactions(&mut module)?;
    accounts(&mut module)?;
    filters(&mut module)?;
    debug(&mut module)?;
    others(&mut module)?;
    crate::subscribe::register(&mut module)?;
    Ok(module)
}

fn node(m: &mut Module) -> anyhow::Result<()> {
    light(m, "eth_chainId", |c, _| Ok(U64::from(c.chain_id())))?;
    light(m, "eth_blockNumber", |c, _| Ok(U64::from(c.tip())))?;
    method(m, "eth_gasPrice", |c, _| c.gas_price())?;
    method(m, "eth_maxPriorityFeePerGas", |c, _| c.tip_suggestion().map(U256::from))?;
    method(m, "eth_blobBaseFee", |_, _| Ok(U64::from(1)))?;
    method(m, "eth_feeHistory", |c, a| {
        let (count, newest): (U64, BlockNumberOrTag) = (a.need()?, a.need()?);
        let percentiles: Option<Vec<f64>> = a.may()?;
        serde_value(c.fee_history(count.to(), newest, percentiles.as_deref())?)
    })?;
    method(m, "eth_syncing", |c, _| {
        let sync = c.net.sync();
        let hex = |height: u64| U64::from(height);
        let detail = json!({
            "startingBlock": hex(sync.starting), "currentBlock": hex(sync.current), "highestBlock": hex(sync.highest)
        });
        Ok(if sync.active { detail } else { Value::Bool(false) })
    })?;
    method(m, "eth_accounts", |_, _| Ok(Vec::<Address>::new()))?;
    method(m, "eth_coinbase", |c, _| Ok(c.header(c.tip())?.beneficiary))?;
    method(m, "eth_mining", |_, _| Ok(false))?;
    method(m, "eth_hashrate", |_, _| Ok(RpcContext::zero()))?;
    method(m, "eth_protocolVersion", |_, _| Ok("0x41"))?;
    light(m, "net_version", |c, _| Ok(c.chain_id().to_string()))?;
    method(m, "net_peerCount", |c, _| Ok(U64::from(c.net.peers())))?;
    method(m, "net_listening", |c, _| Ok(c.net.listening()))?;
    light(m, "web3_clientVersion", |_, _| Ok(concat!("netchaind/v", env!("CARGO_PKG_VERSION"), "/rust")))?;
    method(m, "web3_sha3", |_, a| Ok(keccak256(a.need::<Bytes>()?)))?;
    Ok(())
}

fn serde_value(value: impl Serialize) -> RpcResult<Value> {
    serde_json::to_value(value).map_err(|failed| crate::error::error(crate::error::INTERNAL, failed.to_string()))
}

fn blocks(m: &mut Module) -> anyhow::Result<()> {
    method(m, "eth_getBlockByNumber", |c, a| {
        let (tag, full): (BlockNumberOrTag, Option<bool>) = (a.need()?, a.may()?);
        c.block_by(RpcContext::tag(tag), full.unwrap_or(false)).and_then(serde_value)
    })?;
    method(m, "eth_getBlockByHash", |c, a| {
        let (hash, full): (B256, Option<bool>) = (a.need()?, a.may()?);
        c.block_by(hash.into(), full.unwrap_or(false)).and_then(serde_value)
    })?;
    method(m, "eth_getBlockTransactionCountByNumber", |c, a| c.count_by(RpcContext::tag(a.need()?)))?;
    method(m, "eth_getBlockTransactionCountByHash", |c, a| c.count_by(a.need::<B256>()?.into()))?;
    method(m, "eth_getBlockReceipts", |c, a| c.block_receipts(a.need()?).and_then(serde_value))?;
    let none = |c: &RpcContext, id: BlockId| Ok(c.count_by(id)?.map(|_| U64::ZERO));
    method(m, "eth_getUncleCountByBlockNumber", move |c, a| none(c, RpcContext::tag(a.need()?)))?;
    method(m, "eth_getUncleCountByBlockHash", move |c, a| none(c, a.need::<B256>()?.into()))?;
    method(m, "eth_getUncleByBlockNumberAndIndex", |_, _| Ok(Value::Null))?;
    method(m, "eth_getUncleByBlockHashAndIndex", |_, _| Ok(Value::Null))?;
    Ok(())
}

fn transactions(m: &mut Module) -> anyhow::Result<()> {
    light(m, "eth_sendRawTransaction", |c, a| c.send_raw(&a.need()?))?;
    method(m, "eth_getTransactionByHash", |c, a| c.transaction(&a.need()?).and_then(serde_value))?;
    method(m, "eth_getTransactionByBlockNumberAndIndex", |c, a| {
        let (tag, index): (BlockNumberOrTag, Index) = (a.need()?, a.need()?);
        c.transaction_at(RpcContext::tag(tag), index.0).and_then(serde_value)
    })?;
    method(m, "eth_getTransactionByBlockHashAndIndex", |c, a| {
        let (hash, index): (B256, Index) = (a.need()?, a.need()?);
        c.transaction_at(hash.into(), index.0).and_then(serde_value)
    })?;
    method(m, "eth_getRawTransactionByHash", |c, a| c.raw_transaction(&a.need()?))?;
    method(m, "eth_getTransactionReceipt", |c, a| c.receipt(&a.need()?).and_then(serde_value))?;
    method(m, "eth_call", |c, a| {
        let (request, id, overrides): (TransactionRequest, Option<BlockId>, Option<StateOverride>) =
            (a.need()?, a.may()?, a.may()?);
        c.eth_call(&request, id, overrides.as_ref())
    })?;
    method(m, "eth_estimateGas", |c, a| {
        let (request, id, overrides): (TransactionRequest, Option<BlockId>, Option<StateOverride>) =
            (a.need()?, a.may()?, a.may()?);
        c.estimate(&request, id, overrides.as_ref())
    })?;
    method(m, "eth_createAccessList", |c, a| {
        let (request, id): (TransactionRequest, Option<BlockId>) = (a.need()?, a.may()?);
        c.access_list(&request, id).and_then(serde_value)
    })?;
    Ok(())
}

fn accounts(m: &mut Module) -> anyhow::Result<()> {
    method(m, "eth_getBalance", |c, a| c.balance(&a.need()?, a.may()?))?;
    method(m, "eth_getCode", |c, a| c.code(&a.need()?, a.may()?))?;
    method(m, "eth_getStorageAt", |c, a| c.storage(&a.need()?, a.need()?, a.may()?))?;
    method(m, "eth_getTransactionCount", |c, a| c.nonce(&a.need()?, a.may()?))?;
    method(m, "eth_getProof", |c, a| c.proof(a.need()?, &a.need::<Vec<String>>()?, a.may()?).and_then(serde_value))?;
    Ok(())
}

fn filters(m: &mut Module) -> anyhow::Result<()> {
    method(m, "eth_getLogs", |c, a| c.logs(&a.need::<Filter>()?).and_then(serde_value))?;
    method(m, "eth_newFilter", |c, a| c.new_log_filter(a.need()?))?;
    method(m, "eth_newBlockFilter", |c, _| c.new_block_filter())?;
    method(m, "eth_newPendingTransactionFilter", |c, _| c.new_pending_filter())?;
    method(m, "eth_uninstallFilter", |c, a| Ok(c.remove_filter(a.need()?)))?;
    method(m, "eth_getFilterChanges", |c, a| c.filter_changes(a.need()?).and_then(serde_value))?;
    method(m, "eth_getFilterLogs", |c, a| c.filter_logs(a.need()?).and_then(serde_value))?;
    Ok(())
}

fn debug(m: &mut Module) -> anyhow::Result<()> {
    method(m, "debug_traceTransaction", |c, a| {
        let (hash, options): (B256, Option<GethDebugTracingOptions>) = (a.need()?, a.may()?);
        c.trace_transaction(&hash, &options.unwrap_or_default()).and_then(serde_value)
    })?;
    method(m, "debug_traceBlockByNumber", |c, a| {
        let (tag, options): (BlockNumberOrTag, Option<GethDebugTracingOptions>) = (a.need()?, a.may()?);
        c.trace_block(RpcContext::tag(tag), &options.unwrap_or_default())
    })?;
    method(m, "debug_traceBlockByHash", |c, a| {
        let (hash, options): (B256, Option<GethDebugTracingOptions>) = (a.need()?, a.may()?);
        c.trace_block(hash.into(), &options.unwrap_or_default())
    })?;
    method(m, "debug_traceCall", |c, a| {
        let (request, id, options): (TransactionRequest, Option<BlockId>, Option<GethDebugTracingCallOptions>) =
            (a.need()?, a.may()?, a.may()?);
        c.trace_call(&request, id, options.unwrap_or_default()).and_then(serde_value)
    })?;
    method(m, "debug_getRawTransaction", |c, a| c.raw_transaction(&a.need()?))?;
    method(m, "debug_getRawHeader", |c, a| c.raw_header(a.need()?))?;
    method(m, "debug_getRawBlock", |c, a| c.raw_block(a.need()?))?;
    method(m, "debug_getRawReceipts", |c, a| c.raw_receipts(a.need()?))?;
    Ok(())
}

fn others(m: &mut Module) -> anyhow::Result<()> {
    method(m, "txpool_status", |c, _| {
        let (ready, queued) = c.pool.counts();
        Ok(json!({ "pending": U64::from(ready), "queued": U64::from(queued) }))
    })?;
    method(m, "nfc_getCertificate", |c, a| c.certificate(a.may()?).and_then(serde_value))?;
    method(m, "nfc_witnesses", |c, a| c.witnesses(a.may()?).and_then(serde_value))?;
    method(m, "ots_getApiLevel", |_, _| Ok(8))?;
    method(m, "ots_hasCode", |c, a| c.has_code(&a.need()?, a.may()?))?;
    method(m, "ots_getBlockDetails", |c, a| c.ots_block(RpcContext::tag(a.need()?)))?;
    method(m, "ots_getBlockDetailsByHash", |c, a| c.ots_block(a.need::<B256>()?.into()))?;
    Ok(())
}
