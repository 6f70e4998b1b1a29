//! The data path of the table: one index or name lookup, one AEAD, a few counters. No allocation but the output buffer.

use std::sync::Arc;

use rand_core::CryptoRng;

use super::peer::{PASSIVE_KEEPALIVE_US, RECEIVER_REKEY_AFTER_US, REKEY_AFTER_US, Slot, UNANSWERED_US};
use super::record::{OpenError, OpenState, SealState};
use super::table::SessionTable;
use super::types::{DropReason, FrameOutcome, PeerRef};
use crate::Now;
use crate::plane::{Generation, Traffic};

/// Inner message that says nothing: confirms keys and serves as keepalive. Never handed to the caller.
pub(crate) const NULL_MESSAGE: &[u8] = &[0];

impl SessionTable {
    pub(super) fn handle_data(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        frame: &mut [u8],
    ) -> Result<FrameOutcome, DropReason> {
        let index = frame.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        let index = index.ok_or(DropReason::Malformed)?;
        let slot = self.by_index.get(&index).copied().ok_or(DropReason::UnknownIndex)?;
        let peer = self.peer_mut(slot).ok_or(DropReason::UnknownIndex)?;
        let which = peer.slot_of(index).ok_or(DropReason::UnknownIndex)?;
        let session = peer.session_mut(which).ok_or(DropReason::UnknownIndex)?;
        if session.expired(now.mono_us) {
            return Err(DropReason::Expired);
        }
        let plaintext = session.open.open_in_place(frame).map_err(|error| match error {
            OpenError::Malformed => DropReason::Malformed,
            OpenError::Replay => DropReason::Replay,
            OpenError::CounterLimit => DropReason::Expired,
            OpenError::Forged => DropReason::BadCrypto,
        })?;
        // The frame is authentic and fresh: only from here on may anything change.
        let name = peer.name;
        let empty = frame.get(plaintext.clone()) == Some(NULL_MESSAGE);
        self.note_received(now, slot, frame.len(), empty);
        if which == Slot::Next {
            self.confirm_next(now, slot);
        } else {
            self.follow_up(now, rng, slot, which);
        }
        Ok(match (empty, which) {
            (false, _) => FrameOutcome::Inner { peer: name, plaintext },
            (true, Slot::Next) => FrameOutcome::Established { peer: name },
            (true, Slot::Current | Slot::Previous) => FrameOutcome::Accepted { peer: name },
        })
    }

    fn note_received(&mut self, now: Now, slot: usize, len: usize, empty: bool) {
        let Some(peer) = self.peer_mut(slot) else { return };
        peer.traffic.heard(now, len);
        peer.unanswered_us = None;
        if !empty && peer.owed_us.is_none() {
            peer.owed_us = Some(now.mono_us);
            self.ensure_deadline(slot, now.mono_us.saturating_add(PASSIVE_KEEPALIVE_US));
        }
    }

    /// What an authentic frame on an old session asks of an initiator: renew it, or repeat a confirmation that was lost.
    fn follow_up(&mut self, now: Now, rng: &mut dyn CryptoRng, slot: usize, which: Slot) {
        let Some(peer) = self.peer_mut(slot) else { return };
        if which == Slot::Previous {
            if peer.should_reconfirm(now.mono_us) {
                self.send_null(now, slot);
            }
            return;
        }
        let ageing = peer.pending.is_none()
            && peer.current.as_ref().is_some_and(|session| {
                session.initiator && now.mono_us.saturating_sub(session.created_us) >= RECEIVER_REKEY_AFTER_US
            });
        if ageing {
            peer.wanted_us = now.mono_us;
            let _ = self.start_handshake(now, rng, slot, 1);
        }
    }

    /// Seals with the current session. False, and `out` unchanged, when there is none to send with.
    pub(super) fn seal_current(&mut self, now: Now, slot: usize, inner: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(peer) = self.peer_mut(slot) else { return false };
        let start = out.len();
        let Some(session) = peer.current.as_mut().filter(|session| session.can_send(now.mono_us)) else { return false };
        if session.seal.seal_into(0, inner, out).is_err() {
            return false;
        }
        peer.wanted_us = now.mono_us;
        peer.owed_us = None;
        peer.traffic.sent(now, out.len() - start);
        if inner != NULL_MESSAGE && peer.unanswered_us.is_none() {
            peer.unanswered_us = Some(now.mono_us);
            self.ensure_deadline(slot, now.mono_us.saturating_add(UNANSWERED_US));
        }
        true
    }

    // ---- for the data path

    /// Counts what void entries of the data path.
    pub(crate) fn generation(&self) -> Arc<Generation> {
        Arc::clone(&self.generation)
    }

