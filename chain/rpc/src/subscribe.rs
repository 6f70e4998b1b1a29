//! `eth_subscribe`: newHeads, logs, newPendingTransactions, syncing. A subscriber that does not keep up is closed.

use std::sync::Arc;

use alloy_rpc_types_eth::Filter;
use jsonrpsee::core::SubscriptionResult;
use jsonrpsee::types::Params;
use jsonrpsee::{PendingSubscriptionSink, RpcModule, SubscriptionSink};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use crate::RpcContext;
use crate::convert::{rpc_header, rpc_transaction};
use crate::error::invalid;
use crate::logs::check_filter;

enum Topic {
    Heads,
    Logs(Box<Filter>),
    Pending(bool),
    Syncing,
}

fn topic(params: &Params<'_>) -> Option<Topic> {
    let mut params = params.sequence();
    let name: String = params.next().ok()?;
    match name.as_str() {
        "newHeads" => Some(Topic::Heads),
        "logs" => {
            let filter = params.optional_next::<Filter>().ok()?.unwrap_or_default();
            check_filter(&filter).ok()?;
            Some(Topic::Logs(Box::new(filter)))
        }
        "newPendingTransactions" => Some(Topic::Pending(params.optional_next().ok()?.unwrap_or(false))),
        "syncing" => Some(Topic::Syncing),
        _ => None,
    }
}

pub(crate) fn register(module: &mut RpcModule<RpcContext>) -> anyhow::Result<()> {
    module.register_subscription(
        "eth_subscribe",
        "eth_subscription",
        "eth_unsubscribe",
        |params, pending, context, _| async move { serve(topic(&params), pending, context).await },
    )?;
    Ok(())
}

async fn serve(topic: Option<Topic>, pending: PendingSubscriptionSink, context: Arc<RpcContext>) -> SubscriptionResult {
    let Some(topic) = topic else {
        pending.reject(invalid("unknown subscription or bad parameters")).await;
        return Ok(());
    };
    // Before accepting: nothing between the answer and the first event is lost.
    let (heads, news) = (context.heads.subscribe(), context.pool.subscribe());
    let sink = pending.accept().await?;
    match topic {
        Topic::Pending(full) => follow_pending(&sink, &context, news, full).await,
        Topic::Heads | Topic::Logs(_) | Topic::Syncing => follow_heads(&sink, &context, heads, &topic).await,
    }
    Ok(())
}

/// Sends one event; false when the subscriber is gone or does not read.
async fn send(sink: &SubscriptionSink, value: &impl Serialize) -> bool {
    let Ok(json) = serde_json::value::to_raw_value(value) else { return false };
    sink.send_timeout(json, std::time::Duration::from_secs(10)).await.is_ok()
}

async fn follow_pending(
    sink: &SubscriptionSink,
    context: &RpcContext,
    mut news: tokio::sync::broadcast::Receiver<alloy_primitives::B256>,
    full: bool,
) {
    loop {
        let hash = tokio::select! {
            () = sink.closed() => return,
            hash = news.recv() => hash,
        };
        let sent = match hash {
            Ok(hash) if full => match context.pool.get(&hash) {
                Some(tx) => send(sink, &rpc_transaction(&tx, None)).await,
                None => true,
            },
            Ok(hash) => send(sink, &hash).await,
            Err(RecvError::Lagged(_)) => true,
            Err(RecvError::Closed) => return,
        };
        if !sent {
            return;
        }
    }
}

async fn follow_heads(
    sink: &SubscriptionSink,
    context: &RpcContext,
    mut heads: tokio::sync::broadcast::Receiver<u64>,
    topic: &Topic,
) {
    let mut next = context.tip() + 1;
    let mut syncing = context.net.sync().active;
    loop {
        let height = tokio::select! {
            () = sink.closed() => return,
            height = heads.recv() => height,
        };
        let to = match height {
            Ok(height) => height,
            // Some were missed: they are in the store.
            Err(RecvError::Lagged(_)) => context.tip(),
            Err(RecvError::Closed) => return,
        };
        if matches!(topic, Topic::Syncing) {
            let now = context.net.sync().active;
            if now != syncing && !send(sink, &now).await {
                return;
            }
            syncing = now;
            continue;
        }
        while next <= to {
            if !send_height(sink, context, next, topic).await {
                return;
            }
            next += 1;
        }
    }
}

async fn send_height(sink: &SubscriptionSink, context: &RpcContext, height: u64, topic: &Topic) -> bool {
    match topic {
        Topic::Heads => match context.store.header(height) {
            Ok(Some(header)) => send(sink, &rpc_header(&header, header.hash(), None)).await,
            Ok(None) | Err(_) => false,
        },
        Topic::Logs(filter) => {
            let Ok(logs) = context.logs_between(filter, height, height) else { return false };
            for log in &logs {
                if !send(sink, log).await {
                    return false;
                }
            }
            true
        }
        Topic::Pending(_) | Topic::Syncing => true,
    }
}
