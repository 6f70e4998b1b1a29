//! The light client against an honest chain and against liars.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles, TrieAccount};
use ed25519_dalek::{Signer, SigningKey};
use netchain_light::{
    AccountClaim, LightClient, LightError, MAX_STATE_BYTES, TRUSTING_PERIOD_S, Updated, verify_account, verify_storage,
};
use netchain_types::{
    Certificate, ChainDomain, CommitSignature, ConsensusExtra, Header, VoteKind, Witness, WitnessSet, header,
    vote_signing_bytes,
};
use proptest::prelude::*;

const CHAIN: ChainDomain = ChainDomain { chain_id: 4_790, genesis: B256::repeat_byte(7) };
const START: u64 = 1_790_000_000;

/// Seats `first .. first + 21` of an endless row of witnesses.
fn set(first: u8) -> WitnessSet {
    let seat = |i: u8| Witness {
        account: Address::repeat_byte(i),
        vote_key: key(i).verifying_key().to_bytes(),
        reveal_key: [i; 48],
    };
    WitnessSet::new((first..first + 21).map(seat).collect()).unwrap()
}

fn key(i: u8) -> SigningKey {
    SigningKey::from_bytes(&[i; 32])
}

fn block(number: u64, parent: B256, signers: u8, next: u8) -> Header {
    let extra = ConsensusExtra {
        round: 0,
        shuffle_round: number / 21,
        slot: 0,
        reveal: if number == 0 { Bytes::new() } else { vec![1; 96].into() },
        last_commit_hash: B256::ZERO,
        validators_hash: set(signers).hash(),
        next_validators_hash: set(next).hash(),
    };
    header::with_extra(
        Header { number, parent_hash: parent, timestamp: START + 3 * number, gas_limit: 1, ..Header::blank() },
        &extra,
    )
}

fn certify(header: &Header, first: u8, count: u8) -> Vec<u8> {
    let block_hash = header.hash();
    let text = vote_signing_bytes(&CHAIN, VoteKind::Precommit, header.number, 0, Some(&block_hash));
    let signatures =
        (0..count).map(|seat| CommitSignature { seat, signature: key(first + seat).sign(&text).to_bytes() }).collect();
    Certificate { height: header.number, round: 0, block_hash, signatures }.encode()
}

fn client() -> (LightClient, Header) {
    let genesis = block(0, B256::ZERO, 1, 1);
    (LightClient::new(CHAIN, &genesis, set(1)).unwrap(), genesis)
}

fn step(
    client: &mut LightClient,
    header: &Header,
    certificate: &[u8],
    signers: Option<u8>,
    next: Option<u8>,
) -> Result<Updated, LightError> {
    let (set_bytes, next_bytes) = (signers.map(|s| set(s).encode()), next.map(|s| set(s).encode()));
    client.update(
        START + 3 * header.number,
        &alloy_rlp::encode(header),
        certificate,
        set_bytes.as_deref(),
        next_bytes.as_deref(),
    )
}

#[test]
fn one_header_per_change_of_the_set_is_enough() {
    let (mut client, _) = client();
    let change = block(1_000, B256::ZERO, 1, 30);
    assert_eq!(step(&mut client, &change, &certify(&change, 1, 15), None, Some(30)), Ok(Updated::Advanced));
    let later = block(50_000, B256::ZERO, 30, 30);
    assert_eq!(step(&mut client, &later, &certify(&later, 30, 15), None, None), Ok(Updated::Advanced));
    assert_eq!(client.trusted().number, 50_000);
    assert_eq!(step(&mut client, &later, &certify(&later, 30, 15), None, None), Ok(Updated::Known));
}

