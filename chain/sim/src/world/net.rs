//! The network: who hears what, when, and what liars make of it.

use std::rc::Rc;

use netchain_consensus::{Message, Rules};

use super::{Event, World};
use crate::liar::{Said, plainly, twist};
use crate::machine::{Machine, Twin};

/// How often a node compares its height with a peer's: the patience of the network's block sync (chain/net, `PATIENCE_US`). Without
/// it a set that is replaced as a whole can leave everybody of the new one waiting for votes that nobody repeats any more.
const ASK_US: u64 = 1_500_000;

impl<A: Twin, R: Rules> World<A, R> {
    /// The network's block sync: a node that is behind a peer asks it for the next block.
    pub(super) fn ask_around(&mut self, node: usize) {
        let peer = self.rng.index(self.machines.len());
        let height = |at: usize| self.machines.get(at).filter(|it| it.host.is_some()).map(Machine::height);
        if let (Some(here), Some(there)) = (height(node), height(peer))
            && there > here
        {
            self.send(node, peer, 0, &Rc::new(Message::BlockRequest(here + 1)));
        }
        self.at(self.now_us + ASK_US, Event::Ask(node));
    }

    /// Whether the message is the node's own statement (the core also repeats locked proposals of others).
    pub(super) fn theirs(&self, node: usize, message: &Message) -> bool {
        let voter = match message {
            Message::Vote(vote) => vote.message.voter,
            Message::Proposal(proposal) => proposal.message.voter,
            Message::Polka(_) | Message::Round(_) | Message::BlockRequest(_) | Message::Block(_) => return false,
        };
        self.people.get(node).is_some_and(|who| who.account == voter.0)
    }

    pub(super) fn broadcast(&mut self, node: usize, message: Message) {
        let said = match (self.scenario.lie(node), self.people.get(node)) {
            (Some(lie), Some(who)) => twist(lie, message, &self.domain, who, &mut self.rng),
            _ => plainly(message),
        };
        for Said { to: half, late_us, message } in said {
            for to in (0..self.machines.len()).filter(|to| *to != node && (half == 2 || to % 2 == half)) {
                self.send(node, to, late_us, &message);
            }
        }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, late_us: u64, message: &Rc<Message>) {
        let now = self.now_us;
        let bit = |set: u32, node: usize| set >> node.min(31) & 1 == 1;
        let healed = now >= self.scenario.heal_us;
        let cut = self
            .scenario
            .partitions
            .iter()
            .any(|p| (p.time.0..p.time.1).contains(&now) && bit(p.from, from) && bit(p.to, to));
        let lost = self.rng.chance(self.scenario.loss_pm);
        let delay = self.rng.between(5_000, 120_000) + late_us;
        if healed || !(cut || lost) {
            self.at(now + delay, Event::Deliver { to, from, message: message.clone() });
        }
    }
}
