//! Each command against a daemon that answers well: what is sent, what is printed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Daemon, TOKEN, run, secret_file};
use netctl_api::ErrorCode;
use serde_json::{Value, json};

/// Every command that needs no file, with the method it calls last.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["status"], "status"),
    (&["up"], "up"),
    (&["down"], "down"),
    (&["create-network", "home"], "network.create"),
    (&["invite"], "network.invite"),
    (&["invites"], "network.invites"),
    (&["invite-cancel", "nfinv1qabc"], "network.invite_cancel"),
    (&["networks"], "network.list"),
    (&["switch", "work"], "network.switch"),
    (&["leave", "work"], "network.leave"),
    (&["members"], "members.list"),
    (&["revoke", "bob"], "members.revoke"),
    (&["tag", "bob", "web"], "members.tag"),
    (&["rename", "bob", "bert"], "members.rename"),
    (&["admin", "add", "bob"], "admins.add"),
    (&["admin", "remove", "bob"], "admins.remove"),
    (&["policy", "get"], "policy.get"),
    (&["peers"], "peers"),
    (&["path", "bob"], "path"),
    (&["trace", "bob"], "trace"),
    (&["netcheck"], "netcheck"),
    (&["relay", "status"], "relay.status"),
    (&["doctor"], "doctor"),
    (&["version"], "version"),
];

#[test]
fn every_command_prints_text_and_exits_0() {
    let daemon = Daemon::healthy();
    for (args, method) in COMMANDS {
        let run = daemon.netctl(args);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
        assert!(!run.stdout.trim().is_empty(), "{args:?}");
        assert!(!run.stdout.contains('\u{1b}'), "{args:?} colours a pipe");
        assert_eq!(daemon.seen().last().unwrap()["method"], *method);
    }
}

#[test]
fn every_command_prints_one_json_object_with_its_schema() {
    let daemon = Daemon::healthy();
    for (args, method) in COMMANDS {
        let mut with_json = args.to_vec();
        with_json.push("--json");
        let run = daemon.netctl(&with_json);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
        let words: Vec<&str> =
            if matches!(args[0], "admin" | "policy" | "relay") { args[..2].to_vec() } else { vec![args[0]] };
        assert_eq!(run.json()["schema"], format!("netctl.{}/1", words.join("-")), "{method}");
        assert!(run.stdout.starts_with("{\"schema\":"), "schema comes first: {}", run.stdout);
    }
}

#[test]
fn status_of_a_relay_prints_what_others_put_into_their_configuration() {
    let run = Daemon::healthy().netctl(&["status"]);
    assert!(run.stdout.lines().any(|line| line == "relay at nf1qalice@192.0.2.9:4790"), "{}", run.stdout);
}

#[test]
fn the_network_option_reaches_every_method_that_takes_one() {
    let daemon = Daemon::healthy();
    let without = [
        "status",
        "network.create",
        "network.list",
        "network.switch",
        "network.leave",
        "relay.status",
        "netcheck",
        "doctor",
        "version",
    ];
    for (args, method) in COMMANDS.iter().filter(|(_, method)| !without.contains(method)) {
        daemon.netctl(&[&["-n", "work"], *args].concat());
        assert_eq!(daemon.seen().last().unwrap()["params"]["network"], "work", "{method}");
    }
}

#[test]
fn the_socket_comes_from_the_option_then_from_the_environment() {
    let (daemon, other) = (Daemon::healthy(), Daemon::healthy());
    let mut command = common::netctl();
    command.env("NETFLOW_SOCKET", daemon.socket()).arg("status");
    assert_eq!(run(command, b"").code, 0);
    let mut command = common::netctl();
    command.env("NETFLOW_SOCKET", daemon.socket()).args(["status", "--socket"]).arg(other.socket());
    assert_eq!(run(command, b"").code, 0);
    assert_eq!((daemon.seen().len(), other.seen().len()), (1, 1));
}

