//! Targets that feed a whole policy engine or a whole node: longer inputs, deeper state.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};

use netflow_overlay::identity::NodeRecord;
use netflow_overlay::netlog::GenesisParams;
use netflow_overlay::node::{Carrier, CreateOptions, LinkId, Node, NodeConfig, Output, Quota, RelayConfig, Restored};
use netflow_overlay::policy::{Action, Engine, Policy, Proto, Rule, Selector};
use netflow_overlay::session::PqMode;
use netflow_overlay::{EntryBody, NetworkLog, NodeId, NodeKeys, Now, PortId, SignedRecord, Tier};
use rand_core::SeedableRng as _;

use super::{at, key};

thread_local! {
    static WEB_ONLY: OnceCell<NetworkLog> = const { OnceCell::new() };
}

/// A network of two members, keys 2 and 3, where only TCP port 80 may be opened.
fn web_only() -> NetworkLog {
    let owner = key(1);
    let mut log = NetworkLog::create(&owner, GenesisParams { name: "fuzz".into(), ipv4: None }, at(0)).unwrap();
    for number in [2, 3] {
        let node = NodeId(key(number).verifying_key().to_bytes());
        let fields = NodeRecord { node, x25519: [number; 32], kem_hash: [0; 32], reward: [0; 20], seq: 1 };
        let record = SignedRecord::sign(&key(number), fields);
        let member = log.state().add_body(&record, &[], &format!("n{number}"), &[]).unwrap();
        log.author(&owner, member, at(0)).unwrap();
    }
    let (from, to) = (Selector::Any, Selector::Any);
    let rule = Rule { from, to, proto: Proto::Tcp, ports: vec![(80, 80)], action: Action::Allow };
    log.author(&owner, EntryBody::PolicySet { policy: Policy { rules: vec![rule] } }, at(0)).unwrap();
    log
}

/// Packets at the policy engine. The input is `how u8 | length u8 | packet` again and again; `how` bit 0: inbound, bit 1: give the
/// packet the addresses of the two members, so that it gets past the ownership of its source.
pub(crate) fn policy(bytes: &[u8]) {
    WEB_ONLY.with(|cell| {
        let log = cell.get_or_init(web_only);
        let [own, peer] = [2, 3].map(|number| NodeId(key(number).verifying_key().to_bytes()));
        let mut engine = Engine::new();
        let (mut rest, mut opened) = (bytes, false);
        for step in 0..16 {
            let Some(([how, length], tail)) = rest.split_first_chunk::<2>() else { break };
            let (packet, tail) = tail.split_at(usize::from(*length).min(tail.len()));
            rest = tail;
            let mut packet = packet.to_vec();
            let inbound = how & 1 == 1;
            if how & 2 == 2 {
                readdress(&mut packet, log, if inbound { [&peer, &own] } else { [&own, &peer] });
            }
            let passed = if inbound {
                engine.inbound(at(step), log, &own, &peer, &packet).is_ok()
            } else {
                engine.outbound(at(step), log, &own, &packet) == Ok(peer)
            };
            // Whatever passes before anything was opened is the head of a TCP packet to port 80, in any reading.
            assert!(!passed || opened || may_open_web(&packet), "passed: {packet:02x?}");
            opened |= passed;
        }
        engine.handle_timeout(at(1_000));
    });
}

fn readdress(packet: &mut [u8], log: &NetworkLog, ends: [&NodeId; 2]) {
    let [Some(source), Some(dest)] = ends.map(|node| log.state().member(node)) else { return };
    match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => {
            packet[12..16].copy_from_slice(&source.ipv4.unwrap().octets());
            packet[16..20].copy_from_slice(&dest.ipv4.unwrap().octets());
        }
        Some(6) if packet.len() >= 40 => {
            packet[8..24].copy_from_slice(&source.ipv6.octets());
            packet[24..40].copy_from_slice(&dest.ipv6.octets());
        }
        _ => {}
    }
}

/// A reference matcher by another way: somewhere after the IP header there are the four bytes of a destination port 80, and the
/// protocol byte of TCP is named by the header or an extension header.
fn may_open_web(packet: &[u8]) -> bool {
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let header = usize::from(packet[0] & 15) * 4;
            let first_fragment = packet[6] & 0x1f == 0 && packet[7] == 0;
            packet[9] == 6 && first_fragment && packet.get(header + 2..header + 4) == Some(&[0, 80])
        }
        Some(6) => {
            packet[6..].contains(&6) && packet.get(40..).is_some_and(|rest| rest.windows(2).any(|w| w == [0, 80]))
        }
        _ => false,
    }
}

