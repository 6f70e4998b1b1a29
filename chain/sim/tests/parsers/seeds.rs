//! Seeds of the corpus: good input of every kind and the interesting bad ones, out of the golden vectors of chain/types and a small
//! chain that really runs. Deterministic: a second run changes nothing.

#![allow(clippy::wildcard_enum_match_arm, clippy::unwrap_used, clippy::indexing_slicing)]

use alloy_primitives::{Address, B256, Bytes, U256};
use netchain_consensus::wal::Wal;
use netchain_consensus::{Application, Block, Effect, Message};
use netchain_exec::SignedTransaction;
use netchain_light::LightClient;
use netchain_sim::traffic::{Wallet, transactions};
use netchain_store::snapshot::{Manifest, export};
use netchain_store::{Store, StoreOptions};
use netchain_types::{Certificate, Header, WitnessSet};

use crate::parsers::consensus::{SEATS, drain, now, start};
use crate::parsers::execution::CHAIN_ID;
use crate::parsers::{CHAIN, START, certify, join, journal, key, light_header, net_announce, net_wire, rpc, set};

/// Target, file name, bytes.
pub(crate) type Seed = (&'static str, String, Vec<u8>);

/// All of them.
pub(crate) fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    types(&mut seeds);
    light(&mut seeds);
    consensus(&mut seeds);
    network(&mut seeds);
    execution(&mut seeds);
    snapshot(&mut seeds);
    requests(&mut seeds);
    cuts(&mut seeds);
    seeds
}

/// Whether a decoder takes a good seed.
pub(crate) fn accepted(target: &str, bytes: &[u8]) -> bool {
    match target {
        "types_header" => Header::decode_checked(bytes).is_ok(),
        "types_certificate" => Certificate::decode(bytes).is_ok(),
        "types_set" => WitnessSet::decode(bytes).is_ok(),
        "light_state" => LightClient::from_bytes(bytes).is_ok(),
        "consensus_block" => Block::decode(bytes).is_ok(),
        "consensus_message" => Message::decode(bytes).is_ok(),
        "consensus_wal" => Wal::read(bytes).is_ok_and(|wal| wal.height.is_some()),
        "net_announcement" => net_announce::Announcement::decode(bytes).is_ok(),
        "exec_transaction" => SignedTransaction::decode(bytes, CHAIN_ID).is_ok(),
        "exec_body" => netchain_exec::decode_body(bytes, CHAIN_ID).is_ok(),
        "exec_genesis" => netchain_exec::Genesis::from_json(bytes).is_ok_and(|genesis| genesis.block().is_ok()),
        "node_journal" => journal::read(bytes).1 == bytes.len(),
        _ => true,
    }
}

/// Half of the input, one byte less and one byte more: where length checks fail.
fn cuts(seeds: &mut Vec<Seed>) {
    let good: Vec<Seed> = seeds.iter().filter(|(_, name, _)| name.starts_with("good")).cloned().collect();
    for (target, name, bytes) in good {
        let name = name.trim_start_matches("good_");
        seeds.push((target, format!("half_{name}"), bytes[..bytes.len() / 2].to_vec()));
        seeds.push((target, format!("short_{name}"), bytes[..bytes.len().saturating_sub(1)].to_vec()));
        seeds.push((target, format!("long_{name}"), [bytes.as_slice(), &[0]].concat()));
    }
}

fn types(seeds: &mut Vec<Seed>) {
    // The header of the golden vector, as its independent encoder wrote it.
    let golden = include_str!("../../../types/vectors/header_rlp.txt");
    let header = alloy_primitives::hex::decode(golden.trim()).unwrap();
    seeds.push(("types_header", "good_golden".into(), header));
    seeds.push(("types_header", "good_light".into(), alloy_rlp::encode(light_header(9, B256::ZERO, 0, 4))));
    for n in [1, 4, 21] {
        seeds.push(("types_set", format!("good_{n}"), set(0, n).encode()));
        let certificate = certify(&light_header(5, B256::ZERO, 0, 0), 0, n).encode();
        seeds.push(("types_certificate", format!("good_{n}"), certificate));
    }
}

