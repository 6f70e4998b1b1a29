//! What the daemon does to the machine: made as a whole, taken back as a whole, also after kill -9.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start programs and fail loudly")]

mod common;

use std::os::unix::fs::MetadataExt;

use common::{Home, NETFLOWD, Namespace, files_below};
use netctl_api::{ErrorCode, NetworkCreateParams, NetworkListParams, NetworkSwitchParams, StatusParams, UpParams};

fn create(name: &str, prefix: Option<&str>) -> NetworkCreateParams {
    NetworkCreateParams {
        name: name.to_owned(),
        ipv4_prefix: prefix.map(str::to_owned),
        ..NetworkCreateParams::default()
    }
}

/// Everything of ours on the machine, as one text.
fn traces(ns: &Namespace) -> String {
    let rules = ns.ip(&["rule"]) + &ns.ip(&["-6", "rule"]);
    let routes = ns.ip(&["route", "show", "table", "all"]) + &ns.ip(&["-6", "route", "show", "table", "all"]);
    let ours = |text: &str| {
        text.lines().filter(|line| line.contains("20038")).map(|line| format!("{line}\n")).collect::<String>()
    };
    let tun = ns.ip(&["-o", "link"]).lines().filter(|line| line.contains(" nf")).collect::<String>();
    ours(&rules) + &ours(&routes) + &tun + &ns.exec(&["nft", "list", "tables"])
}

fn home() -> Home {
    Home::new("listen = \"127.0.0.1:0\"\nname = \"here\"\n")
}

#[test]
fn a_stop_takes_back_everything_and_a_start_after_kill_9_takes_back_the_rest() {
    let ns = Namespace::new("undo");
    let home = home();
    ns.ip(&["route", "add", "default", "dev", "lo"]);
    let before = traces(&ns);
    let daemon = home.start(&mut ns.command(NETFLOWD));
    let created = daemon.call(create("home", None)).unwrap();
    assert!(created.network.up && !created.published);
    assert!(traces(&ns).contains("netflow"));
    daemon.kill();
    assert_ne!(traces(&ns), before, "kill -9 leaves rules and the filter behind");
    let address = created.network.ipv4.unwrap().to_string();
    let way = ns.command("ip").args(["route", "get", &address]).output().unwrap();
    assert!(!way.status.success(), "nothing leaks to the default route: {}", String::from_utf8_lossy(&way.stdout));
    let daemon = home.start(&mut ns.command(NETFLOWD));
    assert!(home.log().contains("did not stop cleanly"), "{}", home.log());
    let networks = daemon.call(NetworkListParams {}).unwrap().networks;
    assert!(networks.iter().all(|network| network.up && network.name == "home") && networks.len() == 1);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(traces(&ns), before, "a clean stop leaves the machine as it was");
    assert!(!home.state().join("undo.json").exists());
}

