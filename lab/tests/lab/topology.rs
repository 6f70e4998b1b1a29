//! The lab keeps its own promises: each box has the class its name says, cables can be cut, slow and lossy, nothing stays behind.

use std::time::{Duration, Instant};

use netflow_lab::cmd::Cmd;
use netflow_lab::lab::{Family, Host, Lab};
use netflow_lab::nat::NatKind;
use netflow_lab::paths::lab_binary;
use netflow_lab::probe::{Behaviour, classify};
use netflow_lab::wire::WireSpec;
use netflow_lab::{netns, wait};
use nix::sys::signal::Signal;

const PLAIN: WireSpec = WireSpec { delay_us: 0, rate_kbit: 0 };

fn servers(lab: &mut Lab) -> (Host, Host) {
    let one = lab.public_host("one", Family::Dual, PLAIN).unwrap();
    let two = lab.public_host("two", Family::Dual, PLAIN).unwrap();
    (one, two)
}

fn pings(from: &Host, to: &str) -> bool {
    Cmd::new(["ping", "-c", "1", "-W", "1", to]).within(&from.ns).finish().unwrap().code == 0
}

fn box_has_its_class(kind: NatKind) {
    let mut lab = Lab::new().unwrap();
    let (one, two) = servers(&mut lab);
    let nat = lab.nat_box("nat", kind, Family::V4, PLAIN).unwrap();
    let client = lab.home_host("client", &nat, PLAIN).unwrap();
    assert!(pings(&client, "203.0.113.1"), "the internet is reachable");
    assert_eq!(classify(&client, &one, &two, false).unwrap(), kind.expected());
    // A second customer behind the same box finds the same class.
    let neighbour = lab.home_host("neighbour", &nat, PLAIN).unwrap();
    assert_eq!(classify(&neighbour, &one, &two, false).unwrap(), kind.expected());
}

#[test]
fn a_port_restricted_box_is_one() {
    box_has_its_class(NatKind::PortRestricted);
}

#[test]
fn a_symmetric_box_is_one() {
    box_has_its_class(NatKind::Symmetric);
}

#[test]
fn an_address_dependent_box_is_one() {
    box_has_its_class(NatKind::AddressDependent);
}

#[test]
fn an_endpoint_independent_box_is_one() {
    box_has_its_class(NatKind::EndpointIndependent);
}

#[test]
fn a_udp_blocking_box_passes_ping_and_no_udp() {
    box_has_its_class(NatKind::UdpBlocked);
}

#[test]
fn double_nat_is_as_strict_as_its_stricter_box() {
    let mut lab = Lab::new().unwrap();
    let (one, two) = servers(&mut lab);
    let outer = lab.nat_box("outer", NatKind::Symmetric, Family::V4, PLAIN).unwrap();
    let inner = lab.nat_box_behind(&outer, "inner", NatKind::EndpointIndependent).unwrap();
    let client = lab.home_host("client", &inner, PLAIN).unwrap();
    assert_eq!(classify(&client, &one, &two, false).unwrap(), NatKind::Symmetric.expected());
}

#[test]
fn ipv6_is_routed_and_filtered_but_never_translated() {
    let mut lab = Lab::new().unwrap();
    let (one, two) = servers(&mut lab);
    let dual = lab.nat_box("dual", NatKind::Symmetric, Family::Dual, PLAIN).unwrap();
    let client = lab.home_host("client", &dual, PLAIN).unwrap();
    let class = classify(&client, &one, &two, true).unwrap().unwrap();
    assert_eq!(class.mapping, Behaviour::EndpointIndependent);
    assert_eq!(class.filtering, Behaviour::AddressAndPortDependent);
    assert_eq!(classify(&client, &one, &two, false).unwrap(), NatKind::Symmetric.expected());

    let only6 = lab.nat_box("only6", NatKind::PortRestricted, Family::V6, PLAIN).unwrap();
    let client = lab.home_host("client6", &only6, PLAIN).unwrap();
    assert!(client.v4.is_none());
    assert!(pings(&client, "2001:db8::1"));
    assert!(!pings(&client, "203.0.113.1"));
}

