//! A local network as processes, a small JSON-RPC client and signed transfers: for the load and crash programs and the tests
//! with processes.
#![allow(clippy::disallowed_methods)] // programs for developers: clocks, processes and waiting are what they are about
#![allow(dead_code, reason = "each program uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use anyhow::{Context as _, bail, ensure};
use netchaind::init::{DEV_CHAIN_ID, bench_key};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::{Value, json};

/// One connection to a node.
pub(crate) struct Rpc {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Rpc {
    pub(crate) fn new(port: u16) -> Self {
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), stream: None }
    }

    /// One request, or one batch when `body` is a list.
    pub(crate) fn post(&mut self, body: &Value) -> anyhow::Result<Value> {
        let result = self.exchange(&body.to_string());
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    fn exchange(&mut self, body: &str) -> anyhow::Result<Value> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(2))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().context("no connection")?;
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.get_mut().write_all(head.as_bytes())?;
        stream.get_mut().write_all(body.as_bytes())?;
        let mut length = None;
        loop {
            let mut line = String::new();
            ensure!(stream.read_line(&mut line)? > 0, "the connection was closed");
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.trim().parse::<usize>()?);
            }
        }
        let mut answer = vec![0; length.context("no content-length")?];
        stream.read_exact(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    }

    pub(crate) fn call(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let answer = self.post(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))?;
        if let Some(error) = answer.get("error") {
            bail!("{method}: {error}");
        }
        Ok(answer.get("result").cloned().unwrap_or(Value::Null))
    }

    pub(crate) fn height(&mut self) -> anyhow::Result<u64> {
        number(&self.call("eth_blockNumber", &json!([]))?)
    }

    /// State root and hash of a height.
    pub(crate) fn root(&mut self, height: u64) -> anyhow::Result<(String, String)> {
        let block = self.call("eth_getBlockByNumber", &json!([format!("{height:#x}"), false]))?;
        let text = |name: &str| block.get(name).and_then(Value::as_str).map(str::to_owned).context("no such block");
        Ok((text("stateRoot")?, text("hash")?))
    }
}

pub(crate) fn number(value: &Value) -> anyhow::Result<u64> {
    let text = value.as_str().context("not a number")?;
    Ok(u64::from_str_radix(text.trim_start_matches("0x"), 16)?)
}

/// A benchmark account with its next nonce.
pub(crate) struct Sender {
    key: SecretKey,
    pub(crate) address: Address,
    pub(crate) nonce: u64,
    /// Fee cap of what comes next, base units a gas.
    pub(crate) max_fee: u128,
}

impl Sender {
    pub(crate) fn new(index: u32) -> anyhow::Result<Self> {
        let secret = bench_key(index);
        let address = netchaind::keys::account_of_secret(&secret).context("no key")?;
        Ok(Self { key: SecretKey::from_slice(secret.as_slice())?, address, nonce: 0, max_fee: 100_000_000_000 })
    }

    /// The next transfer of one base unit to `to`.
    pub(crate) fn transfer(&mut self, to: Address) -> anyhow::Result<(B256, Bytes)> {
        self.sign(TxKind::Call(to), 1, Bytes::new(), 21_000)
    }

    /// The next transaction, with some base units in it.
    pub(crate) fn sign(
        &mut self,
        to: TxKind,
        value: u64,
        input: Bytes,
        gas_limit: u64,
    ) -> anyhow::Result<(B256, Bytes)> {
        let tx = TxEip1559 {
            chain_id: DEV_CHAIN_ID,
            nonce: self.nonce,
            gas_limit,
            max_fee_per_gas: self.max_fee,
            max_priority_fee_per_gas: 1_000_000_000,
            to,
            value: U256::from(value),
            input,
            ..TxEip1559::default()
        };
        self.nonce += 1;
        let digest = Message::from_digest(tx.signature_hash().0);
        let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(&digest, &self.key).serialize_compact();
        let (r, s) = bytes.split_at(32);
        let signature = Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), i32::from(id) == 1);
        let envelope = TxEnvelope::Eip1559(tx.into_signed(signature));
        let raw = Bytes::from(alloy_eips::eip2718::Encodable2718::encoded_2718(&envelope));
        Ok((alloy_primitives::keccak256(&raw), raw))
    }
}

pub(crate) fn hex_of(raw: &[u8]) -> String {
    format!("0x{}", hex::encode(raw))
}

/// `--name VALUE` of the command line.
pub(crate) fn arg(name: &str, default: u64) -> u64 {
    let mut args = std::env::args().skip_while(|it| it != name);
    args.nth(1).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// `--name` of the command line.
pub(crate) fn flag(name: &str) -> bool {
    std::env::args().any(|it| it == name)
}

/// `netchaind` beside the example that runs.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let program = exe.parent().and_then(Path::parent).context("no target folder")?.join("netchaind");
    ensure!(program.exists(), "{} is missing; try: cargo build -p netchaind", program.display());
    Ok(program)
}