fn light(seeds: &mut Vec<Seed>) {
    let genesis = light_header(0, B256::ZERO, 0, 0);
    let mut steps = Vec::new();
    let (change, later) = (light_header(3, B256::ZERO, 0, 4), light_header(9, B256::ZERO, 4, 4));
    for (header, first, signers, next) in [(&change, 0, 0, 4), (&later, 4, 4, 4)] {
        let (signers, next) = (set(signers, 4).encode(), set(next, 4).encode());
        steps.extend([alloy_rlp::encode(header), certify(header, first, 4).encode(), signers, next]);
    }
    seeds.push(("light_update", "good_change".into(), join(&steps)));
    let mut client = LightClient::new(CHAIN, &genesis, set(0, 4)).unwrap();
    seeds.push(("light_state", "good_genesis".into(), client.to_bytes()));
    client.update(START + 60, &steps[0], &steps[1], None, None).unwrap();
    seeds.push(("light_state", "good_unknown_set".into(), client.to_bytes()));
    let store = small_store();
    for (name, address, nonce, balance) in [("rich", 1, 0, 0), ("contract", 2, 1, 0), ("absent", 9, 0, 0)] {
        let address = Address::repeat_byte(address);
        let proof = store.proof(0, &address, &[U256::ZERO]).unwrap();
        let nodes: Vec<Vec<u8>> = proof.nodes.iter().map(|node| node.to_vec()).collect();
        let head = [address.as_slice(), &[nonce, balance]].concat();
        seeds.push(("light_proof", format!("good_{name}"), [head, join(&nodes)].concat()));
    }
}

fn small_store() -> Store {
    let genesis = rpc::genesis().block().unwrap();
    let store = Store::memory(StoreOptions { undo_blocks: None, durable: false });
    store.init(&genesis.header, &genesis.changes, &[]).unwrap();
    store
}

/// Four hosts decide three heights; what they say and log are the seeds.
fn consensus(seeds: &mut Vec<Seed>) {
    let mut hosts: Vec<_> = (0..SEATS).map(|seat| start(seat, &[])).collect();
    let (mut logs, mut heard, mut us) = (vec![Vec::new(); SEATS], Vec::new(), 0);
    while hosts.iter().any(|host| host.app().tip().height < 3) {
        let mut said = Vec::new();
        for (from, host) in hosts.iter_mut().enumerate() {
            for effect in drain(host) {
                match effect {
                    Effect::WalReset(bytes) => logs[from] = bytes,
                    Effect::WalAppend(bytes) => logs[from].extend(bytes),
                    Effect::Broadcast(message) => said.push((from, message)),
                    _ => {}
                }
            }
        }
        if said.is_empty() {
            us = hosts.iter().filter_map(netchain_consensus::Host::poll_timeout).min().unwrap().max(us);
            hosts.iter_mut().for_each(|host| host.handle_timeout(now(us)));
        }
        for (from, message) in said {
            let others = hosts.iter_mut().enumerate().filter(|(to, _)| *to != from);
            others.for_each(|(_, host)| host.handle_message(now(us), from as u64, message.clone()));
            heard.push(message);
        }
        if logs[0].len() > 900 && !seeds.iter().any(|(target, ..)| *target == "consensus_wal") {
            seeds.push(("consensus_wal", "good_height".into(), logs[0].clone()));
        }
    }
    let certified = hosts[0].app().certified(2).unwrap();
    seeds.push(("consensus_block", "good_2".into(), certified.block.encode()));
    seeds.push(("consensus_block", "good_1".into(), hosts[0].app().certified(1).unwrap().block.encode()));
    heard.push(Message::BlockRequest(3));
    heard.push(Message::Block(certified));
    heard.extend(certificates());
    let mut kinds = std::collections::BTreeMap::new();
    for message in &heard {
        let bytes = message.encode();
        let count: &mut u32 = kinds.entry(bytes[0]).or_default();
        *count += 1;
        if *count <= 3 {
            seeds.push(("consensus_message", format!("good_{}_{count}", bytes[0]), bytes));
        }
    }
    assert_eq!(kinds.len(), 6, "a seed of every kind of message");
    let first: Vec<Vec<u8>> = heard.iter().filter(|it| it.height() <= 2).map(Message::encode).take(24).collect();
    seeds.push(("consensus_host", "good_two_heights".into(), join(&first)));
    let tail: Vec<Vec<u8>> = heard.iter().rev().map(Message::encode).take(24).collect();
    seeds.push(("consensus_host", "good_backwards".into(), join(&tail)));
}

/// Kinds of messages that a perfect network never needs.
fn certificates() -> Vec<Message> {
    use arc_malachitebft_core_types as core;
    use netchain_consensus::context::{Height, Voter};
    let voter = |i: u8| Voter(Address::repeat_byte(i));
    let polka = core::PolkaCertificate {
        height: Height(1),
        round: core::Round::new(0),
        value_id: B256::repeat_byte(4),
        polka_signatures: (0..3).map(|i| core::PolkaSignature::new(voter(i), [i; 64])).collect(),
    };
    let signature = |i: u8| {
        let value = if i == 0 { core::NilOrVal::Nil } else { core::NilOrVal::Val(B256::repeat_byte(i)) };
        core::RoundSignature::new(core::VoteType::Precommit, value, voter(i), [i; 64])
    };
    let round = core::RoundCertificate {
        height: Height(1),
        round: core::Round::new(1),
        cert_type: core::RoundCertificateType::Precommit,
        round_signatures: (0..3).map(signature).collect(),
    };
    vec![Message::Polka(polka), Message::Round(round)]
}

