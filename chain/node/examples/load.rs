//! `make bench-chain`: transfers a second of a local network, sustained, with receipts readable, and the CPU they cost.
//! `--in-one-process`: the nodes share a process instead of being one each.

// A program for developers: it measures, and figures for people may be rounded.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::cast_precision_loss)]

mod common;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, keccak256};
use anyhow::{Context as _, ensure};
use common::{Network, Rpc, Sender, arg, flag, free_ports, hex_of, number, program};
use netchaind::config::{Layout, load};
use netchaind::init::{Localnet, bench_key, localnet};
use netchaind::service::Running;
use serde_json::{Value, json};

/// Transfers of one request.
const BATCH: usize = 100;
/// Accounts that receive: the state root has something to do.
const RECEIVERS: u64 = 10_000;
/// For the last receipts after the last transfer.
const LAST_RECEIPTS: Duration = Duration::from_secs(60);

/// The network under load.
enum Net {
    Processes(Network),
    InProcess { nodes: Vec<Running>, runtime: tokio::runtime::Runtime, first_port: u16 },
}

impl Net {
    fn start(root: &Path, witnesses: usize, accounts: u32, in_process: bool) -> anyhow::Result<Self> {
        if !in_process {
            let mut net = Network::create(program()?, root, witnesses, 3_000, accounts)?;
            net.start_all(2)?;
            return Ok(Self::Processes(net));
        }
        let first_port = free_ports(witnesses)?;
        let address = |index| netchaind::keys::account_of_secret(&bench_key(index)).unwrap_or_default();
        let net = Localnet { witnesses, first_port, block_ms: 3_000, bench_accounts: accounts };
        localnet(root, &net, address)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(64).build()?;
        let mut nodes = Vec::new();
        for index in 0..witnesses {
            let layout = Layout(root.join(format!("node{index}")));
            let config = load(&layout.config())?;
            nodes.push(runtime.block_on(Running::start(layout, config, Arc::new(|_| Ok(()))))?);
        }
        let mut rpc = Rpc::new(first_port);
        let end = Instant::now() + Duration::from_secs(180);
        while rpc.height()? < 2 {
            ensure!(Instant::now() < end, "no blocks");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(Self::InProcess { nodes, runtime, first_port })
    }

    fn port(&self, index: usize) -> u16 {
        let first = match self {
            Self::Processes(net) => net.first_port,
            Self::InProcess { first_port, .. } => *first_port,
        };
        first + u16::try_from(index).unwrap_or(0)
    }

    /// Seconds of CPU of all nodes, the load's own threads left out.
    fn cpu_s(&self) -> f64 {
        match self {
            Self::Processes(net) => net.pids().iter().map(|pid| cpu_of(&format!("/proc/{pid}/stat"))).sum(),
            Self::InProcess { .. } => {
                let load = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten().filter(|task| {
                    std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with("load"))
                });
                let load: f64 = load.map(|task| cpu_of(&task.path().join("stat").to_string_lossy())).sum();
                cpu_of("/proc/self/stat") - load
            }
        }
    }

    /// Microseconds of CPU of all nodes by kind of work, from their metrics.
    fn work_us(&self, witnesses: usize) -> anyhow::Result<BTreeMap<String, f64>> {
        // In one process every node shows the counters of the process.
        let pages = if matches!(self, Self::Processes(_)) { witnesses } else { 1 };
        let mut sums = BTreeMap::new();
        for index in 0..pages {
            for line in metrics(self.port(index) + 100)?.lines() {
                let Some((name, value)) = line.strip_prefix("netchaind_cpu_").and_then(|it| it.split_once("_us "))
                else {
                    continue;
                };
                *sums.entry(name.to_owned()).or_insert(0.0) += value.trim().parse::<f64>()?;
            }
        }
        Ok(sums)
    }

    fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Processes(net) => drop(net),
            Self::InProcess { nodes, runtime, .. } => {
                for node in nodes {
                    runtime.block_on(node.stop())?;
                }
            }
        }
        Ok(())
    }
}

fn metrics(port: u16) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// User and system time of a process or thread, seconds.
fn cpu_of(stat: &str) -> f64 {
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let times = after_name.split_whitespace().skip(11).take(2).filter_map(|it| it.parse::<u64>().ok());
    times.sum::<u64>() as f64 / 100.0
}

/// What the senders count.
#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    refused: AtomicU64,
    receipts: AtomicU64,
    /// Milliseconds from acknowledgement to a readable receipt.
    waited_ms: Mutex<Vec<u64>>,
}

