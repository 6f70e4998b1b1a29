//! What the host promises: durable before public, one statement per place whatever the crash, bounded memory, both traps.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, missing_docs)]

mod common;

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use arc_malachitebft_core_types::{NilOrVal, Round, SignedProposal, SignedVote, VoteType};
use common::{Net, chain, domain, drain, key, now, said, set, start};
use netchain_consensus::context::{Height, Nfc, Proposal, Vote, Voter};
use netchain_consensus::twin::MemoryChain;
use netchain_consensus::{
    Application, Block, CertifiedBlock, Config, Draft, Effect, Host, Invalid, Keys, Message, Timing, Tip,
};
use netchain_types::{
    Certificate, ChainDomain, CommitSignature, ProposerOrder, VoteKind, WitnessSet, vote_signing_bytes,
};

type Place = (Address, u64, u32, u8);

fn statements(messages: &[Message], into: &mut BTreeMap<Place, String>) {
    for message in messages {
        let (place, what) = match message {
            Message::Vote(v) => {
                let m = &v.message;
                ((m.voter.0, m.height.0, m.round.as_u32().unwrap(), m.kind as u8), format!("{:?}", m.value))
            }
            Message::Proposal(p) => {
                let m = &p.message;
                ((m.voter.0, m.height.0, m.round.as_u32().unwrap(), 2), format!("{}{:?}", m.block.hash(), m.pol_round))
            }
            _ => continue,
        };
        assert_eq!(*into.entry(place).or_insert_with(|| what.clone()), what, "signed twice at {place:?}");
    }
}

