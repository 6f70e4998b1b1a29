//! `netctl wallet`, `tx`, `block` and `chain` against a node that answers as told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_primitives::{Bytes, keccak256};
use alloy_rlp::Decodable;
use common::{Run, netctl, run, secret_file};
use serde_json::{Value, json};

const PASSPHRASE: &str = "vapor ladder quench ribbon mosaic";
/// First account of the mnemonic "test test .. junk", which every Ethereum tool knows.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const OTHER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// Longest request this node reads.
const MAX_REQUEST_BYTES: usize = 1 << 20;

type Answers = dyn Fn(&str, &Value) -> Value + Send + Sync;

/// A node: answers of methods by a function, and what was asked.
struct Node {
    url: String,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Node {
    /// `{"error": ..}` is sent as an error, everything else as the result.
    fn start(answer: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (for_thread, answer): (_, Arc<Answers>) = (Arc::clone(&seen), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (Arc::clone(&for_thread), Arc::clone(&answer));
                std::thread::spawn(move || serve(&stream.unwrap(), &seen, &*answer));
            }
        });
        Self { url, seen }
    }

    /// A healthy node whose sender has `balance` wei; sent transactions are in block 8 at once when `mines`.
    fn healthy(balance: u128, mines: bool) -> Self {
        let sent: Mutex<Option<TxEnvelope>> = Mutex::new(None);
        Self::start(move |method, params| {
            if method == "eth_sendRawTransaction" {
                let raw: Bytes = params[0].as_str().unwrap().parse().unwrap();
                let tx = TxEnvelope::decode(&mut alloy_rlp::encode(&raw).as_slice()).unwrap();
                let hash = *tx.tx_hash();
                *sent.lock().unwrap() = Some(tx);
                return json!(hash);
            }
            match (method, &*sent.lock().unwrap()) {
                ("eth_getTransactionReceipt", Some(tx)) if mines => json!({
                    "transactionHash": tx.tx_hash(), "status": "0x1", "blockNumber": "0x8", "blockHash": format!("0x{:064x}", 8),
                    "transactionIndex": "0x0", "gasUsed": "0x5208", "effectiveGasPrice": "0x3b9aca01", "contractAddress": null
                }),
                ("eth_getTransactionByHash", Some(tx)) => json!({
                    "hash": tx.tx_hash(), "from": tx.recover_signer().unwrap(), "to": tx.to(), "value": tx.value(),
                    "nonce": format!("{:#x}", tx.nonce()), "gas": format!("{:#x}", tx.gas_limit()), "input": tx.input(),
                    "maxFeePerGas": format!("{:#x}", tx.max_fee_per_gas()), "maxPriorityFeePerGas": "0x1"
                }),
                _ => healthy(method, params, balance),
            }
        })
    }

    fn methods(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|it| it["method"].as_str().unwrap().to_owned()).collect()
    }

    /// The transaction that was sent.
    fn sent(&self) -> TxEnvelope {
        let seen = self.seen.lock().unwrap();
        let raw =
            &seen.iter().find(|it| it["method"] == "eth_sendRawTransaction").expect("something was sent")["params"][0];
        let raw: Bytes = raw.as_str().unwrap().parse().unwrap();
        TxEnvelope::decode(&mut alloy_rlp::encode(&raw).as_slice()).unwrap()
    }
}

fn serve(stream: &TcpStream, seen: &Mutex<Vec<Value>>, answer: &Answers) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((_, value)) =
                line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        assert!(length <= MAX_REQUEST_BYTES && reader.read_exact(&mut body).is_ok());
        let request: Value = serde_json::from_slice(&body).unwrap();
        seen.lock().unwrap().push(request.clone());
        let mut reply = json!({ "jsonrpc": "2.0", "id": request["id"] });
        let result = answer(request["method"].as_str().unwrap(), &request["params"]);
        match result.get("error") {
            Some(error) => reply["error"] = error.clone(),
            None => reply["result"] = result,
        }
        let text = reply.to_string();
        let mut stream = stream;
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", text.len());
        if stream.write_all((head + &text).as_bytes()).is_err() {
            return;
        }
    }
}

