//! Direct paths, fail-over, sizes: what becomes of traffic when paths come, go, get worse and get narrower.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use harness::{Id, MS, SECOND, World};
use netflow_overlay::node::{Event, PathState};
use netflow_overlay::path::Class;
use netflow_overlay::{NetworkId, PathKey, Tier};

/// Two relays, two members that reach each other through relays only.
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

fn in_use(world: &World, from: Id, to: Id, network: NetworkId) -> PathKey {
    let node = world.sims[from].node.as_ref().unwrap();
    node.path_in_use(&network, &world.id(to), Class::Bulk).expect("a path")
}

fn reports(world: &World, from: Id, to: Id, network: NetworkId) -> Vec<netflow_overlay::node::PathReport> {
    world.sims[from].node.as_ref().unwrap().path_report(world.now, &network, &world.id(to)).unwrap()
}

fn has_direct(world: &World, from: Id, to: Id, network: NetworkId) -> bool {
    reports(world, from, to, network)
        .iter()
        .any(|report| matches!(report.path, netflow_overlay::node::PathInfo::Direct { .. }))
}

/// One authentic frame of `a` reaches `b` from `a`'s own address.
fn knock(world: &mut World, [a, b]: [Id; 2], network: NetworkId) {
    world.divert = Some((a, b));
    world.send(a, b, network, b"knock");
    world.run(500 * MS);
}

fn direct_pair(seed: u64) -> (World, [Id; 2], [Id; 2], NetworkId) {
    let (mut world, relays, members, network) = two_relays(seed);
    world.direct = true;
    knock(&mut world, members, network);
    for (from, to) in [(members[0], members[1]), (members[1], members[0])] {
        assert!(in_use(&world, from, to, network).is_direct(), "both ends use the direct path");
    }
    (world, relays, members, network)
}

/// Sends a packet each way every 5 ms for `duration_us` and returns the longest gap in what arrived at each end.
fn gaps(world: &mut World, [a, b]: [Id; 2], network: NetworkId, duration_us: u64) -> [u64; 2] {
    let mut last = [world.now.mono_us; 2];
    let mut longest = [0; 2];
    let mut seen = [world.sims[a].inside.len(), world.sims[b].inside.len()];
    for step in 0..duration_us / (5 * MS) {
        world.send(a, b, network, &step.to_le_bytes());
        world.send(b, a, network, &step.to_le_bytes());
        world.run(5 * MS);
        for (end, id) in [a, b].into_iter().enumerate() {
            if world.sims[id].inside.len() > seen[end] {
                seen[end] = world.sims[id].inside.len();
                longest[end] = longest[end].max(world.now.mono_us - last[end]);
                last[end] = world.now.mono_us;
            }
        }
    }
    for end in 0..2 {
        longest[end] = longest[end].max(world.now.mono_us - last[end]);
    }
    longest
}

#[test]
fn a_direct_path_is_used_only_after_a_probe_of_our_own_was_answered() {
    let (mut world, _, [a, b], network) = two_relays(21);
    for _ in 0..5 {
        knock(&mut world, [a, b], network);
    }
    assert!(!has_direct(&world, b, a, network), "frames from there prove one direction only");
    assert!(world.reaches(b, a, network, SECOND));
    world.direct = true;
    knock(&mut world, [a, b], network);
    assert!(in_use(&world, a, b, network).is_direct());
    assert!(in_use(&world, b, a, network).is_direct());
    assert!(world.saw(b, |event| matches!(event, Event::PathChanged { reason, .. } if reason.starts_with("direct"))));
}

#[test]
fn a_worse_direct_path_loses_to_a_better_relay_and_is_kept_warm() {
    let (mut world, _, [a, b], network) = two_relays(22);
    world.latency.insert((a, b), 150 * MS);
    world.direct = true;
    knock(&mut world, [a, b], network);
    for _ in 0..300 {
        world.send(a, b, network, b"x");
        world.run(100 * MS);
    }
    assert!(!in_use(&world, a, b, network).is_direct());
    let direct = reports(&world, a, b, network).into_iter().find(|report| report.path.is_direct()).unwrap();
    let only_cheap = direct.reasons.iter().all(|(class, _)| *class == Class::Cheap);
    assert!(
        only_cheap && direct.state <= PathState::Open,
        "it costs nothing, and is good for nothing else: {direct:?}"
    );
    assert!(direct.rtt_us.unwrap() >= 300 * MS);
    world.latency.clear();
    for _ in 0..400 {
        world.send(a, b, network, b"x");
        world.run(100 * MS);
    }
    assert!(in_use(&world, a, b, network).is_direct(), "and is taken when it got better");
}

