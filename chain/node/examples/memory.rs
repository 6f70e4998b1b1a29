//! `make memory-chain`: a chain that makes `--accounts` (a million) accounts by its own transactions, the resident memory of its nodes while
//! it does and while `--rate` (2,000) transfers a second run on them at 3 s blocks, and the snapshot of it: exported by a running node, imported
//! into another folder and verified there. `--kept FOLDER`: goes on with the accounts that a run which was broken off left. Everything is `netchaind`; this program sends and reads.

#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a program for developers

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, TxKind, U256};
use anyhow::{Context as _, ensure};
use common::{Network, Rpc, Sender, arg, hex_of, number, program};
use serde_json::{Value, json};

/// Goal of the design for a full node at a million accounts.
const GOAL_MIB: u64 = 400;
/// One to send to and one that hears of everything by gossip.
const NODES: usize = 2;
/// Accounts one transaction makes: 36,700 gas each, below the 2^24 a transaction may use.
const A_TRANSACTION: u64 = 450;
/// Gas of one such transaction.
const GAS: u64 = 16_700_000;
/// Transactions a block: 134 M gas, below the target at which the base fee rises.
const A_BLOCK: usize = 8;
/// Transfers of one request.
const BATCH: usize = 100;

fn main() -> anyhow::Result<()> {
    let (accounts, rate, seconds) = (arg("--accounts", 1_000_000), arg("--rate", 2_000), arg("--seconds", 120));
    // At most 64 of a sender wait: enough senders for five blocks.
    let bench = u32::try_from((rate * 15 / 48).max(64))?;
    let mut senders = (0..bench).map(Sender::new).collect::<anyhow::Result<Vec<_>>>()?;
    let kept = std::env::args().skip_while(|it| it != "--kept").nth(1);
    let root = kept.as_ref().map_or_else(
        || std::env::temp_dir().join(format!("netchain-memory-{}", std::process::id())),
        std::path::PathBuf::from,
    );
    let (mut net, mut peak) = if kept.is_some() {
        (Network::again(program()?, &root, NODES)?, 0)
    } else {
        let mut net = Network::create(program()?, &root, NODES, 1_000, bench)?;
        net.start_all(1)?;
        let began = Instant::now();
        make(&net, &mut senders, accounts)?;
        println!("{accounts} accounts made by transactions in {:.0} s", began.elapsed().as_secs_f64());
        let peak = show("after they were made", &net)?;
        slow_blocks(&mut net)?;
        (net, peak)
    };
    net.start_all(1)?;
    let height = net.wait_height(0, 0, Duration::from_secs(60))?;
    (0..NODES).try_for_each(|index| net.wait_height(index, height + 2, Duration::from_secs(60)).map(drop))?;
    let taken = transfers(&net, &mut senders, accounts, rate, Duration::from_secs(seconds))?;
    let when = format!("started again, under {} transfers a second between them for {seconds} s", taken / seconds);
    peak = peak.max(show(&when, &net)?);
    let export = root.join("export");
    let to = export.to_str().context("a folder")?.to_owned();
    let began = Instant::now();
    net.command(0, &["admin", "export-snapshot", &to])?;
    let chunks = std::fs::read_dir(&export)?.count() - 1;
    println!("snapshot of {chunks} chunks written by the running node in {:.1} s", began.elapsed().as_secs_f64());
    peak = peak.max(show("after the export", &net)?);
    import(&net, &root, &export)?;
    ensure!(peak <= GOAL_MIB, "more than {GOAL_MIB} MiB");
    drop(net);
    for made_here in [export, root.join("fresh")] {
        std::fs::remove_dir_all(made_here)?;
    }
    if kept.is_none() {
        std::fs::remove_dir_all(&root)?;
    }
    Ok(())
}

/// Stops the nodes and gives them blocks every 3 s, as on the real chains; a million accounts at that pace would take a quarter of an hour.
fn slow_blocks(net: &mut Network) -> anyhow::Result<()> {
    for index in 0..NODES {
        net.kill(index)?;
        let path = net.folder(index).join("netchaind.toml");
        let config = std::fs::read_to_string(&path)?;
        ensure!(config.contains("block_ms = 1000"), "another configuration than this program made");
        std::fs::write(&path, config.replace("block_ms = 1000", "block_ms = 3000"))?;
    }
    Ok(())
}

/// The account of a number.
fn account(n: u64) -> Address {
    let first = U256::from(0xacc0_u64) << 144;
    Address::from_word(B256::from(first + U256::from(n)))
}

/// Init code that sends one base unit to each account of a range.
fn init_code(from: u64, to: u64) -> Vec<u8> {
    let push20 = |n| [&[0x73], account(n).as_slice()].concat();
    let mut code = push20(from);
    // JUMPDEST (at 21); CALL with gas 0 (and the stipend), the account, value 1, no input, no output; POP.
    code.extend([0x5b, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 0, 0x60, 1, 0x85, 0x60, 0, 0xf1, 0x50]);
    // + 1; again while `to` is greater.
    code.extend([0x60, 1, 0x01, 0x80]);
    code.extend(push20(to));
    code.extend([0x11, 0x60, 21, 0x57, 0x00]);
    code
}

