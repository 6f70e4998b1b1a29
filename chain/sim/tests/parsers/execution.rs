//! Transactions, bodies, the genesis file, precompiles and snapshots.

use alloy_primitives::{Address, Bytes, TxKind};
use alloy_rpc_types_eth::TransactionRequest;
use netchain_exec::precompiles::{SIGNATURES, TRIE_PROOF};
use netchain_exec::state::MemoryState;
use netchain_exec::{
    BlockContext, Call, ChainParams, Executor, Genesis, SignedTransaction, decode_body, encode_body, roots_of_body,
};
use netchain_store::snapshot::{Importer, Manifest};
use netchain_store::{Store, StoreOptions};

use super::parts;

/// Chain id of the seeds.
pub(crate) const CHAIN_ID: u64 = 7_301;

pub(crate) fn transaction(bytes: &[u8]) {
    if let Ok(tx) = SignedTransaction::decode(bytes, CHAIN_ID) {
        assert_eq!(tx.bytes().as_ref(), bytes, "one transaction has one spelling");
        assert_eq!(tx.hash(), alloy_primitives::keccak256(bytes));
        assert_ne!(tx.sender(), netchain_exec::system::system_address());
    }
    let _ = SignedTransaction::decode_any(bytes, CHAIN_ID);
}

pub(crate) fn body(bytes: &[u8]) {
    let root = roots_of_body(bytes);
    if let Ok(txs) = decode_body(bytes, CHAIN_ID) {
        assert!(root.is_some());
        assert_eq!(encode_body(&txs).as_ref(), bytes, "one body has one spelling");
    }
}

pub(crate) fn genesis(bytes: &[u8]) {
    if let Ok(genesis) = Genesis::from_json(bytes)
        && let Ok(block) = genesis.block()
    {
        block.header.check().expect("a genesis header of this chain");
        let json = serde_json::to_vec(&genesis).unwrap();
        let again = Genesis::from_json(&json).unwrap().block().unwrap();
        assert_eq!(again.header.hash(), block.header.hash(), "written and read: the same chain");
    }
}

/// First byte: which one. The rest is its input.
pub(crate) fn precompiles(bytes: &[u8]) {
    let Some((which, input)) = bytes.split_first() else { return };
    let request = TransactionRequest {
        to: Some(TxKind::Call(if which & 1 == 0 { SIGNATURES } else { TRIE_PROOF })),
        input: Bytes::copy_from_slice(input).into(),
        ..TransactionRequest::default()
    };
    let context = BlockContext {
        number: 1,
        timestamp: 1,
        beneficiary: Address::ZERO,
        mix_hash: alloy_primitives::B256::ZERO,
        base_fee: 1,
        round: 0,
        last_commit_bitmap: 0,
        evidence: Bytes::new(),
    };
    let executor = Executor::new(ChainParams::new(CHAIN_ID));
    let call = Call { request: &request, overrides: None, gas_cap: 1_000_000 };
    let state = MemoryState::default();
    // Long input costs more gas than this call has; anything else succeeds, with or without an answer.
    let _ = executor.call(&state, &context, &call);
}

/// First part a manifest, the others its chunks: as they come, and with a manifest that names them.
pub(crate) fn snapshot(bytes: &[u8]) {
    let parts = parts(bytes);
    let Some((first, chunks)) = parts.split_first() else { return };
    let Ok(manifest) = Manifest::decode(first) else { return };
    let mut naming = manifest.clone();
    naming.chunks = chunks.iter().map(alloy_primitives::keccak256).collect();
    for manifest in [manifest, naming] {
        let hash = manifest.header.hash();
        let root = manifest.header.state_root;
        let store = Store::memory(StoreOptions { undo_blocks: None, durable: false });
        let mut importer = Importer::new(store.clone(), manifest, hash).unwrap();
        if chunks.iter().any(|chunk| importer.chunk(chunk).is_err()) {
            continue;
        }
        if importer.finish().is_ok() {
            assert_eq!(store.tip().map(|tip| tip.root), Some(root));
            let tip = store.tip().unwrap();
            assert_eq!(tip.hash, hash);
        }
    }
}
