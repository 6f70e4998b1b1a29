//! The session table: networks, peers, indices, and its grammar. Packets are in `data`, handshakes in `handshake`, timers in `timers`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use netflow_wire::data::DATA_OVERHEAD;
use netflow_wire::{FrameKind, NetworkId};
use rand_core::CryptoRng;

use super::cookie::{CookieSecrets, MacKey};
use super::kem::KemKey;
use super::load::Admission;
use super::peer::Peer;
use super::primitives::{Secret, x25519_public};
use super::types::{
    DropReason, FrameOutcome, LocalIdentity, PeerRef, PqMode, RefuseReason, RemoteKeys, SealOutcome, SealStatus,
    SessionEvent, SessionInfo, Source, UpsertError,
};
use crate::Now;
use crate::plane::Generation;

/// Networks active at once: the mac of a forged initiation is tried against each.
pub const MAX_NETWORKS: usize = 16;
/// Peers over all networks. A peer without session costs about 2 KiB, most of it its KEM key.
pub const MAX_PEERS: usize = 16_384;
/// Largest packet: what UDP over IPv4 carries less our headers (relay 8, record 32).
pub const MAX_INNER_LEN: usize = 65_507 - 8 - DATA_OVERHEAD;
/// Frames waiting for `poll_transmit`; the caller drains it after every call, so this is one timer batch of full queues.
const MAX_TRANSMIT: usize = 8_192;
/// Events waiting for `poll_event`.
const MAX_EVENTS: usize = 4_096;

/// All sessions of this node.
pub struct SessionTable {
    pub(super) local_static: Secret,
    pub(super) local_public: [u8; 32],
    pub(super) kem: KemKey,
    pub(super) pq: PqMode,
    pub(super) aes_hw: bool,
    /// Counter of the next initiation: boot epoch in the high half.
    pub(super) next_counter: u64,
    pub(super) last_counter: u64,
    pub(super) networks: BTreeMap<NetworkId, MacKey>,
    pub(super) peers: Vec<Option<Box<Peer>>>,
    pub(super) by_name: BTreeMap<PeerRef, usize>,
    pub(super) by_static: BTreeMap<(NetworkId, [u8; 32]), usize>,
    pub(super) by_index: BTreeMap<u32, usize>,
    pub(super) deadlines: BTreeSet<(u64, usize)>,
    pub(super) admission: Admission,
    pub(super) cookies: CookieSecrets,
    pub(super) generation: Arc<Generation>,
    transmit: VecDeque<(PeerRef, Vec<u8>)>,
    events: VecDeque<SessionEvent>,
    drops: BTreeMap<DropReason, u64>,
    queue_drops: u64,
}

impl SessionTable {
    /// An empty table for this identity.
    #[must_use]
    pub fn new(identity: LocalIdentity) -> Self {
        let local_static = Secret::new(*identity.static_secret);
        let first = u64::from(identity.boot_epoch) << 32;
        Self {
            // Fails only when aws-lc cannot allocate 32 bytes.
            local_public: x25519_public(local_static.expose()).expect("public key of a 32-byte x25519 secret"),
            local_static,
            kem: KemKey::from_seed(&identity.kem_seed),
            pq: identity.pq,
            aes_hw: identity.aes_hw,
            next_counter: first,
            last_counter: first | u64::from(u32::MAX),
            networks: BTreeMap::new(),
            peers: Vec::new(),
            by_name: BTreeMap::new(),
            by_static: BTreeMap::new(),
            by_index: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            admission: Admission::new(),
            cookies: CookieSecrets::default(),
            generation: Arc::default(),
            transmit: VecDeque::new(),
            events: VecDeque::new(),
            drops: BTreeMap::new(),
            queue_drops: 0,
        }
    }

