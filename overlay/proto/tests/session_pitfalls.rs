//! What must never happen to a session, whatever arrives: the pitfalls of other projects that concern sessions.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    dead_code
)]

mod session_util;

use std::collections::BTreeMap;

use blake2::digest::consts::U16;
use blake2::digest::{Digest, KeyInit, Mac};
use netflow_overlay::session::{DropReason, FrameOutcome, SessionTable, Source};
use proptest::prelude::*;
use session_util::{DEFAULT, Flight, NETWORK, Pair, Profile, Side, peer, source};

/// The frames of a session, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Init,
    InitHybrid,
    CookieReply,
    InitWithCookie,
    Response,
    FirstData,
    DataBack,
}

const STAGES: [Stage; 7] = [
    Stage::Init,
    Stage::InitHybrid,
    Stage::CookieReply,
    Stage::InitWithCookie,
    Stage::Response,
    Stage::FirstData,
    Stage::DataBack,
];

/// A pair just before the frame of `stage` is delivered, and that frame.
fn at(stage: Stage) -> (Pair, Flight) {
    let classical = Profile { has_kem: stage != Stage::Init, ..DEFAULT };
    let mut pair = Pair::new(classical, classical);
    let load = matches!(stage, Stage::CookieReply | Stage::InitWithCookie);
    if load {
        pair.put_under_load(Side::B);
    }
    pair.send(Side::A, b"the payload nobody else may read");
    let mut flight = pair.flights().remove(0);
    if matches!(stage, Stage::Init | Stage::InitHybrid) {
        return (pair, flight);
    }
    flight = pair.deliver(flight.0, flight.1).unwrap();
    if stage == Stage::InitWithCookie {
        pair.deliver(flight.0, flight.1);
        flight = pair.flights().remove(0);
    }
    if matches!(stage, Stage::CookieReply | Stage::InitWithCookie | Stage::Response) {
        return (pair, flight);
    }
    pair.deliver(flight.0, flight.1);
    flight = pair.flights().remove(0);
    if stage == Stage::FirstData {
        return (pair, flight);
    }
    pair.deliver(flight.0, flight.1);
    pair.take_delivered();
    let back = pair.frame(Side::B, b"and the answer to it");
    pair.flights();
    (pair, (Side::B, back))
}

type State = (Option<netflow_overlay::session::SessionInfo>, Option<u64>);

fn state(table: &SessionTable, remote: Side) -> State {
    (table.info(&Pair::remote(remote)), table.poll_timeout())
}

/// Hands a frame over that must be dropped without a trace.
fn must_vanish(pair: &mut Pair, from: Side, mut frame: Vec<u8>, what: &str) {
    let before = (state(&pair.a, Side::A), state(&pair.b, Side::B));
    let outcome = pair.hand(from, &mut frame);
    assert!(matches!(outcome, FrameOutcome::Drop(_)), "{what}: {outcome:?}");
    assert_eq!((state(&pair.a, Side::A), state(&pair.b, Side::B)), before, "{what}");
    assert!(pair.flights().is_empty() && pair.delivered.is_empty() && pair.events.is_empty(), "{what}");
}

/// The honest exchange goes on from `flight` to its end.
fn must_complete(pair: &mut Pair, flight: Flight) {
    let mut next = pair.deliver(flight.0, flight.1);
    while let Some((from, frame)) = next {
        next = pair.deliver(from, frame);
    }
    pair.run();
    pair.send(Side::A, b"ping");
    pair.send(Side::B, b"pong");
    pair.run();
    let delivered = pair.take_delivered();
    assert!(delivered.contains(&(Side::B, b"ping".to_vec())) && delivered.contains(&(Side::A, b"pong".to_vec())));
}

#[test]
fn pitfall_02_header_flags_set_or_cleared_are_dropped() {
    for stage in STAGES {
        let (mut pair, (from, frame)) = at(stage);
        pair.events.clear();
        let header = if frame[0] == 0x13 { 16 } else { 12 };
        for byte in 0..header {
            for value in 0..=255u8 {
                if value != frame[byte] {
                    let mut changed = frame.clone();
                    changed[byte] = value;
                    must_vanish(&mut pair, from, changed, &format!("{stage:?} byte {byte} = {value:#x}"));
                }
            }
        }
        must_complete(&mut pair, (from, frame));
    }
}

#[test]
fn pitfall_03_bit_flip_of_every_bit_of_every_frame_delivers_nothing() {
    for stage in STAGES {
        let (mut pair, (from, frame)) = at(stage);
        pair.events.clear();
        for bit in 0..frame.len() * 8 {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            must_vanish(&mut pair, from, changed, &format!("{stage:?} bit {bit}"));
        }
        must_complete(&mut pair, (from, frame));
    }
}

