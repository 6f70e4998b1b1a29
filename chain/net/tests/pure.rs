//! Encodings, announcements and the sync scheduler, without a socket.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use alloy_primitives::{Address, B256, Bytes};
use ed25519_dalek::SigningKey;
use netchain_consensus::twin::MemoryChain;
use netchain_consensus::{Application, CertifiedBlock, Draft, Keys, Now};
use netchain_net::announce::MAX_SKEW_S;
use netchain_net::sync::BlockSync;
use netchain_net::wire::{MAX_BATCH, MAX_BATCH_BYTES, decode_batch, encode_batches};
use netchain_net::{AnnounceError, Announcement, Announcer, SnapshotInfo, SyncRequest, SyncResponse};
use netchain_types::{Certificate, ChainDomain, Witness, WitnessSet};
use proptest::prelude::*;

const CHAIN: ChainDomain = ChainDomain { chain_id: 7, genesis: B256::repeat_byte(3) };

fn key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn set() -> WitnessSet {
    let seat =
        Witness { account: Address::repeat_byte(1), vote_key: key().verifying_key().to_bytes(), reveal_key: [7; 48] };
    WitnessSet::new(vec![seat]).unwrap()
}

fn announcement(unix_s: u64) -> Announcement {
    let mut it = Announcement {
        account: Address::repeat_byte(1),
        peer: Bytes::from_static(b"peer"),
        unix_s,
        addresses: vec![Bytes::from_static(b"address")],
        signature: [0; 64],
    };
    it.signature = Keys::sign(&key(), &it.signing_bytes(&CHAIN));
    it
}

#[test]
fn an_announcement_is_believed_once_when_new_true_and_of_a_witness() {
    let mut known = Announcer::new(CHAIN);
    assert_eq!(known.take(announcement(1_000), 1_000), Err(AnnounceError::Unknown));
    known.set_witnesses(&[set()]);
    assert_eq!(known.take(announcement(1_000), 1_001 + MAX_SKEW_S), Err(AnnounceError::Clock));
    let mut forged = announcement(1_000);
    forged.peer = Bytes::from_static(b"mine");
    assert_eq!(known.take(forged, 1_000), Err(AnnounceError::Signature));
    assert_eq!(known.witness(b"peer"), None);
    assert_eq!(known.take(announcement(1_000), 1_000), Ok(()));
    assert_eq!(known.take(announcement(1_000), 1_000), Err(AnnounceError::Old));
    assert_eq!(known.witness(b"peer"), Some(Address::repeat_byte(1)));
    let other = ChainDomain { chain_id: 8, ..CHAIN };
    let mut elsewhere = Announcer::new(other);
    elsewhere.set_witnesses(&[set()]);
    assert_eq!(elsewhere.take(announcement(1_000), 1_000), Err(AnnounceError::Signature));
    known.set_witnesses(&[]);
    assert_eq!(known.witness(b"peer"), None);
}

#[test]
fn batches_hold_everything_in_order_within_their_limits() {
    let txs: Vec<Bytes> = (0..2_000_usize).map(|i| Bytes::from(vec![1; 1 + i % 900])).collect();
    let batches = encode_batches(&txs);
    assert!(batches.iter().all(|batch| batch.len() <= MAX_BATCH_BYTES));
    let read: Vec<Bytes> = batches.iter().flat_map(|batch| decode_batch(batch).unwrap()).collect();
    assert_eq!(read, txs);
    assert!(encode_batches(&vec![Bytes::from_static(b"x"); 3 * MAX_BATCH]).len() == 3);
    assert!(decode_batch(&alloy_rlp::encode(vec![Bytes::from_static(b"x"); MAX_BATCH + 1])).is_err());
    assert!(decode_batch(&[0xc0]).is_err());
}

/// A chain of empty blocks with certificates that nobody verified.
fn chain(blocks: u64) -> Vec<CertifiedBlock> {
    let set = set();
    let mut chain = MemoryChain::genesis(set.clone(), B256::repeat_byte(9), b"net", 1_000);
    for height in 1..=blocks {
        let last: Option<Certificate> = chain.blocks().last().map(|it| it.certificate.clone());
        let now = Now { mono_us: 0, unix_s: 1_000 + height };
        let creator = set.seats()[0].account;
        let draft = Draft { now, round: 0, creator, last_commit: last.as_ref(), evidence: &[] };
        let block = chain.propose(&draft).unwrap();
        let certificate = Certificate { height, round: 0, block_hash: block.hash(), signatures: Vec::new() };
        chain.commit(&block, &certificate).unwrap();
    }
    chain.blocks().to_vec()
}

