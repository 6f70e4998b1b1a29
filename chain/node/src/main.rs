//! `netchaind`: a node of the chain.

use std::io::Write as _;
use std::path::PathBuf;

use alloy_primitives::{Address, B256};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use netchaind::config::{Layout, load};
use netchaind::init::{DEV_ACCOUNTS, Localnet};

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
    },
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
    /// Check every record of the database against the state root and the headers.
    VerifyDb,
    /// Show who this node is: peer id and the witness' seat.
    Show,
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
        Command::InitLocalnet { witnesses, first_port, block_ms, bench_accounts } => {
            let net = Localnet { witnesses, first_port, block_ms, bench_accounts };
            netchaind::init::localnet(&layout.0, &net, bench_address)?;
            for index in 0..witnesses {
                writeln!(out, "node{index} http://127.0.0.1:{}", usize::from(first_port) + index)?;
            }
            for account in DEV_ACCOUNTS {
                writeln!(out, "funded {account}")?;
            }
            Ok(())
        }
        Command::Run => {
            log();
            let config = load(&layout.config())?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                // RPC and signature checks: more threads than cores only make each slower.
                .max_blocking_threads(32)
                .build()
                .context("no runtime")?;
            runtime.block_on(netchaind::service::run(layout, config))
        }
        Command::ExportSnapshot { to } => netchaind::offline::export_snapshot(&layout, &load(&layout.config())?, &to),
        Command::ImportSnapshot { from, trusted } => netchaind::offline::import_snapshot(&layout, &from, trusted),
        Command::VerifyDb => netchaind::offline::verify_db(&layout, &load(&layout.config())?),
        Command::Show => show(&layout),
    }
}

/// Account of a benchmark key.
fn bench_address(index: u32) -> Address {
    netchaind::keys::account_of_secret(&netchaind::init::bench_key(index)).unwrap_or_default()
}

/// Logs to standard error. NETCHAIND_LOG=debug and so on is the level of our own crates; the libraries' chatter (every vote, every
/// gossiped message) begins one level deeper.
fn log() {
    use tracing::level_filters::LevelFilter as L;
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let level: L = std::env::var("NETCHAIND_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(L::INFO);
    let ours = ["netchaind", "netchain_net", "netchain_rpc", "netchain_store", "netchain_exec"];
    let others = if level >= L::TRACE { L::DEBUG } else { L::WARN };
    let filter = tracing_subscriber::filter::Targets::new().with_default(others);
    let filter = ours.iter().fold(filter, |filter, name| filter.with_target(*name, level));
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(filter).with(format).init();
}

fn show(layout: &Layout) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "peer {}", netchaind::init::peer_id(layout)?)?;
    if let Some(keys) = netchaind::keys::read_witness_keys(&layout.witness_key())? {
        writeln!(out, "{}", serde_json::to_string_pretty(&keys.genesis_entry())?)?;
    }
    Ok(())
}