/// Datagrams, control messages and packets at a node that is a member of one network and a relay for all. The input is
/// `kind u8 | length u16 | bytes` again and again. A stranger never gets more bytes than it sent, and nothing it sends is delivered.
pub(crate) fn node(bytes: &[u8]) {
    let mut rng = rand_chacha::ChaCha20Rng::from_seed([3; 32]);
    let config = NodeConfig {
        keys: NodeKeys::generate(&mut rng),
        reward: [0; 20],
        record_seq: 1,
        tier: Tier::Central,
        name: "fuzz".into(),
        software: "fuzz".into(),
        default_relays: vec![],
        relay: Some(RelayConfig {
            public_addrs: vec![([198, 51, 100, 1], 4790).into()],
            default_quota: Some(Quota { bytes_per_day: 1 << 30, rate_bps: 1 << 30 }),
            grants: vec![],
            max_networks: 4,
            max_circuits: 16,
            mesh: Vec::new(),
            rate_bps: None,
            price: 0,
            transit: Vec::new(),
        }),
        pq: PqMode::Prefer,
        aes_hardware: false,
        mtu: 1280,
    };
    let mut now = at(1);
    let mut node = Node::new(config, Restored::default(), now, Box::new(rng));
    let network = node.create_network(now, "home", &CreateOptions::default()).unwrap();
    let stranger: SocketAddr = ([203, 0, 113, 9], 9).into();
    let (client, server) = (LinkId(1), LinkId(2));
    node.handle_link_up(
        now,
        client,
        NodeId(key(5).verifying_key().to_bytes()),
        ([192, 0, 2, 5], 5).into(),
        false,
        Carrier::Quic,
    );
    node.handle_link_up(
        now,
        server,
        NodeId(key(6).verifying_key().to_bytes()),
        ([192, 0, 2, 6], 6).into(),
        true,
        Carrier::Quic,
    );
    let (mut received, mut sent) = (0, drain(&mut node, stranger));
    let mut rest = bytes;
    for _ in 0..32 {
        let Some(([kind, low, high], tail)) = rest.split_first_chunk::<3>() else { break };
        let (input, tail) = tail.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(tail.len()));
        rest = tail;
        match kind % 6 {
            0 => {
                received += input.len();
                node.handle_datagram(now, PortId::MAIN, stranger, &mut input.to_vec());
            }
            1 => node.handle_link_message(now, client, input),
            2 => node.handle_link_message(now, server, input),
            3 => node.handle_inside(now, &network, input),
            4 => {
                let step_us = u64::from(*low) * 1_000_000;
                now = Now { mono_us: now.mono_us + step_us, unix_s: now.unix_s + u64::from(*low) };
                node.handle_timeout(now);
            }
            _ => node.handle_datagram(now, PortId::MAIN, ([192, 0, 2, 5], 5).into(), &mut input.to_vec()),
        }
        sent += drain(&mut node, stranger);
        assert!(sent <= received, "an amplifier: {sent} bytes for {received}");
    }
}

/// Performs nothing, counts the bytes to `stranger`. The queue of one call is bounded.
fn drain(node: &mut Node, stranger: SocketAddr) -> usize {
    let mut bytes = 0;
    for count in 0.. {
        let Some(output) = node.poll_output() else { break };
        assert!(count < 10_000, "one input made more than 10,000 outputs");
        match output {
            Output::Datagram { to, bytes: datagram, .. } if to == stranger => bytes += datagram.len(),
            Output::Datagram { to, .. } => assert!(!matches!(to.ip(), IpAddr::V4(v4) if v4.is_unspecified())),
            Output::Inside { .. } => panic!("nobody has a session: nothing may be delivered"),
            Output::Persist(_)
            | Output::LinkSend { .. }
            | Output::LinkFrame { .. }
            | Output::PortOpen { .. }
            | Output::PortClose { .. }
            | Output::MapPort { .. }
            | Output::LinkConnect { .. }
            | Output::LinkClose { .. }
            | Output::Event(_) => {}
        }
    }
    bytes
}
