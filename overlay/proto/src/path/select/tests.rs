use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::path::{Metrics, Snapshot};

fn at(mono_us: u64) -> Now {
    Now { mono_us, unix_s: 0 }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

/// A loss known without doubt.
const fn sure(ppm: u32) -> LossRange {
    LossRange { low_ppm: ppm, high_ppm: ppm }
}

const fn offer(key: u8, relays: u8, rtt_ms: u64) -> Offer<u8> {
    let rtt_us = Some(rtt_ms * MILLI_US);
    Offer { key, relays, standing: Standing::Good, rtt_us, loss: sure(0), goodput_bps: None, price: relays as u64 }
}

/// A chooser that has used `key` for a minute.
fn using(key: u8, offers: &[Offer<u8>]) -> Chooser<u8> {
    let mut chooser = Chooser::default();
    let only: Vec<Offer<u8>> = offers.iter().filter(|offer| offer.key == key).copied().collect();
    chooser.choose(at(0), &only, &mut rng());
    assert_eq!(chooser.current(Class::Interactive), Some(key));
    chooser
}

fn after_a_minute(key: u8, class: Class, offers: &[Offer<u8>]) -> u8 {
    let mut chooser = using(key, offers);
    chooser.choose(at(60 * SECOND_US), offers, &mut rng());
    chooser.current(class).unwrap()
}

#[test]
fn a_worse_direct_path_loses_to_a_better_relay() {
    let offers = [offer(0, 0, 80), offer(1, 1, 30)];
    assert_eq!(after_a_minute(0, Class::Interactive, &offers), 1);
    assert_eq!(after_a_minute(1, Class::Interactive, &offers), 1);
    let mut lossy = [offer(0, 0, 30), offer(1, 1, 30)];
    lossy[0].loss = sure(80_000);
    assert_eq!(after_a_minute(1, Class::Interactive, &lossy), 1);
    assert_eq!(after_a_minute(0, Class::Bulk, &lossy), 1);
}

#[test]
fn among_near_equals_direct_beats_relayed_and_fewer_relays_beat_more() {
    let offers = [offer(0, 0, 42), offer(1, 1, 40), offer(2, 2, 39)];
    for class in [Class::Interactive, Class::Bulk] {
        assert_eq!(after_a_minute(2, class, &offers), 0);
        assert_eq!(after_a_minute(2, class, &offers[1..]), 1);
    }
}

#[test]
fn a_direct_path_is_taken_at_once_while_one_relay_is_not_left_for_another_in_the_first_seconds() {
    let relays = [offer(1, 1, 90), offer(2, 1, 30)];
    let mut chooser = using(1, &relays);
    assert!(!chooser.choose(at(SECOND_US), &relays, &mut rng()));
    let with_direct = [relays[0], relays[1], offer(0, 0, 25)];
    assert!(chooser.choose(at(2 * SECOND_US), &with_direct, &mut rng()));
    assert_eq!(chooser.current(Class::Bulk), Some(0));
    assert!(chooser.reason(Class::Bulk).starts_with("direct, 25.0 ms"), "{}", chooser.reason(Class::Bulk));
}

#[test]
fn a_dead_path_is_left_at_once_and_again_and_again() {
    let mut chooser = using(0, &[offer(0, 0, 20), offer(1, 1, 30)]);
    for step in 0..20u64 {
        let mut offers = [offer(0, 0, 20), offer(1, 1, 30)];
        offers[usize::from(step % 2 == 1)].standing = Standing::Dead;
        assert!(chooser.choose(at(step), &offers, &mut rng()), "step {step}");
        assert_eq!(chooser.current(Class::Interactive), Some(u8::from(step % 2 == 0)));
    }
}

#[test]
fn each_class_gets_what_it_asks_for() {
    let mut fast = offer(1, 1, 20);
    (fast.price, fast.goodput_bps) = (9, Some(20_000_000));
    let mut wide = offer(2, 1, 60);
    (wide.price, wide.goodput_bps) = (5, Some(400_000_000));
    let mut cheap = offer(3, 1, 200);
    (cheap.price, cheap.goodput_bps) = (1, Some(5_000_000));
    let offers = [fast, wide, cheap];
    for (class, key) in [(Class::Interactive, 1), (Class::Bulk, 2), (Class::Cheap, 3)] {
        assert_eq!(after_a_minute(if key == 1 { 2 } else { 1 }, class, &offers), key, "{}", class.name());
    }
}

#[test]
fn when_a_relay_dies_its_users_spread_over_the_others() {
    let offers: Vec<Offer<u8>> = (1..=4).map(|key| offer(key, 1, 40 + u64::from(key))).collect();
    let mut counts = [0u32; 5];
    let mut rng = rng();
    for _ in 0..1_000 {
        let mut chooser = using(1, &offers);
        let mut now = offers.clone();
        now[0].standing = Standing::Dead;
        chooser.choose(at(1), &now, &mut rng);
        counts[usize::from(chooser.current(Class::Interactive).unwrap())] += 1;
    }
    assert!(counts[2..].iter().all(|count| *count > 250), "{counts:?}");
}

/// A direct path and one through a relay on lines that lose `direct` and `relayed` of a thousand frames each way, and one packet a second:
/// the seconds at which the path changed in an hour. Probes go as `node::paths` sends them: every five seconds on both.
fn an_hour_at_one_packet_a_second(seed: u64, direct: u32, relayed: u32) -> Vec<u64> {
    let mut weather = ChaCha20Rng::seed_from_u64(seed);
    let mut draws = rng();
    let mut gets_through = |per_mille: u32| weather.next_u32() % 1_000 >= per_mille;
    let lines = [(0u8, 0u8, 40u64, direct), (1, 1, 44, relayed)];
    let (mut metrics, mut tx, mut rx) = ([Metrics::default(); 2], [0u32; 2], [0u32; 2]);
    let mut chooser = Chooser::default();
    let mut changed = Vec::new();
    for second in 0..3_600u64 {
        for (at, (_, _, rtt_ms, per_mille)) in lines.iter().enumerate() {
            let used = chooser.current(Class::Interactive).is_none_or(|key| usize::from(key) == at);
            let frames = u32::from(used) + u32::from(second.is_multiple_of(5));
            for _ in 0..frames {
                tx[at] += 1;
                rx[at] += u32::from(gets_through(*per_mille));
            }
            if !second.is_multiple_of(5) {
                continue;
            }
            let sent = Snapshot { sent_us: second * SECOND_US, tx_packets: tx[at] };
            if gets_through(2 * per_mille) {
                let answer = at_ms(second * 1_000 + rtt_ms);
                metrics[at].answered(answer, sent, rx[at], u64::from(rx[at]) * 100);
            } else {
                metrics[at].lost();
            }
        }
        let offers = lines.map(|(key, relays, _, _)| {
            let known = &metrics[usize::from(key)];
            let (rtt_us, loss) = (known.rtt.smoothed_us(), known.loss_range());
            Offer { rtt_us, loss, ..offer(key, relays, 0) }
        });
        let first = chooser.current(Class::Interactive).is_none();
        if chooser.choose(at_ms(second * 1_000 + 500), &offers, &mut draws) && !first {
            changed.push(second);
        }
    }
    changed
}

fn at_ms(ms: u64) -> Now {
    at(ms * MILLI_US)
}

#[test]
fn a_line_that_loses_a_few_percent_keeps_its_path_at_one_packet_a_second() {
    let mut all = 0;
    for per_mille in [10, 20, 30] {
        let changes: usize = (0..30).map(|seed| an_hour_at_one_packet_a_second(seed, per_mille, per_mille).len()).sum();
        println!("{per_mille} of 1000 lost: {changes} changes in 30 hours");
        all += changes;
    }
    assert!(all <= 10, "{all} changes of path in 90 hours on lines that lose the same");
}

#[test]
fn a_direct_path_that_loses_a_fifth_is_left_for_a_clean_relay_within_a_minute_and_for_good() {
    for seed in 0..30 {
        let changes = an_hour_at_one_packet_a_second(seed, 200, 0);
        let first = changes.first().copied().unwrap_or(u64::MAX);
        assert!(first <= 60 && changes.len() <= 3, "seed {seed}: changes at {changes:?}");
    }
}

#[test]
fn the_last_path_gone_is_said_and_a_new_one_is_taken_at_once() {
    let offers = [offer(1, 1, 40)];
    let mut chooser = using(1, &offers);
    assert!(chooser.choose(at(1), &[], &mut rng()));
    assert_eq!((chooser.current(Class::Bulk), chooser.reason(Class::Bulk)), (None, "no path"));
    assert!(chooser.choose(at(2), &[offer(2, 1, 50)], &mut rng()));
    assert_eq!(chooser.reason(Class::Bulk), "first path; the only one");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Pitfall 17: whatever is measured, two voluntary changes of a peer are ten seconds apart. All paths stay good, so every change is voluntary.
    #[test]
    fn pitfall_17_voluntary_changes_are_ten_seconds_apart_however_the_measurements_jump(
        seed: u64,
        steps in proptest::collection::vec(
            (1u64..500, proptest::collection::vec((1u64..300, 0u32..200_000, proptest::option::of(1u64..1_000_000_000)), 4)),
            1..400,
        ),
    ) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut chooser = Chooser::default();
        let (mut now, mut last): (u64, Option<u64>) = (0, None);
        for (gap_ms, measured) in steps {
            now += gap_ms * MILLI_US;
            let offers: Vec<Offer<u8>> = (0u8..).zip(&measured).map(|(key, (rtt_ms, loss_ppm, goodput_bps))| Offer {
                loss: sure(*loss_ppm),
                goodput_bps: *goodput_bps,
                ..offer(key, key, *rtt_ms)
            }).collect();
            let is_first = chooser.current(Class::Bulk).is_none();
            if chooser.choose(at(now), &offers, &mut rng) && !is_first {
                prop_assert!(last.is_none_or(|last| now - last >= MIN_SWITCH_US), "{now} after {last:?}");
                last = Some(now);
            }
            prop_assert!(Class::ALL.iter().all(|class| chooser.current(*class).is_some()));
        }
    }

    /// Jitter of a few milliseconds around equal paths moves nothing at all.
    #[test]
    fn equal_paths_that_jitter_a_little_are_not_changed(seed: u64, jitter in proptest::collection::vec((0u64..3_000, 0u64..3_000), 1..200)) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut chooser = using(1, &[offer(1, 1, 40)]);
        for (step, (one, two)) in (0u64..).zip(jitter) {
            let mut offers = [offer(1, 1, 40), offer(2, 1, 40)];
            offers[0].rtt_us = offers[0].rtt_us.map(|rtt| rtt + one);
            offers[1].rtt_us = offers[1].rtt_us.map(|rtt| rtt - two);
            prop_assert!(!chooser.choose(at((20 + step * 20) * SECOND_US), &offers, &mut rng));
        }
    }
}

#[test]
fn as_good_as_the_chosen_one_is_what_works_alike_and_costs_nearly_the_same() {
    let mut offers = [
        offer(1, 1, 40),
        offer(2, 1, 43),
        offer(3, 1, 47),
        offer(4, 1, 80),
        offer(5, 2, 40),
        offer(6, 1, 40),
        offer(7, 1, 40),
    ];
    offers[5].standing = Standing::Dead;
    offers[6].rtt_us = None;
    let found = equals(Class::Interactive, 1, &offers);
    let shown: Vec<(u8, bool, bool)> = found.iter().map(|equal| (equal.key, equal.is_near, equal.is_far)).collect();
    assert_eq!(shown, [(1, true, false), (2, true, false), (3, false, false), (4, false, true)]);
    assert!(found.is_sorted_by(|one, two| one.weight >= two.weight));
    assert_eq!(equals(Class::Bulk, 6, &offers), [], "the chosen one does not work");
    assert_eq!(equals(Class::Bulk, 9, &offers), []);
}
