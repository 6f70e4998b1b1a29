//! `make bench-chain`: transfers a second of a local network, sustained, with receipts readable, and the CPU they cost.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::cast_precision_loss)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use anyhow::Context as _;
use common::{Network, Sender, hex_of, number};
use serde_json::{Value, json};

/// Transfers of one request.
const BATCH: usize = 100;

fn arg(name: &str, default: u64) -> u64 {
    let mut args = std::env::args().skip_while(|it| it != name);
    args.nth(1).and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() -> anyhow::Result<()> {
    let (witnesses, rate, seconds) =
        (usize::try_from(arg("--witnesses", 4))?, arg("--rate", 2_000), arg("--seconds", 60));
    let root = std::env::temp_dir().join(format!("netchain-load-{}", std::process::id()));
    // Every sender has at most 64 waiting: enough senders for five blocks.
    let accounts = u32::try_from((rate * 15 / 48).max(64))?;
    let mut net = Network::create(&root, witnesses, 22_545, 3_000, accounts)?;
    for index in 0..witnesses {
        net.start(index)?;
    }
    for index in 0..witnesses {
        net.wait_height(index, 2, Duration::from_secs(120))?;
    }
    let cpu_before = cpu_seconds(&net);
    let from = net.wait_height(0, 0, Duration::from_secs(5))?;
    let began = Instant::now();
    let (sent, refused) = send(&net, rate, seconds, accounts)?;
    let elapsed = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds(&net) - cpu_before;
    let to = net.wait_height(0, 0, Duration::from_secs(5))? + 3;
    net.wait_height(0, to, Duration::from_secs(120))?;
    let mut rpc = net.rpc(0);
    let (mut included, mut last_hash) = (0, Value::Null);
    for height in from + 1..=to {
        let block = rpc.call("eth_getBlockByNumber", &json!([format!("{height:#x}"), false]))?;
        let hashes = block.get("transactions").and_then(Value::as_array).context("no transactions")?;
        included += hashes.len().saturating_sub(1) as u64;
        if let Some(hash) = hashes.first().filter(|_| hashes.len() > 1) {
            last_hash = hash.clone();
        }
    }
    let receipt = rpc.call("eth_getTransactionReceipt", &json!([last_hash]))?;
    let status = receipt.get("status").context("no receipt")?;
    println!(
        "{witnesses} witnesses, {seconds} s: {sent} acknowledged, {refused} refused, {included} in blocks {}..{to}",
        from + 1
    );
    println!(
        "{:.0} transfers/s in blocks; {:.1} us CPU a transfer and node; last receipt's status {}",
        included as f64 / elapsed,
        cpu * 1e6 / included.max(1) as f64 / witnesses as f64,
        number(status)?
    );
    drop(net);
    std::fs::remove_dir_all(&root)?;
    Ok(())
}

/// Sends at a rate from one thread for each node.
fn send(net: &Network, rate: u64, seconds: u64, accounts: u32) -> anyhow::Result<(u64, u64)> {
    let (sent, refused, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let threads = net.len().min(4);
    let mut senders: Vec<Vec<Sender>> = (0..threads).map(|_| Vec::new()).collect();
    for index in 0..accounts {
        senders.get_mut(index as usize % threads).context("no thread")?.push(Sender::new(index)?);
    }
    std::thread::scope(|scope| {
        for (index, mine) in senders.iter_mut().enumerate() {
            let (sent, refused, stop, mut rpc) = (&sent, &refused, &stop, net.rpc(index));
            scope.spawn(move || {
                let (began, mut done, mut next) = (Instant::now(), 0_u64, 0_usize);
                while !stop.load(Ordering::Relaxed) {
                    let due = began.elapsed().as_millis() as u64 * rate / threads as u64 / 1_000;
                    if done + BATCH as u64 > due {
                        std::thread::sleep(Duration::from_millis(10));
                        continue;
                    }
                    done += BATCH as u64;
                    let mut batch = Vec::new();
                    let mut from = Vec::new();
                    for _ in 0..BATCH {
                        next = (next + 1) % mine.len();
                        let Some(Ok((_, raw))) = mine.get_mut(next).map(|it| it.transfer(Address::repeat_byte(0x77))) else { continue };
                        batch.push(json!({ "jsonrpc": "2.0", "id": batch.len(), "method": "eth_sendRawTransaction", "params": [hex_of(&raw)] }));
                        from.push(next);
                    }
                    let answers = rpc.post(&Value::Array(batch)).ok();
                    let answers = answers.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
                    for answer in &answers {
                        if answer.get("result").is_some() {
                            sent.fetch_add(1, Ordering::Relaxed);
                        } else {
                            refused.fetch_add(1, Ordering::Relaxed);
                            // Its nonce is free again: ask which one is next.
                            let id = answer.get("id").and_then(Value::as_u64).and_then(|id| usize::try_from(id).ok());
                            let Some(it) = id.and_then(|id| from.get(id)).and_then(|at| mine.get_mut(*at)) else { continue };
                            let nonce = rpc.call("eth_getTransactionCount", &json!([it.address, "pending"]));
                            if let Ok(nonce) = nonce.and_then(|value| number(&value)) {
                                it.nonce = nonce;
                            }
                        }
                    }
                }
            });
        }
        std::thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
    });
    Ok((sent.into_inner(), refused.into_inner()))
}

/// User and system time of all nodes, seconds.
fn cpu_seconds(net: &Network) -> f64 {
    let of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|it| it.parse().ok())
            .collect();
        fields.iter().sum::<u64>() as f64 / 100.0
    };
    (0..net.len()).filter_map(|index| net.pid(index)).map(of).sum()
}
