#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a wrong assumption must fail the test, and payloads are any bytes"
)]

use etherparse::PacketBuilder;
use proptest::prelude::*;

use super::*;

const BOTH: Merges = Merges { tcp: true, udp: true };

fn tcp(v4: bool, port: u16, seq: u32, payload: &[u8], psh: bool) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = if v4 {
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
    } else {
        PacketBuilder::ipv6([1; 16], [2; 16], 64)
    };
    let builder = builder.tcp(port, 80, seq, 1_000).ack(77);
    let builder = if psh { builder.psh() } else { builder };
    builder.write(&mut packet, payload).unwrap();
    packet
}

fn udp(v4: bool, port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = if v4 {
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
    } else {
        PacketBuilder::ipv6([1; 16], [2; 16], 64)
    };
    builder.udp(port, 80).write(&mut packet, payload).unwrap();
    packet
}

fn written(batch: &mut WriteBatch) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    batch.drain(|bytes| all.push(bytes.to_vec()));
    all
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_ne_bytes([bytes[at], bytes[at + 1]]))
}

/// What the kernel makes of it: the segments, with their checksums.
fn cut(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (header, packet) = bytes.split_at(VIRTIO_NET_HDR_LEN);
    if header[1] == 0 {
        assert_eq!(header, [0; VIRTIO_NET_HDR_LEN]);
        return vec![packet.to_vec()];
    }
    assert_eq!(header[0], NEEDS_CSUM);
    let (header_len, size, ip_len, at) = (word(header, 2), word(header, 4), word(header, 6), word(header, 8));
    let is_v4 = ip_len == IPV4_LEN;
    if is_v4 {
        assert_eq!(fold(sum(&packet[..ip_len])), 0xffff, "IP checksum of the whole");
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
    }
    let protocol = if is_v4 { packet[9] } else { packet[6] };
    let partial = fold(pseudo(&packet[..ip_len], protocol, packet.len() - ip_len)).to_ne_bytes();
    assert_eq!(packet[ip_len + at..ip_len + at + 2], partial, "pseudo header");
    let pieces: Vec<&[u8]> = packet[header_len..].chunks(size).collect();
    pieces
        .iter()
        .enumerate()
        .map(|(index, payload)| {
            let mut segment = [&packet[..header_len], payload].concat();
            let (total, rest) = (segment.len() as u16, (segment.len() - ip_len) as u16);
            if is_v4 {
                segment[2..4].copy_from_slice(&total.to_be_bytes());
                segment[10..12].fill(0);
                let checksum = !fold(sum(&segment[..ip_len]));
                segment[10..12].copy_from_slice(&checksum.to_ne_bytes());
            } else {
                segment[4..6].copy_from_slice(&rest.to_be_bytes());
            }
            if protocol == TCP {
                let seq = u32::from_be_bytes(packet[ip_len + 4..ip_len + 8].try_into().unwrap());
                let seq = seq.wrapping_add((index * size) as u32);
                segment[ip_len + 4..ip_len + 8].copy_from_slice(&seq.to_be_bytes());
                if index + 1 < pieces.len() {
                    segment[ip_len + 13] &= !PSH;
                }
            } else {
                segment[ip_len + 4..ip_len + 6].copy_from_slice(&rest.to_be_bytes());
            }
            segment[ip_len + at..ip_len + at + 2].fill(0);
            let checksum =
                !fold(pseudo(&segment[..ip_len], protocol, segment.len() - ip_len) + sum(&segment[ip_len..]));
            segment[ip_len + at..ip_len + at + 2].copy_from_slice(&checksum.to_ne_bytes());
            segment
        })
        .collect()
}

