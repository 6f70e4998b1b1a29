//! Real nodes in one process: sets that change, snapshots over the network, the operator's socket.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, missing_docs)]
#![allow(clippy::wildcard_enum_match_arm)] // a liar answers two questions and nothing else

#[path = "../examples/common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, U256, keccak256};
use common::{Sender, free_ports};
use netchain_exec::genesis::GenesisAccount;
use netchain_exec::witness::witness_slots;
use netchain_exec::{Genesis, WITNESS_CONTRACT};
use netchain_net::{NetCommand, NetConfig, NetEvent, SyncRequest, SyncResponse};
use netchain_types::{Certificate, ChainDomain, Witness, WitnessSet};
use netchaind::admin::{Request, ask};
use netchaind::config::{Layout, NodeConfig, load};
use netchaind::fetch::fetch_snapshot;
use netchaind::init::{Localnet, localnet_with};
use netchaind::mempool::PoolError;
use netchaind::service::Running;
use netchaind::sets::{SetChange, Walk};
use netchaind::txpool::SubmitError;
use serde_json::json;

/// For anything the network is waited for, on a machine where other tests run.
const PATIENCE: Duration = Duration::from_secs(120);

fn layout(root: &Path, index: usize) -> Layout {
    Layout(root.join(format!("node{index}")))
}

/// Folders of a local network whose witnesses are the first `witnesses` of its nodes.
fn network(root: &Path, nodes: usize, witnesses: usize, accounts: u32, edit: impl FnOnce(&mut Genesis)) {
    let first_port = free_ports(nodes).unwrap();
    let net = Localnet { witnesses: nodes, first_port, block_ms: 1_000, bench_accounts: accounts };
    let address = |index: u32| Address::from_word(keccak256(index.to_be_bytes()));
    localnet_with(root, &net, address, |genesis| {
        edit(genesis);
        genesis.config.nfc.witnesses.truncate(witnesses);
    })
    .unwrap();
}

fn config(root: &Path, index: usize) -> NodeConfig {
    let mut config = load(&layout(root, index).config()).unwrap();
    config.store.snapshot_blocks = 0;
    config.metrics.listen = None;
    config
}

