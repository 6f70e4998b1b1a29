//! Calls, estimates, overrides, access lists, traces, precompiles.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use alloy_rpc_types_trace::geth::{GethDebugBuiltInTracerType, GethDebugTracingOptions, GethTrace};
use common::{Chain, chain, deploy, signed, transfer, wallet};
use ed25519_dalek::{Signer, SigningKey};
use netchain_exec::precompiles::{SIGNATURES, TRIE_PROOF};
use netchain_exec::state::{Account, State, prove};
use netchain_exec::{Call, CallError};
use netchain_types::{Certificate, ChainDomain, CommitSignature, VoteKind, Witness, WitnessSet, vote_signing_bytes};

const CAP: u64 = 50_000_000;

fn request(to: Address, input: Vec<u8>) -> TransactionRequest {
    TransactionRequest {
        from: Some(wallet(1).address),
        to: Some(TxKind::Call(to)),
        input: Bytes::from(input).into(),
        ..TransactionRequest::default()
    }
}

fn run(chain: &Chain, request: &TransactionRequest, overrides: Option<&StateOverride>) -> Result<Vec<u8>, CallError> {
    let call = Call { request, overrides, gas_cap: CAP };
    let outcome = chain.executor.call(&chain.state, &chain.context(), &call)?;
    assert!(outcome.result.is_success(), "{:?}", outcome.result);
    Ok(outcome.result.output().unwrap().to_vec())
}

/// Returns SLOAD(0).
const READER: [u8; 9] = [0x5f, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3, 0x00];

#[test]
fn a_call_reads_the_state_changes_nothing_and_sees_overrides() {
    let mut chain = chain("", "");
    let a = wallet(1);
    chain.block(&[signed(&a, deploy(0, READER.to_vec()))]);
    let contract = a.address.create(0);
    let root = chain.state.root();
    let word = |value: u64| U256::from(value).to_be_bytes::<32>().to_vec();
    assert_eq!(run(&chain, &request(contract, Vec::new()), None).unwrap(), word(0));
    let seven = [(B256::ZERO, B256::from(U256::from(7)))];
    for full in [true, false] {
        let slots = Some(seven.into_iter().collect());
        let account = if full {
            AccountOverride { state: slots, ..AccountOverride::default() }
        } else {
            AccountOverride { state_diff: slots, ..AccountOverride::default() }
        };
        let overrides: StateOverride = [(contract, account)].into_iter().collect();
        assert_eq!(run(&chain, &request(contract, Vec::new()), Some(&overrides)).unwrap(), word(7));
    }
    // Code where there is none.
    let code = AccountOverride { code: Some(READER.to_vec().into()), ..AccountOverride::default() };
    let elsewhere = Address::repeat_byte(0x44);
    let overrides: StateOverride = [(elsewhere, code)].into_iter().collect();
    assert_eq!(run(&chain, &request(elsewhere, Vec::new()), Some(&overrides)).unwrap(), word(0));
    // More than the sender has.
    let rich = TransactionRequest { value: Some(U256::MAX), ..request(elsewhere, Vec::new()) };
    assert!(matches!(run(&chain, &rich, None), Err(CallError::Invalid(_))));
    assert_eq!(chain.state.root(), root);
}

