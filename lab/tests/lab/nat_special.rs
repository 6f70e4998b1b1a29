//! Homes that are not in the matrix (issue 3): double NAT, a carrier's NAT, hairpin, one LAN, IPv6 only, UDP blocked, a box that
//! reboots. Each is connected from the first packet, and then direct or relayed as it can be.

use std::net::IpAddr;
use std::time::Instant;

use netflow_lab::lab::Family;
use netflow_lab::matrix::{Cell, Matrix, attached, until_direct};
use netflow_lab::nat::NatKind;
use netflow_lab::node::text_at;
use netflow_lab::tools;
use netflow_lab::wait;
use netflow_lab::wire::WireSpec;
use netflow_lab::world::overlay_v4;

/// Seconds a direct path may take; see the matrix.
const DIRECT_LIMIT_S: u32 = 15;
/// How long a pair without a direct path is watched staying relayed, seconds.
const RELAYED_WATCH_S: u32 = 3;
const PLAIN: WireSpec = WireSpec { delay_us: 0, rate_kbit: 0, mtu: 0 };

fn told(what: &str, cell: &Cell) {
    let direct = cell.direct_ms.map_or("relayed".to_owned(), |ms| format!("direct after {ms} ms"));
    eprintln!("{what}: first packet {:.1} ms, {direct}", cell.first_ms);
}

fn direct(what: &str, matrix: &Matrix, from: usize, to: usize) -> Cell {
    let cell = matrix.cell(from, to, DIRECT_LIMIT_S).unwrap();
    told(what, &cell);
    assert!(cell.direct_ms.is_some(), "{what} stayed relayed");
    cell
}

fn relayed(what: &str, matrix: &Matrix, from: usize, to: usize) {
    let cell = matrix.cell(from, to, RELAYED_WATCH_S).unwrap();
    told(what, &cell);
    assert!(cell.direct_ms.is_none(), "{what} cannot be direct, and says it is");
}

/// The address packets of the path in use go to.
fn address_in_use(matrix: &Matrix, from: usize) -> IpAddr {
    let peers = matrix.homes[from].node.json(&["peers"]).unwrap();
    let address: std::net::SocketAddr = text_at(&peers, "/peers/0/path/address").unwrap().parse().unwrap();
    match address.ip() {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
        ip => ip,
    }
}

#[test]
fn a_home_behind_two_nats_becomes_direct() {
    let mut matrix = Matrix::build().unwrap();
    let outer = matrix.lab.nat_box("outer", NatKind::PortRestricted, Family::V4, PLAIN).unwrap();
    let inner = matrix.lab.nat_box_behind(&outer, "inner", NatKind::PortRestricted).unwrap();
    let host = matrix.lab.home_host("double", &inner, PLAIN).unwrap();
    let double = matrix.join(&host, "double", "double NAT", Some(inner)).unwrap();
    let home = matrix.add("home", "EIM/APDF", Some(NatKind::PortRestricted)).unwrap();
    direct("double NAT", &matrix, double, home);
}

#[test]
fn a_home_behind_a_carrier_s_nat_becomes_direct_to_another_home() {
    let mut matrix = Matrix::build().unwrap();
    let carrier = matrix.lab.carrier_box("carrier", NatKind::EndpointIndependent, PLAIN).unwrap();
    let inner = matrix.lab.nat_box_behind(&carrier, "inner", NatKind::PortRestricted).unwrap();
    let host = matrix.lab.home_host("mobile", &inner, PLAIN).unwrap();
    let mobile = matrix.join(&host, "mobile", "CGNAT", Some(inner)).unwrap();
    let home = matrix.add("home", "EIM/APDF", Some(NatKind::PortRestricted)).unwrap();
    direct("CGNAT x home", &matrix, mobile, home);
}

