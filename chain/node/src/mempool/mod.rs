//! Transactions that wait for a block: a pure structure, no clock and no file.
//!
//! Per sender a map by nonce. A transaction is *ready* when no nonce before it is missing and the balance covers it together
//! with those before it; the others are *queued*. Only ready ones are offered to a block, dearest first, each sender's in
//! nonce order. When the pool is full the worst sender's last transaction goes: taking the last one never makes a gap.

mod account;
mod best;
pub mod journal;
mod tx;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy_primitives::{Address, B256};

use account::{Account, Rank};
pub use tx::{AccountState, PoolError, PoolTx, TxParts};

/// Transactions of one sender. Geth allows 16 ready and 64 queued; one limit for both is easier to explain.
pub const MAX_PER_ACCOUNT: usize = 64;
/// Longest encoded transaction, as Geth: four words of 32 KiB of code and data.
pub const MAX_TX_BYTES: usize = 128 << 10;
/// A replacement pays at least this much more, in percent, in both fee fields: else it is a free way to make peers talk.
pub const PRICE_BUMP_PERCENT: u128 = 10;
/// Seconds after which a transaction that is not ready is dropped, as Geth.
pub const QUEUED_LIFETIME_S: u64 = 3 * 3_600;

/// Size limits of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most transactions. 32,768 are five blocks of 2,000 a second.
    pub transactions: usize,
    /// Most bytes of encoded transactions.
    pub bytes: usize,
    /// Least fee cap in base units per gas.
    pub min_fee: u128,
    /// Most gas of one transaction: the block's limit, and EIP-7825's 2^24 where that is lower.
    pub max_gas: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transactions: 32_768, bytes: 64 << 20, min_fee: 1, max_gas: 1 << 24 }
    }
}

/// Outcome of a successful [`Pool::insert`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Whether it can go into the next block as far as nonce and balance are concerned.
    pub ready: bool,
    /// The transaction of the same sender and nonce that it replaces.
    pub replaced: Option<B256>,
    /// Transactions that had to go for it.
    pub evicted: Vec<B256>,
}

/// Numbers for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Ready transactions.
    pub ready: usize,
    /// Transactions behind a gap or without funds.
    pub queued: usize,
    /// Bytes of both.
    pub bytes: usize,
    /// Senders.
    pub accounts: usize,
}

/// The pool. `T` is what the executor makes of a transaction; the pool only carries it.
#[derive(Debug)]
pub struct Pool<T> {
    limits: Limits,
    base_fee: u128,
    accounts: BTreeMap<Address, Account<T>>,
    by_hash: BTreeMap<B256, (Address, u64)>,
    /// Worst sender first.
    ranks: BTreeSet<(Rank, Address)>,
    bytes: usize,
    sequence: u64,
}

