//! Nothing stops running traffic: not a dead direct path, not a dead relay, not a new uplink (issue 3).

use netflow_lab::failover::{Failover, Gap, LIMIT_MS};

fn within_the_limit(gap: &Gap) {
    eprintln!(
        "{}: {} ms there, {} ms back, TCP {} ms, {:?}",
        gap.event, gap.a_to_b_ms, gap.b_to_a_ms, gap.tcp_ms, gap.paths
    );
    let worst = gap.a_to_b_ms.max(gap.b_to_a_ms);
    assert!(worst <= LIMIT_MS, "{}: {worst} ms without a packet", gap.event);
}

#[test]
fn a_cut_direct_path_stops_traffic_for_less_than_a_second() {
    let gap = Failover::build().unwrap().direct_cut().unwrap();
    assert!(gap.paths[0].starts_with("direct") && gap.paths[1].starts_with("relay"), "{gap:?}");
    within_the_limit(&gap);
}

#[test]
fn a_killed_relay_stops_traffic_for_less_than_a_second() {
    let gap = Failover::build().unwrap().relay_killed().unwrap();
    assert_ne!(gap.paths[0], gap.paths[1], "another path is in use after the relay died");
    within_the_limit(&gap);
}

#[test]
fn a_new_uplink_stops_traffic_for_less_than_a_second() {
    within_the_limit(&Failover::build().unwrap().uplink_switched().unwrap());
}
