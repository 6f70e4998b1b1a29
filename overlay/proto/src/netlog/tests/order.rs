//! In which order entries can be handed to a replica that has none.

use super::*;

/// An entry with a clock and a predecessor of the test's choice.
fn dated(log: &NetworkLog, key: &SigningKey, seq: u32, prev: EntryHash, lamport: u64, body: EntryBody) -> Vec<u8> {
    let author = key.verifying_key().to_bytes();
    let entry = Entry { network: log.network(), author, seq, prev, lamport, unix_s: NOW.unix_s, body };
    SignedEntry::sign(key, &entry).unwrap().raw().to_vec()
}

fn hash(raw: &[u8]) -> EntryHash {
    SignedEntry::verify(raw).unwrap().hash()
}

fn tags(admin: &NodeKeys, tag: &str) -> EntryBody {
    EntryBody::MemberTags { node: admin.node_id(), tags: vec![tag.into()] }
}

/// One at a time, each of them taken: what `entries` promises.
fn inserted_as_published(log: &NetworkLog) -> NetworkLog {
    let mut replica = NetworkLog::empty(log.network());
    for (index, raw) in log.entries().into_iter().enumerate() {
        let placed = replica.insert(raw);
        assert!(matches!(placed, Ok(Inserted::New | Inserted::Fork)), "entry {index}: {placed:?}");
    }
    replica
}

fn assert_published_whole(log: &NetworkLog) {
    for replica in [inserted_as_published(log), copy(log)] {
        assert_eq!(replica.digest(), log.digest());
        assert_eq!(replica.state(), log.state());
        assert_eq!(replica.frozen(), log.frozen());
    }
}

#[test]
fn an_entry_dated_before_its_authors_appointment_is_published_behind_it() {
    let admin = keys(1);
    let mut log = log_with_admins(&[&admin]);
    let early = dated(&log, &admin.node, 0, EntryHash([0; 32]), 1, tags(&admin, "early"));
    assert_eq!(log.insert(&early), Ok(Inserted::New));
    let next = dated(&log, &admin.node, 1, hash(&early), 2, tags(&admin, "next"));
    assert_eq!(log.insert(&next), Ok(Inserted::New));
    assert_published_whole(&log);
}

#[test]
fn a_fork_whose_second_entry_continues_nothing_is_published_whole() {
    let admin = keys(1);
    let mut log = log_with_admins(&[&admin]);
    log.author(&admin.node, tags(&admin, "good"), NOW).unwrap();
    let bad = dated(&log, &admin.node, 0, EntryHash([9; 32]), 1, tags(&admin, "bad"));
    assert_eq!(log.insert(&bad), Ok(Inserted::Fork));
    assert_published_whole(&log);
}

#[test]
fn a_fork_of_the_owner_that_takes_an_end_back_is_published_whole() {
    let admin = keys(1);
    let mut log = log_with_admins(&[&admin]);
    log.author(&admin.node, tags(&admin, "a"), NOW).unwrap();
    let other = copy(&log);
    let remove = EntryBody::AdminRemove { node: admin.node_id(), last: None };
    log.author(&owner(), remove, NOW).unwrap();
    let forged =
        dated(&other, &owner(), 3, SignedEntry::verify(log.entries()[2]).unwrap().hash(), 90, tags(&admin, "b"));
    assert_eq!(log.insert(&forged), Ok(Inserted::Fork));
    let second = other.heads().into_iter().find(|head| head.author == admin.node_id().0).unwrap();
    let late = dated(&log, &admin.node, 1, EntryHash(second.hash), 50, tags(&admin, "late"));
    assert_eq!(log.insert(&late), Ok(Inserted::New));
    assert_published_whole(&log);
}

#[test]
fn an_ended_chain_dated_behind_its_end_and_half_collected_is_published_whole() {
    let admin = keys(1);
    let base = log_with_admins(&[&admin]);
    let mut right = copy(&base);
    for step in 0..6 {
        right.author(&admin.node, tags(&admin, &format!("r{step}")), NOW).unwrap();
    }
    let chain: Vec<Vec<u8>> = right.entries()[3..].iter().map(|raw| raw.to_vec()).collect();
    let mut log = copy(&base);
    let last = Some((5, hash(&chain[5])));
    // The end is dated below the entries it names: the owner's replica had them from a faster clock.
    log.author(&owner(), EntryBody::AdminRemove { node: admin.node_id(), last }, NOW).unwrap();
    log.insert(&chain[0]).unwrap();
    for raw in chain[3..].iter().rev() {
        assert_eq!(log.insert(raw), Ok(Inserted::New));
    }
    assert_published_whole(&log);
    log.insert(&chain[2]).unwrap();
    log.insert(&chain[1]).unwrap();
    assert_eq!(log.state().member(&admin.node_id()).unwrap().tags, ["r5"], "the end names what counts, not the clocks");
    assert_published_whole(&log);
}

#[test]
fn a_batch_keeps_an_entry_that_continues_nothing_until_it_proves_a_fork() {
    let admin = keys(1);
    let log = log_with_admins(&[&admin]);
    let good = dated(&log, &admin.node, 0, EntryHash([0; 32]), 10, tags(&admin, "good"));
    let bad = dated(&log, &admin.node, 0, EntryHash([9; 32]), 11, tags(&admin, "bad"));
    let good_next = dated(&log, &admin.node, 1, hash(&good), 20, tags(&admin, "next"));
    // Not above the clock of the entry before.
    let slow = dated(&log, &admin.node, 1, hash(&good), 10, tags(&admin, "slow"));
    for batch in [vec![bad, good.clone()], vec![slow, good, good_next]] {
        let mut replica = copy(&log);
        let (_, order) = replica.insert_all(&batch);
        assert_eq!(order.len(), batch.len());
        assert_eq!(replica.frozen(), vec![admin.node_id()]);
        let stored = log.entries().into_iter().map(<[u8]>::to_vec).chain(batch);
        assert_eq!(NetworkLog::from_entries(log.network(), stored).unwrap().frozen(), vec![admin.node_id()]);
    }
}

#[test]
fn nothing_is_signed_with_a_key_that_is_known_to_have_signed_more() {
    let mut log = new_log();
    let mut restored = copy(&log);
    let revoke = |seed| EntryBody::MemberRevoke { node: NodeId([seed; 32]) };
    let raws: Vec<Vec<u8>> = (1..4).map(|seed| log.author(&owner(), revoke(seed), NOW).unwrap()).collect();
    let key = owner().verifying_key().to_bytes();
    // What peers announce is a hint only; the entry itself is proof.
    assert_eq!(restored.lags(&key, &log.short_heads()), Some(1));
    assert_eq!(log.lags(&key, &restored.short_heads()), None);
    assert_eq!(log.lags(&key, &log.short_heads()), None);
    assert!(matches!(restored.insert(&raws[2]), Ok(Inserted::Gap { .. })));
    assert!(matches!(restored.author(&owner(), revoke(9), NOW), Err(LogError::Void(_))));
    restored.insert_all(&raws);
    restored.author(&owner(), revoke(9), NOW).unwrap();
    assert!(restored.frozen().is_empty());
}
