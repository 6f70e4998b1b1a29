//! Ways over several relays with real daemons: two members who have no relay in common, root nodes in the middle that die, relays that go
//! silent, and an edge node that relays for its friends.

use std::time::{Duration, Instant};

use netflow_lab::failover::LIMIT_MS;
use netflow_lab::lab::{Family, Lab};
use netflow_lab::node::{Node, NodeSpec, text_at};
use netflow_lab::stream::UdpStream;
use netflow_lab::tools;
use netflow_lab::wait;
use netflow_lab::wire::WireSpec;
use netflow_lab::world::{join_as, overlay_v4};
use serde_json::Value;

/// Traffic must have been steady for this long before and after an event.
const STEADY: Duration = Duration::from_secs(2);
/// How long after an event a gap still counts as its doing.
const WATCH: Duration = Duration::from_secs(6);

fn relay(lab: &mut Lab, name: &str, tier: &'static str, one_way_ms: u64) -> Node {
    let host = lab.public_host(name, Family::V4, WireSpec::delay_ms(one_way_ms)).unwrap();
    Node::run(lab, &host, name, &NodeSpec { tier, ..NodeSpec::default() }).unwrap()
}

fn edge(lab: &mut Lab, name: &str, relays: &[&Node]) -> Node {
    let host = lab.public_host(name, Family::V4, WireSpec::default()).unwrap();
    let relays = relays.iter().map(|relay| relay.relay_name().unwrap()).collect();
    Node::run(lab, &host, name, &NodeSpec { tier: "en", relays, extra: String::new() }).unwrap()
}

/// A creates a network, b joins it, and the first packet passes.
fn connect(a: &Node, b: &Node) {
    a.json(&["create-network", "home"]).unwrap();
    join_as(b, &a.invite().unwrap(), "b").unwrap();
    tools::ping(&b.host.ns, overlay_v4(a).unwrap().into(), 5).unwrap();
}

/// Adds to the end of a relay's configuration, which is its `[relay]` section, and starts it anew.
fn reconfigure(relay: &mut Node, lines: &str) {
    let before = std::fs::read_to_string(relay.config_path()).unwrap();
    relay.write_config(&format!("{before}{lines}")).unwrap();
    if relay.pid().is_some() {
        relay.stop().unwrap();
    }
    relay.start().unwrap();
}

/// Streams in both directions, once they are steady.
fn traffic(a: &Node, b: &Node) -> [UdpStream; 2] {
    let (to_a, to_b) = (overlay_v4(a).unwrap().into(), overlay_v4(b).unwrap().into());
    let streams = [
        UdpStream::start(&a.host.ns, &b.host.ns, to_b, 5001).unwrap(),
        UdpStream::start(&b.host.ns, &a.host.ns, to_a, 5001).unwrap(),
    ];
    flows(&streams, "before the event");
    streams
}

fn flows(streams: &[UdpStream; 2], when: &str) {
    let steady = || streams.iter().all(|stream| stream.flows_for(STEADY));
    wait::until(&format!("traffic is steady {when}"), 60_000, steady).unwrap();
}

/// What an event cost: the longest time without a packet in either direction, from it until traffic is steady again.
fn gap_ms(streams: &[UdpStream; 2], event: Instant) -> u64 {
    wait::until("the event has had its effect", 30_000, || event.elapsed() > WATCH).unwrap();
    flows(streams, "after the event");
    let longest = streams.iter().map(|stream| stream.longest_gap(event)).max().unwrap();
    u64::try_from(longest.as_millis()).unwrap()
}

/// Relays of the path the streams take, as `netctl path` shows them: theirs is the class of all that says nothing else.
fn relays_on_the_way(from: &Node, to: &str) -> Vec<String> {
    let path = from.json(&["path", to]).unwrap();
    let choices = path.pointer("/choices").and_then(Value::as_array).unwrap();
    let bulk = choices.iter().find(|choice| choice.pointer("/class") == Some(&"bulk".into())).unwrap();
    let number = bulk.pointer("/path").and_then(Value::as_u64).unwrap_or_else(|| panic!("no path: {path}"));
    let hops = path.pointer(&format!("/paths/{number}/hops")).and_then(Value::as_array).unwrap();
    hops.iter().map(|hop| hop.as_str().unwrap().to_owned()).collect()
}

/// EN - CN - RN - CN - EN: each member reaches its own central node alone, the two central nodes know only the root nodes.
struct Backbone {
    a: Node,
    b: Node,
    cn: [Node; 2],
    rn: [Node; 2],
    _lab: Lab,
}

impl Backbone {
    fn build() -> Self {
        let mut lab = Lab::new().unwrap();
        let mut rn = [relay(&mut lab, "rn1", "rn", 5), relay(&mut lab, "rn2", "rn", 7)];
        let mut cn = [relay(&mut lab, "cn1", "cn", 1), relay(&mut lab, "cn2", "cn", 1)];
        let [mut a, mut b] = ["a", "b"].map(|name| edge(&mut lab, name, &[&cn[0], &cn[1]]));
        connect(&a, &b);
        // From now on everybody reaches only his neighbours. What was bound and opened before is gone with the daemons.
        for node in [&mut a, &mut b] {
            node.stop().unwrap();
        }
        for (one, two) in [
            (&a, &b),
            (&a, &cn[1]),
            (&b, &cn[0]),
            (&cn[0], &cn[1]),
            (&a, &rn[0]),
            (&a, &rn[1]),
            (&b, &rn[0]),
            (&b, &rn[1]),
        ] {
            lab.separate(&one.host, &two.host, true).unwrap();
        }
        let names = |nodes: &[Node; 2]| nodes.each_ref().map(|node| node.relay_name().unwrap());
        let (rn_names, cn_names) = (names(&rn), names(&cn));
        let cn_ids = cn.each_ref().map(|node| node.id().unwrap());
        let rn_mesh = [[&cn_names[0], &cn_names[1], &rn_names[1]], [&cn_names[0], &cn_names[1], &rn_names[0]]];
        for (node, mesh) in rn.iter_mut().zip(rn_mesh) {
            let transit = cn_ids
                .each_ref()
                .map(|id| format!("\n[[relay.transit]]\nrelay = {id:?}\nrate_mbit = 1000\nquota_gb_day = 100\n"));
            reconfigure(node, &format!("mesh = {mesh:?}\n{}", transit.concat()));
        }
        for node in &mut cn {
            reconfigure(node, &format!("mesh = {rn_names:?}\n"));
        }
        for node in [&mut a, &mut b] {
            node.start().unwrap();
        }
        Self { a, b, cn, rn, _lab: lab }
    }
}

