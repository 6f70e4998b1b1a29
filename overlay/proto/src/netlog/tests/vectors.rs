//! Golden vectors: `overlay/proto/vectors/network-log.json`. A second implementation that reproduces them speaks the same format.
//!
//! `UPDATE_VECTORS=1 cargo test -p netflow-overlay golden` writes the file again; a change in it is a change of the format.

use serde_json::{Value, json};

use super::*;
use crate::identity::{format_network_id, format_node_id};
use crate::invite::proof_holds;
use crate::policy::{Action, Policy, Proto, Rule, Selector};

const COMMITTED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/network-log.json"));

/// Keys of seed bytes any implementation can type: 1.., 2.., 3...
fn fixed_node() -> NodeKeys {
    NodeKeys { node: SigningKey::from_bytes(&[1; 32]), statik: Secret::new([2; 32]), kem_seed: Secret::new([3; 64]) }
}

fn bodies(log: &NetworkLog, node: &NodeKeys, record: &str) -> Vec<(&'static str, EntryBody)> {
    let id = node.node_id();
    let token = token(log, 50, NOW.unix_s + 3_600);
    let policy = Policy {
        rules: vec![
            Rule {
                from: Selector::Tag("red".into()),
                to: Selector::Any,
                proto: Proto::Tcp,
                ports: vec![(80, 80), (8_000, 8_999)],
                action: Action::Allow,
            },
            Rule { from: Selector::Any, to: Selector::Any, proto: Proto::Any, ports: vec![], action: Action::Deny },
        ],
    };
    let add = MemberAddBody {
        record: hex::decode(record).unwrap(),
        kem_key: node.kem_public(),
        ipv4: log.state().free_ipv4(&id).unwrap(),
        name: "ada".into(),
        tags: vec!["blue".into(), "red".into()],
        invite: Some(token.id()),
        readmit: Some(EntryHash([6; 32])),
    };
    vec![
        ("invite_create", invite_body(&token)),
        ("member_add", EntryBody::MemberAdd(Box::new(add))),
        ("member_revoke", EntryBody::MemberRevoke { node: id }),
        ("member_tags", EntryBody::MemberTags { node: id, tags: vec!["red".into()] }),
        ("member_address", EntryBody::MemberAddress { node: id, ipv4: [100, 64, 1, 2].into() }),
        ("admin_add", EntryBody::AdminAdd { node: id }),
        ("admin_remove", EntryBody::AdminRemove { node: id, last: Some((9, EntryHash([5; 32]))) }),
        ("admin_remove_all", EntryBody::AdminRemove { node: id, last: None }),
        ("invite_cancel", EntryBody::InviteCancel { invite: token.id() }),
        ("relay_set", EntryBody::RelaySet { relays: vec![relay(4)] }),
        ("policy_set", EntryBody::PolicySet { policy }),
        ("record_update", EntryBody::RecordUpdate { record: hex::decode(record).unwrap(), kem_key: node.kem_public() }),
        ("member_rename", EntryBody::MemberRename { node: id, name: "ada-2".into() }),
    ]
}

fn vectors() -> Value {
    let (log, node) = (new_log(), fixed_node());
    let owner_key = owner().verifying_key().to_bytes();
    let record = node.record(1, [0xaa; 20]);
    let token = token(&log, 50, NOW.unix_s + 3_600);
    let mut entries = vec![entry_vector("genesis", log.entries()[0])];
    let (mut prev, mut seq) = (SignedEntry::verify(log.entries()[0]).unwrap().hash(), 1);
    for (name, body) in bodies(&log, &node, &hex::encode(record.raw())) {
        let lamport = u64::from(seq) + 1;
        let entry = Entry { network: log.network(), author: owner_key, seq, prev, lamport, unix_s: NOW.unix_s, body };
        let signed = SignedEntry::sign(&owner(), &entry).unwrap();
        (prev, seq) = (signed.hash(), seq + 1);
        entries.push(entry_vector(name, signed.raw()));
    }
    json!({
        "about": "seeds: owner 07 x 32, node 01 x 32, x25519 02 x 32, ml-kem 03 x 64, invite 32 (hex) x 32",
        "network": {
            "owner_public": hex::encode(owner_key),
            "network_id": hex::encode(log.network().0),
            "network_text": format_network_id(&log.network()),
            "ipv4_prefix": default_ipv4_prefix(&log.network()).to_string(),
            "ipv6_prefix": ipv6_prefix(&log.network()).to_string(),
            "digest_after_genesis": hex::encode(log.digest()),
            "fork_mark_after_genesis": hex::encode(SignedEntry::verify(log.entries()[0]).unwrap().hash().fork_mark().0),
        },
        "node": {
            "node_id": hex::encode(node.node_id().0),
            "node_text": format_node_id(&node.node_id()),
            "x25519_public": hex::encode(node.x25519_public()),
            "kem_public_sha256": hex::encode(record.record().kem_hash),
            "record": hex::encode(record.raw()),
            "ipv6": ipv6_address(&log.network(), &node.node_id()).to_string(),
            "ipv4_first_choice": log.state().free_ipv4(&node.node_id()).unwrap().to_string(),
        },
        "invite": {
            "id": hex::encode(token.id().0),
            "token": *token.to_text().unwrap(),
            "join_proof": hex::encode(token.prove(&record)),
        },
        "entries": entries,
    })
}

fn entry_vector(name: &str, raw: &[u8]) -> Value {
    let signed = SignedEntry::verify(raw).unwrap();
    json!({ "name": name, "raw": hex::encode(raw), "hash": hex::encode(signed.hash().0) })
}

#[test]
fn golden_vectors_are_reproduced_byte_for_byte() {
    let ours = vectors();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/network-log.json");
        std::fs::write(path, serde_json::to_string_pretty(&ours).unwrap() + "\n").unwrap();
        return;
    }
    let committed: Value = serde_json::from_str(COMMITTED).unwrap();
    assert_eq!(ours, committed);
}

#[test]
fn golden_vectors_are_read_back_as_what_they_say() {
    let committed: Value = serde_json::from_str(COMMITTED).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for entry in committed["entries"].as_array().unwrap() {
        let raw = hex::decode(text(&entry["raw"])).unwrap();
        let signed = SignedEntry::verify(&raw).unwrap();
        assert_eq!(hex::encode(signed.hash().0), text(&entry["hash"]));
        assert_eq!(SignedEntry::sign(&owner(), signed.entry()).unwrap().raw(), raw);
    }
    let token = InviteToken::parse(&text(&committed["invite"]["token"])).unwrap();
    let record =
        crate::identity::SignedRecord::verify(&hex::decode(text(&committed["node"]["record"])).unwrap()).unwrap();
    let proof: [u8; 64] = hex::decode(text(&committed["invite"]["join_proof"])).unwrap().try_into().unwrap();
    assert!(proof_holds(&token.id(), &token.network, &record, &proof));
}
