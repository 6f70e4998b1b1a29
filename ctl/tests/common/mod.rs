//! A daemon for the tests: a thread on a unix socket in a temporary directory that answers as told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests start the program they test")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use netctl_api::*;
use serde_json::{Value, json};

pub struct Daemon {
    pub dir: tempfile::TempDir,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Daemon {
    /// A daemon that writes for each request what `answer` returns, then reads the next one.
    pub fn start(answer: impl Fn(&Value) -> Vec<u8> + Send + 'static) -> Self {
        Self::on_connection(move |stream, seen| {
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let Ok(line) = line else { return };
                let request: Value = serde_json::from_str(&line).unwrap();
                seen.lock().unwrap().push(request.clone());
                let mut stream = &stream;
                if stream.write_all(&answer(&request)).is_err() {
                    return;
                }
            }
        })
    }

    /// A daemon that answers every method with plausible results.
    pub fn healthy() -> Self {
        Self::start(|request| lines(&healthy_replies(request)))
    }

    /// A daemon that does `work` with each connection.
    pub fn on_connection(work: impl Fn(UnixStream, &Mutex<Vec<Value>>) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("sock")).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let for_thread = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                work(stream.unwrap(), &for_thread);
            }
        });
        Self { dir, seen }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    /// Requests so far.
    pub fn seen(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }

    /// Runs `netctl ARGS` against this daemon with `stdin`.
    pub fn netctl_with(&self, args: &[&str], stdin: &[u8]) -> Run {
        let mut command = netctl();
        command.arg("--socket").arg(self.socket()).args(args);
        run(command, stdin)
    }

    pub fn netctl(&self, args: &[&str]) -> Run {
        self.netctl_with(args, b"")
    }
}

/// The program under test in a clean environment.
pub fn netctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netctl"));
    command.env_remove(SOCKET_ENV).env_remove("NO_COLOR");
    command
}

pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The only line on stderr.
    pub fn error_line(&self) -> &str {
        let line =
            self.stderr.strip_suffix('\n').unwrap_or_else(|| panic!("no line on stderr; stdout {:?}", self.stdout));
        assert!(!line.contains('\n'), "more than one line: {line}");
        assert!(line.starts_with("netctl: "), "{line}");
        line
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "stdout {:?} stderr {:?}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }
}

pub fn run(mut command: Command, stdin: &[u8]) -> Run {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that never reads its stdin closes the pipe: no failure.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}

pub fn lines(replies: &[Reply]) -> Vec<u8> {
    replies.iter().flat_map(|reply| reply.to_line().into_bytes()).collect()
}

/// One error for every request.
pub fn failing(code: ErrorCode) -> Daemon {
    Daemon::start(move |request| {
        let error = ApiError::new(code, "that did not work; the reason").next("netctl something");
        lines(&[Reply::error(request["id"].as_u64().unwrap(), error)])
    })
}

pub const TOKEN: &str = "nfinvite1qpzry9x8gf2tvdw0s3jn54khce6mua7l";
pub const OWNER_KEY: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

pub fn network(name: &str) -> NetworkInfo {
    serde_json::from_value(json!({
        "id": "nfnet1qqqqqqqqqqqqqqqqqqqqqqqqq", "name": name, "active": true, "up": true, "role": "owner", "member_name": "alice",
        "ipv4": "100.77.0.1", "ipv6": "fd12:3456:789a::1", "ipv4_prefix": "100.77.0.0/16", "ipv6_prefix": "fd12:3456:789a::/48",
        "interface": "nf0", "members": 2, "relays": ["nf1qrelay@192.0.2.1:4790"]
    }))
    .unwrap()
}

pub fn member(name: &str, host: u8) -> MemberInfo {
    serde_json::from_value(json!({
        "node": format!("nf1q{name}qqqqqqqqqqqqqqqqqqqqqqqq"), "name": name, "ipv4": format!("100.77.0.{host}"),
        "ipv6": format!("fd12:3456:789a::{host}"), "tags": ["web", "db"], "role": "member", "this_node": host == 1,
        "connected": host < 3, "last_seen_s": 3
    }))
    .unwrap()
}

pub fn rule() -> PolicyRule {
    serde_json::from_value(
        json!({"action": "allow", "from": "*", "to": "tag:web", "proto": "tcp", "ports": ["443", "8000-8100"]}),
    )
    .unwrap()
}

fn relay_link() -> Value {
    json!({"node": "nf1qrelayqqqqqqqqqqqqqqqq", "tier": "cn", "address": "192.0.2.1:4790", "connected": true, "bound": true,
        "public_address": "198.51.100.7:61000", "rtt_ms": 12.34, "networks": ["home"]})
}

fn path(address: &str) -> Value {
    json!({"kind": "relay", "relay": "nf1qrelayqqqqqqqqqqqqqqqq", "address": address, "rtt_ms": 24.6, "reason": "lowest RTT of 2 relays"})
}

