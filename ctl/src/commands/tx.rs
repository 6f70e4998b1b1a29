//! `netctl tx`: pay, look, wait.
//!
//! Everything that can fail is tried before a person is asked, and what the person is shown is what is signed. The key is
//! opened last, and held for the time of one signature.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U64, U256};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;

use super::{Context, join, wallet};
use crate::cli::{NodeOptions, Send, Tx};
use crate::failure::{Failure, Local};
use crate::node::{Node, RpcReceipt, RpcTransaction};
use crate::secrets::confirm;
use crate::wallet::amount::{Unit, decimal, parse, show};
use crate::wallet::store::{Entry, Store};
use crate::wallet::transaction::Transaction;

/// Gas of a transfer without input to an account without code.
const PLAIN_GAS: u64 = 21_000;
/// A fee above this needs `--max-fee`: 1 NFC, geth's cap (`--rpc.txfeecap`). Prices come from the node, and nodes can lie.
const FEE_CAP_WEI: u128 = 1_000_000_000_000_000_000;
/// From look to look for a receipt: a block takes 3 s.
const LOOK: Duration = Duration::from_millis(500);

/// A transaction as `--json` prints it.
#[derive(Serialize)]
struct View {
    hash: B256,
    /// `pending`, `included` or `failed`: in a block, and reverted.
    state: &'static str,
    from: String,
    to: Option<String>,
    value: String,
    value_wei: String,
    nonce: u64,
    gas_limit: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fee_wei: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tip_wei: Option<String>,
    data_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<Place>,
}

/// Where a transaction is, and what it cost.
#[derive(Serialize)]
struct Place {
    number: u64,
    hash: B256,
    index: u64,
    gas_used: u64,
    fee: String,
    fee_wei: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<String>,
}

impl View {
    fn new(tx: &RpcTransaction, receipt: Option<&RpcReceipt>) -> Self {
        let place = |it: &RpcReceipt| {
            let fee = it.effective_gas_price.saturating_mul(U256::from(it.gas_used));
            Place {
                number: it.block_number.to(),
                hash: it.block_hash,
                index: it.transaction_index.to(),
                gas_used: it.gas_used.to(),
                fee: decimal(fee, Unit::Nfc),
                fee_wei: fee.to_string(),
                contract: it.contract_address.map(|address| address.to_checksum(None)),
            }
        };
        let state = match receipt {
            None => "pending",
            Some(receipt) if receipt.status == U64::from(1) => "included",
            Some(_) => "failed",
        };
        Self {
            hash: tx.hash,
            state,
            from: tx.from.to_checksum(None),
            to: tx.to.map(|address| address.to_checksum(None)),
            value: decimal(tx.value, Unit::Nfc),
            value_wei: tx.value.to_string(),
            nonce: tx.nonce.to(),
            gas_limit: tx.gas.to(),
            max_fee_wei: tx.max_fee_per_gas.or(tx.gas_price).map(|price| price.to_string()),
            tip_wei: tx.max_priority_fee_per_gas.map(|price| price.to_string()),
            data_bytes: tx.input.len(),
            block: receipt.map(place),
        }
    }

    /// Exit code 1 tells that it is in a block and did nothing.
    fn print(&self, ctx: &Context<'_>) -> Result<u8, Failure> {
        ctx.show(self, |it| {
            ctx.out.line(format!("transaction {}", it.hash))?;
            ctx.out.line(format!("from        {} (its transaction {})", it.from, it.nonce))?;
            ctx.out.line(format!("to          {}", it.to.as_deref().unwrap_or("a new contract")))?;
            ctx.out.line(format!("amount      {} NFC", it.value))?;
            if it.data_bytes > 0 {
                ctx.out.line(format!("input       {} bytes", it.data_bytes))?;
            }
            let Some(block) = &it.block else { return ctx.out.line("state       waits for a block") };
            let outcome = if it.state == "failed" { "FAILED, nothing but its fee was taken," } else { "final" };
            ctx.out.line(format!("state       {outcome} in block {} at place {}", block.number, block.index))?;
            ctx.out.line(format!("fee         {} NFC for {} gas", block.fee, block.gas_used))?;
            block.contract.iter().try_for_each(|address| ctx.out.line(format!("contract    {address}")))
        })?;
        Ok(u8::from(self.state == "failed"))
    }
}

