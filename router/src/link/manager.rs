//! Dials, accepts, and keeps the list of links.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::select_ok;
use netflow_overlay::NodeKeys;
use netflow_overlay::node::LinkId;
use netflow_overlay::session::PqMode;
use netflow_wire::NodeId;
use quinn::{Connection, Endpoint, Incoming, VarInt};
use tokio::sync::mpsc;

use super::connection::{Handle, Link};
use super::tls::{self, HANDSHAKE_TIMEOUT, Tls};
use super::{LinkEvent, QuicSocket};

/// Events waiting for the node. A reader that cannot place its message waits, and its peer with it.
const EVENT_QUEUE: usize = 64;
/// Head start of each address over the next one of the same node (RFC 8305 uses 250 ms for TCP; a handshake here is two round trips).
const NEXT_ADDRESS: Duration = Duration::from_millis(500);
/// Handshakes of strangers in progress at which every further one must first prove its address by a retry token.
const RETRY_AT: usize = 8;
/// How long an accepted connection may take to open its one stream.
const STREAM_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait before a node that could not be reached is dialled again doubles from the first to the second of these.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF_DOUBLINGS: u32 = 5;

/// What the manager must know at start.
pub(crate) struct LinkSettings<'a> {
    pub(crate) keys: &'a NodeKeys,
    pub(crate) pq: PqMode,
    /// Links accepted from others at a time; zero: none are accepted at all.
    pub(crate) max_accepted: usize,
}

/// All links of the daemon.
pub(crate) struct LinkManager {
    endpoint: Endpoint,
    tls: Tls,
    events: mpsc::Sender<LinkEvent>,
    links: BTreeMap<LinkId, Handle>,
    dialling: BTreeSet<NodeId>,
    /// Failed dials in a row.
    failures: BTreeMap<NodeId, u32>,
    next_id: Arc<AtomicU64>,
}

impl LinkManager {
    /// Starts the endpoint on the shared socket, and the accept loop when links are accepted.
    pub(crate) fn start(
        socket: Arc<QuicSocket>,
        settings: &LinkSettings<'_>,
    ) -> anyhow::Result<(Self, mpsc::Receiver<LinkEvent>)> {
        let tls = Tls::new(settings.keys, settings.pq).context("cannot set up TLS")?;
        let server = (settings.max_accepted > 0).then(|| tls.server()).transpose()?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new_with_abstract_socket(tls::endpoint(settings.keys)?, server, socket, runtime)?;
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let next_id = Arc::new(AtomicU64::new(0));
        if settings.max_accepted > 0 {
            let acceptor = Acceptor {
                events: events.clone(),
                next_id: Arc::clone(&next_id),
                open: Arc::default(),
                pending: Arc::default(),
                limit: settings.max_accepted,
            };
            tokio::spawn(acceptor.run(endpoint.clone()));
        }
        let manager = Self {
            endpoint,
            tls,
            events,
            links: BTreeMap::new(),
            dialling: BTreeSet::new(),
            failures: BTreeMap::new(),
            next_id,
        };
        Ok((manager, receiver))
    }

    /// Keeps the list in step with an event, before the node hears of it. `false`: the event is about a link that is closed already.
    pub(crate) fn note(&mut self, event: &LinkEvent) -> bool {
        match event {
            LinkEvent::Up { link, peer, outgoing, handle, .. } => {
                if *outgoing {
                    self.dialling.remove(peer);
                    self.failures.remove(peer);
                }
                self.links.insert(*link, handle.clone());
                true
            }
            LinkEvent::Failed { node, .. } => {
                self.dialling.remove(node);
                *self.failures.entry(*node).or_default() += 1;
                true
            }
            LinkEvent::Message { link, .. } => self.links.contains_key(link),
            LinkEvent::Down { link, .. } => self.links.remove(link).is_some(),
        }
    }