#[test]
fn a_cut_direct_path_costs_at_most_400_ms_of_traffic() {
    let (mut world, _, [a, b], network) = direct_pair(23);
    gaps(&mut world, [a, b], network, SECOND);
    world.cut.insert((a, b));
    let gap = gaps(&mut world, [a, b], network, 2 * SECOND);
    println!("direct path cut: gaps of {gap:?} us");
    assert!(gap.iter().all(|gap| *gap <= 400 * MS), "{gap:?}");
    assert!(!in_use(&world, a, b, network).is_direct());
    world.cut.clear();
    gaps(&mut world, [a, b], network, 45 * SECOND);
    assert!(in_use(&world, a, b, network).is_direct(), "it is used again once it answers");
}

#[test]
fn one_way_traffic_survives_a_cut_within_500_ms() {
    let (mut world, _, [a, b], network) = direct_pair(24);
    let mut longest = 0;
    for round in 0..2 {
        if round == 1 {
            world.cut.insert((a, b));
        }
        let mut last = (world.now.mono_us, world.sims[b].inside.len());
        for _ in 0..400 {
            world.send(a, b, network, b"one way");
            world.run(5 * MS);
            if world.sims[b].inside.len() > last.1 {
                longest = longest.max(world.now.mono_us - last.0);
                last = (world.now.mono_us, world.sims[b].inside.len());
            }
        }
        longest = longest.max(world.now.mono_us - last.0);
    }
    println!("one-way traffic, direct path cut: gap of {longest} us");
    assert!(longest <= 500 * MS, "{longest}");
}

#[test]
fn a_killed_relay_costs_at_most_400_ms_of_traffic() {
    let (mut world, _, [a, b], network) = two_relays(25);
    gaps(&mut world, [a, b], network, SECOND);
    let PathKey::Relay(hops) = in_use(&world, a, b, network) else { panic!("direct") };
    let relay = world.sims.iter().position(|sim| sim.id == hops.first()).unwrap();
    // Its links stay for now: a killed machine says nothing to anybody.
    world.sims[relay].addr = "203.0.113.9:9".parse().unwrap();
    let gap = gaps(&mut world, [a, b], network, 2 * SECOND);
    println!("relay gone without a word: gaps of {gap:?} us");
    assert!(gap.iter().all(|gap| *gap <= 400 * MS), "{gap:?}");
}

#[test]
fn two_quiet_ends_do_not_keep_probing_each_other() {
    let (mut world, _, [a, b], network) = direct_pair(33);
    world.run(60 * SECOND);
    assert!(world.reaches(a, b, network, SECOND));
    world.run(SECOND);
    world.keep_capture = true;
    world.run(60 * SECOND);
    let sent: usize = world.capture.iter().filter(|(from, ..)| *from == a || *from == b).count();
    println!("datagrams of both ends in the minute after one packet: {sent}");
    assert!(sent <= 120, "{sent} datagrams");
}

#[test]
fn after_an_idle_time_packets_pass_at_once_and_the_direct_path_is_proved_anew() {
    let (mut world, _, [a, b], network) = direct_pair(34);
    let before = in_use(&world, a, b, network);
    world.run(280 * SECOND);
    world.send(a, b, network, b"after a pause");
    assert!(!in_use(&world, a, b, network).is_direct(), "nothing relies on an old NAT mapping");
    assert!(world.run_until(SECOND, |world| world.received(b, network).contains(&b"after a pause".to_vec())));
    for _ in 0..10 {
        world.send(a, b, network, b"x");
        world.run(50 * MS);
    }
    assert_eq!(in_use(&world, a, b, network), before);
}

#[test]
fn what_the_system_cannot_send_is_left_at_once() {
    let (mut world, _, [a, b], network) = direct_pair(26);
    gaps(&mut world, [a, b], network, SECOND);
    let PathKey::Direct { port, addr } = in_use(&world, a, b, network) else { panic!("relayed") };
    let now = world.now;
    world.node(a).handle_unreachable(now, port, addr);
    world.perform(a);
    assert!(!in_use(&world, a, b, network).is_direct());
}

#[test]
fn a_duplicate_over_two_paths_is_delivered_once() {
    let (mut world, _, [a, b], network) = two_relays(27);
    world.divert_copies = true;
    for step in 0..20u64 {
        world.divert = Some((a, b));
        world.send(a, b, network, &step.to_le_bytes());
        world.run(50 * MS);
        let received = world.received(b, network);
        assert_eq!(received.iter().filter(|payload| **payload == step.to_le_bytes().to_vec()).count(), 1);
    }
}

