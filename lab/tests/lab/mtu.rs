//! Path MTU without any help of ICMP (pitfall 18).

use std::fs;
use std::net::IpAddr;

use netflow_lab::lab::{Family, Lab};
use netflow_lab::matrix::until_direct;
use netflow_lab::nat::NatKind;
use netflow_lab::node::{Node, NodeSpec};
use netflow_lab::tools;
use netflow_lab::wire::WireSpec;
use netflow_lab::world::{join_as, overlay_v4};

/// Drops every ICMP and ICMPv6 error, in every direction; echo (8, 0; 128, 129) and neighbour discovery (133 to 137) pass.
const NO_ICMP: &str = "table inet nfl_no_icmp {
 chain in {
  type filter hook prerouting priority -350
  meta l4proto 1 icmp type { 3, 4, 11, 12 } drop
  meta l4proto 58 icmpv6 type { 1, 2, 3, 4 } drop
 }
 chain out {
  type filter hook postrouting priority -350
  meta l4proto 1 icmp type { 3, 4, 11, 12 } drop
  meta l4proto 58 icmpv6 type { 1, 2, 3, 4 } drop
 }
}
";

/// Two homes; the cable of one of them swallows packets over `mtu` without a word, and no ICMP error passes anywhere outside the
/// overlay. `direct`: without the relay in between.
fn one_mebibyte_passes(mtu: u16, direct: bool) {
    let mut lab = Lab::new().unwrap();
    let plain = WireSpec::default();
    let host = lab.public_host("cn", Family::V4, plain).unwrap();
    let cn = Node::run(&lab, &host, "cn", &NodeSpec { tier: "cn", ..NodeSpec::default() }).unwrap();
    let spec = NodeSpec { tier: "en", relays: vec![cn.relay_name().unwrap()], extra: String::new() };
    let box_a = lab.nat_box("nat-a", NatKind::PortRestricted, Family::V4, WireSpec::narrow(mtu)).unwrap();
    let box_b = lab.nat_box("nat-b", NatKind::PortRestricted, Family::V4, plain).unwrap();
    let (host_a, host_b) = (lab.home_host("a", &box_a, plain).unwrap(), lab.home_host("b", &box_b, plain).unwrap());
    if mtu > 1500 {
        for name in ["cn", "nat-a", "nat-b", "a", "b"] {
            lab.set_mtu(name, mtu).unwrap();
        }
    }
    for ns in [&box_a.host.ns, &box_b.host.ns, &host.ns, lab.inet()] {
        ns.nft(NO_ICMP).unwrap();
    }
    lab.separate(&box_a.host, &box_b.host, !direct).unwrap();
    let a = Node::run(&lab, &host_a, "a", &spec).unwrap();
    let b = Node::run(&lab, &host_b, "b", &spec).unwrap();
    a.json(&["create-network", "home"]).unwrap();
    join_as(&b, &a.invite().unwrap(), "b").unwrap();
    let (ip_a, ip_b) = (overlay_v4(&a).unwrap(), overlay_v4(&b).unwrap());
    tools::ping(&a.host.ns, ip_b.into(), 5).unwrap();
    if direct {
        assert!(until_direct(&a, &b, 15).unwrap(), "{mtu}: stayed relayed");
    }
    let www = lab.dir().join("www");
    fs::create_dir_all(&www).unwrap();
    tools::write_pattern_file(&www.join("mebibyte"), 1, "one mebibyte through a narrow place").unwrap();
    let log = lab.dir().join("www.log");
    for (server, client, address) in [(&a, &b, ip_a), (&b, &a, ip_b)] {
        let _server = tools::serve(&server.host.ns, &www, address, 8000, &log).unwrap();
        let copy = lab.dir().join("copy");
        let speed = tools::fetch(&client.host.ns, &format!("http://{address}:8000/mebibyte"), &copy, 30)
            .unwrap_or_else(|e| panic!("underlay MTU {mtu}, direct {direct}: {e}"));
        assert_eq!(tools::sha256(&www.join("mebibyte")).unwrap(), tools::sha256(&copy).unwrap());
        eprintln!("underlay MTU {mtu}, direct {direct}: 1 MiB from {} at {speed:.1} MB/s", server.host.name);
        fs::remove_file(copy).unwrap();
    }
    // A packet over every MTU on the way, without DF: it is fragmented inside and comes back whole.
    tools::ping_size(&a.host.ns, IpAddr::V4(ip_b), 5, 2_800).unwrap();
}

#[test]
fn pitfall_18_a_mebibyte_passes_directly_at_1280_bytes_with_icmp_dropped() {
    one_mebibyte_passes(1280, true);
}

#[test]
fn pitfall_18_a_mebibyte_passes_through_a_relay_at_1280_bytes_with_icmp_dropped() {
    one_mebibyte_passes(1280, false);
}

#[test]
fn pitfall_18_a_mebibyte_passes_directly_at_1400_bytes_with_icmp_dropped() {
    one_mebibyte_passes(1400, true);
}

#[test]
fn pitfall_18_a_mebibyte_passes_through_a_relay_at_1400_bytes_with_icmp_dropped() {
    one_mebibyte_passes(1400, false);
}

#[test]
fn pitfall_18_a_mebibyte_passes_directly_at_1500_bytes_with_icmp_dropped() {
    one_mebibyte_passes(1500, true);
}

#[test]
fn pitfall_18_a_mebibyte_passes_through_a_relay_at_1500_bytes_with_icmp_dropped() {
    one_mebibyte_passes(1500, false);
}

#[test]
fn pitfall_18_a_mebibyte_passes_directly_at_9000_bytes_with_icmp_dropped() {
    one_mebibyte_passes(9000, true);
}

#[test]
fn pitfall_18_a_mebibyte_passes_through_a_relay_at_9000_bytes_with_icmp_dropped() {
    one_mebibyte_passes(9000, false);
}
