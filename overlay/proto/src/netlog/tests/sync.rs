use super::*;

#[test]
fn a_change_costs_one_entry_to_pass_on() {
    let admin = keys(1);
    let mut log = log_with_admins(&[&admin]);
    for seed in 20..40 {
        let body = add(&log, &keys(seed), "box");
        log.author(&admin.node, body, NOW).unwrap();
    }
    let mut replica = copy(&log);
    assert!(replica.wanted(&log.heads()).is_empty() && log.missing_for(&replica.heads()).is_empty());
    log.author(&owner(), EntryBody::MemberRevoke { node: keys(20).node_id() }, NOW).unwrap();
    let wanted = replica.wanted(&log.heads());
    assert_eq!(wanted.len(), 1);
    assert_eq!(log.range(&wanted[0]).len(), 1);
    assert_eq!(log.missing_for(&replica.heads()).len(), 1);
    let short = replica.wanted_short(&log.short_heads());
    assert_eq!(log.range_short(&short[0]), log.range(&wanted[0]));
    replica.insert(log.range(&wanted[0])[0]).unwrap();
    assert_eq!(replica.digest(), log.digest());
    // A replica that is behind wants nothing from one that is further behind.
    assert!(log.wanted(&new_log().heads()).is_empty());
}

#[test]
fn heads_of_authors_nobody_appointed_are_not_asked_for() {
    let log = new_log();
    let head = netflow_wire::Head { author: [5; 32], seq: 9, hash: [1; 32] };
    assert!(log.wanted(&[head]).is_empty());
}

#[test]
fn an_entry_ahead_of_its_chain_says_which_ones_are_missing() {
    let mut log = new_log();
    let mut replica = copy(&log);
    for seed in 1..4 {
        log.author(&owner(), EntryBody::MemberRevoke { node: NodeId([seed; 32]) }, NOW).unwrap();
    }
    let author = owner().verifying_key().to_bytes();
    let last = log.entries()[3].to_vec();
    assert_eq!(replica.insert(&last), Ok(Inserted::Gap { author, have: 1, got: 3 }));
    let range = netflow_wire::Range { author, from: 1, to: 3 };
    for raw in log.range(&range) {
        assert_eq!(replica.insert(raw), Ok(Inserted::New));
    }
    assert_eq!(replica.insert(&last), Ok(Inserted::Known));
    assert_eq!(replica.state(), log.state());
}

/// Counts what it is asked.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicU32);

impl crate::identity::Signatures for Counting {
    fn verify(
        &self,
        key: &[u8; 32],
        domain: &str,
        message: &[u8],
        signature: &[u8; 64],
    ) -> Result<(), crate::identity::SignatureError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        crate::identity::Strict.verify(key, domain, message, signature)
    }
}

#[test]
fn an_entry_that_comes_from_a_second_relay_is_not_verified_again_and_a_changed_one_is_refused() {
    let log = log_with_admins(&[&keys(1)]);
    let raws: Vec<Vec<u8>> = log.entries().into_iter().map(<[u8]>::to_vec).collect();
    let counting = std::sync::Arc::new(Counting::default());
    let checked = || counting.0.swap(0, std::sync::atomic::Ordering::Relaxed);
    let mut replica = NetworkLog::empty_with(log.network(), counting.clone());
    replica.insert_all(&raws);
    assert_eq!(checked(), 4, "three entries, and the record in one of them");
    let (results, fresh) = replica.insert_all(&raws);
    assert!(results.iter().all(|result| *result == Ok(Inserted::Known)) && fresh.is_empty());
    assert_eq!(checked(), 0);
    // The last byte is of the signature: the same entry by its hash, and not the bytes that were verified.
    let mut changed = raws[1].clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(replica.insert(&changed).is_err());
    assert_eq!(checked(), 1);
}