fn main() -> anyhow::Result<()> {
    let (witnesses, rate, seconds) =
        (usize::try_from(arg("--witnesses", 4))?, arg("--rate", 2_000), arg("--seconds", 60));
    let in_process = flag("--in-one-process");
    let root = std::env::temp_dir().join(format!("netchain-load-{}", std::process::id()));
    // Every sender has at most 64 waiting: enough senders for five blocks.
    let accounts = u32::try_from((rate * 15 / 48).max(64))?;
    let net = Net::start(&root, witnesses, accounts, in_process)?;
    let mut rpc = Rpc::new(net.port(0));
    let (cpu_before, work_before, from) = (net.cpu_s(), net.work_us(witnesses)?, rpc.height()?);
    let counts = Counts::default();
    let began = Instant::now();
    send(&net, witnesses, rate, seconds, accounts, &counts)?;
    let elapsed = began.elapsed().as_secs_f64();
    let (cpu, work_after) = (net.cpu_s() - cpu_before, net.work_us(witnesses)?);
    let sent = counts.sent.load(Ordering::Relaxed);
    // A connection that was idle all the while may be closed.
    let blocks = blocks_with(&mut Rpc::new(net.port(0)), from, sent)?;
    let included: u64 = blocks.iter().map(|block| block.users).sum();
    let late = blocks.iter().filter(|block| block.late).count();
    let fullest = blocks.iter().map(|block| block.users).max().unwrap_or(0);
    let pairs = || blocks.windows(2).filter_map(|pair| Some((pair.first()?, pair.last()?)));
    let longest = pairs().map(|(a, b)| b.unix_s - a.unix_s).max().unwrap_or(0);
    // Sustained: without the first two blocks and the last two, where the load begins and ends.
    let steady = blocks.get(2..blocks.len().saturating_sub(2)).filter(|it| it.len() > 2).context("too short a run")?;
    let span = steady.last().map_or(0, |it| it.unix_s) - steady.first().map_or(0, |it| it.unix_s);
    let in_span: u64 = steady.iter().skip(1).map(|block| block.users).sum();
    let sustained = in_span as f64 / span.max(1) as f64;
    let [refused, receipts] = [&counts.refused, &counts.receipts].map(|it| it.load(Ordering::Relaxed));
    let mut waited = counts.waited_ms.into_inner().unwrap_or_else(PoisonError::into_inner);
    waited.sort_unstable();
    let at =
        |percent: usize| waited.get(waited.len() * percent / 100).or(waited.last()).copied().unwrap_or(0) as f64 / 1e3;
    let place = if in_process { "one process" } else { "processes" };
    println!(
        "{witnesses} witnesses, {place}, {rate} transfers/s offered for {seconds} s: {sent} acknowledged, {refused} refused"
    );
    println!(
        "{sustained:.0} transfers/s sustained over {span} s; all {included} of the run in {} blocks, {late} of them not in the first round, at most {fullest} in one, at most {longest} s between two",
        blocks.len()
    );
    println!(
        "receipts: {receipts} asked for and read, half of them within {:.1} s, 99 % within {:.1} s",
        at(50),
        at(99)
    );
    let per = |us: f64| us / included.max(1) as f64 / witnesses as f64;
    let mut rest = cpu * 1e6;
    let mut parts = String::new();
    for (name, after) in &work_after {
        let spent = after - work_before.get(name).copied().unwrap_or(0.0);
        rest -= spent;
        parts.push_str(&format!("{name} {:.1}, ", per(spent)));
    }
    println!(
        "CPU: {:.1} us a transfer and node ({parts}network, RPC and consensus {:.1}); {:.2} of the cores busy with nodes",
        per(cpu * 1e6),
        per(rest),
        cpu / elapsed
    );
    net.stop()?;
    Ok(std::fs::remove_dir_all(&root)?)
}

struct BlockView {
    users: u64,
    /// Whether it took more than one round to agree on a block.
    late: bool,
    unix_s: u64,
}

/// The blocks after `from` until they hold everything that was acknowledged.
fn blocks_with(rpc: &mut Rpc, from: u64, acknowledged: u64) -> anyhow::Result<Vec<BlockView>> {
    let (mut blocks, mut included, end) = (Vec::new(), 0, Instant::now() + LAST_RECEIPTS);
    while included < acknowledged {
        let height = from + 1 + blocks.len() as u64;
        if rpc.height()? < height {
            ensure!(Instant::now() < end, "{} acknowledged transfers are not in the chain", acknowledged - included);
            std::thread::sleep(Duration::from_millis(100));
            continue;
        }
        let block = rpc.call("eth_getBlockByNumber", &json!([format!("{height:#x}"), false]))?;
        let users = block.get("transactions").and_then(Value::as_array).context("no transactions")?.len() as u64 - 1;
        included += users;
        let certificate = rpc.call("nfc_getCertificate", &json!([format!("{height:#x}")]))?;
        let late = number(certificate.get("round").context("no round")?)? > 0;
        blocks.push(BlockView { users, late, unix_s: number(block.get("timestamp").context("no timestamp")?)? });
    }
    Ok(blocks)
}

