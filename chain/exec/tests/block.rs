//! Blocks: fees, the system transaction, limits, contracts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use std::collections::BTreeMap;

use alloy_consensus::{SignableTransaction, TxEip4844, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use common::{CHAIN_ID, GWEI, List, call, chain, changed_sum, deploy, sign, sign_hash, signed, transfer, wallet};
use netchain_exec::state::State;
use netchain_exec::system::{EndBlock, SYSTEM_GAS, system_address};
use netchain_exec::{
    ExecError, NoCandidates, SignedTransaction, TransactionError, Verdict, decode_body, receipts_with_context,
};
use secp256k1::SecretKey;

fn system_key() -> SecretKey {
    SecretKey::from_slice(keccak256("NFC/SYSTEM/v1").as_slice()).unwrap()
}

#[test]
fn nothing_is_burned_and_nothing_is_made() {
    let pool = "\"prizePool\": \"0x0000000000000000000000000000000000001006\",";
    for extra in ["", pool] {
        let mut chain = chain(extra, "");
        chain.base_fee = 3_000_000_001;
        let (a, b) = (wallet(1), wallet(2));
        let txs = [signed(&a, transfer(&a, 0, b.address, 5)), signed(&b, transfer(&b, 0, Address::repeat_byte(9), 7))];
        let before = chain.state.clone();
        let block = chain.block(&txs);
        let (sum_before, sum_after) = changed_sum(&before, &block.changes);
        assert_eq!(sum_before, sum_after);
        // fee = g * eff, pool = (fee - g * min) // 2, producer = fee - pool
        let price = U256::from(3_000_000_001u64 + 2_000_000_000);
        let fee = U256::from(21_000) * price;
        let half = (fee - U256::from(21_000 * GWEI)) / U256::from(2);
        let to_pool = if extra.is_empty() { U256::ZERO } else { half * U256::from(2) };
        assert_eq!(chain.balance(&"0x0000000000000000000000000000000000001006".parse().unwrap()), to_pool);
        assert_eq!(chain.balance(&chain.creator), fee * U256::from(2) - to_pool);
    }
}

#[test]
fn every_block_ends_with_one_system_transaction_that_everybody_derives() {
    let mut chain = chain("", "");
    for height in 1..=3u64 {
        let block = chain.block(&[]);
        assert_eq!(block.transactions.len(), 1);
        let system = &block.transactions[0];
        assert_eq!(system.sender(), system_address());
        let end =
            EndBlock { proposer: chain.creator, round: 0, last_commit_bitmap: 0x7fff, evidence: vec![0xc0].into() };
        let again = end.transaction(CHAIN_ID, height, chain.params().witness_contract).unwrap();
        assert_eq!(again.bytes(), system.bytes());
        assert!(block.receipts[0].is_success());
        let account = chain.state.account(&system_address()).unwrap().unwrap();
        assert_eq!((account.nonce, account.balance), (height, U256::ZERO));
    }
    // What the spec says; other implementations start from here.
    assert_eq!(system_address().to_string(), SYSTEM_ADDRESS);
    let end = EndBlock {
        proposer: Address::repeat_byte(1),
        round: 2,
        last_commit_bitmap: 3,
        evidence: Bytes::from(vec![0xc1, 0x80]),
    };
    let input = end.input();
    assert_eq!(input[..4], keccak256("endBlock(address,uint32,uint32,bytes)")[..4]);
    assert_eq!(input.len(), 4 + 6 * 32);
    assert_eq!(input[4 + 5 * 32..4 + 5 * 32 + 2], [0xc1, 0x80]);
}

const SYSTEM_ADDRESS: &str = "0x6EE1591437ec9bFeC21Ea519633275F5944dc1EC";

#[test]
fn a_block_without_its_own_system_transaction_is_refused() {
    let chain = chain("", "");
    let context = chain.context();
    let built = chain.executor.build(&chain.state, &context, &mut NoCandidates, 1 << 20).unwrap();
    let state = &chain.state;
    let refused = |txs: &[SignedTransaction]| chain.executor.execute(state, &context, txs).unwrap_err();
    assert_eq!(refused(&[]), ExecError::System);
    let a = wallet(1);
    assert_eq!(refused(&[signed(&a, transfer(&a, 0, a.address, 1))]), ExecError::System);
    // Another round, bitmap, creator or evidence is another transaction.
    for other in [
        netchain_exec::BlockContext { round: 1, ..context.clone() },
        netchain_exec::BlockContext { last_commit_bitmap: 1, ..context.clone() },
        netchain_exec::BlockContext { beneficiary: a.address, ..context.clone() },
        netchain_exec::BlockContext { evidence: vec![0xc1, 0xc0].into(), ..context.clone() },
        netchain_exec::BlockContext { number: 2, ..context.clone() },
    ] {
        let system = chain.executor.system_transaction(&other).unwrap();
        assert_eq!(refused(&[system]), ExecError::System);
    }
    // Twice: the first one stands where only users' transactions may.
    let twice = [built.transactions[0].clone(), built.transactions[0].clone()];
    assert_eq!(refused(&twice), ExecError::Decode(TransactionError::System));
}

#[test]
fn nobody_sends_or_delegates_as_the_system_account() {
    let mut chain = chain("", "");
    let tx = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce: 0,
        gas_price: 10 * GWEI,
        gas_limit: 100_000,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::ZERO,
        input: Bytes::new(),
    };
    let bytes = sign(&system_key(), tx).encoded_2718();
    assert_eq!(SignedTransaction::decode(&bytes, CHAIN_ID).unwrap_err(), TransactionError::System);
    let forged = SignedTransaction::decode_any(&bytes, CHAIN_ID).unwrap();
    let mut list = List { left: vec![forged], verdicts: BTreeMap::new() };
    chain.executor.build(&chain.state, &chain.context(), &mut list, 1 << 20).unwrap();
    assert!(list.verdicts.values().all(|verdict| matches!(verdict, Verdict::Invalid(_))));
    // The public key signs an authorization for code of a thief: without effect, the account has code already.
    let a = wallet(1);
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: a.address, nonce: 0 };
    let signature = sign_hash(&system_key(), authorization.signature_hash());
    let tx = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 200_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: a.address,
        value: U256::ZERO,
        access_list: Default::default(),
        authorization_list: vec![authorization.into_signed(signature)],
        input: Bytes::new(),
    };
    let before = chain.state.account(&system_address()).unwrap().unwrap();
    let tx = SignedTransaction::decode(&sign(&a.key, tx).encoded_2718(), CHAIN_ID).unwrap();
    chain.block(&[tx]);
    let after = chain.state.account(&system_address()).unwrap().unwrap();
    assert_eq!((before.code_hash, before.nonce + 1), (after.code_hash, after.nonce));
}

