//! The mempool at work: what is acknowledged is in the journal, however the process ends, and nothing is taken twice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, missing_docs)]

#[path = "../examples/common/mod.rs"]
mod common;

use std::io::Write as _;
use std::path::Path;

use alloy_primitives::{Address, Bytes, U256};
use common::Sender;
use netchain_exec::genesis::{GenesisAccount, GenesisConfig, GenesisNfc, GenesisWitness};
use netchain_exec::{ChainParams, Genesis};
use netchain_store::{Store, StoreOptions};
use netchaind::init::DEV_CHAIN_ID;
use netchaind::mempool::{Limits, PoolError};
use netchaind::txpool::{SubmitError, TxPool};
use tokio::sync::mpsc::Receiver;

const GWEI: u128 = 1_000_000_000;

fn store(senders: &[Sender]) -> Store {
    let params = ChainParams::new(DEV_CHAIN_ID);
    let rich = || GenesisAccount { balance: U256::from(10_u64.pow(18)), ..GenesisAccount::default() };
    let witness = GenesisWitness {
        account: Address::repeat_byte(1),
        vote_key: alloy_primitives::B256::repeat_byte(1),
        reveal_key: alloy_primitives::FixedBytes::repeat_byte(1),
    };
    let nfc = GenesisNfc {
        min_base_fee: params.min_base_fee,
        prize_pool: None,
        witness_contract: params.witness_contract,
        witnesses: vec![witness],
    };
    let genesis = Genesis {
        config: GenesisConfig { chain_id: DEV_CHAIN_ID, nfc },
        timestamp: 1,
        gas_limit: params.gas_limit,
        mix_hash: alloy_primitives::B256::ZERO,
        alloc: senders.iter().map(|sender| (sender.address, rich())).collect(),
    };
    let block = genesis.block().unwrap();
    let store = Store::memory(StoreOptions::default());
    store.init(&block.header, &block.changes, &[]).unwrap();
    store
}

fn senders(n: u32) -> Vec<Sender> {
    (0..n).map(|index| Sender::new(index).unwrap()).collect()
}

fn open(journal: &Path, store: &Store) -> (TxPool, Receiver<Bytes>) {
    TxPool::open(journal, store.clone(), DEV_CHAIN_ID, Limits::default(), GWEI).unwrap()
}

fn transfers(senders: &mut [Sender], each: usize) -> Vec<Bytes> {
    let to = Address::repeat_byte(0x77);
    (0..each).flat_map(|_| senders.iter_mut().map(|it| it.transfer(to).unwrap().1).collect::<Vec<_>>()).collect()
}

#[test]
fn a_batch_has_one_outcome_each_and_takes_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut senders = senders(40);
    let store = store(&senders);
    let (pool, _outgoing) = open(&folder.path().join("journal"), &store);
    // More than one thread's worth, among them one that is known, one twice, one that is none.
    let mut raws = transfers(&mut senders, 3);
    pool.submit(&raws[5], false).unwrap();
    raws.push(raws[7].clone());
    raws.push(Bytes::from(vec![2, 1]));
    let outcomes = pool.submit_all(&raws, false);
    assert_eq!(outcomes.len(), raws.len());
    for (index, outcome) in outcomes.iter().enumerate() {
        match (index, outcome) {
            (5 | 120, Err(SubmitError::Pool(PoolError::Known))) | (121, Err(SubmitError::Decode(_))) => {}
            (_, Ok(hash)) => assert_eq!(*hash, alloy_primitives::keccak256(&raws[index])),
            (index, other) => panic!("{index}: {other:?}"),
        }
    }
    assert_eq!(pool.status().ready, 120);
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash_and_is_gossiped_again() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let mut senders = senders(3);
    let store = store(&senders);
    let raws = transfers(&mut senders, 10);
    {
        let (pool, mut outgoing) = open(&journal, &store);
        assert!(pool.submit_all(&raws, true).iter().all(Result::is_ok));
        let mut turns: Vec<Bytes> = (0..6).flat_map(|_| pool.own_waiting(7)).collect();
        turns.sort();
        turns.dedup();
        assert_eq!(turns.len(), raws.len(), "all in turn");
        assert_eq!(outgoing.blocking_recv(), Some(raws[0].clone()));
        // The process dies here: nothing is flushed, nothing is said.
        std::mem::forget(pool);
    }
    // And it died in the middle of a write.
    std::fs::OpenOptions::new().append(true).open(&journal).unwrap().write_all(&[200, 0, 0, 0, 1]).unwrap();
    for _ in 0..2 {
        let (pool, _outgoing) = open(&journal, &store);
        assert_eq!(pool.status().ready, raws.len());
        let mut again = pool.own_waiting(100);
        again.sort();
        let mut all = raws.clone();
        all.sort();
        assert_eq!(again, all);
    }
}

#[test]
fn others_transactions_are_not_gossiped_as_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut senders = senders(1);
    let store = store(&senders);
    let (pool, mut outgoing) = open(&folder.path().join("journal"), &store);
    assert!(pool.submit_all(&transfers(&mut senders, 2), false).iter().all(Result::is_ok));
    assert!(pool.own_waiting(10).is_empty() && outgoing.try_recv().is_err());
}
