//! Every documented way to fail: the code, and one line that says what, why and what to do.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests start programs and fail loudly")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use common::{Home, NETFLOWD, Namespace};

fn one_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("netflowd: ")).collect::<Vec<_>>();
    assert_eq!(lines.len(), 1, "one line for people: {text:?}");
    (*lines.first().unwrap()).to_owned()
}

fn ends_with(home: &Home, command: &mut Command, code: i32, words: &[&str]) {
    let output = home.run_to_end(command);
    let line = one_line(&output);
    assert_eq!(output.status.code(), Some(code), "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
}

#[test]
fn checking_a_good_configuration_is_0_and_starts_nothing() {
    let home = Home::new("tier = \"cn\"\n");
    let output = home.run_to_end(Command::new(NETFLOWD).arg("--check-config"));
    assert_eq!(output.status.code(), Some(0));
    assert!(!home.state().exists() && !home.socket().exists());
}

#[test]
fn wrong_usage_is_2() {
    let output = Command::new(NETFLOWD).arg("--key=secret").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_wrong_configuration_key_is_3_and_leaves_nothing_on_disk() {
    let home = Home::new("stat_dir = \"/x\"\n");
    ends_with(&home, &mut Command::new(NETFLOWD), 3, &["netflow.toml:3:", "\"stat_dir\"", "\"state_dir\""]);
    assert!(!home.state().exists());
    std::fs::remove_file(home.config()).unwrap();
    ends_with(&home, &mut Command::new(NETFLOWD), 3, &["cannot read the configuration"]);
}

#[test]
fn not_root_is_4_and_leaves_nothing_on_disk() {
    common::require_root();
    let home = Home::new("");
    std::fs::set_permissions(home.config().parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Where nobody can reach the binary: the build directory may be closed to other users.
    let copy = home.config().with_file_name("netflowd");
    std::fs::copy(NETFLOWD, &copy).unwrap();
    ends_with(&home, Command::new(copy).uid(65_534).gid(65_534), 4, &["not root", "sudo"]);
    assert!(!home.state().exists());
}

#[test]
fn an_unreadable_key_file_is_5_and_is_kept() {
    let ns = Namespace::new("key");
    let home = Home::new("tier = \"cn\"\nlisten = \"127.0.0.1:0\"\n");
    assert_eq!(home.start(&mut ns.command(NETFLOWD)).stop(), 0);
    let key = home.state().join("identity.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    ends_with(&home, &mut ns.command(NETFLOWD), 5, &["identity.key", "0644"]);
    std::fs::write(&key, b"garbage").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    ends_with(&home, &mut ns.command(NETFLOWD), 5, &["identity.key"]);
    assert_eq!(std::fs::read(&key).unwrap(), b"garbage");
}

#[test]
fn a_port_or_state_directory_in_use_is_6() {
    let ns = Namespace::new("port");
    let home = Home::new("tier = \"cn\"\nlisten = \"127.0.0.1:4790\"\n");
    let first = home.start(&mut ns.command(NETFLOWD));
    ends_with(&home, &mut ns.command(NETFLOWD), 6, &["another netflowd uses this state directory"]);
    let other = Home::new("tier = \"cn\"\nlisten = \"127.0.0.1:4790\"\n");
    ends_with(&other, &mut ns.command(NETFLOWD), 6, &["UDP 127.0.0.1:4790", "in use"]);
    let third = Home::new("tier = \"cn\"\nlisten = \"192.0.2.7:4790\"\n");
    ends_with(&third, &mut ns.command(NETFLOWD), 6, &["192.0.2.7:4790"]);
    assert_eq!(first.stop(), 0);
}

#[test]
fn a_missing_tun_device_is_7_on_an_edge_node() {
    let ns = Namespace::new("tun");
    let home = Home::new("");
    let hide = format!("mount -t tmpfs none /dev/net && exec {NETFLOWD} \"$@\"");
    ends_with(&home, ns.command("unshare").args(["-m", "sh", "-c", &hide, "sh"]), 7, &["TUN", "/dev/net/tun"]);
    assert!(!home.state().exists());
}

#[test]
fn a_clean_stop_is_0_and_removes_the_socket() {
    let ns = Namespace::new("stop");
    let home = Home::new("tier = \"cn\"\nlisten = \"127.0.0.1:0\"\n");
    assert_eq!(home.start(&mut ns.command(NETFLOWD)).stop(), 0);
    assert!(!home.socket().exists());
}
