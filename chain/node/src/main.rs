//! `netchaind`: a node of the chain.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use netchaind::admin::Request;
use netchaind::config::{Layout, load};
use netchaind::init::{DEV_ACCOUNTS, Localnet, localnet_with};
use netchaind::preset::{DEV_OWNERS, NewGenesis, Preset, install};
use netchaind::service::SetLogLevel;

/// A node of the NetFlowCoin chain: blocks, state, JSON-RPC.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Folder of the node: keys, configuration, database.
    #[arg(long, default_value = "/var/lib/netchaind", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the folder: keys, genesis, configuration. What is there stays.
    Init {
        /// Genesis file of the chain.
        #[arg(long)]
        genesis: Option<PathBuf>,
        /// Make keys of a witness, with this account.
        #[arg(long)]
        witness: Option<Address>,
    },
    /// Make the folders of a local test network: node0, node1, ...
    InitLocalnet {
        /// Number of witnesses, 1 to 21.
        #[arg(long, default_value_t = 4)]
        witnesses: usize,
        /// RPC port of node 0; metrics are 100 above, peers 200 above.
        #[arg(long, default_value_t = 18_545)]
        first_port: u16,
        /// Milliseconds from block to block.
        #[arg(long, default_value_t = 3_000)]
        block_ms: u64,
        /// Accounts for benchmarks that get money.
        #[arg(long, default_value_t = 0)]
        bench_accounts: u32,
        /// With the economy's contracts and the parameters of `dev`; the foundation and the team are the first two funded accounts.
        #[arg(long)]
        economy: bool,
    },
    /// Print the genesis file of a chain with the economy.
    Genesis(NewGenesis),
    /// Run the node until SIGTERM.
    Run,
    /// Write the state after the last block into a folder.
    ExportSnapshot {
        /// The folder.
        to: PathBuf,
    },
    /// Read a snapshot into an empty database and verify its state root.
    ImportSnapshot {
        /// Folder with the snapshot.
        from: PathBuf,
        /// Hash of the block, from somebody you trust.
        #[arg(long)]
        trusted: Option<B256>,
    },
    /// Fetch the newest snapshot from several peers into an empty database and verify its state root; then try: netchaind run.
    FetchSnapshot {
        /// Hash of the snapshot's block, from somebody you trust. Without it the witnesses are followed from the genesis file, through every
        /// election, as far as peers can prove them.
        #[arg(long)]
        trusted: Option<B256>,
    },
    /// Check every record of the database against the state root and the headers.
    VerifyDb,
    /// Show who this node is: peer id and the witness' seat.
    Show,
    /// Ask or change a running node, over the socket in its folder.
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
}

#[derive(Subcommand)]
enum AdminCommand {
    /// Height, sync, mempool and peers in numbers.
    Status,
    /// Connected peers.
    Peers,
    /// Waiting transactions.
    Mempool {
        /// At most so many.
        #[arg(long, default_value_t = 1_000)]
        most: usize,
    },
    /// End the node after the step under way.
    Stop,
    /// Write the state after the last block into a folder while the node goes on.
    ExportSnapshot {
        /// The folder.
        to: PathBuf,
    },
    /// Change the level of the log: error, warn, info, debug, trace, off.
    LogLevel {
        /// The level.
        level: String,
    },
}