/// `netctl tx ..`.
pub(super) fn run(ctx: &Context<'_>, command: &Tx) -> Result<u8, Failure> {
    match command {
        Tx::Send(options) => send(ctx, options),
        Tx::Show { hash, node } => look(ctx, *hash, node),
        Tx::Wait { hash, wait, node } => {
            let mut node = open_node(ctx, node)?.0;
            let (tx, receipt) = await_receipt(ctx, &mut node, *hash, None, Duration::from_secs(*wait))?;
            View::new(&tx, Some(&receipt)).print(ctx)
        }
    }
}

fn open_node(ctx: &Context<'_>, options: &NodeOptions) -> Result<(Node, u64), Failure> {
    let mut node = ctx.node(options)?;
    let chain_id = node.chain_id(options.chain_id)?;
    Ok((node, chain_id))
}

fn look(ctx: &Context<'_>, hash: B256, options: &NodeOptions) -> Result<u8, Failure> {
    let mut node = open_node(ctx, options)?.0;
    let tx: Option<RpcTransaction> = node.ask("eth_getTransactionByHash", json!([hash]))?;
    let tx = tx.ok_or_else(|| unknown(hash))?;
    let receipt = receipt(&mut node, hash)?;
    View::new(&tx, receipt.as_ref()).print(ctx)
}

fn unknown(hash: B256) -> Failure {
    let text = format!("no such transaction; the node knows no {hash}");
    Failure::new(Local::NotFound, text).next("another node, with --rpc URL")
}

fn receipt(node: &mut Node, hash: B256) -> Result<Option<RpcReceipt>, Failure> {
    node.ask("eth_getTransactionReceipt", json!([hash]))
}

fn send(ctx: &Context<'_>, options: &Send) -> Result<u8, Failure> {
    let value = parse(&options.amount, options.unit).map_err(|why| {
        Failure::new(Local::InvalidInput, format!("not an amount; {why}")).next("netctl tx send --help")
    })?;
    let payer = Store::locate(options.folder.keystore.as_deref())?.find(options.from.as_deref())?;
    let (mut node, chain_id) = open_node(ctx, &options.node)?;
    let mut tx = prepare(&mut node, chain_id, payer.address, value, options)?;
    if !options.yes && !confirm(&question(&tx, payer.address))? {
        return Err(Failure::new(Local::Failure, "nothing was sent; you did not agree"));
    }
    let key = wallet::open(&payer, options.passphrase_file.as_deref())?;
    let hash = {
        // Two netctl of one account take their numbers one after the other.
        let _turn = take_turn(&payer)?;
        if options.nonce.is_none() {
            tx.nonce = next_nonce(&mut node, payer.address)?;
        }
        let signed = tx.sign(&key);
        drop(key);
        broadcast(&mut node, signed.hash, &json!([signed.raw]))?;
        signed.hash
    };
    let sent = as_seen(&tx, payer.address, hash);
    if options.no_wait {
        return View::new(&sent, None).print(ctx);
    }
    if !ctx.out.is_json() {
        ctx.out.line(format!("sent        {hash}"))?;
    }
    let (tx, receipt) = await_receipt(ctx, &mut node, hash, Some(sent), Duration::from_secs(options.wait))?;
    View::new(&tx, Some(&receipt)).print(ctx)
}

fn take_turn(payer: &Entry) -> Result<std::fs::File, Failure> {
    let failure = |error: std::io::Error| Failure::file("lock", &payer.path, &error);
    let file = std::fs::File::open(&payer.path).map_err(failure)?;
    file.lock().map_err(failure)?;
    Ok(file)
}

fn next_nonce(node: &mut Node, address: Address) -> Result<u64, Failure> {
    node.number("eth_getTransactionCount", json!([address, "pending"]))
}