#[test]
fn join_takes_the_token_from_stdin_or_a_file_and_trims_it() {
    let daemon = Daemon::healthy();
    let file = secret_file(daemon.dir.path(), "token", &format!("{TOKEN}\n"));
    let file = file.to_str().unwrap();
    let cases: &[(&[&str], String)] = &[
        (&["join"], format!("  {TOKEN}\n")),
        (&["join", "--file", "-"], TOKEN.to_owned()),
        (&["join", "-"], TOKEN.to_owned()),
        (&["join", "--file", file], String::new()),
    ];
    for (args, stdin) in cases {
        let run = daemon.netctl_with(args, stdin.as_bytes());
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
        assert!(run.stdout.starts_with("joined home in 812 ms\n"), "{}", run.stdout);
        assert_eq!(daemon.seen().last().unwrap()["params"]["token"], TOKEN);
    }
    let run = daemon.netctl_with(&["join", "--json", "--as", "laptop", "--wait", "5m"], TOKEN.as_bytes());
    assert_eq!(run.json()["schema"], "netctl.join/1");
    let params = daemon.seen().last().unwrap()["params"].clone();
    assert_eq!((&params["member_name"], &params["wait_s"]), (&json!("laptop"), &json!(300)));
}

#[test]
fn join_without_a_token_asks_nothing_of_the_daemon() {
    let daemon = Daemon::healthy();
    let run = daemon.netctl_with(&["join"], b" \n");
    assert_eq!(run.code, 7);
    assert!(run.error_line().contains("no token"));
    assert_eq!(daemon.netctl(&["join", "--file", "/nonexistent"]).code, 5);
    assert!(daemon.seen().is_empty());
}

#[test]
fn an_invite_in_a_pipe_is_the_token_alone() {
    let daemon = Daemon::healthy();
    let run = daemon.netctl(&["invite", "--tag", "web", "--expires", "2h"]);
    assert_eq!(run.stdout, format!("{TOKEN}\n"));
    let params = daemon.seen()[0]["params"].clone();
    assert_eq!((&params["tags"], &params["expires_s"]), (&json!(["web"]), &json!(7_200)));
    let run = daemon.netctl(&["invite", "--qr"]);
    assert!(run.stdout.contains('█') && run.stdout.starts_with(TOKEN), "{}", run.stdout);
}

