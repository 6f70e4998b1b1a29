use super::*;
use crate::identity::{NodeRecord, SignedRecord};

#[test]
fn an_invite_admits_its_holder_once_with_a_name_an_address_and_its_tags() {
    let mut log = new_log();
    let token = token(&log, 50, NOW.unix_s + 60);
    log.author(&owner(), invite_body(&token), NOW).unwrap();
    let node = keys(20);
    let body = admit(&log, &owner(), &token, &node, NOW).unwrap();
    log.author(&owner(), body, NOW).unwrap();
    let member = log.state().member(&node.node_id()).unwrap();
    assert_eq!(member.name, "laptop-of-ada");
    assert_eq!(member.tags, vec!["guest"]);
    assert_eq!(log.state().member_by_ip(member.ipv4.unwrap().into()).unwrap().node, node.node_id());
    assert_eq!(log.state().member_by_ip(member.ipv6.into()).unwrap().node, node.node_id());
    assert_eq!(log.state().invites()[&token.id()].status, InviteStatus::Used(node.node_id()));
    assert_eq!(admit(&log, &owner(), &token, &node, NOW), Err(JoinError::Member));
    assert_eq!(admit(&log, &owner(), &token, &keys(21), NOW), Err(JoinError::Used));
    // Whoever was shut out is not told that it is a member.
    log.author(&owner(), EntryBody::MemberRevoke { node: node.node_id() }, NOW).unwrap();
    assert_eq!(admit(&log, &owner(), &token, &node, NOW), Err(JoinError::Used));
}

#[test]
fn every_bad_invite_has_its_own_reason() {
    let admin = keys(1);
    let mut log = log_with_admins(&[&admin]);
    let open = token(&log, 50, NOW.unix_s + 60);
    let node = keys(20);
    assert_eq!(admit(&log, &owner(), &open, &node, NOW), Err(JoinError::Unknown));
    log.author(&owner(), invite_body(&open), NOW).unwrap();
    assert_eq!(admit(&log, &admin.node, &open, &node, NOW), Err(JoinError::Foreign));
    let late = Now { mono_us: 0, unix_s: NOW.unix_s + 61 };
    assert_eq!(admit(&log, &owner(), &open, &node, late), Err(JoinError::Expired));
    log.author(&owner(), EntryBody::MemberRevoke { node: node.node_id() }, NOW).unwrap();
    assert_eq!(admit(&log, &owner(), &open, &node, NOW), Err(JoinError::Revoked));
    let (record, kem_key) = (keys(21).record(1, [0; 20]), keys(21).kem_public());
    let (invite, proof) = (open.id(), token(&log, 51, 0).prove(&record));
    let request = Admission { invite: &invite, record: record.raw(), kem_key: &kem_key, name: "x", proof: &proof };
    let issuer = owner().verifying_key().to_bytes();
    assert_eq!(log.state().admit(&issuer, &request, NOW), Err(JoinError::Malformed), "proof by another key");
    let proof = open.prove(&record);
    let request = Admission { proof: &proof, kem_key: &[], ..request };
    assert_eq!(log.state().admit(&issuer, &request, NOW), Err(JoinError::Malformed), "another ML-KEM key");
    log.author(&owner(), EntryBody::InviteCancel { invite }, NOW).unwrap();
    assert_eq!(admit(&log, &owner(), &open, &keys(22), NOW), Err(JoinError::Cancelled));
}

#[test]
fn pitfall_21_a_thousand_redemptions_of_one_invite_make_one_member() {
    let mut log = new_log();
    let token = token(&log, 50, NOW.unix_s + 60);
    log.author(&owner(), invite_body(&token), NOW).unwrap();
    let issuer = owner().verifying_key().to_bytes();
    let mut won = 0;
    // All requests are checked before the first is answered, as if they had arrived together.
    let bodies: Vec<EntryBody> = (0..1000u64)
        .map(|index| {
            let mut seed = [9; 32];
            seed[..8].copy_from_slice(&index.to_be_bytes());
            let key = SigningKey::from_bytes(&seed);
            let node = NodeId(key.verifying_key().to_bytes());
            let fields = NodeRecord { node, x25519: seed, kem_hash: [0; 32], reward: [0; 20], seq: 1 };
            let record = SignedRecord::sign(&key, fields);
            let (invite, proof) = (token.id(), token.prove(&record));
            let request = Admission { invite: &invite, record: record.raw(), kem_key: &[], name: "n", proof: &proof };
            log.state().admit(&issuer, &request, NOW).unwrap()
        })
        .collect();
    for body in bodies {
        won += usize::from(log.author(&owner(), body, NOW).is_ok());
    }
    assert_eq!(won, 1);
    assert_eq!(log.state().members().len(), 1);
}