#[test]
fn an_account_may_delegate_to_code_and_take_it_back() {
    let mut chain = chain("", "");
    let (a, b) = (wallet(1), wallet(2));
    for (nonce, target) in [(0u64, Address::repeat_byte(0x77)), (1, Address::ZERO)] {
        let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: target, nonce };
        let signature = sign_hash(&b.key, authorization.signature_hash());
        let tx = TxEip7702 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 200_000,
            max_fee_per_gas: 10 * GWEI,
            max_priority_fee_per_gas: GWEI,
            to: a.address,
            value: U256::ZERO,
            access_list: Default::default(),
            authorization_list: vec![authorization.into_signed(signature)],
            input: Bytes::new(),
        };
        chain.block(&[SignedTransaction::decode(&sign(&a.key, tx).encoded_2718(), CHAIN_ID).unwrap()]);
        let account = chain.state.account(&b.address).unwrap().unwrap();
        let code = chain.state.code(&account.code_hash).unwrap();
        let expected = if target.is_zero() { Vec::new() } else { [&[0xef, 1, 0][..], target.as_slice()].concat() };
        assert_eq!(code.to_vec(), expected);
    }
}

#[test]
fn contracts_are_made_called_and_leave_receipts() {
    let mut chain = chain("", "");
    let a = wallet(1);
    // SSTORE(0, CALLVALUE + 1 + SLOAD(0)); LOG0 of nothing
    let code = vec![0x34, 0x60, 1, 0x01, 0x5f, 0x54, 0x01, 0x5f, 0x55, 0x5f, 0x5f, 0xa0, 0x00];
    let contract = a.address.create(0);
    let block = chain.block(&[signed(&a, deploy(0, code)), signed(&a, call(1, contract, 100_000, Vec::new()))]);
    assert_eq!(chain.state.storage(&contract, &U256::ZERO).unwrap(), U256::from(1));
    let receipts = receipts_with_context(&block.receipt_bytes(), &block.transactions, chain.base_fee).unwrap();
    assert_eq!(receipts[0].contract_address, Some(contract));
    assert_eq!(receipts[1].receipt.logs().len(), 1);
    assert_eq!(receipts.iter().map(|receipt| receipt.first_log_index).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(receipts.iter().map(|receipt| receipt.gas_used).sum::<u64>(), block.gas_used);
    // A revert keeps the fee, not the change.
    let reverting = a.address.create(2);
    let block = chain.block(&[
        signed(&a, deploy(2, vec![0x60, 5, 0x5f, 0x55, 0x5f, 0x5f, 0xfd])),
        signed(&a, call(3, reverting, 100_000, Vec::new())),
    ]);
    assert!(!block.receipts[1].is_success());
    assert_eq!(chain.state.storage(&reverting, &U256::ZERO).unwrap(), U256::ZERO);
    let body = decode_body(&block.body(), CHAIN_ID).unwrap();
    assert_eq!(body, block.transactions);
    assert_eq!(netchain_exec::roots_of_body(&block.body()), Some(block.transactions_root()));
}

#[test]
fn users_never_take_the_gas_of_the_system_transaction() {
    let chain = chain("", "");
    let a = wallet(1);
    let greedy: Vec<SignedTransaction> =
        (0..20u64).map(|nonce| signed(&a, call(nonce, a.address, 16_000_000, Vec::new()))).collect();
    let mut list = List { left: greedy.clone(), verdicts: BTreeMap::new() };
    let built = chain.executor.build(&chain.state, &chain.context(), &mut list, 1 << 20).unwrap();
    // Each uses 21,000 of its 16 million, so all fit one after the other; a limit beyond what is left does not.
    assert_eq!(built.transactions.len(), 21);
    assert!(built.gas_used + SYSTEM_GAS <= chain.params().gas_limit + SYSTEM_GAS);
    let small = netchain_exec::ChainParams { gas_limit: SYSTEM_GAS + 50_000, ..chain.params().clone() };
    let executor = netchain_exec::Executor::new(small);
    let mut list = List {
        left: (0..3).map(|nonce| signed(&a, transfer(&a, nonce, a.address, 1))).collect(),
        verdicts: BTreeMap::new(),
    };
    let built = executor.build(&chain.state, &chain.context(), &mut list, 1 << 20).unwrap();
    assert_eq!(built.transactions.len(), 3);
    assert_eq!(list.verdicts.values().filter(|verdict| **verdict == Verdict::NoRoom).count(), 1);
    let mut three: Vec<_> = (0..3).map(|nonce| signed(&a, transfer(&a, nonce, a.address, 1))).collect();
    three.push(built.transactions[2].clone());
    let refused = executor.execute(&chain.state, &chain.context(), &three).unwrap_err();
    assert_eq!(refused, ExecError::Gas(2));
    // Bytes are a limit too.
    let mut list = List { left: greedy, verdicts: BTreeMap::new() };
    let built = chain.executor.build(&chain.state, &chain.context(), &mut list, 1_000).unwrap();
    assert!(built.body().len() <= 1_000 && built.transactions.len() > 1, "{}", built.body().len());
}

#[test]
fn an_invalid_transaction_is_left_out_by_the_creator_and_makes_a_block_invalid() {
    let chain = chain("", "");
    let (a, poor) = (wallet(1), wallet(99));
    let bad = [
        signed(&a, transfer(&a, 5, a.address, 1)),
        signed(&poor, transfer(&poor, 0, a.address, 1)),
        signed(&a, call(0, a.address, 20_000, Vec::new())),
        signed(&a, call(0, a.address, (1 << 24) + 1, Vec::new())),
        signed(
            &a,
            alloy_consensus::TxEip1559 {
                max_fee_per_gas: 1,
                max_priority_fee_per_gas: 0,
                ..transfer(&a, 0, a.address, 1)
            },
        ),
    ];
    let system = chain.executor.system_transaction(&chain.context()).unwrap();
    for tx in bad {
        let mut list = List { left: vec![tx.clone()], verdicts: BTreeMap::new() };
        let built = chain.executor.build(&chain.state, &chain.context(), &mut list, 1 << 20).unwrap();
        assert_eq!(built.transactions, [system.clone()].to_vec());
        assert!(matches!(list.verdicts.values().next(), Some(Verdict::Invalid(_))));
        let refused = chain.executor.execute(&chain.state, &chain.context(), &[tx, system.clone()]).unwrap_err();
        assert!(matches!(refused, ExecError::Transaction { index: 0, .. }), "{refused}");
    }
}

#[test]
fn bytes_that_are_no_transaction_of_this_chain_are_named() {
    let a = wallet(1);
    let good = sign(&a.key, transfer(&a, 0, a.address, 1)).encoded_2718();
    let decode = |bytes: &[u8]| SignedTransaction::decode(bytes, CHAIN_ID).unwrap_err();
    assert_eq!(SignedTransaction::decode(&good, CHAIN_ID + 1).unwrap_err(), TransactionError::Chain(CHAIN_ID));
    assert_eq!(decode(&good[..good.len() - 1]), TransactionError::Encoding);
    assert_eq!(decode(&[&good[..], &[0]].concat()), TransactionError::Encoding);
    assert_eq!(decode(&vec![0; netchain_exec::MAX_TRANSACTION_BYTES + 1]), TransactionError::TooLong);
    let blob = TxEip4844 { chain_id: CHAIN_ID, blob_versioned_hashes: vec![keccak256("blob")], ..TxEip4844::default() };
    let signature = sign_hash(&a.key, blob.signature_hash());
    let blob: TxEnvelope = TxEnvelope::Eip4844(blob.into_signed(signature).map(Into::into));
    assert_eq!(decode(&blob.encoded_2718()), TransactionError::Blob);
}
