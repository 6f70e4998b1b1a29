//! One node: its disks, which survive, and its process, which does not.

use std::path::PathBuf;
use std::sync::Arc;

use netchain_consensus::{Application, Config, Host, Keys, Now, Rules};
use netchain_exec::{Executor, GenesisBlock};
use netchain_store::{Store, StoreError, StoreOptions};
use netchain_types::ChainDomain;
use netchaind::chain::Chain;
use netchaind::mempool::Limits;
use netchaind::reveal::RevealKey;
use netchaind::txpool::TxPool;
use tokio::sync::broadcast;

use crate::database::Database;
use crate::disk::Disk;
use crate::rng::Rng;
use crate::scenario::Death;

/// What an application is opened with.
pub struct Parts {
    /// The store on this machine's database.
    pub store: Store,
    /// The database itself; for mutations.
    pub database: Database,
    /// The rules.
    pub executor: Executor,
    /// The chain instance, as signatures name it.
    pub domain: ChainDomain,
    /// The mempool.
    pub pool: Arc<TxPool>,
    /// Key of the reveals.
    pub reveal: Option<RevealKey>,
}

/// An application that the simulator can start and look into: the daemon's, or a mutation of it.
pub trait Twin: Application + Sized {
    /// Opens it at the store's tip.
    ///
    /// # Errors
    /// Why it cannot be opened.
    fn open(parts: Parts) -> Result<Self, String>;
    /// The daemon's application in it.
    fn chain(&self) -> &Chain;
}

impl Twin for Chain {
    fn open(parts: Parts) -> Result<Self, String> {
        let Parts { store, executor, domain, pool, reveal, .. } = parts;
        // Nobody subscribes: hearing of one height is enough of a queue.
        let (heads, _) = broadcast::channel(1);
        Self::open(store, executor, domain, pool, reveal, heads).map_err(|error| error.to_string())
    }

    fn chain(&self) -> &Chain {
        self
    }
}

/// What every start of a node needs beside its disks.
pub struct Plan<'a> {
    /// The genesis block.
    pub genesis: &'a GenesisBlock,
    /// The chain instance, as signatures name it.
    pub domain: ChainDomain,
    /// How the store keeps its past.
    pub options: StoreOptions,
    /// The node in consensus.
    pub config: Config,
}

/// Why a node does not start.
#[derive(Debug)]
pub enum StartError {
    /// Its disk is full: later.
    Full,
    /// It must have started.
    Broken(String),
}

/// One node.
pub struct Machine<A, R> {
    /// The process.
    pub host: Option<Host<A, R>>,
    /// Waiting transactions of the process.
    pub pool: Option<Arc<TxPool>>,
    /// The database: survives.
    pub database: Database,
    /// The file of the log: survives.
    pub disk: Disk,
    /// Bytes of the log that the next start finds.
    log: Vec<u8>,
    /// Where the mempool's journal is.
    journal: PathBuf,
    /// When it is woken next.
    pub wake_us: u64,
    /// Effects it still performs before it dies, how, and for how long.
    pub dies: Option<(u64, Death, u64)>,
    /// Height that it told the world it has committed.
    pub told: u64,
    /// How long it stays down when the power goes in a commit.
    pub cut_down_us: u64,
}

impl<A: Twin, R: Rules> Machine<A, R> {
    /// A machine that never ran.
    #[must_use]
    pub fn new(journal: PathBuf, seed: u64, lying_disk: bool) -> Self {
        Self {
            host: None,
            pool: None,
            database: Database::new(seed),
            disk: Disk::new(lying_disk),
            log: Vec::new(),
            journal,
            wake_us: u64::MAX,
            dies: None,
            told: 0,
            cut_down_us: 0,
        }
    }

    /// Height being decided, as far as anybody can see from outside.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.host.as_ref().map_or(self.told, |host| host.height() - 1)
    }

    /// Whether a disk is full.
    pub fn set_full(&mut self, full: bool) {
        self.disk.set_full(full);
        self.database.set_full(full);
    }

    /// Starts the process on what the disks hold.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(
        &mut self,
        plan: &Plan<'_>,
        keys: Box<dyn Keys>,
        reveal: Option<RevealKey>,
        now: Now,
    ) -> Result<(), StartError> {
        let broken = |error: StoreError| StartError::Broken(format!("the store does not open: {error}"));
        let store = Store::over(Box::new(self.database.clone()), plan.options).map_err(broken)?;
        if store.tip().is_none() {
            let initialised = store.init(&plan.genesis.header, &plan.genesis.changes, &[]);
            initialised.map_err(|error| if self.database.has_failed() { StartError::Full } else { broken(error) })?;
        }
        let tip = store.tip().map_or(0, |tip| tip.height);
        if tip < self.told {
            return Err(StartError::Broken(format!("lost: block {} was committed, the tip is {tip}", self.told)));
        }
        let executor = Executor::new(plan.genesis.params.clone());
        let chain_id = plan.genesis.params.chain_id;
        let base_fee = u128::from(plan.genesis.params.min_base_fee);
        let pool = TxPool::open(&self.journal, store.clone(), chain_id, Limits::default(), base_fee);
        let (pool, _) = pool.map_err(|error| StartError::Broken(format!("the mempool does not open: {error}")))?;
        let pool = Arc::new(pool);
        self.pool = Some(pool.clone());
        let parts = Parts { store, database: self.database.clone(), executor, domain: plan.domain, pool, reveal };
        let app = A::open(parts).map_err(StartError::Broken)?;
        self.host = Some(Host::start(plan.config, keys, app, &self.log, now));
        Ok(())
    }

    /// Ends the process.
    pub fn end(&mut self, death: Death, rng: &mut Rng) {
        self.host = None;
        self.pool = None;
        self.dies = None;
        self.wake_us = u64::MAX;
        let power = death != Death::Kill;
        self.log = if power { self.disk.crash(rng) } else { self.disk.kill() };
        self.database.crash(power);
    }
}