#[test]
fn segments_in_order_become_one_packet_and_the_kernel_makes_the_same_ones_of_it() {
    for v4 in [true, false] {
        let sizes = [1_000, 1_000, 1_000, 300];
        let mut seq = u32::MAX - 1_500;
        let mut packets = Vec::new();
        for (index, size) in sizes.into_iter().enumerate() {
            packets.push(tcp(v4, 5, seq, &vec![index as u8; size], index == 3));
            seq = seq.wrapping_add(size as u32);
        }
        let mut batch = WriteBatch::default();
        assert!(packets.iter().all(|packet| batch.push(packet, BOTH)));
        let all = written(&mut batch);
        assert_eq!((all.len(), cut(&all[0])), (1, packets));
        let datagrams: Vec<_> = [500, 500, 20].map(|size| udp(v4, 9, &vec![3; size])).into();
        assert!(datagrams.iter().all(|packet| batch.push(packet, BOTH)));
        let all = written(&mut batch);
        assert_eq!((all.len(), cut(&all[0])), (1, datagrams));
    }
}

#[test]
fn what_does_not_follow_or_differs_or_opens_or_is_larger_starts_anew() {
    let payload = [7; 100];
    let first = tcp(true, 5, 0, &payload, false);
    let mut window = tcp(true, 5, 100, &payload, false);
    window[20 + 15] ^= 1;
    let mut syn = tcp(true, 5, 100, &payload, false);
    syn[20 + 13] |= 2;
    let others = [
        ("a gap", tcp(true, 5, 200, &payload, false)),
        ("again", first.clone()),
        ("another port", tcp(true, 6, 100, &payload, false)),
        ("larger", tcp(true, 5, 100, &[7; 101], false)),
        ("an acknowledgement", tcp(true, 5, 100, &[], false)),
        ("another window", window),
        ("SYN", syn),
        ("UDP", udp(true, 5, &payload)),
    ];
    for (what, other) in others {
        let mut batch = WriteBatch::default();
        assert!(batch.push(&first, BOTH) && batch.push(&other, BOTH));
        let all = written(&mut batch);
        assert_eq!(
            all.iter().map(|bytes| bytes[VIRTIO_NET_HDR_LEN..].to_vec()).collect::<Vec<_>>(),
            [first.clone(), other],
            "{what}"
        );
    }
    let mut batch = WriteBatch::default();
    let pushed = [tcp(true, 5, 0, &payload, true), tcp(true, 5, 100, &payload, false)];
    assert!(pushed.iter().all(|packet| batch.push(packet, BOTH)));
    assert_eq!(written(&mut batch).len(), 2, "nothing behind a push");
}

#[test]
fn a_device_that_takes_nothing_merged_gets_packets_one_by_one() {
    let mut batch = WriteBatch::default();
    let packets: Vec<_> = (0..3).map(|index| tcp(true, 5, index * 100, &[1; 100], false)).collect();
    assert!(packets.iter().all(|packet| batch.push(packet, Merges { tcp: false, udp: true })));
    assert_eq!(written(&mut batch).len(), 3);
}

#[test]
fn a_broken_checksum_stays_broken() {
    for broken in 0..3 {
        let mut packets: Vec<_> = (0..3).map(|index| tcp(true, 5, index * 100, &[1; 100], false)).collect();
        let last = packets[broken].len() - 1;
        packets[broken][last] ^= 1;
        let mut batch = WriteBatch::default();
        assert!(packets.iter().all(|packet| batch.push(packet, BOTH)));
        let all: Vec<_> = written(&mut batch).iter().flat_map(|bytes| cut(bytes)).collect();
        assert_eq!(all, packets);
    }
}

#[test]
fn flows_that_take_turns_are_merged_each_and_stay_in_order() {
    let mut batch = WriteBatch::default();
    let mut packets = Vec::new();
    for index in 0..40u32 {
        packets.push(tcp(true, 5 + (index % 4) as u16, index / 4 * 100, &[index as u8; 100], false));
    }
    assert!(packets.iter().all(|packet| batch.push(packet, BOTH)));
    let all = written(&mut batch);
    assert_eq!(all.len(), 4);
    for (flow, bytes) in all.iter().enumerate() {
        let mine: Vec<_> = packets.iter().skip(flow).step_by(4).cloned().collect();
        assert_eq!(cut(bytes), mine);
    }
}

