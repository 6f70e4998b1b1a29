//! Handshakes of the table: starting, answering, finishing them; cookies.
//!
//! Order of work for an initiation, cheapest first, nothing changing before the initiator is known to be a peer and its counter new:
//! length and reserved bits; mac (names the network); load, cookie, per-source limit; two X25519 (names the initiator); peer known;
//! counter; simultaneous initiation; ML-KEM; two X25519 and the response.
//!
//! **Replay.** The counter is `boot epoch << 32 | n`, strictly increasing over all initiations of a node. A responder remembers the
//! highest per peer, in memory. After a restart of the responder an old initiation is answered once more: it yields a session in `next`
//! that nobody can confirm, and a counter below the honest one. Nothing else.
//!
//! **Simultaneous initiation.** Both ends answer each other and both sessions work. To save one of them, the end with the smaller
//! static key does not answer while its own *first* initiation is less than a second old; the other end answers. After that
//! second both answer, so a one-way path or a lost frame cannot lock the pair (no livelock: a refused initiation is never refused twice).

use std::sync::Arc;

use netflow_wire::handshake::{
    Caps, CookieFrame, InitFrame, InitPayload, InitRepr, RESPONSE_LEN, ResponseFrame, ResponsePayload, ResponseRepr,
};
use netflow_wire::{FrameKind, MAC_LEN, NetworkId, Suite};
use rand_core::CryptoRng;

use super::kem::encapsulate;
use super::noise::{Binding, Initiation, Keys, Response};
use super::peer::{Pending, Session};
use super::table::SessionTable;
use super::types::{DropReason, FrameOutcome, PqMode, RefuseReason, SessionEvent, Source};
use crate::Now;

/// Waits before the second initiation and those after it, then the last value for ever: a first frame that is lost, or that comes a moment
/// before the peer has read of us, must not cost the user a second; a peer that is gone must not cost the network more than 19 frames in
/// 90 s. A way of more than 250 ms makes a second one for nothing, and its answer comes before the third.
const RETRY_US: [u64; 5] = [250_000, 1_000_000, 2_000_000, 4_000_000, 5_000_000];
/// Added to each wait at random, at most a third of it, so that many peers of one restarted node do not retry in step.
const RETRY_JITTER_US: u64 = 333_000;
/// While our first initiation is younger than this, the smaller static key does not answer the other's.
const SIMULTANEOUS_US: u64 = 1_000_000;
/// What the end with precedence waits for the answer to its own first initiation before it sends another one. The peer may have got the
/// first one before it knew us; now that it initiates, it does. A usual round trip, so that seldom two are sent for nothing.
const HURRY_US: u64 = 100_000;
/// Responses with a correct mac and wrong content that one initiation bears. Only a member on the path can make them.
const MAX_BAD_RESPONSES: u8 = 16;
/// Draws of a random index before giving up; with 65,536 indices in use one draw fails once in 65,536.
const INDEX_DRAWS: u32 = 16;

impl SessionTable {
    /// Starts (or starts again) a handshake and queues its initiation.
    pub(super) fn start_handshake(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        slot: usize,
        attempt: u32,
    ) -> Result<(), RefuseReason> {
        let peer = self.peer(slot).ok_or(RefuseReason::Exhausted)?;
        let (name, remote_static) = (peer.name, peer.keys.x25519);
        let (kem_ciphertext, kem_shared) = match (self.pq, &peer.keys.kem) {
            (PqMode::Off, _) | (PqMode::Prefer, None) => (None, None),
            (PqMode::Strict, None) => return Err(RefuseReason::PqRequired),
            (PqMode::Strict | PqMode::Prefer, Some(key)) => {
                let (ciphertext, shared) = encapsulate(key, rng).map_err(|_| RefuseReason::BadKemKey)?;
                (Some(ciphertext), Some(shared))
            }
        };
        let payload = InitPayload { counter: self.take_counter()?, caps: self.caps() };
        let suite = if self.aes_hw { Suite::AesGcm } else { Suite::ChaChaPoly };
        let local_index = self.draw_index(rng).ok_or(RefuseReason::Exhausted)?;
        let binding = Binding {
            network: &name.network,
            suite,
            sender_index: local_index,
            kem_ciphertext: kem_ciphertext.as_deref(),
        };
        let (noise, message) =
            Initiation::start(&binding, &self.local_static, &remote_static, kem_shared, &payload, rng)
                .map_err(|_| RefuseReason::Exhausted)?;
        let repr = InitRepr {
            suite,
            cookie: false,
            sender_index: local_index,
            noise: message,
            kem_ciphertext,
            mac: [0; MAC_LEN],
        };
        let mut frame = vec![0; repr.buffer_len()];
        repr.emit(frame.as_mut_slice()).map_err(|_| RefuseReason::Exhausted)?;
        let retry_us = now.mono_us.saturating_add(retry_wait(attempt, rng));
        let peer = self.peer_mut(slot).ok_or(RefuseReason::Exhausted)?;
        peer.mac_key.finish(&mut frame, None);
        let pending = Pending {
            local_index,
            noise,
            cookie_mac: frame.last_chunk().copied(),
            frame: frame.clone(),
            attempt,
            sent_us: now.mono_us,
            retry_us,
            bad_responses: 0,
        };
        peer.unanswered_us = None;
        let replaced = peer.pending.replace(pending);
        if let Some(old) = replaced {
            self.by_index.remove(&old.local_index);
        }
        self.by_index.insert(local_index, slot);
        self.push_transmit(name, frame);
        self.reschedule(slot);
        Ok(())
    }

