//! Dials, accepts, and keeps the list of links.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Context as _;
use netflow_overlay::NodeKeys;
use netflow_overlay::node::{Carrier, LinkId};
use netflow_overlay::session::PqMode;
use netflow_wire::NodeId;
use quinn::{Endpoint, VarInt};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::accept::{Acceptor, Listeners};
use super::dial::Dialler;
use super::handle::Handle;
use super::tls::{self, Tls};
use super::{LinkEvent, QuicSocket};

/// Events waiting for the node. A reader that cannot place its message waits, and its peer with it.
const EVENT_QUEUE: usize = 64;
/// The wait before a node that could not be reached is dialled again doubles from the first to the second of these.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF_DOUBLINGS: u32 = 5;
/// After a change of the uplinks a link must prove within this time that it still works: long enough for one lost datagram at half a
/// second of round trip.
const PROOF_PATIENCE: Duration = Duration::from_secs(1);

/// What the manager must know at start.
pub(crate) struct LinkSettings<'a> {
    pub(crate) keys: &'a NodeKeys,
    pub(crate) pq: PqMode,
    /// Links accepted from others at a time; zero: none are accepted at all.
    pub(crate) max_accepted: usize,
}

/// What is known of a node that is dialled.
#[derive(Debug, Default)]
struct Contact {
    /// Failed dials in a row.
    failures: u32,
    /// The last link was a stream, so UDP is probably blocked.
    by_stream: bool,
}

/// All links of the daemon.
pub(crate) struct LinkManager {
    dialler: Dialler,
    endpoints: Vec<Endpoint>,
    links: BTreeMap<LinkId, Handle>,
    outgoing: BTreeSet<LinkId>,
    dialling: BTreeSet<NodeId>,
    /// Of the relays dialled so far, of which the node knows a limited number.
    contacts: BTreeMap<NodeId, Contact>,
    changes: watch::Sender<u64>,
    /// Frames dropped on streams that are gone.
    frames_dropped: u64,
}

impl LinkManager {
    /// Starts the endpoint on the shared socket, and the accept loops when links are accepted.
    pub(crate) fn start(
        socket: Arc<QuicSocket>,
        listeners: Listeners,
        settings: &LinkSettings<'_>,
    ) -> anyhow::Result<(Self, mpsc::Receiver<LinkEvent>)> {
        let tls = Tls::new(settings.keys, settings.pq).context("cannot set up TLS")?;
        let accepts = settings.max_accepted > 0;
        let start = |socket: Arc<QuicSocket>| -> anyhow::Result<Endpoint> {
            let server = accepts.then(|| tls.server()).transpose()?;
            let runtime = Arc::new(quinn::TokioRuntime);
            Ok(Endpoint::new_with_abstract_socket(tls::endpoint(settings.keys)?, server, socket, runtime)?)
        };
        let mut endpoints = vec![start(Arc::clone(&socket))?];
        let endpoint = endpoints.first().cloned().context("no endpoint")?;
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let next_id = Arc::new(AtomicU64::new(0));
        if accepts {
            endpoints.extend(listeners.alternate_quic.map(start).transpose()?);
            let acceptor = Acceptor::new(events.clone(), Arc::clone(&next_id), settings.max_accepted);
            for endpoint in &endpoints {
                tokio::spawn(acceptor.clone().run_quic(endpoint.clone()));
            }
            let stream_tls = TlsAcceptor::from(Arc::new(tls.stream_server()?));
            for listener in listeners.tcp {
                tokio::spawn(acceptor.clone().run_tcp(listener, stream_tls.clone()));
            }
        }
        let (changes, changed) = watch::channel(0);
        let manager = Self {
            dialler: Dialler { endpoint, tls: Arc::new(tls), events, next_id, changes: changed },
            endpoints,
            links: BTreeMap::new(),
            outgoing: BTreeSet::new(),
            dialling: BTreeSet::new(),
            contacts: BTreeMap::new(),
            changes,
            frames_dropped: 0,
        };
        Ok((manager, receiver))
    }