fn answer(blocks: &[CertifiedBlock], from: u64, count: u64) -> Vec<(CertifiedBlock, usize)> {
    let first = usize::try_from(from - 1).unwrap();
    let last = blocks.len().min(first + usize::try_from(count).unwrap());
    blocks[first..last].iter().map(|block| (block.clone(), 500)).collect()
}

#[test]
fn ranges_go_to_several_peers_and_blocks_come_out_in_order() {
    let blocks = chain(200);
    let mut sync = BlockSync::default();
    for peer in 1..=3 {
        sync.set_peer(peer, 200);
    }
    let (mut asked, mut got, mut now) = (std::collections::BTreeSet::new(), Vec::new(), 0);
    while got.len() < 200 {
        now += 10_000;
        let mut requests = Vec::new();
        while let Some(request) = sync.poll_request(now) {
            requests.push(request);
        }
        // Answers arrive in the wrong order, and peer 2 gives at most five blocks.
        for (peer, from, count) in requests.into_iter().rev() {
            asked.insert(peer);
            let count = if peer == 2 { count.min(5) } else { count };
            assert!(sync.answered(now, peer, answer(&blocks, from, count)));
        }
        while let Some((_, block)) = sync.poll_block() {
            got.push(block.block.height());
        }
        sync.set_tip(now, got.len() as u64);
    }
    assert_eq!(got, (1..=200).collect::<Vec<_>>());
    assert_eq!(asked.len(), 3, "everybody was asked");
    assert!(sync.poll_request(now).is_none() && !sync.progress().active);
}

#[test]
fn a_peer_whose_blocks_lead_nowhere_rests_and_another_is_asked() {
    let blocks = chain(10);
    let mut sync = BlockSync::default();
    sync.set_peer(1, 10);
    let (peer, from, count) = sync.poll_request(1).unwrap();
    assert_eq!((peer, from), (1, 1));
    // Heights that were not asked for.
    assert!(!sync.answered(1, 1, answer(&blocks, 2, count)));
    assert!(sync.poll_request(2).is_none(), "it rests");
    sync.set_peer(2, 10);
    let (peer, from, count) = sync.poll_request(3).unwrap();
    assert_eq!((peer, from), (2, 1));
    assert!(sync.answered(3, 2, answer(&blocks, 1, count)));
    while sync.poll_block().is_some() {}
    // The tip does not move: what was delivered was worth nothing.
    sync.set_peer(3, 10);
    let (peer, from, _) = sync.poll_request(20_000_000).unwrap();
    assert_eq!((peer, from), (3, 1));
}

#[test]
fn one_block_behind_is_the_usual_case_and_nobody_is_asked() {
    let mut sync = BlockSync::default();
    sync.set_tip(5_000_000, 7);
    sync.set_peer(1, 8);
    assert!(sync.poll_request(5_100_000).is_none());
    assert!(sync.poll_request(7_000_000).is_some(), "but not for ever");
}

proptest! {
    #[test]
    fn decoders_take_their_own_encoding_and_no_other(bytes in prop::collection::vec(any::<u8>(), 0..300), a: u64, b: u64) {
        for request in [SyncRequest::Status(a), SyncRequest::Blocks(a, b), SyncRequest::Snapshots, SyncRequest::Chunk(a, b), SyncRequest::SetChanges(a)] {
            prop_assert_eq!(SyncRequest::decode(&request.encode()), Ok(request));
        }
        let info = SnapshotInfo { height: a, block_hash: B256::repeat_byte(1), manifest: bytes.clone().into() };
        let responses = [
            SyncResponse::Status(a, B256::repeat_byte(2)),
            SyncResponse::Blocks(vec![bytes.clone().into()]),
            SyncResponse::Snapshots(vec![info]),
            SyncResponse::Chunk(bytes.clone().into()),
            SyncResponse::Busy,
            SyncResponse::SetChanges(vec![bytes.clone().into()]),
        ];
        for response in responses {
            prop_assert_eq!(SyncResponse::decode(&response.encode()), Ok(response));
        }
        for it in [SyncRequest::decode(&bytes)].into_iter().flatten() {
            prop_assert_eq!(it.encode(), bytes.clone());
        }
        for it in [SyncResponse::decode(&bytes)].into_iter().flatten() {
            prop_assert_eq!(it.encode(), bytes.clone());
        }
        for it in [Announcement::decode(&bytes)].into_iter().flatten() {
            prop_assert_eq!(it.encode(), bytes.clone());
        }
        let _ = decode_batch(&bytes);
    }
}
