//! `make crash-chain`: a local network under load whose processes are killed (SIGKILL), one after another, at random moments.
//!
//! Must hold: every killed node comes back by itself and catches up; all nodes have one block and one state root per height;
//! nobody is proven to have signed twice; every transaction acknowledged by a node that lived to tell is in the chain.

#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, ensure};
use common::{Network, Sender, hex_of};
use serde_json::json;

fn arg(name: &str, default: u64) -> u64 {
    let mut args = std::env::args().skip_while(|it| it != name);
    args.nth(1).and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() -> anyhow::Result<()> {
    let (kills, witnesses) = (arg("--kills", 20), usize::try_from(arg("--witnesses", 4))?);
    let mut seed = arg("--seed", 1);
    let root = std::env::temp_dir().join(format!("netchain-crash-{}", std::process::id()));
    let mut net = Network::create(&root, witnesses, 21_545, 1_000, 64)?;
    for index in 0..witnesses {
        net.start(index)?;
    }
    for index in 0..witnesses {
        net.wait_height(index, 2, Duration::from_secs(60))?;
    }
    let mut senders = (0..64).map(Sender::new).collect::<anyhow::Result<Vec<_>>>()?;
    let mut acknowledged = BTreeSet::new();
    for kill in 0..kills {
        let mut random = || {
            // splitmix64: the run can be repeated by its seed.
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let victim = usize::try_from(random() % witnesses as u64)?;
        let end = Instant::now() + Duration::from_millis(500 + random() % 2_500);
        while Instant::now() < end {
            load(&net, &mut senders, victim, &mut acknowledged);
        }
        net.kill(victim)?;
        let other = (victim + 1) % witnesses;
        let height = net.wait_height(other, 0, Duration::from_secs(5))?;
        if random() % 2 == 0 {
            // Down for a few blocks: it has to catch up.
            net.wait_height(other, height + 2, Duration::from_secs(60))?;
        }
        net.start(victim)?;
        let at = net.wait_height(victim, height + 1, Duration::from_secs(90))?;
        println!("kill {} of {kills}: node{victim} back at height {at}", kill + 1);
    }
    let height = net.wait_height(0, 0, Duration::from_secs(5))?;
    let last = height + 3;
    for index in 0..witnesses {
        net.wait_height(index, last, Duration::from_secs(90))?;
    }
    judge(&net, last, &acknowledged)?;
    drop(net);
    std::fs::remove_dir_all(&root)?;
    Ok(())
}

/// One round of transfers to a node that is not about to be killed: what that one acknowledges must not be lost.
fn load(net: &Network, senders: &mut [Sender], victim: usize, acknowledged: &mut BTreeSet<B256>) {
    let node = (victim + 1) % net.len();
    let mut rpc = net.rpc(node);
    for sender in senders {
        let pending = rpc.call("eth_getTransactionCount", &json!([sender.address, "pending"]));
        let Ok(nonce) = pending.and_then(|value| common::number(&value)) else { continue };
        sender.nonce = nonce;
        let Ok((hash, raw)) = sender.transfer(Address::repeat_byte(0x77)) else { continue };
        if rpc.call("eth_sendRawTransaction", &json!([hex_of(&raw)])).is_ok() {
            acknowledged.insert(hash);
        }
    }
}

fn judge(net: &Network, last: u64, acknowledged: &BTreeSet<B256>) -> anyhow::Result<()> {
    for height in 1..=last {
        let first = net.rpc(0).root(height)?;
        for index in 1..net.len() {
            ensure!(net.rpc(index).root(height)? == first, "node0 and node{index} differ at height {height}");
        }
    }
    let mut rpc = net.rpc(0);
    let end = Instant::now() + Duration::from_secs(60);
    for hash in acknowledged {
        while rpc.call("eth_getTransactionReceipt", &json!([hash]))?.is_null() {
            ensure!(Instant::now() < end, "{hash} was acknowledged and is not in the chain");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    for index in 0..net.len() {
        let log = std::fs::read_to_string(net.root.join(format!("node{index}")).join("log")).context("no log")?;
        ensure!(!log.contains("signed two statements"), "node{index} saw a witness sign twice");
        ensure!(!log.contains("panicked"), "node{index} panicked");
    }
    println!(
        "{last} heights, one block and one state root each on {} nodes; {} acknowledged transfers, all in the chain",
        net.len(),
        acknowledged.len()
    );
    Ok(())
}