/// Fills in what the user left to the node, and checks that the account can pay.
fn prepare(node: &mut Node, chain_id: u64, from: Address, value: U256, options: &Send) -> Result<Transaction, Failure> {
    let balance: U256 = node.call("eth_getBalance", json!([from, "latest"]))?;
    if value > balance {
        return Err(too_poor(from, balance, value));
    }
    let nonce = options.nonce.map_or_else(|| next_nonce(node, from), Ok)?;
    let (tip, max_fee) = prices(node, options)?;
    let gas_limit = match options.gas_limit {
        Some(gas) => gas,
        None => {
            let call = json!({ "from": from, "to": options.to, "value": value, "data": options.data });
            let gas = node.number("eth_estimateGas", json!([call, "latest"]))?;
            // A contract may meet another state in its block than it did now.
            if gas == PLAIN_GAS { gas } else { gas.saturating_add(gas / 5) }
        }
    };
    let tx =
        Transaction { chain_id, nonce, tip, max_fee, gas_limit, to: options.to, value, data: options.data.clone() };
    let fee = tx.max_gas_cost().unwrap_or(U256::MAX);
    if options.max_fee.is_none() && fee > U256::from(FEE_CAP_WEI) {
        let text = format!("fee refused; the node's prices make it up to {}", show(fee, Unit::Nfc));
        return Err(Failure::new(Local::Refused, text).next("the same command with --max-fee GWEI, or another node"));
    }
    match tx.max_cost() {
        Some(cost) if cost <= balance => Ok(tx),
        cost => Err(too_poor(from, balance, cost.unwrap_or(U256::MAX))),
    }
}

fn too_poor(from: Address, balance: U256, cost: U256) -> Failure {
    let (has, takes) = (show(balance, Unit::Nfc), show(cost, Unit::Nfc));
    let text = format!("not enough money; {} has {has}, this takes up to {takes}", from.to_checksum(None));
    Failure::new(Local::Refused, text).next("netctl wallet balance")
}

/// Tip and most wei for a unit of gas. The price of a block is at most an eighth above that of the one before (EIP-1559):
/// twice the last one is enough for five full blocks.
fn prices(node: &mut Node, options: &Send) -> Result<(u128, u128), Failure> {
    let tip = match options.tip {
        Some(tip) => tip,
        None => node.call::<U256>("eth_maxPriorityFeePerGas", json!([]))?.saturating_to(),
    };
    let Some(max_fee) = options.max_fee else {
        let block = node.block("latest")?.and_then(|block| block.base_fee_per_gas).unwrap_or_default();
        let base: u128 = block.saturating_to();
        return Ok((tip, base.saturating_mul(2).saturating_add(tip)));
    };
    if options.tip.is_some_and(|tip| tip > max_fee) {
        let text = "the tip is part of the fee; --tip cannot be above --max-fee";
        return Err(Failure::new(Local::InvalidInput, text).next("netctl tx send --help"));
    }
    Ok((tip.min(max_fee), max_fee))
}

/// What is about to be signed, in full.
fn question(tx: &Transaction, from: Address) -> String {
    let input = if tx.data.is_empty() { String::new() } else { format!(", with {} bytes of input", tx.data.len()) };
    format!(
        "{} from {}\n  to {}{input}\n  fee at most {} ({} gas at up to {}), transaction {} of the account, chain {}\nSend it?",
        show(tx.value, Unit::Nfc),
        from.to_checksum(None),
        tx.to.to_checksum(None),
        show(tx.max_gas_cost().unwrap_or(U256::MAX), Unit::Nfc),
        tx.gas_limit,
        show(U256::from(tx.max_fee), Unit::Gwei),
        tx.nonce,
        tx.chain_id,
    )
}

/// Hands it to the node. When the node's answer is lost the transaction may be on its way all the same.
fn broadcast(node: &mut Node, hash: B256, params: &serde_json::Value) -> Result<(), Failure> {
    match node.call::<B256>("eth_sendRawTransaction", params.clone()) {
        Ok(theirs) if theirs == hash => Ok(()),
        Ok(theirs) => {
            let text = format!("the node names another transaction; it says {theirs}, this is {hash}");
            Err(Failure::new(Local::Failure, text).next("another node, with --rpc URL"))
        }
        Err(failure) if failure.what().contains("already known") => Ok(()),
        Err(failure) if failure.is_code("refused") || failure.is_code("invalid_input") => Err(failure),
        Err(failure) => Err(failure.next(format!("do not send it again before this says no: netctl tx wait {hash}"))),
    }
}

