//! The mempool at work: one lock, the journal on disk, and who wants to hear of new transactions.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Bytes};
use netchain_exec::SignedTransaction;
use netchain_state::{State, StateChanges, StateError, TablesState};
use netchain_store::Store;
use tokio::sync::{broadcast, mpsc};

use crate::cpu::{Work, spend};
use crate::mempool::{AccountState, Limits, Pool, PoolError, PoolTx, Status, TxParts, journal};
use crate::recover::decode_all;

/// Hashes of new transactions that a slow subscriber may lag behind.
const MAX_NEWS: usize = 4_096;
/// Transactions of this node's users that wait to be gossiped.
const MAX_OUT: usize = 8_192;
/// The journal is rewritten when it is this much longer than what it must hold: twice the pool's own limit at most.
const JOURNAL_SLACK_BYTES: u64 = 32 << 20;

/// Why a transaction is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It is none.
    #[error(transparent)]
    Decode(#[from] netchain_exec::TransactionError),
    /// The pool does not want it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal cannot be written: what is not durable is not acknowledged.
    #[error("the journal of transactions cannot be written: {0}")]
    Journal(#[from] std::io::Error),
}

struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
}

struct Inner {
    pool: Pool<SignedTransaction>,
    journal: Journal,
    /// Of this node's users, and waiting: nobody else is sure to have them.
    own: BTreeSet<B256>,
    /// Where gossiping them again goes on.
    own_next: B256,
}

/// The mempool of a node.
pub struct TxPool {
    inner: Mutex<Inner>,
    store: Store,
    chain_id: u64,
    started: Instant,
    news: broadcast::Sender<B256>,
    out: mpsc::Sender<Bytes>,
}

/// The form the pool keeps.
fn pool_tx(tx: SignedTransaction) -> PoolTx<SignedTransaction> {
    let envelope = tx.envelope();
    let parts = TxParts {
        hash: tx.hash(),
        sender: tx.sender(),
        nonce: envelope.nonce(),
        max_fee: envelope.max_fee_per_gas(),
        max_tip: envelope.max_priority_fee_per_gas().unwrap_or_else(|| envelope.max_fee_per_gas()),
        gas_limit: envelope.gas_limit(),
        value: envelope.value(),
        raw: tx.bytes().clone(),
    };
    PoolTx::new(parts, tx)
}

