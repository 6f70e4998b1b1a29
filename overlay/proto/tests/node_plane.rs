//! The data path: packets of known flows pass the node, and nothing passes that the node would refuse.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use std::net::SocketAddr;

use harness::{Id, SECOND, World, udp, udp_from};
use netflow_overlay::node::{Counters, PacketSink};
use netflow_overlay::{NetworkId, PortId, Tier};

const MS: u64 = 1_000;

/// Two members that have talked, and their relay.
fn pair(seed: u64, direct: bool) -> (World, Id, Id, Id, NetworkId) {
    let mut world = World::new(seed);
    world.direct = direct;
    let relay = world.add("rn", Tier::Root, &[]);
    let [a, b] = ["a", "b"].map(|name| world.add(name, Tier::Edge, &[relay]));
    let network = world.create(a, "home");
    world.admit(a, network, b);
    assert!(world.reaches(a, b, network, 5 * SECOND) && world.reaches(b, a, network, 5 * SECOND));
    world.run(10 * SECOND);
    (world, relay, a, b, network)
}

fn counters(world: &mut World, id: Id) -> Counters {
    let now = world.now;
    world.node(id).status(now).counters
}

/// Sends `count` packets a millisecond apart, in one flow.
fn stream(world: &mut World, from: Id, to: Id, network: NetworkId, count: u32) {
    for number in 0..count {
        world.send(from, to, network, &number.to_le_bytes());
        world.run(MS);
    }
    world.run(SECOND);
}

#[test]
fn most_packets_of_a_flow_pass_the_node_and_all_arrive_once_and_in_order() {
    for direct in [false, true] {
        let (mut world, _, a, b, network) = pair(70, direct);
        let (before_a, before_b) = (counters(&mut world, a), counters(&mut world, b));
        let known = world.received(b, network).len();
        stream(&mut world, a, b, network, 1_000);
        let sent = counters(&mut world, a).tx_known - before_a.tx_known;
        let received = counters(&mut world, b).rx_known - before_b.rx_known;
        // One packet in 20 ms is looked at by the node, and a few more when a path was chosen anew.
        assert!(sent > 900 && received > 900, "direct: {direct}, {sent} sent and {received} received past the node");
        let numbers: Vec<u32> = world.received(b, network)[known..]
            .iter()
            .map(|payload| u32::from_le_bytes(payload.as_slice().try_into().unwrap()))
            .collect();
        assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
        let counted = counters(&mut world, b).rx_packets - before_b.rx_packets;
        assert_eq!(counted, 1_000, "counted all the same");
    }
}

#[test]
fn pitfall_04_a_frame_is_taken_once_whether_the_node_or_the_data_path_opens_it() {
    for direct in [false, true] {
        let (mut world, relay, a, b, network) = pair(71, direct);
        world.keep_capture = true;
        let before = world.received(b, network).len();
        stream(&mut world, a, b, network, 100);
        let (from, to) = (if direct { a } else { relay }, world.sims[b].addr);
        let source = world.sims[from].addr;
        let frames: Vec<Vec<u8>> = world
            .capture
            .iter()
            .filter(|(sender, receiver, _)| *sender == from && *receiver == to)
            .map(|(_, _, bytes)| bytes.clone())
            .collect();
        assert!(frames.len() >= 100);
        // Once at once, while the entries are there, between new packets that keep them alive; and once when they are gone.
        for round in 0..2 {
            for frame in &frames {
                world.inject(source, to, frame.clone());
            }
            stream(&mut world, a, b, network, 10);
            world.run(SECOND);
            assert_eq!(world.received(b, network).len(), before + 100 + 10 * (round + 1), "direct: {direct}");
        }
    }
}

#[test]
fn a_revocation_holds_from_the_next_packet_on_in_both_directions() {
    for direct in [false, true] {
        let (mut world, _, a, b, network) = pair(72, direct);
        stream(&mut world, a, b, network, 50);
        stream(&mut world, b, a, network, 50);
        // Both directions are known to the data path now; what b has sent is under way.
        world.send(a, b, network, b"known");
        world.send(b, a, network, b"under way");
        let (at_a, at_b) = (world.received(a, network).len(), world.received(b, network).len());
        let before = counters(&mut world, a);
        world.revoke(a, network, b);
        for _ in 0..5 {
            world.send(a, b, network, b"to a member that is out");
        }
        let after = counters(&mut world, a);
        assert_eq!(after.tx_packets, before.tx_packets, "nothing was sealed");
        world.run(10 * SECOND);
        assert_eq!(world.received(a, network).len(), at_a, "what was under way does not enter");
        assert!(world.received(b, network).len() <= at_b + 1, "at most what was sent before");
    }
}

