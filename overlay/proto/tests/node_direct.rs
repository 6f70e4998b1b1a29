//! Direct links: real nodes behind real kinds of NAT boxes, in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    reason = "a wrong assumption must fail the test; the times are what the matrix is for"
)]

mod harness;

use std::net::{IpAddr, SocketAddr};

use harness::underlay::{Kind, MAIN, is_private};
use harness::{Id, MS, SECOND, World};
use netflow_overlay::node::{Filtering, Mapping, NatReport, PathInfo};
use netflow_overlay::{NetworkId, Tier};

/// How long a pair may take that meets at once, and one that has to search.
const BURST: u64 = 8 * SECOND;
const PATIENT: u64 = 1_800 * SECOND;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two relays on the internet, two members behind boxes of these kinds.
struct Pair {
    world: World,
    relays: [Id; 2],
    ends: [Id; 2],
    boxes: [Option<usize>; 2],
    network: NetworkId,
}

fn relays(world: &mut World) -> [Id; 2] {
    let relays = [world.add("rn", Tier::Root, &[]), world.add("cn", Tier::Central, &[])];
    relays.iter().for_each(|relay| world.place_relay(*relay));
    relays
}

fn site(world: &mut World, id: Id, kind: Kind, number: u8) -> Option<usize> {
    let public = format!("203.0.113.{number}");
    if kind == Kind::Public {
        world.place(id, Some(&public), None, None);
        return None;
    }
    let nat = world.underlay.add_box(ip(&public), kind, None);
    world.place(id, Some(&format!("192.168.{number}.10")), None, Some(nat));
    Some(nat)
}

fn found(world: &mut World, relays: [Id; 2], place: impl FnOnce(&mut World, [Id; 2])) -> ([Id; 2], NetworkId) {
    let a = world.add("a", Tier::Edge, &relays);
    let b = world.add("b", Tier::Edge, &[]);
    place(world, [a, b]);
    let network = world.create(a, "home");
    world.admit(a, network, b);
    ([a, b], network)
}

fn pair(seed: u64, kinds: [Kind; 2]) -> Pair {
    let mut world = World::new(seed);
    let relays = relays(&mut world);
    let mut boxes = [None; 2];
    let (ends, network) = found(&mut world, relays, |world, ends| {
        boxes = [site(world, ends[0], kinds[0], 1), site(world, ends[1], kinds[1], 2)];
    });
    Pair { world, relays, ends, boxes, network }
}

impl Pair {
    fn path(&self, end: usize) -> Option<PathInfo> {
        let node = self.world.sims[self.ends[end]].node.as_ref().unwrap();
        let peers = node.peers(self.world.now, &self.network).unwrap();
        peers.into_iter().find(|peer| peer.node == self.world.id(self.ends[1 - end])).and_then(|peer| peer.path)
    }

    fn is_direct(&self) -> bool {
        [0, 1].iter().all(|end| matches!(self.path(*end), Some(PathInfo::Direct { .. })))
    }

    /// Traffic both ways until both ends send directly; how long that took.
    fn until_direct(&mut self, limit: u64) -> Option<u64> {
        let start = self.world.now.mono_us;
        while self.world.now.mono_us < start + limit {
            if self.is_direct() {
                return Some(self.world.now.mono_us - start);
            }
            self.talk(50 * MS);
        }
        None
    }

    /// A packet each way, then some time.
    fn talk(&mut self, duration: u64) {
        let [a, b] = self.ends;
        self.world.send(a, b, self.network, b"ping");
        self.world.send(b, a, self.network, b"pong");
        self.world.run(duration);
    }

    fn reaches(&mut self, limit: u64) -> bool {
        let [a, b] = self.ends;
        self.world.reaches(a, b, self.network, limit) && self.world.reaches(b, a, self.network, limit)
    }

    fn report(&self, end: usize) -> NatReport {
        self.world.sims[self.ends[end]].node.as_ref().unwrap().nat_report()
    }

