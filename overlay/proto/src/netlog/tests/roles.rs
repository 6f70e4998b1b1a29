use super::*;

#[test]
fn pitfall_22_an_entry_of_anyone_but_the_owner_and_its_admins_is_refused() {
    let mut log = new_log();
    let stranger = keys(5);
    let body = add(&log, &keys(20), "box");
    assert_eq!(log.author(&stranger.node, body.clone(), NOW), Err(LogError::NotAuthorized));
    let forged = forge(&log, &stranger.node, 0, body.clone());
    let digest = log.digest();
    assert_eq!(log.insert(&forged), Err(LogError::NotAuthorized));
    // A member, even one that is a relay of the network, is no admin.
    let member = add(&log, &stranger, "relay");
    log.author(&owner(), member, NOW).unwrap();
    let mut info = relay(1);
    info.node = stranger.node_id();
    log.author(&owner(), EntryBody::RelaySet { relays: vec![info] }, NOW).unwrap();
    assert_eq!(log.insert(&forged), Err(LogError::NotAuthorized));
    assert_ne!(log.digest(), digest);
    assert!(!log.state().is_member(&keys(20).node_id()));
}

#[test]
fn pitfall_22_no_network_begins_without_its_owners_key() {
    // Another key's genesis is another network's.
    let other = SigningKey::from_bytes(&[8; 32]);
    let foreign = NetworkLog::create(&other, GenesisParams { name: "home".into(), ipv4: None }, NOW).unwrap();
    let mut log = NetworkLog::empty(new_log().network());
    assert_eq!(log.insert(foreign.entries()[0]), Err(LogError::OtherNetwork));
    // Claiming this network's id with another key does not make an owner.
    let body = EntryBody::Genesis(GenesisBody {
        name: "home".into(),
        ipv4: default_ipv4_prefix(&log.network()),
        owner: other.verifying_key().to_bytes(),
    });
    let forged = forge(&log, &other, 0, body);
    assert_eq!(log.insert(&forged), Err(LogError::NotAuthorized));
    assert_eq!(log.state().owner(), None);
    assert!(log.heads().is_empty());
}

#[test]
fn admins_may_not_make_or_unmake_admins() {
    let (admin, second) = (keys(1), keys(2));
    let mut log = log_with_admins(&[&admin, &second]);
    for body in [EntryBody::AdminAdd { node: NodeId([9; 32]) }, log.admin_remove_body(&second.node_id())] {
        assert_eq!(log.author(&admin.node, body.clone(), NOW), Err(LogError::NotAuthorized));
        let forged = forge(&log, &admin.node, 0, body);
        assert_eq!(log.insert(&forged), Err(LogError::NotAuthorized));
    }
    let revoke = EntryBody::MemberRevoke { node: second.node_id() };
    assert!(matches!(log.author(&admin.node, revoke, NOW), Err(LogError::Void(_))));
    for body in log.revoke_bodies(&second.node_id()) {
        log.author(&owner(), body, NOW).unwrap();
    }
    assert!(!log.state().is_member(&second.node_id()) && !log.state().is_admin(&second.node_id()));
    let again = log.author(&owner(), EntryBody::AdminAdd { node: second.node_id() }, NOW);
    assert!(matches!(again, Err(LogError::Void(_))));
}

#[test]
fn pitfall_06_a_revocation_is_by_key_and_only_a_readmission_that_names_it_undoes_it() {
    let admin = keys(1);
    let mut log = log_with_admins(&[&admin]);
    let node = keys(20);
    let first = add(&log, &node, "box");
    log.author(&owner(), first.clone(), NOW).unwrap();
    let mut stale = copy(&log);
    log.author(&owner(), EntryBody::MemberRevoke { node: node.node_id() }, NOW).unwrap();
    assert!(!log.state().is_member(&node.node_id()));
    // The entry of before, a new record of the same key, another name: all void.
    assert!(matches!(log.author(&owner(), first, NOW), Err(LogError::Void(_))));
    let EntryBody::MemberAdd(mut body) = add(&stale, &keys(21), "other") else { panic!() };
    body.record = node.record(99, [3; 20]).raw().to_vec();
    body.kem_key = node.kem_public();
    assert!(matches!(log.author(&owner(), EntryBody::MemberAdd(body), NOW), Err(LogError::Void(_))));
    // A second revocation by an author who knew nothing of a readmission wins.
    let readmit = add(&log, &node, "box");
    log.author(&owner(), readmit, NOW).unwrap();
    assert!(log.state().is_member(&node.node_id()));
    for _ in 0..5 {
        let tags = EntryBody::MemberTags { node: admin.node_id(), tags: Vec::new() };
        stale.author(&admin.node, tags, NOW).unwrap();
    }
    stale.author(&admin.node, EntryBody::MemberRevoke { node: node.node_id() }, NOW).unwrap();
    push(&stale, &mut log);
    assert!(!log.state().is_member(&node.node_id()));
    assert_eq!(copy(&log).state(), log.state());
}

