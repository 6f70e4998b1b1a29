//! What the pool promises, against a naive reading of its own contents, under random histories.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use netchaind::mempool::{
    AccountState, Limits, MAX_PER_ACCOUNT, Pool, PoolError, PoolTx, QUEUED_LIFETIME_S, TxParts, journal,
};
use proptest::prelude::*;

type P = Pool<()>;

fn sender(n: u8) -> Address {
    Address::repeat_byte(n + 1)
}

fn tx(from: u8, nonce: u64, max_fee: u128, max_tip: u128, value: u64) -> PoolTx<()> {
    let raw: Bytes = format!("{from}/{nonce}/{max_fee}/{max_tip}/{value}").into_bytes().into();
    PoolTx::new(
        TxParts {
            hash: keccak256(&raw),
            sender: sender(from),
            nonce,
            max_fee,
            max_tip,
            gas_limit: 21_000,
            value: U256::from(value),
            raw,
        },
        (),
    )
}

fn rich(nonce: u64) -> AccountState {
    AccountState { nonce, balance: U256::from(10_u64).pow(U256::from(24)) }
}

fn small(transactions: usize) -> Limits {
    Limits { transactions, ..Limits::default() }
}

fn contents(pool: &P) -> BTreeSet<(Address, u64, B256, bool)> {
    pool.iter().map(|(ready, tx)| (tx.sender, tx.nonce, tx.hash, ready)).collect()
}

#[test]
fn a_nonce_gap_is_queued_and_offered_when_it_closes() {
    let mut pool = P::new(Limits::default(), 1);
    assert!(!pool.insert(tx(0, 6, 10, 1, 0), rich(5), 0).unwrap().ready);
    assert_eq!((pool.best(u64::MAX, usize::MAX).len(), pool.next_nonce(&sender(0))), (0, Some(5)));
    assert!(pool.insert(tx(0, 5, 10, 1, 0), rich(5), 0).unwrap().ready);
    let nonces: Vec<u64> = pool.best(u64::MAX, usize::MAX).iter().map(|tx| tx.nonce).collect();
    assert_eq!((nonces, pool.next_nonce(&sender(0))), (vec![5, 6], Some(7)));
}

#[test]
fn a_replacement_pays_ten_percent_more_in_both_fees() {
    let mut pool = P::new(Limits::default(), 1);
    let first = tx(0, 0, 100, 100, 0);
    let hash = first.hash;
    pool.insert(first, rich(0), 0).unwrap();
    for (fee, tip) in [(109, 109), (200, 109), (110, 100)] {
        assert_eq!(pool.insert(tx(0, 0, fee, tip, 0), rich(0), 0), Err(PoolError::Underpriced), "{fee} {tip}");
    }
    let added = pool.insert(tx(0, 0, 110, 110, 0), rich(0), 0).unwrap();
    assert_eq!((added.replaced, pool.status().ready, pool.get(&hash).is_none()), (Some(hash), 1, true));
}

#[test]
fn a_sender_has_a_limit_and_so_has_the_pool() {
    let mut pool = P::new(small(100), 1);
    for nonce in 0..MAX_PER_ACCOUNT as u64 {
        pool.insert(tx(0, nonce, 10, 1, 0), rich(0), 0).unwrap();
    }
    let next = tx(0, MAX_PER_ACCOUNT as u64, 10, 1, 0);
    assert!(matches!(pool.insert(next, rich(0), 0), Err(PoolError::NonceTooHigh { .. })));
    for n in 1..=36 {
        pool.insert(tx(n, 0, 20, 1, 0), rich(0), 0).unwrap();
    }
    assert_eq!(pool.insert(tx(90, 0, 9, 1, 0), rich(0), 0), Err(PoolError::PoolFull));
    // The dearer one takes the place of the cheap sender's last: no gap.
    let added = pool.insert(tx(91, 0, 30, 1, 0), rich(0), 0).unwrap();
    assert_eq!((added.evicted.len(), pool.next_nonce(&sender(0))), (1, Some(63)));
    assert_eq!(pool.status().queued, 0);
}

