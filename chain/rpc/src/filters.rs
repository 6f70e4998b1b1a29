//! `eth_newFilter` and friends: what a client polls for. A filter that is not polled for five minutes is gone.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U64, U256};
use alloy_rpc_types_eth::{Filter, Log};
use serde::Serialize;

use crate::RpcContext;
use crate::error::{INTERNAL, LIMIT, RpcResult, SERVER, error, invalid, store_error};
use crate::logs::check_filter;

/// As geth.
const LIFETIME: Duration = Duration::from_secs(300);
/// Hashes kept for one filter of waiting transactions; beyond, the oldest are gone.
const MAX_HASHES: usize = 16_384;

#[derive(Debug)]
enum Kind {
    Logs(Box<Filter>),
    Blocks,
    Pending(tokio::sync::broadcast::Receiver<B256>),
}

#[derive(Debug)]
struct Polled {
    kind: Kind,
    next: u64,
    used: Instant,
}

/// The filters of all clients.
#[derive(Debug, Default)]
pub(crate) struct Filters(Mutex<BTreeMap<u64, Polled>>);

/// What came since the last poll.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Changes {
    Logs(Vec<Log>),
    Hashes(Vec<B256>),
}

impl Filters {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Polled>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Not guessable: one client must not read another's filter.
fn new_id() -> RpcResult<u64> {
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(|failed| error(INTERNAL, format!("no random numbers: {failed}")))?;
    Ok(u64::from_be_bytes(id))
}

impl RpcContext {
    fn add_filter(&self, kind: Kind) -> RpcResult<U64> {
        let next = self.tip() + 1;
        let mut filters = self.filters.lock();
        filters.retain(|_, polled| polled.used.elapsed() < LIFETIME);
        if filters.len() >= self.limits.filters {
            return Err(error(LIMIT, "too many filters; remove some or use a subscription"));
        }
        let id = new_id()?;
        filters.insert(id, Polled { kind, next, used: Instant::now() });
        Ok(U64::from(id))
    }

    pub(crate) fn new_log_filter(&self, filter: Filter) -> RpcResult<U64> {
        check_filter(&filter)?;
        self.add_filter(Kind::Logs(Box::new(filter)))
    }

    pub(crate) fn new_block_filter(&self) -> RpcResult<U64> {
        self.add_filter(Kind::Blocks)
    }

    pub(crate) fn new_pending_filter(&self) -> RpcResult<U64> {
        self.add_filter(Kind::Pending(self.pool.subscribe()))
    }

    pub(crate) fn remove_filter(&self, id: U64) -> bool {
        self.filters.lock().remove(&id.to::<u64>()).is_some()
    }

    pub(crate) fn filter_changes(&self, id: U64) -> RpcResult<Changes> {
        let tip = self.tip();
        let (filter, from) = {
            let mut filters = self.filters.lock();
            let polled = filters.get_mut(&id.to::<u64>()).ok_or_else(|| error(SERVER, "filter not found"))?;
            polled.used = Instant::now();
            let from = std::mem::replace(&mut polled.next, tip + 1);
            match &mut polled.kind {
                Kind::Pending(news) => return Ok(Changes::Hashes(drain(news))),
                Kind::Blocks => (None, from),
                Kind::Logs(filter) => (Some(filter.clone()), from),
            }
        };
        let to = tip.min(from.saturating_add(self.limits.log_blocks));
        match filter {
            None => {
                let hash = |height| self.store.hash_at(height).map_err(store_error);
                let hashes: RpcResult<Vec<Option<B256>>> = (from..=to).map(hash).collect();
                Ok(Changes::Hashes(hashes?.into_iter().flatten().collect()))
            }
            Some(filter) => Ok(Changes::Logs(self.logs_between(&filter, from, to)?)),
        }
    }

    pub(crate) fn filter_logs(&self, id: U64) -> RpcResult<Vec<Log>> {
        let filter = match self.filters.lock().get(&id.to::<u64>()) {
            Some(Polled { kind: Kind::Logs(filter), .. }) => filter.clone(),
            Some(_) => return Err(invalid("not a log filter")),
            None => return Err(error(SERVER, "filter not found")),
        };
        self.logs(&filter)
    }

    /// Difficulty is 0: there is nothing to mine.
    pub(crate) const fn zero() -> U256 {
        U256::ZERO
    }
}

fn drain(news: &mut tokio::sync::broadcast::Receiver<B256>) -> Vec<B256> {
    use tokio::sync::broadcast::error::TryRecvError as E;
    let mut hashes = Vec::new();
    while hashes.len() < MAX_HASHES {
        match news.try_recv() {
            Ok(hash) => hashes.push(hash),
            Err(E::Lagged(_)) => {}
            Err(E::Empty | E::Closed) => break,
        }
    }
    hashes
}
