//! Handshakes as a user of the session table sees them: who establishes what, when, and how it recovers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    dead_code
)]

mod session_util;

use netflow_overlay::NetworkId;
use netflow_overlay::session::{
    DropReason, FrameOutcome, PqMode, RefuseReason, RemoteKeys, SealOutcome, SealStatus, SessionEvent, Suite,
    UpsertError,
};
use session_util::{DEFAULT, NETWORK, Pair, Profile, Side, keys, peer, source, table};

const SECOND: u64 = 1_000_000;

#[test]
fn both_suites_and_all_pq_modes_establish_what_info_says() {
    for (a_aes, b_aes) in [(true, true), (true, false), (false, true), (false, false)] {
        for (a_pq, b_pq, b_kem) in [
            (PqMode::Prefer, PqMode::Prefer, true),
            (PqMode::Strict, PqMode::Strict, true),
            (PqMode::Strict, PqMode::Off, true),
            (PqMode::Prefer, PqMode::Off, false),
            (PqMode::Off, PqMode::Prefer, true),
        ] {
            let mut pair = Pair::established(
                Profile { aes_hw: a_aes, pq: a_pq, has_kem: true },
                Profile { aes_hw: b_aes, pq: b_pq, has_kem: b_kem },
            );
            let hybrid = a_pq != PqMode::Off && b_kem;
            let records = if a_aes && b_aes { Suite::AesGcm } else { Suite::ChaChaPoly };
            let handshake = if a_aes { Suite::AesGcm } else { Suite::ChaChaPoly };
            for side in [Side::A, Side::B] {
                let info = pair.end(side).info(&Pair::remote(side)).unwrap();
                assert_eq!((info.hybrid_pq, info.suite, info.handshake_suite), (hybrid, records, handshake));
                assert_eq!(info.initiator, side == Side::A);
                assert!(info.rx_packets >= 1 && info.tx_packets >= 1 && info.last_rx_us.is_some());
            }
        }
    }
}

#[test]
fn the_first_flight_with_kem_fits_an_ipv6_minimum_path_behind_a_relay_header() {
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    pair.send(Side::A, b"x");
    assert_eq!(pair.flights()[0].1.len(), 1220);
}

#[test]
fn the_responder_sends_nothing_before_the_initiator_has_proved_its_keys() {
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    pair.send(Side::A, b"x");
    let (_, init) = pair.flights().remove(0);
    let (_, response) = pair.deliver(Side::A, init).unwrap();
    assert!(pair.b.info(&peer(1)).is_none());
    assert_eq!(pair.seal(Side::B, b"early"), SealOutcome::Queued);
    assert!(pair.flights().is_empty(), "neither data nor a second handshake");
    pair.deliver(Side::B, response);
    pair.run();
    assert_eq!(pair.take_delivered(), [(Side::B, b"x".to_vec()), (Side::A, b"early".to_vec())]);
    assert!(pair.events.contains(&(Side::B, SessionEvent::Established { peer: peer(1), first: true })));
}

#[test]
fn an_initiator_without_data_confirms_at_once() {
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    let (now, mut rng) = (pair.now, pair.rng.clone());
    assert_eq!(pair.a.initiate(now, &mut rng, &peer(2)), SealStatus::Queued);
    pair.run();
    assert!(pair.a.info(&peer(2)).is_some() && pair.b.info(&peer(1)).is_some());
    assert!(pair.delivered.is_empty());
}