/// The replies to one request, by the types of the API, so that a change of the types changes the tests.
#[allow(clippy::too_many_lines, reason = "one arm for each method")]
pub fn healthy_replies(request: &Value) -> Vec<Reply> {
    let line = request.to_string();
    let request = match Request::parse(line.as_bytes()) {
        Ok(request) => request,
        Err(reply) => return vec![reply],
    };
    let id = request.id;
    fn typed<M: Method>(id: u64, value: Value) -> Reply {
        Reply::result::<M>(id, &serde_json::from_value(value).unwrap())
    }
    let home = serde_json::to_value(network("home")).unwrap();
    let home_id = home["id"].clone();
    let reply = match request.call {
        Call::Status(_) => typed::<StatusParams>(
            id,
            json!({"version": "0.1.0", "node": "nf1qalice", "tier": "en", "uptime_s": 4_000, "listen": "[::]:4790",
                "pq": "prefer", "networks": [home], "relays": [relay_link()], "relaying": true, "relay_addresses": ["nf1qalice@192.0.2.9:4790"]}),
        ),
        Call::Up(_) => typed::<UpParams>(id, json!({"network": home, "changed": true})),
        Call::Down(_) => typed::<DownParams>(id, json!({"network": home, "changed": false})),
        Call::NetworkCreate(p) => {
            typed::<NetworkCreateParams>(id, json!({"network": network(&p.name), "published": true}))
        }
        Call::NetworkInvite(p) => typed::<NetworkInviteParams>(
            id,
            json!({"network": "home", "network_id": home_id, "invite": "1f2e", "token": TOKEN, "expires_unix_s": 1_795_226_700u64, "tags": p.tags}),
        ),
        Call::NetworkInvites(_) => typed::<NetworkInvitesParams>(
            id,
            json!({"network": "home", "network_id": home_id, "invites": [
                {"invite": "nfinv1qxyzxyzxyzxyzxyzxyz", "issued_by": "owner", "expires_unix_s": 1_795_226_700u64, "state": "open"},
                {"invite": "nfinv1qabcabcabcabcabcabc", "issued_by": "alice", "expires_unix_s": 1_795_226_700u64, "state": "used",
                 "used_by": "bob", "tags": ["web"]}
            ]}),
        ),
        Call::NetworkInviteCancel(p) => {
            typed::<NetworkInviteCancelParams>(id, json!({"network": "home", "invite": p.invite}))
        }
        Call::NetworkJoin(_) => {
            let event =
                |stage, text: &str| Reply::event::<NetworkJoinParams>(id, &JoinEvent { stage, text: text.into() });
            return vec![
                event(JoinStage::Connecting, "asking relay nf1qrelay"),
                event(JoinStage::Waiting, "the issuer is offline"),
                typed::<NetworkJoinParams>(id, json!({"network": home, "elapsed_ms": 812})),
            ];
        }
        Call::NetworkList(_) => typed::<NetworkListParams>(id, json!({"networks": [home]})),
        Call::NetworkSwitch(p) => {
            typed::<NetworkSwitchParams>(id, json!({"network": network(&p.network), "previous": "home"}))
        }
        Call::NetworkLeave(p) => typed::<NetworkLeaveParams>(id, json!({"id": home_id, "name": p.network})),
        Call::NetworkExportOwner(_) => typed::<NetworkExportOwnerParams>(
            id,
            json!({"network": home_id, "name": "home", "owner_key": OWNER_KEY, "relays": ["nf1qrelay@192.0.2.1:4790"]}),
        ),
        Call::NetworkImportOwner(_) => typed::<NetworkImportOwnerParams>(id, json!({"network": home})),
        Call::MembersList(_) => typed::<MembersListParams>(
            id,
            json!({"network": "home", "network_id": home_id, "members": [member("alice", 1), member("bob", 2), member("carol", 3)], "revoked": ["nf1qeve"]}),
        ),
        Call::MembersRevoke(p) => {
            typed::<MembersRevokeParams>(id, json!({"network": "home", "node": "nf1qbob", "name": p.member, "told": 3}))
        }
        Call::MembersTag(p) => {
            let changed = MemberInfo { tags: p.tags, ..member("bob", 2) };
            typed::<MembersTagParams>(id, json!({"network": "home", "member": changed}))
        }
        Call::MembersRename(p) => {
            typed::<MembersRenameParams>(id, json!({"network": "home", "member": member(&p.name, 2)}))
        }
        Call::AdminsAdd(_) => typed::<AdminsAddParams>(id, json!({"network": "home", "member": member("bob", 2)})),
        Call::AdminsRemove(_) => {
            typed::<AdminsRemoveParams>(id, json!({"network": "home", "member": member("bob", 2)}))
        }
        Call::PolicyGet(_) => {
            typed::<PolicyGetParams>(id, json!({"network": "home", "network_id": home_id, "rules": [rule()]}))
        }
        Call::PolicySet(p) => {
            typed::<PolicySetParams>(id, json!({"network": "home", "network_id": home_id, "rules": p.rules}))
        }
        Call::Peers(_) => typed::<PeersParams>(
            id,
            json!({"network": "home", "network_id": home_id, "peers": [
                {"node": "nf1qbob", "name": "bob", "ipv4": "100.77.0.2", "ipv6": "fd12:3456:789a::2",
                 "session": {"suite": "ChaCha20-Poly1305", "hybrid_pq": true, "age_s": 30, "rx_bytes": 1_048_576, "tx_bytes": 2_000, "last_rx_s": 1},
                 "path": path("192.0.2.1:4790"), "other_paths": [path("192.0.2.2:4790")]},
                {"node": "nf1qcarol", "name": "carol", "ipv6": "fd12:3456:789a::3",
                 "session": {"suite": "AES-256-GCM", "hybrid_pq": false, "age_s": 30, "rx_bytes": 0, "tx_bytes": 0}},
                {"node": "nf1qdave", "name": "dave", "ipv6": "fd12:3456:789a::4", "problem": "offline at every relay"}
            ]}),
        ),
        Call::Ping(p) => {
            let event = |seq, rtt_us| {
                Reply::event::<PingParams>(
                    id,
                    &PingEvent { seq, rtt_us, path: Some("relay nf1qrelay".into()), path_kind: Some(PathKind::Relay) },
                )
            };
            let mut replies: Vec<Reply> = (1..p.count).map(|seq| event(seq, Some(24_600))).collect();
            replies.push(event(p.count, None));
            replies.push(typed::<PingParams>(
                id,
                json!({"node": "nf1qbob", "name": "bob", "ipv4": "100.77.0.2", "sent": p.count, "received": p.count - 1,
                    "min_us": 24_600, "avg_us": 24_600, "max_us": 24_600}),
            ));
            return replies;
        }
        Call::Doctor(_) => typed::<DoctorParams>(
            id,
            json!({"checks": [{"name": "tun device", "state": "ok", "text": "/dev/net/tun"},
                {"name": "nft", "state": "warn", "text": "old kernel", "next": "apt upgrade"}]}),
        ),
        Call::Path(_) => typed::<PathParams>(
            id,
            json!({"node": "nf1qbob", "name": "bob", "paths": [
                {"kind": "direct", "address": "198.51.100.9:61000", "state": "primary", "classes": ["interactive", "bulk"],
                 "rtt_ms": 12.3, "rtt_var_ms": 0.4, "loss_pct": 0.2, "goodput_bps": 94_000_000u64, "mtu_bytes": 1492},
                {"kind": "relay", "hops": ["nf1qrelayqqqqqqqqqqqqqqqq", "nf1qotherqqqqqqqqqqqqqqqq"], "address": "192.0.2.1:4790",
                 "state": "warm", "classes": ["cheap"], "rtt_ms": 24.6},
                {"kind": "relay", "hops": ["nf1qotherqqqqqqqqqqqqqqqq"], "state": "levitating"}],
                "choices": [{"class": "interactive", "path": 0, "reason": "12.3 ms less than the next"}, {"class": "cheap", "reason": "no price known"}]}),
        ),
        Call::Trace(_) => typed::<TraceParams>(
            id,
            json!({"node": "nf1qbob", "name": "bob", "kind": "relay", "reason": "lowest RTT of 2 relays", "hops": [
                {"node": "nf1qrelayqqqqqqqqqqqqqqqq", "relay": true, "address": "192.0.2.1:4790", "rtt_ms": 12.3},
                {"node": "nf1qbob", "name": "bob", "relay": false, "rtt_ms": 24.6}]}),
        ),
        Call::Netcheck(_) => typed::<NetcheckParams>(
            id,
            json!({"udp": true, "ipv4": {"udp": true, "public_address": "198.51.100.7:61000"}, "ipv6": {"udp": false},
                "mapping": "endpoint_independent", "filtering": "address_and_port_dependent", "hairpin": false,
                "port_mapping": {"protocol": "nat_pmp", "external": "198.51.100.7:4790", "lifetime_s": 7200}, "mtu_bytes": 1492,
                "clock_skew_ms": -12, "age_s": 40, "verdict": "direct paths to most members are possible", "relays": [
                    {"node": "nf1qrelayqqqqqqqqqqqqqqqq", "address": "192.0.2.1:4790", "rtt_ms": 12.34, "carrier": "quic", "public_address": "198.51.100.7:61000"},
                    {"node": "nf1qotherqqqqqqqqqqqqqqqq", "problem": "no answer"}]}),
        ),
        Call::RelayStatus(_) => typed::<RelayStatusParams>(
            id,
            json!({"relays": [relay_link()], "server": {"public_addresses": ["192.0.2.1:4790"], "links": 3, "bindings": 3, "circuits": 2,
                "networks": [{"network": "nfnet1qqqqqqqqqqqqqqqq", "attached": 2, "circuits": 1, "rx_bytes": 5_000, "tx_bytes": 5_000,
                    "used_bytes_day": 10_000, "quota_bytes_day": 1_000_000_000u64, "rate_bps": 50_000_000u64}]}}),
        ),
        Call::Version(_) => {
            typed::<VersionParams>(id, json!({"software": "netflowd", "version": "0.1.0", "api": [1], "tier": "en"}))
        }
    };
    vec![reply]
}

/// A file of mode 0600.
pub fn secret_file(dir: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}
