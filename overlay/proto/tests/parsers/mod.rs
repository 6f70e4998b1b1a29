//! One function per parser of bytes a stranger or a disk can bring: the bodies of the `proto_*` targets of `overlay/fuzz` and of the
//! corpus replay. Signed things are tried as they come and once more with a signature that holds, else nothing behind it is reached.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

pub(crate) mod whole;

use ed25519_dalek::SigningKey;
use netflow_overlay::identity::{NodeRecord, format_network_id, format_node_id, parse_network_id, parse_node_id, sign};
use netflow_overlay::invite::InviteToken;
use netflow_overlay::netlog::entry::Entry;
use netflow_overlay::netlog::{EntryHash, GenesisParams, Inserted, SignedEntry};
use netflow_overlay::session::{FrameOutcome, LocalIdentity, PeerRef, PqMode, RemoteKeys, SessionTable, Source};
use netflow_overlay::{EntryBody, NetworkId, NetworkLog, NodeId, NodeKeys, Now, SignedRecord};
use rand_core::SeedableRng as _;

/// A fuzz target: its name, also that of its corpus folder, and its body.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub(crate) const TARGETS: &[Target] = &[
    ("proto_record", record),
    ("proto_entry", entry),
    ("proto_log", log),
    ("proto_invite", invite),
    ("proto_key_file", key_file),
    ("proto_ids", ids),
    ("proto_session", session),
    ("proto_policy", whole::policy),
    ("proto_node", whole::node),
];

/// The signer of everything the targets sign.
pub(crate) fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// `[body, signature]` as records and entries have it: CBOR array of two byte strings.
pub(crate) fn signed(domain: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let signature = sign(&key(1), domain, body);
    minicbor::Encoder::new(&mut out).array(2).unwrap().bytes(body).unwrap().bytes(&signature).unwrap();
    out
}

/// A node record: the signed form as it is, then the bytes as its body.
pub(crate) fn record(bytes: &[u8]) {
    for raw in [bytes.to_vec(), signed("NFC/1 record", bytes)] {
        let Ok(record) = SignedRecord::verify(&raw) else { continue };
        assert_eq!(record.raw(), raw);
        let NodeRecord { node, .. } = record.record();
        assert!(raw.windows(32).any(|window| window == node.0));
    }
}

/// A log entry: the signed form as it is, then the bytes as its body.
pub(crate) fn entry(bytes: &[u8]) {
    for raw in [bytes.to_vec(), signed("NFC/1 entry", bytes)] {
        let Ok(entry) = SignedEntry::verify(&raw) else { continue };
        assert_eq!(entry.raw(), raw, "one entry has one spelling");
        if entry.entry().author == key(1).verifying_key().to_bytes() {
            let again = SignedEntry::sign(&key(1), entry.entry()).expect("what verifies can be signed");
            assert_eq!((again.hash(), again.raw()), (entry.hash(), raw.as_slice()));
        }
    }
}

/// A history of a network: each step is a few bytes. Whatever the authors do, replicas with the same entries agree.
pub(crate) fn log(bytes: &[u8]) {
    let authors = [key(1), key(2), key(3)];
    let genesis = GenesisParams { name: "fuzz".into(), ipv4: None };
    let mut log = NetworkLog::create(&authors[0], genesis, at(0)).unwrap();
    let mut raws: Vec<Vec<u8>> = log.entries().iter().map(|raw| raw.to_vec()).collect();
    for (step, op) in bytes.chunks_exact(4).take(32).enumerate() {
        let author = &authors[usize::from(op[0] & 3) % 3];
        let Some(body) = body(op[1], op[2], op[3], &log) else { continue };
        if op[0] & 0x80 == 0 {
            if let Ok(raw) = log.author(author, body, at(step as u64)) {
                raws.push(raw);
            }
        } else {
            // An author that breaks its chain on purpose: forks, gaps, clocks that jump.
            let heads = log.heads();
            let author_key = author.verifying_key().to_bytes();
            let head = heads.iter().find(|head| head.author == author_key);
            let seq = head.map_or(0, |head| (head.seq + 1).saturating_sub(u32::from(op[0] >> 2 & 3)));
            let prev = EntryHash(head.filter(|head| head.seq + 1 == seq).map_or([op[3]; 32], |head| head.hash));
            let lamport = u64::from(op[2]) + step as u64;
            let entry =
                Entry { network: log.state().network(), author: author_key, seq, prev, lamport, unix_s: 0, body };
            let Ok(entry) = SignedEntry::sign(author, &entry) else { continue };
            match log.insert(entry.raw()) {
                Ok(Inserted::New | Inserted::Fork) => raws.push(entry.raw().to_vec()),
                Ok(Inserted::Known | Inserted::Gap { .. } | Inserted::Beyond) | Err(_) => {}
            }
        }
    }
    agree(&log, &raws);
}

/// The same entries in one batch in the opposite order, published one by one to an empty replica, and from a disk, give the same replica.
fn agree(log: &NetworkLog, raws: &[Vec<u8>]) {
    let network = log.state().network();
    let published: Vec<Vec<u8>> = log.entries().iter().map(|raw| raw.to_vec()).collect();
    let disk = NetworkLog::from_entries(network, raws.to_vec()).expect("the genesis entry is there");
    let others = [
        ("in the opposite order", batch(network, &raws.iter().rev().cloned().collect::<Vec<_>>())),
        ("as published", one_by_one(network, &published)),
        ("from a disk, in the order of arrival", disk),
    ];
    for (how, other) in &others {
        assert_eq!(other.digest(), log.digest(), "the same entries {how} have the same heads");
        assert_eq!(other.state(), log.state(), "the same entries {how} say the same");
    }
}

