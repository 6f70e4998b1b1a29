//! Streams to and from the other witnesses.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, Bytes};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use netchain_consensus::{CertifiedBlock, Message};
use netchain_types::{ChainDomain, WitnessSet};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::{NetEvent, WitnessKey, number};
use crate::announce::{Announcement, Announcer, MAX_ADDRESS_BYTES, MAX_ADDRESSES};
use crate::outbox::{Outbox, Shared, outbox};
use crate::streams::{read_hello, read_messages, write_messages};

/// Strangers' streams whose first frame is awaited.
const MAX_HELLOS: usize = 64;
/// A witness repeats where it is every 30 s, and in its first minute every 2.5 s.
const ANNOUNCE_TICKS: u64 = 120;
const FIRST_TICKS: u64 = 10;
const DIAL_TICKS: u64 = 8;

/// A stream whose opener said who it is.
pub(super) struct Hello {
    peer: PeerId,
    stream: Stream,
    bytes: Vec<u8>,
}

pub(super) struct Witnesses {
    announcer: Announcer,
    chain: ChainDomain,
    me: PeerId,
    key: Option<WitnessKey>,
    control: Control,
    protocol: StreamProtocol,
    own: Option<Announcement>,
    sets: Vec<WitnessSet>,
    out: BTreeMap<PeerId, Outbox>,
    inward: BTreeMap<PeerId, AbortHandle>,
    hello_sender: mpsc::Sender<Hello>,
    hellos: mpsc::Receiver<Hello>,
}

impl Witnesses {
    pub(super) fn new(
        chain: ChainDomain,
        key: Option<WitnessKey>,
        me: PeerId,
        control: Control,
        protocol: StreamProtocol,
    ) -> Self {
        let (hello_sender, hellos) = mpsc::channel(MAX_HELLOS);
        Self {
            announcer: Announcer::new(chain),
            chain,
            me,
            key,
            control,
            protocol,
            own: None,
            sets: Vec::new(),
            out: BTreeMap::new(),
            inward: BTreeMap::new(),
            hello_sender,
            hellos,
        }
    }

    pub(super) fn set(&mut self, sets: Vec<WitnessSet>) {
        self.announcer.set_witnesses(&sets);
        self.sets = sets;
        let known: Vec<PeerId> = self.announcer.known().filter_map(|it| PeerId::from_bytes(&it.peer).ok()).collect();
        // Who left the sets is no longer heard.
        self.out.retain(|peer, _| known.contains(peer));
        self.inward.retain(|peer, reader| {
            let stays = known.contains(peer);
            if !stays {
                reader.abort();
            }
            stays
        });
    }

    /// Whether a block's certificate is good; none when it is of a set that is not known here.
    pub(super) fn certified(&self, it: &CertifiedBlock) -> Option<bool> {
        let hash = it.block.extra().validators_hash;
        let set = self.sets.iter().find(|set| set.hash() == hash)?;
        let same = it.certificate.height == it.block.height() && it.certificate.block_hash == it.block.hash();
        Some(same && it.certificate.verify(&self.chain, set).is_ok())
    }

    fn is_witness(&self) -> bool {
        self.key.as_ref().is_some_and(|key| self.announcer.is_witness(&key.account))
    }

    pub(super) fn connected(&self) -> usize {
        self.out.values().filter(|outbox| !outbox.is_closed()).count()
    }

    /// Waits for a stream's first frame, in a task of its own.
    pub(super) fn accept(&mut self, peer: PeerId, mut stream: Stream) {
        // Only witnesses read consensus. Dropping the stream closes it.
        let Ok(permit) = self.hello_sender.clone().try_reserve_owned() else { return };
        if self.is_witness() {
            tokio::spawn(async move {
                if let Ok(bytes) = read_hello(&mut stream).await {
                    permit.send(Hello { peer, stream, bytes });
                }
            });
        }
    }

    pub(super) async fn next_hello(&mut self) -> Hello {
        match self.hellos.recv().await {
            Some(hello) => hello,
            // Never: this struct holds a sender.
            None => std::future::pending().await,
        }
    }

    /// Reads on from a witness, and from nobody else.
    pub(super) fn admit(&mut self, hello: Hello, unix_s: u64, events: &mpsc::Sender<NetEvent>) {
        let Hello { peer, stream, bytes } = hello;
        if !self.learn(&bytes, unix_s) && self.witness_of(&peer).is_none() {
            return;
        }
        // The statement names a peer; the stream must come from that one.
        let Some(account) = self.witness_of(&peer) else { return };
        tracing::debug!(%peer, %account, "witness stream opened");
        let events = events.clone();
        let from = number(&peer);
        let reader = tokio::spawn(async move {
            let end = read_messages(stream, from, events).await;
            tracing::debug!(%peer, ?end, "witness stream ended");
        });
        // One stream per witness: a new one replaces the old one, which may be half dead.
        if let Some(old) = self.inward.insert(peer, reader.abort_handle()) {
            old.abort();
        }
    }

