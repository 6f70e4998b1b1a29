//! `chain.rlp`, `genesis.json` and `forkenv.json` of ethereum/execution-apis into a chain in memory, as hive does it for
//! the clients it tests: every block is executed by the rules of its fork, and its roots are compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use alloy_consensus::{Block, Header, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable};
use anyhow::{Context as _, anyhow, bail};
use netchain_exec::conformance::foreign::{ForeignBlock as Executable, Forks};
use netchain_exec::genesis::{GenesisAccount, alloc_changes};
use netchain_exec::{BlockContext, ChainParams, FeeRule, SignedTransaction, WITNESS_CONTRACT, receipts_with_context};
use netchain_rpc::{ForeignBlock, ForeignChain, ReadBlock};
use netchain_state::{Account, MemoryState, State, StateError};
use netchain_store::{BlockBytes, NewBlock, Store, StoreOptions};
use netchain_types::Header as Shadow;
use netchain_types::header::{EMPTY_REQUESTS, EMPTY_ROOT};
use serde_json::Value;

/// Longest `chain.rlp`: a thousand times the published one.
const MAX_CHAIN_BYTES: u64 = 256 << 20;
/// Base fee of a London genesis that names none (EIP-1559).
const FIRST_BASE_FEE: u64 = 1_000_000_000;

/// A chain that was read.
pub(crate) struct Imported {
    pub(crate) store: Store,
    pub(crate) chain: ForeignChain,
    pub(crate) params: ChainParams,
}

/// Reads `genesis.json` and, where there is one, `chain.rlp` of a folder.
pub(crate) fn import(dir: &Path, genesis: &Value) -> anyhow::Result<Imported> {
    let forks = forks(dir, genesis)?;
    let alloc = alloc(genesis)?;
    let changes = alloc_changes(&alloc);
    let root = MemoryState::default().commit(&changes)?;
    let header = genesis_header(genesis, &forks, root)?;
    let params = ChainParams {
        chain_id: forks.chain_id,
        gas_limit: header.gas_limit,
        // EIP-1559 knows no least price.
        min_base_fee: 0,
        fee_rule: FeeRule::Ethereum,
        witness_contract: WITNESS_CONTRACT,
    };
    let store = Store::memory(StoreOptions { undo_blocks: None, durable: false });
    store.init(&shadow(&header, B256::ZERO), &changes, &[])?;
    let mut imported = Imported { store, chain: ForeignChain::default(), params };
    let withdrawals = header.withdrawals_root.map(|_| Vec::new());
    let body = alloy_consensus::BlockBody::<TxEnvelope> {
        withdrawals: withdrawals.clone().map(Into::into),
        ..Default::default()
    };
    let bytes: Bytes = alloy_rlp::encode(Block { header: header.clone(), body }).into();
    let read = read_block(&header, B256::ZERO, bytes.len(), Vec::new(), &[])?;
    imported.chain.push(ForeignBlock { header, withdrawals, bytes, read });
    let path = dir.join("chain.rlp");
    if !path.exists() {
        return Ok(imported);
    }
    anyhow::ensure!(
        std::fs::metadata(&path)?.len() <= MAX_CHAIN_BYTES,
        "chain.rlp is longer than {MAX_CHAIN_BYTES} bytes"
    );
    let file = std::fs::read(&path)?;
    let mut rest = file.as_slice();
    while !rest.is_empty() {
        let before = rest;
        let block =
            Block::<TxEnvelope>::decode(&mut rest).map_err(|error| anyhow!("chain.rlp holds no block: {error}"))?;
        let bytes = before.get(..before.len() - rest.len()).unwrap_or_default();
        let number = block.header.number;
        add(&mut imported, &forks, block, bytes).with_context(|| format!("block {number} of chain.rlp"))?;
    }
    Ok(imported)
}

