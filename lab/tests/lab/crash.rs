//! kill -9 of any process at any moment of create, invite and join, a hundred times: the network is still there, and no
//! invite is used twice.

use std::fs;
use std::time::Instant;

use netflow_lab::cmd::{Cmd, Finished};
use netflow_lab::lab::{Family, Host, Lab};
use netflow_lab::node::{Node, NodeSpec, text_at};
use netflow_lab::wait;
use netflow_lab::wire::WireSpec;
use serde_json::Value;

/// Kills in all (issue 2).
const KILLS: usize = 100;
/// A command of the lab takes about this long, ms; kills fall anywhere in it.
const SPAN_MS: u64 = 120;

/// xorshift64: the moments of the kills are the same in every run with one seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

struct Cast {
    cn: Node,
    owner: Node,
    spec: NodeSpec,
    hosts: [Host; 2],
    random: Random,
    kills: usize,
    members: usize,
    lab: Lab,
}

impl Cast {
    fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let plain = WireSpec::default();
        let host = lab.public_host("cn", Family::Dual, plain).unwrap();
        let cn = Node::run(&lab, &host, "cn", &NodeSpec { tier: "cn", ..NodeSpec::default() }).unwrap();
        let spec = NodeSpec { tier: "en", relays: vec![cn.relay_name().unwrap()], extra: String::new() };
        let host = lab.public_host("owner", Family::Dual, plain).unwrap();
        let owner = Node::run(&lab, &host, "owner", &spec).unwrap();
        owner.json(&["create-network", "home"]).unwrap();
        let hosts = ["b", "c"].map(|name| lab.public_host(name, Family::Dual, plain).unwrap());
        Self { cn, owner, spec, hosts, random: Random(0x5eed_0f1a_b000_0001), kills: 0, members: 1, lab }
    }

    /// A node that has never existed before, on host 0 or 1.
    fn fresh(&mut self, host: usize, name: &str) -> Node {
        let _ = fs::remove_dir_all(self.lab.dir().join(name));
        Node::run(&self.lab, &self.hosts[host], name, &self.spec).unwrap()
    }

    fn moment(&mut self) -> u64 {
        self.random.below(SPAN_MS)
    }

    /// Network `home` is there, with its owner and exactly the members that were admitted.
    fn check_home(&self) {
        let list = self.owner.json(&["members"]).unwrap();
        let members = list.pointer("/members").and_then(Value::as_array).unwrap();
        assert_eq!(members.len(), self.members, "{list}");
        assert_eq!(text_at(&list, "/network").unwrap(), "home");
    }

    fn member_count(&self) -> usize {
        self.owner.json(&["members"]).unwrap().pointer("/members").and_then(Value::as_array).unwrap().len()
    }
}

/// Starts `command`, and `after_ms` later calls `kill` (which restarts what it killed), whether or not the command has ended.
fn interrupted(command: &Cmd, after_ms: u64, kill: impl FnOnce()) -> Finished {
    std::thread::scope(|scope| {
        let running = scope.spawn(move || command.finish().unwrap());
        std::thread::sleep(std::time::Duration::from_millis(after_ms));
        kill();
        running.join().unwrap()
    })
}

/// Killed while it creates: a network that was confirmed is there afterwards, and one that was not is there whole or not at all.
fn killed_at_create(cast: &mut Cast) {
    let mut node = cast.fresh(0, "creator");
    let create = node.netctl_cmd(&["create-network", "mine"]).unwrap();
    let done = interrupted(&create, cast.moment(), || restart(&mut node));
    cast.kills += 1;
    let networks = node.json(&["networks"]).unwrap();
    let count = networks.pointer("/networks").and_then(Value::as_array).unwrap().len();
    assert!(done.code != 0 || count == 1, "confirmed, then gone: {networks}");
    if count == 0 {
        node.json(&["create-network", "mine"]).unwrap();
    }
    assert!(!node.invite().unwrap().is_empty(), "whole: its owner key is there");
}

