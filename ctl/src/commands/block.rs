//! `netctl block` and `netctl chain status`: the chain as a node sees it.

use std::time::Duration;

use alloy_primitives::{B256, U64, U256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Context;
use super::tx::{now_unix_s, pause};
use crate::cli::{Block, NodeOptions};
use crate::failure::{Failure, Local};
use crate::node::{Node, RpcBlock};
use crate::text::{bytes, clean, date, duration};
use crate::wallet::amount::{Unit, show};

/// From look to look for the next block, which takes 3 s.
const LOOK: Duration = Duration::from_millis(500);

/// A block as `--json` prints it.
#[derive(Serialize)]
struct View {
    number: u64,
    hash: B256,
    parent: B256,
    time_unix_s: u64,
    creator: String,
    transactions: usize,
    gas_used: u64,
    gas_limit: u64,
    base_fee_wei: String,
    state_root: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// Round in which it was certified and witnesses that signed it; absent in the genesis and on chains without certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
}

#[derive(Serialize)]
struct Certificate {
    round: u64,
    signers: usize,
}

#[derive(Deserialize)]
struct RpcCertificate {
    round: U64,
    signers: Vec<Value>,
}

impl View {
    fn new(node: &mut Node, block: &RpcBlock) -> Self {
        // Only decoration, and other chains have no such method.
        let certificate: Option<RpcCertificate> =
            node.ask("nfc_getCertificate", json!([format!("{:#x}", block.number)])).ok().flatten();
        Self {
            number: block.number.to(),
            hash: block.hash,
            parent: block.parent_hash,
            time_unix_s: block.timestamp.to(),
            creator: block.miner.to_checksum(None),
            transactions: block.transactions.len(),
            gas_used: block.gas_used.to(),
            gas_limit: block.gas_limit.to(),
            base_fee_wei: block.base_fee_per_gas.unwrap_or_default().to_string(),
            state_root: block.state_root,
            size_bytes: block.size.map(|size| size.to()),
            certificate: certificate.map(|it| Certificate { round: it.round.to(), signers: it.signers.len() }),
        }
    }

    fn signed(&self) -> String {
        self.certificate.as_ref().map_or_else(
            || String::from("no certificate"),
            |it| format!("{} witnesses in round {}", it.signers, it.round),
        )
    }

    fn print(&self, ctx: &Context<'_>, base_fee: U256) -> Result<(), Failure> {
        ctx.out.line(format!("block        {}", self.number))?;
        ctx.out.line(format!("hash         {}", self.hash))?;
        ctx.out.line(format!("parent       {}", self.parent))?;
        ctx.out.line(format!("time         {} ({} ago)", date(self.time_unix_s), age(self.time_unix_s)))?;
        ctx.out.line(format!("creator      {}", self.creator))?;
        ctx.out.line(format!("transactions {}", self.transactions))?;
        ctx.out.line(format!("gas          {} of {}", self.gas_used, self.gas_limit))?;
        ctx.out.line(format!("gas price    {}", show(base_fee, Unit::Gwei)))?;
        ctx.out.line(format!("state        {}", self.state_root))?;
        self.size_bytes.iter().try_for_each(|size| ctx.out.line(format!("size         {}", bytes(*size))))?;
        ctx.out.line(format!("signed by    {}", self.signed()))
    }

    fn print_line(&self, ctx: &Context<'_>) -> Result<(), Failure> {
        ctx.out.line(format!(
            "{:>8}  {}  {:>5} tx  {:>9} gas  by {}  {}",
            self.number,
            date(self.time_unix_s),
            self.transactions,
            self.gas_used,
            self.creator,
            self.signed(),
        ))
    }
}

fn age(unix_s: u64) -> String {
    duration(now_unix_s().saturating_sub(unix_s))
}

/// `netctl block`.
pub(super) fn block(ctx: &Context<'_>, options: &Block) -> Result<u8, Failure> {
    let id = block_id(&options.block)?;
    let mut node = ctx.node(&options.node)?;
    node.chain_id(options.node.chain_id)?;
    let found = node.block(&id)?.ok_or_else(|| {
        Failure::new(Local::NotFound, format!("no such block; the node has no block {}", clean(&options.block)))
            .next("netctl chain status")
    })?;
    if !options.follow {
        let view = View::new(&mut node, &found);
        return ctx.show(&view, |view| view.print(ctx, found.base_fee_per_gas.unwrap_or_default()));
    }
    let mut left = options.count.unwrap_or(u64::MAX);
    let mut next = Some(found);
    let mut height: u64 = next.as_ref().map_or(0, |block| block.number.to());
    while left > 0 {
        let Some(block) = next.take() else {
            pause(LOOK);
            next = node.block(&format!("{height:#x}"))?;
            continue;
        };
        ctx.show(&View::new(&mut node, &block), |view| view.print_line(ctx))?;
        left -= 1;
        height += 1;
        // The node may be ahead: no pause before the block that is there already.
        next = if left > 0 { node.block(&format!("{height:#x}"))? } else { None };
    }
    Ok(0)
}

/// Number, hash or tag as JSON-RPC has it.
fn block_id(text: &str) -> Result<String, Failure> {
    /// All tags mean the tip but the first: finality is one block.
    const TAGS: [&str; 4] = ["earliest", "latest", "safe", "finalized"];
    let is_hash =
        text.len() == 66 && text.strip_prefix("0x").is_some_and(|it| it.bytes().all(|b| b.is_ascii_hexdigit()));
    if is_hash || TAGS.contains(&text) {
        return Ok(text.to_owned());
    }
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse::<u64>(),
    };
    number.map(|number| format!("{number:#x}")).map_err(|_| {
        let text = "not a block; give its number, its hash, or latest";
        Failure::new(Local::InvalidInput, text).next("netctl block --help")
    })
}

