//! State and blocks of one chain on disk (RocksDB) or in memory, behind one [`Store`].
//!
//! A block is one atomic batch: state records, trie nodes, undo records, header, body, receipts, certificate and indexes.
//! A crash at any byte leaves the store after a whole block. Reads of the last state go to flat tables of hashed keys; reads
//! of older heights look for the first undo record above the height, so they cost one seek more. Undo records are kept for
//! [`DEFAULT_UNDO_BLOCKS`], or for ever in an archive.
//!
//! The store does not know what a transaction means: blocks are the bytes of consensus, receipts those of the executor.

mod block;
mod commit;
mod history;
mod kv;
mod memory;
mod read;
#[cfg(feature = "rocks")]
mod rocks;
pub mod snapshot;
mod tables;
mod undo;
mod verify;

#[cfg(feature = "rocks")]
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use alloy_primitives::B256;
use netchain_state::StateError;

pub use block::{BlockBytes, NewBlock, transactions_of};
pub use history::{MAX_PROOF_BLOCKS, StateAt};
pub use kv::{Batch, Entry, Kv, Table};
pub use memory::MemoryKv;
pub use netchain_state as state;
#[cfg(feature = "rocks")]
pub use rocks::RocksKv;
pub use tables::KvTables;
pub use verify::StoreVerified;

/// Undo records kept: 42 hours of 3 s blocks, six hours more than the longest weekend outage an operator is asked to survive.
pub const DEFAULT_UNDO_BLOCKS: u64 = 50_400;
/// Version of the tables; another one is refused.
const FORMAT: u64 = 1;

const META_FORMAT: &[u8] = b"format";
const META_TIP: &[u8] = b"tip";
const META_OLDEST: &[u8] = b"oldest";
const META_BASE: &[u8] = b"base";

/// Why the store cannot do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// RocksDB or the disk failed.
    #[error("the database failed: {0}")]
    Database(String),
    /// The tables contradict each other.
    #[error("the database is damaged: {0}; try: netchaind verify-db")]
    Corrupt(&'static str),
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The folder holds a database of another format.
    #[error(
        "the database has format {0}, this program reads {FORMAT}; start with an empty folder and import a snapshot"
    )]
    Format(u64),
    /// A block that does not follow the tip, or whose roots are not those of its changes.
    #[error("the block cannot be committed: {0}")]
    Block(&'static str),
    /// The store already has blocks, or an import that did not end.
    #[error("the database is not empty; use an empty folder")]
    NotEmpty,
    /// The store has no genesis yet.
    #[error("the database is empty; try: netchaind init")]
    Empty,
    /// A snapshot that does not hold what it says.
    #[error("the snapshot is not acceptable: {0}")]
    Snapshot(&'static str),
}

impl From<StoreError> for StateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::State(error) => error,
            StoreError::Corrupt(what) => Self::Corrupt(what),
            StoreError::Database(_)
            | StoreError::Format(_)
            | StoreError::Block(_)
            | StoreError::NotEmpty
            | StoreError::Empty
            | StoreError::Snapshot(_) => Self::Database(error.to_string()),
        }
    }
}

/// The end of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreTip {
    /// Height of the last committed block.
    pub height: u64,
    /// Its hash.
    pub hash: B256,
    /// State root after it.
    pub root: B256,
}

/// How a store keeps its past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Blocks whose undo records are kept; none: all of them (`--archive`).
    pub undo_blocks: Option<u64>,
    /// Whether a commit is on the disk when it returns. Off only in benchmarks.
    pub durable: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { undo_blocks: Some(DEFAULT_UNDO_BLOCKS), durable: true }
    }
}

/// State and blocks of one chain. Cloning shares it; all methods may be called from any thread. Blocks are committed one at
/// a time; readers never wait for execution, only for the batch itself where they need many tables at once (proofs).
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) kv: Box<dyn Kv>,
    pub(crate) options: StoreOptions,
    pub(crate) tip: RwLock<Option<StoreTip>>,
    /// Oldest height whose state can be read.
    pub(crate) oldest: AtomicU64,
    /// Held while committing.
    pub(crate) committing: Mutex<()>,
    /// Held for writing during the batch; readers of several tables hold it for reading.
    pub(crate) gate: RwLock<()>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("tip", &self.tip()).finish_non_exhaustive()
    }
}

fn u64_of(bytes: &[u8]) -> Result<u64, StoreError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Corrupt("a number has the wrong length"))
}

impl Store {
    /// Opens the database in a folder, or makes an empty one.
    ///
    /// # Errors
    /// See [`StoreError`].
    #[cfg(feature = "rocks")]
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::over(Box::new(RocksKv::open(path)?), options)
    }

    /// An empty store in memory.
    #[must_use]
    pub fn memory(options: StoreOptions) -> Self {
        let kv: Box<dyn Kv> = Box::new(MemoryKv::default());
        Self(Arc::new(Inner::new(kv, options)))
    }

    /// A store over any tables.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn over(kv: Box<dyn Kv>, options: StoreOptions) -> Result<Self, StoreError> {
        let inner = Inner::new(kv, options);
        if let Some(format) = inner.kv.get(Table::Meta, META_FORMAT)? {
            let format = u64_of(&format)?;
            if format != FORMAT {
                return Err(StoreError::Format(format));
            }
        }
        if let Some(tip) = inner.kv.get(Table::Meta, META_TIP)? {
            let tip = decode_tip(&tip)?;
            *inner.tip.write().unwrap_or_else(PoisonError::into_inner) = Some(tip);
            let oldest = inner.kv.get(Table::Meta, META_OLDEST)?.map_or(Ok(0), |bytes| u64_of(&bytes))?;
            inner.oldest.store(oldest, Ordering::Release);
        }
        Ok(Self(Arc::new(inner)))
    }

    /// The end of the chain, none before the genesis is written.
    #[must_use]
    pub fn tip(&self) -> Option<StoreTip> {
        *self.0.tip.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Oldest height whose state can be read.
    #[must_use]
    pub fn oldest_state(&self) -> u64 {
        self.0.oldest.load(Ordering::Acquire)
    }

    /// The tables themselves.
    #[must_use]
    pub fn kv(&self) -> &dyn Kv {
        &*self.0.kv
    }

    /// The state after the tip, for the one who commits: nothing it reads may change while it is used.
    #[must_use]
    pub fn latest(&self) -> KvTables<'_> {
        KvTables(&*self.0.kv)
    }
}

impl Inner {
    fn new(kv: Box<dyn Kv>, options: StoreOptions) -> Self {
        Self {
            kv,
            options,
            tip: RwLock::new(None),
            oldest: AtomicU64::new(0),
            committing: Mutex::new(()),
            gate: RwLock::new(()),
        }
    }
}

fn encode_tip(tip: &StoreTip) -> Vec<u8> {
    [&tip.height.to_be_bytes()[..], tip.hash.as_slice(), tip.root.as_slice()].concat()
}

fn decode_tip(bytes: &[u8]) -> Result<StoreTip, StoreError> {
    let bad = StoreError::Corrupt("the tip is not readable");
    let (height, rest) = bytes.split_at_checked(8).ok_or(bad.clone())?;
    let (hash, root) = rest.split_at_checked(32).ok_or(bad.clone())?;
    let root = B256::try_from(root).map_err(|_| bad.clone())?;
    Ok(StoreTip { height: u64_of(height)?, hash: B256::try_from(hash).map_err(|_| bad)?, root })
}