#[test]
fn simultaneous_initiation_ends_with_sessions_that_carry_both_ways() {
    for drop_one in [None, Some(0), Some(1)] {
        let mut pair = Pair::new(DEFAULT, DEFAULT);
        pair.send(Side::A, b"from a");
        pair.send(Side::B, b"from b");
        let mut flights = pair.flights();
        assert_eq!(flights.len(), 2);
        if let Some(lost) = drop_one {
            flights.remove(lost);
        }
        for (from, frame) in flights {
            if let Some((from, reply)) = pair.deliver(from, frame) {
                pair.deliver(from, reply);
            }
        }
        pair.run();
        pair.pass(4 * SECOND, SECOND / 4);
        let mut delivered = pair.take_delivered();
        delivered.sort_by_key(|(side, _)| *side == Side::A);
        assert_eq!(delivered, [(Side::B, b"from a".to_vec()), (Side::A, b"from b".to_vec())], "{drop_one:?}");
        for i in 0..5u8 {
            pair.send(Side::A, &[i + 1]);
            pair.send(Side::B, &[i + 1]);
        }
        assert_eq!(pair.take_delivered().len(), 10);
    }
}

#[test]
fn an_initiation_that_came_before_the_peer_knew_us_is_repeated_as_soon_as_it_does() {
    // Whichever end has precedence: a first packet must not wait for the second of an ordinary repetition.
    for early in [Side::A, Side::B] {
        let late = if early == Side::A { Side::B } else { Side::A };
        let mut pair = Pair::new(DEFAULT, DEFAULT);
        pair.send(early, b"early");
        pair.flights().clear();
        pair.pass(SECOND / 50, SECOND / 50);
        pair.send(late, b"late");
        pair.run();
        pair.pass(SECOND / 5, SECOND / 100);
        let mut delivered = pair.take_delivered();
        delivered.sort_by_key(|(side, _)| *side == early);
        assert_eq!(delivered, [(late, b"early".to_vec()), (early, b"late".to_vec())], "{early:?} was first");
    }
}

#[test]
fn crossed_sessions_are_renewed_before_they_run_out() {
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    pair.send(Side::A, b"from a");
    pair.send(Side::B, b"from b");
    pair.run();
    for _ in 0..400 {
        pair.pass(SECOND, SECOND);
        pair.send(Side::A, b"tick");
        pair.send(Side::B, b"tock");
        pair.run();
    }
    assert_eq!(pair.delivered.len(), 802, "not one packet lost over three rekeys");
    assert!(!pair.events.iter().any(|(_, event)| matches!(event, SessionEvent::Expired { .. })));
}

#[test]
fn rekey_after_120_s_loses_nothing_and_keeps_the_previous_session_for_stragglers() {
    let mut pair = Pair::established(DEFAULT, DEFAULT);
    let before = pair.a.info(&peer(2)).unwrap().established_us;
    let straggler = pair.frame(Side::B, b"straggler");
    pair.advance(121 * SECOND);
    pair.send(Side::A, b"old session");
    pair.run();
    assert!(pair.a.info(&peer(2)).unwrap().established_us > before);
    pair.deliver(Side::B, straggler);
    pair.send(Side::B, b"new session");
    assert_eq!(
        pair.take_delivered(),
        [(Side::B, b"old session".to_vec()), (Side::A, b"straggler".to_vec()), (Side::A, b"new session".to_vec())]
    );
}

#[test]
fn a_session_of_180_s_is_neither_used_nor_accepted() {
    let mut pair = Pair::established(DEFAULT, DEFAULT);
    let mut late = pair.frame(Side::B, b"late");
    pair.advance(180 * SECOND);
    assert_eq!(pair.hand(Side::B, &mut late.clone()), FrameOutcome::Drop(DropReason::Expired));
    assert_eq!(pair.seal(Side::A, b"queued"), SealOutcome::Queued);
    pair.tick();
    assert_eq!(pair.hand(Side::B, &mut late), FrameOutcome::Drop(DropReason::UnknownIndex), "keys are gone");
    pair.run();
    assert_eq!(pair.take_delivered(), [(Side::B, b"queued".to_vec())]);
}

#[test]
fn an_idle_pair_expires_once_and_then_needs_no_timer() {
    let mut pair = Pair::established(DEFAULT, DEFAULT);
    pair.pass(400 * SECOND, SECOND);
    assert!(pair.a.info(&peer(2)).is_none() && pair.b.info(&peer(1)).is_none());
    let expired = pair.events.iter().filter(|(_, event)| matches!(event, SessionEvent::Expired { .. })).count();
    assert_eq!((expired, pair.a.poll_timeout(), pair.b.poll_timeout()), (2, None, None));
}

