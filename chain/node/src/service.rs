//! `netchaind run`: everything wired together, until a signal or a fatal error.

use std::fs::OpenOptions;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use anyhow::Context as _;
use netchain_consensus::message::MAX_MESSAGE_BYTES;
use netchain_consensus::{Message, Timing};
use netchain_exec::{Executor, Genesis, SignedTransaction};
use netchain_net::{
    Multiaddr, NetCommand, NetConfig, NetEvent, NetHandle, SyncRequest, SyncResponse, Verdict, WitnessKey,
};
use netchain_rpc::{NetSource, RpcContext, RpcLimits, RpcServer, SyncState, TxSource};
use netchain_store::{Store, StoreOptions};
use netchain_types::ChainDomain;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};

use crate::chain::{Chain, certified};
use crate::config::{Layout, NodeConfig};
use crate::engine::{self, EngineConfig, EngineHandle};
use crate::keys::{read_node_key, read_witness_keys};
use crate::mempool::{Limits, PoolError};
use crate::txpool::{SubmitError, TxPool};

/// Heights a slow subscriber may lag behind before it looks into the store.
const MAX_HEADS: usize = 256;
/// Batches of gossiped transactions checked at a time: signatures are work, and consensus needs the cores too.
const MAX_CHECKS: usize = 2;
/// Questions of peers answered at a time.
const MAX_ANSWERS: usize = 4;
/// Own users' transactions are gathered this long before they are gossiped.
const GATHER: Duration = Duration::from_millis(100);

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
        self.0.status().peers
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
    fn content(&self) -> Vec<(bool, SignedTransaction)> {
        self.0.content()
    }
    fn counts(&self) -> (usize, usize) {
        let status = self.0.status();
        (status.ready, status.queued)
    }
    fn subscribe(&self) -> broadcast::Receiver<B256> {
        self.0.subscribe()
    }
}

fn addresses(texts: &[String]) -> anyhow::Result<Vec<Multiaddr>> {
    texts.iter().map(|text| text.parse().with_context(|| format!("{text:?} is no multiaddress"))).collect()
}

/// Runs the node until SIGTERM, SIGINT or a fatal error.
///
/// # Errors
/// What made it end, when nobody asked for it.
pub async fn run(layout: Layout, config: NodeConfig) -> anyhow::Result<()> {
    let _lock = lock(&layout)?;
    let opened = open(&layout, &config)?;
    let Opened { store, executor, domain } = &opened;
    let witness = read_witness_keys(&layout.witness_key())?;
    let identity = read_node_key(&layout.node_key())?;
    let vote = witness.as_ref().map(|keys| keys.vote.clone());
    let account = witness.as_ref().map_or(Address::ZERO, |keys| keys.account);
    let (pool, outgoing) = mempool(&layout, &config, &opened)?;
    let (heads, _) = broadcast::channel(MAX_HEADS);
    let (net, events) = netchain_net::start(NetConfig {
        chain: *domain,
        identity: *identity,
        listen: addresses(&config.net.listen)?,
        external: addresses(&config.net.external)?,
        bootnodes: addresses(&config.net.bootnodes)?,
        witness: vote.clone().map(|vote| WitnessKey { account, keys: Arc::new(vote) }),
    })?;
    let reveal = witness.map(|keys| keys.reveal);
    let chain = Chain::open(store.clone(), executor.clone(), *domain, pool.clone(), reveal, heads.clone())?;
    // A full node signs nothing: its account is in no set, so any key will do.
    let keys = vote.unwrap_or_else(|| ed25519_dalek::SigningKey::from_bytes(&identity));
    let timing = Timing { block_us: config.consensus.block_ms.saturating_mul(1_000), ..Timing::default() };
    let engine_config = EngineConfig { domain: *domain, account, keys: Box::new(keys), timing };
    let (ended, mut end) = oneshot::channel();
    let engine = engine::start(engine_config, chain, &layout.wal(), net.clone(), move |result| {
        // Nobody waits any more: the process is ending.
        let _ = ended.send(result);
    })?;
    let node = Arc::new(Node { store: store.clone(), pool, net, engine: engine.clone() });
    let rpc = serve_rpc(&config, &opened, &node, heads).await?;
    if let Some(address) = config.metrics.listen {
        crate::metrics::serve(address, node.clone()).await?;
    }
    let events = tokio::spawn(node.clone().events(events));
    let gossip = tokio::spawn(gossip(node.net.clone(), outgoing));
    let fatal = tokio::select! {
        result = &mut end => Some(result),
        () = stop_signal() => None,
    };
    tracing::info!("stopping");
    if let Some(server) = rpc {
        // Requests under way get a moment.
        let _ = tokio::time::timeout(Duration::from_secs(5), server.stop()).await;
    }
    events.abort();
    gossip.abort();
    match fatal {
        Some(Ok(result)) => result.map_err(Into::into),
        Some(Err(_)) => anyhow::bail!("the consensus thread ended; see the log before this line"),
        None => {
            tokio::task::spawn_blocking(move || engine.stop()).await?;
            // The thread ends after the block under way.
            let _ = tokio::time::timeout(Duration::from_secs(10), end).await;
            Ok(())
        }
    }
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
    let limits = Limits { transactions: config.mempool.transactions, bytes: config.mempool.bytes, ..Limits::default() };
    let (pool, outgoing) = TxPool::open(&layout.journal(), store.clone(), domain.chain_id, limits, base_fee)
        .with_context(|| format!("cannot use {}", layout.journal().display()))?;
    Ok((Arc::new(pool), outgoing))
}