#[test]
fn pitfall_06_no_second_spelling_of_an_entry_is_accepted() {
    let mut log = new_log();
    let mut other = copy(&log);
    let raw = log.author(&owner(), EntryBody::MemberRevoke { node: NodeId([9; 32]) }, NOW).unwrap();
    let signature_at = raw.len() - 64;
    // S + L is the same scalar; a lax verifier accepts it.
    let mut malleated = raw.clone();
    add_group_order(&mut malleated[signature_at + 32..]);
    assert_eq!(other.insert(&malleated), Err(LogError::Entry(EntryError::Signature)));
    // Trailing bytes, long forms of CBOR lengths and integers.
    let mut trailing = raw.clone();
    trailing.push(0);
    assert_eq!(other.insert(&trailing), Err(LogError::Entry(EntryError::NotCanonical)));
    assert_eq!(raw[0], 0x82);
    let mut long_array = vec![0x98, 0x02];
    long_array.extend_from_slice(&raw[1..]);
    assert_eq!(other.insert(&long_array), Err(LogError::Entry(EntryError::NotCanonical)));
    for bit in 0..raw.len() * 8 {
        let mut flipped = raw.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(other.insert(&flipped).is_err(), "bit {bit}");
    }
    assert_eq!(other.digest(), new_log().digest());
    assert_eq!(other.insert(&raw), Ok(Inserted::New));
}

/// Adds the order of the group of edwards25519 to a little-endian scalar (RFC 8032, 5.1).
fn add_group_order(scalar: &mut [u8]) {
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0u16;
    for (byte, add) in scalar.iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
}

#[test]
fn a_node_that_signs_a_long_form_of_its_own_record_is_refused() {
    use crate::identity::{RecordError, SignedRecord, sign};
    let node = keys(20);
    let raw = node.record(1, [0; 20]).raw().to_vec();
    // [58 b?] body: rewrite the last integer (seq 1) as two bytes and sign that.
    let body = raw[3..raw.len() - 66].to_vec();
    let mut long = body[..body.len() - 1].to_vec();
    long.extend_from_slice(&[0x18, 0x01]);
    let signature = sign(&node.node, "NFC/1 record", &long);
    let mut forged = vec![0x82, 0x58, long.len() as u8];
    forged.extend_from_slice(&long);
    forged.extend_from_slice(&[0x58, 64]);
    forged.extend_from_slice(&signature);
    assert_eq!(SignedRecord::verify(&forged), Err(RecordError::NotCanonical));
    assert!(SignedRecord::verify(&raw).is_ok());
}

#[test]
fn an_entry_over_a_limit_is_never_signed() {
    let mut log = new_log();
    let bad = [
        EntryBody::MemberTags { node: NodeId([1; 32]), tags: vec!["Upper".into()] },
        EntryBody::MemberTags { node: NodeId([1; 32]), tags: vec!["b".into(), "a".into()] },
        EntryBody::MemberTags { node: NodeId([1; 32]), tags: (0..17).map(|i| format!("t{i:02}")).collect() },
        EntryBody::MemberRename { node: NodeId([1; 32]), name: "x".repeat(64) },
        EntryBody::MemberRename { node: NodeId([1; 32]), name: "-x".into() },
        EntryBody::RelaySet { relays: (0..17).map(relay).collect() },
        EntryBody::RelaySet { relays: vec![relay(1), relay(1)] },
    ];
    for body in bad {
        assert!(matches!(log.author(&owner(), body, NOW), Err(LogError::Entry(EntryError::Body(_)))));
    }
    assert_eq!(log.entries().len(), 1);
}

#[test]
fn there_are_at_most_32_admins_at_a_time() {
    let mut log = new_log();
    for index in 0..32 {
        log.author(&owner(), EntryBody::AdminAdd { node: NodeId([100 + index; 32]) }, NOW).unwrap();
    }
    let one_more = EntryBody::AdminAdd { node: NodeId([99; 32]) };
    assert!(matches!(log.author(&owner(), one_more.clone(), NOW), Err(LogError::Void(_))));
    log.author(&owner(), log.admin_remove_body(&NodeId([100; 32])), NOW).unwrap();
    log.author(&owner(), one_more, NOW).unwrap();
}

#[test]
fn a_kind_of_a_later_version_is_kept_and_changes_nothing() {
    let mut log = new_log();
    let before = log.state().clone();
    let raw = forge(&log, &owner(), 1, EntryBody::Unknown { kind: 4711, fields: vec![0x82, 0x01, 0x61, 0x78] });
    assert_eq!(log.insert(&raw), Ok(Inserted::New));
    assert_eq!(log.state(), &before);
    log.author(&owner(), EntryBody::MemberRevoke { node: NodeId([1; 32]) }, NOW).unwrap();
    assert_eq!(copy(&log).digest(), log.digest());
}