    pub(super) fn handle_init(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        source: &Source,
        bytes: &[u8],
    ) -> Result<FrameOutcome, DropReason> {
        let frame = InitFrame::new_checked(bytes).map_err(|_| DropReason::Malformed)?;
        let network = self.network_of(now, source, &frame).ok_or(DropReason::BadMac)?;
        if self.admission.count_initiation(now.mono_us) {
            if !frame.has_cookie() {
                return self.reply_cookie(now, rng, source, &network, &frame);
            }
            if !self.admission.allow_source(now.mono_us, source) {
                return Err(DropReason::RateLimited);
            }
        }
        if self.pq == PqMode::Strict && !frame.has_kem() {
            return Err(DropReason::PqRefused);
        }
        let read = Response::read(&network, &frame, &self.local_static, rng).map_err(|_| DropReason::BadCrypto)?;
        let slot = self.by_static.get(&(network, read.remote_static)).copied().ok_or(DropReason::UnknownPeer)?;
        self.check_initiator(slot, &read, frame.has_kem())?;
        // Authentic and new: the counter is spent whatever follows.
        if let Some(peer) = self.peer_mut(slot) {
            peer.last_counter = Some(read.payload.counter);
        }
        if self.has_precedence(now, slot) {
            self.hurry(now, slot);
            return Err(DropReason::SimultaneousInit);
        }
        self.answer(now, rng, slot, &frame, read)
    }

    fn check_initiator(&self, slot: usize, read: &Response, hybrid: bool) -> Result<(), DropReason> {
        let peer = self.peer(slot).ok_or(DropReason::UnknownPeer)?;
        if peer.last_counter.is_some_and(|last| read.payload.counter <= last) {
            return Err(DropReason::HandshakeReplay);
        }
        if read.payload.caps.pq_strict && !hybrid {
            return Err(DropReason::PqRefused);
        }
        Ok(())
    }

    fn has_precedence(&self, now: Now, slot: usize) -> bool {
        self.peer(slot).is_some_and(|peer| {
            let young = |pending: &Pending| {
                pending.attempt == 1 && now.mono_us.saturating_sub(pending.sent_us) < SIMULTANEOUS_US
            };
            self.local_public < peer.keys.x25519 && peer.pending.as_ref().is_some_and(young)
        })
    }

    /// The peer knows us by now: our own initiation is repeated soon, unless it is answered.
    fn hurry(&mut self, now: Now, slot: usize) {
        if let Some(pending) = self.peer_mut(slot).and_then(|peer| peer.pending.as_mut()) {
            pending.retry_us = pending.retry_us.min(pending.sent_us.saturating_add(HURRY_US).max(now.mono_us));
        }
        self.reschedule(slot);
    }

    fn answer(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        slot: usize,
        frame: &InitFrame<&[u8]>,
        read: Response,
    ) -> Result<FrameOutcome, DropReason> {
        let kem_shared = frame.kem_ciphertext().map(|ciphertext| self.kem.decapsulate(ciphertext));
        let local_index = self.draw_index(rng).ok_or(DropReason::Exhausted)?;
        let (suite, remote_index) = (frame.suite(), frame.sender_index());
        let record_suite =
            if self.aes_hw && read.payload.caps.aes_hardware { Suite::AesGcm } else { Suite::ChaChaPoly };
        let payload = ResponsePayload { record_suite, caps: self.caps() };
        let header = response_header(suite, local_index, remote_index);
        let (noise, keys) =
            read.write(&header, kem_shared.as_ref(), &payload, remote_index).map_err(|_| DropReason::BadCrypto)?;
        let repr = ResponseRepr {
            suite,
            cookie: false,
            sender_index: local_index,
            receiver_index: remote_index,
            noise,
            mac: [0; MAC_LEN],
        };
        let mut reply = vec![0; RESPONSE_LEN];
        repr.emit(reply.as_mut_slice()).map_err(|_| DropReason::Exhausted)?;
        let session = new_session(now, keys, local_index, (suite, record_suite), kem_shared.is_some(), false);
        let peer = self.peer_mut(slot).ok_or(DropReason::UnknownPeer)?;
        peer.mac_key.finish(&mut reply, None);
        let replaced = peer.next.replace(session);
        if let Some(old) = replaced {
            self.by_index.remove(&old.local_index);
        }
        self.by_index.insert(local_index, slot);
        self.reschedule(slot);
        Ok(FrameOutcome::Reply(reply))
    }

