//! Vectors and properties of the chain's data structures.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use alloy_primitives::{Address, B256};
use ed25519_dalek::{Signer, SigningKey};
use netchain_types::{
    Certificate, CertificateError, ChainDomain, CommitSignature, ConsensusExtra, Header, VoteKind, Witness, WitnessSet,
    header, quorum, shuffle, shuffle_seed, vote_signing_bytes,
};
use proptest::prelude::*;

const CHAIN: ChainDomain = ChainDomain { chain_id: 4_790, genesis: B256::repeat_byte(7) };

fn key(seat: u8) -> SigningKey {
    SigningKey::from_bytes(&[seat + 1; 32])
}

fn set(n: u8) -> WitnessSet {
    let seat = |i: u8| Witness {
        account: Address::repeat_byte(i + 1),
        vote_key: key(i).verifying_key().to_bytes(),
        reveal_key: [i + 1; 48],
    };
    WitnessSet::new((0..n).map(seat).collect()).unwrap()
}

fn certificate(chain: &ChainDomain, seats: impl IntoIterator<Item = u8>) -> Certificate {
    let block_hash = B256::repeat_byte(9);
    let text = vote_signing_bytes(chain, VoteKind::Precommit, 5, 2, Some(&block_hash));
    let signatures =
        seats.into_iter().map(|seat| CommitSignature { seat, signature: key(seat).sign(&text).to_bytes() }).collect();
    Certificate { height: 5, round: 2, block_hash, signatures }
}

fn sample_header() -> Header {
    let extra = ConsensusExtra {
        round: 1,
        shuffle_round: 77,
        slot: 13,
        reveal: vec![5; 96].into(),
        last_commit_hash: B256::repeat_byte(1),
        validators_hash: set(21).hash(),
        next_validators_hash: set(20).hash(),
    };
    let header = Header {
        number: 1_234,
        gas_limit: 30_000_000,
        gas_used: 21_000,
        timestamp: 1_790_000_000,
        base_fee_per_gas: 1_000_000_000,
        beneficiary: Address::repeat_byte(3),
        ..Header::blank()
    };
    header::with_extra(header, &extra)
}

#[test]
fn the_shuffle_gives_the_orders_of_the_independent_reference() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../vectors/shuffle.json")).unwrap();
    let bytes = |v: &serde_json::Value| B256::from_slice(&hex::decode(v.as_str().unwrap()).unwrap());
    let order =
        |v: &serde_json::Value| v.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u8).collect::<Vec<_>>();
    let mut checked = 0;
    for v in vectors["fisher_yates_21"].as_array().unwrap() {
        assert_eq!(shuffle(&bytes(&v["seed"]), 21), order(&v["order"]));
        checked += 1;
    }
    for v in vectors["fisher_yates_small"].as_array().unwrap() {
        assert_eq!(shuffle(&bytes(&v["seed"]), v["n"].as_u64().unwrap() as u8), order(&v["order"]));
        checked += 1;
    }
    for v in vectors["shuffle_seed"].as_array().unwrap() {
        let seed = shuffle_seed(&bytes(&v["mix"]), v["round"].as_u64().unwrap());
        assert_eq!(seed, bytes(&v["seed"]));
        assert_eq!(shuffle(&seed, 21), order(&v["order"]));
        checked += 1;
    }
    assert!(checked > 10, "only {checked} vectors");
}

#[test]
fn fifteen_of_twenty_one_decide() {
    assert_eq!((quorum(21), quorum(4), quorum(3), quorum(1)), (15, 3, 3, 1));
    assert_eq!(certificate(&CHAIN, 0..15).verify(&CHAIN, &set(21)), Ok(()));
    let short = certificate(&CHAIN, 0..14);
    assert_eq!(short.verify(&CHAIN, &set(21)), Err(CertificateError::Quorum { have: 14, need: 15 }));
}

#[test]
fn a_certificate_of_another_chain_proves_nothing_here() {
    let side = ChainDomain { chain_id: 4_791, ..CHAIN };
    let test = ChainDomain { genesis: B256::repeat_byte(8), ..CHAIN };
    for other in [side, test] {
        assert_eq!(certificate(&other, 0..21).verify(&CHAIN, &set(21)), Err(CertificateError::Signature(0)));
    }
}