async fn serve_rpc(
    config: &NodeConfig,
    opened: &Opened,
    node: &Node,
    heads: broadcast::Sender<u64>,
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
    let server = netchain_rpc::start(address, context).await;
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

/// Gathers own users' transactions and gossips them.
async fn gossip(net: NetHandle, mut outgoing: mpsc::Receiver<Bytes>) {
    let mut batch = Vec::new();
    while outgoing.recv_many(&mut batch, 2_048).await > 0 {
        net.send(NetCommand::PublishTransactions(std::mem::take(&mut batch)));
        tokio::time::sleep(GATHER).await;
    }
}

/// What answers the network.
pub struct Node {
    /// State and blocks.
    pub store: Store,
    /// Waiting transactions.
    pub pool: Arc<TxPool>,
    /// Peers.
    pub net: NetHandle,
    /// Consensus.
    pub engine: EngineHandle,
}

impl Node {
    async fn events(self: Arc<Self>, mut events: mpsc::Receiver<NetEvent>) {
        let (checks, answers) = (Arc::new(Semaphore::new(MAX_CHECKS)), Arc::new(Semaphore::new(MAX_ANSWERS)));
        while let Some(event) = events.recv().await {
            match event {
                NetEvent::Consensus { from, message } => self.engine.message(from, message),
                NetEvent::Block { from, block } => self.engine.message(from, Message::Block(block)),
                NetEvent::Transactions(ticket, raws) => {
                    let Ok(permit) = checks.clone().acquire_owned().await else { return };
                    let node = self.clone();
                    tokio::task::spawn_blocking(move || {
                        let verdict = node.check(&raws);
                        node.net.send(NetCommand::Verdict(ticket, verdict));
                        drop(permit);
                    });
                }
                NetEvent::Request(id, request) => {
                    let node = self.clone();
                    match answers.clone().try_acquire_owned() {
                        Ok(permit) => drop(tokio::task::spawn_blocking(move || {
                            let response = node.answer(request);
                            node.net.send(NetCommand::Respond(id, response));
                            drop(permit);
                        })),
                        Err(_) => drop(self.net.send(NetCommand::Respond(id, SyncResponse::Busy))),
                    }
                }
                NetEvent::Response(..) => {}
            }
        }
    }

    /// Takes gossiped transactions. One that is none condemns the batch; one that the pool does not want, does not.
    fn check(&self, raws: &[Bytes]) -> Verdict {
        let mut verdict = Verdict::Ignore;
        for raw in raws {
            match self.pool.submit(raw, false) {
                Ok(_) => verdict = Verdict::Accept,
                Err(SubmitError::Decode(_)) => return Verdict::Reject,
                Err(SubmitError::Pool(PoolError::Known)) => {}
                Err(
                    error @ (SubmitError::Pool(_)
                    | SubmitError::State(_)
                    | SubmitError::Journal(_)
                    | SubmitError::Store(_)),
                ) => {
                    tracing::trace!(%error, "gossiped transaction");
                }
            }
        }
        verdict
    }

    fn answer(&self, request: SyncRequest) -> SyncResponse {
        match request {
            SyncRequest::Blocks(from, count) => {
                let (mut blocks, mut bytes) = (Vec::new(), 0);
                for height in from..from.saturating_add(count.min(netchain_net::wire::MAX_BLOCKS)) {
                    let Some(block) = certified(&self.store, height) else { break };
                    let encoded = Message::Block(block).encode();
                    bytes += encoded.len() + 16;
                    if !blocks.is_empty() && bytes > MAX_MESSAGE_BYTES {
                        break;
                    }
                    blocks.push(Bytes::from(encoded));
                }
                SyncResponse::Blocks(blocks)
            }
            SyncRequest::Snapshots => SyncResponse::Snapshots(Vec::new()),
            SyncRequest::Chunk(..) => SyncResponse::Chunk(Bytes::new()),
            // The network answers this one itself.
            SyncRequest::Status(_) => SyncResponse::Busy,
        }
    }
}
