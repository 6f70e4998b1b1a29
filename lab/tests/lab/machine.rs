//! What a daemon changes on a machine it puts back: at a clean stop, and at the start after a crash.

use netflow_lab::lab::{Family, Lab};
use netflow_lab::netns::Netns;
use netflow_lab::node::{Node, NodeSpec};
use netflow_lab::tools;
use netflow_lab::wait;
use netflow_lab::wire::WireSpec;
use netflow_lab::world::{join_as, overlay_v4};

/// Everything a router daemon could have touched, as text that two equal machines agree on.
fn machine(ns: &Netns) -> String {
    let looks: [&[&str]; 6] = [
        &["ip", "-o", "link"],
        &["ip", "-o", "addr"],
        &["ip", "route", "show", "table", "all"],
        &["ip", "-6", "route", "show", "table", "all"],
        &["ip", "rule"],
        &["nft", "list", "ruleset"],
    ];
    let text: Vec<String> = looks.iter().map(|words| ns.run(words).unwrap()).collect();
    // Lifetimes and counters run by themselves, interface numbers are never used twice, and the kernel gives every new
    // TUN device a random link-local address.
    let random = |line: &&str| line.contains("fe80::") && line.contains(" nf");
    let volatile = |word: &&str| !word.contains("sec") && !word.ends_with(':') && !word.starts_with("expires");
    text.join("---\n")
        .lines()
        .filter(|line| !random(line))
        .map(|l| l.split_whitespace().filter(volatile).collect::<Vec<_>>().join(" ") + "\n")
        .collect()
}

fn pair() -> (Lab, Node, Node) {
    let mut lab = Lab::new().unwrap();
    let plain = WireSpec::default();
    let host = lab.public_host("cn", Family::Dual, plain).unwrap();
    let cn = Node::run(&lab, &host, "cn", &NodeSpec { tier: "cn", ..NodeSpec::default() }).unwrap();
    let host = lab.public_host("a", Family::Dual, plain).unwrap();
    let spec = NodeSpec { tier: "en", relays: vec![cn.relay_name().unwrap()], extra: String::new() };
    let a = Node::prepare(&lab, &host, "a", &spec).unwrap();
    (lab, cn, a)
}

#[test]
fn a_clean_stop_restores_the_machine() {
    let (_lab, _cn, mut a) = pair();
    let before = machine(&a.host.ns);
    a.start().unwrap();
    a.json(&["create-network", "home"]).unwrap();
    assert_ne!(machine(&a.host.ns), before, "the network has an interface and routes");
    assert_eq!(a.stop().unwrap(), 0);
    assert_eq!(machine(&a.host.ns), before);
}

#[test]
fn the_start_after_a_crash_restores_what_the_crash_left() {
    let (_lab, _cn, mut a) = pair();
    let before = machine(&a.host.ns);
    a.start().unwrap();
    a.json(&["create-network", "home"]).unwrap();
    let running = machine(&a.host.ns);
    for _ in 0..3 {
        a.kill9();
        a.start().unwrap();
        let back = wait::until("the network is back as it was", 10_000, || machine(&a.host.ns) == running);
        assert!(back.is_ok(), "was:\n{running}\nis:\n{}", machine(&a.host.ns));
    }
    assert_eq!(a.stop().unwrap(), 0);
    assert_eq!(machine(&a.host.ns), before);
}

#[test]
fn a_network_taken_down_leaves_nothing_and_comes_back_with_its_address() {
    let (_lab, _cn, mut a) = pair();
    a.start().unwrap();
    let before = machine(&a.host.ns);
    a.json(&["create-network", "home"]).unwrap();
    let address = overlay_v4(&a).unwrap();
    a.json(&["down"]).unwrap();
    wait::until("the interface is gone", 5_000, || !machine(&a.host.ns).contains(&address.to_string())).unwrap();
    assert!(!before.contains(&address.to_string()));
    a.json(&["up"]).unwrap();
    wait::until("the interface is back", 5_000, || machine(&a.host.ns).contains(&address.to_string())).unwrap();
}

#[test]
fn members_and_networks_survive_a_restart_of_everybody() {
    let (mut lab, mut cn, mut a) = pair();
    a.start().unwrap();
    a.json(&["create-network", "home"]).unwrap();
    let host = lab.public_host("b", Family::Dual, WireSpec::default()).unwrap();
    let spec = NodeSpec { tier: "en", relays: vec![cn.relay_name().unwrap()], extra: String::new() };
    let mut b = Node::run(&lab, &host, "b", &spec).unwrap();
    join_as(&b, &a.invite().unwrap(), "b").unwrap();
    let address = overlay_v4(&a).unwrap();
    tools::ping(&b.host.ns, address.into(), 5).unwrap();
    for node in [&mut cn, &mut a, &mut b] {
        node.kill9();
    }
    for node in [&mut b, &mut a, &mut cn] {
        node.start().unwrap();
    }
    assert_eq!(overlay_v4(&a).unwrap(), address);
    wait::until("b reaches a again", 20_000, || tools::ping(&b.host.ns, address.into(), 1).is_ok()).unwrap();
}
