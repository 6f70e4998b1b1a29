//! Messages of the next height, kept until this node gets there. Bounded by witness: a liar fills its own places only.

use std::collections::{BTreeMap, BTreeSet};

use arc_malachitebft_core_types::VoteType;

use crate::application::Application;
use crate::context::Voter;
use crate::host::{Host, Peer, Rules};
use crate::message::Message;

/// Rounds of the next height that are kept: at the start of a height the core itself looks 10 rounds ahead.
pub(super) const FUTURE_ROUNDS: u32 = 10;

/// By witness, round and kind: at most 21 witnesses x 11 rounds x 3 kinds.
#[derive(Default)]
pub(super) struct Future {
    height: u64,
    kept: BTreeMap<(Voter, u32, u8), Message>,
}

impl Future {
    /// Keeps a message whose signature was found good. The first of each place stays: proofs of lies are gathered later.
    fn keep(&mut self, height: u64, key: (Voter, u32, u8), message: Message) {
        if self.height != height {
            self.kept.clear();
            self.height = height;
        }
        self.kept.entry(key).or_insert(message);
    }

    /// Everything kept for `height`, in order of rounds and steps, so that a proposal comes before the votes on it.
    pub(super) fn take(&mut self, height: u64) -> Vec<Message> {
        if self.height != height {
            return Vec::new();
        }
        let mut kept: Vec<_> = std::mem::take(&mut self.kept).into_iter().collect();
        kept.sort_by_key(|((_, round, kind), _)| (*round, *kind));
        kept.into_iter().map(|(_, message)| message).collect()
    }

    fn witnesses(&self, height: u64) -> usize {
        let distinct: BTreeSet<_> = self.kept.keys().map(|(voter, _, _)| *voter).collect();
        if self.height == height { distinct.len() } else { 0 }
    }

    /// How many are kept; for tests and metrics.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

impl<A: Application, R: Rules> Host<A, R> {
    /// Messages of later heights waiting here.
    pub fn future_len(&self) -> usize {
        self.future.len()
    }

    pub(super) fn take_future(&mut self, from: Peer, message: Message) {
        let (height, now) = (message.height(), self.io.now);
        self.sync.ahead(now, from, height);
        if height != self.height() + 1 {
            return;
        }
        let (voter, round, kind, bytes, signature) = match &message {
            Message::Vote(vote) => {
                let kind = if vote.message.kind == VoteType::Prevote { 1 } else { 2 };
                let bytes = vote.message.signing_bytes(&self.io.chain);
                (vote.message.voter, vote.message.round, kind, bytes, vote.signature)
            }
            Message::Proposal(proposal) => {
                let bytes = proposal.message.signing_bytes(&self.io.chain);
                (proposal.message.voter, proposal.message.round, 0, bytes, proposal.signature)
            }
            // Repeated by their senders; too large to keep.
            Message::Polka(_) | Message::Round(_) | Message::BlockRequest(_) | Message::Block(_) => return,
        };
        let Some(round) = round.as_u32().filter(|round| *round <= FUTURE_ROUNDS) else { return };
        // The set of the next height is not known before this block is executed, but only 1 of 21 seats changes at a time: a
        // new witness' messages come again, those of the others are checked by the keys they have now.
        let key = self.tip.next.seats().iter().find(|seat| seat.account == voter.0).map(|seat| seat.vote_key);
        if key.is_some_and(|key| self.io.keys.verify(&key, &bytes, &signature)) {
            self.future.keep(height, (voter, round, kind), message);
            self.catch_pace(height);
        }
    }

    /// More than a third of the witnesses are a height on: so is an honest one. Waiting out our own pace would only drift.
    fn catch_pace(&mut self, height: u64) {
        let (here, total) = (self.future.witnesses(height) as u64, self.tip.next.len() as u64);
        if self.core.finalization_period && self.io.thresholds.honest.is_met(here, total) {
            for (key, (at, _)) in &mut self.io.timers {
                if key.0 == 4 {
                    *at = self.io.now.mono_us;
                }
            }
        }
    }
}