#[test]
fn lost_initiations_are_retried_with_jitter_and_given_up_after_90_s() {
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    pair.send(Side::A, b"x");
    let start = pair.now.mono_us;
    let mut sent = Vec::new();
    for _ in 0..1_000 {
        sent.extend(pair.flights().into_iter().map(|_| pair.now.mono_us - start));
        pair.advance(SECOND / 5);
        pair.tick();
    }
    assert!((15..=20).contains(&sent.len()), "{sent:?}");
    assert!(sent[1] <= 400_000 && sent[2] <= 2_000_000 && sent.last().unwrap() < &95_000_000, "{sent:?}");
    assert_eq!(pair.events, [(Side::A, SessionEvent::HandshakeFailed { peer: peer(2) })]);
    assert_eq!(pair.a.poll_timeout(), None);
    pair.send(Side::A, b"again");
    pair.run();
    assert_eq!(
        pair.take_delivered(),
        [(Side::B, b"again".to_vec())],
        "the old queue is gone, a new packet starts anew"
    );
}

#[test]
fn the_queue_holds_64_packets_and_drops_the_oldest() {
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    for i in 0..100u8 {
        pair.send(Side::A, &[i + 1]);
    }
    pair.run();
    let got: Vec<u8> = pair.take_delivered().into_iter().map(|(_, inner)| inner[0]).collect();
    assert_eq!(got, (37..=100).collect::<Vec<u8>>());
    assert_eq!(pair.a.queue_drops(), 36);
}

#[test]
fn a_lost_confirmation_is_repeated_when_the_peer_goes_on_with_the_old_session() {
    let mut pair = Pair::established(DEFAULT, DEFAULT);
    pair.advance(121 * SECOND);
    pair.send(Side::A, b"old");
    let (_, init) = pair.flights().remove(0);
    let (_, response) = pair.deliver(Side::A, init).unwrap();
    pair.deliver(Side::B, response);
    assert_eq!(pair.flights().len(), 1, "the confirmation, which is lost");
    let old = pair.b.info(&peer(1)).unwrap().established_us;
    pair.advance(SECOND);
    pair.send(Side::B, b"still the old session");
    pair.run();
    assert!(pair.b.info(&peer(1)).unwrap().established_us > old);
}

#[test]
fn a_peer_that_lost_its_sessions_is_found_again_within_16_s() {
    let mut pair = Pair::established(DEFAULT, DEFAULT);
    pair.b = table(2, DEFAULT, 2);
    pair.b.upsert_peer(peer(1), keys(1, DEFAULT)).unwrap();
    for _ in 0..17 {
        pair.send(Side::A, b"anyone there?");
        pair.pass(SECOND, SECOND);
    }
    assert!(pair.b.info(&peer(1)).is_some());
    assert!(pair.delivered.iter().any(|(side, _)| *side == Side::B));
}

#[test]
fn one_way_traffic_is_answered_by_keepalives_not_by_handshakes() {
    let mut pair = Pair::established(DEFAULT, DEFAULT);
    for _ in 0..100 {
        pair.send(Side::A, b"stream");
        pair.pass(SECOND, SECOND);
    }
    assert_eq!(pair.events, []);
    let info = pair.b.info(&peer(1)).unwrap();
    assert!((8..=12).contains(&(info.tx_packets - 1)), "{}", info.tx_packets);
}