/// The owner is killed while it makes an invite: a token somebody has seen works, once.
fn killed_at_invite(cast: &mut Cast) {
    let after = cast.moment() / 4;
    let invite = cast.owner.netctl_cmd(&["--json", "invite"]).unwrap();
    let done = interrupted(&invite, after, || restart(&mut cast.owner));
    cast.kills += 1;
    cast.check_home();
    if done.code == 0 {
        let answer: Value = serde_json::from_str(&done.stdout).unwrap();
        used_once(cast, &text_at(&answer, "/token").unwrap());
    }
}

/// Owner, relay or joiner is killed while somebody joins: in the end there is one new member, and the token is spent.
fn killed_at_join(cast: &mut Cast, victim: usize) {
    let token = cast.owner.invite().unwrap();
    let mut joiner = cast.fresh(0, "joiner");
    let after = cast.moment();
    let join = joiner.netctl_cmd(&["join", "--wait", "5s"]).unwrap().input(token.as_str());
    interrupted(&join, after, || match victim {
        0 => restart(&mut cast.owner),
        1 => restart(&mut cast.cn),
        _ => restart(&mut joiner),
    });
    cast.kills += 1;
    if victim == 1 {
        // An idle owner would notice the relay's restart at its next keepalive; an entry to publish tells it now.
        cast.owner.invite().unwrap();
    }
    settle(&joiner, &token);
    cast.members += 1;
    wait::until("the owner lists the new member", 20_000, || cast.member_count() == cast.members).unwrap();
    drop(joiner);
    let thief = cast.fresh(1, "thief");
    refused(&thief, &token);
    cast.check_home();
}

/// kill -9 and start. A program the daemon was just starting (`nft`) holds its state lock for the microseconds between fork
/// and exec and outlives it by those; a service manager would start it again as well.
fn restart(node: &mut Node) {
    node.kill9();
    let first = node.start();
    if first.as_ref().is_err_and(|error| error.to_string().contains("another netflowd uses this state directory")) {
        return node.start().unwrap();
    }
    first.unwrap();
}

/// Joins again until it is a member: the first try may have been cut off anywhere.
fn settle(joiner: &Node, token: &str) {
    let mut last = String::new();
    let member = wait::until_some(30_000, || {
        let networks = joiner.json(&["networks"]).ok()?;
        if networks.pointer("/networks/0/role").and_then(Value::as_str) == Some("member") {
            return Some(());
        }
        let done = joiner.netctl_cmd(&["join", "--wait", "5s"]).ok()?.input(token).finish().ok()?;
        last = format!("exit code {}: {}", done.code, done.stderr);
        (done.code == 0).then_some(())
    });
    assert!(member.is_some(), "never became a member; {last}");
}

fn used_once(cast: &mut Cast, token: &str) {
    let joiner = cast.fresh(0, "joiner");
    settle(&joiner, token);
    cast.members += 1;
    drop(joiner);
    let thief = cast.fresh(1, "thief");
    refused(&thief, token);
    cast.check_home();
}

fn refused(thief: &Node, token: &str) {
    let done = thief.netctl_cmd(&["join", "--wait", "20s"]).unwrap().input(token).finish().unwrap();
    assert_eq!(done.code, 8, "{}{}", done.stdout, done.stderr);
}

#[test]
fn a_hundred_kills_lose_no_network_and_use_no_invite_twice() {
    let mut cast = Cast::new();
    // Made now, tried at the end: by then its minute is over.
    let expiring = text_at(&cast.owner.json(&["invite", "--expires", "60s"]).unwrap(), "/token").unwrap();
    let made = Instant::now();
    while cast.kills < KILLS {
        match cast.kills % 6 {
            0 | 3 => killed_at_create(&mut cast),
            1 => killed_at_invite(&mut cast),
            2 => killed_at_join(&mut cast, 0),
            4 => killed_at_join(&mut cast, 1),
            _ => killed_at_join(&mut cast, 2),
        }
    }
    // After all of it, everything is where it was, also for a last restart of everybody.
    restart(&mut cast.cn);
    restart(&mut cast.owner);
    cast.check_home();
    let token = cast.owner.invite().unwrap();
    used_once(&mut cast, &token);
    wait::until("the minute is over", 61_000, || made.elapsed().as_secs() > 60).unwrap();
    let late = cast.fresh(1, "late");
    refused(&late, &expiring);
    cast.check_home();
}