    /// Nobody probed a private address outside its own LAN, and no budget was exceeded.
    fn check_manners(&self) {
        for (id, to) in &self.world.underlay.probed {
            let site = &self.world.underlay.sites[id];
            let lan = |own: IpAddr| match (own, to.ip()) {
                (IpAddr::V4(own), IpAddr::V4(to)) => own.octets()[..3] == to.octets()[..3],
                _ => false,
            };
            assert!(!is_private(to.ip()) || site.v4.is_some_and(lan), "{id} probed {to}");
        }
        for site in self.world.underlay.sites.values() {
            assert!(site.most_ports <= 64, "{} local ports", site.most_ports);
        }
        for nat in &self.world.underlay.boxes {
            assert!(nat.most_entries <= 300, "{} entries", nat.most_entries);
        }
    }
}

fn ms(time: Option<u64>) -> String {
    time.map_or("relayed".to_owned(), |time| format!("{:.2} s", time as f64 / 1e6))
}

#[test]
fn every_pair_of_nat_kinds_is_connected_at_once_and_all_but_random_with_random_directly() {
    let mut direct = 0;
    for (row, a) in Kind::ALL.into_iter().enumerate() {
        for (column, b) in Kind::ALL.into_iter().enumerate() {
            let mut pair = pair(100 + 10 * row as u64 + column as u64, [a, b]);
            assert!(pair.reaches(2 * SECOND), "{a:?} x {b:?}: connected through a relay from the first packet");
            let patient = [a, b].contains(&Kind::Random) && [a, b].contains(&Kind::Home);
            let hopeless = [a, b] == [Kind::Random; 2];
            let limit = if patient { PATIENT } else { BURST };
            let time = pair.until_direct(if hopeless { 60 * SECOND } else { limit });
            println!("{a:?} x {b:?}: {}", ms(time));
            assert_eq!(time.is_some(), !hopeless, "{a:?} x {b:?}");
            direct += usize::from(time.is_some());
            assert!(pair.reaches(SECOND));
            pair.check_manners();
        }
    }
    assert_eq!(direct, 15);
}

#[test]
fn pitfall_15_the_worst_search_stays_within_64_ports_and_300_entries_and_ends_by_itself() {
    // No probe finds its way: the search goes on as long as it may.
    let mut pair = pair(7, [Kind::Home, Kind::Random]);
    pair.world.underlay.blind = true;
    let time = pair.until_direct(420 * SECOND);
    assert_eq!(time, None);
    let boxes = pair.boxes.map(|nat| pair.world.underlay.boxes[nat.unwrap()].most_entries);
    let ports = pair.world.underlay.sites[&pair.ends[1]].most_ports;
    println!("most entries: seeker {}, opener {}; most ports {ports}", boxes[0], boxes[1]);
    assert!((200..=300).contains(&boxes[0]) && (60..=300).contains(&boxes[1]), "{boxes:?}");
    assert!((48..=64).contains(&ports), "{ports}");
    pair.check_manners();
    // Nobody talks any more, in the middle of the second search.
    pair.world.run(300 * SECOND);
    assert_eq!(pair.world.underlay.sites[&pair.ends[1]].open_ports.len(), 0, "ports are given back");
}

#[test]
fn a_patient_search_goes_on_for_as_long_as_one_end_pings() {
    for kinds in [[Kind::Random, Kind::Home], [Kind::Home, Kind::Random]] {
        let mut pair = pair(31, kinds);
        pair.world.underlay.blind = true;
        assert!(pair.reaches(2 * SECOND));
        let (now, target) = (pair.world.now, pair.world.id(pair.ends[1]));
        pair.world.node(pair.ends[0]).ping(now, &pair.network, &target, 200, SECOND).unwrap();
        pair.world.run(150 * SECOND);
        let seeker = usize::from(kinds[1] == Kind::Home);
        let nat = &mut pair.world.underlay.boxes[pair.boxes[seeker].unwrap()];
        nat.most_entries = 0;
        pair.world.run(35 * SECOND);
        let entries = pair.world.underlay.boxes[pair.boxes[seeker].unwrap()].most_entries;
        assert!(entries > 200, "{entries} entries in the fifth window of the search: it ended");
        pair.check_manners();
    }
}

