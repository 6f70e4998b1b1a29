//! Forged handshakes by the hundred thousand (pitfall 9).

use netflow_lab::flood::Scene;

/// Forged initiations a second (issue 3).
const RATE: u32 = 100_000;
/// Seconds of each iperf3 run.
const SECONDS: u32 = 3;
/// An honest node joins within this, seconds.
const JOIN_S: f64 = 5.0;

fn survives(direct: bool) {
    let mut scene = Scene::build(direct).unwrap();
    let target = if direct { scene.edge() } else { scene.relay() }.unwrap();
    let found = scene.measure(target, RATE, SECONDS).unwrap();
    eprintln!("direct {direct}: {found:?}");
    assert!(found.flooded_mbit * 2.0 >= found.quiet_mbit, "less than half of the rate is left: {found:?}");
    assert!(found.join_s <= JOIN_S, "an honest node needs {:.1} s to join", found.join_s);
}

#[test]
fn pitfall_09_a_flooded_edge_node_keeps_half_its_rate_and_admits_a_newcomer() {
    survives(true);
}

#[test]
fn pitfall_09_a_flooded_relay_keeps_half_its_rate_and_lets_a_newcomer_join() {
    survives(false);
}
