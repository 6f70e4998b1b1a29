//! `netchaind run`: everything wired together, until a signal or a fatal error.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use anyhow::Context as _;
use netchain_consensus::Timing;
use netchain_exec::{Executor, Genesis, SignedTransaction};
use netchain_net::{Multiaddr, NetCommand, NetConfig, NetHandle, WitnessKey};
use netchain_rpc::{Callers, NetSource, RecentBlocks, RpcContext, RpcLimits, RpcServer, SyncState, TxSource};
use netchain_store::{Store, StoreOptions};
use netchain_types::ChainDomain;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::answers::Node;
use crate::chain::Chain;
use crate::config::{Layout, NodeConfig};
use crate::engine::{self, EngineConfig, EngineError};
use crate::keys::{read_node_key, read_witness_keys};
use crate::mempool::Limits;
use crate::snapshots::{Snapshots, make_regularly};
use crate::txpool::TxPool;

/// Heights a slow subscriber may lag behind before it looks into the store.
const MAX_HEADS: usize = 256;
/// Own users' transactions are gathered this long before they are gossiped.
const GATHER: Duration = Duration::from_millis(100);
/// Most transactions gossiped at a time: a second of what a node can take.
const MAX_GATHERED: usize = 2_048;
/// Own users' transactions that still wait are gossiped again this often: seven blocks.
const GOSSIP_AGAIN: Duration = Duration::from_secs(21);

/// An open database and what the genesis says.
pub struct Opened {
    /// State and blocks.
    pub store: Store,
    /// The rules.
    pub executor: Executor,
    /// The chain instance.
    pub domain: ChainDomain,
}

/// Opens a node's database and writes the genesis into an empty one.
///
/// # Errors
/// The genesis file or the database is not there or not acceptable, or they are of different chains.
pub fn open(layout: &Layout, config: &NodeConfig) -> anyhow::Result<Opened> {
    let path = layout.genesis();
    let json = std::fs::read(&path).with_context(|| format!("cannot read {}; try: netchaind init", path.display()))?;
    let genesis = Genesis::from_json(&json)?.block()?;
    let undo_blocks = if config.store.archive { None } else { StoreOptions::default().undo_blocks };
    let store = Store::open(&layout.db(), StoreOptions { undo_blocks, ..StoreOptions::default() })?;
    if store.tip().is_none() {
        store.init(&genesis.header, &genesis.changes, &[])?;
    }
    let hash = genesis.header.hash();
    // A store that came from a snapshot has no block 0.
    let same = store.hash_at(0)?.is_none_or(|stored| stored == hash);
    anyhow::ensure!(same, "{} and the database are of different chains", path.display());
    let domain = ChainDomain { chain_id: genesis.params.chain_id, genesis: hash };
    Ok(Opened { store, executor: Executor::new(genesis.params), domain })
}

/// Makes sure that no other process uses the folder, as long as the file returned is open.
///
/// # Errors
/// Another process runs there.
pub fn lock(layout: &Layout) -> anyhow::Result<nix::fcntl::Flock<std::fs::File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(layout.lock())?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
        .map_err(|_| anyhow::anyhow!("another netchaind runs in {}", layout.0.display()))
}

struct NetView(NetHandle);

impl NetSource for NetView {
    fn peers(&self) -> usize {
        self.0.status().peers.len()
    }
    fn listening(&self) -> bool {
        !self.0.status().listen.is_empty()
    }
    fn sync(&self) -> SyncState {
        let sync = self.0.status().sync;
        SyncState { starting: sync.starting, current: sync.current, highest: sync.highest, active: sync.active }
    }
}

struct PoolView(Arc<TxPool>);

impl TxSource for PoolView {
    fn submit(&self, raw: &[u8]) -> Result<B256, String> {
        self.0.submit(raw, true).map_err(|error| error.to_string())
    }
    fn get(&self, hash: &B256) -> Option<SignedTransaction> {
        self.0.get(hash)
    }
    fn next_nonce(&self, address: &Address) -> Option<u64> {
        self.0.next_nonce(address)
    }
    fn counts(&self) -> (usize, usize) {
        let status = self.0.status();
        (status.ready, status.queued)
    }
    fn subscribe(&self) -> broadcast::Receiver<B256> {
        self.0.subscribe()
    }
}

