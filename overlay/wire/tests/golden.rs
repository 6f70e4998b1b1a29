//! The bytes of `vectors/*.json`, written by a second implementation from the specification, are the bytes of this crate.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::net::SocketAddr;

use blake2::digest::{Digest, KeyInit, Mac, consts::U16};
use netflow_wire::bind::*;
use netflow_wire::control::*;
use netflow_wire::data::*;
use netflow_wire::handshake::*;
use netflow_wire::inner::*;
use netflow_wire::probe::*;
use netflow_wire::relay::*;
use netflow_wire::{InviteId, NetworkId, NodeId, Suite, WireError};
use serde_json::Value;

fn load(name: &str) -> Value {
    let path = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().unwrap()
}

fn suite(value: &Value) -> Suite {
    Suite::from_byte(value.as_u64().unwrap() as u8).unwrap()
}

fn u32_of(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

fn address(value: &Value) -> SocketAddr {
    value.as_str().unwrap().parse().unwrap()
}

/// Emits the frame from its fields alone, then reads it back and compares the values.
fn emit(kind: &str, f: &Value) -> Vec<u8> {
    match kind {
        "handshake_init" => {
            let kem = bytes(&f["kem_ciphertext"]);
            let repr = InitRepr {
                suite: suite(&f["suite"]),
                cookie: f["cookie"].as_bool().unwrap(),
                sender_index: u32_of(&f["sender_index"]),
                noise: array(&f["noise"]),
                kem_ciphertext: (!kem.is_empty()).then(|| Box::new(kem.try_into().unwrap())),
                mac: array(&f["mac"]),
            };
            let out = repr.emit(vec![0; repr.buffer_len()]).unwrap();
            assert_eq!(InitRepr::parse(&out), repr);
            out.into_inner()
        }
        "handshake_response" => {
            let repr = ResponseRepr {
                suite: suite(&f["suite"]),
                cookie: f["cookie"].as_bool().unwrap(),
                sender_index: u32_of(&f["sender_index"]),
                receiver_index: u32_of(&f["receiver_index"]),
                noise: array(&f["noise"]),
                mac: array(&f["mac"]),
            };
            let out = repr.emit(vec![0; repr.buffer_len()]).unwrap();
            assert_eq!(ResponseRepr::parse(&out), repr);
            out.into_inner()
        }
        "cookie_reply" => {
            let receiver_index = u32_of(&f["receiver_index"]);
            CookieRepr { receiver_index, nonce: array(&f["nonce"]), cookie_enc: array(&f["cookie_enc"]) }
                .to_bytes()
                .into()
        }
        "data" => {
            let repr = DataRepr {
                slot_lsb: f["slot_lsb"].as_u64().unwrap() as u8,
                receiver_index: u32_of(&f["receiver_index"]),
                counter: f["counter"].as_u64().unwrap(),
            };
            [repr.to_bytes().as_slice(), &bytes(&f["sealed"])].concat()
        }
        "relay" => RelayRepr {
            hop_limit: f["hop_limit"].as_u64().unwrap() as u8,
            epoch: f["epoch"].as_u64().unwrap() as u16,
            label: u32_of(&f["label"]),
        }
        .wrap(&bytes(&f["inner"])),
        "reach_probe" => ReachRepr { token: f["token"].as_u64().unwrap() }.to_bytes().into(),
        "relay_echo" => EchoRepr {
            hop_limit: f["hop_limit"].as_u64().unwrap() as u8,
            epoch: f["epoch"].as_u64().unwrap() as u16,
            label: u32_of(&f["label"]),
            id: f["id"].as_u64().unwrap(),
            answer: bytes(&f["answer"]).try_into().ok(),
        }
        .to_bytes()
        .into(),
        "init_payload" | "response_payload" => payload(kind, f),
        "inner" => Vec::new(),
        _ => bind(kind, f),
    }
}

fn payload(kind: &str, f: &Value) -> Vec<u8> {
    let caps =
        Caps { aes_hardware: f["aes_hardware"].as_bool().unwrap(), pq_strict: f["pq_strict"].as_bool().unwrap() };
    if kind == "init_payload" {
        InitPayload { counter: f["counter"].as_u64().unwrap(), caps }.to_bytes().into()
    } else {
        ResponsePayload { record_suite: suite(&f["record_suite"]), caps }.to_bytes().into()
    }
}

fn bind(kind: &str, f: &Value) -> Vec<u8> {
    let bind_id = f["bind_id"].as_u64().unwrap();
    let nonce = f["nonce"].as_u64().unwrap_or(0);
    match kind {
        "relay_bind" => BindRepr { bind_id, nonce, mac: array(&f["mac"]) }.to_bytes().into(),
        "relay_challenge" => ChallengeRepr { bind_id, cookie: array(&f["cookie"]) }.to_bytes().into(),
        "relay_bind_confirm" => {
            ConfirmRepr { bind_id, nonce, cookie: array(&f["cookie"]), mac: array(&f["mac"]) }.to_bytes().into()
        }
        "relay_bound" => {
            BoundRepr { bind_id, nonce, address: address(&f["address"]), mac: array(&f["mac"]) }.to_bytes().into()
        }
        other => panic!("vector of unknown kind {other}"),
    }
}

fn check(kind: &str, data: &[u8]) -> Result<(), WireError> {
    match kind {
        "handshake_init" => InitFrame::new_checked(data).map(drop),
        "handshake_response" => ResponseFrame::new_checked(data).map(drop),
        "cookie_reply" => CookieFrame::new_checked(data).map(drop),
        "data" => DataFrame::new_checked(data).map(drop),
        "relay" => RelayFrame::new_checked(data).map(drop),
        "relay_bind" => BindFrame::new_checked(data).map(drop),
        "relay_challenge" => ChallengeFrame::new_checked(data).map(drop),
        "relay_bind_confirm" => ConfirmFrame::new_checked(data).map(drop),
        "relay_bound" => BoundFrame::new_checked(data).map(drop),
        "reach_probe" => ReachFrame::new_checked(data).map(drop),
        "relay_echo" => EchoFrame::new_checked(data).map(drop),
        "init_payload" => InitPayload::parse(data).map(drop),
        "response_payload" => ResponsePayload::parse(data).map(drop),
        "inner" => Inner::parse(data).map(drop),
        other => panic!("vector of unknown kind {other}"),
    }
}

#[test]
fn every_frame_vector_is_accepted_and_emitted_byte_for_byte() {
    let vectors = load("frames.json");
    for vector in vectors["frames"].as_array().unwrap() {
        let (name, kind) = (vector["name"].as_str().unwrap(), vector["kind"].as_str().unwrap());
        let expected = bytes(&vector["hex"]);
        assert_eq!(check(kind, &expected), Ok(()), "{name}");
        if kind != "inner" {
            assert_eq!(hex::encode(emit(kind, &vector["fields"])), hex::encode(&expected), "{name}");
        }
    }
}

#[test]
fn every_rejected_vector_is_refused_for_the_stated_reason() {
    for vector in load("frames.json")["rejected"].as_array().unwrap() {
        let expected = match vector["error"].as_str().unwrap() {
            "length" => WireError::Length,
            "kind" => WireError::Kind,
            "reserved" => WireError::Reserved,
            _ => WireError::Value,
        };
        let got = check(vector["kind"].as_str().unwrap(), &bytes(&vector["hex"]));
        assert_eq!(got, Err(expected), "{}", vector["name"]);
    }
}

fn candidates(f: &Value) -> Candidates {
    let flag = |name: &str| f[name].as_bool().unwrap();
    let item = |item: &Value| Candidate {
        kind: CandidateKind::from_byte(u32_of(&item["kind"]) as u8).unwrap(),
        addr: address(&item["addr"]),
    };
    Candidates {
        round: u32_of(&f["round"]),
        mapping: Mapping::from_byte(u32_of(&f["mapping"]) as u8).unwrap(),
        filtering: Filtering::from_byte(u32_of(&f["filtering"]) as u8).unwrap(),
        same_lan: flag("same_lan"),
        wants_answer: flag("wants_answer"),
        patient: flag("patient"),
        list: f["list"].as_array().unwrap().iter().map(item).collect(),
    }
}

#[test]
fn inner_vectors_say_what_their_fields_say() {
    let vectors = load("frames.json");
    for vector in vectors["frames"].as_array().unwrap().iter().filter(|vector| vector["kind"] == "inner") {
        let (data, f) = (bytes(&vector["hex"]), &vector["fields"]);
        let part = bytes(f.get("bytes").unwrap_or(&Value::String(String::new())));
        let expected = match f["type"].as_str().unwrap() {
            "ip" => Inner::Ip(&data),
            "keepalive" => Inner::Keepalive { heads_digest: array(&f["heads_digest"]) },
            "heads" => Inner::Heads(
                f["heads"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|h| ShortHead { author: array(&h["author"]), seq: u32_of(&h["seq"]), hash: array(&h["hash"]) })
                    .collect(),
            ),
            "pull" => Inner::Pull(
                f["ranges"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|r| ShortRange { author: array(&r["author"]), from: u32_of(&r["from"]), to: u32_of(&r["to"]) })
                    .collect(),
            ),
            "entry_fragment" => Inner::EntryFragment(Fragment {
                author: array(&f["author"]),
                seq: u32_of(&f["seq"]),
                total: u32_of(&f["total"]) as u16,
                offset: u32_of(&f["offset"]) as u16,
                bytes: &part,
            }),
            "candidates" => Inner::Candidates(candidates(f)),
            "probe" => Inner::Probe {
                id: f["id"].as_u64().unwrap(),
                nominate: f["nominate"].as_bool().unwrap(),
                padding: u32_of(&f["padding"]) as u16,
            },
            "probe_ack" => Inner::ProbeAck(ProbeAck {
                id: f["id"].as_u64().unwrap(),
                len: u32_of(&f["len"]) as u16,
                observed: f["observed"].as_str().map(|addr| addr.parse().unwrap()),
                rx_packets: u32_of(&f["rx_packets"]),
                rx_bytes: f["rx_bytes"].as_u64().unwrap(),
            }),
            "part" => Inner::Part(Part { id: u32_of(&f["id"]), index: u32_of(&f["index"]) as u8, bytes: &part }),
            "ping" => Inner::Ping { id: 1, t: 2 },
            _ => Inner::Pong { id: 1, t: 2 },
        };
        assert_eq!(Inner::parse(&data).unwrap(), expected, "{}", vector["name"]);
        assert_eq!(expected.to_vec().unwrap(), data, "{}", vector["name"]);
    }
}

#[test]
fn macs_of_the_vectors_follow_from_the_keys_beside_them() {
    type Mac128 = blake2::Blake2sMac<U16>;
    type Mac256 = blake2::Blake2sMac256;
    let vectors = load("frames.json");
    let keys = &vectors["keys"];
    let mut hash = blake2::Blake2s256::new();
    hash.update(b"NFC/1 mac");
    hash.update(bytes(&keys["network_id"]));
    hash.update(bytes(&keys["receiver_x25519"]));
    let mac_key = hash.finalize();
    assert_eq!(mac_key.as_slice(), bytes(&keys["mac_key"]));
    let with_cookie =
        Mac256::new_from_slice(&mac_key).unwrap().chain_update(bytes(&keys["cookie"])).finalize().into_bytes();
    let bind_key = bytes(&keys["bind_key"]);
    let mut checked = 0;
    for vector in vectors["frames"].as_array().unwrap() {
        let data = bytes(&vector["hex"]);
        let Some((input, mac)) = data.split_last_chunk::<16>() else { continue };
        let key = match vector["kind"].as_str().unwrap() {
            "handshake_init" | "handshake_response" if vector["fields"]["cookie"] == true => with_cookie.as_slice(),
            "handshake_init" | "handshake_response" => mac_key.as_slice(),
            "relay_bind" | "relay_bind_confirm" | "relay_bound" => bind_key.as_slice(),
            _ => continue,
        };
        Mac128::new_from_slice(key).unwrap().chain_update(input).verify_slice(mac).unwrap();
        checked += 1;
    }
    assert_eq!(checked, 9, "five handshake frames and four bind frames carry a MAC");
}

fn run<const N: usize>(start: u8) -> [u8; N] {
    std::array::from_fn(|i| start.wrapping_add(i as u8))
}

fn messages() -> Vec<(&'static str, ControlMessage)> {
    use ControlMessage as M;
    let network = NetworkId(run(0x80));
    let (node, invite) = (NodeId(run(0x10)), InviteId(run(0x20)));
    let author = run(0x10);
    let route = route();
    vec![
        ("hello", M::Hello { version: 2, tier: Tier::Central, software: "netflowd/0.1.0".into() }),
        ("attach", M::Attach { network }),
        ("attached", M::Attached { network, quota_bytes_day: 10_000_000_000, rate_bps: 20_000_000 }),
        ("log_heads", M::LogHeads { network, heads: vec![Head { author, seq: 70_000, hash: run(0x33) }] }),
        ("log_heads empty", M::LogHeads { network, heads: vec![] }),
        ("log_pull", M::LogPull { network, ranges: vec![Range { author, from: 3, to: 9 }] }),
        ("log_entries", M::LogEntries { network, entries: vec![b"entry one".to_vec(), b"entry two".to_vec()] }),
        ("publish", M::Publish { network, entries: vec![b"genesis".to_vec()] }),
        (
            "join_request",
            M::JoinRequest {
                network,
                invite,
                record: b"record".to_vec(),
                kem_key: run::<1184>(0).to_vec(),
                name: "laptop".into(),
                proof: run(0),
            },
        ),
        ("join_pending", M::JoinPending { network, invite }),
        (
            "join_refused",
            M::JoinRefused { network, invite, reason: join_reason::USED, text: "invite already used".into() },
        ),
        ("bind_request", M::BindRequest),
        ("bind_ticket", M::BindTicket { bind_id: 0x1020_3040_5060_7080, bind_key: run(0x50) }),
        ("circuit_open", M::CircuitOpen { network, peer: node, via: vec![] }),
        ("circuit_open over three relays", M::CircuitOpen { network, peer: node, via: route[..2].to_vec() }),
        ("circuit_opened", M::CircuitOpened { network, peer: node, via: vec![], label: 0xdead_beef, epoch: 0x0102 }),
        (
            "circuit_closed",
            M::CircuitClosed {
                network,
                peer: node,
                via: route[..1].to_vec(),
                label: 0,
                reason: circuit_reason::PEER_OFFLINE,
            },
        ),
        ("refused", M::Refused { network: Some(network), code: refused_code::QUOTA, text: "quota used up".into() }),
        (
            "refused without network",
            M::Refused { network: None, code: refused_code::VERSION, text: "version 2 only".into() },
        ),
        ("ping", M::Ping { id: 1 }),
        ("pong", M::Pong { id: 1 }),
    ]
    .into_iter()
    .chain(mesh_messages())
    .collect()
}

fn route() -> Vec<NodeId> {
    vec![NodeId(run(0x40)), NodeId(run(0x50)), NodeId(run(0x60))]
}

fn mesh_messages() -> Vec<(&'static str, ControlMessage)> {
    use ControlMessage as M;
    let (network, node, route) = (NetworkId(run(0x80)), NodeId(run(0x10)), route());
    let circuit = CircuitPath { network, first: node, last: NodeId(run(0x20)), route: route[..2].to_vec() };
    let advert = RelayAdvert {
        origin: node,
        seq: 1 << 33,
        age_s: 3,
        hops: 1,
        load_permille: 250,
        price: 7,
        links: vec![LinkAdvert { neighbour: route[0], rtt_us: 12_345, loss_permille: 10 }],
        signature: run(0x70),
    };
    let path = CandidatePath { relays: route.clone(), rtt_us: 24_000, loss_permille: 10, load_permille: 250, price: 7 };
    let addr = "198.51.100.7:4790".parse().unwrap();
    vec![
        ("probe_me", M::ProbeMe { addr, token: 0x1122_3344_5566_7788, alt: true }),
        ("mesh_hello", M::MeshHello),
        ("link_state", M::LinkState { adverts: vec![advert] }),
        ("where_is", M::WhereIs { id: 9, network, peer: node, route: route.clone() }),
        ("here", M::Here { id: 9, network, peer: node, route, bound: false }),
        ("circuit_extend", M::CircuitExtend { circuit: circuit.clone(), label: 0xdead_beef, epoch: 0x0102 }),
        ("circuit_extended", M::CircuitExtended { circuit: circuit.clone(), label: 1, epoch: 65_535 }),
        ("circuit_release", M::CircuitRelease { circuit, reason: circuit_reason::UNREACHABLE }),
        ("path_query", M::PathQuery { network, peer: node, class: path_class::BULK }),
        ("path_answer", M::PathAnswer { network, peer: node, class: path_class::BULK, paths: vec![path] }),
        ("time_query", M::TimeQuery { id: 9 }),
        ("time_answer", M::TimeAnswer { id: 9, unix_ms: 1_790_000_000_123 }),
    ]
}

#[test]
fn every_control_vector_is_encoded_and_decoded_byte_for_byte() {
    let vectors = load("control.json");
    let ours = messages();
    let theirs = vectors["messages"].as_array().unwrap();
    assert_eq!(ours.len(), theirs.len());
    for ((name, message), vector) in ours.iter().zip(theirs) {
        assert_eq!(*name, vector["name"].as_str().unwrap());
        let expected = bytes(&vector["hex"]);
        assert_eq!(hex::encode(message.encode().unwrap()), hex::encode(&expected), "{name}");
        assert!(ControlMessage::decode(&expected).unwrap() == *message, "{name}");
    }
}

#[test]
fn every_rejected_control_vector_is_refused_for_the_stated_reason() {
    for vector in load("control.json")["rejected"].as_array().unwrap() {
        let expected = match vector["error"].as_str().unwrap() {
            "length" => ControlError::Length,
            "malformed" => ControlError::Malformed,
            _ => ControlError::NotCanonical,
        };
        assert_eq!(ControlMessage::decode(&bytes(&vector["hex"])).err(), Some(expected), "{}", vector["name"]);
    }
}

#[test]
fn relay_info_has_the_bytes_of_its_vector() {
    let info = RelayInfo {
        node: NodeId(run(0x10)),
        tier: Tier::Root,
        addrs: vec!["198.51.100.7:4790".parse().unwrap(), "[2001:db8::7]:4790".parse().unwrap()],
    };
    let expected = bytes(&load("control.json")["relay_info"]);
    assert_eq!(hex::encode(minicbor::to_vec(&info).unwrap()), hex::encode(&expected));
    assert_eq!(minicbor::decode::<RelayInfo>(&expected).unwrap(), info);
}
