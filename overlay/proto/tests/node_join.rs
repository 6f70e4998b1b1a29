//! Joining: offline issuers, refused tokens, crowds, and programs killed at any write.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use harness::{Id, SECOND, World};
use netflow_overlay::node::{ErrorDetail, ErrorKind, Event, InviteState, Issuer};
use netflow_overlay::{NetworkId, Tier};

fn home(seed: u64) -> (World, Id, Id, NetworkId) {
    let mut world = World::new(seed);
    let relay = world.add("rn", Tier::Root, &[]);
    let a = world.add("a", Tier::Edge, &[relay]);
    let network = world.create(a, "home");
    world.run(SECOND);
    (world, relay, a, network)
}

fn join_error(world: &World, id: Id) -> Option<(ErrorKind, Option<ErrorDetail>)> {
    world.sims[id].events.iter().find_map(|event| match event {
        Event::JoinFailed { error, .. } => Some((error.kind, error.detail)),
        _ => None,
    })
}

#[test]
fn a_join_waits_for_an_issuer_that_is_offline() {
    let (mut world, relay, a, network) = home(20);
    let token = world.invite(a, network);
    world.run(SECOND);
    world.kill(a);
    let b = world.add("b", Tier::Edge, &[]);
    world.join(b, &token);
    world.run(60 * SECOND);
    assert!(world.saw(b, |event| matches!(event, Event::JoinWaiting { .. })));
    assert!(!world.is_up(b, network));
    // Even the relay and the joiner may be restarted meanwhile.
    world.restart(relay);
    world.restart(b);
    world.run(60 * SECOND);
    world.start(a);
    assert!(world.run_until(40 * SECOND, |world| world.is_up(b, network)));
    assert!(world.saw(b, |event| matches!(event, Event::JoinCompleted { .. })));
    assert!(world.reaches(b, a, network, 5 * SECOND));
}

#[test]
fn a_used_invite_is_refused_with_its_own_error_and_nothing_stays_on_disk() {
    let (mut world, _, a, network) = home(21);
    let token = world.invite(a, network);
    let b = world.add("b", Tier::Edge, &[]);
    world.join(b, &token);
    world.run(5 * SECOND);
    assert!(world.is_up(b, network));
    let c = world.add("c", Tier::Edge, &[]);
    world.join(c, &token);
    world.run(20 * SECOND);
    assert_eq!(join_error(&world, c), Some((ErrorKind::Invite, Some(ErrorDetail::InviteUsed))));
    assert!(world.node(c).networks().is_empty());
    let stored = harness::restored(&world.sims[c].journal);
    assert!(stored.networks.is_empty(), "a refused join leaves nothing");
    assert_eq!(world.members(a, network).len(), 2);
}

#[test]
fn a_member_that_joins_again_with_its_own_token_is_told_that_it_is_in() {
    let (mut world, _, a, network) = home(22);
    let token = world.invite(a, network);
    let b = world.add("b", Tier::Edge, &[]);
    world.join(b, &token);
    world.run(5 * SECOND);
    let now = world.now;
    assert_eq!(world.node(b).join(now, &token, None).unwrap_err().kind, ErrorKind::Conflict);
    // A node that left may come back with the same token: it is still a member.
    world.node(b).leave(now, &network, false).unwrap();
    world.perform(b);
    world.run(SECOND);
    world.join(b, &token);
    assert!(world.run_until(20 * SECOND, |world| world.is_up(b, network)));
}

#[test]
fn a_join_asks_for_the_name_it_was_given_even_after_a_restart() {
    let (mut world, _, a, network) = home(29);
    let token = world.invite(a, network);
    world.run(SECOND);
    world.kill(a);
    let b = world.add("b", Tier::Edge, &[]);
    let now = world.now;
    for name in ["", "-x", "Attic", "a b", &"x".repeat(64)] {
        assert_eq!(world.node(b).join(now, &token, Some(name)).unwrap_err().kind, ErrorKind::Invalid, "{name:?}");
    }
    world.node(b).join(now, &token, Some("cellar")).unwrap();
    // Asked again with another name: the last one counts.
    world.node(b).join(now, &token, Some("attic")).unwrap();
    world.perform(b);
    world.restart(b);
    world.start(a);
    assert!(world.run_until(60 * SECOND, |world| world.is_up(b, network)));
    let members = world.node(b).members(&network).unwrap();
    assert_eq!(members.iter().find(|member| member.is_self).unwrap().name, "attic");
}