#[test]
fn two_homes_behind_one_hairpinning_box_become_direct() {
    let mut matrix = Matrix::build().unwrap();
    let carrier = matrix.lab.carrier_box("carrier", NatKind::EndpointIndependent, PLAIN).unwrap();
    let mut join = |name: &str| {
        let inner = matrix.lab.nat_box_behind(&carrier, &format!("box-{name}"), NatKind::PortRestricted).unwrap();
        let host = matrix.lab.home_host(name, &inner, PLAIN).unwrap();
        matrix.join(&host, name, "home", Some(inner)).unwrap()
    };
    let (one, two) = (join("one"), join("two"));
    direct("hairpin", &matrix, one, two);
}

#[test]
fn two_hosts_of_one_lan_talk_inside_it() {
    let mut matrix = Matrix::build().unwrap();
    let home = matrix.lab.nat_box("home", NatKind::PortRestricted, Family::V4, PLAIN).unwrap();
    let mut join = |name: &str| {
        let host = matrix.lab.home_host(name, &home, PLAIN).unwrap();
        matrix.join(&host, name, "same LAN", None).unwrap()
    };
    let (one, two) = (join("one"), join("two"));
    direct("same LAN", &matrix, one, two);
    let other = matrix.homes[two].node.host.v4.unwrap();
    assert_eq!(address_in_use(&matrix, one), IpAddr::V4(other), "the packets do not leave the home");
}

#[test]
fn an_ipv6_only_host_and_a_dual_stack_one_become_direct_over_ipv6() {
    let mut matrix = Matrix::build().unwrap();
    let only6 = matrix.lab.nat_box("only6", NatKind::PortRestricted, Family::V6, PLAIN).unwrap();
    let host = matrix.lab.home_host("six", &only6, PLAIN).unwrap();
    let six = matrix.join(&host, "six", "IPv6 only", Some(only6)).unwrap();
    let dual = matrix.lab.nat_box("dual", NatKind::Symmetric, Family::Dual, PLAIN).unwrap();
    let host = matrix.lab.home_host("both", &dual, PLAIN).unwrap();
    let both = matrix.join(&host, "both", "dual stack", Some(dual)).unwrap();
    direct("IPv6 only x dual stack", &matrix, six, both);
    assert!(address_in_use(&matrix, six).is_ipv6());
}

#[test]
fn homes_without_udp_are_connected_over_tcp_443_on_one_side_and_on_both() {
    let mut matrix = Matrix::build().unwrap();
    let open = matrix.add("open", "EIM/APDF", Some(NatKind::PortRestricted)).unwrap();
    let blocked = matrix.add("blocked", "UDP blocked", Some(NatKind::UdpBlocked)).unwrap();
    attached(&matrix.homes[blocked].node, 20_000).unwrap();
    relayed("UDP blocked on one side", &matrix, blocked, open);
    let other = matrix.add("other", "UDP blocked", Some(NatKind::UdpBlocked)).unwrap();
    relayed("UDP blocked on both sides", &matrix, blocked, other);
    let check = matrix.homes[blocked].node.json(&["netcheck"]).unwrap();
    assert_eq!(check.pointer("/udp"), Some(&false.into()), "{check}");
}

#[test]
fn a_home_whose_udp_gets_out_to_port_443_alone_is_carried_by_quic_there() {
    let mut matrix = Matrix::build().unwrap();
    let open = matrix.add("open", "EIM/APDF", Some(NatKind::PortRestricted)).unwrap();
    let web = matrix.add("web", "UDP 443 only", Some(NatKind::Udp443Only)).unwrap();
    attached(&matrix.homes[web].node, 20_000).unwrap();
    relayed("UDP to port 443 alone", &matrix, web, open);
    let check = matrix.homes[web].node.json(&["netcheck"]).unwrap();
    assert_eq!(check.pointer("/udp"), Some(&true.into()), "{check}");
    for relay in check.pointer("/relays").and_then(|relays| relays.as_array()).unwrap() {
        assert_eq!(text_at(relay, "/carrier").unwrap(), "quic", "{check}");
        let address: std::net::SocketAddr = text_at(relay, "/address").unwrap().parse().unwrap();
        assert_eq!(address.port(), 443, "{check}");
    }
    // Packets go there too, not only the control link.
    assert_eq!(text_at(&matrix.homes[web].node.json(&["peers"]).unwrap(), "/peers/0/path/kind").unwrap(), "relay");
    let status = matrix.homes[web].node.json(&["status"]).unwrap();
    let relays = status.pointer("/relays").and_then(|relays| relays.as_array()).unwrap();
    assert!(relays.iter().all(|relay| relay.pointer("/bound") == Some(&true.into())), "{status}");
}