#[test]
fn pitfall_15_two_random_nats_that_let_everybody_in_do_not_chase_each_others_ports() {
    // Each answer comes from yet another port of the other box, which looks like one more address to try.
    let mut pair = pair(12, [Kind::RandomOpen, Kind::RandomOpen]);
    assert!(pair.reaches(2 * SECOND));
    // Farther apart than the shortest time between two such probes.
    pair.world.weather.jitter_us = 200 * MS;
    assert_eq!(pair.until_direct(120 * SECOND), None, "no address works both ways");
    for nat in pair.boxes {
        let entries = pair.world.underlay.boxes[nat.unwrap()].most_entries;
        println!("most entries: {entries}");
        assert!(entries <= 60, "{entries} entries for one peer");
    }
    assert!(pair.reaches(2 * SECOND));
    pair.check_manners();
}

#[test]
fn pitfall_15_a_node_that_restarts_in_the_middle_of_a_search_adds_no_second_one_to_what_it_left() {
    let mut pair = pair(13, [Kind::Home, Kind::Random]);
    pair.world.underlay.blind = true;
    let seeker = pair.boxes[0].unwrap();
    let most = |pair: &Pair| pair.world.underlay.boxes[seeker].most_entries;
    for _ in 0..120 {
        if most(&pair) < 250 {
            pair.talk(SECOND);
        }
    }
    assert!(most(&pair) >= 250, "a search is under way");
    pair.world.restart(pair.ends[0]);
    assert_eq!(pair.until_direct(150 * SECOND), None);
    println!("most entries: {}", most(&pair));
    pair.check_manners();
}

#[test]
fn a_nat_that_forgets_everything_costs_a_moment_not_the_link() {
    let mut pair = pair(8, [Kind::Home, Kind::Home]);
    assert!(pair.until_direct(BURST).is_some());
    for address in [None, Some("203.0.113.77")] {
        pair.world.run(5 * SECOND);
        let nat = pair.boxes[0].unwrap();
        pair.world.underlay.boxes[nat].reboot(address.map(ip));
        let start = pair.world.now.mono_us;
        let mut carried = None;
        while carried.is_none() && pair.world.now.mono_us < start + 5 * SECOND {
            if pair.reaches(40 * MS) {
                carried = Some(pair.world.now.mono_us - start);
            }
        }
        println!("NAT reboot, address {address:?}: carried again after {}", ms(carried));
        assert!(carried.is_some_and(|gap| gap <= 1_500 * MS), "{carried:?}");
        let time = pair.until_direct(15 * SECOND);
        println!("direct again after {}", ms(time));
        assert!(time.is_some());
    }
    pair.check_manners();
}

#[test]
fn homes_behind_one_carrier_nat_and_double_nats_meet_as_their_boxes_allow() {
    // Double NAT on one side, a home on the other.
    let mut world = World::new(9);
    let relays = relays(&mut world);
    let (ends, network) = found(&mut world, relays, |world, ends| {
        let outer = world.underlay.add_box(ip("203.0.113.1"), Kind::Home, None);
        let inner = world.underlay.add_box(ip("192.168.50.2"), Kind::Home, Some(outer));
        world.place(ends[0], Some("192.168.1.10"), None, Some(inner));
        site(world, ends[1], Kind::Home, 2);
    });
    let mut double = Pair { world, relays, ends, boxes: [None; 2], network };
    let time = double.until_direct(BURST);
    println!("double NAT x home: {}", ms(time));
    assert!(time.is_some());
    double.check_manners();

    // Two homes behind one carrier NAT, which hairpins or does not; the homes use the same private range.
    for hairpins in [true, false] {
        let mut world = World::new(10);
        let relays = self::relays(&mut world);
        let (ends, network) = found(&mut world, relays, |world, ends| {
            let carrier = world.underlay.add_box(ip("203.0.113.1"), Kind::Home, None);
            world.underlay.boxes[carrier].hairpins = hairpins;
            for (at, end) in ends.into_iter().enumerate() {
                let home = world.underlay.add_box(ip(&format!("100.64.0.{}", at + 1)), Kind::Home, Some(carrier));
                world.place(end, Some(&format!("192.168.1.{}", 10 + at)), None, Some(home));
            }
        });
        let mut pair = Pair { world, relays, ends, boxes: [None; 2], network };
        assert!(pair.reaches(2 * SECOND));
        let time = pair.until_direct(BURST);
        println!("two homes behind one carrier NAT, hairpin {hairpins}: {}", ms(time));
        assert_eq!(time.is_some(), hairpins);
        pair.world.run(15 * SECOND);
        assert_eq!(pair.report(0).hairpin, Some(hairpins));
        pair.check_manners();
    }
}

