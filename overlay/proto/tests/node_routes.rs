//! Ways over several relays: found when no relay is common, left when a relay on them dies, and never a loop.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use harness::{Id, MS, SECOND, World};
use netflow_overlay::node::{Event, PathInfo, Quota};
use netflow_overlay::{NetworkId, Tier};
use netflow_wire::ControlMessage;
use netflow_wire::control::{CandidatePath, CircuitPath, RelayAdvert, circuit_reason};

const SOME: Quota = Quota { bytes_per_day: 1 << 40, rate_bps: 1 << 30 };

struct Line {
    world: World,
    network: NetworkId,
    a: Id,
    b: Id,
    first: Id,
    middles: Vec<Id>,
    last: Id,
}

/// A reaches only the first relay and B only the last; so many relays lie between the two, which have no link to each other.
/// The relays between carry on by agreement: the network does not name them.
fn line(seed: u64, middles: usize) -> Line {
    let mut world = World::new(seed);
    let first = world.add("first", Tier::Root, &[]);
    let last = world.add("last", Tier::Root, &[]);
    let middles: Vec<Id> = (0..middles).map(|at| world.add(&format!("middle{at}"), Tier::Root, &[])).collect();
    let a = world.add("a", Tier::Edge, &[first, last]);
    let b = world.add("b", Tier::Edge, &[]);
    let network = world.create(a, "home");
    world.admit(a, network, b);
    for middle in &middles {
        world.agree(*middle, &[first, last], SOME);
        world.mesh(&[(first, *middle), (*middle, last)]);
    }
    world.block(a, last);
    world.block(b, first);
    // Bindings outlive their links by a minute, and circuits their last use by ten.
    world.run(700 * SECOND);
    Line { world, network, a, b, first, middles, last }
}

/// Relays of the path one node uses to the other, first hop first.
fn hops(world: &World, from: Id, network: NetworkId, to: Id) -> Vec<Id> {
    let peers = world.sims[from].node.as_ref().unwrap().peers(world.now, &network).unwrap();
    let peer = peers.into_iter().find(|peer| peer.node == world.sims[to].id);
    let Some(PathInfo::Relay { hops, .. }) = peer.and_then(|peer| peer.path) else { return Vec::new() };
    hops.as_slice().iter().map(|relay| world.sims.iter().position(|sim| sim.id == *relay).unwrap()).collect()
}

#[test]
fn two_members_without_a_common_relay_reach_each_other_over_three() {
    let Line { mut world, network, a, b, first, middles, last } = line(40, 1);
    assert!(world.reaches(a, b, network, 2 * SECOND), "the first packet arrives");
    assert!(world.reaches(b, a, network, SECOND));
    assert_eq!(hops(&world, a, network, b), [first, middles[0], last]);
    assert_eq!(hops(&world, b, network, a), [last, middles[0], first]);
    // Every relay on the way counts what it carried.
    for relay in [first, middles[0], last] {
        let status = world.sims[relay].node.as_ref().unwrap().relay_status().unwrap();
        assert!(status.forwarded_frames > 0 && status.circuits > 0, "{}", world.sims[relay].name);
    }
}

#[test]
fn a_relay_carries_nothing_on_without_hosting_the_network_or_an_agreement() {
    let Line { mut world, network, a, b, middles, .. } = line(41, 1);
    world.agree(middles[0], &[], SOME);
    assert!(!world.reaches(a, b, network, 20 * SECOND));
    let status = world.sims[middles[0]].node.as_ref().unwrap().relay_status().unwrap();
    assert_eq!((status.circuits, status.forwarded_frames), (0, 0));
}

#[test]
fn an_agreement_ends_with_its_volume() {
    let Line { mut world, network, a, b, first, middles, .. } = line(42, 1);
    world.agree(middles[0], &[first], Quota { bytes_per_day: 100_000, rate_bps: 1 << 30 });
    assert!(world.reaches(a, b, network, 2 * SECOND));
    for _ in 0..300 {
        world.send(a, b, network, &[7; 1_000]);
        world.run(10 * MS);
    }
    let status = world.sims[middles[0]].node.as_ref().unwrap().relay_status().unwrap();
    assert!((90_000..=100_000).contains(&status.forwarded_bytes), "{}", status.forwarded_bytes);
    assert_eq!(status.circuits, 0, "closed, not just starved");
    assert!(!world.reaches(a, b, network, 5 * SECOND));
}

