//! `netchaind.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use netchain_rpc::Callers;
use serde::{Deserialize, Serialize};

/// Longest configuration file.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Timestamps are whole seconds and ascend: faster blocks would run ahead of the clock until every proposal is refused.
const MIN_BLOCK_MS: u64 = 1_000;

/// The whole file. Every key has a default; unknown ones are refused.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Peers.
    pub net: NetSection,
    /// JSON-RPC.
    pub rpc: RpcSection,
    /// State and blocks.
    pub store: StoreSection,
    /// Waiting transactions.
    pub mempool: MempoolSection,
    /// Consensus.
    pub consensus: ConsensusSection,
    /// Metrics.
    pub metrics: MetricsSection,
}

/// `[net]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetSection {
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses others reach this node at.
    pub external: Vec<String>,
    /// Multiaddresses of nodes to begin with, each ending in `/p2p/<peer id>`.
    pub bootnodes: Vec<String>,
}

impl Default for NetSection {
    fn default() -> Self {
        let listen = ["/ip4/0.0.0.0/udp/30700/quic-v1", "/ip4/0.0.0.0/tcp/30700"];
        Self { listen: listen.map(str::to_owned).to_vec(), external: Vec::new(), bootnodes: Vec::new() }
    }
}

/// `[rpc]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcSection {
    /// Address of HTTP and WebSocket; left out: no RPC.
    pub listen: Option<SocketAddr>,
    /// Host names under which it is asked, `*` for any; addresses always are answered. Against pages that rebind their name.
    pub hosts: Vec<String>,
    /// Web pages that may ask: host names or whole origins, `*` for any. Browser extensions always may.
    pub origins: Vec<String>,
    /// Connections at a time.
    pub max_connections: u32,
    /// Most gas of one call.
    pub gas_cap: u64,
    /// Most blocks one `eth_getLogs` looks at.
    pub max_log_blocks: u64,
}

impl Default for RpcSection {
    fn default() -> Self {
        let Callers { hosts, origins } = Callers::default();
        Self {
            listen: Some(([127, 0, 0, 1], 8545).into()),
            hosts,
            origins,
            max_connections: 256,
            gas_cap: 50_000_000,
            max_log_blocks: 10_000,
        }
    }
}

/// `[store]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// Keep the state of all heights instead of 42 hours.
    pub archive: bool,
    /// Blocks from one snapshot for new nodes to the next; 0: none are made. Two are kept.
    pub snapshot_blocks: u64,
}

impl Default for StoreSection {
    fn default() -> Self {
        // A day: a new node then has at most a day of blocks to execute.
        Self { archive: false, snapshot_blocks: 28_800 }
    }
}

/// `[mempool]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MempoolSection {
    /// Most transactions.
    pub transactions: usize,
    /// Most bytes.
    pub bytes: usize,
}

impl Default for MempoolSection {
    fn default() -> Self {
        let limits = crate::mempool::Limits::default();
        Self { transactions: limits.transactions, bytes: limits.bytes }
    }
}

/// `[consensus]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsensusSection {
    /// Milliseconds from block to block. 3,000 on the real chains: the economy counts blocks.
    pub block_ms: u64,
}

impl Default for ConsensusSection {
    fn default() -> Self {
        Self { block_ms: netchain_consensus::Timing::default().block_us / 1_000 }
    }
}

/// `[metrics]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsSection {
    /// Address of the Prometheus text page; left out: none.
    pub listen: Option<SocketAddr>,
}

/// Files of a node's folder.
#[derive(Clone, Debug)]
pub struct Layout(pub PathBuf);

impl Layout {
    /// Configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join("netchaind.toml")
    }
    /// Genesis file.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.0.join("genesis.json")
    }
    /// Database.
    #[must_use]
    pub fn db(&self) -> PathBuf {
        self.0.join("db")
    }
    /// Log of consensus.
    #[must_use]
    pub fn wal(&self) -> PathBuf {
        self.0.join("consensus.wal")
    }
    /// Journal of transactions.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.0.join("transactions.journal")
    }
    /// Secret of the libp2p identity.
    #[must_use]
    pub fn node_key(&self) -> PathBuf {
        self.0.join("node.key")
    }
    /// Keys of a witness.
    #[must_use]
    pub fn witness_key(&self) -> PathBuf {
        self.0.join("witness.key")
    }
    /// Socket of the operator.
    #[must_use]
    pub fn admin(&self) -> PathBuf {
        self.0.join("admin.sock")
    }
    /// Snapshots for new nodes.
    #[must_use]
    pub fn snapshots(&self) -> PathBuf {
        self.0.join("snapshots")
    }
    /// Chunks of a snapshot being fetched.
    #[must_use]
    pub fn fetched(&self) -> PathBuf {
        self.0.join("fetched-snapshot")
    }
    /// Lock of the running process.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
}

/// Reads a configuration file; a missing one is all defaults.
///
/// # Errors
/// Not readable, too long, or not this format.
pub fn load(path: &Path) -> anyhow::Result<NodeConfig> {
    use anyhow::Context as _;
    let length = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(NodeConfig::default()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    anyhow::ensure!(length <= MAX_CONFIG_BYTES, "{} is longer than 1 MiB", path.display());
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: NodeConfig = toml::from_str(&text)
        .with_context(|| format!("{} is not acceptable; see docs/spec/chain.md", path.display()))?;
    config.check().with_context(|| format!("{} is not acceptable", path.display()))?;
    Ok(config)
}

impl NodeConfig {
    /// What types cannot say.
    ///
    /// # Errors
    /// The first value that cannot be.
    pub fn check(&self) -> anyhow::Result<()> {
        let block_ms = self.consensus.block_ms;
        anyhow::ensure!(block_ms >= MIN_BLOCK_MS, "consensus.block_ms is {block_ms}; the least is {MIN_BLOCK_MS}");
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> anyhow::Result<NodeConfig> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netchaind.toml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn blocks_faster_than_their_timestamps_are_refused() {
        assert_eq!(loaded("[consensus]\nblock_ms = 1000\n").unwrap().consensus.block_ms, 1_000);
        let error = loaded("[consensus]\nblock_ms = 999\n").unwrap_err();
        assert!(format!("{error:#}").contains("the least is 1000"), "{error:#}");
    }

    #[test]
    fn what_is_not_named_is_as_written_in_the_documentation() {
        let config = loaded("").unwrap();
        assert_eq!(config.rpc.hosts, ["localhost"]);
        assert_eq!(config.rpc.origins, ["localhost"]);
        assert_eq!(config.consensus.block_ms, 3_000);
        let named = loaded("[rpc]\nhosts = [\"node.example\"]\norigins = []\n").unwrap();
        assert_eq!(named.rpc.hosts, ["node.example"]);
        assert!(named.rpc.origins.is_empty());
        assert!(loaded("[rpc]\nhost = \"node.example\"\n").is_err(), "an unknown key");
    }
}