    /// Our own x25519 public key.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.local_public
    }

    /// Starts answering in this network. False when [`MAX_NETWORKS`] are active already.
    pub fn add_network(&mut self, network: NetworkId) -> bool {
        if self.networks.contains_key(&network) {
            return true;
        }
        if self.networks.len() >= MAX_NETWORKS {
            return false;
        }
        self.networks.insert(network, MacKey::of_receiver(&network, &self.local_public));
        true
    }

    /// Stops answering in this network; its peers and keys are gone at once.
    pub fn remove_network(&mut self, network: &NetworkId) {
        self.networks.remove(network);
        let gone: Vec<PeerRef> = self.by_name.keys().filter(|peer| peer.network == *network).copied().collect();
        for peer in gone {
            self.remove_peer(&peer);
        }
    }

    /// Adds a peer or brings its keys up to date. A new static key ends the sessions made with the old one; a new KEM key counts
    /// from the next handshake on.
    ///
    /// # Errors
    /// See [`UpsertError`]; the table is unchanged then.
    pub fn upsert_peer(&mut self, peer: PeerRef, keys: RemoteKeys) -> Result<(), UpsertError> {
        if !self.networks.contains_key(&peer.network) {
            return Err(UpsertError::UnknownNetwork);
        }
        if keys.x25519 == self.local_public {
            return Err(UpsertError::OwnStatic);
        }
        let known = self.by_name.get(&peer).copied();
        let holder = self.by_static.get(&(peer.network, keys.x25519)).copied();
        if holder.is_some() && holder != known {
            return Err(UpsertError::DuplicateStatic);
        }
        if let (Some(slot), Some(_)) = (known, holder) {
            if let Some(known) = self.peer_mut(slot) {
                known.keys = keys;
            }
            return Ok(());
        }
        if known.is_none() && self.by_name.len() >= MAX_PEERS {
            return Err(UpsertError::TooManyPeers);
        }
        self.remove_peer(&peer);
        let slot = self.peers.iter().position(Option::is_none).unwrap_or(self.peers.len());
        if slot == self.peers.len() {
            self.peers.push(None);
        }
        self.by_name.insert(peer, slot);
        self.by_static.insert((peer.network, keys.x25519), slot);
        if let Some(place) = self.peers.get_mut(slot) {
            *place = Some(Box::new(Peer::new(peer, keys)));
        }
        Ok(())
    }

    /// Removes a peer: keys, queue and pending handshake are gone at once, its frames are dropped from now on.
    /// False when it was not there.
    pub fn remove_peer(&mut self, peer: &PeerRef) -> bool {
        let Some(slot) = self.by_name.remove(peer) else { return false };
        self.generation.advance();
        if let Some(gone) = self.peers.get_mut(slot).and_then(Option::take) {
            self.by_static.remove(&(peer.network, gone.keys.x25519));
            for index in gone.indices() {
                self.by_index.remove(&index);
            }
            if let Some(at) = gone.scheduled_us {
                self.deadlines.remove(&(at, slot));
            }
        }
        self.transmit.retain(|(to, _)| to != peer);
        true
    }

    /// Seals an inside packet or inner message for a peer; starts a handshake when there is no session.
    pub fn seal(&mut self, now: Now, rng: &mut dyn CryptoRng, peer: &PeerRef, inner: &[u8]) -> SealOutcome {
        let mut frame = Vec::new();
        match self.seal_into(now, rng, peer, inner, &mut frame) {
            SealStatus::Sealed => SealOutcome::Frame(frame),
            SealStatus::Queued => SealOutcome::Queued,
            SealStatus::NoPeer => SealOutcome::NoPeer,
            SealStatus::Refused(reason) => SealOutcome::Refused(reason),
        }
    }

    /// Like `seal`, appending the frame to `out` (which may already hold a relay header). `out` is unchanged unless `Sealed`.
    pub fn seal_into(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        peer: &PeerRef,
        inner: &[u8],
        out: &mut Vec<u8>,
    ) -> SealStatus {
        let Some(slot) = self.by_name.get(peer).copied() else { return SealStatus::NoPeer };
        match inner.len() {
            0 => return SealStatus::Refused(RefuseReason::Empty),
            1..=MAX_INNER_LEN => {}
            _ => return SealStatus::Refused(RefuseReason::TooLarge),
        }
        if self.seal_current(now, slot, inner, out) {
            let rekey = self.peer(slot).is_some_and(|peer| {
                peer.pending.is_none() && peer.current.as_ref().is_some_and(|session| session.wants_rekey(now.mono_us))
            });
            if rekey {
                // The session in use is still good: a refusal shows when it has run out.
                let _ = self.start_handshake(now, rng, slot, 1);
            }
            return SealStatus::Sealed;
        }
        self.queue_for_handshake(now, rng, slot, inner)
    }

    /// Starts a handshake now unless one is pending (a path came up, the peer seems gone). The initiation comes out of `poll_transmit`.
    /// With one pending, its initiation is sent again as it is.
    pub fn initiate(&mut self, now: Now, rng: &mut dyn CryptoRng, peer: &PeerRef) -> SealStatus {
        let Some(slot) = self.by_name.get(peer).copied() else { return SealStatus::NoPeer };
        let Some(state) = self.peer_mut(slot) else { return SealStatus::NoPeer };
        state.wanted_us = now.mono_us;
        if let Some(pending) = &state.pending {
            let again = (state.name, pending.frame.clone());
            self.push_transmit(again.0, again.1);
            return SealStatus::Queued;
        }
        match self.start_handshake(now, rng, slot, 1) {
            Ok(()) => SealStatus::Queued,
            Err(reason) => SealStatus::Refused(reason),
        }
    }

    /// Takes a frame (first byte 0x10..=0x13) as received; decrypts in place.
    pub fn handle_frame(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        source: &Source,
        frame: &mut [u8],
    ) -> FrameOutcome {
        let kind = frame.first().copied().and_then(FrameKind::from_byte);
        let outcome = match kind {
            Some(FrameKind::Data) => self.handle_data(now, rng, frame),
            Some(FrameKind::HandshakeInit) => self.handle_init(now, rng, source, frame),
            Some(FrameKind::HandshakeResponse) => self.handle_response(now, frame),
            Some(FrameKind::CookieReply) => self.handle_cookie(frame),
            Some(
                FrameKind::Relay
                | FrameKind::RelayBind
                | FrameKind::RelayChallenge
                | FrameKind::RelayBindConfirm
                | FrameKind::RelayBound
                | FrameKind::ReachProbe
                | FrameKind::RelayEcho,
            )
            | None => Err(DropReason::Malformed),
        };
        outcome.unwrap_or_else(|reason| {
            let count = self.drops.entry(reason).or_default();
            *count = count.saturating_add(1);
            FrameOutcome::Drop(reason)
        })
    }

    /// Frames to send on a peer's path: initiations, flushed packets, keepalives. Poll until `None` after every call that takes `now`.
    pub fn poll_transmit(&mut self) -> Option<(PeerRef, Vec<u8>)> {
        self.transmit.pop_front()
    }

    /// What happened. Poll until `None` after every call that takes `now`.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// The session used for sending to this peer; `None` while there is none.
    #[must_use]
    pub fn info(&self, peer: &PeerRef) -> Option<SessionInfo> {
        self.by_name.get(peer).and_then(|slot| self.peer(*slot)).and_then(Peer::info)
    }

    /// How many frames were dropped for this reason since start.
    #[must_use]
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops.get(&reason).copied().unwrap_or(0)
    }

    /// Packets that left a full queue, and frames that left a full transmit queue, since start.
    #[must_use]
    pub const fn queue_drops(&self) -> u64 {
        self.queue_drops
    }

    fn queue_for_handshake(&mut self, now: Now, rng: &mut dyn CryptoRng, slot: usize, inner: &[u8]) -> SealStatus {
        let Some(peer) = self.peer_mut(slot) else { return SealStatus::NoPeer };
        peer.wanted_us = now.mono_us;
        let wait = peer.awaits_confirmation_until().is_some_and(|until| now.mono_us < until);
        if peer.pending.is_none()
            && !wait
            && let Err(reason) = self.start_handshake(now, rng, slot, 1)
        {
            return SealStatus::Refused(reason);
        }
        if self.peer_mut(slot).is_some_and(|peer| !peer.enqueue(inner)) {
            self.queue_drops = self.queue_drops.saturating_add(1);
        }
        self.reschedule(slot);
        SealStatus::Queued
    }

    pub(super) fn push_transmit(&mut self, peer: PeerRef, frame: Vec<u8>) {
        if self.transmit.len() >= MAX_TRANSMIT {
            self.transmit.pop_front();
            self.queue_drops = self.queue_drops.saturating_add(1);
        }
        self.transmit.push_back((peer, frame));
    }

    pub(super) fn push_event(&mut self, event: SessionEvent) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(super) fn peer(&self, slot: usize) -> Option<&Peer> {
        self.peers.get(slot).and_then(Option::as_deref)
    }

    pub(super) fn peer_mut(&mut self, slot: usize) -> Option<&mut Peer> {
        self.peers.get_mut(slot).and_then(Option::as_deref_mut)
    }
}
