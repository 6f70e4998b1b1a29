//! One function per decoder of chain bytes that a stranger, a peer or a disk can bring: the bodies of the targets of `chain/fuzz` and of
//! the corpus replay. Signed things are tried as they come and once more with signatures that hold, else nothing behind them is
//! reached.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

pub(crate) mod consensus;
pub(crate) mod execution;
pub(crate) mod rpc;
// Their source, not their crates: libp2p and the daemon need not be built once more, with coverage, for pure functions.
#[path = "../../../node/src/mempool/journal.rs"]
#[allow(unreachable_pub)]
pub(crate) mod journal;
#[path = "../../../net/src/announce.rs"]
#[allow(unreachable_pub)]
pub(crate) mod net_announce;
#[path = "../../../net/src/wire.rs"]
#[allow(unreachable_pub)]
pub(crate) mod net_wire;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use ed25519_dalek::{Signer, SigningKey};
use netchain_light::{AccountClaim, LightClient, verify_account, verify_storage};
use netchain_types::{
    Certificate, ChainDomain, CommitSignature, ConsensusExtra, Header, VoteKind, Witness, WitnessSet, header,
    vote_signing_bytes,
};

/// What the included journal looks for beside itself.
pub(crate) const MAX_TX_BYTES: usize = 128 << 10;

/// A fuzz target: its name, also that of its corpus folder, and its body.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    ("types_header", types_header),
    ("types_certificate", types_certificate),
    ("types_set", types_set),
    ("light_update", light_update),
    ("light_state", light_state),
    ("light_proof", light_proof),
    ("consensus_block", consensus::block),
    ("consensus_message", consensus::message),
    ("consensus_wal", consensus::wal),
    ("consensus_host", consensus::host),
    ("net_sync", net_sync),
    ("net_announcement", net_announcement),
    ("store_snapshot", execution::snapshot),
    ("exec_transaction", execution::transaction),
    ("exec_body", execution::body),
    ("exec_genesis", execution::genesis),
    ("exec_precompiles", execution::precompiles),
    ("node_journal", node_journal),
    ("rpc_request", rpc::request),
];

/// The chain everything is signed for.
pub(crate) const CHAIN: ChainDomain = ChainDomain { chain_id: 7, genesis: B256::repeat_byte(7) };
/// Clock of the light client's genesis.
pub(crate) const START: u64 = 1_790_000_000;

/// Vote key of seat `i`.
pub(crate) fn key(i: u8) -> SigningKey {
    SigningKey::from_bytes(&[i + 1; 32])
}

/// Seats `first .. first + n` of an endless row.
pub(crate) fn set(first: u8, n: u8) -> WitnessSet {
    let seat = |i: u8| Witness {
        account: Address::repeat_byte(i + 1),
        vote_key: key(i).verifying_key().to_bytes(),
        reveal_key: [i + 1; 48],
    };
    WitnessSet::new((first..first + n).map(seat).collect()).unwrap()
}

/// A certificate of `header` by seats `first .. first + n`, seat numbers from 0.
pub(crate) fn certify(header: &Header, first: u8, n: u8) -> Certificate {
    let block_hash = header.hash();
    let text = vote_signing_bytes(&CHAIN, VoteKind::Precommit, header.number, 0, Some(&block_hash));
    let sign = |seat: u8| CommitSignature { seat, signature: key(first + seat).sign(&text).to_bytes() };
    Certificate { height: header.number, round: 0, block_hash, signatures: (0..n).map(sign).collect() }
}

/// A header between two sets of four.
pub(crate) fn light_header(number: u64, parent: B256, signers: u8, next: u8) -> Header {
    let extra = ConsensusExtra {
        round: 0,
        shuffle_round: number / 4,
        slot: 0,
        reveal: if number == 0 { Bytes::new() } else { vec![1; 96].into() },
        last_commit_hash: B256::ZERO,
        validators_hash: set(signers, 4).hash(),
        next_validators_hash: set(next, 4).hash(),
    };
    let timestamp = START + 3 * number;
    header::with_extra(Header { number, parent_hash: parent, timestamp, gas_limit: 1, ..Header::blank() }, &extra)
}