#[test]
fn when_the_relay_between_dies_another_way_is_found_within_seconds() {
    let Line { mut world, network, a, b, first, middles, last } = line(43, 2);
    assert!(world.reaches(a, b, network, 2 * SECOND));
    let used = hops(&world, a, network, b);
    let dead = used[1];
    assert!(middles.contains(&dead));
    world.kill(dead);
    let died = world.now.mono_us;
    let mut gap = 0;
    while gap == 0 {
        world.send(a, b, network, b"on we go");
        if world.reaches(a, b, network, 100 * MS) {
            gap = world.now.mono_us - died;
        }
        assert!(world.now.mono_us - died < 5 * SECOND, "no other way within five seconds");
    }
    println!("gap after the death of the relay between: {} ms", gap / MS);
    let now_used = hops(&world, a, network, b);
    assert!(now_used.first() == Some(&first) && now_used.last() == Some(&last) && now_used[1] != dead);
    // Within a second both ends were told, and nothing of the dead circuit is left.
    for relay in [first, last] {
        let status = world.sims[relay].node.as_ref().unwrap().relay_status().unwrap();
        assert_eq!(status.circuits, 1, "{}", world.sims[relay].name);
    }
}

#[test]
fn the_restart_of_any_relay_on_the_way_is_a_clean_end_and_a_new_beginning() {
    let Line { mut world, network, a, b, first, middles, last } = line(44, 1);
    assert!(world.reaches(a, b, network, 2 * SECOND));
    for relay in [middles[0], first, last] {
        world.restart(relay);
        let back = world.run_until(60 * SECOND, |world| world.reaches(a, b, network, 500 * MS));
        assert!(back, "after the restart of {}", world.sims[relay].name);
        assert!(world.reaches(b, a, network, 2 * SECOND));
    }
}

#[test]
fn no_relay_is_twice_in_a_path_whoever_says_so() {
    let Line { mut world, network, a, b, first, middles, last } = line(45, 1);
    assert!(world.reaches(a, b, network, 2 * SECOND));
    let [id_a, id_b] = [world.id(a), world.id(b)];
    let [r1, r2, r3] = [world.id(first), world.id(middles[0]), world.id(last)];
    // A hostile relay answers with ways that go in a circle, begin elsewhere, or are too long.
    world.messages.clear();
    let refused = world.sims[a].node.as_ref().unwrap().status(world.now).counters.rx_refused;
    let ways = [vec![r1, r2, r1], vec![r2, r3], vec![]];
    let paths = ways.map(|relays| CandidatePath { relays, rtt_us: 1, loss_permille: 0, load_permille: 0, price: 0 });
    world.forge(first, a, &ControlMessage::PathAnswer { network, peer: id_b, class: 0, paths: paths.to_vec() });
    let asked = |message: &ControlMessage| matches!(message, ControlMessage::CircuitOpen { .. });
    let opened = world.messages.iter().filter_map(|(_, _, bytes)| ControlMessage::decode(bytes).ok());
    assert_eq!(opened.filter(asked).count(), 0);
    assert_eq!(world.sims[a].node.as_ref().unwrap().status(world.now).counters.rx_refused, refused + 3);
    // A member, and a relay, ask for a circle.
    world.messages.clear();
    world.forge(a, first, &ControlMessage::CircuitOpen { network, peer: id_b, via: vec![r2, r1] });
    let (low, high) = if id_a < id_b { (id_a, id_b) } else { (id_b, id_a) };
    for route in [vec![r1, r2, r1], vec![r1], vec![r1, r3, r2], vec![r3, r1]] {
        let circuit = CircuitPath { network, first: low, last: high, route };
        world.forge(first, middles[0], &ControlMessage::CircuitExtend { circuit, label: 7, epoch: 7 });
    }
    let mut reasons = Vec::new();
    for (_, _, bytes) in &world.messages {
        match ControlMessage::decode(bytes) {
            Ok(ControlMessage::CircuitClosed { reason, .. } | ControlMessage::CircuitRelease { reason, .. }) => {
                reasons.push(reason);
            }
            Ok(ControlMessage::CircuitExtend { .. } | ControlMessage::CircuitOpened { .. }) => {
                panic!("a circle opened")
            }
            _ => {}
        }
    }
    assert_eq!(reasons, vec![circuit_reason::BAD_PATH; 5]);
}