#[test]
fn a_cut_cable_carries_nothing_until_it_is_healed() {
    let mut lab = Lab::new().unwrap();
    let (one, _) = servers(&mut lab);
    assert!(pings(&one, "203.0.113.1"));
    lab.cut("one").unwrap();
    assert!(!pings(&one, "203.0.113.1"));
    lab.heal("one").unwrap();
    wait::until("the healed cable carries packets", 5_000, || pings(&one, "203.0.113.1")).unwrap();
    assert!(pings(&one, "2001:db8::1"));
}

#[test]
fn a_lossy_cable_loses_about_what_it_is_told_to() {
    let mut lab = Lab::new().unwrap();
    let (one, _) = servers(&mut lab);
    lab.set_loss("one", 200).unwrap();
    // 20 % in each direction: 64 % of the round trips survive. 400 trials: six standard deviations are 14 %.
    let text = Cmd::new(["ping", "-q", "-i", "0.002", "-W", "1", "-c", "400", "203.0.113.1"])
        .within(&one.ns)
        .finish()
        .unwrap();
    let received: u32 = text.stdout.split(" received").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!((200..=312).contains(&received), "{received} of 400 came back");
    lab.set_loss("one", 1000).unwrap();
    assert!(!pings(&one, "203.0.113.1"));
    lab.set_loss("one", 0).unwrap();
    assert!(pings(&one, "203.0.113.1"));
}

#[test]
fn a_slow_cable_delays_and_limits() {
    let mut lab = Lab::new().unwrap();
    let far = lab.public_host("far", Family::Dual, WireSpec { delay_us: 40_000, rate_kbit: 20_000 }).unwrap();
    assert!(pings(&far, "203.0.113.1"));
    let start = Instant::now();
    assert!(pings(&far, "203.0.113.1"));
    let rtt = start.elapsed();
    assert!(rtt >= Duration::from_millis(80), "{rtt:?}");
    assert!(rtt < Duration::from_millis(250), "{rtt:?}");

    let server = Cmd::new(["iperf3", "-s", "-1"]).within(lab.inet()).spawn(&lab.dir().join("iperf3.log")).unwrap();
    let listening = || Cmd::new(["ss", "-ltnH", "sport = :5201"]).within(lab.inet()).run().unwrap().contains("5201");
    wait::until("iperf3 listens", 5_000, listening).unwrap();
    let text = far.ns.run(&["iperf3", "-c", "203.0.113.1", "-t", "3", "-J"]).unwrap();
    drop(server);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mbit = report["end"]["sum_received"]["bits_per_second"].as_f64().unwrap() / 1e6;
    assert!((8.0..20.5).contains(&mbit), "{mbit} Mbit/s through a 20 Mbit/s cable");
}

#[test]
fn nothing_of_a_dropped_lab_stays() {
    let mut lab = Lab::new().unwrap();
    let (one, _) = servers(&mut lab);
    let _far = lab.public_host("far", Family::V4, WireSpec::delay_ms(1)).unwrap();
    let sleeper = Cmd::new(["sleep", "1000"]).within(&one.ns).spawn(&lab.dir().join("sleep.log")).unwrap();
    let (id, pid, dir) = (lab.id().to_owned(), sleeper.pid(), lab.dir().to_owned());
    drop(lab);
    assert_eq!(netns::list(&format!("{id}-")), Vec::<String>::new());
    assert!(!dir.exists());
    drop(sleeper);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_lab_ends_with_its_owner_however_the_owner_ends() {
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        let log = std::env::temp_dir().join(format!("nfl-{}-shell.log", std::process::id()));
        let mut shell = Cmd::new([lab_binary().unwrap().as_os_str(), "shell".as_ref()]).spawn(&log).unwrap();
        let up = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("Ctrl-C removes everything"));
        wait::until("the lab is up", 30_000, up).unwrap();
        std::fs::remove_file(&log).unwrap();
        let id = format!("nfl-{}x0-", shell.pid());
        assert!(netns::list(&id).len() >= 10, "a world of ten namespaces");
        shell.signal(signal);
        wait::until("its owner is gone", 10_000, || shell.ended().is_some()).unwrap();
        wait::until("every namespace is gone", 10_000, || netns::list(&id).is_empty()).unwrap();
    }
}
