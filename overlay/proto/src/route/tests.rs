//! Against a second, slower way to say the same.

use std::collections::BTreeSet;

use netflow_wire::NodeId;
use netflow_wire::control::{CandidatePath, LinkAdvert, RelayAdvert};
use proptest::prelude::*;

use super::*;
use crate::time::{Now, SECOND_US};

fn at(mono_us: u64) -> Now {
    Now { mono_us, unix_s: 0 }
}

fn id(number: u8) -> NodeId {
    NodeId([number; 32])
}

fn advert(origin: u8, seq: u64, links: &[(u8, u32, u16)]) -> RelayAdvert {
    let link = |(to, rtt_us, loss_permille): &(u8, u32, u16)| LinkAdvert {
        neighbour: id(*to),
        rtt_us: *rtt_us,
        loss_permille: *loss_permille,
    };
    RelayAdvert {
        origin: id(origin),
        seq,
        age_s: 0,
        hops: 0,
        load_permille: 0,
        price: 0,
        links: links.iter().map(link).collect(),
        signature: [0; 64],
    }
}

fn insert(table: &mut LinkTable, now: Now, advert: RelayAdvert) -> Accepted {
    table.insert(now, Verified::unchecked(advert))
}

/// Symmetric links with a round trip in milliseconds.
fn mesh(links: &[(u8, u8, u32)]) -> LinkTable {
    let mut table = LinkTable::new(id(0));
    for node in 0..20 {
        let mine: Vec<(u8, u32, u16)> = links
            .iter()
            .filter(|(a, b, _)| *a == node || *b == node)
            .map(|(a, b, ms)| (if *a == node { *b } else { *a }, ms * 1_000, 0))
            .collect();
        if node == 0 {
            table.set_own(at(0), advert(0, 1, &mine));
        } else if !mine.is_empty() {
            insert(&mut table, at(0), advert(node, 1, &mine));
        }
    }
    table
}

fn relays(path: &CandidatePath) -> Vec<u8> {
    path.relays.iter().map(|relay| relay.0[0]).collect()
}

fn paths(table: &LinkTable, to: &[u8], class: Class) -> Vec<Vec<u8>> {
    let to = to.iter().map(|number| id(*number)).collect();
    best_paths(table, id(0), &to, class).iter().map(relays).collect()
}

#[test]
fn a_detour_is_taken_only_when_it_is_better() {
    let table = mesh(&[(0, 1, 100), (0, 2, 10), (2, 1, 10)]);
    assert_eq!(paths(&table, &[1], Class::Interactive), [vec![0, 2, 1], vec![0, 1]]);
    let table = mesh(&[(0, 1, 19), (0, 2, 10), (2, 1, 10)]);
    assert_eq!(paths(&table, &[1], Class::Interactive), [vec![0, 1]], "the longer one is no better and not shown");
    assert_eq!(paths(&table, &[0], Class::Interactive), [vec![0]]);
    assert_eq!(paths(&mesh(&[(0, 1, 1)]), &[7], Class::Bulk), Vec::<Vec<u8>>::new());
}

#[test]
fn price_load_and_loss_count_as_the_class_says() {
    let mut table = LinkTable::new(id(0));
    table.set_own(at(0), advert(0, 1, &[(1, 5_000, 0), (2, 6_000, 30), (3, 20_000, 0)]));
    insert(&mut table, at(0), RelayAdvert { price: 50, ..advert(1, 1, &[(0, 5_000, 0), (9, 5_000, 0)]) });
    insert(&mut table, at(0), advert(2, 1, &[(0, 6_000, 30), (9, 5_000, 0)]));
    insert(&mut table, at(0), RelayAdvert { load_permille: 900, ..advert(3, 1, &[(0, 20_000, 0), (9, 5_000, 0)]) });
    insert(&mut table, at(0), advert(9, 1, &[(1, 5_000, 0), (2, 5_000, 0), (3, 5_000, 0)]));
    assert_eq!(paths(&table, &[9], Class::Interactive)[0], [0, 1, 9]);
    assert_eq!(paths(&table, &[9], Class::Cheap)[0], [0, 2, 9]);
    assert_eq!(paths(&table, &[9], Class::Bulk), [vec![0, 1, 9], vec![0, 2, 9], vec![0, 3, 9]]);
}

#[test]
fn a_link_only_one_end_tells_of_is_none() {
    let mut table = LinkTable::new(id(0));
    table.set_own(at(0), advert(0, 1, &[(1, 1_000, 0)]));
    insert(&mut table, at(0), advert(1, 1, &[(2, 1_000, 0)]));
    assert_eq!(paths(&table, &[1], Class::Interactive), Vec::<Vec<u8>>::new());
    insert(&mut table, at(0), advert(1, 2, &[(0, 3_000, 20)]));
    assert_eq!(table.link(&id(0), &id(1)), Some(LinkQuality { rtt_us: 3_000, loss_permille: 20 }));
}

