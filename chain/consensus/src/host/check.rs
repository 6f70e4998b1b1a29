//! What makes a block acceptable before anything is executed: its place in the chain, its creator, its certificate.

use crate::application::{Application, Invalid, Now};
use crate::block::Block;
use crate::evidence::Evidence;
use crate::host::{Host, Rules};

/// Seconds a block's timestamp may be ahead of our clock; the light client allows 30 (docs/spec/chain.md).
const MAX_AHEAD_S: u64 = 15;

fn must(holds: bool, why: &'static str) -> Result<(), Invalid> {
    if holds { Ok(()) } else { Err(Invalid(why)) }
}

impl<A: Application, R: Rules> Host<A, R> {
    /// Checks a block against the tip. The clock is asked for blocks under vote only: a certified block is past arguing.
    pub(super) fn check(&self, block: &Block, now: Option<Now>) -> Result<(), Invalid> {
        let (tip, header, extra) = (&self.tip, block.header(), block.extra());
        must(header.number == tip.height + 1, "height")?;
        must(header.parent_hash == tip.hash, "parent")?;
        must(header.timestamp > tip.timestamp, "timestamp before the parent's")?;
        must(now.is_none_or(|now| header.timestamp <= now.unix_s + MAX_AHEAD_S), "timestamp in the future")?;
        must(extra.shuffle_round == tip.order.shuffle_round && extra.slot == tip.order.slot, "place in the order")?;
        let creator = tip.next.seats().get(usize::from(tip.order.seat(extra.round)));
        must(creator.is_some_and(|seat| seat.account == header.beneficiary), "creator of another round")?;
        must(extra.validators_hash == tip.next.hash(), "witness set")?;
        self.check_last_commit(block)?;
        must(block.evidence().iter().all(|evidence| self.evidence_holds(evidence)), "evidence")
    }

    fn check_last_commit(&self, block: &Block) -> Result<(), Invalid> {
        match block.last_commit() {
            None => must(self.tip.height == 0, "no certificate of the parent"),
            Some(commit) => {
                must(
                    commit.height == self.tip.height && commit.block_hash == self.tip.hash,
                    "certificate of another block",
                )?;
                must(commit.verify(&self.io.chain, &self.tip.voted).is_ok(), "certificate of the parent")
            }
        }
    }

    /// Whether evidence convicts a witness of the two sets this node knows.
    pub(super) fn evidence_holds(&self, evidence: &Evidence) -> bool {
        let key = [&self.tip.next, &self.tip.voted]
            .into_iter()
            .find_map(|set| set.seats().iter().find(|seat| seat.account == evidence.account).map(|seat| seat.vote_key));
        evidence.height <= self.height() && key.is_some_and(|key| evidence.proves(&self.io.chain, &key))
    }
}