    /// Keys and counters to send to a peer with, past this table, until a time.
    pub(crate) fn lend_seal(&mut self, now: Now, peer: &PeerRef) -> Option<(Arc<SealState>, Arc<Traffic>, u64)> {
        let slot = *self.by_name.get(peer)?;
        let state = self.peer_mut(slot)?;
        let session = state.current.as_ref().filter(|session| session.can_send(now.mono_us))?;
        if session.wants_rekey(now.mono_us) {
            return None;
        }
        let until_us = session.created_us.saturating_add(REKEY_AFTER_US);
        let lent = (Arc::clone(&session.seal), Arc::clone(&state.traffic), until_us);
        self.look_again(now, slot);
        Some(lent)
    }

    /// Keys and counters to open frames with this index, past this table, until a time. Only of the session that is sent with: one that is
    /// not confirmed yet, or that was replaced, asks for more than opening.
    pub(crate) fn lend_open(&mut self, now: Now, index: u32) -> Option<(PeerRef, Arc<OpenState>, Arc<Traffic>, u64)> {
        let slot = *self.by_index.get(&index)?;
        let state = self.peer_mut(slot)?;
        let session = state.current.as_ref().filter(|session| session.local_index == index)?;
        let until_us = session.created_us.saturating_add(REKEY_AFTER_US);
        let lent = (state.name, Arc::clone(&session.open), Arc::clone(&state.traffic), until_us);
        self.look_again(now, slot);
        Some(lent)
    }

    /// What is done past this table is looked at before anything could be due because of it.
    fn look_again(&mut self, now: Now, slot: usize) {
        let at = now.mono_us.saturating_add(PASSIVE_KEEPALIVE_US);
        let Some(state) = self.peer_mut(slot) else { return };
        if state.look_us.is_none() {
            state.look_us = Some(at);
            self.ensure_deadline(slot, at);
        }
    }

    /// Sends the null message on the current session.
    pub(super) fn send_null(&mut self, now: Now, slot: usize) {
        let mut frame = Vec::new();
        if self.seal_current(now, slot, NULL_MESSAGE, &mut frame)
            && let Some(name) = self.peer(slot).map(|peer| peer.name)
        {
            self.push_transmit(name, frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use netflow_wire::{NetworkId, NodeId};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use zeroize::Zeroizing;

    use crate::Now;
    use crate::session::record::REJECT_AFTER_MESSAGES;
    use crate::session::{FrameOutcome, LocalIdentity, PeerRef, PqMode, RemoteKeys, SealOutcome, SessionTable, Source};

    fn table(byte: u8) -> SessionTable {
        let mut table = SessionTable::new(LocalIdentity {
            static_secret: Zeroizing::new([byte; 32]),
            kem_seed: Zeroizing::new([byte; 64]),
            boot_epoch: 1,
            aes_hw: true,
            pq: PqMode::Prefer,
        });
        assert!(table.add_network(NetworkId([1; 32])));
        table
    }

    #[test]
    fn pitfall_05_counter_limit_ends_the_session_and_asks_for_a_new_one() {
        let (mut a, mut b) = (table(1), table(2));
        let (to_a, to_b) =
            ([1, 2].map(|node| PeerRef { network: NetworkId([1; 32]), node: NodeId([node; 32]) })).into();
        a.upsert_peer(to_b, RemoteKeys { x25519: *b.public_key(), kem: None }).expect("new peer");
        b.upsert_peer(to_a, RemoteKeys { x25519: *a.public_key(), kem: None }).expect("new peer");
        let mut rng = ChaCha20Rng::from_seed([0; 32]);
        let (now, source) = (Now { mono_us: 5, unix_s: 5 }, Source::Direct(([127, 0, 0, 1], 1).into()));
        assert_eq!(a.seal(now, &mut rng, &to_b, b"x"), SealOutcome::Queued);
        let (_, mut init) = a.poll_transmit().expect("initiation");
        let FrameOutcome::Reply(mut reply) = b.handle_frame(now, &mut rng, &source, &mut init) else {
            panic!("no response")
        };
        assert_eq!(a.handle_frame(now, &mut rng, &source, &mut reply), FrameOutcome::Established { peer: to_b });
        while a.poll_transmit().is_some() {}
        let slot = *a.by_name.get(&to_b).expect("peer");
        let session = a.peer_mut(slot).and_then(|peer| peer.current.as_mut()).expect("session");
        session.seal.set_counter(REJECT_AFTER_MESSAGES - 1);
        assert!(matches!(a.seal(now, &mut rng, &to_b, b"last"), SealOutcome::Frame(_)));
        assert!(a.poll_transmit().is_some(), "far above 2^60, so a rekey began");
        for _ in 0..3 {
            assert_eq!(a.seal(now, &mut rng, &to_b, b"beyond"), SealOutcome::Queued);
        }
    }
}
