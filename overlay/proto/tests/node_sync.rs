//! Logs stay equal at a cost of the change, over relays and over sessions.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use harness::{Id, SECOND, World};
use netflow_overlay::{NetworkId, Tier};

fn home(seed: u64, members: usize) -> (World, Id, Vec<Id>, NetworkId) {
    let mut world = World::new(seed);
    let relay = world.add("rn", Tier::Root, &[]);
    let a = world.add("a", Tier::Edge, &[relay]);
    let network = world.create(a, "home");
    let others: Vec<Id> = (0..members).map(|number| world.add(&format!("m{number}"), Tier::Edge, &[])).collect();
    for other in &others {
        world.admit(a, network, *other);
    }
    (world, relay, [vec![a], others].concat(), network)
}

fn change(world: &mut World, a: Id, of: Id, network: NetworkId, number: u32) {
    let (now, node) = (world.now, world.id(of));
    world.node(a).set_tags(now, &network, &node, &[format!("tag-{number}")]).unwrap();
    world.perform(a);
}

fn tags(world: &World, at: Id, of: Id, network: NetworkId) -> Vec<String> {
    let members = world.sims[at].node.as_ref().unwrap().members(&network).unwrap();
    members.into_iter().find(|member| member.node == world.sims[of].id).unwrap().tags
}

#[test]
fn pitfall_16_two_hundred_changes_move_only_the_changes() {
    let (mut world, relay, ids, network) = home(70, 10);
    world.run(10 * SECOND);
    world.messages.clear();
    for number in 0..200 {
        change(&mut world, ids[0], ids[1], network, number);
        world.run(SECOND / 10);
    }
    world.run(5 * SECOND);
    for id in &ids {
        assert_eq!(tags(&world, *id, ids[1], network), ["tag-199"], "{id} knows");
    }
    let to =
        |id: Id| world.messages.iter().filter(|(_, to, _)| *to == id).map(|(.., bytes)| bytes.len()).sum::<usize>();
    let (up, down) = (to(relay), to(ids[5]));
    println!("200 changes: {up} bytes to the relay, {down} bytes to a member, {} each", down / 200);
    // An entry with one tag is 292 bytes; the log of eleven members is 20 KB and may not be sent even once per change.
    assert!(down < 200 * 450, "{down} bytes to one member");
    assert!(up < 200 * 450, "{up} bytes to the relay");
}

#[test]
fn a_member_that_was_away_fetches_what_it_missed_and_nothing_else() {
    let (mut world, _, ids, network) = home(71, 5);
    world.run(10 * SECOND);
    world.unplug(ids[2], true);
    for number in 0..50 {
        change(&mut world, ids[0], ids[1], network, number);
    }
    world.run(5 * SECOND);
    world.messages.clear();
    world.unplug(ids[2], false);
    assert!(world.run_until(40 * SECOND, |world| tags(world, ids[2], ids[1], network) == ["tag-49"]));
    let bytes: usize = world.messages.iter().filter(|(_, to, _)| *to == ids[2]).map(|(.., bytes)| bytes.len()).sum();
    println!("50 missed changes: {bytes} bytes");
    assert!(bytes < 50 * 450 + 2_000, "{bytes}");
}

#[test]
fn changes_pass_between_members_while_no_control_link_is_up() {
    let (mut world, relay, ids, network) = home(72, 2);
    let (a, b, c) = (ids[0], ids[1], ids[2]);
    assert!(world.reaches(a, b, network, 5 * SECOND) && world.reaches(b, c, network, 5 * SECOND));
    world.cut_links(relay, true);
    world.run(SECOND);
    for number in 0..30 {
        change(&mut world, a, b, network, number);
    }
    // b has a session with a, c only one with b: it is told by b.
    assert!(world.run_until(5 * SECOND, |world| tags(world, b, b, network) == ["tag-29"]));
    assert!(world.run_until(30 * SECOND, |world| tags(world, c, b, network) == ["tag-29"]));
}

#[test]
fn a_log_missing_at_a_peer_is_pulled_over_the_session() {
    let (mut world, relay, ids, network) = home(73, 2);
    let (a, b) = (ids[0], ids[1]);
    assert!(world.reaches(a, b, network, 5 * SECOND));
    // b hears nothing for a while, then only datagrams pass.
    world.cut_links(relay, true);
    world.weather.loss_percent = 100;
    for number in 0..150 {
        change(&mut world, a, b, network, number);
    }
    world.run(SECOND);
    world.weather.loss_percent = 0;
    world.send(a, b, network, b"wake up");
    assert!(
        world.run_until(45 * SECOND, |world| tags(world, b, b, network) == ["tag-149"]),
        "{:?}",
        tags(&world, b, b, network)
    );
}

#[test]
fn a_relay_added_later_is_given_the_whole_log() {
    let (mut world, relay, ids, network) = home(74, 45);
    let later = world.add("cn", Tier::Central, &[]);
    let relays = [world.relay_info(relay), world.relay_info(later)];
    let now = world.now;
    world.node(ids[0]).set_relays(now, &network, &relays).unwrap();
    world.perform(ids[0]);
    world.run(10 * SECOND);
    let status = world.node(later).relay_status().unwrap();
    assert_eq!(status.networks[0].members, 46);
    assert_eq!(status.networks[0].attached, 46);
    // The first relay goes: the second carries on alone.
    world.kill(relay);
    world.run(SECOND);
    assert!(world.reaches(ids[3], ids[4], network, 5 * SECOND));
}
