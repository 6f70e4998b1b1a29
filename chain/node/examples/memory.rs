//! `make memory-chain`: a chain that makes `--accounts` (a million) accounts by its own transactions, the resident memory of the node while it
//! does and while transfers run on them, and the snapshot of it: exported by the running node, imported into another folder and
//! verified there. Everything is `netchaind`; this program sends and reads.

#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a program for developers

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, TxKind, U256};
use anyhow::{Context as _, ensure};
use common::{Network, Sender, arg, hex_of, number, program};
use serde_json::{Value, json};

/// Goal of the design for a full node at a million accounts.
const GOAL_MIB: u64 = 400;
/// Accounts one transaction makes: 36,700 gas each, below the 2^24 a transaction may use.
const A_TRANSACTION: u64 = 450;
/// Gas of one such transaction.
const GAS: u64 = 16_700_000;
/// Transactions a block: 134 M gas, below the target at which the base fee rises.
const A_BLOCK: usize = 8;
/// Seconds of transfers on the finished state.
const TRANSFER_S: u64 = 30;

fn main() -> anyhow::Result<()> {
    let accounts = arg("--accounts", 1_000_000);
    let root = std::env::temp_dir().join(format!("netchain-memory-{}", std::process::id()));
    let mut net = Network::create(program()?, &root, 1, 1_000, 64)?;
    net.start_all(1)?;
    let mut senders = (0..64).map(Sender::new).collect::<anyhow::Result<Vec<_>>>()?;
    let mut most = 0;
    let began = Instant::now();
    make(&net, &mut senders, accounts, &mut most)?;
    println!("{accounts} accounts made by transactions in {:.0} s", began.elapsed().as_secs_f64());
    transfers(&net, &mut senders, accounts, &mut most)?;
    show("while they were made, and under transfers between them", &net, most)?;
    let export = root.join("export");
    let to = export.to_str().context("a folder")?.to_owned();
    let began = Instant::now();
    net.command(0, &["admin", "export-snapshot", &to])?;
    let chunks = std::fs::read_dir(&export)?.count() - 1;
    println!("snapshot of {chunks} chunks written by the running node in {:.1} s", began.elapsed().as_secs_f64());
    show("after the export", &net, most)?;
    import(&net, &root, &export)?;
    net.kill(0)?;
    net.start(0)?;
    let height = net.wait_height(0, 0, Duration::from_secs(60))?;
    net.wait_height(0, height + 3, Duration::from_secs(60))?;
    let mut most_again = 0;
    for sender in &mut senders {
        sender.nonce = number(&net.rpc(0).call("eth_getTransactionCount", &json!([sender.address, "pending"]))?)?;
    }
    transfers(&net, &mut senders, accounts, &mut most_again)?;
    let peak = show("started again, under transfers", &net, most_again)?;
    ensure!(peak.max(most) <= GOAL_MIB, "more than {GOAL_MIB} MiB");
    drop(net);
    Ok(std::fs::remove_dir_all(&root)?)
}

/// The account of a number.
fn account(n: u64) -> Address {
    let first = U256::from(0xacc0_u64) << 144;
    Address::from_word(alloy_primitives::B256::from(first + U256::from(n)))
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

/// Makes accounts block by block.
fn make(net: &Network, senders: &mut [Sender], accounts: u64, most: &mut u64) -> anyhow::Result<()> {
    let (mut rpc, mut made) = (net.rpc(0), 0);
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
            ensure!(
                receipt.get("status") == Some(&json!("0x1")),
                "a transaction that makes accounts failed: {receipt}"
            );
        }
        *most = resident_mib(net, "VmRSS:")?.max(*most);
    }
    let last = rpc.call("eth_getBalance", &json!([account(accounts - 1), "latest"]))?;
    ensure!(last == json!("0x1"), "the last account has {last}");
    Ok(())
}

/// Transfers to accounts all over the state, some hundred a second, with answers of the RPC read in between.
fn transfers(net: &Network, senders: &mut [Sender], accounts: u64, most: &mut u64) -> anyhow::Result<()> {
    let (mut rpc, mut n, end) = (net.rpc(0), 7, Instant::now() + Duration::from_secs(TRANSFER_S));
    while Instant::now() < end {
        let mut batch = Vec::new();
        for sender in senders.iter_mut() {
            n = (n + 104_729) % accounts;
            let (_, raw) = sender.transfer(account(n))?;
            batch.push(
                json!({ "jsonrpc": "2.0", "id": n, "method": "eth_sendRawTransaction", "params": [hex_of(&raw)] }),
            );
        }
        let answers = rpc.post(&Value::Array(batch))?;
        ensure!(answers.as_array().is_some_and(|all| all.iter().all(|it| it.get("result").is_some())), "{answers}");
        rpc.call("eth_getProof", &json!([account(n), [], "latest"]))?;
        *most = resident_mib(net, "VmRSS:")?.max(*most);
        std::thread::sleep(Duration::from_millis(250));
    }
    Ok(())
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

fn show(when: &str, net: &Network, most: u64) -> anyhow::Result<u64> {
    let (now, peak) = (resident_mib(net, "VmRSS:")?, resident_mib(net, "VmHWM:")?);
    println!(
        "resident {when}: {now} MiB now, {most} MiB at most as sampled, {peak} MiB at most by the kernel (goal {GOAL_MIB} MiB)"
    );
    Ok(peak)
}

/// A field of the node's status, from the kernel.
fn resident_mib(net: &Network, name: &str) -> anyhow::Result<u64> {
    let pid = *net.pids().first().context("no process")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(name)).context("no such field")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse::<u64>()? / 1_024)
}