#[test]
fn an_advert_is_passed_on_once_and_ends_by_age_and_hops() {
    let mut table = LinkTable::new(id(0));
    let first = advert(1, 5, &[]);
    assert_eq!(insert(&mut table, at(0), first.clone()), Accepted::New(RelayAdvert { hops: 1, ..first.clone() }));
    assert_eq!(insert(&mut table, at(0), first.clone()), Accepted::Dropped, "a copy that went round");
    assert_eq!(insert(&mut table, at(0), advert(1, 4, &[])), Accepted::Dropped);
    assert_eq!(insert(&mut table, at(0), RelayAdvert { hops: 8, ..advert(2, 1, &[]) }), Accepted::Dropped);
    assert_eq!(insert(&mut table, at(0), RelayAdvert { age_s: 90, ..advert(2, 1, &[]) }), Accepted::Dropped);
    assert_eq!(insert(&mut table, at(0), advert(0, 77, &[])), Accepted::Own(77));
    table.set_own(at(0), advert(0, 78, &[]));
    assert_eq!(insert(&mut table, at(0), advert(0, 78, &[])), Accepted::Dropped, "our own words that went round");
    assert!(table.all(at(30 * SECOND_US)).iter().any(|advert| advert.origin == id(1) && advert.age_s == 30));
    assert!(!table.expire(at(89 * SECOND_US)));
    assert_eq!(table.next_expiry(), Some(90 * SECOND_US));
    assert!(table.expire(at(90 * SECOND_US)) && table.len() == 1, "all but our own");
    assert_eq!(
        insert(&mut table, at(91 * SECOND_US), first.clone()),
        Accepted::Dropped,
        "its last words do not raise the dead"
    );
    assert!(matches!(insert(&mut table, at(91 * SECOND_US), advert(1, 6, &[])), Accepted::New(_)));
}

#[test]
fn the_table_never_holds_more_relays_than_its_limit() {
    let mut table = LinkTable::new(id(0));
    for number in 0..1_000u32 {
        let mut origin = [9; 32];
        origin[..4].copy_from_slice(&number.to_le_bytes());
        insert(&mut table, at(0), RelayAdvert { origin: NodeId(origin), ..advert(1, 1, &[]) });
    }
    assert_eq!(table.len(), 256);
}

/// Every sequence of one to three different relays, judged by the definition.
fn brute_force(table: &LinkTable, nodes: u8, to: &BTreeSet<NodeId>, class: Class) -> Vec<(u64, Vec<NodeId>)> {
    let mut sequences = vec![vec![id(0)]];
    for a in 1..nodes {
        sequences.push(vec![id(0), id(a)]);
        for b in (1..nodes).filter(|b| *b != a) {
            sequences.push(vec![id(0), id(a), id(b)]);
        }
    }
    let mut all = Vec::new();
    for relays in sequences {
        let links: Option<Vec<LinkQuality>> =
            relays.iter().zip(relays.iter().skip(1)).map(|(a, b)| table.link(a, b)).collect();
        let (Some(links), true) = (links, relays.last().is_some_and(|last| to.contains(last))) else { continue };
        let arrive = links.iter().fold(1_000_000, |left, link| left * u64::from(1_000 - link.loss_permille) / 1_000);
        let path = CandidatePath {
            rtt_us: links.iter().map(|link| link.rtt_us).sum(),
            loss_permille: u16::try_from((1_000_000 - arrive).div_ceil(1_000)).unwrap(),
            load_permille: relays.iter().map(|relay| table.relay(relay).0).max().unwrap(),
            price: relays.iter().map(|relay| table.relay(relay).1).sum(),
            relays: relays.clone(),
        };
        all.push((class.metric(&path), relays));
    }
    all.sort_by_key(|(metric, relays)| (*metric, relays.len(), relays.clone()));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_is_that_of_brute_force(
        links in prop::collection::vec((0..9u8, 0..9u8, 1..200_000u32, 0..200u16), 0..40),
        states in prop::collection::vec((0..1_200u16, 0..100u32), 9),
        to in prop::collection::btree_set(0..9u8, 0..5),
        class in prop::sample::select(vec![Class::Interactive, Class::Bulk, Class::Cheap]),
    ) {
        let mut table = LinkTable::new(id(0));
        for node in 0..9u8 {
            let mine: Vec<(u8, u32, u16)> = links.iter().filter_map(|(a, b, rtt, loss)| match node {
                _ if a == b => None,
                _ if node == *a => Some((*b, *rtt, *loss)),
                _ if node == *b => Some((*a, rtt / 2 + 1, loss / 2)),
                _ => None,
            }).collect();
            let (load_permille, price) = states[usize::from(node)];
            let told = RelayAdvert { load_permille, price, ..advert(node, 1, &mine) };
            if node == 0 { table.set_own(at(0), told) } else { prop_assert!(insert(&mut table, at(0), told) != Accepted::Dropped) }
        }
        let to: BTreeSet<NodeId> = to.into_iter().map(id).collect();
        let answer = best_paths(&table, id(0), &to, class);
        let all = brute_force(&table, 9, &to, class);
        // Best first; nothing that is a detour of something as good; the first is the best there is.
        let mut expected: Vec<Vec<NodeId>> = Vec::new();
        for (_, relays) in all {
            let detour = expected.iter().any(|better: &Vec<NodeId>| better.iter().all(|relay| relays.contains(relay)));
            if !detour && expected.len() < 3 {
                expected.push(relays);
            }
        }
        let got: Vec<Vec<NodeId>> = answer.iter().map(|path| path.relays.clone()).collect();
        prop_assert_eq!(&got, &expected);
        prop_assert_eq!(best_paths(&table, id(0), &to, class), answer.clone(), "the same again");
        for path in answer {
            let once: BTreeSet<&NodeId> = path.relays.iter().collect();
            prop_assert!(once.len() == path.relays.len() && path.relays.len() <= 3 && path.relays[0] == id(0));
        }
    }
}