#[test]
fn pitfall_03_bit_flip_with_a_mac_made_by_a_member_still_establishes_nothing() {
    // A member on the path knows the network id and the public keys, so it can make any mac: Noise must hold alone.
    for stage in [Stage::Init, Stage::InitHybrid, Stage::Response] {
        let (mut pair, (from, frame)) = at(stage);
        pair.events.clear();
        let receiver = if from == Side::A { *pair.b.public_key() } else { *pair.a.public_key() };
        let step = if frame.len() > 200 { 97 } else { 7 };
        let mut tried = 0;
        for bit in (8..(frame.len() - 16) * 8).step_by(step) {
            let mut changed = frame.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            remac(&mut changed, &receiver);
            // Sixteen such responses end an attempt; a fresh pair for each keeps the honest frame alive.
            if tried % 8 == 0 {
                (pair, _) = at(stage);
                pair.events.clear();
            }
            tried += 1;
            must_vanish(&mut pair, from, changed, &format!("{stage:?} bit {bit}, mac made again"));
        }
        assert!(tried > 50);
        must_complete(&mut pair, (from, frame));
    }
}

fn remac(frame: &mut [u8], receiver: &[u8; 32]) {
    let mut hash = blake2::Blake2s256::new();
    hash.update(b"NFC/1 mac");
    hash.update(NETWORK.as_bytes());
    hash.update(receiver);
    let key: [u8; 32] = hash.finalize().into();
    let covered = frame.len() - 16;
    let mut mac = blake2::Blake2sMac::<U16>::new((&key).into());
    mac.update(&frame[..covered]);
    let mac: [u8; 16] = mac.finalize().into_bytes().into();
    frame[covered..].copy_from_slice(&mac);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn pitfall_03_bit_flip_truncation_and_extension_of_any_frame_deliver_nothing(
        stage in 0..STAGES.len(),
        flips in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        keep in any::<prop::sample::Index>(),
        cut in any::<bool>(),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let (mut pair, (from, frame)) = at(STAGES[stage]);
        pair.events.clear();
        let mut changed = frame.clone();
        for flip in flips {
            let bit = flip.index(changed.len() * 8);
            changed[bit / 8] ^= 1 << (bit % 8);
        }
        if cut {
            changed.truncate(keep.index(frame.len()));
        }
        changed.extend(tail);
        if changed != frame {
            must_vanish(&mut pair, from, changed, "changed frame");
        }
        must_complete(&mut pair, (from, frame));
    }

    #[test]
    fn pitfall_04_replay_and_reordering_deliver_each_packet_at_most_once(
        schedule in proptest::collection::vec((0usize..60, any::<bool>()), 1..400)
    ) {
        let mut pair = Pair::established(DEFAULT, DEFAULT);
        let frames: Vec<Vec<u8>> = (0..60u8).map(|i| pair.frame(Side::A, &[0x45, i])).collect();
        for (i, rekey) in &schedule {
            pair.deliver(Side::A, frames[*i].clone());
            if *rekey && *i == 0 {
                // The old session goes to `previous`; what was sent with it is still taken once.
                let (now, mut rng) = (pair.now, pair.rng.clone());
                pair.a.initiate(now, &mut rng, &peer(2));
                pair.rng = rng;
                pair.run();
            }
        }
        let mut count = BTreeMap::new();
        for (_, inner) in pair.take_delivered() {
            *count.entry(inner[1]).or_insert(0) += 1;
        }
        prop_assert!(count.values().all(|times| *times == 1));
    }

    #[test]
    fn pitfall_11_oversized_empty_and_random_buffers_never_panic(
        kind in 0x0fu8..0x1e,
        mut bytes in proptest::collection::vec(any::<u8>(), 0..1500),
        zero_header in any::<bool>(),
    ) {
        let mut pair = Pair::established(DEFAULT, DEFAULT);
        if let Some(first) = bytes.first_mut() {
            *first = kind;
        }
        if zero_header && bytes.len() > 4 {
            bytes[1..4].copy_from_slice(&[1, 0, 0]);
        }
        must_vanish(&mut pair, Side::A, bytes, "random buffer");
    }
}

#[test]
fn pitfall_04_replay_of_handshake_frames_changes_nothing() {
    let (mut pair, (from, init)) = at(Stage::InitHybrid);
    let (_, response) = pair.deliver(from, init.clone()).unwrap();
    must_vanish(&mut pair, Side::A, init.clone(), "initiation again, before the end");
    assert_eq!(pair.b.drops(DropReason::HandshakeReplay), 1);
    pair.deliver(Side::B, response.clone());
    pair.run();
    pair.events.clear();
    pair.take_delivered();
    must_vanish(&mut pair, Side::A, init, "initiation again, after the end");
    must_vanish(&mut pair, Side::B, response, "response again");
}