#[test]
fn members_on_one_lan_talk_over_the_lan() {
    let mut world = World::new(11);
    let relays = relays(&mut world);
    let (ends, network) = found(&mut world, relays, |world, ends| {
        let nat = world.underlay.add_box(ip("203.0.113.1"), Kind::Random, None);
        world.place(ends[0], Some("192.168.1.10"), None, Some(nat));
        world.place(ends[1], Some("192.168.1.11"), None, Some(nat));
    });
    let mut pair = Pair { world, relays, ends, boxes: [None; 2], network };
    let time = pair.until_direct(BURST);
    println!("same LAN: {}", ms(time));
    assert!(time.is_some());
    let Some(PathInfo::Direct { addr, .. }) = pair.path(0) else { panic!("not direct") };
    assert_eq!(addr, SocketAddr::new(ip("192.168.1.11"), MAIN));
    pair.check_manners();
}

#[test]
fn ipv6_is_used_where_both_have_it_and_relays_join_the_families_where_not() {
    for (a, b, direct) in [((false, true), (true, true), true), ((true, false), (false, true), false)] {
        let mut world = World::new(12);
        let relays = relays(&mut world);
        let (ends, network) = found(&mut world, relays, |world, ends| {
            for (at, (end, (v4, v6))) in ends.into_iter().zip([a, b]).enumerate() {
                let nat = world.underlay.add_box(ip(&format!("203.0.113.{}", at + 1)), Kind::Random, None);
                let v4 = v4.then(|| format!("192.168.{at}.10"));
                let v6 = v6.then(|| format!("2001:db8:{}::10", at + 1));
                world.place(end, v4.as_deref(), v6.as_deref(), Some(nat));
            }
        });
        let mut pair = Pair { world, relays, ends, boxes: [None; 2], network };
        assert!(pair.reaches(2 * SECOND));
        let time = pair.until_direct(BURST);
        println!("v4/v6 {a:?} x {b:?}: {}", ms(time));
        assert_eq!(time.is_some(), direct);
        pair.check_manners();
    }
}

#[test]
fn where_udp_is_blocked_the_relay_carries_and_the_report_says_so() {
    let mut pair = pair(13, [Kind::Home, Kind::Home]);
    pair.world.underlay.boxes[0].blocks_udp = true;
    pair.world.restart(pair.ends[0]);
    assert!(pair.world.run_until(10 * SECOND, |world| world.is_up(pair.ends[0], pair.network)));
    pair.world.run(5 * SECOND);
    assert!(pair.reaches(3 * SECOND));
    assert_eq!(pair.until_direct(BURST), None);
    let report = pair.report(0);
    assert_eq!((report.mapping, report.udp_v4), (Mapping::UdpBlocked, Some(false)));
    pair.check_manners();
}

#[test]
fn the_report_names_the_class_of_every_box() {
    let classes = [
        (Kind::Public, Mapping::EndpointIndependent, Filtering::EndpointIndependent),
        (Kind::Open, Mapping::EndpointIndependent, Filtering::EndpointIndependent),
        (Kind::Home, Mapping::EndpointIndependent, Filtering::AddressAndPortDependent),
        (Kind::Random, Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent),
    ];
    for (kind, mapping, filtering) in classes {
        let mut pair = pair(14, [kind, Kind::Home]);
        pair.world.run(15 * SECOND);
        let report = pair.report(0);
        assert_eq!((report.mapping, report.filtering), (mapping, filtering), "{kind:?}");
        assert_eq!((report.udp_v4, report.is_measuring), (Some(true), false));
        assert_eq!(report.relays.len(), 2);
        assert!(report.relays.iter().all(|relay| relay.rtt_us == Some(20_000)), "{:?}", report.relays);
        assert!(report.reflexive.iter().all(|addr| addr.ip() == ip("203.0.113.1")));
        pair.check_manners();
    }
}

