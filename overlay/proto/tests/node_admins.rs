//! Several admins: what they do at the same time, and what only the owner may do.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use std::collections::BTreeMap;

use harness::{SECOND, World};
use netflow_overlay::node::ErrorKind;
use netflow_overlay::{NodeKeys, Tier};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sha2::{Digest as _, Sha256};

/// Two keys whose nodes begin the search for an address at the same place.
fn clashing_keys() -> [u64; 2] {
    let mut seen: BTreeMap<[u8; 2], u64> = BTreeMap::new();
    for seed in 1_000.. {
        let node = NodeKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed)).node_id();
        let digest: [u8; 32] = Sha256::digest(node.0).into();
        if let Some(other) = seen.insert([digest[0], digest[1]], seed) {
            return [other, seed];
        }
    }
    unreachable!("an endless range")
}

#[test]
fn an_address_given_twice_by_two_admins_is_put_right_without_anybody() {
    let mut world = World::new(110);
    let relay = world.add("rn", Tier::Root, &[]);
    let [a, b] = ["a", "b"].map(|name| world.add(name, Tier::Edge, &[relay]));
    let [x, y] = clashing_keys().map(|seed| world.add_with_key("n", Tier::Edge, &[], seed));
    // A second relay, so that each admin admits a member while it cannot hear the other.
    let network = world.create(a, "home");
    world.admit(a, network, b);
    let (now, node) = (world.now, world.id(b));
    world.node(a).add_admin(now, &network, &node).unwrap();
    world.perform(a);
    world.run(SECOND);
    let (of_a, of_b) = (world.invite(a, network), world.invite(b, network));
    world.run(SECOND);
    world.join(x, &of_a);
    world.join(y, &of_b);
    assert!(world.run_until(10 * SECOND, |world| world.is_up(x, network) && world.is_up(y, network)));
    world.run(5 * SECOND);
    let addresses: Vec<_> = [a, b, x, y].iter().map(|id| world.address(*id, network)).collect();
    let mut unique = addresses.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), 4, "{addresses:?}");
    assert!(world.reaches(x, y, network, 5 * SECOND));
}

#[test]
fn only_the_owner_appoints_and_a_removed_admin_can_do_nothing_more() {
    let mut world = World::new(111);
    let relay = world.add("rn", Tier::Root, &[]);
    let [a, b, c] = ["a", "b", "c"].map(|name| world.add(name, Tier::Edge, &[relay]));
    let network = world.create(a, "home");
    world.admit(a, network, b);
    world.admit(a, network, c);
    let (now, b_id, c_id) = (world.now, world.id(b), world.id(c));
    let kind = |result: Result<(), netflow_overlay::node::CommandError>| result.unwrap_err().kind;
    assert_eq!(kind(world.node(b).revoke(now, &network, &c_id)), ErrorKind::Refused);
    world.node(a).add_admin(now, &network, &b_id).unwrap();
    world.perform(a);
    world.run(SECOND);
    assert_eq!(kind(world.node(b).add_admin(now, &network, &c_id)), ErrorKind::Refused);
    world.node(b).rename_member(now, &network, &c_id, "renamed").unwrap();
    world.perform(b);
    world.run(SECOND);
    assert!(world.node(a).members(&network).unwrap().iter().any(|member| member.name == "renamed"));
    world.node(a).remove_admin(now, &network, &b_id).unwrap();
    world.perform(a);
    world.run(SECOND);
    assert_eq!(kind(world.node(b).rename_member(now, &network, &c_id, "again")), ErrorKind::Refused);
    // An admin is revoked by the owner in one command.
    world.node(a).add_admin(now, &network, &c_id).unwrap();
    world.node(a).revoke(now, &network, &c_id).unwrap();
    world.perform(a);
    world.run(SECOND);
    assert_eq!(world.members(b, network).len(), 2);
    // The owner key moves to another member and works there.
    let seed = world.node(a).owner_key(&network).unwrap();
    assert_eq!(kind(world.node(b).import_owner(now, &network, &[7; 32])), ErrorKind::Invalid);
    // A node that is out gets no entries any more: there the key would sign numbers twice.
    assert_eq!(kind(world.node(c).import_owner(now, &network, &seed)), ErrorKind::Refused);
    world.node(b).import_owner(now, &network, &seed).unwrap();
    world.perform(b);
    world.restart(b);
    world.node(b).add_admin(now, &network, &b_id).unwrap_err();
    let d = world.add("d", Tier::Edge, &[]);
    world.run(2 * SECOND);
    world.admit(b, network, d);
    assert!(world.reaches(d, a, network, 5 * SECOND));
}