fn healthy(method: &str, params: &Value, balance: u128) -> Value {
    match method {
        "eth_chainId" => json!("0x7a8d"),
        "net_version" => json!("31373"),
        "eth_blockNumber" => json!("0x7"),
        "eth_getBalance" => json!(format!("{balance:#x}")),
        "eth_getTransactionCount" => json!("0x3"),
        "eth_maxPriorityFeePerGas" => json!("0x1"),
        "eth_estimateGas" => json!("0x5208"),
        "eth_syncing" => json!(false),
        "net_peerCount" => json!("0x3"),
        "web3_clientVersion" => json!("netchaind/v0.1.0/rust"),
        "nfc_witnesses" => json!([{}, {}, {}, {}]),
        "txpool_status" => json!({ "pending": "0x2", "queued": "0x1" }),
        "eth_getBlockByNumber" if params[0] == "0xff" => Value::Null,
        "eth_getBlockByNumber" => block(if params[0] == "0x0" { 0 } else { 7 }),
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" | "eth_getBlockByHash" | "nfc_getCertificate" => {
            Value::Null
        }
        _ => json!({ "error": { "code": -32601, "message": "Method not found" } }),
    }
}

fn block(number: u64) -> Value {
    let word = |byte: &str| format!("0x{}", byte.repeat(32));
    json!({
        "number": format!("{number:#x}"), "hash": word("11"), "parentHash": word("22"), "timestamp": "0x6b000000", "miner": OTHER,
        "gasUsed": "0x5208", "gasLimit": "0x3938700", "baseFeePerGas": "0x3b9aca00", "stateRoot": word("33"), "size": "0x400",
        "transactions": [word("44")]
    })
}

/// A folder with passphrase, keystore and the key of [`ADDRESS`].
struct Home {
    dir: tempfile::TempDir,
    passphrase: String,
}

impl Home {
    fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let passphrase = secret_file(dir.path(), "passphrase", &format!("{PASSPHRASE}\n")).to_str().unwrap().to_owned();
        Self { dir, passphrase }
    }

    fn with_account() -> Self {
        let home = Self::empty();
        let run =
            home.netctl(&["wallet", "import", "-", "--light", "--passphrase-file", &home.passphrase], KEY.as_bytes());
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        home
    }

    fn keystore(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn netctl(&self, args: &[&str], stdin: &[u8]) -> Run {
        let mut command = netctl();
        command.env("NETFLOW_KEYSTORE", self.keystore()).env_remove("NETFLOW_RPC").args(args);
        run(command, stdin)
    }

    fn send(&self, node: &Node, more: &[&str]) -> Run {
        let mut args = vec!["tx", "send", "--rpc", &node.url, "--passphrase-file", &self.passphrase];
        args.extend(more);
        self.netctl(&args, b"")
    }

    fn files(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.keystore()).map_or_else(|_| Vec::new(), |dir| dir.map(|it| it.unwrap().path()).collect())
    }
}

#[test]
fn a_new_account_is_sealed_in_a_private_file_and_listed() {
    let home = Home::empty();
    let run = home.netctl(&["wallet", "new", "--light", "--json", "--passphrase-file", &home.passphrase], b"");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let made = run.json();
    assert_eq!(made["schema"], "netctl.wallet-new/1");
    let [file] = home.files().try_into().unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(made["file"], file.to_str().unwrap());
    let list = home.netctl(&["wallet", "list", "--json"], b"").json();
    assert_eq!(list["accounts"][0]["address"], made["address"]);
    let show = home.netctl(&["wallet", "show", "--json"], b"").json();
    assert_eq!((&show["address"], &show["kdf"]), (&made["address"], &json!("scrypt n=4096 r=8 p=6")));
    // A second one, and nobody knows which is meant.
    assert_eq!(home.netctl(&["wallet", "new", "--light", "--passphrase-file", &home.passphrase], b"").code, 0);
    assert_eq!(home.netctl(&["wallet", "show"], b"").code, 7);
    assert_eq!(home.netctl(&["wallet", "show", made["address"].as_str().unwrap()], b"").code, 0);
}