#[test]
fn netcheck_finds_the_skew_of_the_clock_the_size_of_packets_and_who_gets_in_over_ipv6() {
    let mut world = World::new(21);
    let relays = relays(&mut world);
    let ([a, _], _) = found(&mut world, relays, |world, ends| {
        let nat = world.underlay.add_box(ip("203.0.113.1"), Kind::Home, None);
        world.place(ends[0], Some("192.168.1.10"), Some("2001:db8:1::10"), Some(nat));
    });
    world.run(15 * SECOND);
    let now = world.now;
    let unix_ms = 1_790_000_000_000;
    relays.iter().for_each(|relay| world.node(*relay).handle_wall_clock(now, unix_ms));
    world.node(a).handle_wall_clock(now, unix_ms + 90_500);
    let before = world.node(a).nat_report();
    assert_eq!((before.clock_skew_ms, before.relays[0].mtu), (None, None), "nobody asked yet");
    assert!(world.node(a).measure_nat(now));
    world.perform(a);
    assert!(world.run_until(13 * SECOND, |world| !world.node(a).nat_report().is_measuring));
    let report = world.node(a).nat_report();
    assert!(report.measured_us > before.measured_us, "the NAT was measured anew");
    assert!((90_499..=90_501).contains(&report.clock_skew_ms.unwrap()), "{:?}", report.clock_skew_ms);
    assert!(report.relays.iter().all(|relay| relay.mtu == Some(1_500)), "{:?}", report.relays);
    assert_eq!(report.filtering, Filtering::AddressAndPortDependent);
    assert_eq!(report.filtering_v6, Filtering::AddressAndPortDependent, "a firewall with a state");
    let now = world.now;
    assert!(!world.node(a).measure_nat(now), "somebody who asks again at once sees the same");
    assert!(world.sims[a].node.as_ref().unwrap().status(now).links.iter().all(|link| link.last_error.is_none()));
}

#[test]
fn nobody_is_probed_for_a_peer_without_traffic() {
    let mut pair = pair(15, [Kind::Random, Kind::Random]);
    assert!(pair.reaches(2 * SECOND));
    pair.world.run(300 * SECOND);
    pair.world.keep_capture = true;
    pair.world.run(3_000 * SECOND);
    let relays: Vec<IpAddr> = pair.relays.iter().map(|relay| pair.world.sims[*relay].addr.ip()).collect();
    let strangers = pair
        .world
        .capture
        .iter()
        .filter(|(from, to, _)| pair.ends.contains(from) && to.ip().is_ipv4() && !relays.contains(&to.ip()));
    assert_eq!(strangers.count(), 0, "somebody else than a relay was sent to while nobody talked");
    let bytes: usize =
        pair.world.capture.iter().filter(|(from, ..)| *from == pair.ends[0]).map(|sent| sent.2.len()).sum();
    println!("an idle hour costs {bytes} bytes sent");
    assert!(bytes < 40_000, "{bytes} bytes in an idle hour");
}

#[test]
fn a_node_that_wants_no_direct_paths_tells_no_address_and_stays_reachable_through_the_relay() {
    let mut pair = pair(7, [Kind::Public, Kind::Public]);
    let a = pair.ends[0];
    pair.world.sims[a].node.as_mut().unwrap().set_direct(false);
    assert_eq!(pair.until_direct(BURST), None);
    assert!(pair.reaches(SECOND));
    assert!((0..2).all(|end| matches!(pair.path(end), Some(PathInfo::Relay { .. }))));
    pair.world.sims[a].node.as_mut().unwrap().set_direct(true);
    assert!(pair.until_direct(120 * SECOND).is_some(), "and finds them when it does");
}

#[test]
fn lost_and_late_datagrams_delay_a_direct_path_and_do_not_prevent_it() {
    for (seed, kinds) in
        [[Kind::Home, Kind::Home], [Kind::Random, Kind::Public], [Kind::Open, Kind::Random]].into_iter().enumerate()
    {
        let mut pair = pair(30 + seed as u64, kinds);
        pair.world.weather.loss_percent = 15;
        pair.world.weather.jitter_us = 40 * MS;
        let time = pair.until_direct(30 * SECOND);
        println!("{kinds:?} with 15 % loss: {}", ms(time));
        assert!(time.is_some());
        pair.check_manners();
    }
}