#[test]
fn a_full_batch_says_so_and_loses_nothing() {
    let mut batch = WriteBatch::default();
    let packets: Vec<_> = (0..100).map(|port| udp(true, port + 1, b"x")).collect();
    let taken = packets.iter().take_while(|packet| batch.push(packet, BOTH)).count();
    assert_eq!((taken, written(&mut batch).len()), (MAX_RUNS, MAX_RUNS));
    assert!(batch.is_empty() && batch.push(&packets[taken], BOTH));
    // A merged packet stays below what an IP packet can be.
    let mut batch = WriteBatch::default();
    let packets: Vec<_> = (0..120).map(|index| tcp(true, 5, index * 1_240, &[1; 1_240], false)).collect();
    assert!(packets.iter().all(|packet| batch.push(packet, BOTH)));
    let all = written(&mut batch);
    assert!(all.iter().all(|bytes| bytes.len() <= VIRTIO_NET_HDR_LEN + MAX_LEN));
    assert_eq!(all.iter().flat_map(|bytes| cut(bytes)).collect::<Vec<_>>(), packets);
}

proptest! {
    #[test]
    fn whatever_comes_in_goes_out_as_it_was_in_the_order_of_its_flow(
        steps in proptest::collection::vec((0u8..6, any::<bool>(), 0u16..3, 1usize..300, any::<bool>()), 1..60)
    ) {
        let mut seq = [0u32; 3];
        let mut batch = WriteBatch::default();
        let (mut given, mut got) = (Vec::new(), Vec::new());
        for (kind, v4, flow, size, psh) in steps {
            let at = seq[usize::from(flow)];
            let mut packet = match kind {
                0 => udp(v4, flow + 1, &vec![size as u8; size]),
                _ => tcp(v4, flow + 1, at, &vec![size as u8; if kind < 4 { 200 } else { size }], psh),
            };
            seq[usize::from(flow)] = at.wrapping_add(if kind < 4 { 200 } else { size as u32 });
            if kind == 5 {
                let last = packet.len() - 1;
                packet[last] = packet[last].wrapping_add(1);
            }
            if !batch.push(&packet, BOTH) {
                got.extend(written(&mut batch).iter().flat_map(|bytes| cut(bytes)));
                prop_assert!(batch.push(&packet, BOTH));
            }
            given.push(packet);
        }
        got.extend(written(&mut batch).iter().flat_map(|bytes| cut(bytes)));
        // Flows may overtake each other, packets of one flow may not.
        let of = |packets: &[Vec<u8>], v6: bool, port: u16, protocol: u8| -> Vec<Vec<u8>> {
            packets.iter().filter(|packet| {
                let ip = if packet[0] >> 4 == 6 { IPV6_LEN } else { IPV4_LEN };
                let kind = if ip == IPV6_LEN { packet[6] } else { packet[9] };
                (ip == IPV6_LEN, kind) == (v6, protocol) && packet[ip..ip + 2] == port.to_be_bytes()
            }).cloned().collect()
        };
        prop_assert_eq!(given.len(), got.len());
        for v6 in [false, true] {
            for port in 1..=3 {
                for protocol in [TCP, UDP] {
                    prop_assert_eq!(of(&given, v6, port, protocol), of(&got, v6, port, protocol));
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_taken_and_given_back(bytes in proptest::collection::vec(any::<u8>(), 0..200), first in prop_oneof![Just(0x45u8), Just(0x60u8), any::<u8>()]) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        let mut batch = WriteBatch::default();
        prop_assert!(batch.push(&bytes, BOTH) && batch.push(&bytes, BOTH));
        let all: Vec<_> = written(&mut batch).iter().flat_map(|bytes| cut(bytes)).collect();
        prop_assert_eq!(all, [bytes.clone(), bytes]);
    }
}
