//! `netctl` against a real node: one witness, blocks every second, the accounts every Ethereum tool knows.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests start the programs they test, and wait for them")]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Keys of the first two accounts of "test test .. junk"; the genesis of a local network gives them a million coins each.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const OTHER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const STRANGER: &str = "0x00000000000000000000000000000000000a11ce";

/// `netctl` beside the daemon: both are built by `cargo nextest run --workspace` and `cargo test --workspace`.
fn netctl_program() -> PathBuf {
    if let Some(path) = std::env::var_os("NETCTL_BIN") {
        return path.into();
    }
    let path = Path::new(env!("CARGO_BIN_EXE_netchaind")).with_file_name("netctl");
    assert!(path.exists(), "{} is missing; try: cargo build -p netctl, or NETCTL_BIN", path.display());
    path
}

struct Node {
    dir: tempfile::TempDir,
    child: Child,
    url: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port whose neighbours 100 and 200 above, which the preset uses too, are free as well.
fn free_port() -> u16 {
    for _ in 0..100 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if port < u16::MAX - 200 && free(port + 100) && free(port + 200) {
            return port;
        }
    }
    panic!("no free ports");
}

impl Node {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port().to_string();
        let daemon = || Command::new(env!("CARGO_BIN_EXE_netchaind"));
        let args = ["init-localnet", "--witnesses", "1", "--first-port", &port, "--block-ms", "1000"];
        assert!(daemon().arg("--dir").arg(dir.path()).args(args).output().unwrap().status.success());
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let node = dir.path().join("node0");
        let child = daemon().arg("--dir").arg(node).arg("run").stdout(Stdio::null()).stderr(log).spawn().unwrap();
        for (name, secret) in [("passphrase", "vapor ladder quench ribbon mosaic\n"), ("key", KEY)] {
            std::fs::write(dir.path().join(name), secret).unwrap();
            std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let node = Self { dir, child, url: format!("http://127.0.0.1:{port}") };
        let started = Instant::now();
        while node.ask(&["chain", "status"]).1["height"].as_u64().is_none_or(|height| height == 0) {
            assert!(started.elapsed() < Duration::from_secs(60), "no block: {}", node.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        node
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Exit code, last line of stdout as JSON, stderr.
    fn ask(&self, args: &[&str]) -> (i32, Value, String) {
        let mut command = Command::new(netctl_program());
        command.args(args).arg("--json").env("NETFLOW_RPC", &self.url).env("NETFLOW_KEYSTORE", self.path("keys"));
        let out = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let json = text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        (out.status.code().unwrap_or(-1), json, String::from_utf8_lossy(&out.stderr).into_owned())
    }

    /// The JSON of a command that must succeed.
    fn ok(&self, args: &[&str]) -> Value {
        let (code, json, stderr) = self.ask(args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}: {json}\n{}", self.log());
        json
    }

    fn send(&self, more: &[&str]) -> (i32, Value, String) {
        let passphrase = self.path("passphrase");
        let mut args = vec!["tx", "send", "--yes", "--passphrase-file", &passphrase];
        args.extend(more);
        self.ask(&args)
    }
}

#[test]
fn money_moves_by_netctl_on_a_real_chain() {
    let node = Node::start();
    let (key, passphrase) = (node.path("key"), node.path("passphrase"));
    let account = node.ok(&["wallet", "import", &key, "--light", "--passphrase-file", &passphrase]);
    assert_eq!(account["address"], ADDRESS);
    assert_eq!(node.ok(&["wallet", "balance"])["accounts"][0]["balance"], "1000000");

    let (code, sent, stderr) = node.send(&[STRANGER, "1.000000000000000001", "--chain-id", "31373"]);
    assert_eq!((code, sent["state"].as_str()), (0, Some("included")), "{sent} {stderr}");
    assert_eq!(node.ok(&["wallet", "balance", STRANGER])["accounts"][0]["balance"], "1.000000000000000001");
    // What left is the amount and the fee the receipt tells, to the last wei.
    let wei = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
    let left = wei(&node.ok(&["wallet", "balance"])["accounts"][0]["balance_wei"]);
    assert_eq!(left, 10_u128.pow(24) - 10_u128.pow(18) - 1 - wei(&sent["block"]["fee_wei"]));

    let hash = sent["hash"].as_str().unwrap();
    let shown = node.ok(&["tx", "show", hash]);
    assert_eq!((&shown["block"], &shown["from"]), (&sent["block"], &json!(ADDRESS)));
    assert_eq!(node.ok(&["tx", "wait", hash])["state"], "included");
    let number = sent["block"]["number"].to_string();
    let block = node.ok(&["block", &number]);
    assert_eq!((&block["hash"], &block["certificate"]["signers"]), (&sent["block"]["hash"], &json!(1)));
    assert_eq!(node.ok(&["block", block["hash"].as_str().unwrap()])["number"], sent["block"]["number"]);
    let followed = node.ok(&["block", "--follow", "--count", "3"]);
    assert!(followed["number"].as_u64() >= Some(sent["block"]["number"].as_u64().unwrap() + 2));

    // Without waiting, one after the other: each has its own number.
    let hashes: Vec<Value> = (0..3).map(|_| node.send(&[OTHER, "1", "--unit", "wei", "--no-wait"]).1).collect();
    let numbers: Vec<&Value> = hashes.iter().map(|it| &it["nonce"]).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(node.ok(&["tx", "wait", hashes[2]["hash"].as_str().unwrap()])["nonce"], 3);

    let status = node.ok(&["chain", "status"]);
    assert_eq!((&status["chain_id"], &status["witnesses"]), (&json!(31_373), &json!(1)));
}

#[test]
fn a_payment_the_chain_refuses_is_told_in_one_line() {
    let node = Node::start();
    let (key, passphrase) = (node.path("key"), node.path("passphrase"));
    node.ok(&["wallet", "import", &key, "--light", "--passphrase-file", &passphrase]);
    let refused = |more: &[&str], exit: i32, why: &str| {
        let (code, json, stderr) = node.send(more);
        assert_eq!((code, json["exit"].as_i64()), (exit, Some(exit.into())), "{more:?}: {stderr}");
        assert!(stderr.contains(why) && stderr.lines().count() == 1, "{more:?}: {stderr}");
    };
    refused(&[OTHER, "1000000"], 10, "not enough money");
    refused(&[OTHER, "1", "--chain-id", "1"], 10, "chain 31373");
    refused(&[OTHER, "1", "--gas-limit", "20999"], 10, "intrinsic gas too low");
    let (code, sent, _) = node.send(&[OTHER, "1"]);
    assert_eq!((code, &sent["nonce"]), (0, &json!(0)));
    refused(&[OTHER, "1", "--nonce", "0"], 10, "nonce");
    // A number that leaves a gap waits, and says so.
    let (code, json, stderr) = node.send(&[OTHER, "1", "--nonce", "3", "--wait", "2s"]);
    assert_eq!((code, json["code"].as_str()), (9, Some("timeout")), "{stderr}");
    // It is replaced by one that pays more, and not by one that pays the same.
    let replace =
        |amount: &str| node.send(&[OTHER, amount, "--nonce", "3", "--max-fee", "90", "--tip", "90", "--no-wait"]);
    assert_eq!(replace("2").0, 0);
    let (code, _, stderr) = replace("3");
    assert!(code == 10 && stderr.contains("underpriced"), "{stderr}");
}
