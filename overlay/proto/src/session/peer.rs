//! One peer: its session slots, its pending handshake, its queue and its timers. No network, no index table: those are the table's.
//!
//! Slots, as in WireGuard: `current` sends; `previous` (what was current before) and `next` (we answered a handshake, the initiator has
//! not yet proved that it has the keys) only receive. A session moves to `current`
//! * as initiator, when the response authenticates (it proves that the responder has the keys);
//! * as responder, with the first authentic data frame. Until then we send nothing with it.
//!
//! "Newest" is therefore the order of confirmation here, never a claim of the other side. If both ends initiate at once and both
//! handshakes complete, the ends may send with different sessions; each still receives with both, and whoever sends first after the
//! rekey time replaces them.

use std::collections::VecDeque;
use std::sync::Arc;

use netflow_wire::{MAC_LEN, Suite};

use super::cookie::MacKey;
use super::noise::Initiation;
use super::record::{OpenState, REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES, SealState};
use super::types::{PeerRef, RemoteKeys, SessionInfo};
use crate::plane::Traffic;

/// The initiator renews a session of this age when it sends (WireGuard's REKEY_AFTER_TIME).
pub(super) const REKEY_AFTER_US: u64 = 120_000_000;
/// The responder does so if the initiator has not: after crossed handshakes each end may take itself for the responder.
const RESPONDER_REKEY_AFTER_US: u64 = 145_000_000;
/// An initiator that only receives renews at this age.
pub(super) const RECEIVER_REKEY_AFTER_US: u64 = 150_000_000;
/// No session is used at this age (REJECT_AFTER_TIME); its keys are wiped.
pub(super) const REJECT_AFTER_US: u64 = 180_000_000;
/// Packets waiting for a handshake, oldest dropped: a TCP initial window times a few flows.
pub(super) const MAX_QUEUE: usize = 64;
/// We received data and sent nothing for this long: say that we are here (KEEPALIVE_TIMEOUT).
pub(super) const PASSIVE_KEEPALIVE_US: u64 = 10_000_000;
/// We sent data and heard nothing for this long although the peer owed a keepalive: it lost the session; new handshake.
pub(super) const UNANSWERED_US: u64 = 15_000_000;
/// How long a session that waits in `next` stops us from initiating with packets in the queue: one round trip of the worst path.
pub(super) const CONFIRMATION_US: u64 = 2_000_000;
/// At most one repeated confirmation in this time.
const RECONFIRM_US: u64 = 250_000;

/// One established or answered session.
pub(super) struct Session {
    pub(super) local_index: u32,
    pub(super) initiator: bool,
    pub(super) handshake_suite: Suite,
    pub(super) record_suite: Suite,
    pub(super) hybrid_pq: bool,
    pub(super) created_us: u64,
    pub(super) established_us: u64,
    pub(super) reconfirmed_us: u64,
    pub(super) seal: Arc<SealState>,
    pub(super) open: Arc<OpenState>,
}

impl Session {
    pub(super) const fn expired(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.created_us) >= REJECT_AFTER_US
    }

    pub(super) fn can_send(&self, now_us: u64) -> bool {
        !self.expired(now_us) && self.seal.counter() < REJECT_AFTER_MESSAGES
    }

    /// Whether a sender should start the next handshake.
    pub(super) fn wants_rekey(&self, now_us: u64) -> bool {
        let limit = if self.initiator { REKEY_AFTER_US } else { RESPONDER_REKEY_AFTER_US };
        now_us.saturating_sub(self.created_us) >= limit || self.seal.counter() >= REKEY_AFTER_MESSAGES
    }

    const fn expires_us(&self) -> u64 {
        self.created_us.saturating_add(REJECT_AFTER_US)
    }
}

/// A handshake we started.
pub(super) struct Pending {
    pub(super) local_index: u32,
    pub(super) noise: Initiation,
    /// The frame as last sent.
    pub(super) frame: Vec<u8>,
    /// Its mac without cookie, which a cookie reply must name; taken by the first authentic one.
    pub(super) cookie_mac: Option<[u8; MAC_LEN]>,
    pub(super) attempt: u32,
    pub(super) sent_us: u64,
    pub(super) retry_us: u64,
    /// Responses with a correct mac that did not authenticate; each costs two X25519.
    pub(super) bad_responses: u8,
}

/// Which slot an index belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Current,
    Previous,
    Next,
}

/// Everything about one peer.
pub(super) struct Peer {
    pub(super) name: PeerRef,
    pub(super) keys: RemoteKeys,
    pub(super) mac_key: MacKey,
    /// Highest handshake counter of an authentic initiation.
    pub(super) last_counter: Option<u64>,
    pub(super) current: Option<Session>,
    pub(super) previous: Option<Session>,
    pub(super) next: Option<Session>,
    pub(super) pending: Option<Pending>,
    pub(super) queue: VecDeque<Vec<u8>>,
    /// When somebody last wanted to reach the peer.
    pub(super) wanted_us: u64,
    /// First data frame sent since the peer was last heard.
    pub(super) unanswered_us: Option<u64>,
    /// First data frame received since we last sent.
    pub(super) owed_us: Option<u64>,
    pub(super) traffic: Arc<Traffic>,
    /// When to look at what the workers of the data path did, and up to when that was done.
    pub(super) look_us: Option<u64>,
    absorbed_us: u64,
    /// The deadline registered in the table.
    pub(super) scheduled_us: Option<u64>,
}