#[test]
fn after_kill_9_with_another_tier_nothing_of_the_old_run_stays() {
    let ns = Namespace::new("undo2");
    let home = home();
    let before = traces(&ns);
    let daemon = home.start(&mut ns.command(NETFLOWD));
    daemon.call(create("home", None)).unwrap();
    daemon.kill();
    // The network is gone from the state: nothing brings its routes up again, so what is left could only be a leftover.
    std::fs::remove_dir_all(home.state().join("networks")).unwrap();
    let daemon = home.start(&mut ns.command(NETFLOWD));
    assert_eq!(traces(&ns), before);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_clash_with_a_local_address_creates_nothing() {
    let ns = Namespace::new("clash");
    ns.ip(&["link", "add", "lan", "type", "veth", "peer", "name", "lan-peer"]);
    ns.ip(&["addr", "add", "100.77.3.1/24", "dev", "lan"]);
    ns.ip(&["link", "set", "lan", "up"]);
    let home = home();
    let daemon = home.start(&mut ns.command(NETFLOWD));
    let before = (traces(&ns), files_below(&home.state().join("networks")));
    let error = daemon.call(create("home", Some("100.77.0.0/16"))).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.message.contains("100.77.3.1/24 on lan"), "{error}");
    assert_eq!((traces(&ns), files_below(&home.state().join("networks"))), before, "nothing half-done");
    // Left to itself, the daemon chooses a prefix that is free.
    let created = daemon.call(create("home", None)).unwrap();
    assert!(created.network.up, "{:?}", created.network.problem);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_clash_that_appears_later_keeps_the_network_down_with_a_reason_until_it_is_gone() {
    let ns = Namespace::new("later");
    let home = home();
    let daemon = home.start(&mut ns.command(NETFLOWD));
    daemon.call(create("home", Some("100.78.0.0/16"))).unwrap();
    assert_eq!(daemon.stop(), 0);
    ns.ip(&["link", "add", "lan", "type", "veth", "peer", "name", "lan-peer"]);
    ns.ip(&["addr", "add", "100.78.3.1/24", "dev", "lan"]);
    let before = traces(&ns);
    let daemon = home.start(&mut ns.command(NETFLOWD));
    let status = daemon.call(StatusParams {}).unwrap();
    let network = status.networks.first().unwrap();
    assert!(!network.up && network.problem.as_ref().unwrap().contains("100.78.3.1/24 on lan"), "{network:?}");
    assert_eq!(traces(&ns), before, "nothing half-done");
    assert_eq!(daemon.call(UpParams::default()).unwrap_err().code, ErrorCode::Conflict);
    ns.ip(&["link", "del", "lan"]);
    assert!(daemon.call(UpParams::default()).unwrap().network.up);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn two_networks_with_the_same_addresses_take_turns_by_switch() {
    let ns = Namespace::new("switch");
    let home = home();
    let daemon = home.start(&mut ns.command(NETFLOWD));
    daemon.call(create("one", None)).unwrap();
    let two = daemon.call(create("two", None)).unwrap().network;
    assert!(two.up && two.active, "another prefix is chosen, both are up");
    let switched = daemon.call(NetworkSwitchParams { network: "one".to_owned() }).unwrap();
    assert_eq!((switched.network.name.as_str(), switched.previous.as_deref()), ("one", Some("two")));
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn pitfall_28_29_the_socket_the_state_and_the_arguments_of_a_running_daemon_tell_nothing_to_others() {
    let ns = Namespace::new("private");
    let home = home();
    let daemon = home.start(&mut ns.command(NETFLOWD));
    daemon.call(create("home", None)).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert!(matches!(mode(&home.socket()), 0o600 | 0o660));
    assert_eq!(mode(&home.state()), 0o700);
    let files = files_below(&home.state());
    assert!(
        files.iter().any(|path| path.ends_with("identity.key")) && files.iter().any(|path| path.ends_with("secret"))
    );
    for path in files {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let arguments = std::fs::read_to_string(format!("/proc/{}/cmdline", daemon.pid())).unwrap();
    assert_eq!(arguments.split('\0').filter(|arg| !arg.is_empty()).count(), 3, "binary, --config, FILE: {arguments:?}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    // Bit 12 is CAP_NET_ADMIN.
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        assert_eq!(field(set), "0000000000001000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_reload_takes_over_what_it_can_and_a_wrong_file_changes_nothing() {
    let ns = Namespace::new("reload");
    let home = Home::new("tier = \"cn\"\nlisten = \"127.0.0.1:0\"\n");
    let daemon = home.start(&mut ns.command(NETFLOWD));
    home.configure("tier = \"cn\"\nlisten = \"127.0.0.1:0\"\nlog = \"debug\"\n");
    daemon.signal("-HUP");
    wait_for(&home, "configuration read again");
    home.configure("tier = \"cn\"\nnonsense = 1\n");
    daemon.signal("-HUP");
    wait_for(&home, "the configuration is not taken over");
    assert!(daemon.call(StatusParams {}).is_ok());
    assert_eq!(daemon.stop(), 0);
}

fn wait_for(home: &Home, words: &str) {
    for _ in 0..200 {
        if home.log().contains(words) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(home.log().contains(words), "{}", home.log());
}