/// Executes one block and commits its shadow.
fn add(to: &mut Imported, forks: &Forks, block: Block<TxEnvelope>, bytes: &[u8]) -> anyhow::Result<()> {
    let tip = to.store.tip().context("the store is empty")?;
    let parent = to.chain.block(tip.height).context("the parent is missing")?.read.hash;
    if block.header.number != tip.height + 1 || block.header.parent_hash != parent {
        bail!("it does not follow block {}", tip.height);
    }
    let decode = |tx: &TxEnvelope| SignedTransaction::decode_foreign(&tx.encoded_2718(), forks.chain_id);
    let withdrawals = block.body.withdrawals.map(|all| all.into_inner());
    let executable = Executable {
        header: block.header.clone(),
        transactions: block.body.transactions.iter().map(decode).collect::<Result<_, _>>()?,
        ommers: block.body.ommers,
        withdrawals: withdrawals.clone().unwrap_or_default(),
    };
    let state = Arc::new(Past { state: to.store.state_at(tip.height)?, hashes: hashes(&to.chain, tip.height) });
    let outcome = executable.execute(state, forks).map_err(|why| anyhow!(why))?;
    let update = to.store.prepare(&outcome.changes)?;
    if update.root != block.header.state_root {
        bail!("the state root is {}, the header says {}", update.root, block.header.state_root);
    }
    let header = shadow(&block.header, tip.hash);
    let body = netchain_exec::encode_body(&executable.transactions);
    let new = NewBlock {
        block: BlockBytes { hash: header.hash(), bytes: shadow_block(&header, &body), header },
        receipts: outcome.receipts,
        certificate: Bytes::new(),
        notes: Bytes::new(),
    };
    to.store.commit(&new, &update)?;
    let read = read_block(&block.header, tip.hash, bytes.len(), executable.transactions, &new.receipts)?;
    to.chain.push(ForeignBlock { header: block.header, withdrawals, bytes: Bytes::copy_from_slice(bytes), read });
    Ok(())
}

/// The block as the methods show it.
fn read_block(
    header: &Header,
    shadow_parent: B256,
    size: usize,
    transactions: Vec<SignedTransaction>,
    receipts: &[Bytes],
) -> anyhow::Result<Arc<ReadBlock>> {
    let base_fee = header.base_fee_per_gas.unwrap_or_default();
    let receipts = receipts_with_context(receipts, &transactions, base_fee)?;
    let context = BlockContext {
        number: header.number,
        timestamp: header.timestamp,
        beneficiary: header.beneficiary,
        mix_hash: header.mix_hash,
        base_fee,
        round: 0,
        last_commit_bitmap: 0,
        evidence: Bytes::new(),
    };
    let (header, hash) = (shadow(header, shadow_parent), header.hash_slow());
    Ok(Arc::new(ReadBlock { header, hash, size, transactions, receipts, context }))
}

/// The state of a shadow with the hashes of the real chain.
struct Past<S> {
    state: S,
    hashes: BTreeMap<u64, B256>,
}

impl<S: State> State for Past<S> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        self.state.account(address)
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.state.storage(address, slot)
    }
    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        self.state.code(hash)
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(self.hashes.get(&number).copied().unwrap_or_default())
    }
}

/// What the `BLOCKHASH` instruction reaches.
fn hashes(chain: &ForeignChain, tip: u64) -> BTreeMap<u64, B256> {
    (tip.saturating_sub(255)..=tip).filter_map(|height| Some((height, chain.block(height)?.read.hash))).collect()
}

/// A header of our shape that stands for a foreign one.
fn shadow(header: &Header, parent: B256) -> Shadow {
    Shadow {
        parent_hash: parent,
        ommers_hash: header.ommers_hash,
        beneficiary: header.beneficiary,
        state_root: header.state_root,
        transactions_root: header.transactions_root,
        receipts_root: header.receipts_root,
        logs_bloom: header.logs_bloom,
        difficulty: header.difficulty,
        number: header.number,
        gas_limit: header.gas_limit,
        gas_used: header.gas_used,
        timestamp: header.timestamp,
        extra_data: header.extra_data.clone(),
        mix_hash: header.mix_hash,
        nonce: header.nonce,
        base_fee_per_gas: header.base_fee_per_gas.unwrap_or_default(),
        withdrawals_root: header.withdrawals_root.unwrap_or(EMPTY_ROOT),
        blob_gas_used: header.blob_gas_used.unwrap_or_default(),
        excess_blob_gas: header.excess_blob_gas.unwrap_or_default(),
        parent_beacon_block_root: header.parent_beacon_block_root.unwrap_or_default(),
        requests_hash: header.requests_hash.unwrap_or(EMPTY_REQUESTS),
    }
}

/// `[header, [], [], body]`: a block without certificate and evidence.
fn shadow_block(header: &Shadow, body: &Bytes) -> Bytes {
    let mut payload = Vec::new();
    header.encode(&mut payload);
    payload.extend_from_slice(&[alloy_rlp::EMPTY_LIST_CODE, alloy_rlp::EMPTY_LIST_CODE]);
    body.encode(&mut payload);
    let mut bytes = Vec::new();
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut bytes);
    bytes.extend_from_slice(&payload);
    bytes.into()
}