#[test]
fn an_estimate_is_enough_and_hardly_more() {
    let mut chain = chain("", "");
    let a = wallet(1);
    // Writes three slots: SSTORE(1,1) SSTORE(2,1) SSTORE(3,1)
    let code = [1u8, 2, 3].iter().flat_map(|slot| [0x60, 1, 0x60, *slot, 0x55]).collect::<Vec<u8>>();
    chain.block(&[signed(&a, deploy(0, code))]);
    let contract = a.address.create(0);
    let estimate = |request: &TransactionRequest| {
        let call = Call { request, overrides: None, gas_cap: CAP };
        chain.executor.estimate_gas(&chain.state, &chain.context(), &call)
    };
    let plain = request(Address::repeat_byte(5), Vec::new());
    assert_eq!(estimate(&plain).unwrap(), 21_000);
    let writes = request(contract, Vec::new());
    let gas = estimate(&writes).unwrap();
    let with = |gas| {
        let request = TransactionRequest { gas: Some(gas), ..writes.clone() };
        let call = Call { request: &request, overrides: None, gas_cap: CAP };
        chain.executor.call(&chain.state, &chain.context(), &call).unwrap().result.is_success()
    };
    assert!(with(gas), "{gas}");
    assert!(!with(gas - gas / 20), "{gas}");
    let reverts = AccountOverride { code: Some(vec![0x5f, 0x5f, 0xfd].into()), ..AccountOverride::default() };
    let overrides: StateOverride = [(contract, reverts)].into_iter().collect();
    let call = Call { request: &writes, overrides: Some(&overrides), gas_cap: CAP };
    let reverted = chain.executor.estimate_gas(&chain.state, &chain.context(), &call).unwrap_err();
    assert_eq!(reverted, CallError::Reverted(Bytes::new()));
}

#[test]
fn an_access_list_names_what_a_call_touches() {
    let mut chain = chain("", "");
    let a = wallet(1);
    chain.block(&[signed(&a, deploy(0, READER.to_vec()))]);
    let contract = a.address.create(0);
    let request = request(contract, Vec::new());
    let call = Call { request: &request, overrides: None, gas_cap: CAP };
    let (list, outcome) = chain.executor.access_list(&chain.state, &chain.context(), &call).unwrap();
    assert!(outcome.result.is_success());
    assert_eq!(list.0.len(), 1);
    assert_eq!((list.0[0].address, list.0[0].storage_keys.clone()), (contract, vec![B256::ZERO]));
}

#[test]
fn traces_show_calls_and_the_state_before_for_every_transaction_of_a_block() {
    let mut chain = chain("", "");
    let a = wallet(1);
    let before = chain.state.clone();
    let context = chain.context();
    let block =
        chain.block(&[signed(&a, transfer(&a, 0, Address::repeat_byte(8), 5)), signed(&a, deploy(1, READER.to_vec()))]);
    let options = |tracer| GethDebugTracingOptions::new_tracer(tracer);
    let hash = B256::repeat_byte(1);
    let trace = |options: &GethDebugTracingOptions, only| {
        chain.executor.trace(&before, &context, &block.transactions, only, options, hash).unwrap()
    };
    let calls = trace(&options(GethDebugBuiltInTracerType::CallTracer), None);
    assert_eq!(
        calls.iter().map(|t| t.hash).collect::<Vec<_>>(),
        block.transactions.iter().map(|t| t.hash()).collect::<Vec<_>>()
    );
    let GethTrace::CallTracer(frame) = &calls[0].trace else { panic!("{calls:?}") };
    assert_eq!((frame.from, frame.to, frame.value), (a.address, Some(Address::repeat_byte(8)), Some(U256::from(5))));
    let GethTrace::CallTracer(frame) = &calls[1].trace else { panic!("{calls:?}") };
    assert_eq!(frame.typ, "CREATE");
    let second = trace(&options(GethDebugBuiltInTracerType::PreStateTracer), Some(1));
    assert_eq!(second.len(), 1);
    assert!(matches!(&second[0].trace, GethTrace::PreStateTracer(_)));
    let steps = trace(&GethDebugTracingOptions::default(), Some(1));
    let GethTrace::Default(frame) = &steps[0].trace else { panic!("{steps:?}") };
    assert!(!frame.failed && !frame.struct_logs.is_empty());
    let request = request(a.address.create(1), Vec::new());
    let call = Call { request: &request, overrides: None, gas_cap: CAP };
    let traced = chain
        .executor
        .trace_call(&chain.state, &chain.context(), &call, &options(GethDebugBuiltInTracerType::CallTracer))
        .unwrap();
    assert!(matches!(traced, GethTrace::CallTracer(_)));
}