/// Cuts input into parts: `length u16 LE | bytes`, the last one as long as there are bytes.
pub(crate) fn parts(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (part, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
        parts.push(part);
        bytes = rest;
        // No decoder needs more of them; a thousand empty ones are one seed less.
        if parts.len() == 64 {
            break;
        }
    }
    parts
}

/// Parts as input.
pub(crate) fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    let part = |part: &Vec<u8>| [&u16::try_from(part.len()).unwrap().to_le_bytes(), part.as_slice()].concat();
    parts.iter().flat_map(part).collect()
}

pub(crate) fn types_header(bytes: &[u8]) {
    if let Ok((header, extra)) = Header::decode_checked(bytes) {
        assert_eq!(alloy_rlp::encode(&header), bytes, "one header has one spelling");
        assert_eq!(header.hash(), keccak256(bytes));
        assert_eq!(header::with_extra(header.clone(), &extra), header);
    }
    // A list of headers, as manifests have them.
    let mut rest = bytes;
    while header::decode_front(&mut rest).is_ok() && !rest.is_empty() {}
}

pub(crate) fn types_certificate(bytes: &[u8]) {
    let Ok(certificate) = Certificate::decode(bytes) else { return };
    assert_eq!(certificate.encode(), bytes, "one certificate has one spelling");
    let set = set(0, 4);
    // These bytes have no signature of ours, unless they are a seed's.
    if certificate.verify(&CHAIN, &set).is_ok() {
        assert!(certificate.signatures.len() >= 3);
    }
    let mut signed = certificate.clone();
    let text = vote_signing_bytes(&CHAIN, VoteKind::Precommit, signed.height, signed.round, Some(&signed.block_hash));
    for commit in &mut signed.signatures {
        commit.signature = key(commit.seat.min(200)).sign(&text).to_bytes();
    }
    let distinct = signed.signatures.windows(2).all(|pair| pair[0].seat < pair[1].seat);
    let known = signed.signatures.iter().all(|commit| commit.seat < 4);
    let good = distinct && known && signed.signatures.len() >= 3;
    assert_eq!(signed.verify(&CHAIN, &set).is_ok(), good, "three of four distinct seats and nothing else");
    assert_eq!(signed.bitmap().count_ones() as usize >= 3 && good, good);
}

pub(crate) fn types_set(bytes: &[u8]) {
    if let Ok(set) = WitnessSet::decode(bytes) {
        assert_eq!(set.encode(), bytes, "one set has one spelling, else it has two hashes");
        assert!(set.quorum() * 3 > set.len() * 2);
    }
}

/// Parts: header, certificate, set, next set; taken once as they are and once with a certificate that holds.
pub(crate) fn light_update(bytes: &[u8]) {
    let genesis = light_header(0, B256::ZERO, 0, 0);
    let fresh = LightClient::new(CHAIN, &genesis, set(0, 4)).unwrap();
    let mut client = fresh.clone();
    for four in parts(bytes).chunks(4) {
        let [header, certificate, rest @ ..] = four else { return };
        let (signers, next) = (rest.first().copied(), rest.get(1).copied());
        let before = client.clone();
        if client.update(START + 60, header, certificate, signers, next).is_err() {
            assert_eq!(client, before, "a refused update changes nothing");
        }
        let Ok((decoded, _)) = Header::decode_checked(header) else { continue };
        let forged = certify(&decoded, 0, 4).encode();
        let before = client.clone();
        match client.update(START + 60, header, &forged, signers, next) {
            Ok(_) => assert!(client.trusted().number >= before.trusted().number),
            Err(_) => assert_eq!(client, before),
        }
    }
    let saved = client.to_bytes();
    assert_eq!(LightClient::from_bytes(&saved).unwrap(), client);
}