#[test]
fn two_members_without_a_common_relay_talk_over_the_backbone_and_a_root_node_may_die() {
    let mut world = Backbone::build();
    let b = overlay_v4(&world.b).unwrap();
    // The daemons have just started: links of members and of the mesh come up meanwhile.
    let took =
        wait::until("a reaches b over the backbone", 30_000, || tools::ping(&world.a.host.ns, b.into(), 1).is_ok());
    eprintln!("the first packet over three relays was answered {:?} after the start of the members", took.unwrap());
    let [cn1, cn2] = world.cn.each_ref().map(|node| node.id().unwrap());
    let rn = world.rn.each_ref().map(|node| node.id().unwrap());

    let streams = traffic(&world.a, &world.b);
    let used = relays_on_the_way(&world.a, "b");
    assert!(used.len() == 3 && used[0] == cn1 && used[2] == cn2 && rn.contains(&used[1]), "{used:?}");
    let trace = world.a.json(&["trace", "b"]).unwrap();
    let rtts: Vec<f64> =
        (0..4).map(|hop| trace.pointer(&format!("/hops/{hop}/rtt_ms")).and_then(Value::as_f64).unwrap()).collect();
    assert!(rtts.is_sorted() && rtts[0] > 1.0 && rtts[3] > 10.0, "each hop is farther than the one before: {trace}");
    assert!(!text_at(&trace, "/reason").unwrap().is_empty());
    let shown = world.a.netctl(&["trace", "b"]).unwrap();
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    let path = world.a.json(&["path", "b"]).unwrap();
    let reasons: Vec<String> =
        (0..3).map(|class| text_at(&path, &format!("/choices/{class}/reason")).unwrap()).collect();
    assert!(reasons.iter().all(|reason| !reason.is_empty() && reason != "no path yet"), "{path}");

    let middle = world.rn.iter_mut().zip(&rn).find(|(_, id)| **id == used[1]).unwrap().0;
    let event = Instant::now();
    middle.kill9();
    let gap = gap_ms(&streams, event);
    eprintln!("the root node in the middle was killed under traffic: {gap} ms without a packet");
    assert!(gap <= LIMIT_MS, "{gap} ms without a packet");
    let after = relays_on_the_way(&world.a, "b");
    assert!(after.len() == 3 && after[1] != used[1], "{after:?}");
}

#[test]
fn a_relay_that_falls_silent_under_traffic_without_a_broken_link_is_left_within_a_second() {
    let mut lab = Lab::new().unwrap();
    let relays = [relay(&mut lab, "cn1", "cn", 2), relay(&mut lab, "cn2", "cn", 6)];
    let [a, b] = ["a", "b"].map(|name| edge(&mut lab, name, &[&relays[0], &relays[1]]));
    lab.separate(&a.host, &b.host, true).unwrap();
    connect(&a, &b);
    let streams = traffic(&a, &b);
    let used = relays_on_the_way(&a, "b");
    let silent = relays.iter().find(|relay| relay.id().unwrap() == used[0]).unwrap();
    let event = Instant::now();
    lab.set_loss(&silent.host.name, 1000).unwrap();
    let gap = gap_ms(&streams, event);
    eprintln!("the relay in use swallows everything: {gap} ms without a packet");
    assert!(gap <= LIMIT_MS, "{gap} ms without a packet");
    assert_ne!(relays_on_the_way(&a, "b"), used);
    lab.set_loss(&silent.host.name, 0).unwrap();
}

#[test]
fn an_edge_node_that_is_willing_relays_for_its_friends() {
    let mut lab = Lab::new().unwrap();
    let host = lab.public_host("willing", Family::V4, WireSpec::default()).unwrap();
    let mut willing = Node::prepare(&lab, &host, "willing", &NodeSpec { tier: "en", ..NodeSpec::default() }).unwrap();
    let addrs = willing.addresses().iter().map(ToString::to_string).collect::<Vec<_>>();
    reconfigure(
        &mut willing,
        &format!(
            "\n[relay]\nenabled = true\npublic_addrs = {addrs:?}\ndefault_rate_mbit = 100\ndefault_quota_gb_day = 10\n"
        ),
    );
    let [a, b] = ["a", "b"].map(|name| edge(&mut lab, name, &[&willing]));
    lab.separate(&a.host, &b.host, true).unwrap();
    connect(&a, &b);
    tools::ping(&a.host.ns, overlay_v4(&b).unwrap().into(), 5).unwrap();
    assert_eq!(relays_on_the_way(&a, "b"), [willing.id().unwrap()]);
    let status = willing.json(&["relay", "status"]).unwrap();
    assert!(status.pointer("/server/circuits").and_then(Value::as_u64) >= Some(1), "{status}");
}