#[test]
fn an_expired_or_cancelled_invite_is_refused() {
    let (mut world, _, a, network) = home(23);
    let now = world.now;
    let options = netflow_overlay::node::InviteOptions { lifetime_s: 60, tags: Vec::new() };
    let short = world.node(a).create_invite(now, &network, &options).unwrap();
    let cancelled = world.node(a).create_invite(now, &network, &options).unwrap();
    world.node(a).cancel_invite(now, &network, &cancelled.invite).unwrap();
    world.perform(a);
    world.run(SECOND);
    let b = world.add("b", Tier::Edge, &[]);
    world.join(b, &cancelled.token);
    world.run(20 * SECOND);
    assert_eq!(join_error(&world, b), Some((ErrorKind::Invite, Some(ErrorDetail::InviteCancelled))));
    world.run(60 * SECOND);
    let now = world.now;
    let expired = world.node(b).join(now, &short.token, None).unwrap_err();
    assert_eq!((expired.kind, expired.detail), (ErrorKind::Invite, Some(ErrorDetail::InviteExpired)));
    assert_eq!(world.node(b).join(now, "nfinvite1qqqq", None).unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn every_member_sees_what_became_of_each_invite() {
    let (mut world, _, a, network) = home(28);
    let token = world.invite(a, network);
    let b = world.add("b", Tier::Edge, &[]);
    world.join(b, &token);
    let now = world.now;
    let issue = |world: &mut World, lifetime_s| {
        let options = netflow_overlay::node::InviteOptions { lifetime_s, tags: vec!["web".to_owned()] };
        world.node(a).create_invite(now, &network, &options).unwrap().invite
    };
    let (short, long, other) = (issue(&mut world, 60), issue(&mut world, 3_600), issue(&mut world, 7_200));
    world.node(a).cancel_invite(now, &network, &other).unwrap();
    world.perform(a);
    assert!(world.run_until(20 * SECOND, |world| world.is_up(b, network)));
    world.run(70 * SECOND);
    let (now, ids) = (world.now, (world.sims[a].id, world.sims[b].id));
    let seen = world.node(b).invites(now, &network).unwrap();
    assert!(seen.iter().all(|invite| invite.issuer == Issuer::Node(ids.0)));
    let states: Vec<_> = seen.iter().map(|invite| (invite.invite, invite.state)).collect();
    assert_eq!(states.len(), 4);
    assert_eq!(states[0].1, InviteState::Used(ids.1), "a day, expires last");
    assert_eq!(
        states[1..],
        [(other, InviteState::Cancelled), (long, InviteState::Open), (short, InviteState::Expired)]
    );
    assert_eq!(seen[2].tags, ["web"]);
    let refused = world.node(b).cancel_invite(now, &network, &long).unwrap_err();
    assert_eq!((refused.kind, refused.detail), (ErrorKind::Refused, Some(ErrorDetail::NotAdmin)));
}

#[test]
fn pitfall_21_a_thousand_concurrent_joins_with_one_invite_make_one_member() {
    let mut world = World::new(24);
    let relays = [world.add("rn", Tier::Root, &[]), world.add("cn", Tier::Central, &[])];
    let a = world.add("a", Tier::Edge, &relays);
    let network = world.create(a, "home");
    world.run(SECOND);
    let token = world.invite(a, network);
    let crowd: Vec<Id> = (0..1_000).map(|number: u32| world.add(&format!("n{number}"), Tier::Edge, &[])).collect();
    for id in &crowd {
        world.join(*id, &token);
    }
    world.run(30 * SECOND);
    let joined = crowd.iter().filter(|id| world.is_up(**id, network)).count();
    let refused =
        crowd.iter().filter(|id| join_error(&world, **id).is_some_and(|(kind, _)| kind == ErrorKind::Invite)).count();
    assert_eq!((joined, refused), (1, 999));
    assert_eq!(world.members(a, network).len(), 2);
}

/// A play, one of whose programs is killed after its n-th write and started again a second later.
struct Play {
    world: World,
    victim: Id,
}

impl Play {
    fn revive(&mut self) {
        if self.world.sims[self.victim].node.is_none() {
            self.world.start(self.victim);
        }
    }

    fn run(&mut self, duration_us: u64) {
        self.world.run(duration_us);
        self.revive();
    }

    /// A command is answered when all its outputs were performed. A user repeats one that was not answered.
    fn command<T>(&mut self, id: Id, command: impl Fn(&mut World) -> T) -> T {
        let answer = command(&mut self.world);
        if self.world.sims[id].node.is_some() {
            return answer;
        }
        self.revive();
        command(&mut self.world)
    }
}

/// Plays create, invite, join, redeem, a second member, tags and a revocation, with one death at one write.
/// Returns `false` when the whole play has fewer writes than that.
fn play_with_a_crash(victim: Id, cut: usize, loss_percent: u32) -> bool {
    let mut world = World::new(25);
    world.weather.loss_percent = loss_percent;
    let relays = [world.add("rn", Tier::Root, &[]), world.add("cn", Tier::Central, &[])];
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| world.add(name, Tier::Edge, &relays));
    world.sims[victim].die_after = Some(cut);
    let mut play = Play { world, victim };
    play.revive();
    let mut network = play.world.create(a, "home");
    play.revive();
    if play.world.node(a).networks().is_empty() {
        let stored = harness::restored(&play.world.sims[a].journal);
        assert!(stored.networks.is_empty(), "nothing half-done on disk");
        network = play.world.create(a, "home");
    }
    assert!(play.world.node(a).networks().iter().any(|info| info.network == network), "the network is still there");
    play.run(SECOND);
    for joiner in [b, c] {
        let token = play.command(a, |world| world.invite(a, network));
        play.run(SECOND);
        play.command(joiner, |world| {
            let now = world.now;
            if world.node(joiner).networks().is_empty() {
                world.node(joiner).join(now, &token, None).unwrap();
                world.perform(joiner);
            }
        });
        play.run(5 * SECOND);
        play.run(60 * SECOND);
        assert!(play.world.is_up(joiner, network), "{joiner} joins, victim {victim}, cut {cut}");
        play.world.join(d, &token);
        play.run(20 * SECOND);
        let used = Some((ErrorKind::Invite, Some(ErrorDetail::InviteUsed)));
        assert_eq!(join_error(&play.world, d), used, "an invite is not used twice, cut {cut}");
        play.world.sims[d].events.clear();
    }
    assert_eq!(play.world.members(a, network).len(), 3);
    play.command(a, |world| {
        let (now, node) = (world.now, world.id(b));
        world.node(a).set_tags(now, &network, &node, &["server".to_owned()]).unwrap();
        world.perform(a);
    });
    play.run(SECOND);
    play.command(a, |world| {
        let (now, node) = (world.now, world.id(c));
        // Repeating it after the first try was written down says that there is no such member.
        let _ = world.node(a).revoke(now, &network, &node);
        world.perform(a);
    });
    play.run(40 * SECOND);
    assert!(!play.world.is_up(c, network), "the revoked member is out, victim {victim}, cut {cut}");
    let knock = |world: &mut World| world.reaches(a, b, network, 10 * SECOND);
    assert!((0..10).any(|_| knock(&mut play.world)), "traffic flows, victim {victim}, cut {cut}");
    for id in [a, b] {
        play.world.restart(id);
        play.revive();
        assert!(play.world.is_up(id, network), "still there after one more restart");
    }
    let members = play.world.members(a, network);
    assert!(play.world.run_until(20 * SECOND, |world| world.members(b, network) == members));
    assert_eq!(members.len(), 2);
    play.world.sims[victim].die_after.is_none()
}

#[test]
fn a_program_killed_at_any_write_loses_no_network_and_uses_no_invite_twice() {
    let mut cuts = 0;
    for loss_percent in [0, 10] {
        for victim in 0..5 {
            let mut cut = 1;
            while play_with_a_crash(victim, cut, loss_percent) {
                cut += 1;
                cuts += 1;
            }
        }
    }
    println!("{cuts} deaths");
    assert!(cuts >= 100, "{cuts}");
}
