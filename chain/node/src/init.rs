//! `netchaind init`: folder, keys, configuration; and the preset of a local test network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use alloy_primitives::{Address, B256, U256, address, keccak256};
use anyhow::{Context as _, ensure};
use netchain_exec::Genesis;
use netchain_exec::genesis::{GenesisAccount, GenesisConfig, GenesisNfc};
use netchain_types::MAX_WITNESSES;

use crate::config::{Layout, MetricsSection, NetSection, NodeConfig, RpcSection};
use crate::keys::{WitnessKeys, make_node_key, make_witness_keys, read_node_key};

/// Chain id of local test networks.
pub const DEV_CHAIN_ID: u64 = 31_373;
/// First accounts of the mnemonic "test test test test test test test test test test test junk", which every Ethereum tool
/// knows. Anybody can spend what they hold: for local test networks only.
pub const DEV_ACCOUNTS: [Address; 10] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// Makes a node's folder with its keys, the genesis file and a configuration. What is there stays.
///
/// # Errors
/// Of the file system; a genesis file that is not acceptable.
pub fn init(layout: &Layout, genesis: Option<&Path>, witness: Option<Address>) -> anyhow::Result<()> {
    make_folder(&layout.0)?;
    make_node_key(&layout.node_key())?;
    if let Some(account) = witness {
        make_witness_keys(&layout.witness_key(), account)?;
    }
    if let Some(path) = genesis {
        let json = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Genesis::from_json(&json)?.block()?;
        std::fs::write(layout.genesis(), json)?;
    }
    if !layout.config().exists() {
        write_config(layout, &NodeConfig::default())?;
    }
    Ok(())
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot create {}", path.display()))
}

fn write_config(layout: &Layout, config: &NodeConfig) -> anyhow::Result<()> {
    config.check()?;
    Ok(std::fs::write(layout.config(), toml::to_string_pretty(config)?)?)
}

/// What a local test network looks like.
#[derive(Clone, Copy, Debug)]
pub struct Localnet {
    /// Witnesses, 1 to 21.
    pub witnesses: usize,
    /// Node i serves RPC on this port + i, metrics on +100 + i, peers on +200 + i, all on 127.0.0.1.
    pub first_port: u16,
    /// Milliseconds from block to block.
    pub block_ms: u64,
    /// Further accounts `keccak("NFC/BENCH/" | i)` that get money, for benchmarks.
    pub bench_accounts: u32,
}

/// Key of a benchmark account. Anybody can spend what it holds.
#[must_use]
pub fn bench_key(index: u32) -> B256 {
    keccak256(format!("NFC/BENCH/{index}"))
}

/// Makes folders `node0`, `node1`, ... of a local test network in `root`.
///
/// # Errors
/// Of the file system, or a number of witnesses that is none.
pub fn localnet(root: &Path, net: &Localnet, bench_address: impl Fn(u32) -> Address) -> anyhow::Result<()> {
    localnet_with(root, net, bench_address, |_| ())
}

/// As [`localnet`], with a genesis that `edit` changed: other contracts, fewer witnesses than nodes.
///
/// # Errors
/// As there, or the genesis is not acceptable any more.
pub fn localnet_with(
    root: &Path,
    net: &Localnet,
    bench_address: impl Fn(u32) -> Address,
    edit: impl FnOnce(&mut Genesis),
) -> anyhow::Result<()> {
    ensure!((1..=MAX_WITNESSES).contains(&net.witnesses), "a network has 1 to {MAX_WITNESSES} witnesses");
    let mut nodes: Vec<(Layout, WitnessKeys)> = Vec::new();
    for index in 0..net.witnesses {
        let layout = Layout(root.join(format!("node{index}")));
        make_folder(&layout.0)?;
        make_node_key(&layout.node_key())?;
        let account = Address::from_word(keccak256(format!("NFC/LOCALNET/{index}")));
        nodes.push((layout.clone(), make_witness_keys(&layout.witness_key(), account)?));
    }
    let rich = |ether: u64| GenesisAccount {
        balance: U256::from(ether) * U256::from(10_u64.pow(18)),
        ..GenesisAccount::default()
    };
    let mut alloc: BTreeMap<Address, GenesisAccount> =
        DEV_ACCOUNTS.iter().map(|account| (*account, rich(1_000_000))).collect();
    alloc.extend((0..net.bench_accounts).map(|index| (bench_address(index), rich(1_000))));
    let mut genesis = Genesis {
        config: GenesisConfig {
            chain_id: DEV_CHAIN_ID,
            nfc: GenesisNfc {
                min_base_fee: netchain_exec::ChainParams::new(DEV_CHAIN_ID).min_base_fee,
                prize_pool: None,
                witness_contract: netchain_exec::ChainParams::new(DEV_CHAIN_ID).witness_contract,
                witnesses: nodes.iter().map(|(_, keys)| keys.genesis_entry()).collect(),
            },
        },
        timestamp: 1_700_000_000,
        gas_limit: netchain_exec::ChainParams::new(DEV_CHAIN_ID).gas_limit,
        mix_hash: keccak256("NFC/LOCALNET"),
        alloc,
    };
    edit(&mut genesis);
    genesis.block()?;
    let json = serde_json::to_vec_pretty(&genesis)?;
    let mut bootnodes = Vec::new();
    for (index, (layout, _)) in nodes.iter().enumerate() {
        let port = |offset: usize| net.first_port + u16::try_from(offset + index).unwrap_or(u16::MAX);
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let config = NodeConfig {
            net: NetSection {
                listen: vec![format!("/ip4/127.0.0.1/tcp/{}", port(200))],
                external: Vec::new(),
                bootnodes: bootnodes.clone(),
            },
            rpc: RpcSection { listen: Some(local(port(0))), ..RpcSection::default() },
            metrics: MetricsSection { listen: Some(local(port(100))) },
            consensus: crate::config::ConsensusSection { block_ms: net.block_ms },
            ..NodeConfig::default()
        };
        write_config(layout, &config)?;
        std::fs::write(layout.genesis(), &json)?;
        // Two to begin with are enough; the others are found.
        if bootnodes.len() < 2 {
            bootnodes.push(format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", port(200), peer_id(layout)?));
        }
    }
    Ok(())
}

/// Peer id of a node's key file.
///
/// # Errors
/// The file is missing or damaged.
pub fn peer_id(layout: &Layout) -> anyhow::Result<String> {
    let secret = read_node_key(&layout.node_key())?;
    netchain_net::peer_id(&secret).context("the node's key is damaged")
}
