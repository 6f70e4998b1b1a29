//! The server: HTTP and WebSocket on one port, with limits.

use std::net::SocketAddr;
use std::sync::Arc;

use alloy_primitives::FixedBytes;
use jsonrpsee::core::traits::IdProvider;
use jsonrpsee::server::{BatchRequestConfig, PingConfig, Server, ServerConfig, ServerHandle};
use jsonrpsee::types::SubscriptionId;
use tower::ServiceBuilder;

use crate::callers::CallersLayer;
use crate::{Callers, RpcContext, module};

/// Longest request: the largest transaction in hex, and a batch of usual ones.
const MAX_REQUEST_BYTES: u32 = 2 << 20;
/// Longest answer: a trace of a full block.
const MAX_RESPONSE_BYTES: u32 = 32 << 20;
/// Requests of a batch.
const MAX_BATCH: u32 = 200;
/// Subscriptions of a connection.
const MAX_SUBSCRIPTIONS: u32 = 64;
/// Answers and events waiting for a slow connection.
const MAX_BUFFERED: u32 = 256;

/// A running server; it ends when this is dropped or stopped.
#[derive(Debug)]
pub struct RpcServer {
    handle: ServerHandle,
    local: SocketAddr,
}

impl RpcServer {
    /// Address it listens on.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Takes no more requests and waits for those under way.
    pub async fn stop(self) {
        // Fails when it is stopped already.
        let _ = self.handle.stop();
        self.handle.stopped().await;
    }
}

/// Subscription ids as geth makes them, not guessable: tools take them for hexadecimal strings.
#[derive(Debug)]
struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        let mut id = [0; 16];
        // Without randomness an id can be guessed; it still names only subscriptions of its own connection.
        let _ = getrandom::fill(&mut id);
        SubscriptionId::Str(FixedBytes(id).to_string().into())
    }
}

/// Starts serving those who may call, on the current tokio runtime.
///
/// # Errors
/// The address cannot be listened on.
pub async fn start(address: SocketAddr, callers: Callers, context: RpcContext) -> anyhow::Result<RpcServer> {
    let connections = context.limits.connections;
    let config = ServerConfig::builder()
        .max_connections(connections)
        .max_request_body_size(MAX_REQUEST_BYTES)
        .max_response_body_size(MAX_RESPONSE_BYTES)
        .max_subscriptions_per_connection(MAX_SUBSCRIPTIONS)
        .set_batch_request_config(BatchRequestConfig::Limit(MAX_BATCH))
        .set_message_buffer_capacity(MAX_BUFFERED)
        .enable_ws_ping(PingConfig::new())
        .set_id_provider(HexIds)
        .build();
    let guard = ServiceBuilder::new().layer(CallersLayer(Arc::new(callers)));
    let server = Server::builder().set_config(config).set_http_middleware(guard).build(address).await?;
    let local = server.local_addr()?;
    let handle = server.start(module(Arc::new(context))?);
    Ok(RpcServer { handle, local })
}
