//! Paths: several relays, relays that die, addresses that change, control links that break.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use harness::{Id, MS, SECOND, Weather, World, udp_from, with_dscp};
use netflow_overlay::node::{Event, PathInfo};
use netflow_overlay::{NetworkId, Tier};
use netflow_wire::ControlMessage;

/// Two relays, two members, traffic flows.
fn two_relays(seed: u64) -> (World, [Id; 2], [Id; 2], NetworkId) {
    let mut world = World::new(seed);
    let relays = [world.add("rn", Tier::Root, &[]), world.add("cn", Tier::Central, &[])];
    let a = world.add("a", Tier::Edge, &relays);
    let b = world.add("b", Tier::Edge, &[]);
    let network = world.create(a, "home");
    world.admit(a, network, b);
    assert!(world.reaches(b, a, network, 5 * SECOND));
    world.run(2 * SECOND);
    (world, relays, [a, b], network)
}

fn relay_in_use(world: &World, id: Id, network: NetworkId) -> Id {
    let peers = world.sims[id].node.as_ref().unwrap().peers(world.now, &network).unwrap();
    let Some(PathInfo::Relay { hops, .. }) = peers[0].path.clone() else { panic!("no path") };
    world.sims.iter().position(|sim| sim.id == hops.first()).unwrap()
}

#[test]
fn traffic_goes_on_when_the_relay_in_use_dies() {
    let (mut world, _, [a, b], network) = two_relays(2);
    for (from, to) in [(a, b), (b, a)] {
        let dead = relay_in_use(&world, from, network);
        world.kill(dead);
        world.run(100 * MS);
        assert!(world.reaches(from, to, network, SECOND), "the first packet after the relay's death arrives");
        world.start(dead);
        world.run(40 * SECOND);
        assert!(world.reaches(from, to, network, SECOND), "and still does when it is back");
    }
}

#[test]
fn a_relay_that_swallows_packets_without_a_word_is_left_within_seconds() {
    let (mut world, _, [a, b], network) = two_relays(3);
    let dead = relay_in_use(&world, a, network);
    // Datagrams vanish, control links stay: no CircuitClosed, no link down.
    world.rebind(dead, "203.0.113.9:9".parse().unwrap());
    let mut arrived = 0;
    for _ in 0..100 {
        let payload = world.now.mono_us.to_le_bytes();
        world.send(a, b, network, &payload);
        world.run(100 * MS);
        arrived += usize::from(world.received(b, network).contains(&payload.to_vec()));
    }
    assert!(arrived >= 40, "{arrived} of 100 packets in ten seconds");
}

#[test]
fn circuits_carry_traffic_while_the_control_links_are_down() {
    let (mut world, relays, [a, b], network) = two_relays(4);
    for relay in relays {
        world.cut_links(relay, true);
    }
    world.run(SECOND);
    assert!(world.reaches(a, b, network, SECOND));
    assert!(world.reaches(b, a, network, SECOND));
    for relay in relays {
        world.cut_links(relay, false);
    }
    world.run(60 * SECOND);
    assert!(world.reaches(a, b, network, 2 * SECOND));
}

#[test]
fn a_new_address_behind_the_nat_is_proved_by_the_next_packet() {
    let (mut world, _, [a, b], network) = two_relays(5);
    world.rebind(a, "203.0.113.77:1024".parse().unwrap());
    // The first packet from the new address is dropped and challenged, what follows the round trip passes.
    world.send(a, b, network, b"lost");
    world.run(SECOND);
    assert!(world.reaches(a, b, network, SECOND));
    assert!(world.reaches(b, a, network, SECOND));
}

#[test]
fn ping_measures_the_round_trip_and_says_why_nobody_answers() {
    let (mut world, _, [a, b], network) = two_relays(6);
    let (now, target) = (world.now, world.id(b));
    let ping = world.node(a).ping(now, &network, &target, 5, SECOND).unwrap();
    world.perform(a);
    world.run(10 * SECOND);
    let rtts: Vec<u64> = world.sims[a]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::PingReply { ping: of, rtt_us, .. } if *of == ping => Some(*rtt_us),
            _ => None,
        })
        .collect();
    assert_eq!(rtts, vec![40 * MS; 5], "two hops each way, ten milliseconds each");
    world.kill(b);
    world.run(200 * SECOND);
    let now = world.now;
    let ping = world.node(a).ping(now, &network, &target, 1, SECOND).unwrap();
    world.perform(a);
    world.run(20 * SECOND);
    assert!(world.saw(a, |event| matches!(event, Event::PingLost { ping: of, text, .. }
        if *of == ping && text.contains("not connected"))));
}

#[test]
fn a_network_works_in_bad_weather() {
    let mut world = World::new(7);
    world.weather = Weather { loss_percent: 20, double_percent: 10, jitter_us: 50 * MS };
    let relay = world.add("rn", Tier::Root, &[]);
    let a = world.add("a", Tier::Edge, &[relay]);
    let b = world.add("b", Tier::Edge, &[]);
    let network = world.create(a, "home");
    world.admit(a, network, b);
    let sent: Vec<Vec<u8>> = (0..200u32).map(|number| number.to_le_bytes().to_vec()).collect();
    assert!(world.run_until(60 * SECOND, |world| {
        world.send(a, b, network, b"knock");
        world.run(200 * MS);
        !world.received(b, network).is_empty()
    }));
    for payload in &sent {
        world.send(a, b, network, payload);
        world.run(20 * MS);
    }
    world.run(SECOND);
    let received = world.received(b, network);
    let arrived = sent.iter().filter(|payload| received.contains(payload)).count();
    assert!(arrived > 90, "{arrived} of 200 with a fifth lost on each of two hops");
    for payload in &sent {
        assert!(received.iter().filter(|got| got == &payload).count() <= 1, "delivered twice");
    }
}