#[test]
fn a_dear_transaction_behind_a_cheap_one_does_not_protect_it() {
    let mut pool = P::new(small(3), 1);
    pool.insert(tx(0, 0, 2, 1, 0), rich(0), 0).unwrap();
    pool.insert(tx(0, 1, 1_000_000, 1, 0), rich(0), 0).unwrap();
    pool.insert(tx(1, 0, 50, 1, 0), rich(0), 0).unwrap();
    pool.insert(tx(2, 0, 50, 1, 0), rich(0), 0).unwrap();
    pool.insert(tx(3, 0, 50, 1, 0), rich(0), 0).unwrap();
    assert_eq!(pool.next_nonce(&sender(0)), None);
}

#[test]
fn what_a_sender_cannot_pay_together_is_not_ready() {
    let mut pool = P::new(Limits::default(), 1);
    let state = AccountState { nonce: 0, balance: U256::from(21_000 * 10 + 5) };
    assert!(pool.insert(tx(0, 0, 10, 1, 0), state, 0).unwrap().ready);
    assert!(!pool.insert(tx(0, 1, 1, 1, 0), state, 0).unwrap().ready);
    assert!(matches!(pool.insert(tx(1, 0, 11, 1, 0), state, 0), Err(PoolError::InsufficientFunds { .. })));
}

#[test]
fn a_block_uses_up_nonces_and_moves_the_base_fee() {
    let mut pool = P::new(Limits::default(), 10);
    for nonce in 0..4 {
        pool.insert(tx(0, nonce, 12, 5, 0), rich(0), 0).unwrap();
    }
    pool.update(&sender(0), rich(2));
    assert_eq!((pool.status().ready, pool.best(u64::MAX, usize::MAX).len()), (2, 2));
    pool.set_base_fee(13);
    assert_eq!((pool.status().ready, pool.best(u64::MAX, usize::MAX).len()), (2, 0));
    pool.update(&sender(0), AccountState { nonce: 2, balance: U256::ZERO });
    assert_eq!((pool.status().ready, pool.status().queued), (0, 2));
    pool.expire(QUEUED_LIFETIME_S + 1);
    assert_eq!(pool.status(), netchaind::mempool::Status::default());
}

#[test]
fn a_torn_journal_gives_back_what_was_whole() {
    let raws: Vec<Bytes> = (0..20_u64).map(|nonce| tx(0, nonce, 1, 1, nonce).raw).collect();
    let journal: Vec<u8> = raws.iter().flat_map(|raw| journal::frame(raw)).collect();
    for length in 0..=journal.len() {
        let (read, good) = journal::read(&journal[..length]);
        assert_eq!(read, raws[..read.len()]);
        assert!(good <= length && length - good < 8 + raws.get(read.len()).map_or(1, |raw| raw.len()));
    }
    assert_eq!(journal::read(&journal).0.len(), raws.len());
}

#[derive(Clone, Debug)]
enum Step {
    Insert { from: u8, nonce: u64, fee: u128, tip: u128, value: u64 },
    Block { from: u8, nonce: u64, poor: bool },
    Remove(usize),
    BaseFee(u128),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8, 0..12_u64, 1..40_u128, 1..40_u128, 0..5_u64)
            .prop_map(|(from, nonce, fee, tip, value)| Step::Insert { from, nonce, fee, tip, value }),
        1 => (0..6_u8, 0..12_u64, any::<bool>()).prop_map(|(from, nonce, poor)| Step::Block { from, nonce, poor }),
        1 => (0..30_usize).prop_map(Step::Remove),
        1 => (1..40_u128).prop_map(Step::BaseFee),
    ]
}