#[test]
fn another_source_address_is_refused_in_the_middle_of_a_known_flow() {
    let (mut world, _, a, b, network) = pair(73, true);
    stream(&mut world, a, b, network, 20);
    let (own, dest) = (world.address(a, network), world.address(b, network));
    let before = world.received(b, network).len();
    let stranger = "100.64.9.9".parse().unwrap();
    for _ in 0..20 {
        world.send_raw(a, network, &udp(own, dest, b"mine"));
        world.send_raw(a, network, &udp(stranger, dest, b"not mine"));
        world.run(MS);
    }
    world.run(SECOND);
    let payloads = world.received(b, network);
    assert_eq!(payloads.len(), before + 20);
    assert!(payloads.iter().all(|payload| payload != b"not mine"));
    assert_eq!(counters(&mut world, a).tx_spoofed, 20);
}

#[test]
fn a_flow_is_known_in_the_network_it_was_seen_in_and_in_no_other() {
    let mut world = World::new(74);
    let relay = world.add("rn", Tier::Root, &[]);
    let [a, b] = ["a", "b"].map(|name| world.add(name, Tier::Edge, &[relay]));
    let (one, two) = (world.create(a, "one"), world.create(a, "two"));
    world.admit(a, one, b);
    assert!(world.reaches(a, b, one, 5 * SECOND));
    stream(&mut world, a, b, one, 20);
    let packet = udp(world.address(a, one), world.address(b, one), b"wrong network");
    world.send_raw(a, one, &udp(world.address(a, one), world.address(b, one), b"right"));
    let before = counters(&mut world, a);
    world.send_raw(a, two, &packet);
    let after = counters(&mut world, a);
    assert_eq!((after.tx_packets, after.tx_known), (before.tx_packets, before.tx_known));
    world.run(SECOND);
    assert!(!world.received(b, one).contains(&b"wrong network".to_vec()));
}

#[test]
fn a_packet_over_the_size_that_passes_whole_is_decided_by_the_node() {
    let (mut world, _, a, b, network) = pair(75, true);
    stream(&mut world, a, b, network, 20);
    world.send(a, b, network, b"known");
    let before = counters(&mut world, a);
    world.send(a, b, network, &[0; 1_300]);
    let after = counters(&mut world, a);
    assert_eq!(after.tx_known, before.tx_known);
}

#[test]
fn a_path_that_falls_silent_in_a_known_flow_is_left_like_any_other() {
    let (mut world, relay, a, b, network) = pair(76, true);
    stream(&mut world, a, b, network, 200);
    stream(&mut world, b, a, network, 200);
    world.cut.insert((a, b));
    world.cut.insert((b, a));
    let since = world.now.mono_us;
    let mut through = None;
    for number in 0..1_000u32 {
        world.send(a, b, network, &(1_000_000 + number).to_le_bytes());
        world.send(b, a, network, b"back");
        world.run(MS);
        let arrived = world
            .received(b, network)
            .iter()
            .any(|payload| payload.as_slice().try_into().is_ok_and(|bytes| u32::from_le_bytes(bytes) >= 1_000_000));
        if arrived {
            through = Some(world.now.mono_us - since);
            break;
        }
    }
    let through = through.expect("traffic goes on through the relay");
    assert!(through <= 320 * MS, "{through} us through {relay}");
}

#[test]
fn flows_without_end_do_not_fill_the_memory() {
    let (mut world, _, a, b, network) = pair(77, true);
    let (source, dest) = (world.address(a, network), world.address(b, network));
    for port in 1..=20_000u16 {
        world.send_raw(a, network, &udp_from(source, dest, port, b"x"));
        if port % 100 == 0 {
            world.run(MS);
        }
    }
    world.run(SECOND);
    assert!(world.reaches(a, b, network, SECOND));
}

/// What a shell would send.
#[derive(Default)]
struct Sent(Vec<(PortId, SocketAddr, Vec<u8>)>);