pub(crate) fn addresses(texts: &[String]) -> anyhow::Result<Vec<Multiaddr>> {
    texts.iter().map(|text| text.parse().with_context(|| format!("{text:?} is no multiaddress"))).collect()
}

/// Changes the level of the log while the node runs; the error says what is wrong with the text.
pub type SetLogLevel = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// A running node. Several fit into one process.
pub struct Running {
    node: Arc<Node>,
    rpc: Option<RpcServer>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    end: oneshot::Receiver<Result<(), EngineError>>,
    asked_to_stop: Arc<tokio::sync::Notify>,
    _lock: nix::fcntl::Flock<std::fs::File>,
}

impl Running {
    /// Starts a node in a folder on the current tokio runtime.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub async fn start(layout: Layout, config: NodeConfig, set_log: SetLogLevel) -> anyhow::Result<Self> {
        let lock = lock(&layout)?;
        let opened = open(&layout, &config)?;
        let Opened { store, executor, domain } = &opened;
        let witness = read_witness_keys(&layout.witness_key())?;
        let identity = read_node_key(&layout.node_key())?;
        let vote = witness.as_ref().map(|keys| keys.vote.clone());
        let account = witness.as_ref().map_or(Address::ZERO, |keys| keys.account);
        let (pool, outgoing) = mempool(&layout, &config, &opened)?;
        let (heads, _) = broadcast::channel(MAX_HEADS);
        let recent = Arc::new(RecentBlocks::default());
        let (net, events) = netchain_net::start(NetConfig {
            chain: *domain,
            identity: *identity,
            listen: addresses(&config.net.listen)?,
            external: addresses(&config.net.external)?,
            bootnodes: addresses(&config.net.bootnodes)?,
            witness: vote.clone().map(|vote| WitnessKey { account, keys: Arc::new(vote) }),
            sync_blocks: true,
        })?;
        let reveal = witness.map(|keys| keys.reveal);
        let chain = Chain::open(store.clone(), executor.clone(), *domain, pool.clone(), reveal, heads.clone())?;
        let chain = chain.with_recent(recent.clone());
        // A full node signs nothing: its account is in no set, so any key will do.
        let keys = vote.unwrap_or_else(|| ed25519_dalek::SigningKey::from_bytes(&identity));
        let timing = Timing { block_us: config.consensus.block_ms.saturating_mul(1_000), ..Timing::default() };
        let engine_config = EngineConfig { domain: *domain, account, keys: Box::new(keys), timing };
        let (ended, end) = oneshot::channel();
        let engine = engine::start(engine_config, chain, &layout.wal(), net.clone(), move |result| {
            // Nobody waits any more: the process is ending.
            let _ = ended.send(result);
        })?;
        let snapshots = Arc::new(Snapshots::open(layout.snapshots())?);
        let node = Arc::new(Node { store: store.clone(), pool, net, engine, snapshots: snapshots.clone() });
        let snapshot_heads = heads.subscribe();
        let rpc = serve_rpc(&config, &opened, &node, heads, recent).await?;
        let asked_to_stop = Arc::new(tokio::sync::Notify::new());
        let admin = crate::admin::Admin { node: node.clone(), stop: asked_to_stop.clone(), set_log };
        let mut tasks = vec![
            tokio::spawn(node.clone().events(events)),
            tokio::spawn(gossip(node.clone(), outgoing)),
            crate::admin::serve(&layout.admin(), admin)?,
        ];
        if let Some(address) = config.metrics.listen {
            tasks.push(crate::metrics::serve(address, node.clone()).await?);
        }
        if let every @ 1.. = config.store.snapshot_blocks {
            tasks.push(tokio::spawn(make_regularly(snapshots, store.clone(), every, snapshot_heads)));
        }
        Ok(Self { node, rpc, tasks, end, asked_to_stop, _lock: lock })
    }

    /// What the node works with.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Where it serves RPC.
    #[must_use]
    pub fn rpc(&self) -> Option<SocketAddr> {
        self.rpc.as_ref().map(RpcServer::local_addr)
    }

    /// Runs until somebody asks it to stop (`stop` ends, or an operator's `netchaind admin stop`), or a fatal error.
    ///
    /// # Errors
    /// What made it end, when nobody asked for it.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let asked = self.asked_to_stop.clone();
        let fatal = tokio::select! {
            result = &mut self.end => Some(result),
            () = stop => None,
            () = asked.notified() => None,
        };
        match fatal {
            None => self.stop().await,
            Some(result) => {
                self.end_tasks().await;
                let result = result.context("the consensus thread ended; see the log before this line")?;
                result.map_err(Into::into)
            }
        }
    }

    /// Ends it after the step under way.
    ///
    /// # Errors
    /// The consensus thread did not end in time.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        tracing::info!("stopping");
        self.end_tasks().await;
        let engine = self.node.engine.clone();
        tokio::task::spawn_blocking(move || engine.stop()).await?;
        // The thread ends after the block under way.
        let ended = tokio::time::timeout(Duration::from_secs(10), &mut self.end).await;
        ended.map(drop).context("the consensus thread did not end within 10 s")
    }

    async fn end_tasks(&mut self) {
        if let Some(server) = self.rpc.take() {
            // Requests under way get a moment.
            let _ = tokio::time::timeout(Duration::from_secs(5), server.stop()).await;
        }
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Runs the node until SIGTERM, SIGINT, an operator's stop or a fatal error.
///
/// # Errors
/// What made it end, when nobody asked for it.
pub async fn run(layout: Layout, config: NodeConfig, set_log: SetLogLevel) -> anyhow::Result<()> {
    Running::start(layout, config, set_log).await?.run_until(stop_signal()).await
}

/// The mempool with what the last run left in its journal; the receiver gets what is to be gossiped.
fn mempool(
    layout: &Layout,
    config: &NodeConfig,
    opened: &Opened,
) -> anyhow::Result<(Arc<TxPool>, mpsc::Receiver<Bytes>)> {
    let Opened { store, executor, domain } = opened;
    let header = store.tip().and_then(|tip| store.header(tip.height).transpose()).transpose()?;
    let header = header.context("the header of the tip is missing; try: netchaind verify-db")?;
    let base_fee = u128::from(executor.params().next_base_fee(&header));
    let (transactions, bytes) = (config.mempool.transactions, config.mempool.bytes);
    // No block ever takes what offers less.
    let min_fee = u128::from(executor.params().min_base_fee);
    let limits = Limits { transactions, bytes, min_fee, ..Limits::default() };
    let (pool, outgoing) = TxPool::open(&layout.journal(), store.clone(), domain.chain_id, limits, base_fee)
        .with_context(|| format!("cannot use {}", layout.journal().display()))?;
    Ok((Arc::new(pool), outgoing))
}

async fn serve_rpc(
    config: &NodeConfig,
    opened: &Opened,
    node: &Node,
    heads: broadcast::Sender<u64>,
    recent: Arc<RecentBlocks>,
) -> anyhow::Result<Option<RpcServer>> {
    let Some(address) = config.rpc.listen else { return Ok(None) };
    let limits = RpcLimits {
        gas_cap: config.rpc.gas_cap,
        log_blocks: config.rpc.max_log_blocks,
        connections: config.rpc.max_connections,
        ..RpcLimits::default()
    };
    let (pool, net) = (Arc::new(PoolView(node.pool.clone())), Arc::new(NetView(node.net.clone())));
    let context = RpcContext::new(opened.store.clone(), opened.executor.clone(), pool, net, heads, limits);
    let callers = Callers { hosts: config.rpc.hosts.clone(), origins: config.rpc.origins.clone() };
    let server = netchain_rpc::start(address, callers, context.with_recent(recent)).await;
    let server = server.with_context(|| format!("cannot serve RPC on {address}"))?;
    tracing::info!(address = %server.local_addr(), "JSON-RPC");
    Ok(Some(server))
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    let Ok(mut int) = signal(SignalKind::interrupt()) else { return std::future::pending().await };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Gathers own users' transactions and gossips them; those that still wait are gossiped again from time to time.
async fn gossip(node: Arc<Node>, mut outgoing: mpsc::Receiver<Bytes>) {
    let (mut batch, mut again) = (Vec::new(), tokio::time::interval(GOSSIP_AGAIN));
    loop {
        tokio::select! {
            count = outgoing.recv_many(&mut batch, MAX_GATHERED) => {
                if count == 0 {
                    return;
                }
                node.net.send(NetCommand::PublishTransactions(std::mem::take(&mut batch)));
                tokio::time::sleep(GATHER).await;
            }
            _ = again.tick() => {
                let waiting = node.pool.own_waiting(MAX_GATHERED);
                if !waiting.is_empty() {
                    node.net.send(NetCommand::PublishTransactions(waiting));
                }
            }
        }
    }
}