#[test]
fn pitfall_10_a_replayed_or_stolen_frame_moves_nothing() {
    let (mut world, _, [a, b], network) = two_relays(28);
    let thief = "203.0.113.66:6666".parse().unwrap();
    world.keep_capture = true;
    world.capture.clear();
    world.send(a, b, network, b"seen on the way");
    world.run(SECOND);
    let frames: Vec<Vec<u8>> = world
        .capture
        .iter()
        .filter(|(from, _, bytes)| *from == a && bytes[0] == 0x18)
        .map(|(.., bytes)| bytes.clone())
        .collect();
    let to = world.sims[b].addr;
    for frame in &frames {
        world.inject(thief, to, frame[8..].to_vec());
        world.inject(thief, to, frame.clone());
    }
    world.run(SECOND);
    assert!(!world.capture.iter().any(|(from, at, _)| *from == b && *at == thief), "a replay is not answered at all");
    // A fresh frame that comes from elsewhere is authentic: one probe looks there, and nothing else follows it.
    let genuine = world.sims[a].addr;
    world.sims[a].addr = thief;
    world.divert = Some((a, b));
    world.send(a, b, network, b"stolen");
    world.sims[a].addr = genuine;
    world.run(2 * SECOND);
    for _ in 0..20 {
        assert!(world.reaches(b, a, network, SECOND));
    }
    let there: Vec<usize> = world
        .capture
        .iter()
        .filter(|(from, at, _)| *from == b && *at == thief)
        .map(|(.., bytes)| bytes.len())
        .collect();
    assert!(there.len() <= 1 && there.iter().all(|length| *length <= 73), "{there:?}");
}

#[test]
fn pitfall_17_paths_whose_quality_jumps_are_changed_at_most_every_ten_seconds() {
    let (mut world, _, [a, b], network) = direct_pair(29);
    world.sims[a].events.clear();
    let mut changes: Vec<u64> = Vec::new();
    for step in 0..1_200u64 {
        if step % 10 == 0 {
            let slow = step % 20 == 0;
            world.latency.insert((a, b), if slow { 120 * MS } else { 5 * MS });
        }
        world.send(a, b, network, b"x");
        world.run(100 * MS);
        let events = std::mem::take(&mut world.sims[a].events);
        let changed = |event: &Event| matches!(event, Event::PathChanged { class: Class::Bulk, .. });
        if events.iter().any(changed) {
            changes.push(world.now.mono_us);
        }
    }
    assert!(changes.windows(2).all(|pair| pair[1] - pair[0] >= 10 * SECOND - 100 * MS), "{changes:?}");
}

/// A UDP packet of `length` bytes in all.
fn packet_of(world: &World, [a, b]: [Id; 2], network: NetworkId, length: usize, is_df: bool) -> Vec<u8> {
    let (std::net::IpAddr::V4(source), std::net::IpAddr::V4(dest)) =
        (world.address(a, network), world.address(b, network))
    else {
        panic!("IPv4")
    };
    let mut header = etherparse::Ipv4Header::new(
        (length - 20) as u16,
        64,
        etherparse::IpNumber::UDP,
        source.octets(),
        dest.octets(),
    )
    .unwrap();
    header.dont_fragment = is_df;
    let mut packet = Vec::new();
    let payload = vec![7; length - 28];
    PacketBuilder::ip(etherparse::IpHeaders::Ipv4(header, Default::default()))
        .udp(4_000, 5_000)
        .write(&mut packet, &payload)
        .unwrap();
    packet
}

/// Next-hop MTU of the ICMP errors a node was told from its TUN.
fn told_mtus(world: &World, id: Id) -> Vec<u16> {
    let told = |packet: &Vec<u8>| {
        let parsed = SlicedPacket::from_ip(packet).ok()?;
        let (Some(NetSlice::Ipv4(_)), Some(TransportSlice::Icmpv4(icmp))) = (parsed.net, parsed.transport) else {
            return None;
        };
        let bytes = icmp.slice();
        (bytes[0] == 3 && bytes[1] == 4).then(|| u16::from_be_bytes([bytes[6], bytes[7]]))
    };
    world.sims[id].inside.iter().filter_map(|(_, packet)| told(packet)).collect()
}

