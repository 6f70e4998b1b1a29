//! What is to happen, laid down before the run begins.

use std::rc::Rc;

use alloy_primitives::B256;
use arc_malachitebft_core_types::{NilOrVal, Round, SignedVote, VoteType};
use netchain_consensus::context::{Height, Vote, Voter};
use netchain_consensus::{Keys, Message, Rules};
use netchain_types::ChainDomain;

use super::{Event, NO_CHAIN, World};
use crate::machine::Twin;
use crate::traffic::{Wallet, transactions};

/// Heights whose votes are played in from a sister chain.
const REPLAYED: u64 = 6;

impl<A: Twin, R: Rules> World<A, R> {
    pub(super) fn plan(&mut self, wallets: &[Wallet]) {
        for node in 0..self.scenario.nodes {
            let down = self.scenario.down.iter().find(|(down, _)| *down == node).map_or(0, |(_, until)| *until);
            let start = self.rng.below(50_000).max(down);
            self.at(start, Event::Start(node));
            self.at(start, Event::Ask(node));
        }
        for crash in self.scenario.crashes.clone() {
            self.at(crash.at_us, Event::Crash(crash.node, crash.death, crash.down_us));
        }
        for (node, from, until) in self.scenario.full.clone() {
            self.at(from, Event::Full(node, true));
            self.at(until, Event::Full(node, false));
        }
        self.plan_transactions(wallets);
        if self.scenario.replay_other_chain {
            self.plan_replay();
        }
    }

    /// Every transaction reaches most nodes, at different times; the others meet it in a block.
    fn plan_transactions(&mut self, wallets: &[Wallet]) {
        let others: Vec<_> = self.people.iter().map(|identity| identity.account).collect();
        let all = transactions(self.scenario.transactions, wallets, &others, &mut self.rng);
        let span_us = self.scenario.heal_us.max(3_000_000);
        let mut at = 0;
        for raw in &all {
            at += self.rng.below(2 * span_us / all.len() as u64);
            for to in 0..self.scenario.nodes {
                if self.rng.chance(800) {
                    let late = self.rng.below(2_000_000);
                    self.at(at + late, Event::Transaction { to, raw: raw.clone() });
                }
            }
        }
    }

    /// Votes for nil that every witness has honestly signed on a sister chain, poured into this one.
    fn plan_replay(&mut self) {
        let sister = ChainDomain { chain_id: 8, genesis: B256::repeat_byte(8) };
        let sister = if self.scenario.no_chain_id { NO_CHAIN } else { sister };
        let people = self.people.len();
        for (height, from) in (1..=REPLAYED).flat_map(|height| (0..people).map(move |from| (height, from))) {
            let Some(who) = self.people.get(from) else { continue };
            let (height, round) = (Height(height), Round::new(0));
            let voter = Voter(who.account);
            let vote = Vote { kind: VoteType::Prevote, height, round, value: NilOrVal::Nil, voter };
            let signature = Keys::sign(&who.vote, &vote.signing_bytes(&sister));
            let message = Rc::new(Message::Vote(SignedVote::new(vote, signature)));
            for to in 0..self.machines.len() {
                for _ in 0..3 {
                    let at = self.rng.below(8_000_000);
                    self.at(at, Event::Deliver { to, from, message: message.clone() });
                }
            }
        }
    }
}
