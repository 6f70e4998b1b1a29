//! Promises that hold for all bytes, not only for the vectors.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use netflow_wire::bind::{BOUND_LEN, BoundFrame, BoundRepr};
use netflow_wire::control::{ControlError, ControlMessage, Head, MAX_HEADS, MAX_MESSAGE_LEN, message_length};
use netflow_wire::data::{DATA_OVERHEAD, DataFrame, DataRepr};
use netflow_wire::fuzzing::TARGETS;
use netflow_wire::handshake::{INIT_KEM_LEN, INIT_LEN, InitFrame, InitRepr, ResponseFrame, ResponseRepr};
use netflow_wire::inner::{
    Candidate, CandidateKind, Candidates, FRAGMENT_HEADER_LEN, Filtering, Inner, MAX_CANDIDATES, Mapping, ProbeAck,
    fragments,
};
use netflow_wire::relay::{RelayFrame, RelayRepr};
use netflow_wire::{Datagram, FrameKind, NetworkId, Suite, WireError, classify};
use proptest::prelude::*;

/// First byte of every kind, so that arbitrary bytes get past the first check.
const KINDS: [u8; 11] = [0x10, 0x11, 0x12, 0x13, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e];
/// Lengths at which some frame is complete, and their neighbours.
const LENGTHS: [usize; 12] = [1, 16, 28, 32, 36, 52, 54, 64, 80, 132, 1220, 1232];

