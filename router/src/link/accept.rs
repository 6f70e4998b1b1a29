//! Links that others open: over QUIC at every UDP port that takes them, and over TLS at every TCP port.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netflow_overlay::node::LinkId;
use netflow_sys::udp::canonical;
use netflow_wire::NodeId;
use quinn::{Connection, Endpoint, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::Link;
use super::stream::{self, StreamLink};
use super::tls::{self, HANDSHAKE_TIMEOUT};
use super::{LinkEvent, QuicSocket};

/// QUIC handshakes of strangers in progress at which every further one must first prove its address by a retry token.
const RETRY_AT: usize = 8;
/// How long an accepted connection may take to open its one stream.
const STREAM_TIMEOUT: Duration = Duration::from_secs(5);
/// TLS handshakes in progress over TCP: at 40 KiB each 2.5 MiB, and more than one core finishes in a second.
const MAX_TLS_PENDING: usize = 64;
/// Of these, from one address: a whole office behind one NAT comes back in turns, and one stranger cannot keep everybody else out.
const MAX_TLS_PENDING_PER_IP: usize = 4;
/// The pause after the system refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where links are accepted beside the main port.
#[derive(Default)]
pub(crate) struct Listeners {
    /// UDP port 443, when it could be bound.
    pub(crate) alternate_quic: Option<Arc<QuicSocket>>,
    /// TCP port 443 and the TCP port with the main port's number, those that could be bound.
    pub(crate) tcp: Vec<TcpListener>,
}

/// What all accept loops share.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) next_id: Arc<AtomicU64>,
    pub(super) open: Arc<AtomicUsize>,
    pub(super) pending: Arc<AtomicUsize>,
    /// TLS handshakes over TCP in progress, by source address.
    pub(super) pending_tls: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    /// Links accepted at a time.
    pub(super) limit: usize,
}

/// Counts while it lives.
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

/// A TLS handshake in progress.
struct PendingTls {
    all: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    ip: IpAddr,
}

/// A panic while the lock was held cannot have left the map half-changed.
fn locked(map: &Mutex<BTreeMap<IpAddr, usize>>) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PendingTls {
    /// `None`: there are too many, in all or from this address.
    fn admit(all: &Arc<Mutex<BTreeMap<IpAddr, usize>>>, ip: IpAddr) -> Option<Self> {
        let ip = site(ip);
        let mut pending = locked(all);
        let total: usize = pending.values().sum();
        let of_this = pending.get(&ip).copied().unwrap_or_default();
        if total >= MAX_TLS_PENDING || of_this >= MAX_TLS_PENDING_PER_IP {
            return None;
        }
        pending.insert(ip, of_this + 1);
        Some(Self { all: Arc::clone(all), ip })
    }
}

/// Whoever has one IPv6 address has its whole /64.
fn site(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
    }
}

impl Drop for PendingTls {
    fn drop(&mut self) {
        let mut pending = locked(&self.all);
        if let Some(count) = pending.get_mut(&self.ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                pending.remove(&self.ip);
            }
        }
    }
}

impl Acceptor {
    pub(super) fn new(events: mpsc::Sender<LinkEvent>, next_id: Arc<AtomicU64>, limit: usize) -> Self {
        let (open, pending, pending_tls) = (Arc::default(), Arc::default(), Arc::default());
        Self { events, next_id, open, pending, pending_tls, limit }
    }

    fn new_id(&self) -> LinkId {
        LinkId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    fn is_full(&self) -> bool {
        self.open.load(Ordering::Relaxed) >= self.limit
    }

    /// Accepts over QUIC until the endpoint is closed.
    pub(super) async fn run_quic(self, endpoint: Endpoint) {
        while let Some(incoming) = endpoint.accept().await {
            if self.is_full() {
                incoming.refuse();
            } else if self.pending.load(Ordering::Relaxed) >= RETRY_AT && !incoming.remote_address_validated() {
                // It fails only for an address that was validated, and that was asked above.
                let _ = incoming.retry();
            } else {
                let (open, pending) = (Counted::new(&self.open), Counted::new(&self.pending));
                let (events, id) = (self.events.clone(), self.new_id());
                tokio::spawn(async move {
                    let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, accept_quic(incoming)).await;
                    drop(pending);
                    if let Ok(Ok((connection, peer, (send, receive)))) = accepted {
                        Link { id, peer, connection, outgoing: false, events }.run(send, receive).await;
                    }
                    drop(open);
                });
            }
        }
    }

    /// Accepts over TCP for the life of the daemon.
    pub(super) async fn run_tcp(self, listener: TcpListener, tls: TlsAcceptor) {
        loop {
            let (stream, remote) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::debug!(%error, "accept (TCP)");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let remote = canonical(remote);
            // Whoever is dropped here tries again later; a relay at its limits owes strangers no explanation.
            let Some(pending) = PendingTls::admit(&self.pending_tls, remote.ip()).filter(|_| !self.is_full()) else {
                continue;
            };
            let open = Counted::new(&self.open);
            let (events, id, tls) = (self.events.clone(), self.new_id(), tls.clone());
            tokio::spawn(async move {
                let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, accept_tls(stream, &tls)).await;
                drop(pending);
                if let Ok(Ok((stream, peer))) = accepted {
                    StreamLink { id, peer, remote, outgoing: false, events }.run(stream).await;
                }
                drop(open);
            });
        }
    }
}

async fn accept_quic(incoming: Incoming) -> io::Result<(Connection, NodeId, (quinn::SendStream, quinn::RecvStream))> {
    let connection = incoming.await?;
    let peer = tls::proven_key(&connection).ok_or_else(|| io::Error::other("no key"))?;
    let streams = tokio::time::timeout(STREAM_TIMEOUT, connection.accept_bi()).await??;
    Ok((connection, peer, streams))
}

async fn accept_tls(stream: TcpStream, tls: &TlsAcceptor) -> io::Result<(TlsStream<TcpStream>, NodeId)> {
    stream::prepare(&stream)?;
    let stream = tls.accept(stream).await?;
    let peer = tls::proven_stream_key(stream.get_ref().1).ok_or_else(|| io::Error::other("no key"))?;
    Ok((stream, peer))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_handshakes_and_all_together_have_a_limit() {
        let all = Arc::default();
        let ip = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mine = (0..10).filter_map(|_| PendingTls::admit(&all, ip(1))).collect::<Vec<_>>();
        assert_eq!(mine.len(), MAX_TLS_PENDING_PER_IP);
        let others = (2..=255).filter_map(|last| PendingTls::admit(&all, ip(last))).collect::<Vec<_>>();
        assert_eq!(mine.len() + others.len(), MAX_TLS_PENDING);
        drop((mine, others));
        assert!(locked(&all).is_empty(), "nothing is remembered of those that ended");
    }
}
