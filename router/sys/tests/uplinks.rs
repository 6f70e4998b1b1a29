//! What the kernel says about uplinks, in a network namespace of the test's own thread. Needs root.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests run programs and fail loudly")]

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use netflow_sys::netlink::{ChangeMonitor, Gateway, Netlink};
use nix::sched::{CloneFlags, unshare};

/// Runs `ip` in the namespace of the calling thread.
fn ip(args: &str) {
    let output = Command::new("ip").args(args.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs `test` on a thread with an empty network of its own.
fn in_a_namespace(test: impl AsyncFnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("run this test as root: it makes a network namespace");
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    });
    thread.join().unwrap();
}

fn uplink(name: &str, address: &str) {
    ip(&format!("link add {name} type veth peer name {name}-peer"));
    ip(&format!("addr add {address} dev {name}"));
    ip(&format!("link set {name}-peer up"));
    ip(&format!("link set {name} up"));
}

#[test]
fn addresses_of_uplinks_are_listed_with_their_default_route_and_nothing_else_is() {
    in_a_namespace(async || {
        uplink("wan", "192.0.2.10/24");
        uplink("lan", "192.168.7.1/24");
        uplink("docker0", "172.17.0.1/16");
        uplink("nf0", "100.64.0.5/32");
        ip("route add default via 192.0.2.1 dev wan");
        let netlink = Netlink::open().unwrap();
        let addresses = netlink.interface_addresses(&["nf0"]).await.unwrap();
        let listed = addresses
            .iter()
            .map(|address| {
                (address.name.as_str(), address.addr.to_string(), address.prefix_len, address.has_default_route)
            })
            .collect::<Vec<_>>();
        assert_eq!(listed, [("lan", "192.168.7.1".to_owned(), 24, false), ("wan", "192.0.2.10".to_owned(), 24, true)]);
        let gateway = netlink.default_gateway().await.unwrap();
        assert_eq!(
            gateway,
            Some(Gateway { gateway: Ipv4Addr::new(192, 0, 2, 1), source: Ipv4Addr::new(192, 0, 2, 10) })
        );
        ip("link set wan down");
        assert!(netlink.interface_addresses(&["nf0"]).await.unwrap().iter().all(|address| address.name == "lan"));
        assert_eq!(netlink.default_gateway().await.unwrap(), None, "its route went with it");
    });
}

#[test]
fn an_uplink_that_changes_is_noticed_and_ordinary_routes_are_not() {
    in_a_namespace(async || {
        // Link-local addresses are news too when the kernel has made sure of them, a second or two after the link came up.
        for interfaces in ["all", "default"] {
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{interfaces}/disable_ipv6"), "1").unwrap();
        }
        uplink("wan", "192.0.2.10/24");
        uplink("other", "198.51.100.10/24");
        ip("route add default via 192.0.2.1 dev wan");
        let mut monitor = ChangeMonitor::open().unwrap();
        let patience = Duration::from_secs(5);
        // What the set-up set off is not the test's.
        while tokio::time::timeout(Duration::from_millis(500), monitor.changed()).await.is_ok() {}
        for last in 0..20 {
            ip(&format!("route add 10.7.{last}.0/24 via 192.0.2.1 dev wan"));
        }
        assert!(tokio::time::timeout(Duration::from_millis(500), monitor.changed()).await.is_err(), "ordinary routes");
        ip("route replace default via 198.51.100.1 dev other");
        tokio::time::timeout(patience, monitor.changed()).await.expect("the default route changed");
        for last in 11..15 {
            ip(&format!("addr add 192.0.2.{last}/24 dev wan"));
        }
        tokio::time::timeout(patience, monitor.changed()).await.expect("addresses came");
        // Four programs set them; a slow machine may let more than the debounce time pass between two.
        let mut more = 0;
        while tokio::time::timeout(Duration::from_millis(500), monitor.changed()).await.is_ok() {
            more += 1;
        }
        assert!(more < 4, "never more news than changes");
        ip("link set wan down");
        tokio::time::timeout(patience, monitor.changed()).await.expect("a link went");
    });
}