#[derive(Serialize)]
struct Status {
    client: String,
    chain_id: u64,
    genesis: B256,
    height: u64,
    hash: B256,
    time_unix_s: u64,
    age_s: u64,
    /// Height the node fetches blocks up to, while it does.
    syncing_to: Option<u64>,
    peers: u64,
    base_fee_wei: String,
    /// Witnesses that vote on the next block; absent on chains without.
    witnesses: Option<usize>,
    waiting: Option<Waiting>,
}

#[derive(Serialize)]
struct Waiting {
    ready: u64,
    queued: u64,
}

#[derive(Deserialize)]
struct RpcPool {
    pending: U64,
    queued: U64,
}

/// `netctl chain status`.
pub(super) fn status(ctx: &Context<'_>, options: &NodeOptions) -> Result<u8, Failure> {
    let mut node = ctx.node(options)?;
    let chain_id = node.chain_id(options.chain_id)?;
    let no_block =
        || Failure::new(Local::Failure, "the node has no block; it was never started").next("netchaind --help");
    let genesis = node.block("0x0")?.ok_or_else(no_block)?.hash;
    let tip = node.block("latest")?.ok_or_else(no_block)?;
    let syncing: Value = node.call("eth_syncing", json!([]))?;
    let syncing_to = syncing.get("highestBlock").and_then(|it| serde_json::from_value::<U64>(it.clone()).ok());
    let witnesses: Option<Vec<Value>> = node.ask("nfc_witnesses", json!(["latest"])).ok().flatten();
    let pool: Option<RpcPool> = node.ask("txpool_status", json!([])).ok().flatten();
    let base_fee = tip.base_fee_per_gas.unwrap_or_default();
    let status = Status {
        client: node.call("web3_clientVersion", json!([]))?,
        chain_id,
        genesis,
        height: tip.number.to(),
        hash: tip.hash,
        time_unix_s: tip.timestamp.to(),
        age_s: now_unix_s().saturating_sub(tip.timestamp.to()),
        syncing_to: syncing_to.map(|height| height.to()),
        peers: node.number("net_peerCount", json!([]))?,
        base_fee_wei: base_fee.to_string(),
        witnesses: witnesses.map(|all| all.len()),
        waiting: pool.map(|pool| Waiting { ready: pool.pending.to(), queued: pool.queued.to() }),
    };
    ctx.show(&status, |it| {
        ctx.out.line(format!("chain        {} (genesis {})", it.chain_id, it.genesis))?;
        ctx.out.line(format!("node         {}, {} peers", it.client, it.peers))?;
        ctx.out.line(format!("block        {}, {} ago", it.height, duration(it.age_s)))?;
        ctx.out.line(format!("hash         {}", it.hash))?;
        if let Some(height) = it.syncing_to {
            ctx.out.line(format!("sync         fetches blocks up to {height}"))?;
        }
        ctx.out.line(format!("gas price    {}", show(base_fee, Unit::Gwei)))?;
        if let Some(witnesses) = it.witnesses {
            ctx.out.line(format!("witnesses    {witnesses}"))?;
        }
        it.waiting.iter().try_for_each(|waiting| {
            ctx.out.line(format!("waiting      {} ready, {} queued transactions", waiting.ready, waiting.queued))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_named_by_number_hash_or_tag() {
        let hash = format!("0x{}", "ab".repeat(32));
        for (text, id) in [("12", "0xc"), ("0x0c", "0xc"), ("0", "0x0"), ("latest", "latest"), (&hash, &hash)] {
            assert_eq!(block_id(text).ok().as_deref(), Some(id), "{text}");
        }
        for bad in ["", "-1", "0x", "first", "18446744073709551616", "0xzz", &hash[..65]] {
            assert_eq!(block_id(bad).err().map(|failure| failure.exit()), Some(7), "{bad}");
        }
    }
}
