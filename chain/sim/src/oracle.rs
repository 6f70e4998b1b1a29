//! What must never happen, whoever lies and whatever fails.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use netchain_consensus::twin::MemoryChain;
use netchain_consensus::{Evidence, Message};
use netchain_types::{ChainDomain, WitnessSet};

/// Judges a run as it goes.
#[derive(Debug, Default)]
pub struct Oracle {
    blocks: BTreeMap<u64, B256>,
    states: BTreeMap<u64, B256>,
    signed: BTreeMap<(Address, u64, u32, u8), Vec<u8>>,
    /// Certificates of one block that nodes hold with different rounds: how often trap 1 was open.
    pub rounds_differ: u64,
    rounds: BTreeMap<u64, u32>,
}

impl Oracle {
    /// Agreement and validity of what a node has just committed.
    ///
    /// # Errors
    /// What was violated.
    pub fn committed(&mut self, chain: &ChainDomain, set: &WitnessSet, node: &MemoryChain) -> Result<(), String> {
        let Some(last) = node.blocks().last() else { return Ok(()) };
        let (height, hash) = (last.block.height(), last.block.hash());
        if last.certificate.block_hash != hash || last.certificate.verify(chain, set).is_err() {
            return Err(format!("validity: the certificate of height {height} proves nothing"));
        }
        if *self.blocks.entry(height).or_insert(hash) != hash {
            return Err(format!("agreement: two blocks at height {height}"));
        }
        let parent = height.checked_sub(1).and_then(|below| self.blocks.get(&below));
        if parent.is_some_and(|parent| last.block.header().parent_hash != *parent) {
            return Err(format!("validity: height {height} does not follow its parent"));
        }
        let digest = node.state().digest();
        if *self.states.entry(height).or_insert(digest) != digest {
            return Err(format!("agreement: two states after height {height}"));
        }
        if digest != last.block.header().state_root {
            return Err(format!("validity: the header of height {height} names another state root"));
        }
        if *self.rounds.entry(height).or_insert(last.certificate.round) != last.certificate.round {
            self.rounds_differ += 1;
        }
        Ok(())
    }

    /// No honest witness ever signs two things in one place.
    ///
    /// # Errors
    /// What was signed twice.
    pub fn signed(&mut self, message: &Message) -> Result<(), String> {
        let (voter, round, kind, said) = match message {
            Message::Vote(vote) => {
                let m = &vote.message;
                (m.voter, m.round, m.kind as u8, format!("{:?}", m.value).into_bytes())
            }
            Message::Proposal(proposal) => {
                let m = &proposal.message;
                (m.voter, m.round, 2, format!("{} {:?}", m.block.hash(), m.pol_round).into_bytes())
            }
            Message::Polka(_) | Message::Round(_) | Message::BlockRequest(_) | Message::Block(_) => return Ok(()),
        };
        let key = (voter.0, message.height(), round.as_u32().unwrap_or(u32::MAX), kind);
        let known = self.signed.entry(key).or_insert_with(|| said.clone());
        if *known == said { Ok(()) } else { Err(format!("double-sign by an honest witness: {key:?}")) }
    }

    /// Nobody honest is ever convicted.
    ///
    /// # Errors
    /// Who was.
    pub fn convicted(&self, evidence: &Evidence, honest: bool) -> Result<(), String> {
        if honest { Err(format!("evidence against an honest witness: {:?}", evidence.account)) } else { Ok(()) }
    }
}
