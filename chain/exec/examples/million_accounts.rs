//! Memory of a store with a million accounts while blocks are executed on it, and a snapshot of it taken and imported.
//! `cargo run --release -p netchain-exec --example million_accounts [ACCOUNTS]`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)] // a benchmark measures and prints

use std::time::Instant;

use alloy_primitives::{Address, Bytes, U256, keccak256};
use netchain_exec::state::{Account, AccountChange, StateChanges};
use netchain_store::snapshot::{Importer, export};
use netchain_store::{BlockBytes, NewBlock, Store, StoreOptions};
use netchain_types::Header;

/// Goal of the design for a full node at a million accounts.
const GOAL_MIB: u64 = 400;
const A_BLOCK: u64 = 12_000;

fn main() {
    let accounts: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
    let start = Instant::now();
    store
        .init(
            &Header { state_root: netchain_exec::state::EMPTY_ROOT_HASH, ..Header::blank() },
            &StateChanges::default(),
            b"",
        )
        .unwrap();
    let mut made = 0;
    while made < accounts {
        let end = accounts.min(made + A_BLOCK);
        block(&store, made..end, 1);
        made = end;
    }
    println!("{accounts} accounts made in {:.1} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let blocks = 20;
    for n in 0..blocks {
        block(&store, (0..A_BLOCK).map(|i| (n * 7_919 + i * 104_729) % accounts), 2 + n);
    }
    println!("{:.0} ms a block that changes {A_BLOCK} of them", start.elapsed().as_secs_f64() * 1e3 / blocks as f64);
    let (now, peak) = memory_mib();
    println!("resident: {now} MiB now, {peak} MiB at most (goal {GOAL_MIB} MiB)");
    let start = Instant::now();
    let target = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    let manifest = export(&store, &mut |index, chunk: Bytes| {
        std::fs::write(files.path().join(index.to_string()), &chunk).unwrap();
        Ok(())
    })
    .unwrap();
    println!("snapshot: {} chunks in {:.1} s", manifest.chunks.len(), start.elapsed().as_secs_f64());
    let tip = store.tip().unwrap();
    drop(store);
    let start = Instant::now();
    let copy = Store::open(target.path(), StoreOptions::default()).unwrap();
    let mut importer = Importer::new(copy.clone(), manifest.clone(), manifest.header.hash()).unwrap();
    for index in 0..manifest.chunks.len() {
        importer.chunk(&std::fs::read(files.path().join(index.to_string())).unwrap()).unwrap();
    }
    assert_eq!(importer.finish().unwrap(), tip);
    println!(
        "imported and its root computed in {:.1} s, {} MiB at most",
        start.elapsed().as_secs_f64(),
        memory_mib().1
    );
}

fn block(store: &Store, who: impl Iterator<Item = u64>, nonce: u64) {
    let tip = store.tip().unwrap();
    let mut changes = StateChanges::default();
    for n in who {
        let account = Account { nonce, balance: U256::from(n) + U256::from(nonce), ..Account::default() };
        let address = Address::from_word(keccak256(n.to_be_bytes()));
        changes.accounts.insert(address, AccountChange { account: Some(account), ..AccountChange::default() });
    }
    let update = store.prepare(&changes).unwrap();
    let header = Header { number: tip.height + 1, parent_hash: tip.hash, state_root: update.root, ..Header::blank() };
    let block = BlockBytes::bare(&header);
    let new = NewBlock { block, receipts: Vec::new(), certificate: Bytes::new(), notes: Bytes::new() };
    store.commit(&new, &update).unwrap();
}

/// Resident memory now and at most, from the kernel.
fn memory_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
    };
    (field("VmRSS:"), field("VmHWM:"))
}
