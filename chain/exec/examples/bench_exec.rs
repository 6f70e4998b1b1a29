//! Plain transfers a second on one core: recover senders, execute, compute roots, commit to RocksDB.
//! `cargo run --release -p netchain-exec --example bench_exec [BLOCKS [TRANSFERS [ACCOUNTS]]]`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods, clippy::indexing_slicing)] // a benchmark measures and prints

use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use netchain_exec::state::{Account, AccountChange, StateChanges, TablesState};
use netchain_exec::system::{SYSTEM_CODE, system_address};
use netchain_exec::{BlockContext, ChainParams, Executor, decode_body, encode_body};
use netchain_store::{BlockBytes, NewBlock, Store, StoreOptions};
use netchain_types::Header;
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};

const CHAIN_ID: u64 = 7_300;
const SENDERS: usize = 2_000;

fn main() {
    let argument = |n, default: u64| std::env::args().nth(n).map_or(default, |text: String| text.parse().unwrap());
    let (blocks, transfers, accounts) = (argument(1, 10), argument(2, 6_000), argument(3, 100_000));
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), StoreOptions::default()).unwrap();
    let keys: Vec<SecretKey> =
        (0..SENDERS).map(|n| SecretKey::from_slice(keccak256(n.to_be_bytes()).as_slice()).unwrap()).collect();
    let addresses: Vec<Address> = keys.iter().map(address_of).collect();
    let params = ChainParams::new(CHAIN_ID);
    let mut tip_header = genesis(&store, &addresses, accounts, &params);
    let executor = Executor::new(params);
    let mut spent = [Duration::ZERO; 4];
    let mut nonces = vec![0u64; SENDERS];
    for height in 1..=blocks {
        let bodies = signed(&keys, &mut nonces, transfers, accounts, height);
        let context = BlockContext {
            number: height,
            timestamp: height,
            beneficiary: Address::repeat_byte(1),
            mix_hash: keccak256(height.to_be_bytes()),
            base_fee: tip_header.base_fee_per_gas,
            round: 0,
            last_commit_bitmap: 0,
            evidence: vec![0xc0].into(),
        };
        let start = Instant::now();
        let mut transactions = decode_body(&bodies, CHAIN_ID).unwrap();
        transactions.push(executor.system_transaction(&context).unwrap());
        spent[0] += start.elapsed();
        let start = Instant::now();
        let executed = executor.execute(TablesState(&store.latest()), &context, &transactions).unwrap();
        spent[1] += start.elapsed();
        let start = Instant::now();
        let update = store.prepare(&executed.changes).unwrap();
        let mut header = Header {
            number: height,
            timestamp: height,
            parent_hash: tip_header.hash(),
            base_fee_per_gas: context.base_fee,
            ..Header::blank()
        };
        executed.fill(&mut header, executor.params().gas_limit, update.root);
        spent[2] += start.elapsed();
        let start = Instant::now();
        let block = NewBlock {
            block: block_bytes(&header, &encode_body(&executed.transactions)),
            receipts: executed.receipt_bytes(),
            certificate: Bytes::new(),
            notes: Bytes::new(),
        };
        store.commit(&block, &update).unwrap();
        spent[3] += start.elapsed();
        tip_header = header;
        tip_header.base_fee_per_gas = executor.params().min_base_fee;
    }
    let count = blocks as f64 * transfers as f64;
    let total: Duration = spent.iter().sum();
    println!(
        "{blocks} blocks of {transfers} transfers, {accounts} accounts: {:.0} transfers/s on one core",
        count / total.as_secs_f64()
    );
    for (name, time) in ["decode and recover senders", "execute", "roots", "commit (durable)"].iter().zip(spent) {
        println!("  {name:<28} {:>7.1} us a transfer", time.as_secs_f64() * 1e6 / count);
    }
}

fn address_of(key: &SecretKey) -> Address {
    let point = PublicKey::from_secret_key(SECP256K1, key).serialize_uncompressed();
    Address::from_word(keccak256(&point[1..]))
}

fn recipient(n: u64) -> Address {
    Address::from_word(keccak256([b"recipient".as_slice(), &n.to_be_bytes()].concat()))
}

fn genesis(store: &Store, senders: &[Address], accounts: u64, params: &ChainParams) -> Header {
    let mut changes = StateChanges::default();
    let rich = Account { balance: U256::from(10).pow(U256::from(24)), ..Account::default() };
    let of = |account| AccountChange { account: Some(account), ..AccountChange::default() };
    changes.accounts.extend(senders.iter().map(|address| (*address, of(rich))));
    changes.accounts.extend(
        (0..accounts).map(|n| (recipient(n), of(Account { balance: U256::from(n + 1), ..Account::default() }))),
    );
    let code_hash = keccak256(SYSTEM_CODE);
    changes.accounts.insert(system_address(), of(Account { code_hash, ..Account::default() }));
    changes.codes.insert(code_hash, SYSTEM_CODE.to_vec().into());
    let root = store.prepare(&changes).unwrap().root;
    let header = Header { state_root: root, base_fee_per_gas: params.min_base_fee, ..Header::blank() };
    store.init(&header, &changes, b"").unwrap();
    header
}

fn signed(keys: &[SecretKey], nonces: &mut [u64], transfers: u64, accounts: u64, seed: u64) -> Bytes {
    let list: Vec<Bytes> = (0..transfers)
        .map(|n| {
            let from = usize::try_from(n).unwrap() % keys.len();
            let to = recipient((seed * 7_919 + n * 104_729) % accounts.max(1));
            let tx = TxEip1559 {
                chain_id: CHAIN_ID,
                nonce: nonces[from],
                gas_limit: 21_000,
                max_fee_per_gas: 10_000_000_000,
                max_priority_fee_per_gas: 1_000_000_000,
                to: TxKind::Call(to),
                value: U256::from(1),
                access_list: Default::default(),
                input: Bytes::new(),
            };
            nonces[from] += 1;
            let message = Message::from_digest(tx.signature_hash().0);
            let (id, bytes) = SECP256K1.sign_ecdsa_recoverable(&message, &keys[from]).serialize_compact();
            let signature = Signature::new(
                U256::from_be_slice(&bytes[..32]),
                U256::from_be_slice(&bytes[32..]),
                i32::from(id) == 1,
            );
            TxEnvelope::Eip1559(tx.into_signed(signature)).encoded_2718().into()
        })
        .collect();
    alloy_rlp::encode(&list).into()
}

fn block_bytes(header: &Header, body: &Bytes) -> BlockBytes {
    let mut payload = alloy_rlp::encode(header);
    payload.extend_from_slice(&[0xc0, 0xc0]);
    payload.extend(alloy_rlp::encode(body));
    let mut bytes = Vec::new();
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut bytes);
    bytes.extend(payload);
    BlockBytes::new(bytes.into()).unwrap()
}