/// A transaction of ours as the node will show it.
fn as_seen(tx: &Transaction, from: Address, hash: B256) -> RpcTransaction {
    RpcTransaction {
        hash,
        from,
        to: Some(tx.to),
        value: tx.value,
        nonce: U64::from(tx.nonce),
        gas: U64::from(tx.gas_limit),
        gas_price: None,
        max_fee_per_gas: Some(U256::from(tx.max_fee)),
        max_priority_fee_per_gas: Some(U256::from(tx.tip)),
        input: tx.data.clone(),
    }
}

/// Waits for the block of a transaction; finality is one block, so that is the end of it.
fn await_receipt(
    ctx: &Context<'_>,
    node: &mut Node,
    hash: B256,
    mut known: Option<RpcTransaction>,
    patience: Duration,
) -> Result<(RpcTransaction, RpcReceipt), Failure> {
    #[allow(clippy::disallowed_methods, reason = "a program that waits needs a clock")]
    let started = Instant::now();
    let spinner = join::spinner(ctx);
    spinner.set_message("waiting for a block");
    let outcome = loop {
        match step(node, hash, &mut known, &spinner) {
            Ok(Some(receipt)) => break Ok(receipt),
            Ok(None) if started.elapsed() < patience => {}
            Ok(None) => break Err(not_yet(hash, known.is_some(), patience)),
            // A node that restarts is back in a moment.
            Err(failure) if lasts(&failure) || started.elapsed() >= patience => break Err(failure),
            Err(_) => {}
        }
        pause(LOOK);
    };
    spinner.finish_and_clear();
    let receipt = outcome?;
    match known {
        Some(tx) => Ok((tx, receipt)),
        None => Ok((node.call("eth_getTransactionByHash", json!([hash]))?, receipt)),
    }
}

/// Whether trying again cannot help.
fn lasts(failure: &Failure) -> bool {
    !failure.is_code("timeout") && !failure.is_code("not_running")
}

/// One look. Learns the transaction by the way, and notices that another one took its number.
fn step(
    node: &mut Node,
    hash: B256,
    known: &mut Option<RpcTransaction>,
    spinner: &ProgressBar,
) -> Result<Option<RpcReceipt>, Failure> {
    if let Some(found) = receipt(node, hash)? {
        return Ok(Some(found));
    }
    let height = node.number("eth_blockNumber", json!([]))?;
    spinner.set_message(format!("waiting for a block after {height}"));
    let waiting: Option<RpcTransaction> = node.ask("eth_getTransactionByHash", json!([hash]))?;
    let gone = waiting.is_none();
    if waiting.is_some() {
        *known = waiting;
    }
    let Some(tx) = known.as_ref().filter(|_| gone) else { return Ok(None) };
    let used = node.number("eth_getTransactionCount", json!([tx.from, "latest"]))?;
    if used <= tx.nonce.to::<u64>() {
        return Ok(None);
    }
    // It may have come into a block between the two questions.
    if let Some(found) = receipt(node, hash)? {
        return Ok(Some(found));
    }
    let text =
        format!("{hash} will never be in a block; another transaction of the account took its number {}", tx.nonce);
    Err(Failure::new(Local::Refused, text).next("netctl wallet balance"))
}

fn not_yet(hash: B256, known: bool, patience: Duration) -> Failure {
    if known {
        let text = format!("{hash} is in no block after {} s; it still waits", patience.as_secs());
        Failure::new(Local::Timeout, text).next(format!("to go on waiting: netctl tx wait {hash}"))
    } else {
        unknown(hash)
    }
}

/// The clock of this machine, in seconds since 1970.
pub(super) fn now_unix_s() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "the name of a file, and the age of a block")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Between two questions to a node over HTTP, which cannot call back.
pub(super) fn pause(time: Duration) {
    #[allow(clippy::disallowed_methods, reason = "polling a server needs a pause; a blocking program has no timer")]
    std::thread::sleep(time);
}
