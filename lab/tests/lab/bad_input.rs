//! Bad input of every kind of issue 2: one clear line, the documented exit code, nothing half-done on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use netflow_lab::cmd::{Cmd, Finished};
use netflow_lab::lab::{Family, Lab};
use netflow_lab::node::{Node, NodeSpec, PORT, text_at};
use netflow_lab::paths::built_program;
use netflow_lab::wire::WireSpec;
use netflow_lab::world::{active, join_as};

/// A relay and an edge node on public addresses; the edge node is prepared, not started.
fn relay_and_node() -> (Lab, Node, Node) {
    let mut lab = Lab::new().unwrap();
    let host = lab.public_host("cn", Family::Dual, WireSpec::default()).unwrap();
    let cn = Node::run(&lab, &host, "cn", &NodeSpec { tier: "cn", ..NodeSpec::default() }).unwrap();
    let a = another(&mut lab, &cn, "a");
    (lab, cn, a)
}

fn another(lab: &mut Lab, cn: &Node, name: &str) -> Node {
    let host = lab.public_host(name, Family::Dual, WireSpec::default()).unwrap();
    let spec = NodeSpec { tier: "en", relays: vec![cn.relay_name().unwrap()], extra: String::new() };
    Node::prepare(lab, &host, name, &spec).unwrap()
}

/// One line on stderr that has every one of `words`, and this exit code.
fn refused(done: &Finished, code: i32, words: &[&str]) {
    assert_eq!(done.code, code, "stdout: {} stderr: {}", done.stdout, done.stderr);
    assert_eq!(done.stderr.trim().lines().count(), 1, "one line: {}", done.stderr);
    for word in words {
        assert!(done.stderr.contains(word), "{word:?} in: {}", done.stderr);
    }
}

/// Every file below `dir` with its content, to see that a refusal changed nothing.
fn snapshot(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let listing = Cmd::new([Path::new("find"), dir, Path::new("-type"), Path::new("f")]).run().unwrap_or_default();
    let mut all: Vec<_> = listing.lines().map(|f| (f.to_owned(), fs::read(f).unwrap_or_default())).collect();
    all.sort();
    all
}

#[test]
fn a_wrong_key_in_the_configuration_is_named_with_the_nearest_right_one() {
    let (_lab, _cn, a) = relay_and_node();
    let good = fs::read_to_string(a.config_path()).unwrap();
    a.write_config(&good.replace("listen =", "listn =")).unwrap();
    refused(&a.command().unwrap().finish().unwrap(), 3, &["listn", "listen", "netflow.toml"]);
    assert!(!a.state_dir().exists(), "nothing was made");
    a.write_config("tier = \"en\"\nmtu = 12\n").unwrap();
    refused(&a.command().unwrap().finish().unwrap(), 3, &["mtu", "1280"]);
    fs::remove_file(a.config_path()).unwrap();
    refused(&a.command().unwrap().finish().unwrap(), 3, &["netflow.toml"]);
}

#[test]
fn an_unreadable_or_damaged_key_file_stops_the_start_and_is_left_as_it_is() {
    let (_lab, _cn, mut a) = relay_and_node();
    a.start().unwrap();
    assert_eq!(a.stop().unwrap(), 0);
    let files = snapshot(&a.state_dir());
    let (key, bytes) = files.iter().find(|(name, _)| name.contains("key")).expect("a key file").clone();
    fs::write(&key, &bytes[..bytes.len() / 2]).unwrap();
    refused(&a.command().unwrap().finish().unwrap(), 5, &["key"]);
    assert_eq!(fs::read(&key).unwrap(), &bytes[..bytes.len() / 2], "no new identity was made over it");
    // A key others can read is not a secret any more.
    fs::write(&key, &bytes).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused(&a.command().unwrap().finish().unwrap(), 5, &["key"]);
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    refused(&a.command().unwrap().finish().unwrap(), 5, &["key"]);
}

