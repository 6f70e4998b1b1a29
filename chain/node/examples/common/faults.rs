//! Local networks whose processes die (SIGKILL) under load, and what must hold afterwards.
#![allow(clippy::print_stdout)] // shows how far it is

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::common::{Network, Rpc, Sender, hex_of, number};

/// Accounts that send to one node.
const SENDERS_A_NODE: u32 = 16;
/// Receipts of one request.
const BATCH: usize = 100;

/// splitmix64: a run can be repeated by its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

/// Kills one process after another at random moments under load, a third of them once more while it starts. Then judges.
pub(crate) fn kill_and_return(
    program: PathBuf,
    root: &Path,
    witnesses: usize,
    kills: u64,
    seed: u64,
) -> anyhow::Result<String> {
    let accounts = SENDERS_A_NODE * u32::try_from(witnesses)?;
    let mut net = Network::create(program, root, witnesses, 1_000, accounts)?;
    net.start_all(2)?;
    let (stop, acknowledged) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let load = (0..witnesses).map(|index| Load::new(&net, index)).collect::<anyhow::Result<Vec<_>>>()?;
    let result = std::thread::scope(|scope| {
        for it in load {
            let (stop, acknowledged) = (&stop, &acknowledged);
            scope.spawn(move || it.run(stop, acknowledged));
        }
        let result = kill_all(&mut net, kills, &mut Random(seed));
        stop.store(true, Ordering::Relaxed);
        result
    });
    result?;
    let acknowledged = acknowledged.into_inner().unwrap_or_default();
    ensure!(!acknowledged.is_empty(), "nothing was acknowledged: there was no load");
    let height = net.wait_height(0, 0, Duration::from_secs(5))?;
    let last = height + 3;
    for index in 0..witnesses {
        net.wait_height(index, last, Duration::from_secs(120))?;
    }
    judge(&net, last, &acknowledged)
}

fn kill_all(net: &mut Network, kills: u64, random: &mut Random) -> anyhow::Result<()> {
    let witnesses = net.len();
    let mut kill = 0;
    while kill < kills {
        let victim = usize::try_from(random.below(witnesses as u64))?;
        std::thread::sleep(Duration::from_millis(random.below(1_500)));
        net.kill(victim)?;
        kill += 1;
        let other = (victim + 1) % witnesses;
        let height = net.wait_height(other, 0, Duration::from_secs(30))?;
        if random.below(4) == 0 {
            // Down for a few blocks: it has to catch up.
            net.wait_height(other, height + 2, Duration::from_secs(120))?;
        }
        net.start(victim)?;
        if kill < kills && random.below(3) == 0 {
            // While it reads its log and its journal.
            std::thread::sleep(Duration::from_millis(random.below(700)));
            net.kill(victim)?;
            net.start(victim)?;
            kill += 1;
        }
        let at = net.wait_height(victim, height + 1, Duration::from_secs(120))?;
        println!("kill {kill} of {kills}: node{victim} back at height {at}");
    }
    Ok(())
}

/// Transfers to one node, whether it lives or not: what it acknowledges must not be lost, however it dies.
struct Load {
    rpc: Rpc,
    senders: Vec<Sender>,
}