#[test]
fn nothing_is_published_before_what_it_follows_from_is_synced() {
    let mut hosts: Vec<_> = (0..4).map(|i| start(4, i, chain(4), &[], 0)).collect();
    let (mut published, mut inboxes) = (0, vec![Vec::new(); 4]);
    for _ in 0..12 {
        for (i, host) in hosts.iter_mut().enumerate() {
            for message in std::mem::take(&mut inboxes[i]) {
                host.handle_message(now(10), 9, message);
            }
            let mut unsynced = false;
            for effect in drain(host) {
                match effect {
                    Effect::WalAppend(_) | Effect::WalReset(_) | Effect::WalCut(_) => unsynced = true,
                    Effect::WalSync => unsynced = false,
                    Effect::Broadcast(message) => {
                        assert!(!unsynced, "witness {i} published before syncing");
                        published += 1;
                        inboxes.iter_mut().for_each(|inbox| inbox.push(message.clone()));
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(published > 8);
}

#[test]
fn a_restart_from_any_prefix_of_the_log_never_signs_a_second_statement() {
    let mut net = Net::new(4);
    net.exchange(&[0, 1, 2, 3]);
    for i in 0..4 {
        let log = net.logs[i].clone();
        let mut boundaries = 0;
        for length in (0..=log.len()).step_by(7).chain([log.len()]) {
            // What was published when the log had this length: everything whose log entry is in the prefix.
            let mut places = BTreeMap::new();
            let wal = netchain_consensus::wal::Wal::read(&log[..length]).unwrap();
            boundaries += usize::from(wal.good_bytes == length);
            for input in &wal.inputs {
                if let arc_malachitebft_core_consensus::Input::Vote(vote) = input {
                    statements(&[Message::Vote(vote.clone())], &mut places);
                }
                if let arc_malachitebft_core_consensus::Input::Proposal(proposal) = input {
                    statements(&[Message::Proposal(proposal.clone())], &mut places);
                }
            }
            let mut host = start(4, i, chain(4), &log[..length], 777_777);
            for at in [2_000_000, 4_000_000, 6_000_000] {
                statements(&said(&drain(&mut host)), &mut places);
                host.handle_timeout(now(at));
            }
            statements(&said(&drain(&mut host)), &mut places);
        }
        assert!(boundaries > 0);
    }
}

#[test]
fn a_witness_whose_log_is_damaged_follows_and_signs_nothing_at_that_height() {
    let mut net = Net::new(4);
    net.exchange(&[0, 1, 2, 3]);
    let mut log = net.logs[1].clone();
    log[40] ^= 1;
    let mut host = start(4, 1, chain(4), &log, 0);
    host.handle_timeout(now(3_000_000));
    let effects = drain(&mut host);
    assert!(said(&effects).is_empty());
    assert!(!effects.iter().any(|e| matches!(e, Effect::WalReset(_) | Effect::WalAppend(_))), "the log is evidence");
    net.run(2, &[0, 1, 2, 3]);
    let first = net.hosts[0].app().blocks()[0].clone();
    host.handle_message(now(3_000_000), 0, Message::Block(first));
    let effects = drain(&mut host);
    assert_eq!(host.height(), 2);
    assert!(effects.iter().any(|e| matches!(e, Effect::WalReset(_))), "the next height begins a new log");
}

#[test]
fn a_node_behind_takes_certified_blocks_and_no_others() {
    let mut net = Net::new(4);
    net.run(5, &[0, 1, 2, 3]);
    let mut late = start(4, 3, chain(4), &[], 0);
    drain(&mut late);
    let vote = net.said[0].iter().rev().find(|m| matches!(m, Message::Vote(_))).unwrap().clone();
    late.handle_message(now(1), 0, vote);
    late.handle_timeout(now(late.poll_timeout().unwrap()));
    assert!(drain(&mut late).contains(&Effect::Send(0, Message::BlockRequest(1))));
    let blocks = net.hosts[0].app().blocks().to_vec();
    let mut forged = blocks[0].clone();
    forged.certificate.signatures[0].signature[5] ^= 1;
    late.handle_message(now(2), 0, Message::Block(forged));
    let mut few = blocks[0].clone();
    few.certificate.signatures.truncate(2);
    late.handle_message(now(2), 0, Message::Block(few));
    late.handle_message(now(2), 0, Message::Block(blocks[1].clone()));
    assert_eq!(late.height(), 1, "forged, too few, and not the next");
    for block in &blocks[..4] {
        late.handle_message(now(3), 0, Message::Block(block.clone()));
    }
    assert_eq!(late.height(), 5);
    assert_eq!(late.app().blocks()[3].block, blocks[3].block);
}

#[test]
fn messages_of_the_next_height_are_bounded_by_witness_and_authenticated() {
    let mut host = start(4, 0, chain(4), &[], 0);
    let vote = |i: usize, height: u64, round: u32, kind, byte: u8, chain: &ChainDomain| {
        let voter = Voter(set(4).seats()[i].account);
        let value = NilOrVal::Val(B256::repeat_byte(byte));
        let vote = Vote { kind, height: Height(height), round: Round::new(round), value, voter };
        let signature = key(i).sign(&vote.signing_bytes(chain));
        Message::Vote(SignedVote::new(vote, signature))
    };
    for round in 0..40 {
        for byte in 0..4 {
            host.handle_message(now(1), 1, vote(1, 2, round, VoteType::Prevote, byte, &domain(4)));
            host.handle_message(now(1), 1, vote(1, 3, round, VoteType::Prevote, byte, &domain(4)));
        }
    }
    assert_eq!(host.future_len(), 11, "one for each of rounds 0..=10 of the next height");
    let other = ChainDomain { chain_id: 8, ..domain(4) };
    host.handle_message(now(1), 1, vote(2, 2, 0, VoteType::Prevote, 0, &other));
    assert_eq!(host.future_len(), 11, "a forged one takes no place");
}

/// Trap 1: nodes hold certificates of one block with different rounds and signers, and agree on everything that follows.
#[test]
fn trap_1_the_certificate_a_node_holds_never_reaches_its_state() {
    let mut net = Net::new(4);
    net.run(1, &[0, 1, 2, 3]);
    let block = net.hosts[0].app().blocks()[0].block.clone();
    let certificate = |round: u32, seats: [u8; 3]| {
        let text = vote_signing_bytes(&domain(4), VoteKind::Precommit, 1, round, Some(&block.hash()));
        let sign = |seat: u8| CommitSignature { seat, signature: key(usize::from(seat)).sign(&text) };
        Certificate { height: 1, round, block_hash: block.hash(), signatures: seats.map(sign).to_vec() }
    };
    let (first, second) = (certificate(0, [0, 1, 2]), certificate(4, [1, 2, 3]));
    let (mut a, mut b): (MemoryChain, MemoryChain) = (chain(4), chain(4));
    a.commit(&block, &first).unwrap();
    b.commit(&block, &second).unwrap();
    assert_eq!(a.state(), b.state());
    assert_eq!(a.tip(), b.tip());
    // And each accepts what the other builds on it.
    let creator = set(4).seats()[usize::from(a.tip().order.seat(0))].account;
    let draft = Draft { now: now(5_000_000), round: 0, creator, last_commit: Some(&first), evidence: &[] };
    let next = a.propose(&draft).unwrap();
    b.validate(&next).unwrap();
    assert_eq!(a.state_after(&next, 0), b.state_after(&next, 0));
}

/// Trap 2: what a witness signed on one chain counts for nothing on another, in votes, proposals and certificates.
#[test]
fn trap_2_statements_of_another_chain_count_for_nothing() {
    let other = ChainDomain { chain_id: 8, ..domain(4) };
    let decided = |chain_of_votes: &ChainDomain| {
        let mut net = Net::new(4);
        // Find whoever offers the first block, and answer for everybody else.
        let creator = usize::from(chain(4).tip().order.seat(0));
        let effects = drain(&mut net.hosts[creator]);
        let block = said(&effects).into_iter().find_map(|m| match m {
            Message::Proposal(p) => Some(p.message.block),
            _ => None,
        });
        let block: Block = block.unwrap();
        for (kind, i) in [VoteType::Prevote, VoteType::Precommit].into_iter().flat_map(|k| (0..4).map(move |i| (k, i)))
        {
            let voter = Voter(set(4).seats()[i].account);
            let (height, round, value) = (Height(1), Round::new(0), NilOrVal::Val(block.hash()));
            let vote = Vote { kind, height, round, value, voter };
            let signature = key(i).sign(&vote.signing_bytes(chain_of_votes));
            net.hosts[creator].handle_message(now(1), 9, Message::Vote(SignedVote::new(vote, signature)));
        }
        net.hosts[creator].handle_timeout(now(3_000_000));
        net.hosts[creator].height() == 2
    };
    assert!(decided(&domain(4)));
    assert!(!decided(&other));
}

/// In the core's proposal-only mode every signed block would be valid, and this test would see a vote for it.
#[test]
fn a_block_the_application_refuses_is_voted_down() {
    let creator = usize::from(chain(4).tip().order.seat(0));
    let other = (creator + 1) % 4;
    let mut host = start(4, creator, chain(4), &[], 0);
    let good = said(&drain(&mut host)).into_iter().find_map(|m| match m {
        Message::Proposal(p) => Some(p),
        _ => None,
    });
    let good: SignedProposal<Nfc> = good.unwrap();
    let prevote = |proposal: SignedProposal<Nfc>| {
        let mut host = start(4, other, chain(4), &[], 0);
        drain(&mut host);
        host.handle_message(now(1), 9, Message::Proposal(proposal));
        said(&drain(&mut host)).into_iter().find_map(|m| match m {
            Message::Vote(v) => Some(v.message.value),
            _ => None,
        })
    };
    assert_eq!(prevote(good.clone()), Some(NilOrVal::Val(good.message.block.hash())));
    let change = |f: &dyn Fn(&mut netchain_consensus::BlockParts), resign: bool| {
        let mut parts = good.message.block.parts().clone();
        f(&mut parts);
        let message = Proposal { block: Block::new(parts).unwrap(), ..good.message.clone() };
        let signature = if resign { key(creator).sign(&message.signing_bytes(&domain(4))) } else { good.signature };
        SignedProposal::new(message, signature)
    };
    assert_eq!(prevote(change(&|p| p.header.state_root = B256::ZERO, true)), Some(NilOrVal::Nil), "state root");
    assert_eq!(prevote(change(&|p| p.header.timestamp += 3_600, true)), Some(NilOrVal::Nil), "clock");
    assert_eq!(prevote(change(&|p| p.header.beneficiary = Address::ZERO, true)), Some(NilOrVal::Nil), "creator");
    assert_eq!(prevote(change(&|p| p.header.state_root = B256::ZERO, false)), None, "not signed by the creator");
    // A relay that swaps the body under a signed header must not get the *hash* judged.
    assert_eq!(prevote(change(&|p| p.body = vec![1].into(), false)), None, "another body");
}

/// How often.
type Count = std::rc::Rc<std::cell::Cell<u32>>;

/// Counts how often it was asked to execute a block, and to check what binds one.
struct Counting(MemoryChain, Count, Count);

impl Application for Counting {
    fn tip(&self) -> Tip {
        self.0.tip()
    }

    fn propose(&mut self, draft: &Draft<'_>) -> Option<Block> {
        self.0.propose(draft)
    }

    fn binds(&self, block: &Block) -> bool {
        self.2.set(self.2.get() + 1);
        self.0.binds(block)
    }

    fn validate(&mut self, block: &Block) -> Result<(), Invalid> {
        self.1.set(self.1.get() + 1);
        self.0.validate(block)
    }

    fn commit(&mut self, block: &Block, certificate: &Certificate) -> Result<(), Invalid> {
        self.0.commit(block, certificate)
    }

    fn certified(&self, height: u64) -> Option<CertifiedBlock> {
        self.0.certified(height)
    }
}

#[test]
fn a_creator_of_a_hundred_blocks_has_a_few_executed() {
    let creator = usize::from(chain(4).tip().order.seat(0));
    let count = Count::default();
    let account = set(4).seats()[(creator + 1) % 4].account;
    let config = Config { chain: domain(4), account, timing: Timing::default() };
    let app = Counting(chain(4), count.clone(), Count::default());
    let mut host: Host<Counting> = Host::start(config, Box::new(key((creator + 1) % 4)), app, &[], now(0));
    let mut frames = 0;
    for us in 0..100 {
        let creator_account = set(4).seats()[creator].account;
        let draft = Draft { now: now(us), round: 0, creator: creator_account, last_commit: None, evidence: &[] };
        let block = chain(4).propose(&draft).unwrap();
        let (height, round) = (Height(1), Round::new(0));
        let proposal = Proposal { height, round, block, pol_round: Round::Nil, voter: Voter(creator_account) };
        let signature = key(creator).sign(&proposal.signing_bytes(&domain(4)));
        host.handle_message(now(us), 9, Message::Proposal(SignedProposal::new(proposal, signature)));
        frames += std::iter::from_fn(|| host.poll_effect()).filter(|e| matches!(e, Effect::WalAppend(_))).count();
    }
    assert!((1..=8).contains(&count.get()), "{} blocks executed", count.get());
    assert!(frames <= 24, "{frames} log entries");
}

#[test]
fn a_proposal_that_its_creator_repeats_is_checked_once_and_another_one_of_the_same_block_again() {
    let creator = usize::from(chain(4).tip().order.seat(0));
    let (executed, checked) = (Count::default(), Count::default());
    let account = set(4).seats()[(creator + 1) % 4].account;
    let config = Config { chain: domain(4), account, timing: Timing::default() };
    let app = Counting(chain(4), executed.clone(), checked.clone());
    let mut host: Host<Counting> = Host::start(config, Box::new(key((creator + 1) % 4)), app, &[], now(0));
    let creator_account = set(4).seats()[creator].account;
    let draft = Draft { now: now(1), round: 0, creator: creator_account, last_commit: None, evidence: &[] };
    let block = chain(4).propose(&draft).unwrap();
    let (height, round) = (Height(1), Round::new(0));
    let proposal = Proposal { height, round, block, pol_round: Round::Nil, voter: Voter(creator_account) };
    let signature = key(creator).sign(&proposal.signing_bytes(&domain(4)));
    for us in 1..20 {
        host.handle_message(now(us), 9, Message::Proposal(SignedProposal::new(proposal.clone(), signature)));
    }
    assert_eq!((executed.get(), checked.get()), (1, 1));
    // A forged repetition is no repetition: it is looked at, and refused by its signature.
    host.handle_message(now(30), 9, Message::Proposal(SignedProposal::new(proposal, [7; 64])));
    assert_eq!((executed.get(), checked.get()), (1, 2));
}

/// After block 1 another set serves, and this node makes every block; notes how much evidence it is to put into one.
struct Handing {
    chain: MemoryChain,
    me: Address,
    leaves: Option<usize>,
    offered: std::rc::Rc<std::cell::RefCell<Vec<usize>>>,
}

impl Application for Handing {
    fn tip(&self) -> Tip {
        let mut tip = self.chain.tip();
        if tip.height > 0 {
            let mut seats = tip.next.seats().to_vec();
            self.leaves.map(|seat| seats.remove(seat));
            tip.next = WitnessSet::new(seats).unwrap();
            tip.voted = tip.next.clone();
            let order = vec![u8::try_from(tip.next.seat_of(&self.me).unwrap()).unwrap(); tip.next.len()];
            tip.order = ProposerOrder { shuffle_round: 0, current: order.clone(), next: order, slot: 0 };
        }
        tip
    }

    fn propose(&mut self, draft: &Draft<'_>) -> Option<Block> {
        if draft.last_commit.is_none() {
            return self.chain.propose(draft);
        }
        self.offered.borrow_mut().push(draft.evidence.len());
        None
    }

    fn binds(&self, block: &Block) -> bool {
        self.chain.binds(block)
    }

    fn validate(&mut self, block: &Block) -> Result<(), Invalid> {
        self.chain.validate(block)
    }

    fn commit(&mut self, block: &Block, certificate: &Certificate) -> Result<(), Invalid> {
        self.chain.commit(block, certificate)
    }

    fn certified(&self, height: u64) -> Option<CertifiedBlock> {
        self.chain.certified(height)
    }
}

/// The others would refuse such a block, and the next one, and the one after that.
#[test]
fn evidence_against_a_witness_that_has_left_both_sets_is_not_offered() {
    let creator = usize::from(chain(4).tip().order.seat(0));
    let liar = (creator + 1) % 4;
    let offered = |leaves: Option<usize>| {
        let me = set(4).seats()[creator].account;
        let offered = std::rc::Rc::default();
        let app = Handing { chain: chain(4), me, leaves, offered: std::rc::Rc::clone(&offered) };
        let config = Config { chain: domain(4), account: me, timing: Timing::default() };
        let mut host: Host<Handing> = Host::start(config, Box::new(key(creator)), app, &[], now(0));
        let effects: Vec<Effect> = std::iter::from_fn(|| host.poll_effect()).collect();
        let block = said(&effects).into_iter().find_map(|m| match m {
            Message::Proposal(p) => Some(p.message.block.hash()),
            _ => None,
        });
        let mut vote = |i: usize, kind, value| {
            let voter = Voter(set(4).seats()[i].account);
            let vote = Vote { kind, height: Height(1), round: Round::new(0), value, voter };
            let signature = key(i).sign(&vote.signing_bytes(&domain(4)));
            host.handle_message(now(1), 9, Message::Vote(SignedVote::new(vote, signature)));
        };
        vote(liar, VoteType::Prevote, NilOrVal::Nil);
        for kind in [VoteType::Prevote, VoteType::Precommit] {
            (0..4).for_each(|i| vote(i, kind, NilOrVal::Val(block.unwrap())));
        }
        host.handle_timeout(now(3_000_000));
        assert_eq!(host.height(), 2);
        offered.take()
    };
    assert_eq!(offered(None), [1], "whoever stays is convicted");
    assert_eq!(offered(Some(liar)), [0]);
}