#[test]
fn cookie_under_load_lets_an_honest_node_in_and_costs_it_one_round_trip() {
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    pair.put_under_load(Side::B);
    pair.send(Side::A, b"hello");
    let (_, init) = pair.flights().remove(0);
    let (_, reply) = pair.deliver(Side::A, init).unwrap();
    assert_eq!((reply[0], reply.len()), (0x12, 64));
    assert_eq!(pair.hand(Side::B, &mut reply.clone()), FrameOutcome::CookieTaken { peer: peer(2) });
    assert_eq!(
        pair.hand(Side::B, &mut reply.clone()),
        FrameOutcome::Drop(DropReason::UnknownIndex),
        "once per initiation"
    );
    let (_, again) = pair.flights().remove(0);
    assert_eq!(again[2] & 1, 1, "cookie flag");
    let now = pair.now;
    let elsewhere = pair.b.handle_frame(now, &mut pair.rng, &source(50), &mut again.clone());
    assert_eq!(elsewhere, FrameOutcome::Drop(DropReason::BadMac), "a cookie is good for its source only");
    let response = pair.deliver(Side::A, again).unwrap();
    assert_eq!(response.1[0], 0x11);
    pair.deliver(Side::B, response.1);
    pair.run();
    assert_eq!(pair.take_delivered(), [(Side::B, b"hello".to_vec())]);
}