#[test]
fn a_port_or_a_state_folder_in_use_is_named() {
    let (lab, _cn, mut a) = relay_and_node();
    // Not the first start, which also says that it made its keys.
    a.start().unwrap();
    assert_eq!(a.stop().unwrap(), 0);
    let blocker = a.host.ns.within(|| std::net::UdpSocket::bind("[::]:4790").unwrap()).unwrap();
    refused(&a.command().unwrap().finish().unwrap(), 6, &["4790"]);
    drop(blocker);
    a.start().unwrap();
    let twin = Node::prepare(&lab, &a.host, "twin", &NodeSpec { tier: "en", ..NodeSpec::default() }).unwrap();
    let text = fs::read_to_string(a.config_path()).unwrap().replace(":4790\"", ":4791\"");
    twin.write_config(&text).unwrap();
    refused(&twin.command().unwrap().finish().unwrap(), 6, &[]);
    assert!(a.json(&["status"]).is_ok(), "the first daemon did not notice");
}

/// Runs a copy of a program as the user nobody, from a place nobody can read.
fn as_nobody(a: &Node, program: &Path, words: &[&str]) -> Finished {
    let dir = Path::new("/tmp").join(format!("nfl-{}-public", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let copy = dir.join("program");
    fs::copy(program, &copy).unwrap();
    fs::copy(a.config_path(), dir.join("netflow.toml")).unwrap();
    let config = dir.join("netflow.toml");
    let words = words.iter().map(|w| if *w == "CONFIG" { config.to_str().unwrap() } else { w });
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy.to_str().unwrap()];
    let done = Cmd::new(user.into_iter().chain(words)).within(&a.host.ns).finish().unwrap();
    fs::remove_dir_all(&dir).unwrap();
    done
}

#[test]
fn without_root_or_without_a_daemon_the_line_says_so() {
    let (_lab, _cn, mut a) = relay_and_node();
    let program = built_program("netflowd", "NETFLOWD_BIN").unwrap();
    refused(&as_nobody(&a, &program, &["--config", "CONFIG"]), 4, &["root"]);
    assert!(!a.state_dir().exists());

    refused(&a.netctl(&["status"]).unwrap(), 3, &["netflowd"]);
    a.start().unwrap();
    a.kill9();
    refused(&a.netctl(&["status"]).unwrap(), 3, &["netflowd"]);
}

#[test]
fn pitfall_28_the_control_socket_is_closed_to_other_users() {
    let (_lab, _cn, mut a) = relay_and_node();
    a.start().unwrap();
    let line = a.netctl_cmd(&["status"]).unwrap().line();
    let words: Vec<&str> = line.split(' ').skip_while(|w| *w != "--socket").collect();
    let netctl = built_program("netctl", "NETCTL_BIN").unwrap();
    refused(&as_nobody(&a, &netctl, &words), 4, &[]);
    let socket = fs::metadata(words[1]).unwrap().permissions().mode() & 0o777;
    assert_eq!(socket & 0o007, 0, "mode {socket:o}");
}

#[test]
fn malformed_expired_and_foreign_invites_are_told_apart_and_leave_nothing() {
    let (mut lab, cn, mut a) = relay_and_node();
    a.start().unwrap();
    a.json(&["create-network", "home"]).unwrap();
    let token = a.invite().unwrap();
    let mut b = another(&mut lab, &cn, "b");
    b.start().unwrap();
    let clean = snapshot(&b.state_dir());

    refused(&b.join("hello").unwrap(), 7, &[]);
    let mut damaged = token.clone().into_bytes();
    let middle = damaged.len() / 2;
    damaged[middle] = if damaged[middle] == b'q' { b'p' } else { b'q' };
    refused(&b.join(&String::from_utf8(damaged).unwrap()).unwrap(), 7, &[]);
    refused(&b.join(&token[..token.len() - 20]).unwrap(), 7, &[]);
    refused(&b.join("").unwrap(), 7, &[]);
    assert_eq!(snapshot(&b.state_dir()), clean, "nothing half-done on disk");

    // Foreign: the network is not at the relay it names any more.
    let mut other = another(&mut lab, &cn, "other");
    other.start().unwrap();
    other.json(&["create-network", "gone"]).unwrap();
    let foreign = other.invite().unwrap();
    other.json(&["leave", "gone", "--force"]).unwrap();
    drop(other);
    let waited = b.netctl_cmd(&["join", "--wait", "3s"]).unwrap().input(foreign).finish().unwrap();
    assert!([8, 9].contains(&waited.code), "{} {}", waited.code, waited.stderr);
    assert_eq!(waited.stderr.trim().lines().count(), 1, "{}", waited.stderr);

    join_as(&b, &token, "b").unwrap();
    refused(&b.join(&token).unwrap(), 6, &[]);
}

#[test]
fn an_address_that_clashes_with_a_local_route_is_named_before_anything_is_made() {
    let (_lab, _cn, mut a) = relay_and_node();
    a.start().unwrap();
    a.host.ns.ip("route add 100.77.0.0/16 via 203.0.113.1").unwrap();
    let clean = snapshot(&a.state_dir());
    refused(&a.netctl(&["create-network", "home", "--prefix", "100.77.0.0/16"]).unwrap(), 6, &["100.77.0.0/16"]);
    assert_eq!(snapshot(&a.state_dir()), clean, "nothing half-done on disk");
    assert!(active(&a).is_err(), "no network was made");
    // Left to itself the daemon picks another prefix.
    a.json(&["create-network", "home"]).unwrap();
    assert_ne!(text_at(&active(&a).unwrap(), "/ipv4_prefix").unwrap(), "100.77.0.0/16");
    refused(&a.netctl(&["create-network", "home"]).unwrap(), 6, &["home"]);
    refused(&a.netctl(&["create-network", "Not A Name"]).unwrap(), 7, &[]);
}

/// An edge node that names its relay so, just started.
fn with_relay(lab: &mut Lab, host: &str, relay: String) -> Node {
    let host = lab.public_host(host, Family::Dual, WireSpec::default()).unwrap();
    let spec = NodeSpec { tier: "en", relays: vec![relay], extra: String::new() };
    Node::run(lab, &host, "x", &spec).unwrap()
}

#[test]
fn a_network_made_right_after_the_start_has_its_relay_by_name() {
    let (mut lab, cn, _) = relay_and_node();
    // A name to us, and an address to every resolver (inet_aton): no DNS server is needed.
    let [a, b, c, d] = cn.host.v4.unwrap().octets();
    let name = format!("{}@{a}.{b}.{}:{PORT}", cn.id().unwrap(), u32::from(c) << 8 | u32::from(d));
    let x = with_relay(&mut lab, "x", name);
    let made = x.json(&["create-network", "home"]).unwrap();
    assert_eq!(made["network"]["relays"], serde_json::json!([cn.relay_name().unwrap()]));
    assert_eq!(made["published"], true);
}

#[test]
fn a_network_whose_relays_have_no_address_is_not_made_and_one_line_says_what_to_do() {
    let (mut lab, cn, _) = relay_and_node();
    let x = with_relay(&mut lab, "x", format!("{}@no-such-relay.invalid:{PORT}", cn.id().unwrap()));
    let refusal = x.netctl(&["create-network", "home"]).unwrap();
    refused(&refusal, 9, &["no-such-relay.invalid", "nothing was created", "netctl create-network home --relay nf1"]);
    assert_eq!(x.json(&["networks"]).unwrap()["networks"], serde_json::json!([]));
    let by_address = x.json(&["create-network", "home", "--relay", &cn.relay_name().unwrap()]).unwrap();
    assert_eq!(by_address["published"], true, "a relay of the command line needs no name");
}
