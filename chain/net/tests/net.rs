//! Nodes on 127.0.0.1: what they tell each other, and what they do not take from strangers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use arc_malachitebft_core_types::{NilOrVal, Round, SignedVote, VoteType};
use ed25519_dalek::SigningKey;
use netchain_consensus::context::{Height, Vote, Voter};
use netchain_consensus::{Keys, Message};
use netchain_net::{
    Multiaddr, NetCommand, NetConfig, NetEvent, NetHandle, SyncRequest, SyncResponse, Verdict, WitnessKey, start,
};
use netchain_types::{ChainDomain, Witness, WitnessSet};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const CHAIN: ChainDomain = ChainDomain { chain_id: 7, genesis: B256::repeat_byte(3) };

struct Node {
    handle: NetHandle,
    events: Receiver<NetEvent>,
}

fn key(i: u8) -> SigningKey {
    SigningKey::from_bytes(&[i + 1; 32])
}

fn account(i: u8) -> Address {
    Address::repeat_byte(i + 1)
}

fn set(n: u8) -> WitnessSet {
    let seat =
        |i| Witness { account: account(i), vote_key: key(i).verifying_key().to_bytes(), reveal_key: [i + 1; 48] };
    WitnessSet::new((0..n).map(seat).collect()).unwrap()
}

fn node(i: u8, witness: bool, chain: ChainDomain, bootnodes: Vec<Multiaddr>) -> Node {
    let witness = witness.then(|| WitnessKey { account: account(i), keys: Arc::new(key(i)) });
    let config = NetConfig {
        chain,
        identity: [100 + i; 32],
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap(), "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()],
        external: Vec::new(),
        bootnodes,
        witness,
        sync_blocks: true,
    };
    let (handle, events) = start(config).unwrap();
    handle.send(NetCommand::Witnesses(vec![set(4)]));
    Node { handle, events }
}

async fn until(node: &NetHandle, what: &str, holds: impl Fn(&netchain_net::NetStatus) -> bool) {
    let mut status = node.watch();
    let wait = status.wait_for(|status| holds(status));
    let seen = timeout(Duration::from_secs(30), wait).await;
    assert!(seen.is_ok(), "{what}: {:?}", node.status());
}

async fn address(node: &NetHandle) -> Multiaddr {
    until(node, "listens", |status| !status.listen.is_empty()).await;
    node.status().listen[0].parse().unwrap()
}

async fn next(node: &mut Node, what: &str, mut wanted: impl FnMut(&NetEvent) -> bool) -> NetEvent {
    timeout(Duration::from_secs(30), async {
        loop {
            let event = node.events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
    .unwrap_or_else(|_| panic!("no event: {what}"))
}

fn vote(i: u8) -> Message {
    let vote = Vote {
        kind: VoteType::Prevote,
        height: Height(1),
        round: Round::new(0),
        value: NilOrVal::Nil,
        voter: Voter(account(i)),
    };
    let signature = Keys::sign(&key(i), &vote.signing_bytes(&CHAIN));
    Message::Vote(SignedVote::new(vote, signature))
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_find_each_other_by_one_bootnode_and_hear_each_others_votes() {
    let mut nodes = vec![node(0, true, CHAIN, Vec::new())];
    let boot = address(&nodes[0].handle).await;
    nodes.extend((1..4).map(|i| node(i, true, CHAIN, vec![boot.clone()])));
    for it in &nodes {
        until(&it.handle, "streams to all", |status| status.witnesses == 3).await;
    }
    let sender = nodes[2].handle.clone();
    for i in [0, 1, 3] {
        let mut heard = None;
        // A stream that was opened before its other end knew the witnesses is closed there and opened again: consensus repeats.
        for _ in 0..60 {
            sender.send(NetCommand::Broadcast(vote(2)));
            if let Ok(event) = timeout(Duration::from_millis(500), nodes[i].events.recv()).await {
                heard = event;
                break;
            }
        }
        let Some(NetEvent::Consensus { message, .. }) = heard else { panic!("node {i} heard {heard:?}") };
        assert_eq!(message, vote(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_witness_gets_transactions_and_no_votes() {
    let mut a = node(0, true, CHAIN, Vec::new());
    let boot = address(&a.handle).await;
    let mut full = node(9, false, CHAIN, vec![boot.clone()]);
    // A key that is in no set, claiming to be a witness.
    let liar = node(8, true, CHAIN, vec![boot]);
    for it in [&full, &liar] {
        until(&it.handle, "connected", |status| !status.peers.is_empty()).await;
    }
    let txs = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    // The mesh forms in its own time: repeated with other content until it arrives.
    let mut sent = 0_u64;
    let got = loop {
        sent += 1;
        let mut txs = txs.clone();
        txs.push(Bytes::copy_from_slice(&sent.to_be_bytes()));
        a.handle.send(NetCommand::PublishTransactions(txs));
        let wait = async {
            loop {
                if let Some(NetEvent::Transactions(ticket, txs)) = full.events.recv().await {
                    return (ticket, txs);
                }
            }
        };
        if let Ok(got) = timeout(Duration::from_millis(500), wait).await {
            break got;
        }
        assert!(sent < 60, "transactions do not arrive");
    };
    assert_eq!(got.1[..2], txs[..]);
    full.handle.send(NetCommand::Verdict(got.0, Verdict::Accept));
    liar.handle.send(NetCommand::Broadcast(vote(1)));
    full.handle.send(NetCommand::Broadcast(vote(2)));
    assert_eq!((liar.handle.status().witnesses, full.handle.status().witnesses), (0, 0));
    assert!(a.events.try_recv().is_err(), "nothing of strangers reaches consensus");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_by_the_node_that_is_asked() {
    let mut a = node(0, false, CHAIN, Vec::new());
    let b = node(1, false, CHAIN, vec![address(&a.handle).await]);
    until(&b.handle, "connected", |status| status.peers.len() == 1).await;
    let mut b = b;
    b.handle.send(NetCommand::Request(0, SyncRequest::Chunk(5, 7)));
    let asked = next(&mut a, "a request", |event| matches!(event, NetEvent::Request(..))).await;
    let NetEvent::Request(id, SyncRequest::Chunk(5, 7)) = asked else { panic!("{asked:?}") };
    let chunk = Bytes::from(vec![9; 1 << 20]);
    a.handle.send(NetCommand::Respond(id, SyncResponse::Chunk(chunk.clone())));
    let answer = next(&mut b, "a response", |event| matches!(event, NetEvent::Response(..))).await;
    let NetEvent::Response(_, Some(SyncResponse::Chunk(got))) = answer else { panic!("{answer:?}") };
    assert_eq!(got, chunk);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_another_chain_are_not_kept() {
    let a = node(0, false, CHAIN, Vec::new());
    let other = ChainDomain { chain_id: 8, genesis: B256::repeat_byte(4) };
    let boot = address(&a.handle).await;
    let stranger = node(1, false, other, vec![boot.clone()]);
    let friend = node(2, false, CHAIN, vec![boot]);
    until(&friend.handle, "the friend stays", |status| !status.peers.is_empty()).await;
    until(&stranger.handle, "the stranger is met", |_| true).await;
    until(&a.handle, "only the friend is left", |status| status.peers.len() == 1).await;
}