    pub(super) fn handle_response(&mut self, now: Now, bytes: &[u8]) -> Result<FrameOutcome, DropReason> {
        let frame = ResponseFrame::new_checked(bytes).map_err(|_| DropReason::Malformed)?;
        // We never ask for a cookie on a response: the random index it must name is protection enough.
        if frame.has_cookie() {
            return Err(DropReason::Malformed);
        }
        let index = frame.receiver_index();
        let slot = self.by_index.get(&index).copied().ok_or(DropReason::UnknownIndex)?;
        let network = self.peer(slot).map(|peer| peer.name.network).ok_or(DropReason::UnknownIndex)?;
        if !self.networks.get(&network).is_some_and(|key| key.verify(bytes, None)) {
            return Err(DropReason::BadMac);
        }
        let aes_hw = self.aes_hw;
        let peer = self.peer_mut(slot).ok_or(DropReason::UnknownIndex)?;
        let pending = peer.pending.as_mut().filter(|p| p.local_index == index).ok_or(DropReason::UnknownIndex)?;
        if frame.suite() != pending.noise.suite() {
            return Err(DropReason::Malformed);
        }
        if pending.bad_responses >= MAX_BAD_RESPONSES {
            return Err(DropReason::RateLimited);
        }
        let header = response_header(frame.suite(), frame.sender_index(), index);
        let payload = pending.noise.finish(&header, frame.noise_message()).map_err(|_| {
            pending.bad_responses += 1;
            DropReason::BadCrypto
        })?;
        let expected = if aes_hw && payload.caps.aes_hardware { Suite::AesGcm } else { Suite::ChaChaPoly };
        let Some(pending) = peer.pending.take() else { return Err(DropReason::UnknownIndex) };
        let name = peer.name;
        let contradicts = payload.record_suite != expected || (payload.caps.pq_strict && !pending.noise.is_hybrid());
        let (hybrid, suite) = (pending.noise.is_hybrid(), pending.noise.suite());
        let keys = pending.noise.into_keys(payload.record_suite, frame.sender_index());
        let (Ok(keys), false) = (keys, contradicts) else {
            // The peer is authentic and breaks the protocol: trying again at once would only go round in circles.
            self.by_index.remove(&index);
            self.abandon(slot);
            self.push_event(SessionEvent::HandshakeFailed { peer: name });
            self.reschedule(slot);
            return Err(DropReason::PqRefused);
        };
        self.install(now, slot, new_session(now, keys, index, (suite, payload.record_suite), hybrid, true));
        Ok(FrameOutcome::Established { peer: name })
    }

    pub(super) fn handle_cookie(&mut self, bytes: &[u8]) -> Result<FrameOutcome, DropReason> {
        let frame = CookieFrame::new_checked(bytes).map_err(|_| DropReason::Malformed)?;
        let index = frame.receiver_index();
        let slot = self.by_index.get(&index).copied().ok_or(DropReason::UnknownIndex)?;
        let peer = self.peer_mut(slot).ok_or(DropReason::UnknownIndex)?;
        let pending = peer.pending.as_mut().filter(|p| p.local_index == index).ok_or(DropReason::UnknownIndex)?;
        let mac = pending.cookie_mac.ok_or(DropReason::UnknownIndex)?;
        let cookie = peer.mac_key.open_reply(&frame, &mac).ok_or(DropReason::BadCrypto)?;
        // One repetition per initiation: a second cookie waits for the next attempt.
        pending.cookie_mac = None;
        if let Ok(mut init) = InitFrame::new_checked(pending.frame.as_mut_slice()) {
            init.set_has_cookie(true);
        }
        peer.mac_key.finish(&mut pending.frame, Some(&cookie));
        let (name, again) = (peer.name, pending.frame.clone());
        self.push_transmit(name, again);
        Ok(FrameOutcome::CookieTaken { peer: name })
    }

