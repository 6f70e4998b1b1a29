//! Several networks on one node, and networks with the same addresses: nothing passes between them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use harness::{SECOND, World, udp};
use netflow_overlay::Tier;
use netflow_overlay::node::CreateOptions;

#[test]
fn two_networks_with_the_same_addresses_never_exchange_anything() {
    let mut world = World::new(60);
    let relay = world.add("rn", Tier::Root, &[]);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| world.add(name, Tier::Edge, &[relay]));
    let prefix = CreateOptions { ipv4_prefix: Some("100.100.0.0/16".parse().unwrap()), ..CreateOptions::default() };
    let first = world.create_with(a, "home", &prefix);
    let second = world.create_with(c, "home", &prefix);
    world.admit(a, first, b);
    world.admit(c, second, d);
    assert!(world.reaches(a, b, first, 5 * SECOND) && world.reaches(c, d, second, 5 * SECOND));
    // Every node sends to every address of both networks, from both its network and the other one.
    let mut addresses = Vec::new();
    for (id, network) in [(a, first), (b, first), (c, second), (d, second)] {
        addresses.push(world.address(id, network));
    }
    for from in [a, b, c, d] {
        for network in [first, second] {
            for source in &addresses {
                for dest in &addresses {
                    world.send_raw(from, network, &udp(*source, *dest, format!("from {from}").as_bytes()));
                }
            }
        }
    }
    world.run(5 * SECOND);
    for (id, network, peers) in [(a, first, [a, b]), (b, first, [a, b]), (c, second, [c, d]), (d, second, [c, d])] {
        assert!(world.sims[id].inside.iter().all(|(of, _)| *of == network));
        for payload in world.received(id, network) {
            let text = String::from_utf8_lossy(&payload).into_owned();
            let foreign = [a, b, c, d].iter().any(|from| text == format!("from {from}") && !peers.contains(from));
            assert!(!foreign, "{text} reached {id}");
        }
    }
}

#[test]
fn a_node_in_two_networks_carries_nothing_from_one_to_the_other() {
    let mut world = World::new(61);
    let relay = world.add("rn", Tier::Root, &[]);
    let [a, both, c] = ["a", "both", "c"].map(|name| world.add(name, Tier::Edge, &[relay]));
    let first = world.create(a, "one");
    let second = world.create(c, "two");
    world.admit(a, first, both);
    world.admit(c, second, both);
    assert!(world.reaches(a, both, first, 5 * SECOND) && world.reaches(c, both, second, 5 * SECOND));
    let (from, to) = (world.address(a, first), world.address(c, second));
    for network in [first, second] {
        world.send_raw(both, network, &udp(from, to, b"across"));
        world.send_raw(a, first, &udp(from, to, b"across"));
    }
    world.run(2 * SECOND);
    for (id, network) in [(a, first), (c, second), (both, first), (both, second)] {
        assert!(!world.received(id, network).contains(&b"across".to_vec()));
    }
    // Leaving one network does not touch the other.
    let now = world.now;
    world.node(both).leave(now, &first, false).unwrap();
    world.perform(both);
    assert!(world.reaches(c, both, second, 5 * SECOND));
}