#[test]
fn who_starts_from_the_genesis_follows_changes_of_any_age_and_believes_no_other_set() {
    let (mut client, _) = client();
    let change = block(TRUSTING_PERIOD_S, B256::ZERO, 1, 30);
    let (header, next) = (alloy_rlp::encode(&change), set(30).encode());
    assert_eq!(step(&mut client, &change, &certify(&change, 1, 15), None, Some(30)), Err(LightError::Expired));
    assert_eq!(client.follow(&header, &certify(&change, 1, 15), Some(&next)), Ok(Updated::Advanced));
    let before = client.clone();
    let forged = block(2 * TRUSTING_PERIOD_S, B256::ZERO, 1, 60);
    let (header, next) = (alloy_rlp::encode(&forged), set(60).encode());
    assert_eq!(client.follow(&header, &certify(&forged, 1, 21), Some(&next)), Err(LightError::UnknownSet));
    let few = block(2 * TRUSTING_PERIOD_S, B256::ZERO, 30, 60);
    let (header, next) = (alloy_rlp::encode(&few), set(60).encode());
    assert!(matches!(client.follow(&header, &certify(&few, 30, 14), Some(&next)), Err(LightError::Certificate(_))));
    assert_eq!(client, before);
    // As a base it is as good as any.
    let later = block(TRUSTING_PERIOD_S + 1_000, B256::ZERO, 30, 30);
    assert_eq!(step(&mut client, &later, &certify(&later, 30, 15), None, None), Ok(Updated::Advanced));
}

#[test]
fn a_set_that_was_not_handed_over_can_come_with_the_next_header() {
    let (mut client, _) = client();
    let change = block(1_000, B256::ZERO, 1, 30);
    step(&mut client, &change, &certify(&change, 1, 15), None, None).unwrap();
    let later = block(2_000, B256::ZERO, 30, 30);
    assert_eq!(step(&mut client, &later, &certify(&later, 30, 15), None, None), Err(LightError::UnknownSet));
    assert_eq!(step(&mut client, &later, &certify(&later, 30, 15), Some(60), None), Err(LightError::UnknownSet));
    assert_eq!(step(&mut client, &later, &certify(&later, 30, 15), Some(30), None), Ok(Updated::Advanced));
}

#[test]
fn a_set_that_handed_over_signs_nothing_more() {
    let (mut client, _) = client();
    let change = block(1_000, B256::ZERO, 1, 30);
    step(&mut client, &change, &certify(&change, 1, 15), None, Some(30)).unwrap();
    let forged = block(1_001, change.hash(), 1, 1);
    assert_eq!(step(&mut client, &forged, &certify(&forged, 1, 21), Some(1), None), Err(LightError::UnknownSet));
}

#[test]
fn fourteen_signatures_a_wrong_set_and_an_old_header_are_refused_and_change_nothing() {
    let (mut client, genesis) = client();
    let before = client.clone();
    let next = block(1, genesis.hash(), 1, 1);
    assert!(matches!(step(&mut client, &next, &certify(&next, 1, 14), None, None), Err(LightError::Certificate(_))));
    assert!(matches!(step(&mut client, &next, &certify(&next, 2, 15), None, None), Err(LightError::Certificate(_))));
    let stranger = block(1, genesis.hash(), 30, 30);
    assert_eq!(step(&mut client, &stranger, &certify(&stranger, 30, 21), Some(30), None), Err(LightError::UnknownSet));
    let orphan = block(1, B256::repeat_byte(5), 1, 1);
    assert_eq!(step(&mut client, &orphan, &certify(&orphan, 1, 15), None, None), Err(LightError::Parent));
    assert_eq!(step(&mut client, &next, &certify(&orphan, 1, 15), None, None), Err(LightError::OtherBlock));
    assert_eq!(client, before);
    step(&mut client, &next, &certify(&next, 1, 15), None, None).unwrap();
    assert_eq!(step(&mut client, &genesis, &certify(&genesis, 1, 15), None, None), Err(LightError::Old(0)));
}

#[test]
fn two_certified_blocks_of_one_height_are_called_a_fork() {
    let (mut client, genesis) = client();
    let one = block(1, genesis.hash(), 1, 1);
    step(&mut client, &one, &certify(&one, 1, 15), None, None).unwrap();
    let other = Header { gas_limit: 2, ..one };
    assert_eq!(step(&mut client, &other, &certify(&other, 1, 15), None, None), Err(LightError::Fork(1)));
}

#[test]
fn trust_runs_out_before_ballots_can_be_redeemed() {
    let (mut client, genesis) = client();
    let late = Header { timestamp: START + TRUSTING_PERIOD_S, ..block(1, genesis.hash(), 1, 1) };
    let certificate = certify(&late, 1, 15);
    let bytes = alloy_rlp::encode(&late);
    assert_eq!(client.update(START + TRUSTING_PERIOD_S, &bytes, &certificate, None, None), Err(LightError::Expired));
    assert_eq!(client.update(START + 100, &bytes, &certificate, None, None), Err(LightError::Time));
    assert_eq!(client.update(START + TRUSTING_PERIOD_S - 10, &bytes, &certificate, None, None), Ok(Updated::Advanced));
}

