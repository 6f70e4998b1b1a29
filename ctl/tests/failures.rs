//! What goes wrong ends in one line on stderr and a documented exit code.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use common::{Daemon, Run, TOKEN, failing, netctl, run};
use netctl_api::{ErrorCode, MAX_LINE_BYTES};
use serde_json::json;

#[test]
fn every_error_of_the_daemon_has_its_exit_code_and_one_line() {
    use ErrorCode::*;
    let codes = [
        (Internal, 1),
        (BadRequest, 1),
        (UnknownMethod, 1),
        (UnsupportedApi, 1),
        (Permission, 4),
        (NotFound, 5),
        (Exists, 6),
        (Conflict, 6),
        (InvalidInput, 7),
        (InviteUsed, 8),
        (InviteExpired, 8),
        (InviteCancelled, 8),
        (InviteForeign, 8),
        (Invite, 8),
        (Timeout, 9),
        (Offline, 9),
        (Refused, 10),
        (NotAdmin, 10),
    ];
    for (code, exit) in codes {
        let run = failing(code).netctl(&["members", "--json"]);
        assert_eq!(run.code, exit, "{code:?}");
        assert_eq!(run.error_line(), "netctl: that did not work; the reason; try: netctl something");
        let json = run.json();
        assert_eq!((&json["schema"], &json["exit"]), (&json!("netctl.error/1"), &json!(exit)));
        assert_eq!(json["code"], serde_json::to_value(code).unwrap());
    }
}

#[test]
fn every_command_reports_the_daemons_error() {
    let daemon = failing(ErrorCode::NotAdmin);
    let commands: &[&[&str]] = &[
        &["up"],
        &["down"],
        &["status"],
        &["create-network", "x"],
        &["invite"],
        &["invites"],
        &["invite-cancel", "x"],
        &["join"],
        &["networks"],
        &["switch", "x"],
        &["leave", "x"],
        &["members"],
        &["revoke", "x"],
        &["tag", "x", "y"],
        &["rename", "x", "y"],
        &["admin", "add", "x"],
        &["admin", "remove", "x"],
        &["policy", "get"],
        &["peers"],
        &["ping", "x"],
        &["relay", "status"],
    ];
    for args in commands {
        let run = daemon.netctl_with(args, TOKEN.as_bytes());
        assert_eq!((run.code, run.stdout.as_str()), (10, ""), "{args:?}");
        run.error_line();
    }
}

#[test]
fn an_error_without_advice_still_names_a_next_step() {
    let daemon = Daemon::start(|request| {
        format!("{}\n", json!({"api": 1, "id": request["id"], "error": {"code": "brand_new", "message": "odd"}}))
            .into_bytes()
    });
    let run = daemon.netctl(&["up"]);
    assert_eq!(run.code, 1);
    assert_eq!(run.error_line(), "netctl: odd; try: netctl --help");
}

fn against_socket(socket: &std::path::Path, args: &[&str]) -> Run {
    let mut command = netctl();
    command.arg("--socket").arg(socket).args(args);
    run(command, b"")
}

#[test]
fn no_daemon_is_exit_3() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("sock");
    // Never there, and left behind by a daemon that was killed.
    for leave_behind in [false, true] {
        if leave_behind {
            drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        }
        let run = against_socket(&socket, &["status"]);
        assert_eq!(run.code, 3);
        assert!(run.error_line().contains("netflowd is not running"));
        assert!(run.error_line().contains("; try: sudo netflowd"));
    }
}

#[test]
fn a_user_without_permission_is_exit_4() {
    let daemon = Daemon::healthy();
    let program = daemon.dir.path().join("netctl");
    std::fs::copy(env!("CARGO_BIN_EXE_netctl"), &program).unwrap();
    let mode =
        |path: &std::path::Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(daemon.dir.path(), 0o755);
    mode(&program, 0o755);
    let root =
        std::fs::metadata(daemon.dir.path()).map(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0).unwrap();
    mode(&daemon.socket(), if root { 0o600 } else { 0o000 });
    #[allow(clippy::disallowed_methods, reason = "tests start the program they test")]
    let mut command = std::process::Command::new(&program);
    if root {
        // nobody, as on every Debian.
        command.uid(65_534).gid(65_534);
    }
    command.arg("--socket").arg(daemon.socket()).arg("status");
    let run = run(command, b"");
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.error_line().contains("not allowed") && run.error_line().contains("sudo"));
}

#[test]
fn a_daemon_that_hangs_is_exit_9_after_the_timeout() {
    // Silent from the start, and silent in the middle of a line.
    for start in ["", "{\"api\":1,\"id\":1,\"res"] {
        let daemon = Daemon::on_connection(move |mut stream, _| {
            stream.write_all(start.as_bytes()).unwrap();
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut std::io::sink()));
        });
        let run = daemon.netctl(&["status", "--timeout", "1"]);
        assert_eq!(run.code, 9);
        assert!(run.error_line().contains("did not answer in 1 s"));
    }
}