fn network(seeds: &mut Vec<Seed>) {
    use net_wire::{SnapshotInfo, SyncRequest as Q, SyncResponse as A};
    for (i, request) in [Q::Status(7), Q::Blocks(3, 32), Q::Snapshots, Q::Chunk(9, 1)].iter().enumerate() {
        seeds.push(("net_sync", format!("good_request_{i}"), request.encode()));
    }
    let info = SnapshotInfo { height: 9, block_hash: B256::repeat_byte(3), manifest: vec![1; 40].into() };
    let text = |byte| Bytes::from(vec![byte; 60]);
    let answers = [
        A::Status(7, B256::ZERO),
        A::Blocks(vec![text(1), text(2)]),
        A::Snapshots(vec![info]),
        A::Chunk(text(3)),
        A::Busy,
    ];
    for (i, answer) in answers.iter().enumerate() {
        seeds.push(("net_sync", format!("good_answer_{i}"), answer.encode()));
    }
    seeds.push(("net_sync", "good_batch".into(), net_wire::encode_batches(&[text(4), text(5)])[0].clone()));
    let mut it = net_announce::Announcement {
        account: Address::repeat_byte(1),
        peer: Bytes::from_static(b"peer"),
        unix_s: START,
        addresses: vec![Bytes::from_static(b"address")],
        signature: [0; 64],
    };
    it.signature = netchain_consensus::Keys::sign(&key(0), &it.signing_bytes(&CHAIN));
    seeds.push(("net_announcement", "good_one".into(), it.encode()));
}

fn execution(seeds: &mut Vec<Seed>) {
    let wallets: Vec<Wallet> = (0..3).map(Wallet::new).collect();
    let raws = transactions(6, &wallets, &[Address::repeat_byte(1)], &mut netchain_sim::rng::Rng(1));
    let mut body = Vec::new();
    alloy_rlp::encode_list::<Bytes, Bytes>(&raws, &mut body);
    seeds.push(("exec_body", "good_six".into(), body));
    seeds.push(("node_journal", "good_six".into(), raws.iter().flat_map(|raw| journal::frame(raw)).collect()));
    for (i, raw) in raws.into_iter().enumerate() {
        seeds.push(("exec_transaction", format!("good_{i}"), raw.to_vec()));
    }
    let system = netchain_exec::system::EndBlock::default();
    let system = system.transaction(CHAIN_ID, 1, netchain_exec::WITNESS_CONTRACT).unwrap();
    seeds.push(("exec_transaction", "system".into(), system.bytes().to_vec()));
    seeds.push(("exec_genesis", "good_small".into(), serde_json::to_vec_pretty(&rpc::genesis()).unwrap()));
    let header = light_header(5, B256::ZERO, 0, 0);
    let (set_bytes, certificate): (Bytes, Bytes) = (set(0, 4).encode().into(), certify(&header, 0, 4).encode().into());
    let mut rlp = Vec::new();
    let list: [&dyn alloy_rlp::Encodable; 4] = [&CHAIN.chain_id, &CHAIN.genesis, &set_bytes, &certificate];
    let payload_length = list.iter().map(|item| item.length()).sum();
    alloy_rlp::Header { list: true, payload_length }.encode(&mut rlp);
    list.iter().for_each(|item| item.encode(&mut rlp));
    seeds.push(("exec_precompiles", "good_certificate".into(), [&[0, 1], rlp.as_slice()].concat()));
    let message = b"message";
    let signature = netchain_consensus::Keys::sign(&key(0), message);
    let input = [&[0, 0], key(0).verifying_key().as_bytes().as_slice(), &signature, message].concat();
    seeds.push(("exec_precompiles", "good_signature".into(), input));
    let store = small_store();
    let proof = store.proof(0, &Address::repeat_byte(1), &[]).unwrap();
    let path = alloy_primitives::keccak256(Address::repeat_byte(1));
    let mut nodes = Vec::new();
    alloy_rlp::encode_list::<Bytes, Bytes>(&proof.nodes, &mut nodes);
    let root = store.tip().unwrap().root;
    let input = [&[1], root.as_slice(), path.as_slice(), nodes.as_slice()].concat();
    seeds.push(("exec_precompiles", "good_proof".into(), input));
}

fn snapshot(seeds: &mut Vec<Seed>) {
    let store = small_store();
    let mut chunks = Vec::new();
    let manifest: Manifest = export(&store, &mut |_, chunk| {
        chunks.push(chunk.to_vec());
        Ok(())
    })
    .unwrap();
    let parts: Vec<Vec<u8>> = std::iter::once(manifest.encode()).chain(chunks).collect();
    seeds.push(("store_snapshot", "good_small".into(), join(&parts)));
}

