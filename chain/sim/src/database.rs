//! The database of one node: the store's twin in memory, with the ways in which a disk under a database fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netchain_store::{Batch, Entry, Kv, MemoryKv, StoreError, Table};

use crate::rng::Rng;

/// Tables that survive a crash as far as they were synced. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Database(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    live: MemoryKv,
    /// Every batch since the beginning: what a power cut leaves is a prefix of them.
    log: Vec<Batch>,
    /// Batches that are on the disk for certain.
    synced: usize,
    rng: Rng,
    full: bool,
    /// Power goes during the next write.
    cut: bool,
    /// Power is gone: nothing works until the machine starts again.
    dark: bool,
    /// A write failed for want of space since the last start.
    failed: bool,
}

impl Database {
    /// An empty database; `seed` decides what a power cut leaves.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let (live, log) = (MemoryKv::default(), Vec::new());
        let inner = Inner { live, log, synced: 0, rng: Rng(seed), full: false, cut: false, dark: false, failed: false };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the disk takes nothing more.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Lets the power go during the next write: that batch is there afterwards, or it is not.
    pub fn cut_at_next_write(&self) {
        self.lock().cut = true;
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.lock().dark
    }

    /// Whether a write failed for want of space since the last start.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// The process is gone, with `power` the machine too: then of what was not synced some prefix is left.
    pub fn crash(&self, power: bool) {
        let mut inner = self.lock();
        (inner.cut, inner.dark, inner.failed) = (false, false, false);
        let loose = inner.log.len() - inner.synced;
        if power && loose > 0 {
            let kept = inner.synced + inner.rng.index(loose + 1);
            inner.log.truncate(kept);
            inner.synced = kept;
            inner.live = MemoryKv::default();
            for batch in inner.log.clone() {
                // The twin in memory refuses nothing.
                let _ = inner.live.write(batch, true);
            }
        }
    }
}

impl Inner {
    fn apply(&mut self, batch: Batch, durable: bool) -> Result<(), StoreError> {
        self.live.write(batch.clone(), durable)?;
        self.log.push(batch);
        if durable {
            self.synced = self.log.len();
        }
        Ok(())
    }

    fn usable(&self) -> Result<&MemoryKv, StoreError> {
        if self.dark { Err(StoreError::Database("the power is gone".to_owned())) } else { Ok(&self.live) }
    }
}

impl Kv for Database {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.lock().usable()?.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], within: usize, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.lock().usable()?.scan(table, from, within, limit)
    }

    fn write(&self, batch: Batch, durable: bool) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.usable()?;
        if inner.full {
            inner.failed = true;
            return Err(StoreError::Database("no space left on device".to_owned()));
        }
        if std::mem::take(&mut inner.cut) {
            inner.dark = true;
            if inner.rng.chance(500) {
                inner.apply(batch, durable)?;
            }
            return Err(StoreError::Database("the power is gone".to_owned()));
        }
        inner.apply(batch, durable)
    }
}
