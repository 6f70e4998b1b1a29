//! What Byzantine witnesses make of what their (honest) host would say.

use std::rc::Rc;

use alloy_primitives::B256;
use arc_malachitebft_core_types::{NilOrVal, SignedProposal, SignedVote};
use netchain_consensus::twin::content_root;
use netchain_consensus::{Block, Keys, Message};
use netchain_types::ChainDomain;

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

fn all(message: Message) -> Vec<Said> {
    vec![Said { to: 2, late_us: 0, message: Rc::new(message) }]
}

/// Turns a message into what the liar sends.
pub fn twist(lie: Lie, message: Message, chain: &ChainDomain, keys: &dyn Keys, rng: &mut Rng) -> Vec<Said> {
    match lie {
        Lie::Late => {
            let late_us = rng.between(500_000, 4_000_000);
            vec![Said { to: 2, late_us, message: Rc::new(message) }]
        }
        Lie::Withhold => {
            if rng.chance(700) {
                Vec::new()
            } else {
                all(message)
            }
        }
        Lie::BadBlock => all(bad_block(message, chain, keys, rng)),
        Lie::Equivocate => {
            let other = other(&message, chain, keys);
            vec![
                Said { to: 0, late_us: 0, message: Rc::new(message) },
                Said { to: 1, late_us: 0, message: Rc::new(other) },
            ]
        }
    }
}

fn bad_block(message: Message, chain: &ChainDomain, keys: &dyn Keys, rng: &mut Rng) -> Message {
    let Message::Proposal(proposal) = message else { return message };
    let mut parts = proposal.message.block.parts().clone();
    let resign = rng.chance(500);
    if resign {
        parts.header.state_root = B256::repeat_byte(9);
    } else {
        parts.body = vec![9].into();
    }
    match Block::new(parts) {
        Ok(block) => {
            let signature = proposal.signature;
            let mut message = proposal.message;
            message.block = block;
            let signature = if resign { keys.sign(&message.signing_bytes(chain)) } else { signature };
            Message::Proposal(SignedProposal::new(message, signature))
        }
        Err(_) => Message::Proposal(proposal),
    }
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
            parts.body = [parts.body.as_ref(), b"other"].concat().into();
            parts.header.transactions_root = content_root(&parts.evidence, &parts.body);
            let mut other = proposal.message.clone();
            if let Ok(block) = Block::new(parts) {
                other.block = block;
            }
            let signature = keys.sign(&other.signing_bytes(chain));
            Message::Proposal(SignedProposal::new(other, signature))
        }
        same @ (Message::Polka(_) | Message::Round(_) | Message::BlockRequest(_) | Message::Block(_)) => same.clone(),
    }
}
