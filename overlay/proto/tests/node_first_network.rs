//! The first thing a user does: create, invite, join, and traffic flows.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use harness::{MS, SECOND, World};
use netflow_overlay::Tier;

#[test]
fn create_invite_join_and_the_first_packet_arrives() {
    let mut world = World::new(1);
    let relay = world.add("rn", Tier::Root, &[]);
    let a = world.add("a", Tier::Edge, &[relay]);
    let b = world.add("b", Tier::Edge, &[]);
    let began = world.now.mono_us;
    let network = world.create(a, "home");
    world.admit(a, network, b);
    println!("joined: {} ms", (world.now.mono_us - began) / MS);
    assert!(world.reaches(b, a, network, 5 * SECOND), "first packet after join");
    println!("create to first packet: {} ms", (world.now.mono_us - began) / MS);
    assert!(world.reaches(a, b, network, SECOND));
    assert!(world.now.mono_us - began < 5 * SECOND);
}
