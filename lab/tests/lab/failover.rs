//! Nothing stops running traffic: not a dead direct path, not a dead relay, not a new uplink (issue 3).

use netflow_lab::failover::{Failover, LIMIT_MS};

#[test]
fn a_cut_path_a_killed_relay_and_a_new_uplink_each_cost_less_than_a_second() {
    let gaps = Failover::build().unwrap().all().unwrap();
    for gap in &gaps {
        eprintln!(
            "{}: {} ms there, {} ms back, TCP {} ms, {:?}",
            gap.event, gap.a_to_b_ms, gap.b_to_a_ms, gap.tcp_ms, gap.paths
        );
    }
    assert_eq!(gaps.len(), 3);
    assert!(gaps[0].paths[0].starts_with("direct") && gaps[0].paths[1].starts_with("relay"), "{gaps:?}");
    assert_ne!(gaps[1].paths[0], gaps[1].paths[1], "another path is in use after the relay died");
    for gap in gaps {
        let worst = gap.a_to_b_ms.max(gap.b_to_a_ms);
        assert!(worst <= LIMIT_MS, "{}: {worst} ms without a packet", gap.event);
    }
}