/// A number as JSON number, decimal or hexadecimal text; none when it is absent or null.
fn number(value: Option<&Value>) -> anyhow::Result<Option<U256>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_u64().map(U256::from)),
        Some(Value::String(text)) => Ok(Some(text.parse().map_err(|_| anyhow!("{text:?} is no number"))?)),
        Some(other) => bail!("{other} is no number"),
    }
}

fn number64(value: Option<&Value>) -> anyhow::Result<Option<u64>> {
    number(value)?.map(|number| u64::try_from(number).context("a number has more than 64 bits")).transpose()
}

/// `forkenv.json` where there is one, else `config` of the genesis.
fn forks(dir: &Path, genesis: &Value) -> anyhow::Result<Forks> {
    let env: Option<Value> = match std::fs::read(dir.join("forkenv.json")) {
        Ok(text) => Some(serde_json::from_slice(&text)?),
        Err(_) => None,
    };
    let read = |hive: &str, geth: &str| match &env {
        Some(env) => number64(env.get(hive)),
        None => number64(genesis.get("config").and_then(|config| config.get(geth))),
    };
    Ok(Forks {
        chain_id: read("HIVE_CHAIN_ID", "chainId")?.context("no chain id")?,
        petersburg_block: read("HIVE_FORK_PETERSBURG", "petersburgBlock")?,
        istanbul_block: read("HIVE_FORK_ISTANBUL", "istanbulBlock")?,
        berlin_block: read("HIVE_FORK_BERLIN", "berlinBlock")?,
        london_block: read("HIVE_FORK_LONDON", "londonBlock")?,
        shanghai_time: read("HIVE_SHANGHAI_TIMESTAMP", "shanghaiTime")?,
        cancun_time: read("HIVE_CANCUN_TIMESTAMP", "cancunTime")?,
        prague_time: read("HIVE_PRAGUE_TIMESTAMP", "pragueTime")?,
        osaka_time: read("HIVE_OSAKA_TIMESTAMP", "osakaTime")?,
    })
}

/// Ethereum's rule: an account that names no nonce has 0, with code too.
fn alloc(genesis: &Value) -> anyhow::Result<BTreeMap<Address, GenesisAccount>> {
    let alloc = genesis.get("alloc").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let mut alloc: BTreeMap<Address, GenesisAccount> = serde_json::from_value(alloc)?;
    alloc.values_mut().for_each(|account| account.nonce = account.nonce.or(Some(0)));
    Ok(alloc)
}

fn genesis_header(genesis: &Value, forks: &Forks, state_root: B256) -> anyhow::Result<Header> {
    let get = |name: &str| genesis.get(name);
    let parse = |name: &str| get(name).filter(|value| !value.is_null()).cloned();
    let typed = |name: &str| parse(name).map(serde_json::from_value::<B256>).transpose();
    let timestamp = number64(get("timestamp"))?.unwrap_or_default();
    let active = |fork: Option<u64>| fork.is_some_and(|begin| begin <= timestamp);
    let london = forks.london_block == Some(0);
    let (shanghai, cancun) = (london && active(forks.shanghai_time), london && active(forks.cancun_time));
    let base_fee = number64(get("baseFeePerGas"))?.unwrap_or(FIRST_BASE_FEE);
    let blobs = |name: &str| number64(get(name)).map(|number| cancun.then(|| number.unwrap_or_default()));
    Ok(Header {
        parent_hash: typed("parentHash")?.unwrap_or_default(),
        beneficiary: parse("coinbase").map(serde_json::from_value).transpose()?.unwrap_or_default(),
        state_root,
        difficulty: number(get("difficulty"))?.unwrap_or_default(),
        gas_limit: number64(get("gasLimit"))?.context("genesis.json has no gasLimit")?,
        gas_used: number64(get("gasUsed"))?.unwrap_or_default(),
        timestamp,
        extra_data: parse("extraData").map(serde_json::from_value).transpose()?.unwrap_or_default(),
        mix_hash: typed("mixHash")?.unwrap_or_default(),
        nonce: B64::from(number64(get("nonce"))?.unwrap_or_default()),
        base_fee_per_gas: london.then_some(base_fee),
        withdrawals_root: shanghai.then_some(EMPTY_ROOT),
        blob_gas_used: blobs("blobGasUsed")?,
        excess_blob_gas: blobs("excessBlobGas")?,
        parent_beacon_block_root: cancun.then_some(B256::ZERO),
        requests_hash: (cancun && active(forks.prague_time)).then_some(EMPTY_REQUESTS),
        ..Header::default()
    })
}
