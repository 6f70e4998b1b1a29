//! JSON-RPC requests as text, through every method, against a small chain.

use std::sync::{Arc, OnceLock};

use alloy_primitives::{Address, B256, U256};
use netchain_exec::genesis::{GenesisAccount, GenesisConfig, GenesisNfc, GenesisWitness};
use netchain_exec::{ChainParams, Executor, Genesis, SignedTransaction};
use netchain_rpc::{NetSource, RpcContext, RpcLimits, SyncState, TxSource, module};
use netchain_store::{Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

use super::execution::CHAIN_ID;
use super::set;

/// A pool that checks what it is given and keeps nothing.
struct Nothing;

impl TxSource for Nothing {
    fn submit(&self, raw: &[u8]) -> Result<B256, String> {
        SignedTransaction::decode(raw, CHAIN_ID).map(|tx| tx.hash()).map_err(|error| error.to_string())
    }
    fn get(&self, _: &B256) -> Option<SignedTransaction> {
        None
    }
    fn next_nonce(&self, _: &Address) -> Option<u64> {
        None
    }
    fn counts(&self) -> (usize, usize) {
        (0, 0)
    }
    fn subscribe(&self) -> broadcast::Receiver<B256> {
        broadcast::channel(1).1
    }
}

impl NetSource for Nothing {
    fn peers(&self) -> usize {
        0
    }
    fn listening(&self) -> bool {
        true
    }
    fn sync(&self) -> SyncState {
        SyncState::default()
    }
}

/// A genesis with some accounts, one of them a contract that adds up what it is given.
pub(crate) fn genesis() -> Genesis {
    let params = ChainParams::new(CHAIN_ID);
    let set = set(0, 4);
    let witnesses = set.seats().iter().map(|seat| GenesisWitness {
        account: seat.account,
        vote_key: seat.vote_key.into(),
        reveal_key: seat.reveal_key.into(),
    });
    let rich = GenesisAccount { balance: U256::from(10_u64.pow(18)), ..GenesisAccount::default() };
    // PUSH0 CALLDATALOAD PUSH0 SLOAD ADD PUSH0 SSTORE PUSH0 PUSH0 LOG0
    let code = vec![0x5f, 0x35, 0x5f, 0x54, 0x01, 0x5f, 0x55, 0x5f, 0x5f, 0xa0].into();
    let contract = GenesisAccount { code, ..GenesisAccount::default() };
    Genesis {
        config: GenesisConfig {
            chain_id: CHAIN_ID,
            nfc: GenesisNfc {
                min_base_fee: params.min_base_fee,
                prize_pool: None,
                witness_contract: params.witness_contract,
                witnesses: witnesses.collect(),
            },
        },
        timestamp: 1_700_000_000,
        gas_limit: params.gas_limit,
        mix_hash: B256::repeat_byte(1),
        alloc: [(Address::repeat_byte(1), rich), (Address::repeat_byte(2), contract)].into(),
    }
}

fn server() -> &'static (Runtime, RpcServer) {
    static SERVER: OnceLock<(Runtime, RpcServer)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let genesis = genesis().block().unwrap();
        let store = Store::memory(StoreOptions { undo_blocks: None, durable: false });
        store.init(&genesis.header, &genesis.changes, &[]).unwrap();
        let (heads, _) = broadcast::channel(1);
        // Less gas than a node allows: a loop that burns it all is no finding.
        let limits = RpcLimits { gas_cap: 1_000_000, filters: 16, ..RpcLimits::default() };
        let executor = Executor::new(genesis.params);
        let context = RpcContext::new(store, executor, Arc::new(Nothing), Arc::new(Nothing), heads, limits);
        let module = module(Arc::new(context)).unwrap();
        let call = move |runtime: &Runtime, request: &str| {
            runtime.block_on(async {
                module.raw_json_request(request, 1).await.map(|(answer, _)| answer.get().to_owned())
            })
        };
        (runtime, Box::new(call))
    })
}

type RpcServer = Box<dyn Fn(&Runtime, &str) -> Result<String, serde_json::Error> + Send + Sync>;

/// A request, or only its method and parameters: `name [params]`.
pub(crate) fn request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (runtime, call) = server();
    let whole = match text.split_once(' ') {
        Some((method, params)) if !text.starts_with('{') => {
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
        }
        _ => text.to_owned(),
    };
    if let Ok(answer) = call(runtime, &whole) {
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer is JSON");
        assert!(answer.get("result").is_some() || answer.get("error").is_some(), "{answer}");
        let code = answer.pointer("/error/code").and_then(serde_json::Value::as_i64);
        // -32603: something broke here, whatever was asked.
        assert_ne!(code, Some(-32_603), "{whole}: {answer}");
    }
}