/// Everything that must hold of a pool, computed the slow way.
fn check(pool: &P, states: &BTreeMap<Address, AccountState>, limits: Limits) {
    let all: Vec<_> = pool.iter().collect();
    let status = pool.status();
    assert!(all.len() <= limits.transactions && status.bytes <= limits.bytes);
    assert_eq!(status.bytes, all.iter().map(|(_, tx)| tx.raw.len()).sum::<usize>());
    assert_eq!(status.ready, all.iter().filter(|(ready, _)| *ready).count());
    assert_eq!(status.ready + status.queued, all.len());
    for (ready, tx) in &all {
        assert_eq!(pool.get(&tx.hash).map(|tx| tx.hash), Some(tx.hash));
        let state = states[&tx.sender];
        assert!(tx.nonce >= state.nonce);
        let before: Vec<_> = all.iter().filter(|(_, t)| t.sender == tx.sender && t.nonce <= tx.nonce).collect();
        let cost: U256 = before.iter().map(|(_, tx)| tx.cost).sum();
        let whole = before.len() as u64 == tx.nonce - state.nonce + 1;
        assert_eq!(*ready, whole && cost <= state.balance, "nonce {} of {:?}", tx.nonce, state);
    }
    let best = pool.best(u64::MAX, usize::MAX);
    let mut next: BTreeMap<Address, u64> = states.iter().map(|(address, state)| (*address, state.nonce)).collect();
    for (place, tx) in best.iter().enumerate() {
        assert_eq!(next.insert(tx.sender, tx.nonce + 1), Some(tx.nonce), "a sender's are offered in nonce order");
        let tip = tx.tip_at(pool.base_fee()).unwrap();
        // Nobody who could have stood here pays more.
        for other in &best[place + 1..] {
            if next[&other.sender] == other.nonce && other.sender != tx.sender {
                assert!(other.tip_at(pool.base_fee()).unwrap() <= tip);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_history_keeps_every_invariant(steps in prop::collection::vec(step(), 1..80), limit in 3..20_usize, bytes in 60..400_usize) {
        let limits = Limits { transactions: limit, bytes, ..Limits::default() };
        let mut pool = P::new(limits, 1);
        let mut states: BTreeMap<Address, AccountState> = (0..6).map(|n| (sender(n), rich(0))).collect();
        for step in steps {
            match step {
                Step::Insert { from, nonce, fee, tip, value } => {
                    let before = contents(&pool);
                    let new = tx(from, nonce, fee.max(tip), tip, value);
                    let (hash, price, state) = (new.hash, new.max_fee, states[&sender(from)]);
                    let was: BTreeMap<B256, u128> = pool.iter().map(|(_, tx)| (tx.hash, tx.max_fee)).collect();
                    let was_ready: BTreeSet<B256> = pool.iter().filter(|(ready, _)| *ready).map(|(_, tx)| tx.hash).collect();
                    match pool.insert(new, state, 0) {
                        Ok(added) => {
                            prop_assert!(pool.get(&hash).is_some());
                            for gone in &added.evicted {
                                prop_assert!(was.contains_key(gone) && pool.get(gone).is_none());
                                // A ready, dearer transaction of a ready chain never goes for a cheaper one that is not ready.
                                let worse = !added.ready && was_ready.contains(gone) && was[gone] > price;
                                let chain_min = before.iter().any(|(s, _, h, _)| h == gone
                                    && before.iter().any(|(o, _, h, ready)| o == s && (was[h] <= price || !ready)));
                                prop_assert!(!worse || chain_min);
                            }
                        }
                        Err(_) => prop_assert_eq!(before, contents(&pool), "an error changes nothing"),
                    }
                }
                Step::Block { from, nonce, poor } => {
                    let state = states.get_mut(&sender(from)).unwrap();
                    let balance = if poor { U256::from(21_000 * 40) } else { rich(0).balance };
                    *state = AccountState { nonce: state.nonce.max(nonce.min(state.nonce + 2)), balance };
                    pool.update(&sender(from), *state);
                }
                Step::Remove(which) => {
                    let hash = pool.iter().nth(which).map(|(_, tx)| tx.hash);
                    if let Some(hash) = hash {
                        prop_assert!(pool.remove(&hash).is_some() && pool.get(&hash).is_none());
                    }
                }
                Step::BaseFee(fee) => pool.set_base_fee(fee),
            }
            check(&pool, &states, limits);
        }
    }
}