/// Makes accounts, a block's worth sent while the one before is being included.
fn make(net: &Network, senders: &mut [Sender], accounts: u64) -> anyhow::Result<()> {
    let (mut rpc, mut made, mut before) = (net.rpc(0), 0, Vec::new());
    while made < accounts {
        let mut hashes = Vec::new();
        for sender in senders.iter_mut().take(A_BLOCK) {
            let end = accounts.min(made + A_TRANSACTION);
            if made == end {
                break;
            }
            let (hash, raw) = sender.sign(TxKind::Create, end - made, init_code(made, end).into(), GAS)?;
            rpc.call("eth_sendRawTransaction", &json!([hex_of(&raw)]))?;
            hashes.push(hash);
            made = end;
        }
        succeeded(&mut rpc, &std::mem::replace(&mut before, hashes))?;
    }
    succeeded(&mut rpc, &before)?;
    let last = rpc.call("eth_getBalance", &json!([account(accounts - 1), "latest"]))?;
    ensure!(last == json!("0x1"), "the last account has {last}");
    Ok(())
}

/// Waits until all are in the chain and did what they should.
fn succeeded(rpc: &mut Rpc, hashes: &[B256]) -> anyhow::Result<()> {
    for hash in hashes {
        let end = Instant::now() + Duration::from_secs(60);
        let receipt = loop {
            let receipt = rpc.call("eth_getTransactionReceipt", &json!([hash]))?;
            if !receipt.is_null() {
                break receipt;
            }
            ensure!(Instant::now() < end, "a transaction that makes accounts is not in the chain");
            std::thread::sleep(Duration::from_millis(30));
        };
        ensure!(receipt.get("status") == Some(&json!("0x1")), "a transaction that makes accounts failed: {receipt}");
    }
    Ok(())
}

/// Transfers to accounts all over the state, with answers of the RPC read in between. Says how many were taken.
fn transfers(net: &Network, senders: &mut [Sender], accounts: u64, rate: u64, time: Duration) -> anyhow::Result<u64> {
    let (mut rpc, mut n, mut next, mut sent, mut taken) = (net.rpc(0), 7, 0, 0_u64, 0_u64);
    for sender in senders.iter_mut() {
        sender.nonce = number(&rpc.call("eth_getTransactionCount", &json!([sender.address, "pending"]))?)?;
    }
    let began = Instant::now();
    while began.elapsed() < time {
        if u128::from(sent) * 1_000 > u128::from(rate) * began.elapsed().as_millis() {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let mut batch = Vec::new();
        for id in 0..BATCH {
            next = (next + 1) % senders.len();
            n = (n + 104_729) % accounts;
            let (_, raw) = senders.get_mut(next).context("no sender")?.transfer(account(n))?;
            batch.push(
                json!({ "jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [hex_of(&raw)] }),
            );
        }
        let answers = rpc.post(&Value::Array(batch))?;
        let refused = |it: &&Value| it.get("result").is_none();
        let refused = answers.as_array().context("no list of answers")?.iter().filter(refused).count();
        sent += BATCH as u64;
        taken += (BATCH - refused) as u64;
        if refused > 0 {
            // The machine does not keep up. Numbers that were not taken are free again.
            for sender in senders.iter_mut() {
                let nonce = rpc.call("eth_getTransactionCount", &json!([sender.address, "pending"]))?;
                sender.nonce = number(&nonce)?;
            }
        }
        rpc.call("eth_getProof", &json!([account(n), [], "latest"]))?;
    }
    Ok(taken)
}

/// Imports into a folder of its own; `netchaind` computes the root.
fn import(net: &Network, root: &Path, export: &Path) -> anyhow::Result<()> {
    let fresh = root.join("fresh");
    let genesis = net.folder(0).join("genesis.json");
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(program()?);
        let out = command.arg("--dir").arg(&fresh).args(args).output()?;
        ensure!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        anyhow::Ok(String::from_utf8(out.stdout)?)
    };
    run(&["init", "--genesis", &text(&genesis)?])?;
    let began = Instant::now();
    let told = run(&["import-snapshot", &text(export)?])?;
    let seconds = began.elapsed().as_secs_f64();
    let field = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)).map(|it| it.trim().to_owned());
    let height: u64 = field("height ").context("no height")?.parse()?;
    let root = field("state root ").context("no root")?;
    let (expected, _) = net.rpc(0).root(height)?;
    ensure!(root == format!("{expected} verified"), "imported {root}, the node has {expected}");
    println!("imported into another folder in {seconds:.1} s: state root {root}, as the node's at height {height}");
    Ok(())
}

/// Prints what the kernel says of each node, and gives the highest peak.
fn show(when: &str, net: &Network) -> anyhow::Result<u64> {
    let (now, peak) = (resident_mib(net, "VmRSS:")?, resident_mib(net, "VmHWM:")?);
    println!("resident {when}: {now:?} MiB now, {peak:?} MiB at most (goal {GOAL_MIB} MiB)");
    peak.into_iter().max().context("no process")
}

/// A field of the nodes' status, from the kernel.
fn resident_mib(net: &Network, name: &str) -> anyhow::Result<Vec<u64>> {
    let field = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with(name)).context("no such field")?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse::<u64>()? / 1_024)
    };
    net.pids().into_iter().map(field).collect()
}
