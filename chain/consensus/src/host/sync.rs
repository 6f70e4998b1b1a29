//! Block sync: a node that hears of later heights asks for the certified block of its own, one at a time.

use std::collections::BTreeMap;

use crate::application::{Application, Now};
use crate::block::CertifiedBlock;
use crate::host::{Effect, Host, Peer, Rules};
use crate::message::Message;

/// Peers remembered as being ahead.
const MAX_AHEAD_PEERS: usize = 64;
/// Before asking: usually the own decision is only a moment behind.
const PATIENCE_US: u64 = 300_000;
/// Before asking another peer.
const RETRY_US: u64 = 700_000;

/// Who is ahead, whom to ask next and when.
#[derive(Default)]
pub(super) struct Sync {
    ahead: BTreeMap<Peer, u64>,
    due_us: Option<u64>,
    last_asked: Option<Peer>,
}

impl Sync {
    pub(super) fn due_us(&self) -> Option<u64> {
        self.due_us
    }

    /// A peer claims a later height. Nothing is believed: it costs one question at a time.
    pub(super) fn ahead(&mut self, now: Now, peer: Peer, height: u64) {
        if self.ahead.len() >= MAX_AHEAD_PEERS && !self.ahead.contains_key(&peer) {
            self.ahead.pop_first();
        }
        let known = self.ahead.entry(peer).or_insert(height);
        *known = height.max(*known);
        self.due_us.get_or_insert(now.mono_us + PATIENCE_US);
    }

    /// Forgets peers that are no longer ahead. Those far ahead mean that asking goes on at once.
    pub(super) fn begin_height(&mut self, now: Now, height: u64) {
        self.ahead.retain(|_, at| *at > height);
        let far = self.ahead.values().any(|at| *at > height + 1);
        self.due_us = (!self.ahead.is_empty()).then(|| now.mono_us + if far { 0 } else { PATIENCE_US });
    }

    /// The peer to ask now, if it is time: in turn.
    fn next(&mut self, now: Now) -> Option<Peer> {
        if self.due_us.is_none_or(|due| due > now.mono_us) {
            return None;
        }
        let after = self.last_asked.map_or(0, |peer| peer.saturating_add(1));
        let next = self.ahead.range(after..).next().or_else(|| self.ahead.iter().next()).map(|(peer, _)| *peer);
        self.last_asked = next;
        self.due_us = next.map(|_| now.mono_us + RETRY_US);
        next
    }
}

impl<A: Application, R: Rules> Host<A, R> {
    pub(super) fn ask_when_due(&mut self) {
        let Some(peer) = self.sync.next(self.io.now) else { return };
        if !self.core.finalization_period {
            self.io.out.push_back(Effect::Send(peer, Message::BlockRequest(self.height())));
        }
    }

    /// Takes the block of this height with its certificate, past the core: a certificate needs no more votes.
    pub(super) fn take_certified(&mut self, certified: CertifiedBlock) {
        let CertifiedBlock { block, certificate } = certified;
        let fits = block.height() == self.height()
            && certificate.height == block.height()
            && certificate.block_hash == block.hash();
        // After an own decision the same block is about to be committed with more signers.
        if !fits || self.core.finalization_period || !self.app.binds(&block) {
            return;
        }
        if certificate.verify(&self.io.chain, &self.tip.next).is_err() {
            return;
        }
        if self.check(&block, None).is_err() || self.app.validate(&block).is_err() {
            return self.halt("a certified block is invalid here");
        }
        let misbehaviour = arc_malachitebft_core_consensus::MisbehaviorEvidence {
            proposals: self.core.driver.take_proposal_evidence(),
            votes: self.core.driver.take_vote_evidence(),
        };
        self.keep_evidence(&misbehaviour);
        self.commit(&block, certificate);
    }
}
