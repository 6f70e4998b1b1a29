//! Several hops meter the same packets with the real tables; what must agree agrees.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::collections::BTreeSet;

use netflow_metering::audit::{Audit, HopEvidence, audit, level_of};
use netflow_metering::hash::{SampleKey, tagged};
use netflow_metering::ids::{Direction, Epoch, FlowId, PartyKey, Slot, SlotClock};
use netflow_metering::meter::{
    AlreadySigned, Archive, ArchiveError, Counted, FlowHandle, MeterError, MeterLimits, MeterTable, Packet, SlotCommit,
    SlotSigner,
};
use netflow_metering::sample::Level;
use netflow_metering::verdict::{Flags, Verdict};
use netflow_metering::wire::{Opening, OpeningFault, Record, SlotLeaf};
use proptest::prelude::*;

const FLOW: FlowId = FlowId([7; 16]);
const SLOT: Slot = Slot(318_150);
const DOWN: Direction = Direction::Down;

/// A small deterministic generator; quality does not matter, repeatability does.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn packet(session: u32, counter: u64, slot: Slot) -> Packet {
    let digest = tagged("test/packet", &[&session.to_le_bytes(), &counter.to_le_bytes()]);
    let length = if digest[6] < 192 { 1_400 } else { 64 + u16::from(digest[7]) * 4 };
    Packet { session, counter, slot_lsb: slot.lsb(), record: Record::new(digest[..6].try_into().unwrap(), length) }
}

fn table(hop: u8) -> (MeterTable, FlowHandle) {
    let mut table = MeterTable::new(MeterLimits::default());
    let handle = table.add(hop).unwrap();
    table.set_name(handle, SLOT.epoch(), FLOW).unwrap();
    (table, handle)
}

/// The leaves of everything a table closed, by slot.
fn leaves(table: &mut MeterTable) -> Vec<SlotLeaf> {
    let mut closed = table.close_due(u64::MAX);
    let mut out = Vec::new();
    while let Some(slot) = closed.first().map(|c| c.slot) {
        let (now, rest) = closed.into_iter().partition(|c| c.slot == slot);
        closed = rest;
        out.extend_from_slice(SlotCommit::build(PartyKey([1; 32]), slot, now).leaves());
    }
    out.sort_by_key(|leaf| (leaf.slot, leaf.direction));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn loss_free_counters_are_equal_at_every_hop_bit_for_bit(
        seed: u64, skews in proptest::array::uniform3(-2_000i64..=2_000), delays in proptest::array::uniform3(0u64..=250),
    ) {
        let mut dice = Dice(seed);
        // Three slots of traffic: (time sent, packet), the sender's clock being the reference.
        let start = SLOT.start_ms();
        let mut sent: Vec<(u64, Packet)> = (0..24_000)
            .map(|i| start + i)
            .enumerate()
            .map(|(i, t)| (t, packet(1 + i as u32 / 9_000, i as u64 % 9_000, Slot::at(t))))
            .collect();
        let mut want: Option<Vec<(Slot, u32, u64)>> = None;
        for hop in 0..4u8 {
            let (mut meter, handle) = table(hop);
            let skew = if hop == 0 { 0 } else { skews[usize::from(hop) - 1] };
            for (at, packet) in &sent {
                let local = at.checked_add_signed(skew).unwrap();
                prop_assert_eq!(meter.count(handle, DOWN, packet, &SlotClock::at(local)), Counted::Yes);
            }
            let seen = leaves(&mut meter).iter().map(|l| (l.slot, l.pkts, l.bytes)).collect::<Vec<_>>();
            prop_assert_eq!(seen.len(), 3);
            prop_assert_eq!(want.get_or_insert_with(|| seen.clone()), &seen);
            // The next hop gets them later and in another order, displaced by at most 64 places.
            let delay = delays.get(usize::from(hop)).copied().unwrap_or(0);
            for window in sent.chunks_mut(64) {
                for i in (1..window.len()).rev() {
                    window.swap(i, usize::try_from(dice.below(i as u64 + 1)).unwrap());
                }
                // All of them arrive when the last one does; at most 1 s on the whole path.
                let last = window.iter().map(|(at, _)| *at).max().unwrap();
                for (at, _) in window {
                    *at = last + delay;
                }
            }
        }
    }

    #[test]
    fn pitfall_04_a_replayed_packet_is_counted_once_at_every_metering_point(seed: u64, copies in 1usize..6) {
        let mut dice = Dice(seed);
        let (mut meter, handle) = table(1);
        let mut stream: Vec<Packet> = (0..200).flat_map(|i| vec![packet(9, i, SLOT); copies]).collect();
        for i in (1..stream.len()).rev() {
            stream.swap(i, usize::try_from(dice.below(i as u64 + 1)).unwrap());
        }
        let yes = stream.iter().filter(|p| meter.count(handle, DOWN, p, &SlotClock::at(SLOT.start_ms())) == Counted::Yes).count();
        prop_assert_eq!(yes, 200);
        let leaf = leaves(&mut meter)[0];
        prop_assert_eq!((leaf.pkts, leaf.dups as usize), (200, 200 * (copies - 1)));
        let unique: BTreeSet<u64> = (0..200).collect();
        prop_assert_eq!(leaf.bytes, unique.iter().map(|i| u64::from(packet(9, *i, SLOT).record.length())).sum::<u64>());
    }

    #[test]
    fn no_frame_and_no_order_of_calls_panics(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..40), now: u64) {
        let (mut meter, handle) = table(2);
        for frame in &frames {
            if let Some(packet) = Packet::of_frame(frame) {
                meter.count(handle, DOWN, &packet, &SlotClock::at(now));
                meter.count(handle, Direction::Up, &packet, &SlotClock::at(SLOT.start_ms()));
            }
            meter.close_due(now);
        }
        meter.remove(handle);
        meter.remove(handle);
        let last = packet(1, 1, SLOT);
        prop_assert_eq!(meter.count(handle, DOWN, &last, &SlotClock::at(SLOT.start_ms())), Counted::Unmetered);
        prop_assert_eq!(meter.set_name(handle, Epoch(1), FLOW), Err(MeterError::Gone));
    }
}