/// One batch is enough, in whatever order its entries are.
fn batch(network: NetworkId, raws: &[Vec<u8>]) -> NetworkLog {
    let mut log = NetworkLog::empty(network);
    log.insert_all(raws);
    log
}

/// What `NetworkLog::entries` promises: in its order every entry fits at once.
fn one_by_one(network: NetworkId, raws: &[Vec<u8>]) -> NetworkLog {
    let mut log = NetworkLog::empty(network);
    for (index, raw) in raws.iter().enumerate() {
        let placed = log.insert(raw);
        assert!(matches!(placed, Ok(Inserted::New | Inserted::Fork)), "published entry {index}: {placed:?}");
    }
    log
}

/// A change, by number.
fn body(kind: u8, a: u8, b: u8, log: &NetworkLog) -> Option<EntryBody> {
    let node = NodeId(key(2 + (a & 3)).verifying_key().to_bytes());
    Some(match kind % 10 {
        0 => EntryBody::AdminAdd { node },
        1 => log.admin_remove_body(&node),
        2 => EntryBody::MemberRevoke { node },
        3 => {
            let record = SignedRecord::sign(
                &key(2 + (a & 3)),
                NodeRecord { node, x25519: [a | 1; 32], kem_hash: [0; 32], reward: [0; 20], seq: 1 },
            );
            let tags = if b & 1 == 0 { vec![] } else { vec!["home".to_owned()] };
            log.state().add_body(&record, &[], &format!("n{}", b & 7), &tags)?
        }
        4 => EntryBody::MemberRename { node, name: format!("m{}", b & 3) },
        5 => EntryBody::MemberAddress { node, ipv4: log.state().ipv4_prefix().hosts().nth(usize::from(b))? },
        6 => EntryBody::MemberTags { node, tags: vec!["office".to_owned()] },
        7 => EntryBody::InviteCreate {
            invite: netflow_overlay::InviteId([b; 32]),
            expires_unix_s: u64::from(a),
            tags: vec![],
        },
        8 => EntryBody::InviteCancel { invite: netflow_overlay::InviteId([b; 32]) },
        _ => EntryBody::Unknown { kind: 13 + u16::from(a), fields: vec![b & 0x17] },
    })
}

fn at(step: u64) -> Now {
    Now { mono_us: step, unix_s: 1_700_000_000 + step }
}

/// The text form of an invite.
pub(crate) fn invite(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(token) = InviteToken::parse(text) else { return };
    let again = token.to_text().expect("what parses can be written");
    assert!(InviteToken::parse(&again).is_ok());
    assert!(again.eq_ignore_ascii_case(text.trim()), "one invite has one text");
}

/// A node key file.
pub(crate) fn key_file(bytes: &[u8]) {
    let Ok(keys) = NodeKeys::from_bytes(bytes) else { return };
    assert_eq!(keys.to_bytes().as_slice(), bytes);
}

/// Text forms of ids.
pub(crate) fn ids(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(node) = parse_node_id(text) {
        assert!(format_node_id(&node).eq_ignore_ascii_case(text.trim()));
    }
    if let Ok(network) = parse_network_id(text) {
        assert!(format_network_id(&network).eq_ignore_ascii_case(text.trim()));
    }
}

/// Frames to a node that is in one network and has one peer: nothing a stranger sends is ever delivered.
///
/// The input is `length u8 | frame` again and again; a length of 255 takes the rest, so a handshake with KEM fits.
pub(crate) fn session(bytes: &[u8]) {
    let network = NetworkId([9; 32]);
    let peer = PeerRef { network, node: NodeId([2; 32]) };
    let identity = LocalIdentity {
        static_secret: zeroize::Zeroizing::new([7; 32]),
        kem_seed: zeroize::Zeroizing::new([8; 64]),
        boot_epoch: 1,
        aes_hw: false,
        pq: PqMode::Prefer,
    };
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([3; 32]);
    let mut table = SessionTable::new(identity);
    assert!(table.add_network(network));
    table.upsert_peer(peer, RemoteKeys { x25519: [5; 32], kem: None }).unwrap();
    // A handshake of ours is under way, so that responses and cookie replies have something to hit.
    let _ = table.initiate(at(0), &mut rng, &peer);
    let source = Source::Direct(([203, 0, 113, 1], 4790).into());
    let mut rest = bytes;
    for step in 1..=16 {
        let Some((length, tail)) = rest.split_first() else { break };
        let length = if *length == 255 { tail.len() } else { usize::from(*length).min(tail.len()) };
        let (frame, tail) = tail.split_at(length);
        rest = tail;
        match table.handle_frame(at(step), &mut rng, &source, &mut frame.to_vec()) {
            FrameOutcome::Reply(reply) => assert!(reply.len() <= frame.len(), "an amplifier"),
            FrameOutcome::Drop(_) => {}
            outcome @ (FrameOutcome::Inner { .. }
            | FrameOutcome::Established { .. }
            | FrameOutcome::Accepted { .. }
            | FrameOutcome::CookieTaken { .. }) => panic!("a stranger's frame was taken: {outcome:?}"),
        }
    }
    assert!(table.info(&peer).is_none());
    table.handle_timeout(at(10_000_000), &mut rng);
}