impl Peer {
    pub(super) fn new(name: PeerRef, keys: RemoteKeys) -> Self {
        Self {
            name,
            mac_key: MacKey::of_receiver(&name.network, &keys.x25519),
            keys,
            last_counter: None,
            current: None,
            previous: None,
            next: None,
            pending: None,
            queue: VecDeque::new(),
            wanted_us: 0,
            unanswered_us: None,
            owed_us: None,
            traffic: Arc::default(),
            look_us: None,
            absorbed_us: 0,
            scheduled_us: None,
        }
    }

    /// Every index that leads to this peer.
    pub(super) fn indices(&self) -> impl Iterator<Item = u32> {
        let sessions =
            [&self.current, &self.previous, &self.next].into_iter().flatten().map(|session| session.local_index);
        sessions.chain(self.pending.iter().map(|pending| pending.local_index))
    }

    pub(super) fn slot_of(&self, index: u32) -> Option<Slot> {
        [(&self.current, Slot::Current), (&self.previous, Slot::Previous), (&self.next, Slot::Next)]
            .into_iter()
            .find_map(|(session, slot)| session.as_ref().filter(|s| s.local_index == index).map(|_| slot))
    }

    pub(super) const fn session_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        match slot {
            Slot::Current => self.current.as_mut(),
            Slot::Previous => self.previous.as_mut(),
            Slot::Next => self.next.as_mut(),
        }
    }

    pub(super) fn can_send(&self, now_us: u64) -> bool {
        self.current.as_ref().is_some_and(|session| session.can_send(now_us))
    }

    /// Makes `session` current. Returns the indices that no longer lead anywhere.
    pub(super) fn promote(&mut self, session: Session) -> Vec<u32> {
        let dropped = std::mem::replace(&mut self.previous, self.current.replace(session));
        self.unanswered_us = None;
        dropped.map(|session| session.local_index).into_iter().collect()
    }

    /// Drops sessions that are too old. Returns their indices and whether the sending session was among them.
    pub(super) fn expire(&mut self, now_us: u64) -> (Vec<u32>, bool) {
        let mut dropped = Vec::new();
        let had_current = self.current.is_some();
        for slot in [&mut self.current, &mut self.previous, &mut self.next] {
            if let Some(session) = slot.take_if(|session| session.expired(now_us)) {
                dropped.push(session.local_index);
            }
        }
        (dropped, had_current && self.current.is_none())
    }

    /// Queues a packet; false when an older one had to go.
    pub(super) fn enqueue(&mut self, inner: &[u8]) -> bool {
        let full = self.queue.len() >= MAX_QUEUE;
        if full {
            self.queue.pop_front();
        }
        self.queue.push_back(inner.to_vec());
        !full
    }

    /// Whether to repeat the confirmation: the peer still sends with the session before this one and may have lost the first.
    pub(super) fn should_reconfirm(&mut self, now_us: u64) -> bool {
        let Some(session) = &mut self.current else { return false };
        let due = session.initiator
            && session.open.is_unused()
            && now_us.saturating_sub(session.reconfirmed_us) >= RECONFIRM_US;
        if due {
            session.reconfirmed_us = now_us;
        }
        due
    }

    /// Whether a queue without session and handshake must wait for the confirmation of `next`, and until when.
    pub(super) fn awaits_confirmation_until(&self) -> Option<u64> {
        self.next.as_ref().map(|session| session.created_us.saturating_add(CONFIRMATION_US))
    }

    /// When the peer's timers must run next.
    pub(super) fn deadline_us(&self) -> Option<u64> {
        let sessions = [&self.current, &self.previous, &self.next].into_iter().flatten().map(Session::expires_us);
        let idle = self.pending.is_none();
        let unanswered = self.unanswered_us.filter(|_| idle).map(|since| since.saturating_add(UNANSWERED_US));
        let owed = self.owed_us.map(|since| since.saturating_add(PASSIVE_KEEPALIVE_US));
        let stuck = (idle && self.current.is_none() && !self.queue.is_empty())
            .then(|| self.awaits_confirmation_until().unwrap_or(0));
        let pending = self.pending.as_ref().map(|pending| pending.retry_us);
        sessions.chain(pending).chain(unanswered).chain(owed).chain(stuck).chain(self.look_us).min()
    }

    /// Brings what is owed and what is unanswered up to date with what the workers of the data path did since the last time.
    pub(super) fn absorb(&mut self) {
        let (sent, said, heard, data) = self.traffic.times_us();
        if self.unanswered_us.is_some_and(|since| heard > since) {
            self.unanswered_us = None;
        }
        if self.owed_us.is_some_and(|since| sent > since) {
            self.owed_us = None;
        }
        if said > self.absorbed_us {
            self.wanted_us = self.wanted_us.max(said);
            if said > heard && self.current.is_some() {
                self.unanswered_us.get_or_insert(said);
            }
        }
        if data > self.absorbed_us && data > sent && self.current.is_some() {
            self.owed_us.get_or_insert(data);
        }
        self.absorbed_us = self.absorbed_us.max(said).max(data);
    }

    pub(super) fn info(&self) -> Option<SessionInfo> {
        let session = self.current.as_ref()?;
        Some(SessionInfo {
            suite: session.record_suite,
            handshake_suite: session.handshake_suite,
            hybrid_pq: session.hybrid_pq,
            initiator: session.initiator,
            established_us: session.established_us,
            tx_bytes: self.traffic.tx_bytes(),
            rx_bytes: self.traffic.rx_bytes(),
            tx_packets: self.traffic.tx_packets(),
            rx_packets: self.traffic.rx_packets(),
            last_rx_us: self.traffic.heard_us(),
        })
    }
}
