//! What members may not share, and what people are told about values that are none.

use super::*;
use crate::identity::{NodeRecord, SignedRecord};

/// A record of this node that claims the session key of another.
fn record_with(node: &NodeKeys, x25519: [u8; 32], seq: u64) -> SignedRecord {
    SignedRecord::sign(&node.node, NodeRecord { node: node.node_id(), x25519, kem_hash: [0; 32], reward: [0; 20], seq })
}

#[test]
fn the_session_key_of_a_member_is_nobody_elses() {
    let (victim, copier) = (keys(20), keys(21));
    let mut log = new_log();
    let body = add(&log, &victim, "victim");
    log.author(&owner(), body, NOW).unwrap();
    let stolen = record_with(&copier, victim.x25519_public(), 1);
    let body = log.state().add_body(&stolen, &[], "copier", &[]).unwrap();
    assert!(
        matches!(log.author(&owner(), body.clone(), NOW), Err(LogError::Void(text)) if text.contains("session key"))
    );
    // A changed program writes it all the same: void at everyone.
    let forged = forge(&log, &owner(), 2, body);
    assert_eq!(log.insert(&forged), Ok(Inserted::New));
    assert!(!log.state().is_member(&copier.node_id()));
    let member = add(&log, &copier, "copier");
    let key = |log: &NetworkLog, node: &NodeKeys| log.state().member(&node.node_id()).map(|member| member.x25519);
    log = {
        let mut fresh = new_log();
        let body = add(&fresh, &victim, "victim");
        fresh.author(&owner(), body, NOW).unwrap();
        fresh.author(&owner(), member, NOW).unwrap();
        fresh
    };
    // Nor can a member take it later on.
    let update = |seq, x25519| EntryBody::RecordUpdate {
        record: record_with(&copier, x25519, seq).raw().to_vec(),
        kem_key: vec![],
    };
    let refused = log.author(&owner(), update(2, victim.x25519_public()), NOW);
    assert!(matches!(refused, Err(LogError::Void(_))));
    log.author(&owner(), update(3, copier.x25519_public()), NOW).unwrap();
    assert_eq!(key(&log, &victim), Some(victim.x25519_public()));
    // One that was given up is free: by an update, or by a revocation.
    log.author(&owner(), update(4, [4; 32]), NOW).unwrap();
    let body = log.state().add_body(&record_with(&keys(22), copier.x25519_public(), 1), &[], "third", &[]).unwrap();
    log.author(&owner(), body, NOW).unwrap();
    log.author(&owner(), EntryBody::MemberRevoke { node: victim.node_id() }, NOW).unwrap();
    log.author(&owner(), update(5, victim.x25519_public()), NOW).unwrap();
    let back = log.state().add_body(&victim.record(1, [0; 20]), &victim.kem_public(), "victim", &[]).unwrap();
    assert!(matches!(log.author(&owner(), back, NOW), Err(LogError::Void(_))));
    assert_eq!(copy(&log).state(), log.state());
}

#[test]
fn of_two_members_added_apart_with_one_session_key_the_earlier_entry_keeps_it() {
    let admins = [keys(1), keys(2)];
    let log = log_with_admins(&[&admins[0], &admins[1]]);
    let mut replicas = [copy(&log), copy(&log)];
    // Replica 1 is one entry ahead, so its member comes later in the order, whoever hears of it first.
    let more = EntryBody::MemberTags { node: admins[1].node_id(), tags: vec!["x".into()] };
    replicas[1].author(&admins[1].node, more, NOW).unwrap();
    for (index, replica) in replicas.iter_mut().enumerate() {
        let record = record_with(&keys(20 + index as u64), [8; 32], 1);
        let body = replica.state().add_body(&record, &[], "box", &[]).unwrap();
        replica.author(&admins[index].node, body, NOW).unwrap();
    }
    settle(&mut replicas);
    for replica in &replicas {
        assert!(replica.state().is_member(&keys(20).node_id()));
        assert!(!replica.state().is_member(&keys(21).node_id()));
    }
    assert_eq!(replicas[0].state(), replicas[1].state());
    assert_eq!(replicas[0].digest(), replicas[1].digest());
}

#[test]
fn a_joiner_with_the_session_key_of_a_member_is_refused_and_its_invite_stays_open() {
    let mut log = new_log();
    let token = token(&log, 50, NOW.unix_s + 60);
    log.author(&owner(), invite_body(&token), NOW).unwrap();
    let body = add(&log, &keys(20), "victim");
    log.author(&owner(), body, NOW).unwrap();
    let record = record_with(&keys(21), keys(20).x25519_public(), 1);
    let (invite, proof) = (token.id(), token.prove(&record));
    let request = Admission { invite: &invite, record: record.raw(), kem_key: &[], name: "n", proof: &proof };
    let issuer = owner().verifying_key().to_bytes();
    assert_eq!(log.state().admit(&issuer, &request, NOW), Err(JoinError::Malformed));
    assert!(admit(&log, &owner(), &token, &keys(22), NOW).is_ok());
}

#[test]
fn a_value_over_a_limit_is_refused_with_what_it_is_and_why() {
    let mut log = new_log();
    let node = NodeId([1; 32]);
    let rename = |name: &str| EntryBody::MemberRename { node, name: name.into() };
    let tagged = |tags: Vec<String>| EntryBody::MemberTags { node, tags };
    let cases = [
        (rename("x y"), r#"name "x y" may hold a-z, 0-9 and - only"#),
        (rename("Box"), r#"name "Box" may hold a-z, 0-9 and - only"#),
        (rename("-x"), r#"name "-x" may neither begin nor end with -"#),
        (rename(""), r#"name "" is empty"#),
        (rename("a\u{1b}[2J"), r#"name "a\u{1b}[2J" may hold a-z, 0-9 and - only"#),
        (tagged(vec!["a_b".into()]), r#"tag "a_b" may hold a-z, 0-9 and - only"#),
        (tagged(vec!["b".into(), "a".into()]), "tags must be sorted, each of them once"),
        (tagged((0..17).map(|i| format!("t{i:02}")).collect()), "17 tags are more than 16"),
        (EntryBody::RelaySet { relays: (0..17).map(relay).collect() }, "17 relays are more than 16"),
    ];
    for (body, text) in cases {
        assert_eq!(log.author(&owner(), body, NOW).unwrap_err().to_string(), text);
    }
    let long = log.author(&owner(), rename(&"x".repeat(5_000)), NOW).unwrap_err().to_string();
    assert!(long.ends_with("has 5000 characters, more than 63") && long.len() < 200, "{long}");
    let twice = EntryBody::RelaySet { relays: vec![relay(1), relay(1)] };
    assert!(log.author(&owner(), twice, NOW).unwrap_err().to_string().ends_with("is listed twice"));
    let prefix = GenesisParams { name: "home".into(), ipv4: Some("10.0.0.0/16".parse().unwrap()) };
    let refused = NetworkLog::create(&owner(), prefix, NOW).err().unwrap();
    assert_eq!(refused.to_string(), "10.0.0.0/16 is no /16 of 100.64.0.0/10");
}