    /// The responder's session is confirmed: send with it from now on.
    pub(super) fn confirm_next(&mut self, now: Now, slot: usize) {
        if let Some(session) = self.peer_mut(slot).and_then(|peer| peer.next.take()) {
            self.install(now, slot, session);
        }
    }

    /// Makes a session current, ends a handshake of ours that it made needless, and sends what waited.
    fn install(&mut self, now: Now, slot: usize, mut session: Session) {
        self.generation.advance();
        let Some(peer) = self.peer_mut(slot) else { return };
        let (name, initiator) = (peer.name, session.initiator);
        session.established_us = now.mono_us;
        session.reconfirmed_us = now.mono_us;
        let first = !peer.can_send(now.mono_us);
        let mut unused = peer.promote(session);
        unused.extend(peer.pending.take().map(|pending| pending.local_index));
        let waiting = std::mem::take(&mut peer.queue);
        for index in unused {
            self.by_index.remove(&index);
        }
        self.push_event(SessionEvent::Established { peer: name, first });
        if waiting.is_empty() && initiator {
            // The responder sends nothing before it has heard from us.
            self.send_null(now, slot);
        }
        for inner in waiting {
            let mut frame = Vec::new();
            if self.seal_current(now, slot, &inner, &mut frame) {
                self.push_transmit(name, frame);
            }
        }
        self.reschedule(slot);
    }

    /// The network whose mac the frame carries. Each comparison is in constant time; how many were made is no secret.
    fn network_of(&self, now: Now, source: &Source, frame: &InitFrame<&[u8]>) -> Option<NetworkId> {
        let cookies: Vec<_> =
            if frame.has_cookie() { self.cookies.acceptable(now.mono_us, source).collect() } else { Vec::new() };
        self.networks
            .iter()
            .find(|(_, key)| match frame.has_cookie() {
                false => key.verify(frame.as_bytes(), None),
                true => cookies.iter().any(|cookie| key.verify(frame.as_bytes(), Some(cookie))),
            })
            .map(|(network, _)| *network)
    }

    fn reply_cookie(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        source: &Source,
        network: &NetworkId,
        frame: &InitFrame<&[u8]>,
    ) -> Result<FrameOutcome, DropReason> {
        let cookie = self.cookies.issue(now.mono_us, rng, source);
        let key = self.networks.get(network).ok_or(DropReason::BadMac)?;
        let reply = key.seal_reply(rng, frame.sender_index(), &cookie, frame.mac()).ok_or(DropReason::Exhausted)?;
        Ok(FrameOutcome::Reply(reply))
    }

    const fn caps(&self) -> Caps {
        Caps { aes_hardware: self.aes_hw, pq_strict: matches!(self.pq, PqMode::Strict) }
    }

    fn take_counter(&mut self) -> Result<u64, RefuseReason> {
        let counter = self.next_counter;
        if counter >= self.last_counter {
            return Err(RefuseReason::Exhausted);
        }
        self.next_counter += 1;
        Ok(counter)
    }

    /// A random index nobody uses.
    fn draw_index(&self, rng: &mut dyn CryptoRng) -> Option<u32> {
        (0..INDEX_DRAWS).map(|_| rng.next_u32()).find(|index| !self.by_index.contains_key(index))
    }
}

fn retry_wait(attempt: u32, rng: &mut dyn CryptoRng) -> u64 {
    let step = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX).min(RETRY_US.len() - 1);
    let base = RETRY_US.get(step).copied().unwrap_or(5_000_000);
    base + rng.next_u64() % RETRY_JITTER_US.min(base / 3)
}

fn response_header(suite: Suite, sender_index: u32, receiver_index: u32) -> [u8; 12] {
    let [s0, s1, s2, s3] = sender_index.to_le_bytes();
    let [r0, r1, r2, r3] = receiver_index.to_le_bytes();
    [FrameKind::HandshakeResponse as u8, suite as u8, 0, 0, s0, s1, s2, s3, r0, r1, r2, r3]
}

fn new_session(
    now: Now,
    keys: Keys,
    local_index: u32,
    suites: (Suite, Suite),
    hybrid_pq: bool,
    initiator: bool,
) -> Session {
    Session {
        local_index,
        initiator,
        handshake_suite: suites.0,
        record_suite: suites.1,
        hybrid_pq,
        created_us: now.mono_us,
        established_us: now.mono_us,
        reconfirmed_us: now.mono_us,
        seal: Arc::new(keys.seal),
        open: Arc::new(keys.open),
    }
}