fn almost_frames() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![proptest::sample::select(LENGTHS.as_slice()), 0usize..2048];
    (proptest::sample::select(KINDS.as_slice()), 0u8..4, 0u8..4, length, any::<u64>()).prop_map(
        |(kind, second, flags, length, seed)| {
            let mut state = seed | 1;
            let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .take(length)
            .collect();
            for (slot, value) in bytes.iter_mut().zip([kind, second, flags, 0]) {
                *slot = value;
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_parser_panics_on_arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
        for (_, run) in TARGETS {
            run(&bytes);
        }
    }

    #[test]
    fn no_parser_panics_on_bytes_that_begin_like_a_frame(bytes in almost_frames()) {
        for (_, run) in TARGETS {
            run(&bytes);
        }
    }

    #[test]
    fn an_initiation_comes_back_as_it_was(
        aes: bool, cookie: bool, kem: bool, sender_index: u32, noise: [u8; 32], mac: [u8; 16], fill: u8,
    ) {
        let mut message = [fill; 108];
        message[..32].copy_from_slice(&noise);
        let repr = InitRepr {
            suite: if aes { Suite::AesGcm } else { Suite::ChaChaPoly },
            cookie,
            sender_index,
            noise: message,
            kem_ciphertext: kem.then(|| Box::new([fill; 1088])),
            mac,
        };
        let frame = repr.emit(vec![0xff; repr.buffer_len()]).unwrap();
        prop_assert_eq!(frame.as_bytes().len(), if kem { INIT_KEM_LEN } else { INIT_LEN });
        prop_assert_eq!(InitRepr::parse(&InitFrame::new_checked(frame.as_bytes()).unwrap()), repr);
    }

    #[test]
    fn a_response_comes_back_as_it_was(cookie: bool, sender_index: u32, receiver_index: u32, mac: [u8; 16], fill: u8) {
        let repr = ResponseRepr { suite: Suite::ChaChaPoly, cookie, sender_index, receiver_index, noise: [fill; 52], mac };
        let frame = repr.emit(vec![0xff; repr.buffer_len()]).unwrap();
        prop_assert_eq!(ResponseRepr::parse(&ResponseFrame::new_checked(frame.as_bytes()).unwrap()), repr);
    }

    #[test]
    fn a_bound_address_comes_back_as_it_was(bind_id: u64, nonce: u64, ip: std::net::IpAddr, port: u16) {
        // A v4-mapped IPv6 address is an IPv4 address: the only value that changes its spelling.
        let address = std::net::SocketAddr::new(ip.to_canonical(), port);
        let repr = BoundRepr { bind_id, nonce, address, mac: [1; 16] };
        prop_assert_eq!(BoundRepr::parse(&BoundFrame::new_checked(repr.to_bytes()).unwrap()), repr);
    }

    #[test]
    fn a_log_entry_survives_being_cut_into_fragments(raw in proptest::collection::vec(any::<u8>(), 1..8_192)) {
        let mut whole = Vec::new();
        for fragment in fragments([7; 8], 3, &raw) {
            let bytes = Inner::EntryFragment(fragment).to_vec().unwrap();
            prop_assert!(bytes.len() <= 1280 - DATA_OVERHEAD && bytes.len() > FRAGMENT_HEADER_LEN);
            let Inner::EntryFragment(parsed) = Inner::parse(&bytes).unwrap() else { panic!("not a fragment") };
            prop_assert_eq!(usize::from(parsed.offset), whole.len());
            prop_assert_eq!(usize::from(parsed.total), raw.len());
            whole.extend_from_slice(parsed.bytes);
        }
        prop_assert_eq!(whole, raw);
    }

    #[test]
    fn candidates_come_back_as_they_were(
        round: u32, mapping in 0u8..=4, filtering in 0u8..=3, flags in 0u8..8,
        list in proptest::collection::vec((0u8..=4, any::<std::net::IpAddr>(), 1u16..), 0..=MAX_CANDIDATES),
    ) {
        let list = list.into_iter().filter(|(_, ip, _)| !ip.to_canonical().is_unspecified()).map(|(kind, ip, port)| Candidate {
            kind: CandidateKind::from_byte(kind).unwrap(),
            addr: std::net::SocketAddr::new(ip.to_canonical(), port),
        });
        let message = Inner::Candidates(Candidates {
            round,
            mapping: Mapping::from_byte(mapping).unwrap(),
            filtering: Filtering::from_byte(filtering).unwrap(),
            same_lan: flags & 1 != 0,
            wants_answer: flags & 2 != 0,
            patient: flags & 4 != 0,
            list: list.collect(),
        });
        let bytes = message.to_vec().unwrap();
        prop_assert_eq!(bytes.len(), message.buffer_len());
        prop_assert_eq!(Inner::parse(&bytes), Ok(message));
    }

    #[test]
    fn probes_and_their_answers_come_back_as_they_were(id: u64, nominate: bool, padding: u16, ack in any::<(u16, u32, u64)>(), ip: std::net::IpAddr, port: u16) {
        let probe = Inner::Probe { id, nominate, padding };
        let bytes = probe.to_vec().unwrap();
        prop_assert_eq!(bytes.len(), 10 + usize::from(padding));
        prop_assert_eq!(Inner::parse(&bytes), Ok(probe));
        let observed = Some(std::net::SocketAddr::new(ip.to_canonical(), port)).filter(|at| at.port() != 0 && !at.ip().is_unspecified());
        let ack = Inner::ProbeAck(ProbeAck { id, len: ack.0, observed, rx_packets: ack.1, rx_bytes: ack.2 });
        let bytes = ack.to_vec().unwrap();
        prop_assert_eq!(Inner::parse(&bytes), Ok(ack));
    }
}

/// Pitfall 2 on the wire: every bit of the type and flag bytes, changed, is refused; the rest of the header is the AEAD's to protect.
#[test]
fn pitfall_02_no_header_bit_of_a_data_frame_can_be_set_or_cleared() {
    let mut frame = DataRepr { slot_lsb: 0, receiver_index: 1, counter: 1 }.to_bytes().to_vec();
    frame.extend_from_slice(&[0; 60]);
    assert!(DataFrame::new_checked(&frame).is_ok());
    for at in [0, 2, 3] {
        for bit in 0..8 {
            let mut flipped = frame.clone();
            flipped[at] ^= 1 << bit;
            let expected = if at == 0 { WireError::Kind } else { WireError::Reserved };
            assert_eq!(DataFrame::new_checked(&flipped).unwrap_err(), expected, "byte {at} bit {bit}");
        }
    }
}

/// Pitfall 3 on the wire: the associated data is every byte before the ciphertext, so no header bit is outside the AEAD.
#[test]
fn pitfall_03_the_associated_data_and_the_ciphertext_cover_the_whole_datagram() {
    let mut frame = DataRepr { slot_lsb: 9, receiver_index: 1, counter: 1 }.to_bytes().to_vec();
    frame.extend_from_slice(&[5; 60]);
    let view = DataFrame::new_checked(&frame).unwrap();
    assert_eq!([view.header().as_slice(), view.sealed()].concat(), frame);
}

/// What a peer would refuse is never sent: the encoder holds the sender to the parser's rules.
#[test]
fn a_candidate_nobody_can_be_at_is_never_encoded() {
    let none = |list| {
        Inner::Candidates(Candidates {
            round: 1,
            mapping: Mapping::Unknown,
            filtering: Filtering::Unknown,
            same_lan: false,
            wants_answer: false,
            patient: false,
            list,
        })
    };
    let at = |addr: &str| Candidate { kind: CandidateKind::Host, addr: addr.parse().unwrap() };
    for addr in ["192.0.2.1:0", "0.0.0.0:1", "[::]:1"] {
        assert_eq!(none(vec![at(addr)]).to_vec(), Err(WireError::Value), "{addr}");
    }
    assert_eq!(none(vec![at("192.0.2.1:1"); MAX_CANDIDATES + 1]).to_vec(), Err(WireError::Value));
}

/// Pitfall 11: jumbo and merged buffers of every kind are refused or parsed, never a panic.
#[test]
fn pitfall_11_oversized_and_merged_datagrams_never_panic() {
    for kind in KINDS {
        for length in [9_000, 65_507, 65_535, 65_536, 131_072] {
            let mut bytes = vec![0; length];
            bytes[0] = kind;
            for (_, run) in TARGETS {
                run(&bytes);
            }
        }
    }
    let mut jumbo = vec![0; 65_536];
    jumbo[0] = 0x13;
    assert_eq!(DataFrame::new_checked(&jumbo).unwrap_err(), WireError::Length);
    let merged: Vec<u8> = std::iter::repeat_n(
        BoundRepr { bind_id: 1, nonce: 1, address: ([1, 2, 3, 4], 5).into(), mac: [0; 16] }.to_bytes(),
        40,
    )
    .flatten()
    .collect();
    assert_eq!(BoundFrame::new_checked(&merged).unwrap_err(), WireError::Length);
    assert!(BoundFrame::new_checked(&merged[..BOUND_LEN]).is_ok());
}

/// Pitfall 13 on the wire: what answers an unproven address is not longer than what was asked.
#[test]
fn pitfall_13_no_reply_to_an_unproven_address_is_longer_than_its_request() {
    use netflow_wire::{bind, handshake};
    let smallest_relayed = netflow_wire::relay::RELAY_HEADER_LEN + DATA_OVERHEAD;
    let pairs = [
        ("cookie reply to an initiation", handshake::COOKIE_REPLY_LEN, INIT_LEN),
        ("cookie reply to a response", handshake::COOKIE_REPLY_LEN, handshake::RESPONSE_LEN),
        ("response to an initiation", handshake::RESPONSE_LEN, INIT_LEN),
        ("challenge to a bind", bind::CHALLENGE_LEN, bind::BIND_LEN),
        ("echo answer to an echo", netflow_wire::probe::ECHO_LEN, netflow_wire::probe::ECHO_LEN),
        ("unsolicited challenge to a relayed frame", bind::CHALLENGE_LEN, smallest_relayed),
    ];
    for (what, reply, request) in pairs {
        assert!(reply <= request, "{what}: {reply} > {request}");
    }
}

#[test]
fn the_first_byte_sorts_stun_frames_and_quic_apart() {
    for first in 0..=u8::MAX {
        let expected = match first {
            0..=3 => Datagram::Stun,
            0x10 => Datagram::Frame(FrameKind::HandshakeInit),
            0x11 => Datagram::Frame(FrameKind::HandshakeResponse),
            0x12 => Datagram::Frame(FrameKind::CookieReply),
            0x13 => Datagram::Frame(FrameKind::Data),
            0x18 => Datagram::Frame(FrameKind::Relay),
            0x19 => Datagram::Frame(FrameKind::RelayBind),
            0x1a => Datagram::Frame(FrameKind::RelayChallenge),
            0x1b => Datagram::Frame(FrameKind::RelayBindConfirm),
            0x1c => Datagram::Frame(FrameKind::RelayBound),
            0x1d => Datagram::Frame(FrameKind::ReachProbe),
            0x1e => Datagram::Frame(FrameKind::RelayEcho),
            0x40..=0x7f | 0xc0..=0xff => Datagram::Quic,
            _ => Datagram::Unknown,
        };
        assert_eq!(classify(first), expected, "first byte {first:#04x}");
    }
}

#[test]
fn a_relay_drops_at_the_last_hop_and_touches_only_the_header() {
    let data = [DataRepr { slot_lsb: 0, receiver_index: 1, counter: 2 }.to_bytes().as_slice(), &[3; 40]].concat();
    let datagram = RelayRepr { hop_limit: 2, epoch: 1, label: 5 }.wrap(&data);
    let mut frame = RelayFrame::new_checked(datagram).unwrap();
    assert!(frame.take_hop());
    frame.set_label(6);
    assert_eq!((frame.hop_limit(), frame.label(), frame.inner()), (1, 6, data.as_slice()));
    assert!(!frame.take_hop(), "a hop limit of one ends at this relay");
    assert_eq!(frame.hop_limit(), 1);
}

#[test]
fn a_control_length_outside_the_limit_ends_the_link_before_anything_is_allocated() {
    assert_eq!(message_length(&[1, 0, 0]), Ok(None));
    assert_eq!(message_length(&0u32.to_le_bytes()), Err(ControlError::Length));
    assert_eq!(message_length(&65_536u32.to_le_bytes()), Ok(Some(MAX_MESSAGE_LEN)));
    assert_eq!(message_length(&65_537u32.to_le_bytes()), Err(ControlError::Length));
    assert_eq!(message_length(&u32::MAX.to_le_bytes()), Err(ControlError::Length));
}

#[test]
fn what_a_peer_would_refuse_is_never_encoded() {
    let network = NetworkId([0; 32]);
    let head = Head { author: [0; 32], seq: 0, hash: [0; 32] };
    let heads = vec![head; MAX_HEADS + 1];
    assert_eq!(ControlMessage::LogHeads { network, heads }.encode(), Err(ControlError::OverLimit));
    // Nine entries of the largest size are each allowed, and together too long.
    let entries = vec![vec![0; 8_192]; 9];
    assert_eq!(ControlMessage::LogEntries { network, entries }.encode(), Err(ControlError::Length));
}

#[test]
fn debug_output_of_a_message_never_shows_its_secret() {
    let ticket = ControlMessage::BindTicket { bind_id: 1, bind_key: [0xab; 32] };
    assert_eq!(format!("{ticket:?}"), "bind_ticket");
    assert_eq!(format!("{:?}", NetworkId([0xab; 32])), "NetworkId(abababab)");
}
