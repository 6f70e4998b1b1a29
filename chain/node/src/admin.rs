//! The operator's socket: what changes a running node, or shows what is nobody else's business.
//!
//! A unix socket of mode 0600 in the node's folder. One JSON line in, one JSON line out, one request a connection:
//! `{"method": "peers"}` -> `{"ok": ...}` or `{"error": "..."}`. `netchaind admin` speaks it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::Transaction as _;
use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};

use crate::answers::Node;
use crate::service::SetLogLevel;

/// Longest request: a method and a path.
const MAX_REQUEST_BYTES: u64 = 16 << 10;
/// Longest answer that the client reads: a full mempool.
const MAX_ANSWER_BYTES: u64 = 32 << 20;
/// Operators at a time.
const MAX_CONNECTIONS: usize = 8;
/// Transactions in one answer.
const MAX_TRANSACTIONS: usize = 32_768;
/// After a failed accept (no file descriptors left) the next one would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// For a request to arrive.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// What an operator can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "method", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Height, sync, pool, peers in numbers.
    Status,
    /// Connected peers.
    Peers,
    /// Waiting transactions.
    Mempool {
        /// At most so many of them.
        most: usize,
    },
    /// End the node after the step under way.
    Stop,
    /// Write the state after the tip into a folder, while the node goes on.
    ExportSnapshot {
        /// The folder, absolute.
        to: PathBuf,
    },
    /// Change the level of the log: error, warn, info, debug, trace, off.
    LogLevel {
        /// The level.
        level: String,
    },
}

/// What the socket works on.
#[derive(Clone)]
pub struct Admin {
    /// The node.
    pub node: Arc<Node>,
    /// Woken when the operator wants the node to end.
    pub stop: Arc<Notify>,
    /// Changes the level of the log.
    pub set_log: SetLogLevel,
}

/// Serves the socket on the current tokio runtime.
///
/// # Errors
/// It cannot be made.
pub fn serve(path: &Path, admin: Admin) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    // Made aside and renamed when its mode is right: nobody gets in between. The folder's lock is held, so what is there is old.
    let aside = path.with_extension("new");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&aside).with_context(|| format!("cannot make the socket {}", path.display()))?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&aside, path)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    Ok(tokio::spawn(async move {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let admin = admin.clone();
                    tokio::spawn(async move {
                        if let Err(error) = admin.connection(stream).await {
                            tracing::debug!(%error, "an operator's connection ended");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the operator's socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }))
}

impl Admin {
    async fn connection(&self, stream: UnixStream) -> anyhow::Result<()> {
        let mut stream = tokio::io::BufReader::new(stream);
        let mut line = String::new();
        let mut limited = (&mut stream).take(MAX_REQUEST_BYTES);
        tokio::time::timeout(REQUEST_TIME, limited.read_line(&mut line)).await.context("no request came")??;
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => self.answer(request).await,
            Err(error) => Err(anyhow::anyhow!("no such request: {error}")),
        };
        let answer = match answer {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": format!("{error:#}") }),
        };
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
        Ok(stream.shutdown().await?)
    }

    async fn answer(&self, request: Request) -> anyhow::Result<Value> {
        match request {
            Request::Status => Ok(self.status()),
            Request::Peers => Ok(self.peers()),
            Request::Mempool { most } => Ok(self.mempool(most.min(MAX_TRANSACTIONS))),
            Request::Stop => {
                self.stop.notify_one();
                Ok(json!("stopping"))
            }
            Request::ExportSnapshot { to } => {
                ensure!(to.is_absolute(), "the folder must be given from / on");
                let store = self.node.store.clone();
                let manifest = tokio::task::spawn_blocking(move || crate::offline::export_into(&store, &to)).await??;
                let header = &manifest.header;
                Ok(json!({ "height": header.number, "block": header.hash(), "chunks": manifest.chunks.len() }))
            }
            Request::LogLevel { level } => {
                (self.set_log)(&level).map_err(|why| anyhow::anyhow!("{why}"))?;
                tracing::info!(level, "log level set by the operator");
                Ok(json!(level))
            }
        }
    }

    fn status(&self) -> Value {
        let (tip, net, pool) = (self.node.store.tip(), self.node.net.status(), self.node.pool.status());
        json!({
            "height": tip.map(|tip| tip.height), "block": tip.map(|tip| tip.hash), "stateRoot": tip.map(|tip| tip.root),
            "peerId": net.peer_id, "listen": net.listen, "peers": net.peers.len(), "witnesses": net.witnesses,
            "sync": { "active": net.sync.active, "starting": net.sync.starting, "highest": net.sync.highest },
            "mempool": { "ready": pool.ready, "queued": pool.queued, "bytes": pool.bytes, "accounts": pool.accounts },
        })
    }

    fn peers(&self) -> Value {
        let peers = self.node.net.status().peers;
        peers.into_iter().map(|it| json!({ "id": it.id, "witness": it.witness, "height": it.height })).collect()
    }

    fn mempool(&self, most: usize) -> Value {
        let view = |(ready, tx): (bool, netchain_exec::SignedTransaction)| {
            let envelope = tx.envelope();
            json!({
                "hash": tx.hash(), "from": tx.sender(), "nonce": envelope.nonce(), "ready": ready, "to": envelope.to(),
                "gasLimit": envelope.gas_limit(), "maxFeePerGas": envelope.max_fee_per_gas(), "bytes": tx.bytes().len(),
            })
        };
        let transactions: Vec<Value> = self.node.pool.content(most).into_iter().map(view).collect();
        let status = self.node.pool.status();
        json!({ "ready": status.ready, "queued": status.queued, "bytes": status.bytes, "transactions": transactions })
    }
}

/// Asks a running node, from another process.
///
/// # Errors
/// No node runs there, or what it answers.
pub fn ask(path: &Path, request: &Request) -> anyhow::Result<Value> {
    let stream = std::os::unix::net::UnixStream::connect(path)
        .with_context(|| format!("no node answers at {}; try: netchaind run", path.display()))?;
    let mut stream = BufReader::new(stream);
    writeln!(stream.get_mut(), "{}", serde_json::to_string(request)?)?;
    let mut line = String::new();
    (&mut stream).take(MAX_ANSWER_BYTES).read_line(&mut line)?;
    let answer: Value = serde_json::from_str(&line).context("the node's answer is not readable")?;
    match (answer.get("ok"), answer.get("error").and_then(Value::as_str)) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(error)) => bail!("{error}"),
        (None, None) => bail!("the node's answer is not readable"),
    }
}
