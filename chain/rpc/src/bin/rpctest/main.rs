//! `rpctest DIR [--url http://HOST:PORT]`: the request and response tests of ethereum/execution-apis (`*.io`).
//!
//! A file holds lines `// comment`, `>> request` and `<< response`. A response must be equal; in a file with a comment that
//! begins with `speconly:` it must only have the same shape. Without `--url` the requests go to a chain in memory: of
//! `DIR/genesis.json` (geth's format; without one, an empty chain) and the blocks of `DIR/chain.rlp`, whose forks are those of
//! `DIR/forkenv.json` or the genesis ([`import`]). Exit code 0: all passed.

#![allow(clippy::print_stdout)] // a program whose output is its result

mod import;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use anyhow::{Context as _, bail};
use jsonrpsee::RpcModule;
use netchain_exec::{Executor, Genesis, SignedTransaction};
use netchain_rpc::{NetSource, RpcContext, RpcLimits, SyncState, TxSource, module};
use netchain_store::{Store, StoreOptions};
use serde_json::Value;
use tokio::sync::broadcast;

/// A chain with nothing on it.
const EMPTY_GENESIS: &[u8] =
    br#"{"config":{"chainId":1,"londonBlock":0,"shanghaiTime":0,"cancunTime":0,"pragueTime":0},"gasLimit":30000000}"#;
/// Longest answer.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// A chain that takes what is a transaction of it, and makes no block of it.
struct Alone {
    chain_id: u64,
    news: broadcast::Sender<B256>,
}

impl TxSource for Alone {
    fn submit(&self, raw: &[u8]) -> Result<B256, String> {
        let transaction = SignedTransaction::decode(raw, self.chain_id).map_err(|error| error.to_string())?;
        Ok(transaction.hash())
    }
    fn get(&self, _hash: &B256) -> Option<SignedTransaction> {
        None
    }
    fn next_nonce(&self, _address: &Address) -> Option<u64> {
        None
    }
    fn counts(&self) -> (usize, usize) {
        (0, 0)
    }
    fn subscribe(&self) -> broadcast::Receiver<B256> {
        self.news.subscribe()
    }
}

impl NetSource for Alone {
    fn peers(&self) -> usize {
        0
    }
    fn listening(&self) -> bool {
        false
    }
    fn sync(&self) -> SyncState {
        SyncState::default()
    }
}

/// Who answers.
enum Server {
    Here(RpcModule<RpcContext>),
    There(String),
}

impl Server {
    async fn ask(&self, request: &str) -> anyhow::Result<Value> {
        match self {
            Self::Here(module) => {
                let (answer, _) = module.raw_json_request(request, 1).await?;
                Ok(serde_json::from_str(answer.get())?)
            }
            Self::There(address) => post(address, request),
        }
    }
}

fn post(address: &str, body: &str) -> anyhow::Result<Value> {
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    write!(
        stream.get_mut(),
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut length = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            bail!("the connection was closed");
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = Some(value.trim().parse::<usize>().with_context(|| format!("bad {name}"))?);
        }
    }
    let length = length.filter(|length| *length <= MAX_ANSWER_BYTES).context("no usable content-length")?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}

/// A chain in memory. A genesis of this project's form (`config.nfc`) is one of our chains, every other one of Ethereum.
fn here(dir: &Path) -> anyhow::Result<Server> {
    let file = std::fs::read(dir.join("genesis.json")).unwrap_or_else(|_| EMPTY_GENESIS.to_vec());
    let json: Value = serde_json::from_slice(&file)?;
    let ours = json.get("config").is_some_and(|config| config.get("nfc").is_some());
    let (store, params, foreign) = if ours {
        let genesis = Genesis::from_json(&file)?.block()?;
        let store = Store::memory(StoreOptions::default());
        store.init(&genesis.header, &genesis.changes, &[])?;
        (store, genesis.params, None)
    } else {
        let imported = import::import(dir, &json)?;
        (imported.store, imported.params, Some(imported.chain))
    };
    let (news, _) = broadcast::channel(1);
    let (heads, _) = broadcast::channel(1);
    let alone = Arc::new(Alone { chain_id: params.chain_id, news });
    let context = RpcContext::new(store, Executor::new(params), alone.clone(), alone, heads, RpcLimits::default());
    let context = match foreign {
        Some(chain) => context.with_foreign(chain),
        None => context,
    };
    Ok(Server::Here(module(Arc::new(context))?))
}

fn files(dir: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "io") {
            into.push(path);
        }
    }
    Ok(())
}

/// The same kinds of values in the same places.
fn same_shape(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same_shape(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => match (a.first(), b.first()) {
            (Some(a), Some(b)) => same_shape(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        },
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
    }
}

/// Errors are compared by their code: texts are each client's own.
fn agrees(expected: &Value, got: &Value, shape_only: bool) -> bool {
    match (expected.get("error"), got.get("error")) {
        (Some(expected), Some(got)) => {
            expected.get("code") == got.get("code") && expected.get("data") == got.get("data")
        }
        (None, None) if shape_only => same_shape(expected, got),
        (None, None) => expected.get("result") == got.get("result"),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

async fn run(server: &Server, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let shape_only = text.lines().any(|line| line.trim_start_matches("//").trim_start().starts_with("speconly:"));
    let mut got = None;
    for line in text.lines() {
        if let Some(request) = line.strip_prefix(">>") {
            got = Some(server.ask(request.trim()).await?);
        } else if let Some(expected) = line.strip_prefix("<<") {
            let expected: Value = serde_json::from_str(expected.trim())?;
            let got = got.take().context("a response without a request")?;
            if !agrees(&expected, &got, shape_only) {
                bail!("expected {expected}\n     got {got}");
            }
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let url = args.iter().position(|it| it == "--url").and_then(|at| args.get(at + 1));
    let dir = args.first().filter(|it| *it != "--url").context("usage: rpctest DIR [--url http://HOST:PORT]")?;
    let dir = Path::new(dir);
    let server = match url {
        Some(url) => Server::There(url.trim_start_matches("http://").trim_end_matches('/').to_owned()),
        None => here(dir)?,
    };
    let mut all = Vec::new();
    files(dir, &mut all)?;
    all.sort();
    let (mut passed, mut failed) = (0, 0);
    for file in &all {
        match run(&server, file).await {
            Ok(()) => passed += 1,
            Err(error) => {
                failed += 1;
                println!("FAILED {}: {error:#}", file.display());
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