impl Load {
    fn new(net: &Network, index: usize) -> anyhow::Result<Self> {
        let first = SENDERS_A_NODE * u32::try_from(index)?;
        let senders = (first..first + SENDERS_A_NODE).map(Sender::new).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { rpc: net.rpc(index), senders })
    }

    fn run(mut self, stop: &AtomicBool, acknowledged: &Mutex<Vec<B256>>) {
        while !stop.load(Ordering::Relaxed) {
            for sender in &mut self.senders {
                let pending = self.rpc.call("eth_getTransactionCount", &json!([sender.address, "pending"]));
                let Ok(nonce) = pending.and_then(|value| number(&value)) else { continue };
                sender.nonce = nonce;
                let Ok((hash, raw)) = sender.transfer(Address::repeat_byte(0x77)) else { continue };
                if self.rpc.call("eth_sendRawTransaction", &json!([hex_of(&raw)])).is_ok() {
                    acknowledged.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(hash);
                }
            }
            // Load, and not a benchmark: the cores are for dying and coming back.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// One block and one state root a height on all nodes, nobody caught lying, everything acknowledged in the chain.
pub(crate) fn judge(net: &Network, last: u64, acknowledged: &[B256]) -> anyhow::Result<String> {
    let mut rpcs: Vec<Rpc> = (0..net.len()).map(|index| net.rpc(index)).collect();
    for height in 1..=last {
        let roots = rpcs.iter_mut().map(|rpc| rpc.root(height)).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(roots.iter().all(|root| Some(root) == roots.first()), "nodes differ at height {height}: {roots:?}");
    }
    let end = Instant::now() + Duration::from_secs(120);
    let rpc = rpcs.first_mut().context("no node")?;
    // In the order they were sent: those of one block together, so that a node reads each block once.
    for hashes in acknowledged.chunks(BATCH) {
        while let Some(missing) = without_receipt(rpc, hashes)? {
            ensure!(Instant::now() < end, "{missing} was acknowledged and is not in the chain");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    for index in 0..net.len() {
        let log = std::fs::read_to_string(net.folder(index).join("log")).context("no log")?;
        ensure!(!log.contains("signed two statements"), "node{index} saw a witness sign twice");
        ensure!(!log.contains("panicked"), "node{index} panicked");
    }
    Ok(format!(
        "{last} heights, one block and one state root each on {} nodes; nobody signed twice; {} acknowledged transfers, all in the chain",
        net.len(),
        acknowledged.len()
    ))
}

/// One of the transactions that has no receipt yet.
fn without_receipt(rpc: &mut Rpc, hashes: &[B256]) -> anyhow::Result<Option<B256>> {
    let ask = |(id, hash): (usize, &B256)| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_getTransactionReceipt", "params": [hash] });
    let answers = rpc.post(&Value::Array(hashes.iter().enumerate().map(ask).collect()))?;
    let answers = answers.as_array().context("no answers")?;
    let missing = |answer: &&Value| answer.get("result").is_none_or(Value::is_null);
    let id = answers.iter().find(missing).and_then(|answer| answer.get("id")).and_then(Value::as_u64);
    Ok(id.and_then(|id| usize::try_from(id).ok()).and_then(|id| hashes.get(id)).copied())
}

/// Kills as many as the chain bears, then one more, then brings one back.
pub(crate) fn as_many_dead_as_it_bears(
    program: PathBuf,
    root: &Path,
    witnesses: usize,
    patience: Duration,
) -> anyhow::Result<String> {
    let mut net = Network::create(program, root, witnesses, 1_000, 1)?;
    net.start_all(2)?;
    // Quorum: floor(2n/3) + 1.
    let bears = witnesses - (witnesses * 2 / 3 + 1);
    let lives = bears + 1;
    for index in 0..bears {
        net.kill(index)?;
    }
    let height = net.wait_height(lives, 0, patience)?;
    let with_dead = net.wait_height(lives, height + 5, patience)?;
    println!("{bears} of {witnesses} dead: blocks go on, height {with_dead}");
    net.kill(bears)?;
    // What was decided already may still be committed, one block at most.
    let mut stopped = net.wait_height(lives, 0, patience)?;
    let mut since = Instant::now();
    let end = Instant::now() + patience;
    while since.elapsed() < Duration::from_secs(12) {
        let now = net.wait_height(lives, 0, patience)?;
        if now != stopped {
            (stopped, since) = (now, Instant::now());
        }
        ensure!(Instant::now() < end, "{} of {witnesses} dead, and blocks go on: height {now}", bears + 1);
        std::thread::sleep(Duration::from_millis(200));
    }
    ensure!(stopped <= with_dead + 5, "blocks went on for a while: {with_dead} to {stopped}");
    println!("{} of {witnesses} dead: no block for 12 s at height {stopped}", bears + 1);
    net.start(bears)?;
    let back = net.wait_height(lives, stopped + 3, patience)?;
    println!("one is back: height {back}");
    for index in 0..bears {
        net.start(index)?;
    }
    let last = net.wait_height(lives, back + 2, patience)?;
    for index in 0..witnesses {
        net.wait_height(index, last, patience)?;
    }
    judge(&net, last, &[])
}