    /// Dials a node, unless that is going on already. An event follows in every case.
    pub(crate) fn dial(&mut self, node: NodeId, addrs: &[SocketAddr]) {
        if !self.dialling.insert(node) {
            return;
        }
        let wait = self.backoff(node);
        let attempt = self.attempt(node, addrs);
        let (events, id) = (self.events.clone(), LinkId(self.next_id.fetch_add(1, Ordering::Relaxed)));
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let dialled = match tokio::time::timeout(HANDSHAKE_TIMEOUT, attempt).await {
                Ok(dialled) => dialled,
                Err(_) => Err("no answer within 10 s".to_owned()),
            };
            match dialled {
                Ok((connection, (send, receive))) => {
                    Link { id, peer: node, connection, outgoing: true, events }.run(send, receive).await;
                }
                Err(error) => {
                    let _ = events.send(LinkEvent::Failed { node, error }).await;
                }
            }
        });
    }

    /// Every address gets its turn, each a head start after the one before; the first that proves the key wins.
    fn attempt(
        &self,
        node: NodeId,
        addrs: &[SocketAddr],
    ) -> impl Future<Output = Result<(Connection, (quinn::SendStream, quinn::RecvStream)), String>> + use<> {
        let config = self.tls.client(node);
        let endpoint = self.endpoint.clone();
        let addrs = addrs.to_vec();
        async move {
            let config = config.map_err(|error| error.to_string())?;
            if addrs.is_empty() {
                return Err("the relay has no known address".to_owned());
            }
            let tries = addrs.into_iter().zip(0..).map(|(address, turn)| {
                let (endpoint, config) = (endpoint.clone(), config.clone());
                Box::pin(async move {
                    tokio::time::sleep(NEXT_ADDRESS * turn).await;
                    let connecting = endpoint
                        .connect_with(config, address, "nfc.invalid")
                        .map_err(|error| format!("{address}: {error}"))?;
                    connecting.await.map_err(|error| format!("{address}: {error}"))
                })
            });
            let (connection, _) = select_ok(tries).await?;
            let streams = connection.open_bi().await.map_err(|error| error.to_string())?;
            Ok((connection, streams))
        }
    }

    /// Zero for a node that was reached last time, then doubling, with half of it random so that clients of a restarted relay spread.
    fn backoff(&self, node: NodeId) -> Duration {
        let Some(failures) = self.failures.get(&node) else { return Duration::ZERO };
        let longest = FIRST_BACKOFF * 2_u32.pow((*failures).min(MAX_BACKOFF_DOUBLINGS));
        let mut random = [0];
        // Without randomness the wait is only less spread.
        let _ = getrandom::fill(&mut random);
        longest / 2 + longest / 2 * u32::from(random[0]) / 256
    }

    /// Queues a message; a link that cannot take it is closed.
    pub(crate) fn send(&self, link: LinkId, message: Vec<u8>) {
        if let Some(handle) = self.links.get(&link)
            && !handle.send(message)
        {
            handle.abort("send queue is full");
        }
    }

    /// Closes a link after what was queued; no event follows.
    pub(crate) fn close(&mut self, link: LinkId) {
        // The writer ends when the last handle is gone.
        self.links.remove(&link);
    }

    /// The link, while it is up.
    pub(crate) fn get(&self, link: LinkId) -> Option<&Handle> {
        self.links.get(&link)
    }

    /// All links.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.links.values()
    }

    /// Tells every peer, and waits until they heard it.
    pub(crate) async fn stop(&self) {
        self.endpoint.close(VarInt::from_u32(0), b"stopping");
        // A peer that is gone must not hold the stop up.
        let _ = tokio::time::timeout(Duration::from_millis(500), self.endpoint.wait_idle()).await;
    }
}

struct Acceptor {
    events: mpsc::Sender<LinkEvent>,
    next_id: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
    pending: Arc<AtomicUsize>,
    limit: usize,
}

/// Counts one as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(counter: &Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counter))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Acceptor {
    async fn run(self, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            if self.open.load(Ordering::Relaxed) >= self.limit {
                incoming.refuse();
            } else if self.pending.load(Ordering::Relaxed) >= RETRY_AT && !incoming.remote_address_validated() {
                // It fails only for an address that was validated, and that was asked above.
                let _ = incoming.retry();
            } else {
                let (open, pending) = (Counted::new(&self.open), Counted::new(&self.pending));
                let (events, id) = (self.events.clone(), LinkId(self.next_id.fetch_add(1, Ordering::Relaxed)));
                tokio::spawn(async move {
                    let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, accept(incoming)).await;
                    drop(pending);
                    if let Ok(Ok((connection, peer, (send, receive)))) = accepted {
                        Link { id, peer, connection, outgoing: false, events }.run(send, receive).await;
                    }
                    drop(open);
                });
            }
        }
    }
}

async fn accept(incoming: Incoming) -> io::Result<(Connection, NodeId, (quinn::SendStream, quinn::RecvStream))> {
    let connection = incoming.await?;
    let peer = tls::proven_key(&connection).ok_or_else(|| io::Error::other("no key"))?;
    let streams = tokio::time::timeout(STREAM_TIMEOUT, connection.accept_bi()).await??;
    Ok((connection, peer, streams))
}
