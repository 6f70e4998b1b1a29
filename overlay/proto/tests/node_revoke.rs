//! Revocation: at once here, within seconds everywhere, whatever of the relays is left.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use harness::{Id, SECOND, World};
use netflow_overlay::node::{DownReason, Event, NetworkStateInfo};
use netflow_overlay::{NetworkId, Tier};

struct Home {
    world: World,
    rn: Id,
    cns: [Id; 2],
    a: Id,
    b: Id,
    c: Id,
    network: NetworkId,
}

fn home(seed: u64) -> Home {
    let mut world = World::new(seed);
    let rn = world.add("rn", Tier::Root, &[]);
    let cns = [world.add("cn1", Tier::Central, &[]), world.add("cn2", Tier::Central, &[])];
    let a = world.add("a", Tier::Edge, &[rn, cns[0], cns[1]]);
    let b = world.add("b", Tier::Edge, &[]);
    let c = world.add("c", Tier::Edge, &[]);
    let network = world.create(a, "home");
    world.admit(a, network, b);
    world.admit(a, network, c);
    for (from, to) in [(a, b), (b, c), (c, a)] {
        assert!(world.reaches(from, to, network, 5 * SECOND));
    }
    world.run(2 * SECOND);
    Home { world, rn, cns, a, b, c, network }
}

/// `b` may send what it likes: nothing of it arrives any more at `id`.
fn is_shut_out(world: &mut World, b: Id, id: Id, network: NetworkId, packets: &[Vec<u8>]) -> bool {
    let before = world.received(id, network).len();
    for packet in packets {
        if world.sims[b].node.is_some() {
            world.send_raw(b, network, packet);
        }
    }
    world.run(SECOND);
    world.received(id, network).len() == before
}

fn packets_of_b(home: &Home) -> Vec<Vec<u8>> {
    let address = |id: Id| home.world.address(id, home.network);
    [home.a, home.c].map(|to| harness::udp(address(home.b), address(to), b"still here?")).to_vec()
}

#[test]
fn a_revoked_node_learns_it_and_its_network_goes_down() {
    let mut home = home(40);
    home.world.revoke(home.a, home.network, home.b);
    home.world.run(SECOND);
    let network = home.network;
    assert!(home.world.saw(
        home.b,
        |event| matches!(event, Event::NetworkDown { network: of, reason: DownReason::Revoked } if *of == network)
    ));
    let b = home.b;
    assert_eq!(home.world.node(b).networks()[0].state, NetworkStateInfo::Revoked);
    // After a restart it is still out.
    home.world.restart(b);
    home.world.run(30 * SECOND);
    assert_eq!(home.world.node(b).networks()[0].state, NetworkStateInfo::Revoked);
}

#[test]
fn with_every_cn_stopped_a_third_member_drops_the_revoked_one_within_ten_seconds() {
    let mut home = home(41);
    let packets = packets_of_b(&home);
    for cn in home.cns {
        home.world.kill(cn);
    }
    home.world.run(SECOND);
    let (a, b, c, network) = (home.a, home.b, home.c, home.network);
    home.world.revoke(a, network, b);
    let id = home.world.id(b);
    assert!(home.world.run_until(10 * SECOND, |world| !world.members(c, network).contains(&id)));
    assert!(is_shut_out(&mut home.world, b, c, network, &packets));
    assert!(is_shut_out(&mut home.world, b, a, network, &packets));
    assert!(home.world.reaches(a, c, network, 5 * SECOND), "the others go on");
}

#[test]
fn with_every_control_link_cut_the_revocation_travels_over_sessions() {
    let mut home = home(42);
    let packets = packets_of_b(&home);
    for relay in [home.rn, home.cns[0], home.cns[1]] {
        home.world.cut_links(relay, true);
    }
    home.world.run(SECOND);
    let (a, b, c, network) = (home.a, home.b, home.c, home.network);
    let began = home.world.now.mono_us;
    home.world.revoke(a, network, b);
    let id = home.world.id(b);
    assert!(home.world.run_until(10 * SECOND, |world| !world.members(c, network).contains(&id)));
    println!("third member knew after {} ms", (home.world.now.mono_us - began) / harness::MS);
    assert!(is_shut_out(&mut home.world, b, c, network, &packets));
    assert!(is_shut_out(&mut home.world, b, a, network, &packets));
}

#[test]
fn a_rumor_reaches_members_without_a_session() {
    let mut home = home(43);
    let (a, b, c, network) = (home.a, home.b, home.c, home.network);
    // c is idle for long enough that no session is left, its links are cut, its circuits with the root relay are open.
    home.world.run(300 * SECOND);
    home.world.cut_links(c, true);
    home.world.run(SECOND);
    home.world.revoke(a, network, b);
    let id = home.world.id(b);
    assert!(home.world.run_until(10 * SECOND, |world| !world.members(c, network).contains(&id)));
}

#[test]
fn a_node_revoked_while_offline_learns_it_when_it_comes_back_and_the_relay_opens_nothing_for_it() {
    let mut home = home(44);
    let packets = packets_of_b(&home);
    let (a, b, network) = (home.a, home.b, home.network);
    home.world.unplug(b, true);
    home.world.run(SECOND);
    home.world.revoke(a, network, b);
    home.world.run(200 * SECOND);
    home.world.unplug(b, false);
    home.world.run(60 * SECOND);
    assert_eq!(home.world.node(b).networks()[0].state, NetworkStateInfo::Revoked);
    assert!(is_shut_out(&mut home.world, b, a, network, &packets));
}

#[test]
fn the_relay_drops_circuits_of_a_revoked_member_at_once() {
    let mut home = home(45);
    let (a, b, rn, network) = (home.a, home.b, home.rn, home.network);
    let before = home.world.node(rn).relay_status().unwrap().circuits;
    assert_eq!(before, 3);
    home.world.revoke(a, network, b);
    home.world.run(SECOND / 10);
    assert_eq!(home.world.node(rn).relay_status().unwrap().circuits, 1);
}