#[test]
fn the_state_survives_a_restart_and_stays_inside_its_budget() {
    let (client, _) = client();
    let bytes = client.to_bytes();
    assert!(bytes.len() <= MAX_STATE_BYTES, "{} bytes", bytes.len());
    assert_eq!(LightClient::from_bytes(&bytes).unwrap(), client);
    assert!(LightClient::from_bytes(&bytes[1..]).is_err());
}

/// A state of 200 accounts; returns its root and the proof of one key.
fn trie(target: B256) -> (B256, Vec<Bytes>) {
    let mut leaves: Vec<(B256, Vec<u8>)> =
        (0..200_u8).map(|i| (keccak256(Address::repeat_byte(i)), alloy_rlp::encode(account(i)))).collect();
    leaves.sort();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![Nibbles::unpack(target)]));
    for (key, value) in &leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    (root, builder.take_proof_nodes().into_nodes_sorted().into_iter().map(|(_, node)| node).collect())
}

fn account(i: u8) -> TrieAccount {
    TrieAccount { nonce: u64::from(i), balance: U256::from(1_000), ..TrieAccount::default() }
}

#[test]
fn an_account_is_believed_as_it_is_and_not_otherwise() {
    let address = Address::repeat_byte(42);
    let (root, proof) = trie(keccak256(address));
    let truth = AccountClaim { nonce: 42, balance: U256::from(1_000), ..AccountClaim::absent() };
    assert_eq!(verify_account(root, &address, &truth, &proof), Ok(()));
    assert!(verify_account(root, &address, &AccountClaim { balance: U256::from(1_001), ..truth }, &proof).is_err());
    assert!(verify_account(root, &address, &AccountClaim::absent(), &proof).is_err());
    assert!(verify_account(B256::repeat_byte(1), &address, &truth, &proof).is_err());
    assert!(verify_account(root, &address, &truth, &proof[1..]).is_err());
}

#[test]
fn an_absent_account_is_proved_absent() {
    let nobody = Address::repeat_byte(250);
    let (root, proof) = trie(keccak256(nobody));
    assert_eq!(verify_account(root, &nobody, &AccountClaim::absent(), &proof), Ok(()));
    let claim = AccountClaim { balance: U256::from(1), ..AccountClaim::absent() };
    assert!(verify_account(root, &nobody, &claim, &proof).is_err());
}

#[test]
fn a_storage_slot_is_believed_as_it_is_and_not_otherwise() {
    let slot = B256::with_last_byte(3);
    let mut builder =
        HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![Nibbles::unpack(keccak256(slot))]));
    let mut leaves: Vec<_> = (0..20_u8)
        .map(|i| (keccak256(B256::with_last_byte(i)), alloy_rlp::encode(U256::from(i) + U256::from(7))))
        .collect();
    leaves.sort();
    for (key, value) in &leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    let proof: Vec<Bytes> = builder.take_proof_nodes().into_nodes_sorted().into_iter().map(|(_, node)| node).collect();
    assert_eq!(verify_storage(root, &slot, U256::from(10), &proof), Ok(()));
    assert!(verify_storage(root, &slot, U256::from(11), &proof).is_err());
    assert!(verify_storage(root, &slot, U256::ZERO, &proof).is_err());
}

proptest! {
    #[test]
    fn no_proof_makes_the_verifier_panic_or_lie(nodes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..6), value in any::<u64>()) {
        let proof: Vec<Bytes> = nodes.into_iter().map(Bytes::from).collect();
        prop_assert!(verify_storage(B256::repeat_byte(9), &B256::ZERO, U256::from(value), &proof).is_err());
    }

    #[test]
    fn no_update_makes_the_client_panic_or_move(header in proptest::collection::vec(any::<u8>(), 0..700), certificate in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (mut client, _) = client();
        let before = client.clone();
        prop_assert!(client.update(START, &header, &certificate, Some(&header), None).is_err());
        prop_assert_eq!(client, before);
    }
}
