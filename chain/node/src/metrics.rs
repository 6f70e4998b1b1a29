//! Prometheus text page: `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;

use crate::answers::Node;
use crate::cpu::{ALL, spent_us};

fn page(node: &Node) -> String {
    let mut registry = Registry::with_prefix("netchaind");
    let mut add = |name: &str, help: &str, value: u64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    let (net, pool, engine) = (node.net.status(), node.pool.status(), node.engine.gauges());
    add("height", "Height of the last committed block", node.store.tip().map_or(0, |tip| tip.height));
    add("consensus_height", "Height being decided", engine.height.load(Ordering::Relaxed));
    add("consensus_round", "Round under way", engine.round.load(Ordering::Relaxed));
    add("evidence", "Witnesses proven to have lied since the start", engine.evidence.load(Ordering::Relaxed));
    add(
        "messages_dropped",
        "Messages dropped because consensus did not keep up",
        engine.dropped.load(Ordering::Relaxed),
    );
    add("net_dropped", "Messages dropped because the node or a peer did not keep up", net.dropped);
    add("peers", "Connected peers", net.peers.len() as u64);
    add("witnesses", "Witnesses with an open stream", net.witnesses as u64);
    add("sync_highest", "Highest height a peer claims", net.sync.highest);
    add("mempool_ready", "Transactions ready for a block", pool.ready as u64);
    add("mempool_queued", "Transactions behind a gap or without funds", pool.queued as u64);
    add("mempool_bytes", "Bytes of waiting transactions", pool.bytes as u64);
    for (work, name) in ALL {
        add(&format!("cpu_{name}_us"), "Microseconds of CPU this process spent on one kind of work", spent_us(work));
    }
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

/// Serves the page on the current tokio runtime.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr, node: Arc<Node>) -> anyhow::Result<JoinHandle<()>> {
    let listener = tokio::net::TcpListener::bind(address);
    let listener = listener.await.with_context(|| format!("cannot serve metrics on {address}"))?;
    let app = Router::new().route("/metrics", get(move || std::future::ready(page(&node))));
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "metrics stopped");
        }
    }))
}