/// The first of a row of ports that nobody listens on: nodes take `nodes` of them, and as many from 100 and 200 above on.
pub(crate) fn free_ports(nodes: usize) -> anyhow::Result<u16> {
    let nodes = u16::try_from(nodes)?;
    let free = |port: u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    // Below the ports the kernel gives to clients (32,768 and up). Where to begin differs from process to process.
    let start = u16::try_from(std::process::id() % 70)?;
    let bases = (0..70).map(|n| 10_000 + (start + n) % 70 * 300);
    let all_free = |base: &u16| (0..nodes).all(|n| [0, 100, 200].iter().all(|above| free(base + above + n)));
    bases.into_iter().find(all_free).context("no free ports")
}

/// The processes of a local network.
pub(crate) struct Network {
    pub(crate) root: PathBuf,
    pub(crate) first_port: u16,
    program: PathBuf,
    nodes: Vec<Option<Child>>,
}

impl Network {
    /// Makes folders and starts nothing yet.
    pub(crate) fn create(
        program: PathBuf,
        root: &Path,
        witnesses: usize,
        block_ms: u64,
        bench: u32,
    ) -> anyhow::Result<Self> {
        let first_port = free_ports(witnesses)?;
        let status = Command::new(&program)
            .arg("--dir")
            .arg(root)
            .args(["init-localnet", "--witnesses", &witnesses.to_string(), "--first-port", &first_port.to_string()])
            .args(["--block-ms", &block_ms.to_string(), "--bench-accounts", &bench.to_string()])
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "init-localnet failed");
        Ok(Self { root: root.to_owned(), first_port, program, nodes: (0..witnesses).map(|_| None).collect() })
    }

    /// Starts all, and waits until all have a height.
    pub(crate) fn start_all(&mut self, height: u64) -> anyhow::Result<()> {
        for index in 0..self.len() {
            self.start(index)?;
        }
        (0..self.len()).try_for_each(|index| self.wait_height(index, height, Duration::from_secs(180)).map(drop))
    }

    /// The network of an earlier run, in its folder, not started yet.
    pub(crate) fn again(program: PathBuf, root: &Path, nodes: usize) -> anyhow::Result<Self> {
        let config = netchaind::config::load(&root.join("node0").join("netchaind.toml"))?;
        let first_port = config.rpc.listen.context("the nodes serve no RPC")?.port();
        Ok(Self { root: root.to_owned(), first_port, program, nodes: (0..nodes).map(|_| None).collect() })
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn folder(&self, index: usize) -> PathBuf {
        self.root.join(format!("node{index}"))
    }

    pub(crate) fn rpc(&self, index: usize) -> Rpc {
        Rpc::new(self.first_port + u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// Runs another command of `netchaind` on a node's folder.
    pub(crate) fn command(&self, index: usize, args: &[&str]) -> anyhow::Result<String> {
        let out = Command::new(&self.program).arg("--dir").arg(self.folder(index)).args(args).output()?;
        ensure!(out.status.success(), "netchaind {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8(out.stdout)?)
    }

    pub(crate) fn start(&mut self, index: usize) -> anyhow::Result<()> {
        let dir = self.folder(index);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log"))?;
        let child =
            Command::new(&self.program).arg("--dir").arg(&dir).arg("run").stderr(log).stdout(Stdio::null()).spawn()?;
        *self.nodes.get_mut(index).context("no such node")? = Some(child);
        Ok(())
    }

    /// SIGKILL: no last words.
    pub(crate) fn kill(&mut self, index: usize) -> anyhow::Result<()> {
        if let Some(mut child) = self.nodes.get_mut(index).and_then(Option::take) {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Whether a started process is still there.
    pub(crate) fn alive(&mut self, index: usize) -> bool {
        self.nodes.get_mut(index).and_then(Option::as_mut).is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().flatten().map(Child::id).collect()
    }

    /// Waits until a node answers and has at least this height.
    pub(crate) fn wait_height(&mut self, index: usize, height: u64, patience: Duration) -> anyhow::Result<u64> {
        let (mut rpc, end) = (self.rpc(index), Instant::now() + patience);
        let mut last = None;
        while Instant::now() < end {
            if let Ok(at) = rpc.height() {
                last = Some(at);
                if at >= height {
                    return Ok(at);
                }
            }
            ensure!(self.alive(index), "node{index} ended by itself; see {}/log", self.folder(index).display());
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("node{index} is at {last:?} and not at {height} after {patience:?}")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for index in 0..self.nodes.len() {
            // Already dead is fine.
            let _ = self.kill(index);
        }
    }
}
