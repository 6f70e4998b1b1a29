//! JSON-RPC of a node: Ethereum's interface, so that every wallet and tool works unchanged, and `nfc_*` for what Ethereum
//! does not have (docs/spec/chain.md, "RPC").
//!
//! HTTP and WebSocket share one port. Every request has a limit: bytes, gas, blocks, answers, filters, subscriptions. What
//! changes the node is not here: it needs the node's own process.

// Filters expire by a clock.
#![allow(clippy::disallowed_methods)]

mod api;
mod blocks;
mod callers;
mod convert;
mod error;
mod fees;
mod filters;
mod foreign;
mod logs;
mod nfc;
mod recent;
mod server;
mod simulate;
mod state;
mod subscribe;
mod tags;
mod tracing_api;
mod txs;

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use netchain_exec::{Executor, SignedTransaction};
use netchain_store::Store;
use tokio::sync::broadcast;

pub use api::module;
pub use callers::Callers;
pub use foreign::{ForeignBlock, ForeignChain};
pub use recent::{ReadBlock, RecentBlocks};
pub use server::{RpcServer, start};

/// The waiting transactions of a node, as RPC needs them.
pub trait TxSource: Send + Sync {
    /// Takes a signed transaction from a user; durable and on its way to the peers when this returns.
    ///
    /// # Errors
    /// Why it is not taken, in the words Ethereum tools look for.
    fn submit(&self, raw: &[u8]) -> Result<B256, String>;
    /// A waiting transaction.
    fn get(&self, hash: &B256) -> Option<SignedTransaction>;
    /// Nonce behind the ready transactions of a sender, none when it has no waiting one.
    fn next_nonce(&self, address: &Address) -> Option<u64>;
    /// Ready and queued transactions.
    fn counts(&self) -> (usize, usize);
    /// Hears of new ones.
    fn subscribe(&self) -> broadcast::Receiver<B256>;
}

/// How far block sync is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncState {
    /// Height at which it began.
    pub starting: u64,
    /// Height of the tip.
    pub current: u64,
    /// Highest height a peer claims.
    pub highest: u64,
    /// Whether blocks are being fetched.
    pub active: bool,
}

/// The network of a node, as RPC needs it.
pub trait NetSource: Send + Sync {
    /// Connected peers.
    fn peers(&self) -> usize;
    /// Whether it listens for peers.
    fn listening(&self) -> bool;
    /// How far block sync is.
    fn sync(&self) -> SyncState;
}

/// What one request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RpcLimits {
    /// Most gas of one `eth_call`. At 100 Mgas/s of an interpreter this is half a second.
    pub gas_cap: u64,
    /// Most blocks of one `eth_getLogs`.
    pub log_blocks: u64,
    /// Most logs of one answer.
    pub logs: usize,
    /// Most filters of all clients together.
    pub filters: usize,
    /// Most blocks of one `eth_feeHistory`.
    pub fee_blocks: u64,
    /// Connections at a time.
    pub connections: u32,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            gas_cap: 50_000_000,
            log_blocks: 10_000,
            logs: 20_000,
            filters: 1_024,
            fee_blocks: 1_024,
            connections: 256,
        }
    }
}

/// What the methods work on.
pub struct RpcContext {
    /// State and blocks.
    pub store: Store,
    /// The rules.
    pub executor: Executor,
    /// Waiting transactions.
    pub pool: Arc<dyn TxSource>,
    /// Peers.
    pub net: Arc<dyn NetSource>,
    /// Committed heights as they come.
    pub heads: broadcast::Sender<u64>,
    /// Limits.
    pub limits: RpcLimits,
    /// Blocks kept in memory.
    recent: Arc<RecentBlocks>,
    filters: filters::Filters,
    foreign: Option<ForeignChain>,
}

impl RpcContext {
    /// A context.
    #[must_use]
    pub fn new(
        store: Store,
        executor: Executor,
        pool: Arc<dyn TxSource>,
        net: Arc<dyn NetSource>,
        heads: broadcast::Sender<u64>,
        limits: RpcLimits,
    ) -> Self {
        let (recent, filters) = (Arc::default(), filters::Filters::default());
        Self { store, executor, pool, net, heads, limits, recent, filters, foreign: None }
    }

    /// Shares the blocks in memory with whoever commits them.
    #[must_use]
    pub fn with_recent(self, recent: Arc<RecentBlocks>) -> Self {
        Self { recent, ..self }
    }

    /// The same, over the shadow of another chain: its headers and hashes are shown instead of the store's.
    #[must_use]
    pub fn with_foreign(self, chain: ForeignChain) -> Self {
        Self { foreign: Some(chain), ..self }
    }

    pub(crate) fn chain_id(&self) -> u64 {
        self.executor.params().chain_id
    }
}