#[test]
fn pitfall_04_replay_of_an_initiation_to_a_restarted_responder_cannot_be_confirmed() {
    let (mut pair, (from, init)) = at(Stage::InitHybrid);
    pair.deliver(from, init.clone());
    let (now, mut rng) = (pair.now, pair.rng.clone());
    let mut restarted = session_util::table(2, DEFAULT, 2);
    restarted.upsert_peer(peer(1), session_util::keys(1, DEFAULT)).unwrap();
    let outcome = restarted.handle_frame(now, &mut rng, &source(66), &mut init.clone());
    assert!(matches!(outcome, FrameOutcome::Reply(_)));
    assert!(restarted.info(&peer(1)).is_none() && restarted.poll_event().is_none());
    assert!(matches!(restarted.seal(now, &mut rng, &peer(1), b"x"), netflow_overlay::session::SealOutcome::Queued));
    let again = restarted.handle_frame(now, &mut rng, &source(66), &mut init.clone());
    assert_eq!(again, FrameOutcome::Drop(DropReason::HandshakeReplay));
}

#[test]
fn pitfall_10_unauthenticated_never_changes_state() {
    // Every frame of a recorded session, replayed from elsewhere at every later point, and to the wrong end.
    let mut recorded: Vec<Flight> = Vec::new();
    let mut pair = Pair::new(DEFAULT, DEFAULT);
    pair.send(Side::A, b"one");
    let mut flights = pair.flights();
    while let Some((from, frame)) = flights.pop() {
        recorded.push((from, frame.clone()));
        flights.extend(pair.deliver(from, frame));
        flights.extend(pair.flights());
    }
    assert_eq!(recorded.len(), 3);
    pair.events.clear();
    pair.take_delivered();
    for (from, frame) in recorded {
        must_vanish(&mut pair, from, frame.clone(), "replayed");
        must_vanish(&mut pair, from.other(), frame, "reflected");
    }
    must_complete(&mut pair, (Side::A, Vec::new()));
}

#[test]
fn pitfall_10_unauthenticated_cookie_reply_moves_nothing() {
    let (mut pair, (_, reply)) = at(Stage::CookieReply);
    pair.events.clear();
    // A cookie reply for another initiation, or under another key, is noise.
    let (_, (_, other)) = at(Stage::CookieReply);
    assert_eq!(reply.len(), other.len());
    let mut forged = reply.clone();
    forged[8..].fill(0x55);
    must_vanish(&mut pair, Side::B, forged, "forged cookie");
    // The honest one names no place: the outcome carries a peer and the initiation goes where it went before.
    let now = pair.now;
    let elsewhere = Source::Direct(([198, 51, 100, 1], 9).into());
    let outcome = pair.a.handle_frame(now, &mut pair.rng, &elsewhere, &mut reply.clone());
    assert_eq!(outcome, FrameOutcome::CookieTaken { peer: peer(2) });
    assert!(pair.a.info(&peer(2)).is_none());
}

#[test]
fn pitfall_11_oversized_empty_and_merged_buffers_never_panic() {
    for stage in STAGES {
        let (mut pair, (from, frame)) = at(stage);
        pair.events.clear();
        must_vanish(&mut pair, from, Vec::new(), "empty");
        for length in [
            1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 79, 80, 131, 132, 1219, 1220, 9_000, 65_535, 65_536,
            70_000,
        ] {
            let mut sized = frame.clone();
            if length != frame.len() {
                sized.resize(length, 0xa5);
                must_vanish(&mut pair, from, sized, &format!("{stage:?} resized to {length}"));
            }
        }
        let merged = [frame.clone(), frame.clone()].concat();
        must_vanish(&mut pair, from, merged, "merged by GRO");
        must_complete(&mut pair, (from, frame));
    }
}

#[test]
fn pitfall_13_amplification_no_reply_is_longer_than_its_request() {
    for stage in STAGES {
        let (mut pair, (from, frame)) = at(stage);
        if let Some((_, reply)) = pair.deliver(from, frame.clone()) {
            assert!(reply.len() <= frame.len(), "{stage:?}: {} > {}", reply.len(), frame.len());
        }
    }
    let (mut pair, (from, classical)) = at(Stage::Init);
    pair.put_under_load(Side::B);
    let (_, reply) = pair.deliver(from, classical.clone()).unwrap();
    assert_eq!((reply[0], reply.len() <= classical.len()), (0x12, true));
}