#[test]
fn no_relay_can_lie_about_another_or_take_the_word_of_this_one() {
    let Line { mut world, network, a, b, first, middles, last } = line(52, 1);
    assert!(world.reaches(a, b, network, 2 * SECOND));
    // The relay between tells that the last one lost all its links, and that the first one said so as well.
    let liar = world.keys(middles[0]).node;
    let lie = |origin: Id| RelayAdvert {
        origin: world.id(origin),
        seq: u64::MAX,
        age_s: 0,
        hops: 0,
        load_permille: 0,
        price: 0,
        links: Vec::new(),
        signature: netflow_overlay::identity::sign(&liar, "NFC/1 advert", b"trust me"),
    };
    let adverts = vec![lie(last), lie(first)];
    world.forge(middles[0], first, &ControlMessage::LinkState { adverts });
    let status = world.sims[first].node.as_ref().unwrap().relay_status().unwrap();
    assert_eq!(status.forged_adverts, 2);
    // Nothing of it counts: when the circuits were given back, the way is found again.
    world.run(700 * SECOND);
    assert_eq!(hops(&world, a, network, b), Vec::<Id>::new());
    assert!(world.reaches(a, b, network, 2 * SECOND));
    assert_eq!(hops(&world, a, network, b), [first, middles[0], last]);
}

#[test]
fn a_trace_measures_every_relay_of_the_path_where_the_data_goes() {
    let Line { mut world, network, a, b, .. } = line(46, 1);
    assert!(world.reaches(a, b, network, 2 * SECOND));
    let (now, target) = (world.now, world.id(b));
    let started = world.node(a).trace(now, &network, &target).unwrap();
    world.perform(a);
    world.run(2 * SECOND);
    let hops = world.sims[a].events.iter().find_map(|event| match event {
        Event::TraceDone { trace, hops } if Some(*trace) == started.trace => Some(hops.clone()),
        _ => None,
    });
    let hops: Vec<(Option<u64>, u8)> = hops.unwrap().iter().map(|hop| (hop.rtt_us, hop.hop_limit)).collect();
    assert_eq!(hops, [(Some(20 * MS), 8), (Some(40 * MS), 7), (Some(60 * MS), 6)]);
}

#[test]
fn a_relay_without_mesh_answers_that_it_knows_no_way_and_is_not_asked_for_ever() {
    let mut world = World::new(47);
    let relay = world.add("cn", Tier::Central, &[]);
    let a = world.add("a", Tier::Edge, &[relay]);
    let b = world.add("b", Tier::Edge, &[]);
    let network = world.create(a, "home");
    world.admit(a, network, b);
    world.unplug(b, true);
    world.run(700 * SECOND);
    world.messages.clear();
    for _ in 0..600 {
        world.send(a, b, network, b"are you there");
        world.run(SECOND);
    }
    let asked = |message: &ControlMessage| matches!(message, ControlMessage::PathQuery { .. });
    let queries = world.messages.iter().filter_map(|(_, _, bytes)| ControlMessage::decode(bytes).ok());
    let queries = queries.filter(asked).count();
    assert!((1..=20).contains(&queries), "{queries} questions in ten minutes");
}

#[test]
fn a_willing_edge_node_relays_like_a_central_one() {
    let mut world = World::new(48);
    let relay = world.add("willing", Tier::Edge, &[]);
    let addr = world.sims[relay].addr;
    world.sims[relay].relay = Some(World::relay_config(addr));
    world.restart(relay);
    let a = world.add("a", Tier::Edge, &[relay]);
    let b = world.add("b", Tier::Edge, &[]);
    let network = world.create(a, "home");
    world.admit(a, network, b);
    assert!(world.reaches(a, b, network, 5 * SECOND) && world.reaches(b, a, network, SECOND));
    assert_eq!(hops(&world, a, network, b), [relay]);
}