#[test]
fn a_relay_that_is_a_member_itself_serves_its_own_network() {
    let mut world = World::new(8);
    let relay = world.add("cn", Tier::Central, &[]);
    let network = world.create(relay, "home");
    let b = world.add("b", Tier::Edge, &[]);
    let c = world.add("c", Tier::Edge, &[]);
    world.admit(relay, network, b);
    world.admit(relay, network, c);
    for (from, to) in [(b, relay), (relay, c), (b, c)] {
        assert!(world.reaches(from, to, network, 5 * SECOND), "{from} to {to}");
    }
}

#[test]
fn an_idle_member_sends_little() {
    let (mut world, _, [a, b], network) = two_relays(9);
    assert!(world.reaches(a, b, network, SECOND));
    world.run(600 * SECOND);
    world.keep_capture = true;
    world.messages.clear();
    world.run(3_600 * SECOND);
    let datagrams: usize =
        world.capture.iter().filter(|(from, ..)| *from == b).map(|(_, _, bytes)| bytes.len() + 28).sum();
    let messages: usize =
        world.messages.iter().filter(|(from, ..)| *from == b).map(|(_, _, bytes)| bytes.len() + 60).sum();
    let day = 24 * (datagrams + messages);
    println!("idle control bytes a day, without QUIC keepalives: {day}");
    assert!(day < 500_000, "{day} bytes a day");
}

/// DSCP of lower effort: whatever costs least.
const CHEAP: u8 = 8;

/// Frames each relay has forwarded.
fn forwarded(world: &World, relays: [Id; 2]) -> [u64; 2] {
    relays.map(|relay| world.sims[relay].node.as_ref().unwrap().relay_status().unwrap().forwarded_frames)
}

#[test]
fn cheap_traffic_takes_the_relay_that_asks_less_and_each_class_asks_for_its_own_ways() {
    let (mut world, relays, [a, b], network) = two_relays(8);
    world.price(relays[0], 10);
    world.price(relays[1], 1);
    let (source, dest) = (world.address(a, network), world.address(b, network));
    world.messages.clear();
    let mut used = [0, 0];
    for step in 0..3_000u32 {
        let payload = step.to_le_bytes();
        world.send_raw(a, network, &with_dscp(udp_from(source, dest, 4_000, &payload), CHEAP));
        world.send_raw(a, network, &udp_from(source, dest, 4_001, &payload));
        if step == 2_000 {
            used = forwarded(&world, relays);
        }
        world.run(20 * MS);
    }
    let asked = world.messages.iter().filter_map(|(_, _, bytes)| match ControlMessage::decode(bytes) {
        Ok(ControlMessage::PathQuery { class, .. }) => Some(class),
        _ => None,
    });
    let asked: std::collections::BTreeSet<u8> = asked.collect();
    assert_eq!(asked.into_iter().collect::<Vec<_>>(), [1, 2], "bulk and cheap; nothing interactive was slow");
    let paths = world.sims[a].node.as_ref().unwrap().path_report(world.now, &network, &world.id(b)).unwrap();
    let price = |relay: Id| {
        let of = paths
            .iter()
            .find(|path| matches!(&path.path, PathInfo::Relay { hops, .. } if hops.first() == world.id(relay)));
        of.unwrap().price
    };
    assert_eq!((price(relays[0]), price(relays[1])), (81, 9), "eight for each unit of a relay, one for the relay");
    let cheap =
        world.sims[a].node.as_ref().unwrap().path_in_use(&network, &world.id(b), netflow_overlay::path::Class::Cheap);
    assert_eq!(cheap.and_then(|key| key.first_relay()), Some(world.id(relays[1])));
    let after = forwarded(&world, relays);
    assert!(after[1] - used[1] >= 1_000, "every cheap packet of the last third went there: {used:?} to {after:?}");
}

#[test]
fn bulk_flows_share_relays_that_are_as_good_and_a_flow_stays_where_it_is() {
    let (mut world, relays, [a, b], network) = two_relays(9);
    let (source, dest) = (world.address(a, network), world.address(b, network));
    let burst = |world: &mut World, round: u32| {
        for port in 1_000..1_200u16 {
            let mut payload = vec![0; 20];
            payload[..4].copy_from_slice(&round.to_le_bytes());
            payload[4..6].copy_from_slice(&port.to_le_bytes());
            world.send_raw(a, network, &udp_from(source, dest, port, &payload));
            world.run(MS);
        }
    };
    // Both are measured, and nothing changes in the first ten seconds.
    for round in 0..60 {
        burst(&mut world, round);
    }
    let before = forwarded(&world, relays);
    burst(&mut world, 60);
    world.run(SECOND);
    let each = forwarded(&world, relays);
    let shares = [each[0] - before[0], each[1] - before[1]];
    assert!(shares.iter().all(|share| (60..=150).contains(share)), "{shares:?} of 200 flows and a few probes");
    // One relay dies: what it carried goes over the other one, and everything arrives.
    world.kill(relays[0]);
    for round in 61..65 {
        burst(&mut world, round);
    }
    let seen = world.received(b, network).len();
    burst(&mut world, 65);
    world.run(SECOND);
    let last = world.received(b, network);
    assert_eq!(last[seen..].iter().filter(|payload| payload.starts_with(&65u32.to_le_bytes())).count(), 200);
}
