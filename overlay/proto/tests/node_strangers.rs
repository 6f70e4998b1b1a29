//! What a node answers to addresses nobody proved: little, and never more than came from there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use std::net::SocketAddr;

use harness::{Id, MS, SECOND, World};
use netflow_overlay::{NetworkId, Tier};
use netflow_wire::ControlMessage;
use netflow_wire::probe::{EchoRepr, ReachRepr};
use netflow_wire::stun::{BindingRequest, StunMessage};
use rand_core::Rng as _;

/// A relay with two members, one of which is on the relay itself; circuits are open.
fn world(seed: u64) -> (World, Id, Id, NetworkId) {
    let mut world = World::new(seed);
    let relay = world.add("cn", Tier::Central, &[]);
    let network = world.create(relay, "home");
    let b = world.add("b", Tier::Edge, &[]);
    world.admit(relay, network, b);
    assert!(world.reaches(b, relay, network, 5 * SECOND));
    world.keep_capture = true;
    (world, relay, b, network)
}

fn stranger(number: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, (113 + number / 200) as u8, (number % 200) as u8 + 1], 7))
}

/// Bytes that went to an address since the capture was emptied.
fn answered(world: &World, to: SocketAddr) -> usize {
    world.capture.iter().filter(|(_, addr, _)| *addr == to).map(|(_, _, bytes)| bytes.len()).sum()
}

/// Every kind of frame, every first byte there is below QUIC, all lengths that mean something: no address gets more than it sent.
#[test]
fn pitfall_13_no_first_byte_and_no_length_makes_an_amplifier() {
    let (mut world, relay, b, _) = world(60);
    let targets = [world.sims[relay].addr, world.sims[b].addr];
    // What was really said to these nodes makes the best forgeries: with correct labels, ids and macs.
    let said: Vec<Vec<u8>> = {
        world.run(700 * SECOND);
        world.capture.iter().map(|(_, _, bytes)| bytes.clone()).take(400).collect()
    };
    let mut number = 0;
    for first in 0..0x40u8 {
        for length in [1, 8, 16, 20, 28, 32, 36, 40, 44, 52, 54, 64, 80, 132, 500, 1_220, 1_228] {
            let mut bytes = vec![0u8; length];
            world.rng.fill_bytes(&mut bytes);
            let zeroed = length.min(1 + number as usize % 24);
            bytes[..zeroed].fill(0);
            bytes[0] = first;
            assert_no_gain(&mut world, targets[number as usize % 2], number, bytes);
            number += 1;
        }
    }
    for bytes in said {
        for target in targets {
            assert_no_gain(&mut world, target, number, bytes.clone());
            number += 1;
        }
    }
    for target in targets {
        for bytes in [
            ReachRepr { token: 7 }.to_bytes().to_vec(),
            EchoRepr { hop_limit: 1, epoch: 0, label: 0, id: 7, answer: None }.to_bytes().to_vec(),
            EchoRepr { hop_limit: 1, epoch: 0, label: 0, id: 7, answer: Some([7; 8]) }.to_bytes().to_vec(),
            BindingRequest { transaction: [7; 12] }.to_bytes().to_vec(),
        ] {
            assert_no_gain(&mut world, target, number, bytes);
            number += 1;
        }
    }
}

fn assert_no_gain(world: &mut World, target: SocketAddr, number: u16, bytes: Vec<u8>) {
    let (from, sent) = (stranger(number), bytes.len());
    let what = format!("{:02x} of {sent} bytes", bytes[0]);
    world.capture.clear();
    world.inject(from, target, bytes);
    world.run(100 * MS);
    let got = answered(world, from);
    assert!(got <= sent, "{what}: {got} bytes back");
}

#[test]
fn a_relay_answers_stun_and_is_no_amplifier_even_for_bare_requests() {
    let (mut world, relay, b, _) = world(61);
    let from = stranger(1);
    let request = BindingRequest { transaction: [9; 12] }.to_bytes().to_vec();
    world.capture.clear();
    world.inject(from, world.sims[relay].addr, request.clone());
    world.inject(from, world.sims[b].addr, request);
    world.run(SECOND);
    let answers: Vec<&Vec<u8>> =
        world.capture.iter().filter(|(_, to, _)| *to == from).map(|(_, _, bytes)| bytes).collect();
    assert_eq!(answers.len(), 1, "the relay answers, the edge node does not");
    assert_eq!(StunMessage::new_checked(answers[0]).unwrap().mapped_address(), Some(from));
    // Bare requests of 20 bytes from everywhere: their answers are longer, so there are few.
    let mut bare = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bare.extend_from_slice(&[5; 12]);
    world.capture.clear();
    for number in 0..5_000u16 {
        world.inject(stranger(number), world.sims[relay].addr, bare.clone());
    }
    world.run(SECOND);
    let answers = world.capture.iter().filter(|(id, _, bytes)| *id == relay && bytes.starts_with(&[1, 1])).count();
    assert!((50..=201).contains(&answers), "{answers} long answers to 5,000 bare requests");
}

#[test]
fn one_source_cannot_use_up_the_stun_answers_of_all() {
    let (mut world, relay, ..) = world(62);
    let flooder = stranger(3);
    let request = BindingRequest { transaction: [9; 12] }.to_bytes().to_vec();
    world.capture.clear();
    for _ in 0..20_000 {
        world.inject(flooder, world.sims[relay].addr, request.clone());
    }
    let honest: SocketAddr = "198.18.5.5:5".parse().unwrap();
    world.inject(honest, world.sims[relay].addr, request);
    world.run(SECOND);
    assert!(answered(&world, honest) > 0);
    let answers = world.capture.iter().filter(|(_, to, _)| *to == flooder).count();
    assert!(answers <= 80, "{answers} answers to one source");
}

#[test]
fn a_reachability_probe_goes_only_to_the_address_of_who_asks() {
    let (mut world, relay, b, _) = world(63);
    let own = SocketAddr::new(world.sims[b].addr.ip(), 999);
    world.capture.clear();
    for _ in 0..20 {
        world.forge(b, relay, &ControlMessage::ProbeMe { addr: own, token: 77, alt: false });
    }
    let victim = stranger(5);
    world.forge(b, relay, &ControlMessage::ProbeMe { addr: victim, token: 77, alt: false });
    world.forge(b, relay, &ControlMessage::ProbeMe { addr: own, token: 77, alt: true });
    world.run(100 * MS);
    let probes: Vec<_> = world.capture.iter().filter(|(_, to, _)| *to == own).collect();
    assert_eq!(probes.len(), 8, "eight a second and no more; none from a port this relay does not have");
    assert_eq!(probes[0].2, ReachRepr { token: 77 }.to_bytes());
    assert_eq!(answered(&world, victim), 0);
}
