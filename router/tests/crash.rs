//! kill -9 at any moment, a hundred times: what the daemon told anybody is still there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start programs, wait, and fail loudly")]

mod common;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{Home, NETFLOWD, Namespace};
use netctl_api::{NetworkCreateParams, NetworkInviteParams, NetworkListParams, Request};

fn home() -> Home {
    Home::new("tier = \"cn\"\nlisten = \"127.0.0.1:0\"\n[relay]\npublic_addrs = [\"127.0.0.1:4790\"]\n")
}

/// Sends requests without waiting for answers, so that the daemon is in the middle of its writes when it is killed.
fn write_requests(home: &Home, requests: &[Request]) {
    let mut stream = UnixStream::connect(home.socket()).unwrap();
    for request in requests {
        // The daemon may be gone already; that is the point.
        let _ = stream.write_all(request.to_line().unwrap().as_bytes());
    }
}

#[test]
fn the_network_survives_a_hundred_kills_in_the_middle_of_its_writes() {
    let ns = Namespace::new("kill");
    let home = home();
    let daemon = home.start(&mut ns.command(NETFLOWD));
    let created =
        daemon.call(NetworkCreateParams { name: "home".to_owned(), ..NetworkCreateParams::default() }).unwrap();
    drop(daemon);
    let invites = (0..20).map(|id| Request::new(id, NetworkInviteParams::default())).collect::<Vec<_>>();
    for round in 0..100_u64 {
        let daemon = home.start(&mut ns.command(NETFLOWD));
        write_requests(&home, &invites);
        // From "nothing is written yet" to "about all of it is", in steps that hit another write each time.
        std::thread::sleep(Duration::from_micros(round * 300));
        daemon.kill();
    }
    let daemon = home.start(&mut ns.command(NETFLOWD));
    let networks = daemon.call(NetworkListParams {}).unwrap().networks;
    assert_eq!(networks.len(), 1, "{networks:?}");
    let network = networks.first().unwrap();
    assert_eq!((&network.id, network.ipv4, network.members), (&created.network.id, created.network.ipv4, 1));
    assert_eq!(network.role, netctl_api::Role::Owner, "the owner key is still there");
    // Still writable: its own chain has no fork and no gap.
    daemon.call(NetworkInviteParams::default()).unwrap();
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_creation_that_is_killed_leaves_a_whole_network_or_none() {
    let ns = Namespace::new("create");
    for round in 0..40_u64 {
        let home = home();
        let daemon = home.start(&mut ns.command(NETFLOWD));
        let create = NetworkCreateParams { name: "home".to_owned(), ..NetworkCreateParams::default() };
        write_requests(&home, &[Request::new(1, create.clone())]);
        std::thread::sleep(Duration::from_micros(round * 250));
        daemon.kill();
        let daemon = home.start(&mut ns.command(NETFLOWD));
        let networks = daemon.call(NetworkListParams {}).unwrap().networks;
        match networks.first() {
            Some(network) => assert!(networks.len() == 1 && network.up, "round {round}: {network:?}"),
            None => drop(daemon.call(create).unwrap()),
        }
        daemon.call(NetworkInviteParams::default()).unwrap();
    }
}