#[test]
fn pitfall_18_a_mebibyte_passes_every_underlay_without_icmp() {
    for (underlay, direct) in
        [(1_280, false), (1_280, true), (1_400, false), (1_400, true), (1_500, false), (1_500, true), (9_000, true)]
    {
        let mut world = World::new(30);
        world.inner_mtu = 8_900;
        world.underlay_mtu = underlay;
        let relay = world.add("rn", Tier::Root, &[]);
        let a = world.add("a", Tier::Edge, &[relay]);
        let b = world.add("b", Tier::Edge, &[]);
        let network = world.create(a, "home");
        world.admit(a, network, b);
        assert!(world.reaches(b, a, network, 5 * SECOND));
        if direct {
            world.direct = true;
            knock(&mut world, [a, b], network);
        }
        world.run(2 * SECOND);
        world.sims[b].inside.clear();
        // Like a sender with path MTU discovery: large first, then what it was told.
        let (mut size, mut bytes) = (8_900, 0);
        while bytes < 1 << 20 {
            let packet = packet_of(&world, [a, b], network, size, true);
            let before = world.sims[a].inside.len();
            world.send_raw(a, network, &packet);
            world.run(MS);
            match world.sims[a].inside.len() > before {
                true => size = usize::from(*told_mtus(&world, a).last().unwrap()),
                false => bytes += size,
            }
        }
        world.run(SECOND);
        let arrived: usize = world.sims[b].inside.iter().map(|(_, packet)| packet.len()).sum();
        println!("underlay {underlay}, direct {direct}: packets of {size} bytes");
        assert!(
            arrived >= bytes,
            "underlay {underlay}, direct {direct}: {arrived} of {bytes} bytes in packets of {size}"
        );
        // The relayed path is kept warm beside the direct one, and what fits the one must fit the other.
        let best = (underlay - 28 - 32 - 8).clamp(1_280, 8_900);
        assert_eq!(size, best, "underlay {underlay}");
        // What may be cut passes too, in fragments.
        world.sims[b].inside.clear();
        let packet = packet_of(&world, [a, b], network, 8_000, false);
        world.send_raw(a, network, &packet);
        world.run(SECOND);
        let payload: usize = world.sims[b].inside.iter().map(|(_, packet)| packet.len() - 20).sum();
        assert_eq!(payload, 7_980, "underlay {underlay}");
    }
}

#[test]
fn pitfall_18_a_path_that_becomes_narrower_carries_on_within_seconds() {
    let mut world = World::new(31);
    world.inner_mtu = 1_420;
    world.underlay_mtu = 1_500;
    let relay = world.add("rn", Tier::Root, &[]);
    let a = world.add("a", Tier::Edge, &[relay]);
    let b = world.add("b", Tier::Edge, &[]);
    let network = world.create(a, "home");
    world.admit(a, network, b);
    assert!(world.reaches(b, a, network, 5 * SECOND));
    world.run(2 * SECOND);
    let full = packet_of(&world, [a, b], network, 1_420, true);
    for _ in 0..100 {
        world.send_raw(a, network, &full);
        world.run(20 * MS);
    }
    assert!(told_mtus(&world, a).is_empty(), "1,420 bytes fit 1,500");
    world.underlay_mtu = 1_400;
    let start = world.now.mono_us;
    assert!(world.run_until(20 * SECOND, |world| {
        world.send_raw(a, network, &full);
        world.run(20 * MS);
        !told_mtus(world, a).is_empty()
    }));
    println!("black hole noticed after {} ms", (world.now.mono_us - start) / 1_000);
    assert!(world.now.mono_us - start <= 3 * SECOND);
    world.sims[b].inside.clear();
    let smaller = packet_of(&world, [a, b], network, 1_280, true);
    for _ in 0..50 {
        world.send_raw(a, network, &smaller);
        world.run(20 * MS);
    }
    assert_eq!(world.sims[b].inside.len(), 50);
}

#[test]
fn another_uplink_is_proved_within_half_a_second() {
    let (mut world, _, [a, b], network) = direct_pair(32);
    let interface = |addr: &str| netflow_overlay::node::LocalInterface {
        name: "wan".to_owned(),
        addr: addr.parse().unwrap(),
        prefix_len: 24,
        has_default_route: true,
    };
    let now = world.now;
    world.node(a).handle_interfaces(now, vec![interface("198.51.100.2")]);
    world.perform(a);
    gaps(&mut world, [a, b], network, SECOND);
    // The old address is gone, the new one is 203.0.113.77.
    world.rebind(a, "203.0.113.77:4790".parse().unwrap());
    let now = world.now;
    world.node(a).handle_interfaces(now, vec![interface("203.0.113.77")]);
    world.perform(a);
    let gap = gaps(&mut world, [a, b], network, 3 * SECOND);
    println!("uplink changed: gaps of {gap:?} us");
    assert!(gap.iter().all(|gap| *gap <= 500 * MS), "{gap:?}");
}