#[test]
fn pitfall_29_an_invite_file_is_private_and_the_token_is_not_shown() {
    let daemon = Daemon::healthy();
    let path = daemon.dir.path().join("invite");
    for (index, json) in [&[][..], &["--json"]].iter().enumerate() {
        let path = path.with_extension(index.to_string());
        let run = daemon.netctl(&[&["invite", "-o", path.to_str().unwrap()], *json].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(!run.stdout.contains(TOKEN) && !run.stderr.contains(TOKEN));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{TOKEN}\n"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    let asked = daemon.seen().len();
    let run = daemon.netctl(&["invite", "-o", path.with_extension("0").to_str().unwrap()]);
    assert_eq!(run.code, 6);
    run.error_line();
    assert_eq!(daemon.seen().len(), asked, "no invite is made when its file cannot be written");
}

#[test]
fn invites_tell_what_became_of_them_and_are_cancelled_by_the_id_shown() {
    let daemon = Daemon::healthy();
    let shown = daemon.netctl(&["invites"]).stdout;
    assert!(shown.lines().any(|line| line.contains("used by bob") && line.contains("web")), "{shown}");
    assert!(shown.lines().any(|line| line.contains("open") && line.contains("owner")), "{shown}");
    let id = shown.lines().find(|line| line.contains("open")).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(daemon.netctl(&["invite-cancel", &id]).code, 0);
    let sent = daemon.seen().last().unwrap()["params"]["invite"].as_str().unwrap().to_owned();
    assert!("nfinv1qxyzxyzxyzxyzxyzxyz".starts_with(&sent) && sent.len() > 10, "{sent}");
}

#[test]
fn revoked_nodes_are_a_note_and_with_all_a_list() {
    let daemon = Daemon::healthy();
    let note = daemon.netctl(&["members"]).stdout;
    assert!(note.contains("1 node is revoked; see: netctl members --all") && !note.contains("nf1qeve"), "{note}");
    assert!(daemon.netctl(&["members", "--all"]).stdout.lines().any(|line| line == "revoked: nf1qeve"));
}

#[test]
fn tags_can_be_set_added_removed_and_cleared() {
    let daemon = Daemon::healthy();
    let cases: &[(&[&str], Value)] = &[
        (&["a", "b"], json!(["a", "b"])),
        (&["--add", "x", "--remove", "web"], json!(["db", "x"])),
        (&["--add", "web"], json!(["web", "db"])),
        (&["--clear"], json!([])),
    ];
    for (args, tags) in cases {
        let run = daemon.netctl(&[&["tag", "100.77.0.2"], *args].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(&daemon.seen().last().unwrap()["params"]["tags"], tags);
    }
    assert_eq!(daemon.netctl(&["tag", "nobody", "--add", "x"]).code, 5);
}

#[test]
fn a_policy_that_was_read_can_be_set_again() {
    let daemon = Daemon::healthy();
    let got = daemon.netctl(&["policy", "get", "--json"]);
    let run = daemon.netctl_with(&["policy", "set", "-", "--json"], got.stdout.as_bytes());
    assert_eq!((run.code, &run.json()["schema"]), (0, &json!("netctl.policy-set/1")));
    assert_eq!(run.json()["rules"], got.json()["rules"]);
    for bad in [
        "",
        "{}",
        r#"{"rules":[{"action":"allow","from":"*","to":"*","port":["1"]}]}"#,
        r#"{"schema":"x/1","rules":[]}"#,
    ] {
        let run = daemon.netctl_with(&["policy", "set", "-"], bad.as_bytes());
        assert_eq!(run.code, 7, "{bad}");
        run.error_line();
    }
}

#[test]
fn ping_prints_one_line_per_probe() {
    let daemon = Daemon::healthy();
    let run = daemon.netctl(&["ping", "bob", "-c", "3"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "bob: seq=1 time=24.6 ms via relay nf1qrelay");
    assert_eq!(lines[2], "bob: seq=3 lost via relay nf1qrelay");
    assert_eq!(lines[3], "bob (100.77.0.2): 3 sent, 2 received, min/avg/max 24.6 ms / 24.6 ms / 24.6 ms");
    let run = daemon.netctl(&["ping", "bob", "-c", "2", "--json"]);
    let schemas: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["schema"].clone()).collect();
    assert_eq!(schemas, ["netctl.ping/1", "netctl.ping/1", "netctl.ping-summary/1"]);
}

/// A daemon whose `direct_from`-th probe, and every later one, is answered over a direct path.
fn becomes_direct(direct_from: u64) -> Daemon {
    let probes = AtomicU64::new(0);
    Daemon::start(move |request| {
        let number = probes.fetch_add(1, Ordering::Relaxed) + 1;
        let id = request["id"].clone();
        if number == 2 {
            let error = json!({"code": "timeout", "message": "no answer from bob to 1 probes; lost"});
            return format!("{}\n", json!({"api": 1, "id": id, "error": error})).into_bytes();
        }
        let direct = number >= direct_from;
        let (path, kind) = if direct { ("direct 198.51.100.9:61000", "direct") } else { ("relay nf1qrelay", "relay") };
        let event = json!({"seq": 1, "rtt_us": 8_000, "path": path, "path_kind": kind});
        let result = json!({"node": "nf1qbob", "name": "bob", "sent": 1, "received": 1});
        let line = |body: &str, value: &Value| format!("{}\n", json!({"api": 1, "id": id, body: value}));
        (line("event", &event) + &line("result", &result)).into_bytes()
    })
}

#[test]
fn ping_until_direct_stops_at_the_first_direct_answer() {
    let daemon = becomes_direct(4);
    let run = daemon.netctl(&["ping", "bob", "--until-direct", "-i", "10"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "bob: seq=1 time=8.0 ms via relay nf1qrelay");
    assert_eq!(
        lines[2], "bob: seq=4 time=8.0 ms via direct 198.51.100.9:61000",
        "the second probe was lost: {lines:?}"
    );
    assert!(lines[3].starts_with("bob: direct 198.51.100.9:61000 after "), "{lines:?}");
    assert_eq!(daemon.seen().len(), 4);
}

#[test]
fn ping_until_direct_exits_9_when_the_path_stays_relayed() {
    let run = becomes_direct(100).netctl(&["ping", "bob", "--until-direct", "-i", "10", "-c", "5"]);
    assert_eq!(run.code, 9);
    assert!(
        run.error_line().contains("no direct path to bob after 5 probes; still via relay nf1qrelay"),
        "{}",
        run.stderr
    );
    // Anything but a lost probe ends it at once.
    assert_eq!(common::failing(ErrorCode::NotFound).netctl(&["ping", "bob", "--until-direct"]).code, 5);
}

#[test]
fn path_shows_hops_quality_and_the_reason_of_each_class() {
    let run = Daemon::healthy().netctl(&["path", "bob"]);
    let row = |start: &str| run.stdout.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    for part in
        ["primary", "direct 198.51.100.9:61000", "12.3 ms +- 0.4 ms", "0.2 %", "94 Mbit/s", "1492", "interactive, bulk"]
    {
        assert!(row("1 ").contains(part), "{part}: {}", row("1 "));
    }
    assert!(row("2 ").contains("relay nf1qrelayqqqqq.. > nf1qotherqqqqq.. 192.0.2.1:4790"), "{}", row("2 "));
    assert!(row("3 ").contains("unknown"), "a state of a newer daemon: {}", row("3 "));
    assert!(row("interactive").contains("12.3 ms less than the next"));
}

#[test]
fn netcheck_shows_every_finding_and_every_relay() {
    let run = Daemon::healthy().netctl(&["netcheck"]);
    let row = |start: &str| run.stdout.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
    assert!(row("mapping").contains("endpoint-independent"));
    assert!(row("filtering").contains("address- and port-dependent"));
    assert!(row("port mapping").contains("198.51.100.7:4790, by NAT-PMP, for 2 h"));
    assert!(row("clock skew").contains("-12 ms"));
    assert!(row("IPv6").ends_with("no"));
    assert!(row("nf1qrelay").contains("QUIC"));
    assert!(row("nf1qother").contains("no answer"));
}

#[test]
fn pitfall_23_peers_show_what_is_really_in_use() {
    let daemon = Daemon::healthy();
    let run = daemon.netctl(&["peers"]);
    let row = |name: &str| run.stdout.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(row("bob").contains("hybrid (X25519+ML-KEM-768)") && row("bob").contains("1.0 MiB"));
    assert!(row("bob").contains("lowest RTT of 2 relays"));
    assert!(row("carol").contains("classical (X25519)"));
    assert!(row("dave").contains("no session") && row("dave").contains("offline at every relay"));
}

#[test]
fn doctor_fails_when_a_check_fails() {
    let daemon = Daemon::start(|request| {
        let checks = json!([{"name": "relay", "state": "fail", "text": "unreachable", "next": "open UDP 4790"}]);
        format!("{}\n", json!({"api": 1, "id": request["id"], "result": {"checks": checks}})).into_bytes()
    });
    let run = daemon.netctl(&["doctor"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("FAIL") && run.stdout.contains("open UDP 4790"));
    let mut command = common::netctl();
    command.args(["doctor", "--json", "--socket", "/nonexistent/sock"]);
    let run = common::run(command, b"");
    assert_eq!(run.code, 3);
    assert_eq!(run.json()["checks"][0]["state"], "fail");
}

#[test]
fn completions_exist_for_the_usual_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let mut command = common::netctl();
        command.args(["completions", shell]);
        let run = common::run(command, b"");
        assert_eq!(run.code, 0);
        assert!(run.stdout.contains("create-network"), "{shell}");
    }
}

#[test]
fn names_from_other_members_cannot_drive_the_terminal() {
    let daemon = Daemon::start(|request| {
        let mut reply = json!({"api": 1, "id": request["id"], "result": {"network": "home", "network_id": "nfnet1q", "members": []}});
        let mut member = serde_json::to_value(common::member("bob", 2)).unwrap();
        member["name"] = json!("bob\u{1b}]0;pwned\u{7}\nroot");
        reply["result"]["members"] = json!([member]);
        format!("{reply}\n").into_bytes()
    });
    let run = daemon.netctl(&["members"]);
    assert!(!run.stdout.contains('\u{1b}') && !run.stdout.contains('\u{7}'));
    assert_eq!(run.stdout.lines().count(), 2, "{}", run.stdout);
}