impl<T> Pool<T> {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: Limits, base_fee: u128) -> Self {
        Self {
            limits,
            base_fee,
            accounts: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            ranks: BTreeSet::new(),
            bytes: 0,
            sequence: 0,
        }
    }

    /// Takes a transaction whose signature was verified; `state` is the sender's account on the tip, `now_s` any clock in
    /// seconds that goes on. An error changes nothing.
    ///
    /// # Errors
    /// See [`PoolError`].
    pub fn insert(&mut self, mut tx: PoolTx<T>, state: AccountState, now_s: u64) -> Result<Added, PoolError> {
        self.admit(&tx, state)?;
        self.sequence += 1;
        tx.sequence = self.sequence;
        tx.arrived_s = now_s;
        let (hash, sender, nonce) = (tx.hash, tx.sender, tx.nonce);
        let replaced = self.put(Arc::new(tx), state);
        let mut evicted = Vec::new();
        while self.by_hash.len() > self.limits.transactions || self.bytes > self.limits.bytes {
            let Some(victim) = self.pop_worst() else { break };
            if victim.0.hash == hash {
                // It was the worst itself: nothing happened.
                for (tx, state) in evicted.into_iter().chain(replaced.map(|tx| (tx, state))) {
                    self.put(tx, state);
                }
                return Err(PoolError::PoolFull);
            }
            evicted.push(victim);
        }
        let ready = self.accounts.get(&sender).is_some_and(|account| account.is_ready(nonce));
        let evicted = evicted.iter().map(|(tx, _)| tx.hash).collect();
        Ok(Added { ready, replaced: replaced.map(|tx| tx.hash), evicted })
    }

    /// What can be said before the pool is touched.
    fn admit(&self, tx: &PoolTx<T>, state: AccountState) -> Result<(), PoolError> {
        if self.by_hash.contains_key(&tx.hash) {
            return Err(PoolError::Known);
        }
        if tx.raw.len() > MAX_TX_BYTES {
            return Err(PoolError::TooLarge);
        }
        if tx.gas_limit > self.limits.max_gas {
            return Err(PoolError::GasLimit { most: self.limits.max_gas });
        }
        if tx.max_tip > tx.max_fee {
            return Err(PoolError::TipAboveFee);
        }
        if tx.max_fee < self.limits.min_fee {
            return Err(PoolError::FeeTooLow { least: self.limits.min_fee });
        }
        if tx.nonce < state.nonce {
            return Err(PoolError::NonceTooLow { tx: tx.nonce, account: state.nonce });
        }
        if tx.nonce - state.nonce >= MAX_PER_ACCOUNT as u64 {
            return Err(PoolError::NonceTooHigh { tx: tx.nonce, account: state.nonce });
        }
        if tx.cost > state.balance {
            return Err(PoolError::InsufficientFunds { cost: tx.cost, balance: state.balance });
        }
        match self.accounts.get(&tx.sender).and_then(|account| account.get(tx.nonce)) {
            Some(old) if !tx.outbids(old) => Err(PoolError::Underpriced),
            _ => Ok(()),
        }
    }

    /// Takes a block's effect on one account: what is used up goes, what became ready is offered.
    pub fn update(&mut self, address: &Address, state: AccountState) {
        if !self.accounts.contains_key(address) {
            return;
        }
        let dropped = self.with_account(*address, |account| account.set_state(state));
        dropped.iter().for_each(|tx| self.forget(tx));
    }

    /// Removes a transaction that turned out not to be executable, and keeps those behind it as queued.
    pub fn remove(&mut self, hash: &B256) -> Option<Arc<PoolTx<T>>> {
        let (sender, nonce) = *self.by_hash.get(hash)?;
        let tx = self.with_account(sender, |account| account.take(nonce))?;
        self.forget(&tx);
        Some(tx)
    }

    /// Sets the base fee of the next block in base units per gas.
    pub const fn set_base_fee(&mut self, base_fee: u128) {
        self.base_fee = base_fee;
    }

    /// Drops what has been queued for longer than [`QUEUED_LIFETIME_S`].
    pub fn expire(&mut self, now_s: u64) {
        let old = now_s.saturating_sub(QUEUED_LIFETIME_S);
        let late: Vec<B256> = self
            .accounts
            .values()
            .flat_map(|account| account.queued().filter(|tx| tx.arrived_s < old))
            .map(|tx| tx.hash)
            .collect();
        for hash in late {
            self.remove(&hash);
        }
    }

    /// A transaction by hash.
    #[must_use]
    pub fn get(&self, hash: &B256) -> Option<&Arc<PoolTx<T>>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        self.accounts.get(sender)?.get(*nonce)
    }

    /// The nonce a wallet should use next: behind the ready ones. None when the sender has nothing here.
    #[must_use]
    pub fn next_nonce(&self, address: &Address) -> Option<u64> {
        self.accounts.get(address).map(Account::next_nonce)
    }

    /// All transactions, sender by sender in nonce order, with whether they are ready.
    pub fn iter(&self) -> impl Iterator<Item = (bool, &Arc<PoolTx<T>>)> {
        self.accounts.values().flat_map(|account| account.iter().map(|tx| (account.is_ready(tx.nonce), tx)))
    }

    /// Senders with something here.
    pub fn senders(&self) -> impl Iterator<Item = &Address> {
        self.accounts.keys()
    }

    /// Base fee the pool orders by.
    #[must_use]
    pub const fn base_fee(&self) -> u128 {
        self.base_fee
    }

    /// Numbers for operators.
    #[must_use]
    pub fn status(&self) -> Status {
        let ready = self.accounts.values().map(Account::ready).sum();
        Status { ready, queued: self.by_hash.len() - ready, bytes: self.bytes, accounts: self.accounts.len() }
    }

    /// Stores an admitted transaction and returns the one it replaces.
    fn put(&mut self, tx: Arc<PoolTx<T>>, state: AccountState) -> Option<Arc<PoolTx<T>>> {
        self.by_hash.insert(tx.hash, (tx.sender, tx.nonce));
        self.bytes += tx.raw.len();
        self.accounts.entry(tx.sender).or_insert_with(|| Account::new(state));
        let (dropped, replaced) = self.with_account(tx.sender, |account| (account.set_state(state), account.put(tx)));
        dropped.iter().chain(&replaced).for_each(|tx| self.forget(tx));
        replaced
    }

    fn pop_worst(&mut self) -> Option<(Arc<PoolTx<T>>, AccountState)> {
        let sender = self.ranks.first()?.1;
        let state = self.accounts.get(&sender)?.state();
        let tx = self.with_account(sender, Account::take_last)?;
        self.forget(&tx);
        Some((tx, state))
    }

    fn forget(&mut self, tx: &PoolTx<T>) {
        self.by_hash.remove(&tx.hash);
        self.bytes = self.bytes.saturating_sub(tx.raw.len());
    }

    /// Changes one account and keeps the ranking right; an account without transactions goes.
    fn with_account<R: Default>(&mut self, sender: Address, change: impl FnOnce(&mut Account<T>) -> R) -> R {
        let Some(account) = self.accounts.get_mut(&sender) else { return R::default() };
        if let Some(rank) = account.rank() {
            self.ranks.remove(&(rank, sender));
        }
        let result = change(account);
        match account.rank() {
            Some(rank) => {
                self.ranks.insert((rank, sender));
            }
            None => {
                self.accounts.remove(&sender);
            }
        }
        result
    }
}
