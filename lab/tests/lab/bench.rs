//! `netctl bench` between two members, on real daemons.

use netflow_lab::cmd::Proc;
use netflow_lab::lab::{Family, Lab};
use netflow_lab::node::{Node, NodeSpec};
use netflow_lab::wait;
use netflow_lab::wire::WireSpec;
use netflow_lab::world::join_as;
use serde_json::Value;

/// Until `netctl bench serve` says that it listens; the machine may be compiling.
const SERVE_LIMIT_MS: u64 = 20_000;

fn serve(lab: &Lab, node: &Node) -> Proc {
    let log = lab.dir().join("bench-serve.log");
    let server = node.netctl_cmd(&["--json", "bench", "serve"]).unwrap().spawn(&log).unwrap();
    let listens =
        || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("netctl.bench-serve/1")).then_some(());
    wait::until_some(SERVE_LIMIT_MS, listens).expect("bench serve listens");
    server
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {pointer} in {value}"))
}

#[test]
fn two_members_measure_their_rate_and_their_round_trip_and_a_missing_server_is_said_so() {
    let mut lab = Lab::new().unwrap();
    let plain = WireSpec::default();
    let host = lab.public_host("cn", Family::V4, plain).unwrap();
    let cn = Node::run(&lab, &host, "cn", &NodeSpec { tier: "cn", ..NodeSpec::default() }).unwrap();
    let spec = |extra: &str| NodeSpec { tier: "en", relays: vec![cn.relay_name().unwrap()], extra: extra.to_owned() };
    let (host_a, host_b) = (
        lab.public_host("a", Family::V4, plain).unwrap(),
        lab.public_host("b", Family::V4, WireSpec::delay_ms(5)).unwrap(),
    );
    let a = Node::run(&lab, &host_a, "a", &spec("")).unwrap();
    // One end that offers ChaCha20 alone decides for both.
    let b = Node::run(&lab, &host_b, "b", &spec("suite = \"chacha20\"\n")).unwrap();
    a.json(&["create-network", "home"]).unwrap();
    join_as(&b, &a.invite().unwrap(), "b").unwrap();

    let nobody = a.netctl(&["bench", "latency", "b"]).unwrap();
    assert_eq!(nobody.code, 3, "{}", nobody.stderr);
    assert!(nobody.stderr.contains("on b: netctl bench serve"), "{}", nobody.stderr);

    let _server = serve(&lab, &b);
    let latency = a.json(&["bench", "latency", "b", "--count", "20"]).unwrap();
    assert_eq!(number(&latency, "/sent"), 20);
    assert!(number(&latency, "/received") > 0, "{latency}");
    assert!(number(&latency, "/p50_us") >= 10_000, "the cable of b takes 5 ms each way: {latency}");
    assert!(latency["path"].as_str().is_some_and(|path| path.contains("ChaCha20-Poly1305")), "{latency}");

    for (way, words) in [("up", &[][..]), ("down", &["--reverse", "--streams", "2"][..])] {
        let words = [&["bench", "throughput", "b", "--seconds", "1"], words].concat();
        let result = a.json(&words).unwrap();
        assert_eq!(result["direction"], way);
        assert!(number(&result, "/bits_per_second") > 0 && number(&result, "/bytes") > 100_000, "{result}");
        assert!(number(&result, "/loaded/received") > 0, "{result}");
    }
    let taken = b.netctl(&["bench", "serve"]).unwrap();
    assert_eq!(taken.code, 6, "{}", taken.stderr);
}