#[test]
fn a_key_goes_out_and_comes_back_the_same() {
    let home = Home::with_account();
    let path = |name: &str| home.dir.path().join(name).to_str().unwrap().to_owned();
    let bare = path("bare");
    let args = ["wallet", "export", "-o", &bare, "--private-key", "--passphrase-file", &home.passphrase];
    let run = home.netctl(&args, b"");
    assert_eq!((run.code, run.stdout.contains(&KEY[2..])), (0, false), "the key is in the file alone");
    assert_eq!(std::fs::read_to_string(&bare).unwrap(), format!("{KEY}\n"));
    assert_eq!(std::fs::metadata(&bare).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(home.netctl(&args, b"").code, 6, "an existing file is never overwritten");
    let sealed = path("sealed.json");
    assert_eq!(home.netctl(&["wallet", "export", "--output", &sealed, "0xf39F"], b"").code, 0);
    // Into another folder, from the sealed file and from the bare one.
    for file in [&sealed, &bare] {
        let other = Home::empty();
        let run =
            other.netctl(&["wallet", "import", file, "--light", "--json", "--passphrase-file", &home.passphrase], b"");
        assert_eq!((run.code, run.json()["address"].as_str()), (0, Some(ADDRESS)), "{}", run.stderr);
    }
    // What is there is not imported twice.
    let again = home.netctl(&["wallet", "import", &sealed, "--light", "--passphrase-file", &home.passphrase], b"");
    assert_eq!((again.code, home.files().len()), (6, 1));
}

#[test]
fn pitfall_29_a_private_key_on_the_command_line_is_refused_and_not_repeated() {
    let home = Home::empty();
    for key in [KEY, &KEY[2..]] {
        let run = home.netctl(&["wallet", "import", key, "--passphrase-file", &home.passphrase], b"");
        assert_eq!(run.code, 2);
        assert!(!run.error_line().contains(&KEY[2..]));
    }
    assert!(home.files().is_empty());
}

#[test]
fn bad_keys_and_passphrases_leave_nothing_behind() {
    let home = Home::empty();
    for (stdin, why) in
        [("", "neither"), ("0x12", "neither"), ("{}", "keystore"), ("{", "keystore"), (&"00".repeat(32), "neither")]
    {
        let run = home.netctl(&["wallet", "import", "-", "--passphrase-file", &home.passphrase], stdin.as_bytes());
        assert_eq!(run.code, 7, "{stdin}");
        assert!(run.error_line().contains(why), "{}", run.stderr);
    }
    let weak = secret_file(home.dir.path(), "weak", "hunter2");
    let run = home.netctl(&["wallet", "new", "--passphrase-file", weak.to_str().unwrap()], b"");
    assert!(run.code == 7 && run.error_line().contains("too weak"));
    assert_eq!(home.netctl(&["wallet", "new"], b"").code, 2, "no terminal to ask on");
    assert_eq!(home.netctl(&["wallet", "import", "/nonexistent"], b"").code, 5);
    assert_eq!(home.netctl(&["wallet", "show"], b"").code, 5);
    assert!(home.files().is_empty());
}

#[test]
fn a_payment_is_signed_as_asked_and_waited_for() {
    let (home, node) = (Home::with_account(), Node::healthy(10_u128.pow(19), true));
    let run = home.send(&node, &[OTHER, "1.5", "--yes", "--json", "--chain-id", "31373"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let tx = node.sent();
    assert_eq!(tx.recover_signer().unwrap().to_checksum(None), ADDRESS);
    assert_eq!((tx.chain_id(), tx.nonce(), tx.gas_limit()), (Some(31_373), 3, 21_000));
    // Twice the price of the last block, and the tip.
    assert_eq!((tx.max_fee_per_gas(), tx.max_priority_fee_per_gas()), (2_000_000_001, Some(1)));
    assert_eq!(tx.value().to_string(), "1500000000000000000");
    let json = run.json();
    assert_eq!(json["schema"], "netctl.tx-send/1");
    assert_eq!((&json["state"], &json["value"], &json["to"]), (&json!("included"), &json!("1.5"), &json!(OTHER)));
    assert_eq!((&json["block"]["number"], &json["block"]["fee_wei"]), (&json!(8), &json!("21000000021000")));
    assert_eq!(json["hash"], json!(tx.tx_hash()));
}

#[test]
fn options_of_a_payment_are_what_is_signed() {
    let (home, node) = (Home::with_account(), Node::healthy(10_u128.pow(19), false));
    let more = [
        OTHER,
        "7",
        "--unit",
        "gwei",
        "--from",
        "0xf39f",
        "--data",
        "0x1234",
        "--max-fee",
        "2.5",
        "--tip",
        "0.5",
        "--gas-limit",
        "50000",
        "--nonce",
        "9",
        "--yes",
        "--no-wait",
        "--json",
    ];
    let run = home.send(&node, &more);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let tx = node.sent();
    assert_eq!((tx.nonce(), tx.gas_limit(), tx.value().to_string()), (9, 50_000, "7000000000".into()));
    assert_eq!((tx.max_fee_per_gas(), tx.max_priority_fee_per_gas()), (2_500_000_000, Some(500_000_000)));
    assert_eq!(tx.input().as_ref(), [0x12, 0x34]);
    assert_eq!((&run.json()["state"], &run.json()["data_bytes"]), (&json!("pending"), &json!(2)));
}

#[test]
fn nothing_is_signed_without_consent() {
    let (home, node) = (Home::with_account(), Node::healthy(10_u128.pow(19), true));
    let run = home.send(&node, &[OTHER, "1"]);
    assert_eq!(run.code, 2);
    assert!(run.error_line().contains("--yes"));
    assert!(!node.methods().contains(&"eth_sendRawTransaction".to_owned()));
}

#[test]
fn a_payment_that_cannot_work_is_told_before_it_is_signed() {
    let home = Home::with_account();
    let check = |node: &Node, more: &[&str], exit: i32, why: &str| {
        let mut args = vec!["--yes"];
        args.extend(more);
        let run = home.send(node, &args);
        assert_eq!(run.code, exit, "{more:?}: {}", run.stderr);
        assert!(run.error_line().contains(why), "{}", run.stderr);
        assert!(!node.methods().contains(&"eth_sendRawTransaction".to_owned()));
    };
    let node = Node::healthy(10_u128.pow(18), true);
    check(&node, &[OTHER, "1"], 10, "not enough money");
    check(&node, &[OTHER, "2"], 10, "not enough money");
    check(&node, &[OTHER, "0.1", "--chain-id", "1"], 10, "chain 31373");
    check(&node, &[OTHER, "1,5"], 7, "not an amount");
    check(&node, &[OTHER, "0.1", "--tip", "2", "--max-fee", "1"], 7, "--tip");
    check(&node, &[OTHER, "0.1", "--from", OTHER], 5, "no such account");
    // One letter in the wrong case: a typing error pays nobody.
    check(&node, &["0x70997970c51812dc3A010C7d01b50e0d17dc79C8", "0.1"], 2, "checksum");
    check(&node, &["0x7099", "0.1"], 2, "address");
    check(&node, &[OTHER, "0.1", "--data", "0x123"], 2, "--data");
    // Prices are the node's word, and there is a limit to believing it.
    let dear = Node::start(|method, params| match method {
        "eth_maxPriorityFeePerGas" => json!("0xffffffffffffffff"),
        _ => healthy(method, params, u128::MAX),
    });
    check(&dear, &[OTHER, "0.1"], 10, "fee refused");
    let reverts = Node::start(|method, params| match method {
        "eth_estimateGas" => json!({ "error": { "code": 3, "message": "execution reverted: unlucky", "data": "0x" } }),
        _ => healthy(method, params, u128::MAX),
    });
    check(&reverts, &[OTHER, "0", "--data", "0x12345678"], 10, "execution reverted: unlucky");
    let liar = Node::start(|method, params| match method {
        "net_version" => json!("1"),
        _ => healthy(method, params, u128::MAX),
    });
    check(&liar, &[OTHER, "0.1"], 10, "contradicts itself");
}

#[test]
fn a_wrong_passphrase_sends_nothing() {
    let (home, node) = (Home::with_account(), Node::healthy(10_u128.pow(19), true));
    std::fs::write(&home.passphrase, "another one").unwrap();
    let run = home.send(&node, &[OTHER, "1", "--yes"]);
    assert_eq!(run.code, 7);
    assert!(run.error_line().contains("passphrase"));
    assert!(!node.methods().contains(&"eth_sendRawTransaction".to_owned()));
}

#[test]
fn what_becomes_of_a_payment_is_told() {
    let home = Home::with_account();
    let send = |node: &Node| home.send(node, &[OTHER, "1", "--yes", "--wait", "1s", "--json"]);
    // Still waiting: the hash is there to go on with.
    let run = send(&Node::healthy(10_u128.pow(19), false));
    assert_eq!((run.code, run.json()["code"].as_str()), (9, Some("timeout")));
    assert!(run.stderr.contains("netctl tx wait 0x"));
    // In a block and reverted.
    let failed = Node::start(|method, params| match method {
        "eth_sendRawTransaction" => {
            let raw: Bytes = params[0].as_str().unwrap().parse().unwrap();
            json!(keccak256(raw))
        }
        "eth_getTransactionReceipt" => json!({
            "status": "0x0", "blockNumber": "0x8", "blockHash": params[0], "transactionIndex": "0x1", "gasUsed": "0x5208",
            "effectiveGasPrice": "0x1"
        }),
        _ => healthy(method, params, u128::MAX),
    });
    let run = send(&failed);
    assert_eq!((run.code, run.json()["state"].as_str()), (1, Some("failed")));
    // Another transaction took its number: the node does not know this one any more, and the account has sent four.
    let replaced = Node::start(|method, params| match method {
        "eth_sendRawTransaction" => {
            let raw: Bytes = params[0].as_str().unwrap().parse().unwrap();
            json!(keccak256(raw))
        }
        "eth_getTransactionCount" if params[1] == "latest" => json!("0x4"),
        _ => healthy(method, params, u128::MAX),
    });
    let run = send(&replaced);
    assert_eq!(run.code, 10);
    assert!(run.error_line().contains("took its number 3"), "{}", run.stderr);
    let refused = Node::start(|method, params| match method {
        "eth_sendRawTransaction" => {
            json!({ "error": { "code": -32000, "message": "replacement transaction\nunderpriced" } })
        }
        _ => healthy(method, params, u128::MAX),
    });
    let run = send(&refused);
    assert_eq!(run.code, 10);
    assert!(run.error_line().contains("underpriced"));
}

#[test]
fn blocks_balances_and_the_state_of_the_chain_are_shown() {
    let (home, node) = (Home::with_account(), Node::healthy(1_250_000_000_000_000_000, true));
    let ask = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--rpc", &node.url, "--json"]);
        let run = home.netctl(&all, b"");
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{args:?}");
        run.json()
    };
    let balance = ask(&["wallet", "balance"]);
    assert_eq!(
        (&balance["accounts"][0]["address"], &balance["accounts"][0]["balance"]),
        (&json!(ADDRESS), &json!("1.25"))
    );
    assert_eq!(ask(&["wallet", "balance", OTHER, "--unit", "gwei"])["accounts"][0]["balance"], "1250000000");
    let block = ask(&["block", "7"]);
    assert_eq!((&block["number"], &block["transactions"], &block["creator"]), (&json!(7), &json!(1), &json!(OTHER)));
    let status = ask(&["chain", "status"]);
    assert_eq!((&status["height"], &status["chain_id"], &status["witnesses"]), (&json!(7), &json!(31_373), &json!(4)));
    assert_eq!(status["waiting"], json!({ "ready": 2, "queued": 1 }));
    let run = home.netctl(&["block", "--rpc", &node.url], b"");
    assert!(run.stdout.contains("gas price    1 gwei"), "{}", run.stdout);
    let run = home.netctl(&["block", "255", "--rpc", &node.url], b"");
    assert_eq!(run.code, 5);
    run.error_line();
    let hash = format!("0x{}", "55".repeat(32));
    for args in [["tx", "show", &hash], ["tx", "wait", &hash]] {
        let mut args = args.to_vec();
        args.extend(["--rpc", &node.url]);
        args.extend(if args[1] == "wait" { &["--wait", "1s"][..] } else { &[] });
        let run = home.netctl(&args, b"");
        assert_eq!(run.code, 5, "{args:?}");
        run.error_line();
    }
}

#[test]
fn a_node_that_is_not_there_or_talks_nonsense_is_one_line() {
    let home = Home::with_account();
    let status = |url: &str| home.netctl(&["chain", "status", "--timeout", "2", "--rpc", url], b"");
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = status(&format!("http://{free}"));
    assert_eq!(run.code, 3);
    assert!(run.error_line().contains("nobody listens"));
    assert_eq!(status("127.0.0.1:1").code, 7);
    // Accepts and is silent; answers what is no HTTP; no JSON; endless; another id.
    let raw = |answer: &'static [u8], endless: bool| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer);
                while endless && stream.write_all(&[b' '; 65_536]).is_ok() {}
                if answer.is_empty() {
                    // Holds the connection open until the other side has had enough.
                    while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
                }
            }
        });
        url
    };
    let run = status(&raw(b"", false));
    assert_eq!(run.code, 9);
    assert!(run.error_line().contains("did not answer in 2 s"), "{}", run.stderr);
    let json: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 39\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":9,\"result\":\"0x1\"}";
    for (answer, endless) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], false),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nnope\n", false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull", false),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", false),
        (b"HTTP/1.1 200 OK\r\n\r\n", true),
        (json, false),
    ] {
        let run = status(&raw(answer, endless));
        assert_eq!(run.code, 1, "{}: {}", String::from_utf8_lossy(answer), run.stderr);
        run.error_line();
    }
}