#[test]
fn pitfall_09_a_flood_of_forged_initiations_is_bounded_work_and_harms_no_session() {
    let mut pair = Pair::established(DEFAULT, DEFAULT);
    let mut stranger = table(9, DEFAULT, 1);
    stranger.upsert_peer(peer(2), keys(2, DEFAULT)).unwrap();
    let mut honest = table(4, DEFAULT, 1);
    honest.upsert_peer(peer(2), keys(2, DEFAULT)).unwrap();
    pair.b.upsert_peer(peer(4), keys(4, DEFAULT)).unwrap();
    stranger.seal(pair.now, &mut pair.rng, &peer(2), b"x");
    let (_, forged) = stranger.poll_transmit().unwrap();
    let expensive = |pair: &Pair| pair.b.drops(DropReason::UnknownPeer);
    for i in 0..10_000u32 {
        // One second of virtual time, a new source address each.
        pair.advance(100);
        let from = netflow_overlay::session::Source::Direct((i.to_be_bytes(), 1).into());
        let now = pair.now;
        let _ = pair.b.handle_frame(now, &mut pair.rng, &from, &mut forged.clone());
        if i % 100 == 0 {
            pair.send(Side::A, b"data");
        }
    }
    assert!(expensive(&pair) <= 200 + 101, "DH without cookie: {}", expensive(&pair));
    assert_eq!(pair.take_delivered().len(), 100);
    honest.seal(pair.now, &mut pair.rng, &peer(2), b"in spite of it");
    let (mut delivered, now) = (false, pair.now);
    for _ in 0..4 {
        while let Some((_, mut frame)) = honest.poll_transmit() {
            match pair.b.handle_frame(now, &mut pair.rng, &source(4), &mut frame) {
                FrameOutcome::Reply(mut reply) => {
                    honest.handle_frame(now, &mut pair.rng, &source(2), &mut reply);
                }
                FrameOutcome::Inner { peer: from, .. } => delivered = from == peer(4),
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(delivered);
}

#[test]
fn remove_peer_takes_keys_queue_and_handshake_at_once() {
    let mut pair = Pair::established(DEFAULT, DEFAULT);
    let mut in_flight = pair.frame(Side::A, b"secret");
    assert!(pair.b.remove_peer(&peer(1)) && !pair.b.remove_peer(&peer(1)));
    assert_eq!(pair.hand(Side::A, &mut in_flight), FrameOutcome::Drop(DropReason::UnknownIndex));
    assert_eq!(pair.seal(Side::B, b"x"), SealOutcome::NoPeer);
    assert!(pair.b.info(&peer(1)).is_none() && pair.b.poll_timeout().is_none());
    pair.advance(121 * SECOND);
    pair.send(Side::A, b"x");
    let (_, mut init) = pair.flights().remove(0);
    assert_eq!(pair.hand(Side::A, &mut init), FrameOutcome::Drop(DropReason::UnknownPeer));
    assert!(pair.b.poll_transmit().is_none());
}

#[test]
fn networks_are_separate_and_at_most_sixteen() {
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    pair.send(Side::A, b"x");
    let (_, mut init) = pair.flights().remove(0);
    pair.b.remove_network(&NETWORK);
    assert_eq!(pair.hand(Side::A, &mut init), FrameOutcome::Drop(DropReason::BadMac));
    assert_eq!(pair.b.upsert_peer(peer(1), keys(1, DEFAULT)), Err(UpsertError::UnknownNetwork));
    for i in 0..16 {
        assert!(pair.b.add_network(NetworkId([100 + i; 32])));
    }
    assert!(!pair.b.add_network(NetworkId([200; 32])) && pair.b.add_network(NetworkId([100; 32])));
}

#[test]
fn a_static_key_belongs_to_one_node_and_a_changed_one_ends_the_sessions() {
    let mut pair = Pair::established(DEFAULT, DEFAULT);
    assert_eq!(pair.b.upsert_peer(peer(5), keys(1, DEFAULT)), Err(UpsertError::DuplicateStatic));
    assert_eq!(pair.b.upsert_peer(peer(5), keys(2, DEFAULT)), Err(UpsertError::OwnStatic));
    assert_eq!(pair.b.upsert_peer(peer(1), keys(1, DEFAULT)), Ok(()));
    assert!(pair.b.info(&peer(1)).is_some(), "the same keys change nothing");
    assert_eq!(pair.b.upsert_peer(peer(1), keys(5, DEFAULT)), Ok(()));
    assert!(pair.b.info(&peer(1)).is_none());
}

#[test]
fn pitfall_23_strict_pq_means_strict() {
    let strict = Profile { pq: PqMode::Strict, ..DEFAULT };
    let classical = Profile { pq: PqMode::Off, has_kem: false, ..DEFAULT };
    let mut pair = Pair::new(strict, classical);
    assert_eq!(pair.seal(Side::A, b"x"), SealOutcome::Refused(RefuseReason::PqRequired), "as initiator");
    pair.send(Side::B, b"x");
    let (_, mut init) = pair.flights().remove(0);
    assert_eq!(init.len(), 132);
    assert_eq!(pair.hand(Side::B, &mut init), FrameOutcome::Drop(DropReason::PqRefused), "as responder");
    assert!(pair.a.info(&peer(2)).is_none() && pair.b.info(&peer(1)).is_none());

    let pair = Pair::established(strict, DEFAULT);
    assert!(pair.a.info(&peer(2)).unwrap().hybrid_pq && pair.b.info(&peer(1)).unwrap().hybrid_pq);

    // Prefer never falls back silently: a malformed pinned key is an error, not a classical session.
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    let mut bad = keys(2, DEFAULT);
    bad.kem = Some(Box::new([0xff; 1184]));
    pair.a.upsert_peer(peer(2), bad).unwrap();
    assert_eq!(pair.seal(Side::A, b"x"), SealOutcome::Refused(RefuseReason::BadKemKey));

    let mut pair = Pair::established(DEFAULT, classical);
    assert!(!pair.end(Side::A).info(&peer(2)).unwrap().hybrid_pq, "a classical session is shown as such");
}

#[test]
fn a_wrong_kem_key_establishes_nothing() {
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    let wrong = RemoteKeys { kem: keys(3, DEFAULT).kem, ..keys(2, DEFAULT) };
    pair.a.upsert_peer(peer(2), wrong).unwrap();
    pair.send(Side::A, b"x");
    pair.run();
    assert!(pair.a.info(&peer(2)).is_none() && pair.b.info(&peer(1)).is_none());
    assert_eq!(pair.a.drops(DropReason::BadCrypto), 1);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let mut pair = Pair::new(DEFAULT, DEFAULT);
        pair.send(Side::A, b"x");
        pair.flights()
    };
    assert_eq!(run(), run());
}
