//! A chain in memory with accounts whose keys are known.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use netchain_exec::state::{MemoryState, State, StateChanges};
use netchain_exec::{
    BlockContext, Candidates, ChainParams, ExecutedBlock, Executor, Genesis, SignedTransaction, Verdict,
};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};

pub(crate) const CHAIN_ID: u64 = 7_300;
pub(crate) const GWEI: u128 = 1_000_000_000;

#[derive(Clone)]
pub(crate) struct Wallet {
    pub(crate) key: SecretKey,
    pub(crate) address: Address,
}

pub(crate) fn wallet(n: u64) -> Wallet {
    let key = SecretKey::from_slice(keccak256(n.to_be_bytes()).as_slice()).unwrap();
    let point = PublicKey::from_secret_key(SECP256K1, &key).serialize_uncompressed();
    Wallet { key, address: Address::from_word(keccak256(&point[1..])) }
}

pub(crate) fn sign_hash(key: &SecretKey, hash: B256) -> Signature {
    let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(&Message::from_digest(hash.0), key).serialize_compact();
    Signature::new(U256::from_be_slice(&bytes[..32]), U256::from_be_slice(&bytes[32..]), i32::from(id) == 1)
}

pub(crate) fn sign(
    key: &SecretKey,
    tx: impl SignableTransaction<Signature> + Into<alloy_consensus::TypedTransaction>,
) -> TxEnvelope {
    let signature = sign_hash(key, tx.signature_hash());
    let typed: alloy_consensus::TypedTransaction = tx.into();
    typed.into_envelope(signature)
}

pub(crate) fn transfer(from: &Wallet, nonce: u64, to: Address, value: u64) -> TxEip1559 {
    let _ = from;
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: 2 * GWEI,
        to: TxKind::Call(to),
        value: U256::from(value),
        access_list: Default::default(),
        input: Bytes::new(),
    }
}

pub(crate) fn deploy(nonce: u64, code: Vec<u8>) -> TxEip1559 {
    // PUSH2 len, PUSH1 12, PUSH0, CODECOPY, PUSH2 len, PUSH0, RETURN
    let len = u16::try_from(code.len()).unwrap().to_be_bytes();
    let mut input = vec![0x61, len[0], len[1], 0x60, 12, 0x5f, 0x39, 0x61, len[0], len[1], 0x5f, 0xf3];
    input.extend(code);
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Create,
        value: U256::ZERO,
        access_list: Default::default(),
        input: input.into(),
    }
}

pub(crate) fn call(nonce: u64, to: Address, gas_limit: u64, input: Vec<u8>) -> TxEip1559 {
    TxEip1559 { to: TxKind::Call(to), gas_limit, input: input.into(), ..deploy(nonce, Vec::new()) }
}

pub(crate) fn signed(from: &Wallet, tx: TxEip1559) -> SignedTransaction {
    SignedTransaction::decode(&sign(&from.key, tx).encoded_2718(), CHAIN_ID).unwrap()
}

pub(crate) fn genesis_json(extra_nfc: &str, alloc: &str) -> String {
    let accounts: Vec<String> =
        (1..=8).map(|n| format!("\"{}\": {{\"balance\": \"1000000000000000000000\"}}", wallet(n).address)).collect();
    format!(
        r#"{{ "config": {{ "chainId": {CHAIN_ID}, "homesteadBlock": 0, "nfc": {{ {extra_nfc} "witnesses": [
            {{ "account": "0x1111111111111111111111111111111111111111",
               "voteKey": "0x{}", "revealKey": "0x{}" }} ] }} }},
           "timestamp": "0x6553f100", "gasLimit": "300000000",
           "alloc": {{ {alloc} {} }} }}"#,
        "22".repeat(32),
        "33".repeat(48),
        accounts.join(",")
    )
}

pub(crate) struct Chain {
    pub(crate) executor: Executor,
    pub(crate) state: MemoryState,
    pub(crate) height: u64,
    pub(crate) base_fee: u64,
    pub(crate) creator: Address,
}

pub(crate) fn chain(extra_nfc: &str, alloc: &str) -> Chain {
    let genesis = Genesis::from_json(genesis_json(extra_nfc, alloc).as_bytes()).unwrap().block().unwrap();
    let mut state = MemoryState::default();
    assert_eq!(state.commit(&genesis.changes).unwrap(), genesis.header.state_root);
    let base_fee = genesis.header.base_fee_per_gas;
    Chain { executor: Executor::new(genesis.params), state, height: 0, base_fee, creator: Address::repeat_byte(0xcc) }
}

impl Chain {
    pub(crate) fn context(&self) -> BlockContext {
        BlockContext {
            number: self.height + 1,
            timestamp: 1_700_000_000 + self.height * 3,
            beneficiary: self.creator,
            mix_hash: keccak256(self.height.to_be_bytes()),
            base_fee: self.base_fee,
            round: 0,
            last_commit_bitmap: 0x7fff,
            evidence: vec![0xc0].into(),
        }
    }

    /// Builds a block, executes it again as a follower does, compares, keeps it.
    pub(crate) fn block(&mut self, txs: &[SignedTransaction]) -> ExecutedBlock {
        let context = self.context();
        let mut list = List { left: txs.to_vec(), verdicts: BTreeMap::new() };
        let built = self.executor.build(&self.state, &context, &mut list, 2 << 20).unwrap();
        let again = self.executor.execute(&self.state, &context, &built.transactions).unwrap();
        assert_eq!(again.changes, built.changes);
        assert_eq!(again.receipts_root(), built.receipts_root());
        assert_eq!(again.gas_used, built.gas_used);
        for verdict in list.verdicts.values() {
            assert_eq!(*verdict, Verdict::Taken);
        }
        self.state.commit(&built.changes).unwrap();
        self.height += 1;
        built
    }

    pub(crate) fn balance(&self, address: &Address) -> U256 {
        self.state.account(address).unwrap().map_or(U256::ZERO, |account| account.balance)
    }

    pub(crate) fn params(&self) -> &ChainParams {
        self.executor.params()
    }
}

/// Candidates from a list.
pub(crate) struct List {
    pub(crate) left: Vec<SignedTransaction>,
    pub(crate) verdicts: BTreeMap<B256, Verdict>,
}

impl Candidates for List {
    fn next(&mut self, _gas_left: u64) -> Option<SignedTransaction> {
        if self.left.is_empty() { None } else { Some(self.left.remove(0)) }
    }
    fn done(&mut self, transaction: &SignedTransaction, verdict: &Verdict) {
        self.verdicts.insert(transaction.hash(), verdict.clone());
    }
}

/// Sum of all balances that a set of changes ends with, over the accounts it names.
pub(crate) fn changed_sum(state: &MemoryState, changes: &StateChanges) -> (U256, U256) {
    changes.accounts.iter().fold((U256::ZERO, U256::ZERO), |(before, after), (address, change)| {
        let old = state.account(address).unwrap().map_or(U256::ZERO, |account| account.balance);
        (before + old, after + change.account.map_or(U256::ZERO, |account| account.balance))
    })
}
