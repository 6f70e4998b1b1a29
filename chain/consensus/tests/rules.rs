//! Rules of trust and order against the vectors; evidence, messages and the log as formats.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, missing_docs)]

mod common;

use alloy_primitives::B256;
use arc_malachitebft_core_types::{NilOrVal, Round, SignedProposal, SignedVote, VoteType};
use common::{Net, chain, domain, key, set, vote_key};
use netchain_consensus::context::{Height, Proposal, Vote, Voter};
use netchain_consensus::dpos::TRUST_INITIAL;
use netchain_consensus::wal::{Wal, WalError, crc32c};
use netchain_consensus::{DposState, Evidence, Keys, Making, Message};
use netchain_types::{ChainDomain, ProposerOrder};
use proptest::prelude::*;
use serde_json::Value;

#[test]
fn trust_order_and_skips_follow_the_vectors() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/dpos.json")).unwrap();
    let scenario = &vectors["dpos_scenario"];
    let numbers = |v: &Value| v.as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect::<Vec<_>>();
    let mix: B256 = scenario["mix0"].as_str().unwrap().parse().unwrap();
    let mut state = DposState::genesis(mix, 21);
    assert_eq!(vectors["trust"]["initial"].as_i64().unwrap(), TRUST_INITIAL);
    for (i, step) in scenario["trace"].as_array().unwrap().iter().enumerate() {
        let round = u32::try_from(numbers(&scenario["rounds"])[i]).unwrap();
        let signers = numbers(&scenario["signers"][i]).iter().fold(0_u32, |bits, seat| bits | 1 << seat);
        let skipped: Vec<i64> = state.skipped(round).into_iter().map(i64::from).collect();
        assert_eq!(skipped, numbers(&step["missed"]), "height {}", i + 1);
        assert_eq!(i64::from(state.order.seat(round)), step["proposer"].as_i64().unwrap());
        let height = i as u64 + 1;
        let reveal = [b"reveal".as_slice(), &height.to_be_bytes()].concat();
        state.apply(Making { round, last_signers: signers, reveal: &reveal, convicted: 0 });
        assert_eq!(state.trust, numbers(&step["trust"]));
        assert_eq!(state.order.shuffle_round, step["shuffle_round"].as_u64().unwrap());
        assert_eq!(u64::from(state.order.slot), step["next_slot"].as_u64().unwrap());
        assert_eq!(hex::encode(state.mix), step["mix"].as_str().unwrap());
    }
}

#[test]
fn the_order_of_the_next_shuffle_round_is_fixed_when_this_one_begins() {
    let order = ProposerOrder::genesis(&B256::repeat_byte(7), 21);
    let (mut a, mut b) = (order.clone(), order.clone());
    a.advance(20, &B256::repeat_byte(1));
    b.advance(20, &B256::repeat_byte(2));
    assert_eq!(a.current, order.next);
    assert_eq!(a.current, b.current);
    assert_ne!(a.next, b.next);
}

fn signed_vote(chain: &ChainDomain, i: usize, value: NilOrVal<B256>) -> SignedVote<netchain_consensus::context::Nfc> {
    let voter = Voter(set(4).seats()[i].account);
    let vote = Vote { kind: VoteType::Prevote, height: Height(3), round: Round::new(1), value, voter };
    let signature = key(i).sign(&vote.signing_bytes(chain));
    SignedVote::new(vote, signature)
}

