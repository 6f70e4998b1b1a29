//! What Byzantine witnesses make of what their (honest) host would say.

use std::rc::Rc;

use alloy_primitives::{B256, Bytes, keccak256};
use arc_malachitebft_core_types::{NilOrVal, Round, SignedProposal, SignedVote};
use netchain_consensus::evidence::Statement;
use netchain_consensus::{Block, BlockParts, Evidence, Keys, Message};
use netchain_types::header::with_extra;
use netchain_types::{ChainDomain, ConsensusExtra};

use crate::people::Identity;
use crate::rng::Rng;
use crate::scenario::Lie;

/// A message to some nodes (by parity of their number, or all) after a further delay.
#[derive(Clone, Debug)]
pub struct Said {
    /// 0 even nodes, 1 odd ones, 2 all.
    pub to: usize,
    /// Microseconds later than usual.
    pub late_us: u64,
    /// The message.
    pub message: Rc<Message>,
}

/// A message as it is, to everybody.
#[must_use]
pub fn plainly(message: Message) -> Vec<Said> {
    vec![Said { to: 2, late_us: 0, message: Rc::new(message) }]
}

/// Turns a message into what the liar sends.
pub fn twist(lie: Lie, message: Message, chain: &ChainDomain, who: &Identity, rng: &mut Rng) -> Vec<Said> {
    match lie {
        Lie::LateReveal if !matches!(message, Message::Proposal(_)) => plainly(message),
        Lie::Late | Lie::LateReveal => {
            let late_us = rng.between(500_000, 4_000_000);
            vec![Said { to: 2, late_us, message: Rc::new(message) }]
        }
        Lie::Withhold if rng.chance(700) => Vec::new(),
        Lie::Withhold => plainly(message),
        Lie::BadBlock => plainly(bad_block(message, chain, who, rng)),
        Lie::Equivocate => {
            let other = other(&message, chain, &who.vote);
            vec![
                Said { to: 0, late_us: 0, message: Rc::new(message) },
                Said { to: 1, late_us: 0, message: Rc::new(other) },
            ]
        }
    }
}

/// A proposal whose block breaks one rule; signed once more where the header changed.
fn bad_block(message: Message, chain: &ChainDomain, who: &Identity, rng: &mut Rng) -> Message {
    let Message::Proposal(proposal) = message else { return message };
    let mut parts = proposal.message.block.parts().clone();
    let extra = proposal.message.block.extra().clone();
    let resign = spoil(&mut parts, extra, chain, who, rng);
    match Block::new(parts) {
        Ok(block) => {
            let signature = proposal.signature;
            let mut message = proposal.message;
            message.block = block;
            let signature = if resign { who.vote.sign(&message.signing_bytes(chain)) } else { signature };
            Message::Proposal(SignedProposal::new(message, signature))
        }
        Err(_) => Message::Proposal(proposal),
    }
}

/// Breaks one rule; says whether the header is another one.
fn spoil(
    parts: &mut BlockParts,
    mut extra: ConsensusExtra,
    chain: &ChainDomain,
    who: &Identity,
    rng: &mut Rng,
) -> bool {
    let header = &mut parts.header;
    let garbage = B256::from(keccak256(rng.draw().to_be_bytes()));
    match rng.below(12) {
        0 => parts.body = vec![9].into(),
        1 => parts.evidence.push(forged(who, header.number)),
        2 => header.state_root = garbage,
        3 => header.receipts_root = garbage,
        4 => header.timestamp += 1_000,
        5 => header.parent_hash = garbage,
        6 => header.gas_limit += 1,
        7 => header.mix_hash = garbage,
        8 => extra.next_validators_hash = garbage,
        9 => extra.round += 1,
        10 => {
            // A good reveal of another height, and the randomness that follows from it.
            let reveal = who.reveal().map(|key| key.reveal(chain, header.number + 1));
            extra.reveal = reveal.map_or_else(Bytes::new, |reveal| Bytes::copy_from_slice(&reveal));
        }
        _ => extra.slot += 1,
    }
    parts.header = with_extra(parts.header.clone(), &extra);
    // Under a signed header another body, or other evidence: the header is the same.
    !matches!(parts.evidence.last(), Some(last) if last.account == who.account) && parts.body.len() > 1
}

/// "Evidence" against oneself that proves nothing.
fn forged(who: &Identity, height: u64) -> Evidence {
    let statement = |byte| Statement { value: vec![B256::repeat_byte(byte)], pol_round: 0, signature: [byte; 64] };
    Evidence { kind: 0, account: who.account, height, round: 0, first: statement(1), second: statement(2) }
}

/// The conflicting statement: another block as good as the first, or nil for a block and a block for nil.
fn other(message: &Message, chain: &ChainDomain, keys: &dyn Keys) -> Message {
    match message {
        Message::Vote(vote) => {
            let mut other = vote.message.clone();
            other.value = match other.value {
                NilOrVal::Nil => NilOrVal::Val(B256::repeat_byte(7)),
                NilOrVal::Val(_) => NilOrVal::Nil,
            };
            let signature = keys.sign(&other.signing_bytes(chain));
            Message::Vote(SignedVote::new(other, signature))
        }
        Message::Proposal(proposal) => {
            let mut parts = proposal.message.block.parts().clone();
            // Valid too: nothing in the simulated state depends on the clock.
            parts.header.timestamp += 1;
            let mut other = proposal.message.clone();
            if let (Ok(block), Round::Nil) = (Block::new(parts), other.pol_round) {
                other.block = block;
            }
            let signature = keys.sign(&other.signing_bytes(chain));
            Message::Proposal(SignedProposal::new(other, signature))
        }
        same @ (Message::Polka(_) | Message::Round(_) | Message::BlockRequest(_) | Message::Block(_)) => same.clone(),
    }
}
