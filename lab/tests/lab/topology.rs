//! The lab keeps its own promises: each box has the class its name says, cables can be cut, slow and lossy, nothing stays behind.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use netflow_lab::cmd::Cmd;
use netflow_lab::lab::{Family, Host, Lab};
use netflow_lab::nat::NatKind;
use netflow_lab::paths::lab_binary;
use netflow_lab::probe::{Behaviour, classify, observed, open};
use netflow_lab::wire::WireSpec;
use netflow_lab::{netns, wait};
use nix::sys::signal::Signal;

const PLAIN: WireSpec = WireSpec { delay_us: 0, rate_kbit: 0, mtu: 0 };

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

/// Sends until something arrives; who it came from.
fn delivered(from: &UdpSocket, to: SocketAddr, at: &UdpSocket) -> Option<SocketAddr> {
    let mut buffer = [0; 64];
    (0..3).find_map(|_| {
        from.send_to(b"turn", to).unwrap();
        at.recv_from(&mut buffer).ok().map(|(_, source)| source)
    })
}

#[test]
fn a_carrier_s_box_turns_packets_between_its_customers_by_their_outside_addresses() {
    let mut lab = Lab::new().unwrap();
    let (one, two) = servers(&mut lab);
    let carrier = lab.carrier_box("carrier", NatKind::EndpointIndependent, PLAIN).unwrap();
    let customers = ["x", "y"].map(|name| {
        let home = lab.nat_box_behind(&carrier, &format!("box-{name}"), NatKind::PortRestricted).unwrap();
        lab.home_host(name, &home, PLAIN).unwrap()
    });
    assert_eq!(
        classify(&customers[0], &one, &two, false).unwrap(),
        NatKind::PortRestricted.expected(),
        "of both boxes"
    );
    let server = open(&one, false).unwrap();
    let [x, y] = customers.each_ref().map(|customer| open(customer, false).unwrap());
    let [outside_x, outside_y] = [&x, &y].map(|socket| observed(socket, &server).unwrap().unwrap());
    // The homes' own boxes are port-restricted: the first packet opens the way for the answer.
    assert_eq!(delivered(&x, outside_y, &y), None);
    assert_eq!(delivered(&y, outside_x, &x), Some(outside_y));
    assert_eq!(delivered(&x, outside_y, &y), Some(outside_x));
}

#[test]
fn a_rebooted_box_has_another_address_and_knows_no_mapping() {
    for kind in [NatKind::PortRestricted, NatKind::EndpointIndependent, NatKind::Symmetric] {
        let mut lab = Lab::new().unwrap();
        let (one, _) = servers(&mut lab);
        let mut nat = lab.nat_box("nat", kind, Family::V4, PLAIN).unwrap();
        let client = lab.home_host("client", &nat, PLAIN).unwrap();
        let (server, probe) = (open(&one, false).unwrap(), open(&client, false).unwrap());
        let before = observed(&probe, &server).unwrap().unwrap();
        assert!(nat.tracked().unwrap() > 0);
        lab.reboot(&mut nat).unwrap();
        assert_eq!(delivered(&server, before, &probe), None, "{kind:?}: the old mapping still works");
        let new = SocketAddr::new(nat.host.v4.unwrap().into(), before.port());
        assert_eq!(delivered(&server, new, &probe), None, "{kind:?}: the box remembers the port");
        let after = observed(&probe, &server).unwrap().unwrap();
        assert_ne!(before.ip(), after.ip(), "{kind:?}");
    }
}

#[test]
fn a_narrow_cable_swallows_what_is_too_large_and_says_nothing() {
    let mut lab = Lab::new().unwrap();
    let far = lab.public_host("far", Family::V4, WireSpec::narrow(1280)).unwrap();
    let sized = |bytes: &str| {
        let words = ["ping", "-c", "1", "-W", "1", "-M", "do", "-s", bytes, "203.0.113.1"];
        Cmd::new(words).within(&far.ns).finish().unwrap()
    };
    assert!(pings(&far, "203.0.113.1"));
    assert_eq!(sized("1252").code, 0, "1280 bytes with both headers");
    let lost = sized("1253");
    assert_eq!(lost.code, 1);
    assert!(!lost.stdout.contains("too long") && !lost.stderr.contains("too long"), "{}", lost.stdout);
}

#[test]
fn separated_hosts_reach_everybody_but_each_other() {
    let mut lab = Lab::new().unwrap();
    let (one, two) = servers(&mut lab);
    let reach = |from: &Host, to: &Host| pings(from, &to.v4.unwrap().to_string());
    assert!(reach(&one, &two));
    lab.separate(&one, &two, true).unwrap();
    assert!(!reach(&one, &two) && !reach(&two, &one));
    assert!(pings(&one, "203.0.113.1") && pings(&two, "203.0.113.1"));
    lab.separate(&one, &two, false).unwrap();
    assert!(reach(&one, &two));
}

#[test]
fn a_host_with_two_uplinks_uses_the_second_while_the_first_is_down() {
    let mut lab = Lab::new().unwrap();
    let (one, _) = servers(&mut lab);
    let first = lab.nat_box("first", NatKind::PortRestricted, Family::V4, PLAIN).unwrap();
    let second = lab.second_box("second", NatKind::PortRestricted, PLAIN).unwrap();
    let host = lab.home_host("host", &first, PLAIN).unwrap();
    lab.second_uplink(&host, &second, PLAIN).unwrap();
    let seen = || {
        let server = open(&one, false).unwrap();
        let any = host.ns.within(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
        let mut buffer = [0; 8];
        any.send_to(b"who", server.local_addr().unwrap()).unwrap();
        server.recv_from(&mut buffer).unwrap().1.ip()
    };
    assert_eq!(seen(), first.host.v4.unwrap());
    lab.drop_first_uplink(&host).unwrap();
    assert_eq!(seen(), second.host.v4.unwrap());
    lab.restore_first_uplink(&host, &first).unwrap();
    wait::until("the first uplink carries again", 5_000, || pings(&host, "203.0.113.1")).unwrap();
    assert_eq!(seen(), first.host.v4.unwrap());
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
    let text = Cmd::new(["ping", "-q", "-i", "0.005", "-W", "1", "-c", "400", "203.0.113.1"])
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
    let far = lab.public_host("far", Family::Dual, WireSpec { delay_us: 40_000, rate_kbit: 20_000, mtu: 0 }).unwrap();
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