#[test]
fn contracts_verify_ed25519_signatures_and_certificates() {
    let chain = chain("", "");
    let key = SigningKey::from_bytes(&[7; 32]);
    let ask = |input: Vec<u8>| run(&chain, &request(SIGNATURES, input), None).unwrap();
    let message = b"a message";
    let good = [&[0][..], key.verifying_key().as_bytes(), &key.sign(message).to_bytes(), message].concat();
    assert_eq!(ask(good.clone()), U256::from(1).to_be_bytes::<32>().to_vec());
    for at in [1, 40, 90, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert_eq!(ask(bad), Vec::<u8>::new());
    }
    assert_eq!(ask(Vec::new()), Vec::<u8>::new());
    assert_eq!(ask(vec![9; 200]), Vec::<u8>::new());
    let keys: Vec<SigningKey> = (1..=4).map(|n| SigningKey::from_bytes(&[n; 32])).collect();
    let seats = keys.iter().zip(1u8..).map(|(key, n)| Witness {
        account: Address::repeat_byte(n),
        vote_key: key.verifying_key().to_bytes(),
        reveal_key: [n; 48],
    });
    let set = WitnessSet::new(seats.collect()).unwrap();
    let domain = ChainDomain { chain_id: 5, genesis: B256::repeat_byte(9) };
    let block_hash = B256::repeat_byte(3);
    let certificate = |signers: &[usize]| {
        let text = vote_signing_bytes(&domain, VoteKind::Precommit, 12, 1, Some(&block_hash));
        let signatures = signers.iter().map(|seat| CommitSignature {
            seat: u8::try_from(*seat).unwrap(),
            signature: keys[*seat].sign(&text).to_bytes(),
        });
        Certificate { height: 12, round: 1, block_hash, signatures: signatures.collect() }
    };
    let input = |certificate: &Certificate, chain_id: u64| {
        let items = [
            alloy_rlp::encode(chain_id),
            alloy_rlp::encode(domain.genesis),
            alloy_rlp::encode(Bytes::from(set.encode())),
            alloy_rlp::encode(Bytes::from(certificate.encode())),
        ]
        .concat();
        let mut out = vec![1];
        alloy_rlp::Header { list: true, payload_length: items.len() }.encode(&mut out);
        [out, items].concat()
    };
    let word = |value: u64| U256::from(value).to_be_bytes::<32>().to_vec();
    let expected = [word(12), word(1), block_hash.to_vec(), word(0b1011)].concat();
    assert_eq!(ask(input(&certificate(&[0, 1, 3]), 5)), expected);
    assert_eq!(ask(input(&certificate(&[0, 1]), 5)), Vec::<u8>::new());
    assert_eq!(ask(input(&certificate(&[0, 1, 3]), 6)), Vec::<u8>::new());
}

#[test]
fn contracts_verify_state_proofs() {
    let chain = chain("", "");
    let a = wallet(1).address;
    for (address, present) in [(a, true), (Address::repeat_byte(0x5a), false)] {
        let proof = prove(chain.state.tables(), chain.state.root(), &address, &[]).unwrap();
        let nodes = alloy_rlp::encode(&proof.nodes);
        let input = [chain.state.root().as_slice(), alloy_primitives::keccak256(address).as_slice(), &nodes].concat();
        let output = run(&chain, &request(TRIE_PROOF, input.clone()), None).unwrap();
        assert_eq!(output[..32], U256::from(u8::from(present)).to_be_bytes::<32>());
        let leaf = proof.record.map_or(Vec::new(), |record| record.leaf());
        assert_eq!(output[32..], leaf);
        let mut bad = input;
        let last = bad.len() - 1;
        bad[last] ^= 1;
        assert_eq!(run(&chain, &request(TRIE_PROOF, bad), None).unwrap(), Vec::<u8>::new());
    }
    let account = chain.state.account(&a).unwrap().unwrap();
    assert_eq!(account, Account { balance: account.balance, ..Account::default() });
}