#[test]
fn netcheck_measures_what_there_is_and_every_figure_has_a_value() {
    let mut matrix = Matrix::build().unwrap();
    let nat = matrix.lab.nat_box("nat-both", NatKind::PortRestricted, Family::Dual, PLAIN).unwrap();
    let host = matrix.lab.home_host("both", &nat, PLAIN).unwrap();
    let home = matrix.join(&host, "both", "dual stack", Some(nat)).unwrap();
    let node = &matrix.homes[home].node;
    attached(node, 20_000).unwrap();
    let check = node.json(&["netcheck"]).unwrap();
    let text = |pointer: &str| text_at(&check, pointer).unwrap();
    let number = |pointer: &str| check.pointer(pointer).and_then(serde_json::Value::as_i64);
    assert_eq!(check.pointer("/udp"), Some(&true.into()), "{check}");
    assert_eq!(
        (text("/mapping"), text("/filtering")),
        ("endpoint_independent".into(), "address_and_port_dependent".into())
    );
    assert_eq!(text("/ipv6/filtering"), "address_and_port_dependent", "a stateful firewall: {check}");
    assert_eq!(check.pointer("/hairpin"), Some(&false.into()), "{check}");
    assert_eq!(number("/mtu_bytes"), Some(1_500), "{check}");
    // One machine, one clock: what is left is half the difference between the way there and back.
    assert!(number("/clock_skew_ms").is_some_and(|skew| skew.abs() <= 500), "{check}");
    assert!(number("/age_s").is_some_and(|age| age <= 15), "{check}");
    for relay in check.pointer("/relays").and_then(|relays| relays.as_array()).unwrap() {
        assert!(relay.pointer("/rtt_ms").is_some_and(serde_json::Value::is_number), "{check}");
        assert_eq!(relay.pointer("/mtu_bytes"), Some(&1_500.into()), "{check}");
    }
    // Where less passes, less is found: the cable of the box carries 1,400 bytes from now on.
    matrix.lab.set_mtu("nat-both", 1_400).unwrap();
    let fresh = |node: &netflow_lab::node::Node| node.json(&["netcheck"]).unwrap().pointer("/mtu_bytes").cloned();
    wait::until("netcheck finds the smaller size", 60_000, || fresh(node) == Some(1_400.into())).unwrap();
}

#[test]
fn a_box_that_reboots_costs_its_home_a_moment_and_the_path_becomes_direct_again() {
    let mut matrix = Matrix::build().unwrap();
    let one = matrix.add("one", "EIM/APDF", Some(NatKind::PortRestricted)).unwrap();
    let two = matrix.add("two", "EIM/EIF", Some(NatKind::EndpointIndependent)).unwrap();
    direct("before the reboot", &matrix, one, two);
    let mut nat = matrix.homes[one].nat.clone().unwrap();
    let start = Instant::now();
    matrix.lab.reboot(&mut nat).unwrap();
    let (from, to) = (&matrix.homes[one].node, &matrix.homes[two].node);
    let answers = || tools::ping(&from.host.ns, overlay_v4(to).unwrap().into(), 1).is_ok();
    wait::until("packets pass again after the reboot", 20_000, answers).unwrap();
    let again = start.elapsed();
    assert!(until_direct(from, to, 60).unwrap(), "stayed relayed after the reboot");
    eprintln!("NAT reboot with a new address: packets after {again:?}, direct after {:?}", start.elapsed());
}