#[test]
fn a_seat_counts_once_and_only_when_it_exists() {
    let mut twice = certificate(&CHAIN, 0..15);
    twice.signatures[14] = twice.signatures[13];
    assert_eq!(twice.verify(&CHAIN, &set(21)), Err(CertificateError::Seats));
    assert_eq!(certificate(&CHAIN, 6..21).verify(&CHAIN, &set(20)), Err(CertificateError::Seats));
}

#[test]
fn a_prevote_is_no_precommit_and_a_round_no_other_round() {
    let mut wrong = certificate(&CHAIN, 0..15);
    wrong.round = 3;
    assert_eq!(wrong.verify(&CHAIN, &set(21)), Err(CertificateError::Signature(0)));
    let text = vote_signing_bytes(&CHAIN, VoteKind::Prevote, 5, 2, Some(&wrong.block_hash));
    wrong.round = 2;
    wrong.signatures[3].signature = key(3).sign(&text).to_bytes();
    assert_eq!(wrong.verify(&CHAIN, &set(21)), Err(CertificateError::Signature(3)));
}

#[test]
fn a_malleated_signature_is_refused() {
    let mut other = certificate(&CHAIN, 0..15);
    // s + L: the same signature to a verifier that does not insist on the canonical scalar.
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0_u16;
    for (s, l) in other.signatures[0].signature[32..].iter_mut().zip(&order) {
        let sum = u16::from(*s) + u16::from(*l) + carry;
        *s = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(other.verify(&CHAIN, &set(21)), Err(CertificateError::Signature(0)));
}

#[test]
fn a_header_has_the_hash_every_ethereum_tool_computes() {
    // keccak256 of the RLP computed by an independent encoder (vectors/header.py); a changed field order changes it.
    let header = sample_header();
    let expected = include_str!("../vectors/header_hash.txt").trim();
    assert_eq!(format!("{:x}", header.hash()), expected);
    let bytes = alloy_rlp::encode(&header);
    let (back, extra) = Header::decode_checked(&bytes).unwrap();
    assert_eq!(back, header);
    assert_eq!((extra.round, extra.shuffle_round, extra.slot), (1, 77, 13));
}

#[test]
fn a_header_with_a_field_this_chain_fixes_changed_is_refused() {
    let base = sample_header();
    let mut wrong = Vec::new();
    wrong.push(Header { nonce: [1; 8].into(), ..base.clone() });
    wrong.push(Header { blob_gas_used: 1, ..base.clone() });
    wrong.push(Header { gas_used: 30_000_001, ..base.clone() });
    wrong.push(Header { extra_data: vec![0xc0].into(), ..base.clone() });
    wrong.push(Header { extra_data: [&base.extra_data[..], &[0x80]].concat().into(), ..base.clone() });
    wrong.push(Header { number: 0, ..base });
    for header in wrong {
        assert!(Header::decode_checked(&alloy_rlp::encode(&header)).is_err(), "{header:?}");
    }
}

#[test]
fn a_set_refuses_seats_that_would_vote_twice() {
    let mut seats = set(4).seats().to_vec();
    seats[3].vote_key = seats[0].vote_key;
    assert!(WitnessSet::new(seats).is_err());
    assert!(WitnessSet::new(Vec::new()).is_err());
    let many: Vec<_> = set(21)
        .seats()
        .iter()
        .cloned()
        .chain([Witness { account: Address::ZERO, vote_key: [0; 32], reveal_key: [0; 48] }])
        .collect();
    assert!(WitnessSet::new(many).is_err());
    assert_eq!(WitnessSet::decode(&set(21).encode()).unwrap(), set(21));
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_100)) {
        let _ = Header::decode_checked(&bytes);
        let _ = Certificate::decode(&bytes);
        let _ = WitnessSet::decode(&bytes);
    }

    #[test]
    fn one_flipped_bit_anywhere_in_a_certificate_is_noticed(bit in 0_usize..15 * 64 * 8) {
        let good = certificate(&CHAIN, 0..15);
        let mut bytes = good.encode();
        let at = bit % (bytes.len() * 8);
        bytes[at / 8] ^= 1 << (at % 8);
        let accepted = Certificate::decode(&bytes).is_ok_and(|c| c.block_hash == good.block_hash && c.height == good.height && c.verify(&CHAIN, &set(21)).is_ok());
        prop_assert!(!accepted);
    }

    #[test]
    fn every_order_is_a_permutation(seed in any::<[u8; 32]>(), n in 1_u8..=21) {
        let mut order = shuffle(&B256::from(seed), n);
        order.sort_unstable();
        prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
    }
}