#[test]
fn two_votes_in_one_place_convict_and_nothing_else_does() {
    let chain = domain(4);
    let (block, nil) =
        (signed_vote(&chain, 2, NilOrVal::Val(B256::repeat_byte(1))), signed_vote(&chain, 2, NilOrVal::Nil));
    let evidence = Evidence::of_votes(&block, &nil);
    assert!(evidence.proves(&chain, &vote_key(2)));
    assert!(!evidence.proves(&chain, &vote_key(1)), "another witness");
    assert!(!evidence.proves(&ChainDomain { chain_id: 8, ..chain }, &vote_key(2)), "another chain");
    assert!(!Evidence::of_votes(&block, &block).proves(&chain, &vote_key(2)), "said once");
    let other_place = Evidence { round: 2, ..evidence.clone() };
    assert!(!other_place.proves(&chain, &vote_key(2)), "another round");
    // A vote on another chain is no lie on this one.
    let sister = ChainDomain { chain_id: 8, ..chain };
    let elsewhere = signed_vote(&sister, 2, NilOrVal::Nil);
    assert!(!Evidence::of_votes(&block, &elsewhere).proves(&chain, &vote_key(2)));
    let bytes = alloy_rlp::encode(&evidence);
    assert_eq!(alloy_rlp::decode_exact::<Evidence>(&bytes).unwrap(), evidence);
}

#[test]
fn two_proposals_in_one_round_convict() {
    let (mut net, chain) = (Net::new(4), domain(4));
    net.run(2, &[0, 1, 2, 3]);
    let blocks = net.hosts[0].app().blocks();
    let proposal = |i: usize| {
        let voter = Voter(set(4).seats()[1].account);
        let block = blocks[i].block.clone();
        let proposal = Proposal { height: Height(1), round: Round::new(0), block, pol_round: Round::Nil, voter };
        let signature = key(1).sign(&proposal.signing_bytes(&chain));
        SignedProposal::new(proposal, signature)
    };
    assert!(Evidence::of_proposals(&proposal(0), &proposal(1)).proves(&chain, &vote_key(1)));
}

#[test]
fn crc32c_is_the_standard_one() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283); // check value of CRC-32C, RFC 3720 B.4 by its catalogue entry
}

#[test]
fn every_message_reads_back_and_no_other_encoding_does() {
    let mut net = Net::new(4);
    net.run(2, &[0, 1, 2, 3]);
    let certified = net.hosts[0].app().blocks()[1].clone();
    let mut messages: Vec<Message> = net.said.iter().flatten().cloned().collect();
    messages.extend([Message::BlockRequest(9), Message::Block(certified)]);
    for message in messages {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes).unwrap(), message);
        assert!(Message::decode(&[bytes.as_slice(), &[0]].concat()).is_err(), "a byte too many");
        assert!(Message::decode(&bytes[..bytes.len() - 1]).is_err(), "a byte too few");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0_u8..20) {
        let mut bytes = bytes;
        bytes.insert(0, kind);
        let _ = Message::decode(&bytes);
        let _ = Wal::read(&bytes);
        let _ = netchain_consensus::Block::decode(&bytes);
    }

    #[test]
    fn a_flipped_bit_of_a_message_never_panics_a_host(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut net = Net::new(4);
        net.run(1, &[0, 1, 2, 3]);
        let bytes = net.said[0].last().unwrap().encode();
        let mut bytes = bytes;
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(message) = Message::decode(&bytes) {
            net.hosts[1].handle_message(common::now(net.us), 0, message);
        }
    }
}

#[test]
fn a_torn_log_is_cut_and_a_damaged_one_is_refused() {
    let mut net = Net::new(4);
    net.exchange(&[0, 1, 2, 3]);
    let log = net.logs[0].clone();
    let whole = Wal::read(&log).unwrap();
    assert_eq!((whole.height, whole.good_bytes), (Some(1), log.len()));
    assert!(whole.inputs.len() > 5);
    for length in 0..log.len() {
        let wal = Wal::read(&log[..length]).unwrap();
        assert!(wal.good_bytes <= length && wal.inputs.len() <= whole.inputs.len());
    }
    let mut damaged = log.clone();
    damaged[40] ^= 1;
    assert!(matches!(Wal::read(&damaged), Err(WalError::Damaged(_))));
    assert_eq!(chain(4).genesis_hash(), domain(4).genesis);
}