    /// Keeps the list in step with an event, before the node hears of it. `false`: the event is about a link that is closed already.
    pub(crate) fn note(&mut self, event: &LinkEvent) -> bool {
        match event {
            LinkEvent::Up { link, peer, outgoing, carrier, handle, .. } => {
                if *outgoing {
                    self.dialling.remove(peer);
                    self.contacts.insert(*peer, Contact { failures: 0, by_stream: *carrier == Carrier::Stream });
                    self.outgoing.insert(*link);
                }
                self.links.insert(*link, handle.clone());
                true
            }
            LinkEvent::Failed { node, .. } => {
                self.dialling.remove(node);
                let contact = self.contacts.entry(*node).or_default();
                contact.failures = contact.failures.saturating_add(1);
                true
            }
            LinkEvent::Message { link, .. } | LinkEvent::Frames { link, .. } => self.links.contains_key(link),
            LinkEvent::Down { link, .. } => self.forget(*link),
        }
    }

    fn forget(&mut self, link: LinkId) -> bool {
        self.outgoing.remove(&link);
        let handle = self.links.remove(&link);
        self.frames_dropped += handle.as_ref().map_or(0, Handle::frames_dropped);
        handle.is_some()
    }

    /// Dials a node, unless that is going on already. An event follows in every case.
    pub(crate) fn dial(&mut self, node: NodeId, addrs: &[SocketAddr]) {
        if !self.dialling.insert(node) {
            return;
        }
        let wait = self.backoff(&node);
        let udp_blocked = self.contacts.get(&node).is_some_and(|contact| contact.by_stream);
        tokio::spawn(self.dialler.clone().run(node, addrs.to_vec(), udp_blocked, wait));
    }

    /// Zero for a node that was reached last time, then doubling, with half of it random so that clients of a restarted relay spread.
    fn backoff(&self, node: &NodeId) -> Duration {
        let failures = self.contacts.get(node).map_or(0, |contact| contact.failures);
        if failures == 0 {
            return Duration::ZERO;
        }
        let longest = FIRST_BACKOFF * 2_u32.pow(failures.min(MAX_BACKOFF_DOUBLINGS));
        let mut random = [0];
        // Without randomness the wait is only less spread.
        let _ = getrandom::fill(&mut random);
        longest / 2 + longest / 2 * u32::from(random[0]) / 256
    }

    /// The uplinks changed: failures of the past say nothing any more, QUIC may work again, and every link dialled here proves with
    /// `question` that it still works, or ends.
    pub(crate) fn uplinks_changed(&mut self, question: &[u8]) {
        self.contacts.clear();
        self.changes.send_modify(|count| *count += 1);
        for handle in self.outgoing.iter().filter_map(|link| self.links.get(link)) {
            handle.check(question.to_vec(), PROOF_PATIENCE);
        }
    }

    /// Queues a message; a link that cannot take it is closed.
    pub(crate) fn send(&self, link: LinkId, message: Vec<u8>) {
        if let Some(handle) = self.links.get(&link)
            && !handle.send(message)
        {
            handle.abort("send queue is full");
        }
    }

    /// Queues a frame on a stream, or drops it.
    pub(crate) fn send_frame(&self, link: LinkId, frame: Vec<u8>) {
        if let Some(handle) = self.links.get(&link) {
            handle.send_frame(frame);
        }
    }

    /// Closes a link after what was queued; no event follows.
    pub(crate) fn close(&mut self, link: LinkId) {
        // The writer ends when the last handle is gone.
        self.forget(link);
    }

    /// The link, while it is up.
    pub(crate) fn get(&self, link: LinkId) -> Option<&Handle> {
        self.links.get(&link)
    }

    /// All links.
    pub(crate) fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.links.values()
    }

    /// Frames that streams could not carry since the start.
    pub(crate) fn frames_dropped(&self) -> u64 {
        self.frames_dropped + self.links.values().map(Handle::frames_dropped).sum::<u64>()
    }

    /// Tells every peer, and waits until they heard it.
    pub(crate) async fn stop(&mut self) {
        self.links.clear();
        for endpoint in &self.endpoints {
            endpoint.close(VarInt::from_u32(0), b"stopping");
        }
        let idle = futures_util::future::join_all(self.endpoints.iter().map(Endpoint::wait_idle));
        // A peer that is gone must not hold the stop up.
        let _ = tokio::time::timeout(Duration::from_millis(500), idle).await;
    }
}