#[test]
fn a_frame_is_read_without_its_header_and_tag() {
    let mut frame = vec![0x13, 0xc6, 0, 0, 4, 3, 2, 1, 8, 0, 0, 0, 0, 0, 0, 0];
    frame.extend([0xaa; 100]);
    frame.extend([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    let want = Packet {
        session: 0x0102_0304,
        counter: 8,
        slot_lsb: 0xc6,
        record: Record(u64::from_le_bytes([100, 0, 1, 2, 3, 4, 5, 6])),
    };
    assert_eq!(Packet::of_frame(&frame), Some(want));
    assert_eq!(Packet::of_frame(&frame[..31]), None);
    assert_eq!(Packet::of_frame(&vec![0; 70_000]), None);
}

#[test]
fn a_packet_outside_its_slot_is_forwarded_and_not_counted() {
    let (mut meter, handle) = table(1);
    assert_eq!(meter.count(handle, DOWN, &packet(1, 0, SLOT), &SlotClock::at(SLOT.end_ms() + 3_001)), Counted::Late);
    assert_eq!(meter.count(handle, DOWN, &packet(1, 0, SLOT), &SlotClock::at(SLOT.end_ms() + 3_000)), Counted::Yes);
    assert_eq!(meter.stats().late, 1);
}

#[test]
fn memory_is_bounded_and_a_slot_without_memory_loses_its_claim_only() {
    let mut meter = MeterTable::new(MeterLimits { flows: 2, records: 100 });
    let handle = meter.add(1).unwrap();
    let other = meter.add(1).unwrap();
    assert_eq!(meter.add(1), Err(MeterError::Full));
    for flow in [handle, other] {
        meter.set_name(flow, SLOT.epoch(), FLOW).unwrap();
    }
    let outcomes: Vec<Counted> =
        (0..200).map(|i| meter.count(handle, DOWN, &packet(1, i, SLOT), &SlotClock::at(SLOT.start_ms()))).collect();
    assert_eq!(outcomes[..80], [Counted::Yes; 80]);
    assert_eq!(outcomes[80..], [Counted::Dropped; 120]);
    assert_eq!(meter.records_held(), 0, "a lost slot gives its memory back at once");
    assert_eq!(meter.count(other, DOWN, &packet(1, 0, SLOT), &SlotClock::at(SLOT.start_ms())), Counted::Yes);
    let closed = meter.close_due(u64::MAX);
    assert_eq!((closed.len(), meter.stats().unclaimed_slots), (1, 1));
    assert_eq!(meter.records_held(), 16);
    drop(closed);
    assert_eq!(meter.records_held(), 0);
}

#[test]
fn cycling_through_old_sessions_does_not_get_replays_counted_for_ever() {
    let (mut meter, handle) = table(1);
    let mut counted = 0;
    for round in 0..100u32 {
        for session in 0..8 {
            let p = packet(session, 0, SLOT);
            counted += u32::from(meter.count(handle, DOWN, &p, &SlotClock::at(SLOT.start_ms())) == Counted::Yes);
            assert!(counted <= 4, "round {round}");
        }
    }
}

#[test]
fn pitfall_04_a_busy_session_is_not_forgotten_while_others_come_and_go() {
    let (mut meter, handle) = table(1);
    for round in 0..12u32 {
        let slot = Slot(SLOT.0 + round);
        let clock = SlotClock::at(slot.start_ms());
        let busy = |counter| packet(1, counter, slot);
        assert_eq!(meter.count(handle, DOWN, &busy(round.into()), &clock), Counted::Yes);
        assert_eq!(meter.count(handle, DOWN, &packet(100 + round, 0, slot), &clock), Counted::Yes);
        assert_eq!(meter.count(handle, DOWN, &busy(0), &clock), Counted::Duplicate);
    }
}

#[test]
fn a_flow_keeps_its_name_of_the_last_epoch_until_its_last_slot_closes() {
    let last = Slot(SLOT.0 + 74);
    let next = Slot(last.0 + 1);
    assert_eq!(last.epoch().0 + 1, next.epoch().0);
    let (mut meter, handle) = table(1);
    let new_name = FlowId([8; 16]);
    let now = next.start_ms() + 500;
    assert_eq!(meter.count(handle, DOWN, &packet(1, 0, last), &SlotClock::at(now)), Counted::Yes);
    meter.set_name(handle, next.epoch(), new_name).unwrap();
    assert_eq!(meter.count(handle, DOWN, &packet(1, 1, next), &SlotClock::at(now)), Counted::Yes);
    let names: Vec<(Slot, FlowId)> = leaves(&mut meter).iter().map(|l| (l.slot, l.flow)).collect();
    assert_eq!(names, [(last, FLOW), (next, new_name)]);
}

#[test]
fn a_silent_flow_frees_its_windows_and_counts_again_later() {
    let (mut meter, handle) = table(1);
    for round in 0..3u32 {
        let slot = Slot(SLOT.0 + round * 25);
        assert_eq!(meter.count(handle, DOWN, &packet(round, 0, slot), &SlotClock::at(slot.start_ms())), Counted::Yes);
        assert_eq!(meter.close_due(slot.end_ms() + 4_000).len(), 1);
        assert_eq!(meter.close_due(slot.end_ms() + 193_000).len(), 0);
    }
}

/// One flow-slot seen by four hops, each losing `loss` per mille on the way to the next, `fakes` added at hop 1.
struct Path {
    commits: Vec<SlotCommit>,
    slot_key: SampleKey,
    key: SampleKey,
    level: Level,
}

impl Path {
    fn carry(seed: u64, pkts: u64, loss: u64, fakes: u64) -> Self {
        let mut dice = Dice(seed);
        let mut packets: Vec<Packet> = (0..pkts).map(|i| packet(seed as u32, i, SLOT)).collect();
        let mut commits = Vec::new();
        for hop in 0..4u8 {
            // Sent down: the provider is hop 3.
            let (mut meter, handle) = table(3 - hop);
            let invented = if hop == 1 { fakes } else { 0 };
            for p in packets.iter().copied().chain((0..invented).map(|i| packet(!0, i, SLOT))) {
                meter.count(handle, DOWN, &p, &SlotClock::at(SLOT.start_ms()));
            }
            commits.push(SlotCommit::build(PartyKey([hop; 32]), SLOT, meter.close_due(u64::MAX)));
            packets.retain(|_| dice.below(1_000) >= loss);
        }
        // The first slot key under which the flow is drawn at every hop.
        let keys = (0u64..).map(|i| SampleKey::of_slot(i, SLOT, &[seed as u8; 32]));
        let bytes = commits[3].leaves().first().map_or(0, |leaf| leaf.bytes);
        let slot_key = keys.into_iter().find(|k| netflow_metering::sample::is_audited(*k, FLOW, DOWN, bytes)).unwrap();
        for commit in &mut commits {
            commit.reveal(slot_key);
        }
        Self { commits, slot_key, key: slot_key.of_flow(FLOW, DOWN), level: Level::of(pkts) }
    }

    fn openings(&self) -> Vec<Opening> {
        self.commits.iter().map(|commit| commit.open(FLOW, DOWN, self.level).unwrap()).collect()
    }

    fn audit(&self, openings: &[Option<Opening>]) -> Audit {
        let evidence = |(commit, o): (&SlotCommit, &Option<Opening>)| (*commit.root(), o.clone());
        let owned: Vec<_> = self.commits.iter().zip(openings).map(evidence).collect();
        let hops: Vec<HopEvidence<'_>> =
            owned.iter().map(|(root, o)| HopEvidence { root, opening: o.as_ref() }).collect();
        audit(&hops, FLOW, DOWN, self.slot_key, self.level)
    }

    fn verdict(&self) -> Verdict {
        let openings = self.openings();
        assert_eq!(level_of(&openings[0], self.slot_key), Some(self.level));
        for opening in &openings {
            assert_eq!(Opening::from_bytes(&opening.to_bytes()).as_ref(), Ok(opening));
        }
        let audit = self.audit(&openings.into_iter().map(Some).collect::<Vec<_>>());
        assert_eq!(audit.faults, []);
        audit.verdict
    }
}

#[test]
fn a_hop_that_opens_nothing_or_something_else_is_flagged_alone() {
    let path = Path::carry(5, 3_000, 4, 0);
    let honest: Vec<Option<Opening>> = path.openings().into_iter().map(Some).collect();
    let flags = |openings: &[Option<Opening>]| path.audit(openings).verdict.flags;
    let alone = |at: usize| (0..4).map(|i| if i == at { Flags::OPENING } else { Flags::NONE }).collect::<Vec<_>>();
    assert_eq!(flags(&honest), [Flags::NONE; 4]);
    for at in 0..4 {
        let mut silent = honest.clone();
        silent[at] = None;
        assert_eq!(flags(&silent), alone(at));
        let mut borrowed = honest.clone();
        borrowed[at] = honest[(at + 1) % 4].clone();
        assert_eq!((flags(&borrowed), path.audit(&borrowed).faults), (alone(at), vec![]));
        let mut faulty = honest.clone();
        faulty[at].as_mut().unwrap().leaf.bytes += 1;
        assert_eq!(path.audit(&faulty).faults, [(at, OpeningFault::NotCommitted)]);
        assert_eq!(flags(&faulty), alone(at));
    }
}

#[test]
fn an_honest_lossy_path_is_never_flagged() {
    for seed in 0..60 {
        let verdict = Path::carry(seed, 100 + seed * 47, 50, 0).verdict();
        assert!(verdict.flags.iter().all(|f| !f.any()), "seed {seed}: {verdict:?}");
    }
}

#[test]
fn committed_fakes_are_found_by_what_the_hops_opened() {
    let flagged = (0..20).filter(|seed| Path::carry(*seed, 3_000, 4, 300).verdict().flags[1].any()).count();
    // 300 fakes at level 5: missed with probability (31/32)^300 = 7e-5 each.
    assert_eq!(flagged, 20);
}

#[test]
fn an_opening_that_was_tampered_with_is_a_fault() {
    let path = Path::carry(3, 3_000, 0, 0);
    let root = path.commits[1].root();
    let honest = path.openings().remove(1);
    let fault = |change: &dyn Fn(&mut Opening)| {
        let mut opening = honest.clone();
        change(&mut opening);
        opening.check(root, path.key)
    };
    assert_eq!(fault(&|_| {}), Ok(()));
    assert_eq!(fault(&|o| o.leaf.bytes += 1), Err(OpeningFault::NotCommitted));
    assert_eq!(fault(&|o| o.n_leaves += 1), Err(OpeningFault::NotCommitted));
    assert_eq!(fault(&|o| o.samples.push(Record(5))), Err(OpeningFault::WrongSelection));
    assert_eq!(fault(&|o| o.opened[0].records[0] = Record(5)), Err(OpeningFault::NotUnderRoot));
    assert_eq!(fault(&|o| o.opened.truncate(1)), Err(OpeningFault::NotOpened));
    let shown =
        |o: &Opening| o.opened.iter().flat_map(|leaf| leaf.records.clone()).find(|r| o.samples.contains(r)).unwrap();
    let hide = |o: &mut Opening| {
        let record = shown(o);
        o.samples.retain(|sample| *sample != record);
    };
    assert_eq!(fault(&hide), Err(OpeningFault::Hidden));
    let drawn = Opening::drawn(path.key, honest.leaf.pkts);
    let unshow = |o: &mut Opening| o.opened.retain(|leaf| !drawn.contains(&leaf.index));
    assert_eq!(fault(&unshow), Err(OpeningFault::NotOpened));
    let foreign = path.commits[2].root();
    assert_eq!(honest.check(foreign, path.key), Err(OpeningFault::NotCommitted));
}

#[test]
fn a_slot_is_opened_only_after_its_key_and_committed_only_once() {
    let (mut meter, handle) = table(1);
    for i in 0..50 {
        meter.count(handle, DOWN, &packet(1, i, SLOT), &SlotClock::at(SLOT.start_ms()));
    }
    let mut archive = Archive::default();
    let commit = |closed| SlotCommit::build(PartyKey([1; 32]), SLOT, closed);
    archive.insert(commit(meter.close_due(u64::MAX))).unwrap();
    assert_eq!(archive.insert(commit(Vec::new())), Err(ArchiveError::Committed));
    assert_eq!(archive.open(SLOT, FLOW, DOWN, Level::of(50)), None);
    let key = (0u64..)
        .map(|i| SampleKey::of_slot(i, SLOT, &[0; 32]))
        .find(|k| netflow_metering::sample::is_audited(*k, FLOW, DOWN, archive.get(SLOT).unwrap().leaves()[0].bytes))
        .unwrap();
    assert!(archive.reveal(SLOT, key));
    assert_eq!(meter.records_held(), 0, "after the reveal the ring is gone");
    assert_eq!(archive.open(SLOT, FLOW, DOWN, Level::of(50)).unwrap().samples.len(), 50);
    archive.expire(SLOT.end_ms() + 96_000);
    assert!(archive.get(SLOT).is_none());
}

#[test]
fn pitfall_25_a_node_killed_between_signing_and_sending_never_signs_a_slot_twice() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let commit = |slot| SlotCommit::build(PartyKey(key.verifying_key().to_bytes()), slot, Vec::new());
    let mut signer = SlotSigner::new(None);
    let stored = signer.sign(&commit(SLOT), &key).unwrap();
    assert_eq!(signer.sign(&commit(SLOT), &key), Err(AlreadySigned(SLOT.0)));
    let mut restarted = SlotSigner::new(Some(stored.body().slot));
    assert_eq!(restarted.sign(&commit(SLOT), &key), Err(AlreadySigned(SLOT.0)));
    assert_eq!(restarted.sign(&commit(Slot(SLOT.0 - 1)), &key), Err(AlreadySigned(SLOT.0 - 1)));
    assert!(restarted.sign(&commit(Slot(SLOT.0 + 1)), &key).is_ok());
}

#[test]
fn the_archive_of_a_standing_chain_is_bounded() {
    let mut archive = Archive::default();
    let kept = (0..100).filter(|i| archive.insert(SlotCommit::build(PartyKey([1; 32]), Slot(*i), Vec::new())).is_ok());
    assert_eq!(kept.count(), 14);
}