async fn start(root: &Path, index: usize) -> Running {
    // A node that just stopped here may still be letting go of its database.
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match Running::start(layout(root, index), config(root, index), Arc::new(|_| Ok(()))).await {
            Ok(node) => return node,
            Err(error) => assert!(tokio::time::Instant::now() < end, "node{index}: {error:#}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn height(node: &Running) -> u64 {
    node.node().store.tip().unwrap().height
}

async fn reach(nodes: &[&Running], at_least: u64) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while nodes.iter().any(|node| height(node) < at_least) {
        let heights: Vec<u64> = nodes.iter().map(|node| height(node)).collect();
        assert!(tokio::time::Instant::now() < end, "heights {heights:?}, not {at_least}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn set_of(genesis: &Genesis, seats: std::ops::Range<usize>) -> WitnessSet {
    let seat = |it: &netchain_exec::genesis::GenesisWitness| Witness {
        account: it.account,
        vote_key: it.vote_key.0,
        reveal_key: it.reveal_key.0,
    };
    WitnessSet::new(genesis.config.nfc.witnesses[seats].iter().map(seat).collect()).unwrap()
}

/// A contract that writes a set into its storage at the end of one block: what an election does, without the election.
fn elects(set: &WitnessSet, height: u64) -> Vec<u8> {
    // PUSH8 height, NUMBER, EQ, PUSH2 dest, JUMPI, STOP, dest: JUMPDEST
    let mut code = vec![0x67];
    code.extend(height.to_be_bytes());
    code.extend([0x43, 0x14, 0x61, 0, 16, 0x57, 0x00, 0x5b]);
    assert_eq!(code[16], 0x5b);
    for (slot, value) in witness_slots(set) {
        // PUSH32 value, PUSH32 slot, SSTORE
        code.push(0x7f);
        code.extend(value.to_be_bytes::<32>());
        code.push(0x7f);
        code.extend(slot.to_be_bytes::<32>());
        code.push(0x55);
    }
    code.push(0x00);
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_the_contract_changes_votes_from_the_next_block_on() {
    const CHANGE: u64 = 5;
    const END: u64 = CHANGE + 12;
    let root = tempfile::tempdir().unwrap();
    let sets = Mutex::new(None);
    network(root.path(), 5, 4, 0, |genesis| {
        let (old, new) = (set_of(genesis, 0..4), set_of(genesis, 1..5));
        let code = elects(&new, CHANGE).into();
        genesis.alloc.insert(WITNESS_CONTRACT, GenesisAccount { code, ..GenesisAccount::default() });
        *sets.lock().unwrap() = Some((old, new));
    });
    let (old, new) = sets.into_inner().unwrap().unwrap();
    let mut nodes = Vec::new();
    for index in 0..5 {
        nodes.push(start(root.path(), index).await);
    }
    // The one that left follows on as a full node.
    reach(&nodes.iter().collect::<Vec<_>>(), END).await;
    let store = nodes[0].node().store.clone();
    let header = store.header(CHANGE).unwrap().unwrap();
    let genesis = store.hash_at(0).unwrap().unwrap();
    let domain = ChainDomain { chain_id: netchaind::init::DEV_CHAIN_ID, genesis };
    assert_eq!(header.check().unwrap().validators_hash, old.hash());
    assert_eq!(header.check().unwrap().next_validators_hash, new.hash());
    let (mut creators, mut signers) = (BTreeSet::new(), BTreeSet::new());
    for height in 1..=END {
        let header = store.header(height).unwrap().unwrap();
        let set = if height <= CHANGE { &old } else { &new };
        assert_eq!(header.check().unwrap().validators_hash, set.hash(), "height {height}");
        let certificate = Certificate::decode(&store.certificate(height).unwrap().unwrap()).unwrap();
        certificate.verify(&domain, set).unwrap();
        if height > CHANGE {
            creators.insert(header.beneficiary);
            signers.extend(certificate.signatures.iter().map(|it| new.seats()[usize::from(it.seat)].account));
        }
        for node in &nodes {
            assert_eq!(node.node().store.hash_at(height).unwrap(), Some(header.hash()), "height {height}");
        }
    }
    for (node, set) in nodes.iter().flat_map(|node| [(node, &old), (node, &new)]) {
        // For ever: a light client may ask when the state that named it is long gone.
        assert_eq!(node.node().store.witness_set(&set.hash()).unwrap().as_ref(), Some(set));
    }
    let (left, joined) = (old.seats()[0].account, new.seats()[3].account);
    assert!(creators.contains(&joined) && signers.contains(&joined), "the new one makes blocks and votes");
    assert!(!creators.contains(&left) && !signers.contains(&left));
    for node in nodes {
        node.stop().await.unwrap();
    }
}

/// A peer that offers a node's snapshots and answers every question for a chunk with garbage. It ends once it was asked, and says
/// how often.
async fn liar(node: &netchaind::answers::Node) -> (tokio::task::JoinHandle<usize>, String) {
    let offers = node.snapshots.offered();
    let genesis = node.store.hash_at(0).unwrap().unwrap();
    let (handle, mut events) = netchain_net::start(NetConfig {
        chain: ChainDomain { chain_id: netchaind::init::DEV_CHAIN_ID, genesis },
        identity: [77; 32],
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        external: Vec::new(),
        bootnodes: Vec::new(),
        witness: None,
        sync_blocks: false,
    })
    .unwrap();
    let address = handle.watch().wait_for(|status| !status.listen.is_empty()).await.unwrap().listen[0].clone();
    let lies = tokio::spawn(async move {
        let mut asked = 0;
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(20), events.recv()).await {
            match event {
                NetEvent::Request(id, SyncRequest::Snapshots) => {
                    handle.send(NetCommand::Respond(id, SyncResponse::Snapshots(offers.clone())));
                }
                NetEvent::Request(id, SyncRequest::Chunk(..)) => {
                    asked += 1;
                    handle.send(NetCommand::Respond(id, SyncResponse::Chunk(vec![0xc0; 1_000].into())));
                }
                _ => {}
            }
            if asked > 0 && handle.status().peers.is_empty() {
                break;
            }
        }
        asked
    });
    (lies, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_fetches_a_snapshot_from_several_peers_of_which_one_lies_and_follows() {
    let root = tempfile::tempdir().unwrap();
    // Some 50 bytes each: four chunks of a mebibyte.
    network(root.path(), 4, 3, 80_000, |_| ());
    let mut nodes = Vec::new();
    for index in 0..3 {
        nodes.push(start(root.path(), index).await);
    }
    reach(&nodes.iter().collect::<Vec<_>>(), 3).await;
    // Of three witnesses none may miss: the chain stands still, and the other two are at one height.
    nodes.remove(0).stop().await.unwrap();
    let end = tokio::time::Instant::now() + PATIENCE;
    let (mut still, mut since) = ((0, 1), tokio::time::Instant::now());
    while still.0 != still.1 || since.elapsed() < Duration::from_secs(4) {
        let now = (height(&nodes[0]), height(&nodes[1]));
        if now != still {
            (still, since) = (now, tokio::time::Instant::now());
        }
        assert!(tokio::time::Instant::now() < end, "heights {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for node in &nodes {
        assert_eq!(node.node().snapshots.make(&node.node().store).unwrap(), still.0);
    }
    // A third peer offers the same, and gives garbage.
    let (liar, address) = liar(nodes[0].node()).await;
    let mut late_config = config(root.path(), 3);
    late_config.net.bootnodes.push(address);
    let fetched = fetch_snapshot(&layout(root.path(), 3), &late_config, None).await.unwrap();
    assert!(liar.await.unwrap() > 0, "it was asked");
    assert_eq!(fetched.height, still.0);
    assert_eq!(fetched.peers.len(), 2, "{fetched:?}");
    assert!(fetched.peers.values().sum::<usize>() >= 3, "{fetched:?}");
    let late = start(root.path(), 3).await;
    assert_eq!(height(&late), still.0);
    assert_eq!(late.node().store.tip(), nodes[0].node().store.tip());
    nodes.push(start(root.path(), 0).await);
    nodes.push(late);
    reach(&nodes.iter().collect::<Vec<_>>(), still.0 + 3).await;
    let at = still.0 + 3;
    let roots: BTreeSet<_> = nodes.iter().map(|node| node.node().store.root_at(at).unwrap()).collect();
    assert_eq!(roots.len(), 1);
    for node in nodes {
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_that_has_only_the_genesis_follows_an_election_to_a_snapshot_of_the_new_witnesses() {
    const CHANGE: u64 = 4;
    let root = tempfile::tempdir().unwrap();
    network(root.path(), 3, 1, 0, |genesis| {
        let code = elects(&set_of(genesis, 1..2), CHANGE).into();
        genesis.alloc.insert(WITNESS_CONTRACT, GenesisAccount { code, ..GenesisAccount::default() });
    });
    let (old, new) = (start(root.path(), 0).await, start(root.path(), 1).await);
    reach(&[&old, &new], CHANGE + 2).await;
    let height_of_it = new.node().snapshots.make(&new.node().store).unwrap();
    let late_config = config(root.path(), 2);
    let fetched = fetch_snapshot(&layout(root.path(), 2), &late_config, None).await.unwrap();
    assert_eq!(fetched.height, height_of_it);
    assert_eq!(new.node().store.hash_at(height_of_it).unwrap(), Some(fetched.block));
    let late = start(root.path(), 2).await;
    reach(&[&late], height_of_it + 2).await;
    // It can prove the election to the next one, and nobody can forge it.
    let changes = late.node().store.set_changes(0, 10).unwrap();
    assert_eq!(changes.len(), 1);
    let json = std::fs::read(layout(root.path(), 2).genesis()).unwrap();
    let genesis = Genesis::from_json(&json).unwrap().block().unwrap();
    let mut walk = Walk::new(&genesis).unwrap();
    let good: SetChange = alloy_rlp::decode_exact(&changes[0]).unwrap();
    let mut other_certificate = good.clone();
    let last = other_certificate.certificate.len() - 1;
    other_certificate.certificate = flipped(&good.certificate, last);
    let mut other_set = good.clone();
    other_set.next_set = genesis.witnesses.encode().into();
    for bad in [other_certificate, other_set] {
        assert!(walk.follow(&[alloy_rlp::encode(bad).into()]).is_err());
        assert_eq!(walk.height(), 0);
    }
    assert!(walk.follow(&[vec![0xc0].into()]).is_err());
    // What is known already is no news.
    walk.follow(&[changes[0].clone(), changes[0].clone()]).unwrap();
    assert_eq!(walk.height(), CHANGE);
    assert_eq!(walk.set_at(CHANGE), Some(&genesis.witnesses));
    assert_ne!(walk.set_at(CHANGE + 1), Some(&genesis.witnesses));
    for node in [old, new, late] {
        node.stop().await.unwrap();
    }
}

fn flipped(bytes: &[u8], at: usize) -> alloy_primitives::Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_cap_that_no_block_can_take_is_refused_and_the_least_one_is_taken() {
    const LEAST: u128 = 7_000_000_000;
    let root = tempfile::tempdir().unwrap();
    network(root.path(), 1, 1, 0, |genesis| {
        genesis.config.nfc.min_base_fee = u64::try_from(LEAST).unwrap();
        let balance = U256::from(10_u64.pow(18));
        let sender = Sender::new(0).unwrap().address;
        genesis.alloc.insert(sender, GenesisAccount { balance, ..GenesisAccount::default() });
    });
    let node = start(root.path(), 0).await;
    let mut sender = Sender::new(0).unwrap();
    sender.max_fee = LEAST - 1;
    let refused = node.node().pool.submit(&sender.transfer(Address::repeat_byte(9)).unwrap().1, true);
    assert!(matches!(refused, Err(SubmitError::Pool(PoolError::FeeTooLow { least: LEAST }))), "{refused:?}");
    (sender.max_fee, sender.nonce) = (LEAST, 0);
    let hash = node.node().pool.submit(&sender.transfer(Address::repeat_byte(9)).unwrap().1, true).unwrap();
    let end = tokio::time::Instant::now() + PATIENCE;
    while node.node().store.transaction(&hash).unwrap().is_none() {
        assert!(tokio::time::Instant::now() < end, "it is in no block");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    node.stop().await.unwrap();
}

/// Status line and headers of an answer.
fn head(address: std::net::SocketAddr, request: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

#[tokio::test(flavor = "multi_thread")]
async fn pitfall_28_a_page_that_rebinds_its_name_or_is_not_welcome_gets_no_answer_over_http_nor_websocket() {
    let root = tempfile::tempdir().unwrap();
    network(root.path(), 1, 1, 0, |_| ());
    let node = start(root.path(), 0).await;
    let address = node.rpc().unwrap();
    tokio::task::spawn_blocking(move || {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
        let post = |headers: &str| {
            let length = body.len();
            let fixed = format!("content-type: application/json\r\ncontent-length: {length}\r\nconnection: close");
            head(address, &format!("POST / HTTP/1.1\r\n{headers}{fixed}\r\n\r\n{body}"))
        };
        let upgrade = |headers: &str| {
            let fixed = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
            head(address, &format!("GET / HTTP/1.1\r\n{headers}{fixed}\r\n\r\n"))
        };
        for good in ["host: localhost\r\n".to_owned(), format!("host: {address}\r\n")] {
            assert!(post(&good).starts_with("http/1.1 200"), "{good}: {}", post(&good));
            assert!(upgrade(&good).starts_with("http/1.1 101"), "{good}: {}", upgrade(&good));
        }
        for bad in ["host: evil.example\r\n", "host: localhost\r\norigin: https://evil.example\r\n"] {
            assert!(post(bad).starts_with("http/1.1 403"), "{bad}: {}", post(bad));
            assert!(upgrade(bad).starts_with("http/1.1 403"), "{bad}: {}", upgrade(bad));
        }
        let page = post("host: localhost\r\norigin: http://localhost:3000\r\n");
        assert!(page.starts_with("http/1.1 200"), "{page}");
        assert!(page.contains("access-control-allow-origin: http://localhost:3000\r\n"), "{page}");
    })
    .await
    .unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_s_socket_is_private_shows_the_node_and_stops_it() {
    let root = tempfile::tempdir().unwrap();
    network(root.path(), 2, 1, 1, |_| ());
    let levels = Arc::new(Mutex::new(Vec::new()));
    let (layout0, seen) = (layout(root.path(), 0), levels.clone());
    let set_log = move |level: &str| {
        seen.lock().unwrap().push(level.to_owned());
        if level == "loud" { Err("no such level".to_owned()) } else { Ok(()) }
    };
    let node = Running::start(layout0.clone(), config(root.path(), 0), Arc::new(set_log)).await.unwrap();
    let full = start(root.path(), 1).await;
    reach(&[&node, &full], 2).await;
    let socket = layout0.admin();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let running = tokio::spawn(node.run_until(std::future::pending()));
    let export = root.path().join("export");
    let to = export.clone();
    tokio::task::spawn_blocking(move || {
        let status = ask(&socket, &Request::Status).unwrap();
        assert!(status["height"].as_u64().unwrap() >= 2);
        let peers = ask(&socket, &Request::Peers).unwrap();
        assert_eq!(peers.as_array().unwrap().len(), 1);
        assert_eq!(ask(&socket, &Request::Mempool { most: 10 }).unwrap()["transactions"], json!([]));
        ask(&socket, &Request::LogLevel { level: "debug".to_owned() }).unwrap();
        assert!(ask(&socket, &Request::LogLevel { level: "loud".to_owned() }).is_err());
        assert!(ask(&socket, &Request::ExportSnapshot { to: "relative".into() }).is_err());
        let exported = ask(&socket, &Request::ExportSnapshot { to }).unwrap();
        assert!(exported["height"].as_u64().unwrap() >= 2);
        // What is no request gets an answer and changes nothing.
        for garbage in ["\n", "{}\n", "{\"method\":\"format-disk\"}\n", "{\"method\":\"mempool\",\"x\":1}\n"] {
            use std::io::{Read as _, Write as _};
            let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            stream.write_all(garbage.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("{\"error\""), "{garbage:?}: {answer}");
        }
        ask(&socket, &Request::Stop).unwrap();
    })
    .await
    .unwrap();
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(*levels.lock().unwrap(), ["debug", "loud"]);
    assert!(export.join("manifest").exists());
    full.stop().await.unwrap();
}

#[test]
fn the_code_that_elects_jumps_where_it_should() {
    let key = |i: u8| Witness { account: Address::repeat_byte(i), vote_key: [i; 32], reveal_key: [i; 48] };
    let code = elects(&WitnessSet::new(vec![key(1)]).unwrap(), 9);
    assert_eq!(code[0..9], [0x67, 0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(U256::from(code[13]), U256::from(16));
}