    pub(super) fn witness_of(&self, peer: &PeerId) -> Option<Address> {
        self.announcer.witness(&peer.to_bytes())
    }

    /// Takes an encoded announcement; true when it is news and true.
    pub(super) fn learn(&mut self, bytes: &[u8], unix_s: u64) -> bool {
        self.judge(bytes, unix_s).is_ok()
    }

    /// Takes an encoded announcement.
    pub(super) fn judge(&mut self, bytes: &[u8], unix_s: u64) -> Result<(), crate::AnnounceError> {
        let announcement = Announcement::decode(bytes)?;
        self.announcer.take(announcement, unix_s)
    }

    /// Opens missing streams; returns the own announcement when it is time to repeat it.
    pub(super) fn tick(&mut self, ticks: u64, unix_s: u64, listen: &[Multiaddr]) -> Option<Vec<u8>> {
        self.inward.retain(|_, reader| !reader.is_finished());
        if !self.is_witness() || listen.is_empty() {
            return None;
        }
        let due =
            ticks.is_multiple_of(ANNOUNCE_TICKS) || (ticks < 2 * ANNOUNCE_TICKS && ticks.is_multiple_of(FIRST_TICKS));
        if due || self.own.is_none() {
            self.own = self.announce(unix_s, listen);
        }
        let hello = Arc::new(self.own.as_ref()?.encode());
        self.out.retain(|_, outbox| !outbox.is_closed());
        let known = self.announcer.known().filter_map(|it| PeerId::from_bytes(&it.peer).ok());
        let missing: Vec<PeerId> = known.filter(|peer| *peer != self.me && !self.out.contains_key(peer)).collect();
        for peer in missing {
            self.open(peer, hello.clone());
        }
        due.then(|| hello.to_vec())
    }

    /// A stream to a peer that may be a witness: it will say no when this node is none to it.
    fn open(&mut self, peer: PeerId, hello: Shared) {
        let (outbox, drain) = outbox();
        let (mut control, protocol) = (self.control.clone(), self.protocol.clone());
        self.out.insert(peer, outbox);
        tokio::spawn(async move {
            match control.open_stream(peer, protocol).await {
                Ok(stream) => {
                    let end = write_messages(stream, hello, drain).await;
                    tracing::debug!(%peer, ?end, "stream to witness ended");
                }
                Err(error) => tracing::debug!(%peer, %error, "no stream to witness"),
            }
        });
    }

    /// Tells a peer that was just met who we are, by opening a stream to it.
    pub(super) fn meet(&mut self, peer: PeerId) {
        if let (true, Some(own), false) = (self.is_witness(), &self.own, self.out.contains_key(&peer)) {
            let hello = Arc::new(own.encode());
            self.open(peer, hello);
        }
    }

    fn announce(&self, unix_s: u64, listen: &[Multiaddr]) -> Option<Announcement> {
        let key = self.key.as_ref()?;
        let addresses = listen.iter().map(Multiaddr::to_vec).filter(|address| address.len() <= MAX_ADDRESS_BYTES);
        let mut it = Announcement {
            account: key.account,
            peer: Bytes::from(self.me.to_bytes()),
            unix_s,
            addresses: addresses.take(MAX_ADDRESSES).map(Bytes::from).collect(),
            signature: [0; 64],
        };
        it.signature = key.keys.sign(&it.signing_bytes(&self.chain));
        Some(it)
    }

    /// Witnesses whose addresses are known and that may not be connected.
    pub(super) fn to_dial(&self, ticks: u64) -> Vec<(PeerId, Vec<Multiaddr>)> {
        if !ticks.is_multiple_of(DIAL_TICKS) || !self.is_witness() {
            return Vec::new();
        }
        let address = |bytes: &Bytes| Multiaddr::try_from(bytes.to_vec()).ok();
        let known = self.announcer.known().filter_map(|it| {
            Some((PeerId::from_bytes(&it.peer).ok()?, it.addresses.iter().filter_map(address).collect::<Vec<_>>()))
        });
        known.filter(|(peer, addresses)| *peer != self.me && !addresses.is_empty()).collect()
    }

    /// Sends to every witness; returns how many copies were dropped.
    pub(super) fn broadcast(&self, message: &Message) -> u64 {
        let bytes = Arc::new(message.encode());
        let open = self.out.iter().filter(|(peer, outbox)| self.witness_of(peer).is_some() && !outbox.is_closed());
        open.filter(|(_, outbox)| !outbox.send(&bytes)).count() as u64
    }

    /// Sends to one; false when there is no stream to it.
    pub(super) fn send(&self, to: u64, message: &Message) -> bool {
        let stream = self.out.iter().find(|(peer, outbox)| number(peer) == to && !outbox.is_closed());
        stream.is_some_and(|(peer, outbox)| self.witness_of(peer).is_some() && outbox.send(&Arc::new(message.encode())))
    }

    pub(super) fn gone(&mut self, peer: &PeerId) {
        self.out.remove(peer);
        if let Some(reader) = self.inward.remove(peer) {
            reader.abort();
        }
    }
}