#[test]
fn answers_that_make_no_sense_are_one_line_each() {
    let ok = r#"{"api":1,"id":1,"result":{"networks":[]}}"#;
    let endless = "x".repeat(MAX_LINE_BYTES + 10);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("garbage", b"hello\n".to_vec(), "cannot be read"),
        ("not utf-8", b"\xff\xfe\n".to_vec(), "cannot be read"),
        ("an empty line", b"\n".to_vec(), "cannot be read"),
        ("no body", b"{\"api\":1,\"id\":1}\n".to_vec(), "cannot be read"),
        ("another id", ok.replace("\"id\":1", "\"id\":7").into_bytes(), "cannot be read"),
        ("another api", ok.replace("\"api\":1", "\"api\":2").into_bytes(), "version 2"),
        ("a wrong result", b"{\"api\":1,\"id\":1,\"result\":{\"networks\":7}}\n".to_vec(), "cannot be read"),
        ("an unexpected event", b"{\"api\":1,\"id\":1,\"event\":{}}\n".to_vec(), "cannot be read"),
        ("an endless line", endless.into_bytes(), "longer than"),
        ("half a line", b"{\"api\":1".to_vec(), "closed the connection"),
        ("nothing", Vec::new(), "closed the connection"),
        ("deep nesting", "[".repeat(100_000).into_bytes(), "cannot be read"),
    ];
    for (what, mut bytes, expected) in cases {
        if matches!(what, "another id" | "another api" | "deep nesting") {
            bytes.push(b'\n');
        }
        let daemon = Daemon::on_connection(move |mut stream, _| {
            let mut request = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut request);
            let _ = stream.write_all(&bytes);
        });
        let run = daemon.netctl(&["networks"]);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{what}");
        assert!(run.error_line().contains(expected), "{what}: {}", run.stderr);
        assert!(run.error_line().len() < 400, "{what}: the line quotes too much");
    }
}

#[test]
fn wrong_usage_is_exit_2_in_one_line() {
    let cases: &[&[&str]] = &[
        &["stauts"],
        &["status", "--frobnicate"],
        &["ping"],
        &["ping", "bob", "-c", "0"],
        &["invite", "--expires", "24"],
        &["invite", "--qr", "--no-qr"],
        &["tag", "bob"],
        &["tag", "bob", "web", "--clear"],
        &["completions", "cmd.exe"],
        &["leave"],
        &["status", "--timeout", "0"],
    ];
    for args in cases {
        let mut command = netctl();
        command.args(*args);
        let run = run(command, b"");
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{args:?}");
        assert!(run.error_line().contains("; try: netctl"), "{args:?}: {}", run.stderr);
    }
    let mut command = netctl();
    command.arg("frobnicate").arg("--json");
    assert_eq!(run(command, b"").json()["code"], "usage");
}

#[test]
fn help_and_version_are_not_failures() {
    for args in [&["--help"][..], &["ping", "--help"], &["--version"]] {
        let mut command = netctl();
        command.args(args);
        let run = run(command, b"");
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        assert!(run.stdout.contains("netctl"));
    }
    let mut command = netctl();
    command.arg("--help");
    assert!(run(command, b"").stdout.contains("10 refused"), "exit codes are part of the help");
}

#[test]
fn pitfall_29_a_token_in_argv_is_refused_and_never_sent_or_repeated() {
    let daemon = Daemon::healthy();
    let attempts: &[&[&str]] = &[
        &["join", TOKEN],
        &["join", "--file", "x", TOKEN],
        &["join", "not-even-a-token"],
        &["join", &format!("--token={TOKEN}")],
        &["join", "--token", TOKEN],
        &[TOKEN],
        &["status", "--json", TOKEN],
    ];
    for args in attempts {
        let run = daemon.netctl(args);
        assert_eq!(run.code, 2, "{args:?}");
        assert!(run.error_line().contains("a token on the command line is refused"), "{args:?}");
        assert!(run.error_line().contains("; try: netctl join"), "{args:?}");
        assert!(
            !run.stderr.contains("not-even") && !run.stderr.contains(TOKEN) && !run.stdout.contains(TOKEN),
            "{args:?}"
        );
    }
    assert!(daemon.seen().is_empty());
}

#[test]
fn pitfall_29_no_option_takes_a_passphrase_or_a_key() {
    for command_name in ["backup", "restore"] {
        for option in ["--passphrase", "--password", "--key"] {
            let mut command = netctl();
            command.args([command_name, "file", option, "hunter2-hunter2"]);
            let run = run(command, b"");
            assert_eq!(run.code, 2);
            assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
        }
    }
}
