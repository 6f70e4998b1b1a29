//! What one packet of a stranger costs a relay that is in 16 networks: nanoseconds, printed and not judged.
//!
//! `cargo run --release -p netflow-overlay --example flood_cost`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a measurement: it reads the clock, prints, and stops when something is wrong"
)]

use std::net::SocketAddr;
use std::time::Instant;

use netflow_overlay::node::{CreateOptions, Node, NodeConfig, Quota, RelayConfig, Restored};
use netflow_overlay::session::PqMode;
use netflow_overlay::{NodeKeys, Now, PortId, Tier};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

const PACKETS: u32 = 200_000;

fn main() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut now = Now { mono_us: 1_000_000, unix_s: 1_790_000_000 };
    let mut node = relay(now, &mut rng);
    let kinds: [(&str, u8, usize); 7] = [
        ("0x10 initiation with ML-KEM, 1,220 bytes", 0x10, 1_220),
        ("0x10 initiation, 132 bytes", 0x10, 132),
        ("0x13 data, 1,400 bytes", 0x13, 1_400),
        ("0x18 relay with data, 1,400 bytes", 0x18, 1_400),
        ("0x19 bind, 36 bytes", 0x19, 36),
        ("0x1e relay echo, 32 bytes", 0x1e, 32),
        ("STUN request, 44 bytes", 0x00, 44),
    ];
    for (name, first, length) in kinds {
        let mut packet = forged(&mut rng, first, length);
        let begin = Instant::now();
        for number in 0..PACKETS {
            // 100,000 a second, each from another address.
            now.mono_us += 10;
            let from = SocketAddr::from((number.to_be_bytes().map(|byte| byte | 1), 9));
            node.handle_datagram(now, PortId::MAIN, from, &mut packet);
            while node.poll_output().is_some() {}
            std::hint::black_box(node.poll_timeout());
        }
        let each = begin.elapsed().as_nanos() / u128::from(PACKETS);
        println!("{each:>8} ns each at 100,000 a second: {name}");
    }
}

fn relay(now: Now, rng: &mut ChaCha20Rng) -> Node {
    let quota = Quota { bytes_per_day: 1 << 40, rate_bps: 1 << 40 };
    let addr = SocketAddr::from(([192, 0, 2, 1], 4_790));
    let config = NodeConfig {
        keys: NodeKeys::generate(rng),
        reward: [0; 20],
        record_seq: 1,
        tier: Tier::Central,
        name: "relay".to_owned(),
        software: "flood_cost".to_owned(),
        default_relays: Vec::new(),
        relay: Some(RelayConfig {
            public_addrs: vec![addr],
            default_quota: Some(quota),
            grants: Vec::new(),
            max_networks: 64,
            max_circuits: 4_096,
            mesh: Vec::new(),
            rate_bps: None,
            price: 0,
            transit: Vec::new(),
        }),
        pq: PqMode::Strict,
        aes_hardware: true,
        mtu: 1_280,
    };
    let inner = ChaCha20Rng::seed_from_u64(rng.next_u64());
    let mut node = Node::new(config, Restored::default(), now, Box::new(inner));
    for number in 0..16 {
        node.create_network(now, &format!("net{number}"), &CreateOptions::default()).expect("room for 16 networks");
        while node.poll_output().is_some() {}
    }
    node
}

/// Looks right as far as a stranger can make it.
fn forged(rng: &mut ChaCha20Rng, first: u8, length: usize) -> Vec<u8> {
    let mut packet = vec![0; length];
    rng.fill_bytes(&mut packet);
    packet[0] = first;
    match first {
        0x10 => packet[1..4].copy_from_slice(&[1, if length > 132 { 2 } else { 0 }, 0]),
        0x13 => packet[2..4].fill(0),
        0x18 => (packet[1], packet[8]) = (8, 0x13),
        0x19 => packet[1..4].fill(0),
        0x1e => {
            packet[1] = 1;
            packet[16..].fill(0);
        }
        _ => {
            packet[..8].copy_from_slice(&[0, 1, 0, 24, 0x21, 0x12, 0xa4, 0x42]);
            packet[20..24].copy_from_slice(&[0, 0x26, 0, 20]);
        }
    }
    packet
}