/// One request of every method.
fn requests(seeds: &mut Vec<Seed>) {
    let a = r#""0x0101010101010101010101010101010101010101""#;
    let c = r#""0x0202020202020202020202020202020202020202""#;
    let h = r#""0x0101010101010101010101010101010101010101010101010101010101010101""#;
    let call = format!(r#"{{"from":{a},"to":{c},"data":"0x01","gas":"0x10000","value":"0x0"}}"#);
    let state = format!(r#"{{{a}:{{"balance":"0x5","nonce":"0x1","code":"0x00","stateDiff":{{}}}}}}"#);
    let one = |name: &str| (name.to_owned(), "[]".to_owned());
    let mut requests: Vec<(String, String)> = [
        "eth_chainId",
        "eth_blockNumber",
        "eth_gasPrice",
        "eth_maxPriorityFeePerGas",
        "eth_blobBaseFee",
        "eth_syncing",
        "eth_accounts",
        "eth_coinbase",
        "net_version",
        "net_peerCount",
        "net_listening",
        "web3_clientVersion",
        "eth_newBlockFilter",
        "eth_newPendingTransactionFilter",
        "txpool_status",
        "ots_getApiLevel",
    ]
    .into_iter()
    .map(one)
    .collect();
    for (name, params) in [
        ("web3_sha3", r#"["0x00"]"#.to_owned()),
        ("eth_feeHistory", r#"["0x4","latest",[1.5,50]]"#.into()),
        ("eth_getBlockByNumber", r#"["latest",true]"#.into()),
        ("eth_getBlockByHash", format!("[{h},false]")),
        ("eth_getBlockReceipts", r#"["earliest"]"#.into()),
        ("eth_getBlockTransactionCountByNumber", r#"["0x0"]"#.into()),
        ("eth_getUncleCountByBlockNumber", r#"["pending"]"#.into()),
        ("eth_sendRawTransaction", r#"["0x02f8"]"#.into()),
        ("eth_getTransactionByHash", format!("[{h}]")),
        ("eth_getTransactionByBlockNumberAndIndex", r#"["safe","0x0"]"#.into()),
        ("eth_getTransactionReceipt", format!("[{h}]")),
        ("eth_call", format!(r#"[{call},"latest",{state},{{"number":"0x5"}}]"#)),
        ("eth_estimateGas", format!(r#"[{call},{{"blockNumber":"0x0"}}]"#)),
        ("eth_createAccessList", format!(r#"[{call}]"#)),
        ("eth_getBalance", format!(r#"[{a},{{"blockHash":{h},"requireCanonical":true}}]"#)),
        ("eth_getCode", format!(r#"[{c},"finalized"]"#)),
        ("eth_getStorageAt", format!(r#"[{c},"0x0","latest"]"#)),
        ("eth_getTransactionCount", format!(r#"[{a},"pending"]"#)),
        ("eth_getProof", format!(r#"[{c},["0x0",{h}],"latest"]"#)),
        ("eth_getLogs", format!(r#"[{{"fromBlock":"0x0","toBlock":"latest","address":[{c}],"topics":[null,[{h}]]}}]"#)),
        ("eth_newFilter", format!(r#"[{{"address":{c}}}]"#)),
        ("eth_getFilterChanges", r#"["0x1"]"#.into()),
        ("eth_uninstallFilter", r#"["0x1"]"#.into()),
        ("debug_traceTransaction", format!(r#"[{h},{{"tracer":"callTracer"}}]"#)),
        ("debug_traceBlockByNumber", r#"["0x0",{"tracer":"prestateTracer","tracerConfig":{"diffMode":true}}]"#.into()),
        ("debug_traceCall", format!(r#"[{call},"latest",{{"tracer":"callTracer","timeout":"1s"}}]"#)),
        ("debug_getRawHeader", r#"["0x0"]"#.into()),
        ("nfc_getCertificate", r#"["latest"]"#.into()),
        ("nfc_witnesses", r#"["latest"]"#.into()),
        ("ots_hasCode", format!(r#"[{c},"latest"]"#)),
        ("ots_getBlockDetails", r#"["0x0"]"#.into()),
        ("eth_subscribe", r#"["newHeads"]"#.into()),
    ] {
        requests.push((name.to_owned(), params));
    }
    for (name, params) in requests {
        seeds.push(("rpc_request", format!("good_{name}"), format!("{name} {params}").into_bytes()));
    }
    let whole = br#"{"jsonrpc":"2.0","id":"x","method":"eth_blockNumber"}"#;
    seeds.push(("rpc_request", "whole".into(), whole.to_vec()));
}