#[test]
fn only_relays_that_name_each_other_work_together() {
    let mut world = World::new(49);
    let one = world.add("one", Tier::Root, &[]);
    let two = world.add("two", Tier::Root, &[]);
    world.set_mesh(one, &[two]);
    world.run(10 * SECOND);
    let up = |world: &World, relay: Id| {
        let status = world.sims[relay].node.as_ref().unwrap().relay_status().unwrap();
        status.mesh.iter().filter(|link| link.up && link.rtt_us.is_some()).count()
    };
    assert_eq!((up(&world, one), up(&world, two)), (0, 0));
    world.set_mesh(two, &[one]);
    assert!(world.run_until(60 * SECOND, |world| up(world, one) == 1 && up(world, two) == 1));
    let status = world.sims[one].node.as_ref().unwrap().relay_status().unwrap();
    assert_eq!(status.mesh[0].rtt_us, Some(20_000));
    // One that is not named any more is dropped at once.
    world.set_mesh(one, &[]);
    world.run(5 * SECOND);
    assert_eq!(up(&world, two), 0);
}

#[test]
fn pitfall_16_the_mesh_tells_changes_and_not_itself_over_and_over() {
    let mut world = World::new(50);
    let relays: Vec<Id> = (0..6).map(|at| world.add(&format!("rn{at}"), Tier::Root, &[])).collect();
    let pairs: Vec<(Id, Id)> =
        relays.iter().flat_map(|one| relays.iter().map(|two| (*one, *two))).filter(|(one, two)| one < two).collect();
    world.mesh(&pairs);
    world.run(60 * SECOND);
    world.messages.clear();
    world.run(600 * SECOND);
    let bytes: usize = world.messages.iter().map(|(_, _, bytes)| bytes.len()).sum();
    // Twenty refreshes of six relays; each crosses each of the thirty directed links about once.
    assert!(world.messages.len() <= 20 * 6 * 30 * 3 / 2, "{} messages", world.messages.len());
    println!("a mesh of six: {} control bytes a minute and relay", bytes / 6 / 10);
}

/// Pitfall of every shared uplink: one network floods ten times what there is, the other asks for less than its half.
#[test]
fn a_full_uplink_is_shared_between_networks_whatever_they_offer() {
    let mut world = World::new(51);
    let relay = world.add("cn", Tier::Central, &[]);
    let pairs: Vec<(Id, Id, NetworkId)> = ["loud", "quiet"]
        .map(|name| {
            let a = world.add(&format!("{name}-a"), Tier::Edge, &[relay]);
            let b = world.add(&format!("{name}-b"), Tier::Edge, &[]);
            let network = world.create(a, name);
            world.admit(a, network, b);
            assert!(world.reaches(a, b, network, 5 * SECOND));
            (a, b, network)
        })
        .to_vec();
    // Sizes of paths are searched for at first.
    world.run(20 * SECOND);
    let mut config = world.sims[relay].relay.clone().unwrap();
    config.rate_bps = Some(2_000_000);
    let now = world.now;
    world.node(relay).set_relay_config(now, Some(config));
    world.perform(relay);
    let [(loud_a, loud_b, loud), (quiet_a, quiet_b, quiet)] = pairs[..] else { panic!("two pairs") };
    let before = world.received(loud_b, loud).len();
    let mut sent: Vec<Vec<u8>> = Vec::new();
    for step in 0..5_000u64 {
        let mut payload = vec![0; 1_000];
        payload[..8].copy_from_slice(&step.to_le_bytes());
        world.send(loud_a, loud_b, loud, &payload);
        if step.is_multiple_of(11) {
            world.send(quiet_a, quiet_b, quiet, &payload);
            sent.push(payload);
        }
        world.run(800);
    }
    world.run(SECOND);
    let arrived: Vec<Vec<u8>> =
        world.received(quiet_b, quiet).into_iter().filter(|payload| payload.len() == 1_000).collect();
    assert!(arrived.len() * 100 >= sent.len() * 97, "{} of {} arrived", arrived.len(), sent.len());
    assert!(arrived.is_sorted_by_key(|payload| u64::from_le_bytes(payload[..8].try_into().unwrap())), "reordered");
    // Four seconds of 250 kB/s, less what the other network had.
    let loud_got = world.received(loud_b, loud).len() - before;
    assert!((350..=700).contains(&loud_got), "{loud_got} packets of the loud network");
    let status = world.sims[relay].node.as_ref().unwrap().relay_status().unwrap();
    assert!(status.queue_dropped_frames > 3_000 && status.queued_frames == 0);
}
