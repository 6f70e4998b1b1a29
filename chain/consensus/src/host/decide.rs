//! From a turn to a proposal, and from a decision to the next height.

use arc_malachitebft_core_consensus::{Input, LocallyProposedValue, MisbehaviorEvidence};
use arc_malachitebft_core_types::{CommitCertificate, Round};
use netchain_types::Certificate;

use crate::application::{Application, Draft};
use crate::block::Block;
use crate::context::{Height, Nfc};
use crate::evidence::Evidence;
use crate::host::{Effect, Host, Rules};

/// Evidence kept until a block carries it: one piece for each of 21 witnesses, and as many of the set before.
const MAX_PENDING_EVIDENCE: usize = 42;

impl<A: Application, R: Rules> Host<A, R> {
    pub(super) fn offer_block(&mut self, height: u64, round: u32) {
        let at = Round::new(round);
        let ours =
            self.core.height() == Height(height) && self.core.round() == at && self.core.driver.step_is_propose();
        if !ours || !self.core.params.enabled {
            return;
        }
        // Whoever has left both sets since is not convicted any more; a block that tries is refused by everybody.
        let evidence: Vec<Evidence> =
            self.pending_evidence.iter().filter(|evidence| self.evidence_holds(evidence)).cloned().collect();
        let draft = Draft {
            now: self.io.now,
            round,
            creator: self.account,
            last_commit: self.last_commit.as_ref(),
            evidence: &evidence,
        };
        if let Some(block) = self.app.propose(&draft) {
            self.feed(Input::Propose(LocallyProposedValue::new(Height(height), at, block)));
        }
    }

    pub(super) fn finish_height(&mut self, from: &CommitCertificate<Nfc>, misbehaviour: &MisbehaviorEvidence<Nfc>) {
        let certificate = self.io.certificate(from);
        self.keep_evidence(misbehaviour);
        let block = self.core.full_proposal_keeper.get_value_by_id(&from.height, &from.value_id);
        match block.map(|(block, _)| block.clone()) {
            Some(block) => self.commit(&block, certificate),
            None => self.halt("a decided block is not there"),
        }
    }

    pub(super) fn commit(&mut self, block: &Block, certificate: Certificate) {
        if self.app.commit(block, &certificate).is_err() {
            return self.halt("a final block cannot be executed here");
        }
        self.pending_evidence.retain(|kept| !block.evidence().iter().any(|done| done.account == kept.account));
        self.last_commit = Some(certificate);
        self.io.out.push_back(Effect::Committed(block.height(), block.hash()));
        self.begin_height();
    }

    pub(super) fn keep_evidence(&mut self, misbehaviour: &MisbehaviorEvidence<Nfc>) {
        let votes = misbehaviour.votes.iter().flat_map(|(_, pairs)| pairs.first());
        let proposals = misbehaviour.proposals.iter().flat_map(|(_, pairs)| pairs.first());
        let found = votes.map(|(a, b)| Evidence::of_votes(a, b));
        for evidence in found.chain(proposals.map(|(a, b)| Evidence::of_proposals(a, b))) {
            // One proof per witness is enough.
            let known = self.pending_evidence.iter().any(|kept| kept.account == evidence.account);
            if !known && self.pending_evidence.len() < MAX_PENDING_EVIDENCE && self.evidence_holds(&evidence) {
                self.io.out.push_back(Effect::Evidence(evidence.clone()));
                self.pending_evidence.push(evidence);
            }
        }
    }

    pub(super) fn halt(&mut self, why: &'static str) {
        self.halted = true;
        self.io.timers.clear();
        self.io.out.push_back(Effect::Halt(why));
    }
}