impl AdminCommand {
    fn request(self) -> anyhow::Result<Request> {
        Ok(match self {
            Self::Status => Request::Status,
            Self::Peers => Request::Peers,
            Self::Mempool { most } => Request::Mempool { most },
            Self::Stop => Request::Stop,
            // The node has another working directory than the operator.
            Self::ExportSnapshot { to } => Request::ExportSnapshot { to: std::path::absolute(to)? },
            Self::LogLevel { level } => Request::LogLevel { level },
        })
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let layout = Layout(cli.dir);
    let mut out = std::io::stdout();
    match cli.command {
        Command::Init { genesis, witness } => {
            netchaind::init::init(&layout, genesis.as_deref(), witness)?;
            show(&layout)
        }
        Command::InitLocalnet { witnesses, first_port, block_ms, bench_accounts, economy } => {
            let net = Localnet { witnesses, first_port, block_ms, bench_accounts };
            let mut installed = Ok(());
            localnet_with(&layout.0, &net, bench_address, |genesis| {
                if economy {
                    installed = install(genesis, Preset::Dev, &DEV_OWNERS);
                }
            })?;
            installed?;
            for index in 0..witnesses {
                writeln!(out, "node{index} http://127.0.0.1:{}", usize::from(first_port) + index)?;
            }
            for account in DEV_ACCOUNTS {
                writeln!(out, "funded {account}")?;
            }
            Ok(())
        }
        Command::Genesis(new) => {
            writeln!(out, "{}", new.make()?)?;
            Ok(())
        }
        Command::Run => {
            two_arenas();
            let set_log = log();
            let config = load(&layout.config())?;
            runtime()?.block_on(netchaind::service::run(layout, config, set_log))
        }
        Command::FetchSnapshot { trusted } => {
            let _level = log();
            let config = load(&layout.config())?;
            let fetched = runtime()?.block_on(netchaind::fetch::fetch_snapshot(&layout, &config, trusted))?;
            let peers = fetched.peers.len();
            Ok(writeln!(out, "height {}\nblock {}\nfrom {peers} peers, verified", fetched.height, fetched.block)?)
        }
        Command::ExportSnapshot { to } => netchaind::offline::export_snapshot(&layout, &load(&layout.config())?, &to),
        Command::ImportSnapshot { from, trusted } => netchaind::offline::import_snapshot(&layout, &from, trusted),
        Command::VerifyDb => netchaind::offline::verify_db(&layout, &load(&layout.config())?),
        Command::Show => show(&layout),
        Command::Admin { command } => {
            let answer = netchaind::admin::ask(&layout.admin(), &command.request()?)?;
            Ok(writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?)
        }
    }
}

/// glibc's allocator gives eight arenas a core to threads, and gives back little of any: at a million accounts and a thousand transfers a second
/// (`make memory-chain`) two nodes held 511 and 441 MiB with the 16 arenas of two cores, 360 and 350 MiB with two. It reads the number
/// before `main`, so the process becomes itself once more, under the same number.
#[allow(clippy::disallowed_methods)] // it starts nobody else
fn two_arenas() {
    use std::os::unix::process::CommandExt as _;
    const ARENAS: &str = "MALLOC_ARENA_MAX";
    if std::env::var_os(ARENAS).is_some() {
        return;
    }
    let mut args = std::env::args_os();
    let mut again = std::process::Command::new("/proc/self/exe");
    again.arg0(args.next().unwrap_or_else(|| "netchaind".into())).args(args).env(ARENAS, "2");
    // Only returns when it fails; then the node works all the same, and takes more memory.
    let _ = again.exec();
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // RPC and signature checks: more threads than cores only make each slower.
        .max_blocking_threads(16)
        .build()
        .context("no runtime")
}

/// Account of a benchmark key.
fn bench_address(index: u32) -> Address {
    netchaind::keys::account_of_secret(&netchaind::init::bench_key(index)).unwrap_or_default()
}

/// Logs to standard error. NETCHAIND_LOG=debug and so on is the level to begin with. Returns what changes it.
fn log() -> SetLogLevel {
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::reload;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let level = std::env::var("NETCHAIND_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::INFO);
    let (layer, handle) = reload::Layer::new(filter(level));
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(layer).with(format).init();
    Arc::new(move |text| {
        let level = text.parse().map_err(|_| format!("{text:?} is no level; try: info"))?;
        handle.reload(filter(level)).map_err(|error| error.to_string())
    })
}

/// The level is that of our own crates; the libraries' chatter (every vote, every gossiped message) begins one level deeper.
fn filter(level: tracing::level_filters::LevelFilter) -> tracing_subscriber::filter::Targets {
    use tracing::level_filters::LevelFilter as L;
    let ours = ["netchaind", "netchain_net", "netchain_rpc", "netchain_store", "netchain_exec"];
    let others = if level >= L::TRACE { L::DEBUG } else { L::WARN.min(level) };
    let filter = tracing_subscriber::filter::Targets::new().with_default(others);
    ours.iter().fold(filter, |filter, name| filter.with_target(*name, level))
}

fn show(layout: &Layout) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "peer {}", netchaind::init::peer_id(layout)?)?;
    if let Some(keys) = netchaind::keys::read_witness_keys(&layout.witness_key())? {
        writeln!(out, "{}", serde_json::to_string_pretty(&keys.genesis_entry())?)?;
    }
    Ok(())
}