pub(crate) fn light_state(bytes: &[u8]) {
    if let Ok(client) = LightClient::from_bytes(bytes) {
        assert_eq!(LightClient::from_bytes(&client.to_bytes()).unwrap(), client);
    }
}

/// Address 20, nonce u8, balance u8, then the nodes of a proof as parts. A proof of a claim is no proof of another one.
pub(crate) fn light_proof(bytes: &[u8]) {
    let Some((head, rest)) = bytes.split_at_checked(22) else { return };
    let nodes: Vec<Bytes> = parts(rest).into_iter().map(Bytes::copy_from_slice).collect();
    let root = nodes.first().map_or(B256::ZERO, keccak256);
    let account = Address::from_slice(&head[..20]);
    let claim = AccountClaim { nonce: head[20].into(), balance: U256::from(head[21]), ..AccountClaim::absent() };
    let other = AccountClaim { nonce: claim.nonce + 1, ..claim };
    let proven = verify_account(root, &account, &claim, &nodes).is_ok();
    assert!(!(proven && verify_account(root, &account, &other, &nodes).is_ok()), "two claims by one proof");
    let slot = B256::left_padding_from(&head[..20]);
    let value = U256::from(head[21]);
    let proven = verify_storage(root, &slot, value, &nodes).is_ok();
    assert!(!(proven && verify_storage(root, &slot, value + U256::ONE, &nodes).is_ok()), "two values by one proof");
    // What the precompile and the node use agrees with the light client.
    let path = netchain_state::Nibbles::unpack(keccak256(slot));
    // Longer nodes than any trie has: the light client does not even look.
    if let Ok(Some(walked)) = netchain_state::trie::walk_proof(root, &path, &nodes)
        && let Ok(walked) = alloy_rlp::decode_exact::<U256>(&walked)
        && !walked.is_zero()
        && nodes.iter().all(|node| node.len() <= 1_024)
    {
        assert!(verify_storage(root, &slot, walked, &nodes).is_ok(), "two verifiers, two verdicts");
    }
}

pub(crate) fn net_sync(bytes: &[u8]) {
    if let Ok(request) = net_wire::SyncRequest::decode(bytes) {
        assert_eq!(net_wire::SyncRequest::decode(&request.encode()), Ok(request));
    }
    if let Ok(response) = net_wire::SyncResponse::decode(bytes) {
        assert_eq!(net_wire::SyncResponse::decode(&response.encode()), Ok(response));
    }
    if let Ok(batch) = net_wire::decode_batch(bytes) {
        let again: Vec<Bytes> = net_wire::encode_batches(&batch)
            .iter()
            .flat_map(|bytes| net_wire::decode_batch(bytes).unwrap_or_default())
            .collect();
        assert!(again.len() <= batch.len());
    }
}

pub(crate) fn net_announcement(bytes: &[u8]) {
    let Ok(it) = net_announce::Announcement::decode(bytes) else { return };
    assert_eq!(it.encode(), bytes, "one announcement has one spelling");
    let mut known = net_announce::Announcer::new(CHAIN);
    known.set_witnesses(&[set(0, 4)]);
    let _ = known.take(it.clone(), START);
    let mut signed = it;
    signed.account = Address::repeat_byte(1);
    signed.signature = key(0).sign(&signed.signing_bytes(&CHAIN)).to_bytes();
    let fresh = signed.unix_s.abs_diff(START) <= net_announce::MAX_SKEW_S;
    let mut known = net_announce::Announcer::new(CHAIN);
    known.set_witnesses(&[set(0, 4)]);
    assert_eq!(known.take(signed, START).is_ok(), fresh);
    assert!(known.known().count() <= 1);
}

pub(crate) fn node_journal(bytes: &[u8]) {
    let (txs, good) = journal::read(bytes);
    assert!(good <= bytes.len());
    let again: Vec<u8> = txs.iter().flat_map(|tx| journal::frame(tx)).collect();
    assert_eq!(again, bytes[..good]);
}