impl PacketSink for Sent {
    fn datagram(&mut self, from: PortId, to: SocketAddr, len: usize) -> Option<&mut Vec<u8>> {
        self.0.push((from, to, Vec::with_capacity(len)));
        self.0.last_mut().map(|(_, _, bytes)| bytes)
    }

    fn inside(&mut self, _: &NetworkId, _: &[u8]) {}
}

/// Frames from a to b as the relay gets them.
fn relayed_run(
    world: &mut World,
    relay: Id,
    a: Id,
    b: Id,
    network: NetworkId,
    count: usize,
) -> (SocketAddr, Vec<Vec<u8>>) {
    let (source, dest, now) = (world.address(a, network), world.address(b, network), world.now);
    let mut sent = Sent::default();
    for _ in 0..count {
        world.node(a).handle_inside_into(now, &network, &udp(source, dest, &[7; 200]), &mut sent);
    }
    let relay_addr = world.sims[relay].addr;
    assert!(sent.0.iter().all(|(_, to, _)| *to == relay_addr));
    (world.sims[a].addr, sent.0.into_iter().map(|(_, _, bytes)| bytes).collect())
}

#[test]
fn a_relay_sends_a_whole_received_batch_on_and_each_frame_is_what_it_would_have_been() {
    let (mut world, relay, a, b, network) = pair(78, false);
    stream(&mut world, a, b, network, 50);
    let (from, frames) = relayed_run(&mut world, relay, a, b, network, 20);
    let (stride, now) = (frames[0].len(), world.now);
    let mut run = frames.concat();
    let forwarded = |world: &mut World| world.node(relay).relay_status().unwrap().forwarded_frames;
    let before = forwarded(&mut world);
    let (_, to) = world.node(relay).forward_run(now, PortId::MAIN, from, &mut run, stride).unwrap();
    assert_eq!(to, world.sims[b].addr);
    assert_eq!(forwarded(&mut world), before + 20);
    // One by one the relay makes the same of them.
    let mut single = Sent::default();
    for frame in &frames {
        let mut frame = frame.clone();
        world.node(relay).handle_datagram_into(now, PortId::MAIN, from, &mut frame, &mut single);
    }
    assert_eq!(
        run.chunks(stride).map(<[u8]>::to_vec).collect::<Vec<_>>(),
        single.0.into_iter().map(|(_, _, bytes)| bytes).collect::<Vec<_>>()
    );
    // And the member takes them.
    let got = world.received(b, network).len();
    for frame in run.chunks(stride) {
        let relay_addr = world.sims[relay].addr;
        world.inject(relay_addr, to, frame.to_vec());
    }
    world.run(SECOND);
    assert_eq!(world.received(b, network).len(), got + 20);
}

#[test]
fn a_batch_that_is_not_all_of_one_circuit_or_from_another_place_is_left_as_it_is() {
    let (mut world, relay, a, b, network) = pair(79, false);
    stream(&mut world, a, b, network, 50);
    let (from, frames) = relayed_run(&mut world, relay, a, b, network, 4);
    let (stride, now) = (frames[0].len(), world.now);
    let mut other_label = frames.concat();
    other_label[2 * stride + 4] ^= 1;
    let mut last_hop = frames.concat();
    last_hop[stride + 1] = 1;
    let mut other_kind = frames.concat();
    other_kind[3 * stride] = 0x13;
    let mut cut_short = frames.concat();
    cut_short.truncate(3 * stride + 5);
    let stranger: SocketAddr = "203.0.113.77:4790".parse().unwrap();
    let cases =
        [(from, other_label), (from, last_hop), (from, other_kind), (from, cut_short), (stranger, frames.concat())];
    for (at, run) in cases {
        let mut given = run.clone();
        assert_eq!(world.node(relay).forward_run(now, PortId::MAIN, at, &mut given, stride), None);
        assert_eq!(given, run, "nothing was changed");
    }
    assert_eq!(world.node(relay).forward_run(now, PortId::MAIN, from, &mut [], stride), None);
    assert_eq!(world.node(relay).forward_run(now, PortId::MAIN, from, &mut frames.concat(), 0), None);
    // An edge node that relays for nobody sends nothing on.
    assert_eq!(world.node(b).forward_run(now, PortId::MAIN, from, &mut frames.concat(), stride), None);
}
