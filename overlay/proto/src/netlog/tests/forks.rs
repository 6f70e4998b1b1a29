use super::*;

fn two_entries_at_one_place() -> (NetworkLog, NodeKeys, Vec<u8>) {
    let admin = keys(1);
    let mut log = log_with_admins(&[&admin]);
    for seed in 20..24 {
        let body = add(&log, &keys(seed), "box");
        log.author(&admin.node, body, NOW).unwrap();
    }
    let forged = forge(&log, &admin.node, 2, EntryBody::MemberRevoke { node: keys(20).node_id() });
    (log, admin, forged)
}

#[test]
fn an_author_that_equivocates_counts_only_up_to_there_on_every_replica() {
    let (mut log, admin, forged) = two_entries_at_one_place();
    let mut other = copy(&log);
    assert_eq!(log.insert(&forged), Ok(Inserted::Fork));
    assert_eq!(log.frozen(), vec![admin.node_id()]);
    assert_eq!(log.state().members().len(), 3, "the admin and the two members before the fork");
    assert_ne!(log.digest(), other.digest());
    let mut replicas = [log, other];
    settle(&mut replicas);
    let [log, mut other_after] = replicas;
    other = copy(&log);
    assert_eq!(other_after.state(), log.state());
    assert_eq!(other_after.digest(), log.digest());
    assert_eq!(other.digest(), log.digest());
    let body = add(&other_after, &keys(90), "box");
    assert!(matches!(other_after.author(&admin.node, body, NOW), Err(LogError::Void(_))));
}

#[test]
fn the_owner_heals_a_fork_by_naming_the_last_entry_that_counts() {
    let (mut log, admin, forged) = two_entries_at_one_place();
    let honest = copy(&log);
    log.insert(&forged).unwrap();
    // The owner's replica never saw the forged entry and removes the admin with everything it wrote.
    let mut owners = copy(&honest);
    owners.author(&owner(), owners.admin_remove_body(&admin.node_id()), NOW).unwrap();
    assert_eq!(owners.state().members().len(), 5);
    let mut replicas = [log, owners];
    settle(&mut replicas);
    assert_eq!(replicas[0].state(), replicas[1].state());
    assert_eq!(replicas[0].digest(), replicas[1].digest());
    assert_eq!(replicas[0].state().members().len(), 5, "what it wrote honestly counts again");
    assert!(replicas[0].frozen().is_empty());
}

#[test]
fn a_healed_log_is_read_back_from_the_entries_in_the_order_they_were_stored() {
    let (log, admin, forged) = two_entries_at_one_place();
    let mut stored: Vec<Vec<u8>> = log.entries().into_iter().map(<[u8]>::to_vec).collect();
    stored.push(forged);
    let mut owners = copy(&log);
    stored.push(owners.author(&owner(), owners.admin_remove_body(&admin.node_id()), NOW).unwrap());
    // No peer is there to send again what the fork took out for a while.
    let reloaded = NetworkLog::from_entries(log.network(), stored).unwrap();
    assert_eq!(reloaded.state(), owners.state());
    assert_eq!(reloaded.digest(), owners.digest());
}

#[test]
fn a_removed_admin_writes_nothing_more_whatever_date_it_gives() {
    let admin = keys(1);
    let mut log = log_with_admins(&[&admin]);
    let body = add(&log, &keys(20), "box");
    log.author(&admin.node, body, NOW).unwrap();
    let mut offline = copy(&log);
    log.author(&owner(), log.admin_remove_body(&admin.node_id()), NOW).unwrap();
    let body = add(&offline, &keys(21), "late");
    let late = offline.author(&admin.node, body, NOW).unwrap();
    assert_eq!(log.insert(&late), Ok(Inserted::Beyond));
    assert!(!log.state().is_member(&keys(21).node_id()));
    push(&log, &mut offline);
    assert_eq!(offline.state(), log.state());
    assert_eq!(offline.digest(), log.digest());
    // A fork below the end changes nothing either: the owner has named the branch.
    let forged = forge(&copy(&log), &admin.node, 0, EntryBody::MemberRevoke { node: keys(20).node_id() });
    assert_eq!(log.insert(&forged), Ok(Inserted::Beyond));
    assert!(log.state().is_member(&keys(20).node_id()));
}

#[test]
fn a_replica_on_the_wrong_branch_finds_the_right_one_backwards() {
    let admin = keys(1);
    let base = log_with_admins(&[&admin]);
    let (mut left, mut right) = (copy(&base), copy(&base));
    for seed in 0..150 {
        let tags = vec![format!("l{seed}")];
        left.author(&admin.node, EntryBody::MemberTags { node: admin.node_id(), tags }, NOW).unwrap();
        let tags = vec![format!("r{seed}")];
        right.author(&admin.node, EntryBody::MemberTags { node: admin.node_id(), tags }, NOW).unwrap();
    }
    right.author(&owner(), right.admin_remove_body(&admin.node_id()), NOW).unwrap();
    let mut replicas = [left, right];
    settle(&mut replicas);
    assert_eq!(replicas[0].state(), replicas[1].state());
    assert_eq!(replicas[0].digest(), replicas[1].digest());
    assert_eq!(replicas[0].state().member(&admin.node_id()).unwrap().tags, vec!["r149"]);
}

#[test]
fn an_admin_with_the_highest_clock_stops_nobody() {
    let admin = keys(1);
    let mut log = log_with_admins(&[&admin]);
    let body = EntryBody::MemberTags { node: admin.node_id(), tags: Vec::new() };
    let entry = Entry {
        network: log.network(),
        author: admin.node_id().0,
        seq: 0,
        prev: EntryHash([0; 32]),
        lamport: limits::MAX_LAMPORT,
        unix_s: 0,
        body,
    };
    log.insert(SignedEntry::sign(&admin.node, &entry).unwrap().raw()).unwrap();
    let body = add(&log, &keys(20), "box");
    log.author(&owner(), body, NOW).unwrap();
    assert!(log.state().is_member(&keys(20).node_id()));
    log.author(&owner(), log.admin_remove_body(&admin.node_id()), NOW).unwrap();
    assert_eq!(copy(&log).state(), log.state());
}