#[test]
fn pitfall_21_two_admins_who_redeem_one_invite_apart_merge_into_one_member() {
    let admins = [keys(1), keys(2)];
    let mut log = log_with_admins(&[&admins[0], &admins[1]]);
    let token = token(&log, 50, NOW.unix_s + 60);
    log.author(&admins[0].node, invite_body(&token), NOW).unwrap();
    let mut replicas = [copy(&log), copy(&log)];
    // The second admin's program is changed: it redeems an invite that is not its own.
    let body = admit(&log, &admins[0].node, &token, &keys(20), NOW).unwrap();
    replicas[0].author(&admins[0].node, body, NOW).unwrap();
    let stolen = admit(&log, &admins[0].node, &token, &keys(21), NOW).unwrap();
    assert!(matches!(replicas[1].author(&admins[1].node, stolen.clone(), NOW), Err(LogError::Void(_))));
    let forged = forge(&replicas[1], &admins[1].node, 0, stolen);
    assert_eq!(replicas[1].insert(&forged), Ok(Inserted::New));
    settle(&mut replicas);
    for replica in &replicas {
        assert!(replica.state().is_member(&keys(20).node_id()));
        assert!(!replica.state().is_member(&keys(21).node_id()));
        assert_eq!(replica.state().members().len(), 3);
    }
    assert_eq!(replicas[0].digest(), replicas[1].digest());
}

#[test]
fn a_full_list_of_invites_makes_room_for_new_ones_only_by_expiry() {
    let mut log = new_log();
    for index in 0..limits::MAX_INVITES_OUTSTANDING {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(index as u64).to_be_bytes());
        let body = EntryBody::InviteCreate { invite: InviteId(id), expires_unix_s: NOW.unix_s + 9, tags: vec![] };
        log.author(&owner(), body, NOW).unwrap();
    }
    let body = invite_body(&token(&log, 50, NOW.unix_s + 60));
    assert!(matches!(log.author(&owner(), body.clone(), NOW), Err(LogError::Void(_))));
    let later = Now { mono_us: 0, unix_s: NOW.unix_s + 10 };
    log.author(&owner(), body, later).unwrap();
}

#[test]
fn two_members_never_share_an_address_or_a_name() {
    let admins = [keys(1), keys(2)];
    let log = log_with_admins(&[&admins[0], &admins[1]]);
    let mut replicas = [copy(&log), copy(&log)];
    let same: std::net::Ipv4Addr = log.state().free_ipv4(&keys(20).node_id()).unwrap();
    for (index, replica) in replicas.iter_mut().enumerate() {
        let EntryBody::MemberAdd(mut body) = add(replica, &keys(20 + index as u64), "box") else { panic!() };
        body.ipv4 = same;
        replica.author(&admins[index].node, EntryBody::MemberAdd(body), NOW).unwrap();
    }
    settle(&mut replicas);
    assert_eq!(replicas[0].state(), replicas[1].state());
    let members: Vec<&Member> =
        [20, 21].iter().map(|seed| replicas[0].state().member(&keys(*seed).node_id()).unwrap()).collect();
    assert_eq!(members.iter().filter(|member| member.ipv4 == Some(same)).count(), 1);
    assert_eq!(members.iter().filter(|member| member.ipv4.is_none()).count(), 1);
    assert_ne!(members[0].name, members[1].name);
    let later = members.iter().find(|member| member.ipv4.is_none()).unwrap().node;
    let ipv4 = replicas[0].state().free_ipv4(&later).unwrap();
    replicas[0].author(&owner(), EntryBody::MemberAddress { node: later, ipv4 }, NOW).unwrap();
    assert_eq!(replicas[0].state().member_by_ip(ipv4.into()).unwrap().node, later);
}
