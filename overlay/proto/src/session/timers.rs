//! Deadlines of the table: retransmission, expiry, keepalives. One ordered set of (time, peer); a peer has at most one entry.
//!
//! The data path only ever *adds* an earlier deadline ([`SessionTable::ensure_deadline`]); a deadline that turns out to be needless
//! costs one look at the peer. So a packet never pays for timer bookkeeping.

use rand_core::CryptoRng;

use super::peer::{PASSIVE_KEEPALIVE_US, UNANSWERED_US};
use super::table::SessionTable;
use super::types::SessionEvent;
use crate::Now;

/// A handshake is given up when nobody has wanted the peer for this long (WireGuard's REKEY_ATTEMPT_TIME).
const GIVE_UP_US: u64 = 90_000_000;
/// Peers looked at per call: at most 64 initiations (20 ms of a small router) before packets get their turn again.
const BATCH: usize = 64;

impl SessionTable {
    /// Runs what is due. Bounded work per call: `poll_timeout` may be in the past afterwards, then call again.
    pub fn handle_timeout(&mut self, now: Now, rng: &mut dyn CryptoRng) {
        for _ in 0..BATCH {
            let Some((_, slot)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now.mono_us) else { return };
            self.run_timers(now, rng, slot);
            self.reschedule(slot);
        }
    }

    /// `mono_us` at which `handle_timeout` wants to run.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn run_timers(&mut self, now: Now, rng: &mut dyn CryptoRng, slot: usize) {
        if let Some(peer) = self.peer_mut(slot) {
            peer.absorb();
            peer.look_us = peer.look_us.filter(|at| *at > now.mono_us);
        }
        self.expire_sessions(now, slot);
        let Some(peer) = self.peer_mut(slot) else { return };
        let name = peer.name;
        if peer.owed_us.is_some_and(|since| now.mono_us >= since.saturating_add(PASSIVE_KEEPALIVE_US)) {
            peer.owed_us = None;
            self.send_null(now, slot);
        }
        let Some(peer) = self.peer_mut(slot) else { return };
        let attempt = match &peer.pending {
            Some(pending) if now.mono_us < pending.retry_us => return,
            Some(_) if now.mono_us.saturating_sub(peer.wanted_us) >= GIVE_UP_US => {
                self.abandon(slot);
                self.push_event(SessionEvent::HandshakeFailed { peer: name });
                return;
            }
            Some(pending) => pending.attempt.saturating_add(1),
            None => {
                let silent = peer.unanswered_us.is_some_and(|since| now.mono_us >= since.saturating_add(UNANSWERED_US));
                let stuck = !peer.can_send(now.mono_us)
                    && !peer.queue.is_empty()
                    && peer.awaits_confirmation_until().is_none_or(|until| now.mono_us >= until);
                if !silent && !stuck {
                    return;
                }
                1
            }
        };
        if self.start_handshake(now, rng, slot, attempt).is_err() {
            self.abandon(slot);
            self.push_event(SessionEvent::HandshakeFailed { peer: name });
        }
    }

    fn expire_sessions(&mut self, now: Now, slot: usize) {
        let Some(peer) = self.peer_mut(slot) else { return };
        let name = peer.name;
        let (indices, lost) = peer.expire(now.mono_us);
        if peer.current.is_none() {
            peer.unanswered_us = None;
            peer.owed_us = None;
        }
        if !indices.is_empty() {
            self.generation.advance();
        }
        for index in indices {
            self.by_index.remove(&index);
        }
        if lost {
            self.push_event(SessionEvent::Expired { peer: name });
        }
    }

    /// Ends a handshake without result: nothing waits any more.
    pub(super) fn abandon(&mut self, slot: usize) {
        let Some(peer) = self.peer_mut(slot) else { return };
        peer.queue.clear();
        peer.unanswered_us = None;
        let index = peer.pending.take().map(|pending| pending.local_index);
        if let Some(index) = index {
            self.by_index.remove(&index);
        }
    }

    /// Recomputes a peer's deadline.
    pub(super) fn reschedule(&mut self, slot: usize) {
        let Some(peer) = self.peer_mut(slot) else { return };
        let deadline = peer.deadline_us();
        let old = std::mem::replace(&mut peer.scheduled_us, deadline);
        if old != deadline {
            if let Some(at) = old {
                self.deadlines.remove(&(at, slot));
            }
            if let Some(at) = deadline {
                self.deadlines.insert((at, slot));
            }
        }
    }

    /// Makes sure the peer's timers run at `at` or earlier.
    pub(super) fn ensure_deadline(&mut self, slot: usize, at: u64) {
        if self.peer(slot).is_some_and(|peer| peer.scheduled_us.is_none_or(|scheduled| at < scheduled)) {
            self.reschedule(slot);
        }
    }
}
