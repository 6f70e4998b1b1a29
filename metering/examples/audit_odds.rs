//! What audits find, measured with the real sampling and verdict: `cargo run --release -p netflow-metering --example
//! audit_odds`. Fails when an honest path is flagged.
// It prints, and its statistics are floating point; neither is on a consensus path.
#![allow(clippy::print_stdout, clippy::cast_possible_truncation, clippy::indexing_slicing)]

use std::process::ExitCode;

use netflow_metering::hash::SampleKey;
use netflow_metering::ids::{Direction, FlowId};
use netflow_metering::sample::{Level, is_audited};
use netflow_metering::verdict::{HopReport, judge};
use netflow_metering::wire::{Opening, Record};

/// SplitMix64: repeatable and good enough for dice.
struct Dice(u64);

impl Dice {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    const fn record(&mut self) -> Record {
        let x = self.next();
        let length = if x & 3 == 0 { 64 + (x >> 2) % 1_000 } else { 1_400 };
        Record(x << 16 | length)
    }

    fn key(&mut self) -> SampleKey {
        let (a, b) = (self.next().to_le_bytes(), self.next().to_le_bytes());
        let mut key = [0; 16];
        key[..8].copy_from_slice(&a);
        key[8..].copy_from_slice(&b);
        SampleKey::from_bytes(key)
    }
}

fn report(records: &[Record], samples: &[Record]) -> (u64, u64, Vec<Record>) {
    (records.len() as u64, records.iter().map(|r| u64::from(r.length())).sum(), samples.to_vec())
}

/// Honest flow-slots over three segments that each lose 5 % at random; how many are flagged.
fn honest(flow_slots: u32) -> u32 {
    let mut dice = Dice(1);
    let mut flagged = 0;
    for _ in 0..flow_slots {
        let n = 1 + dice.next() % (1 << (4 + dice.next() % 11));
        let (key, level) = (dice.key(), Level::of(n));
        let mut records: Vec<Record> = (0..n).map(|_| dice.record()).collect();
        let mut rows = Vec::new();
        for _ in 0..4 {
            rows.push(report(&records, &level.sample(key, records.iter().copied())));
            records.retain(|_| !dice.next().is_multiple_of(20));
        }
        let hops: Vec<HopReport<'_>> =
            rows.iter().map(|(pkts, bytes, samples)| HopReport { pkts: *pkts, bytes: *bytes, samples }).collect();
        flagged += u32::from(judge(&hops, level).flags.iter().any(|f| f.any()));
    }
    flagged
}

/// Share of `trials` in which a relay that commits one per cent of invented packets is flagged while it carries 1 GiB at
/// `bytes_per_slot`; `density` multiplies the audits of the lottery.
fn inflation_found(trials: u32, bytes_per_slot: u64, density: u64) -> f64 {
    let mut dice = Dice(bytes_per_slot);
    let pkts = bytes_per_slot / 1_200;
    let (level, flow) = (Level::of_slot(pkts, bytes_per_slot), FlowId([1; 16]));
    let found = (0..trials).filter(|_| {
        (0..(1u64 << 30).div_ceil(bytes_per_slot)).any(|_| {
            let slot_key = dice.key();
            is_audited(slot_key, flow, Direction::Down, bytes_per_slot * density) && {
                let key = slot_key.of_flow(flow, Direction::Down);
                (0..pkts / 100).any(|_| level.selects(key, Record(dice.next())))
            }
        })
    });
    found.count() as f64 / f64::from(trials)
}

/// Share of audits in which the same relay, hiding every invented packet that was selected, is convicted by the leaves
/// drawn whatever was sampled. The invented packets fill whole leaves, which is the best place to hide them.
fn hiding_found(trials: u32, pkts: u32) -> f64 {
    let mut dice = Dice(u64::from(pkts));
    let level = Level::of(pkts.into());
    let fake_leaves = pkts / 1_600;
    let found = (0..trials).filter(|_| {
        let key = dice.key();
        let drawn = Opening::drawn(key, pkts);
        drawn.iter().any(|leaf| *leaf < fake_leaves && (0..16).any(|_| level.selects(key, Record(dice.next()))))
    });
    found.count() as f64 / f64::from(trials)
}

fn main() -> ExitCode {
    let flagged = honest(10_000);
    println!("honest, 3 x 5 % loss: {flagged} of 10000 flow-slots flagged");
    println!("1 % inflation found while carrying 1 GiB (one audit per 128 MiB | per 64 MiB):");
    for mbit in [2u64, 20, 100, 200, 1_000] {
        let per_slot = mbit * 1_000_000;
        let (one, two) = (inflation_found(20_000, per_slot, 1), inflation_found(20_000, per_slot, 2));
        println!("  {mbit:>4} Mbit/s: {one:.4} | {two:.4}");
    }
    println!("hidden samples convicted per audit (1 % invented, all selected ones hidden):");
    for pkts in [1_600, 16_000, 160_000] {
        println!("  {pkts:>6} packets a slot: {:.4}", hiding_found(200_000, pkts));
    }
    if flagged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