impl TxPool {
    /// Opens the pool with the journal of the last run. The receiver gets transactions to be gossiped.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub fn open(
        path: &Path,
        store: Store,
        chain_id: u64,
        limits: Limits,
        base_fee: u128,
    ) -> std::io::Result<(Self, mpsc::Receiver<Bytes>)> {
        let mut bytes = Vec::new();
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        file.read_to_end(&mut bytes)?;
        let (txs, _) = journal::read(&bytes);
        let (news, _) = broadcast::channel(MAX_NEWS);
        let (out, receiver) = mpsc::channel(MAX_OUT);
        let journal = Journal { path: path.to_owned(), file, bytes: bytes.len() as u64 };
        let inner = Mutex::new(Inner {
            pool: Pool::new(limits, base_fee),
            journal,
            own: BTreeSet::new(),
            own_next: B256::ZERO,
        });
        let pool = Self { inner, store, chain_id, started: Instant::now(), news, out };
        let kept = pool.restore(&txs);
        pool.lock().rewrite_journal()?;
        tracing::info!(kept, read = txs.len(), "transactions of the last run");
        Ok((pool, receiver))
    }

    /// Takes back what the last run had, and says how many are still good.
    fn restore(&self, raws: &[Bytes]) -> usize {
        let mut inner = self.lock();
        let read = decode_all(raws, self.chain_id, false).into_iter().flatten();
        // The journal does not say whose they were: all are gossiped once more, when there is somebody to hear it.
        let kept: BTreeSet<B256> = read.filter_map(|tx| self.insert(&mut inner, tx).ok()).collect();
        inner.own.extend(&kept);
        kept.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account on the tip: one record, so no block is seen in part. To be called with the lock held.
    fn account(&self, address: &Address) -> Result<AccountState, SubmitError> {
        let account = TablesState(&self.store.latest()).account(address)?.unwrap_or_default();
        Ok(AccountState { nonce: account.nonce, balance: account.balance })
    }

    /// Takes a transaction. In the journal when this returns; `own`: from a user of this node, to be gossiped.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub fn submit(&self, raw: &[u8], own: bool) -> Result<B256, SubmitError> {
        let raw = Bytes::copy_from_slice(raw);
        let mut outcome = self.submit_all(std::slice::from_ref(&raw), own);
        // One in, one out.
        outcome.pop().unwrap_or(Err(PoolError::Known.into()))
    }

    /// Takes many transactions at a time: their signatures are checked outside of the lock and on more than one core, and
    /// the journal is written once. One outcome each, in order.
    pub fn submit_all(&self, raws: &[Bytes], own: bool) -> Vec<Result<B256, SubmitError>> {
        let hashes: Vec<B256> = raws.iter().map(alloy_primitives::keccak256).collect();
        let mut seen = BTreeSet::new();
        let new: Vec<bool> = {
            let inner = self.lock();
            hashes.iter().map(|hash| inner.pool.get(hash).is_none() && seen.insert(*hash)).collect()
        };
        let fresh: Vec<Bytes> = raws.iter().zip(&new).filter(|(_, new)| **new).map(|(raw, _)| raw.clone()).collect();
        let mut decoded = decode_all(&fresh, self.chain_id, false).into_iter();
        let outcomes = spend(Work::Pool, || {
            // Accounts are read under the lock: a block that is committed after that takes the lock, and corrects them.
            let mut inner = self.lock();
            let mut outcomes: Vec<Result<B256, SubmitError>> = new
                .iter()
                .map(|new| match new.then(|| decoded.next()).flatten() {
                    Some(tx) => self.insert(&mut inner, tx?),
                    None => Err(PoolError::Known.into()),
                })
                .collect();
            let taken = |outcome: &Result<B256, SubmitError>| outcome.is_ok();
            let frames =
                raws.iter().zip(&outcomes).filter(|(_, it)| taken(it)).flat_map(|(raw, _)| journal::frame(raw));
            let frames: Vec<u8> = frames.collect();
            if own {
                inner.own.extend(outcomes.iter().flatten());
            }
            if let Err(error) = inner.append(&frames) {
                // What is not in the journal is not acknowledged, and not kept.
                for outcome in outcomes.iter_mut().filter(|it| taken(it)) {
                    if let Ok(hash) = outcome {
                        inner.pool.remove(hash);
                    }
                    *outcome = Err(std::io::Error::new(error.kind(), error.to_string()).into());
                }
            }
            outcomes
        });
        for (raw, hash) in raws.iter().zip(&outcomes).filter_map(|(raw, it)| Some((raw, it.as_ref().ok()?))) {
            let _ = self.news.send(*hash);
            if own {
                // Full: peers ask for nothing, but the own blocks will carry it.
                let _ = self.out.try_send(raw.clone());
            }
        }
        outcomes
    }

    fn insert(&self, inner: &mut Inner, tx: SignedTransaction) -> Result<B256, SubmitError> {
        // It would be ready, in no block ever, and in the way of the sender's next ones.
        tx.check_gas()?;
        let (hash, state) = (tx.hash(), self.account(&tx.sender())?);
        inner.pool.insert(pool_tx(tx), state, self.started.elapsed().as_secs())?;
        Ok(hash)
    }

    /// A waiting transaction.
    #[must_use]
    pub fn get(&self, hash: &B256) -> Option<SignedTransaction> {
        self.lock().pool.get(hash).map(|tx| tx.payload.clone())
    }

    /// Those of many that are here, at one look.
    #[must_use]
    pub fn get_all(&self, hashes: &[B256]) -> Vec<Option<SignedTransaction>> {
        let inner = self.lock();
        hashes.iter().map(|hash| inner.pool.get(hash).map(|tx| tx.payload.clone())).collect()
    }

    /// Nonce behind the ready transactions of a sender.
    #[must_use]
    pub fn next_nonce(&self, address: &Address) -> Option<u64> {
        self.lock().pool.next_nonce(address)
    }

    /// Transactions of this node's users that still wait, at most `most`, in turn: to be gossiped again, because the first time
    /// there may have been nobody to hear it.
    #[must_use]
    pub fn own_waiting(&self, most: usize) -> Vec<Bytes> {
        let mut inner = self.lock();
        let Inner { pool, own, own_next, .. } = &mut *inner;
        let turn = own.range(*own_next..).chain(own.range(..*own_next));
        let chosen: Vec<_> = turn.filter_map(|hash| pool.get(hash)).take(most).cloned().collect();
        // The last one comes once more: simpler than the hash after it, and known to everybody by then.
        *own_next = chosen.last().map_or(B256::ZERO, |tx| tx.hash);
        chosen.iter().map(|tx| tx.raw.clone()).collect()
    }

    /// What to build a block of.
    #[must_use]
    pub fn best(&self, gas: u64, bytes: usize) -> Vec<SignedTransaction> {
        self.lock().pool.best(gas, bytes).into_iter().map(|tx| tx.payload.clone()).collect()
    }

    /// At most so many transactions, with whether they are ready.
    #[must_use]
    pub fn content(&self, most: usize) -> Vec<(bool, SignedTransaction)> {
        self.lock().pool.iter().take(most).map(|(ready, tx)| (ready, tx.payload.clone())).collect()
    }

    /// Numbers for operators.
    #[must_use]
    pub fn status(&self) -> Status {
        self.lock().pool.status()
    }

    /// Hears of new transactions.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<B256> {
        self.news.subscribe()
    }

    /// Drops what turned out not to be executable.
    pub fn remove(&self, hash: &B256) {
        self.lock().pool.remove(hash);
    }

    /// Takes a committed block: accounts as they are now, and the next base fee.
    pub fn block(&self, changes: &StateChanges, base_fee: u128) {
        let mut inner = self.lock();
        let here: BTreeSet<Address> = inner.pool.senders().copied().collect();
        for address in here {
            if let Some(change) = changes.accounts.get(&address) {
                let account = change.account.unwrap_or_default();
                inner.pool.update(&address, AccountState { nonce: account.nonce, balance: account.balance });
            }
        }
        inner.pool.set_base_fee(base_fee);
        inner.pool.expire(self.started.elapsed().as_secs());
        let Inner { pool, own, .. } = &mut *inner;
        own.retain(|hash| pool.get(hash).is_some());
        let live = inner.pool.status().bytes as u64;
        if inner.journal.bytes > live.saturating_mul(2) + JOURNAL_SLACK_BYTES
            && let Err(error) = inner.rewrite_journal()
        {
            tracing::warn!(%error, "the journal of transactions cannot be rewritten");
        }
    }
}

impl Inner {
    fn append(&mut self, frames: &[u8]) -> std::io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.journal.file.write_all(frames) {
            // Half a frame would hide all that follow it. If this fails too, the disk is beyond our help.
            let _ = self.journal.file.set_len(self.journal.bytes);
            return Err(error);
        }
        self.journal.bytes += frames.len() as u64;
        Ok(())
    }

    /// Writes what is in the pool aside and renames it over the journal.
    fn rewrite_journal(&mut self) -> std::io::Result<()> {
        let aside = self.journal.path.with_extension("new");
        let mut bytes = Vec::new();
        for (_, tx) in self.pool.iter() {
            bytes.extend(journal::frame(&tx.raw));
        }
        let mut file = File::create(&aside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&aside, &self.journal.path)?;
        self.journal.file = OpenOptions::new().append(true).open(&self.journal.path)?;
        self.journal.bytes = bytes.len() as u64;
        Ok(())
    }
}
