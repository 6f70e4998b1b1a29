//! The transactions of one sender.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::U256;

use super::tx::{AccountState, PoolTx};

/// Who goes first when the pool is full: queued before ready, cheap before dear, new before old.
pub(super) type Rank = (bool, u128, Reverse<u64>);

#[derive(Debug)]
pub(super) struct Account<T> {
    state: AccountState,
    txs: BTreeMap<u64, Arc<PoolTx<T>>>,
    /// How many from the front are ready.
    ready: usize,
}

impl<T> Account<T> {
    pub(super) const fn new(state: AccountState) -> Self {
        Self { state, txs: BTreeMap::new(), ready: 0 }
    }

    pub(super) const fn state(&self) -> AccountState {
        self.state
    }

    pub(super) const fn ready(&self) -> usize {
        self.ready
    }

    pub(super) fn get(&self, nonce: u64) -> Option<&Arc<PoolTx<T>>> {
        self.txs.get(&nonce)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<PoolTx<T>>> {
        self.txs.values()
    }

    pub(super) fn queued(&self) -> impl Iterator<Item = &Arc<PoolTx<T>>> {
        self.txs.values().skip(self.ready)
    }

    pub(super) const fn next_nonce(&self) -> u64 {
        self.state.nonce.saturating_add(self.ready as u64)
    }

    pub(super) fn is_ready(&self, nonce: u64) -> bool {
        nonce < self.next_nonce() && self.txs.contains_key(&nonce)
    }

    /// None when nothing is left.
    pub(super) fn rank(&self) -> Option<Rank> {
        // The cheapest of the chain speaks for its last one: behind a cheap transaction a dear one earns nothing.
        let price = self.txs.values().map(|tx| tx.max_fee).min()?;
        let newest = self.txs.values().map(|tx| tx.sequence).max()?;
        Some((self.ready == self.txs.len(), price, Reverse(newest)))
    }

    pub(super) fn put(&mut self, tx: Arc<PoolTx<T>>) -> Option<Arc<PoolTx<T>>> {
        let replaced = self.txs.insert(tx.nonce, tx);
        self.count_ready();
        replaced
    }

    pub(super) fn take(&mut self, nonce: u64) -> Option<Arc<PoolTx<T>>> {
        let tx = self.txs.remove(&nonce);
        self.count_ready();
        tx
    }

    pub(super) fn take_last(&mut self) -> Option<Arc<PoolTx<T>>> {
        let (_, tx) = self.txs.pop_last()?;
        self.count_ready();
        Some(tx)
    }

    /// Takes the account as it is on the tip; returns what its nonce has used up.
    pub(super) fn set_state(&mut self, state: AccountState) -> Vec<Arc<PoolTx<T>>> {
        self.state = state;
        let kept = self.txs.split_off(&state.nonce);
        let used = std::mem::replace(&mut self.txs, kept);
        self.count_ready();
        used.into_values().collect()
    }

    fn count_ready(&mut self) {
        let (mut nonce, mut spent) = (self.state.nonce, U256::ZERO);
        self.ready = 0;
        for (at, tx) in &self.txs {
            spent = spent.saturating_add(tx.cost);
            if *at != nonce || spent > self.state.balance {
                return;
            }
            nonce = nonce.saturating_add(1);
            self.ready += 1;
        }
    }
}