/// Sends at a rate from one thread for each of up to four nodes, and reads receipts, until all are read.
fn send(net: &Net, witnesses: usize, rate: u64, seconds: u64, accounts: u32, counts: &Counts) -> anyhow::Result<()> {
    let stop = AtomicBool::new(false);
    let threads = witnesses.min(4);
    let mut senders: Vec<Vec<Sender>> = (0..threads).map(|_| Vec::new()).collect();
    for index in 0..accounts {
        senders.get_mut(index as usize % threads).context("no thread")?.push(Sender::new(index)?);
    }
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (index, mine) in senders.into_iter().enumerate() {
            let stop = &stop;
            let mut thread = Load {
                rpc: Rpc::new(net.port(index)),
                mine,
                next: 0,
                receiver: index as u64,
                waiting: VecDeque::new(),
                counts,
            };
            let name = format!("load-{index}");
            let run = move || thread.run(rate as f64 / threads as f64, stop);
            running.push(std::thread::Builder::new().name(name).spawn_scoped(scope, run)?);
        }
        std::thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        for thread in running {
            thread.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        }
        Ok(())
    })
}

/// One sending thread.
struct Load<'a> {
    rpc: Rpc,
    mine: Vec<Sender>,
    next: usize,
    receiver: u64,
    /// The first transfer of each batch until its receipt is read.
    waiting: VecDeque<(Instant, B256)>,
    counts: &'a Counts,
}

impl Load<'_> {
    fn run(&mut self, rate: f64, stop: &AtomicBool) -> anyhow::Result<()> {
        let (began, mut done, mut looked) = (Instant::now(), 0.0, Instant::now());
        while !stop.load(Ordering::Relaxed) {
            if looked.elapsed() > Duration::from_millis(500) {
                looked = Instant::now();
                self.receipts()?;
            }
            if done + BATCH as f64 > began.elapsed().as_secs_f64() * rate {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            done += BATCH as f64;
            self.batch()?;
        }
        let end = Instant::now() + LAST_RECEIPTS;
        while !self.waiting.is_empty() {
            ensure!(Instant::now() < end, "{} receipts are not readable a minute after the load", self.waiting.len());
            std::thread::sleep(Duration::from_millis(200));
            self.receipts()?;
        }
        Ok(())
    }

    fn batch(&mut self) -> anyhow::Result<()> {
        let (mut batch, mut from) = (Vec::new(), Vec::new());
        for _ in 0..BATCH {
            self.next = (self.next + 1) % self.mine.len();
            self.receiver = (self.receiver + 7_919) % RECEIVERS;
            let to = Address::from_word(keccak256(self.receiver.to_be_bytes()));
            let (hash, raw) = self.mine.get_mut(self.next).context("no sender")?.transfer(to)?;
            batch.push(json!({ "jsonrpc": "2.0", "id": batch.len(), "method": "eth_sendRawTransaction", "params": [hex_of(&raw)] }));
            from.push((self.next, hash));
        }
        let answers = self.rpc.post(&Value::Array(batch))?;
        let mut first = true;
        for answer in answers.as_array().context("no list of answers")? {
            let id = answer.get("id").and_then(Value::as_u64).and_then(|id| usize::try_from(id).ok());
            let (sender, hash) = *id.and_then(|id| from.get(id)).context("an answer to nothing")?;
            if answer.get("result").is_some() {
                self.counts.sent.fetch_add(1, Ordering::Relaxed);
                if std::mem::take(&mut first) {
                    self.waiting.push_back((Instant::now(), hash));
                }
                continue;
            }
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
            // Its nonce is free again: ask which one is next.
            let it = self.mine.get_mut(sender).context("no sender")?;
            let nonce = self.rpc.call("eth_getTransactionCount", &json!([it.address, "pending"]))?;
            it.nonce = number(&nonce)?;
        }
        Ok(())
    }

    /// Asks for the receipts that are missing, the oldest first.
    fn receipts(&mut self) -> anyhow::Result<()> {
        while let Some((since, hash)) = self.waiting.front() {
            let receipt = self.rpc.call("eth_getTransactionReceipt", &json!([hash]))?;
            if receipt.is_null() {
                return Ok(());
            }
            ensure!(number(receipt.get("status").context("no status")?)? == 1, "{hash} failed");
            let waited = u64::try_from(since.elapsed().as_millis())?;
            self.counts.waited_ms.lock().unwrap_or_else(PoisonError::into_inner).push(waited);
            self.counts.receipts.fetch_add(1, Ordering::Relaxed);
            self.waiting.pop_front();
        }
        Ok(())
    }
}
