//! One function per parser, fed with arbitrary bytes: the body of the libFuzzer targets in `overlay/fuzz` and of the corpus replay test.
//!
//! Each function parses, and when the bytes are a frame asserts that writing the values again gives the same bytes: a parser that
//! ignores a bit, or two spellings of one frame, are findings as much as a panic is.

// A broken promise must stop the fuzzer.
#![allow(clippy::missing_panics_doc)]

use crate::bind::{
    BindFrame, BindRepr, BoundFrame, BoundRepr, ChallengeFrame, ChallengeRepr, ConfirmFrame, ConfirmRepr,
};
use crate::control::{ControlMessage, message_length};
use crate::data::{DATA_HEADER_LEN, DataFrame, DataRepr};
use crate::handshake::{
    CookieFrame, CookieRepr, InitFrame, InitPayload, InitRepr, ResponseFrame, ResponsePayload, ResponseRepr,
};
use crate::inner::Inner;
use crate::probe::{EchoFrame, EchoRepr, ReachFrame, ReachRepr};
use crate::relay::{RelayFrame, RelayRepr};
use crate::stun::{StunClass, StunMessage, answer};

/// A fuzz target: its name, also that of its corpus folder, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. `overlay/wire/tests/corpus.rs` holds that each has a libFuzzer target and a corpus.
pub const TARGETS: &[Target] = &[
    ("wire_classify", classify),
    ("wire_handshake_init", handshake_init),
    ("wire_handshake_response", handshake_response),
    ("wire_cookie_reply", cookie_reply),
    ("wire_handshake_payloads", handshake_payloads),
    ("wire_data", data),
    ("wire_relay", relay),
    ("wire_relay_bind", relay_bind),
    ("wire_relay_challenge", relay_challenge),
    ("wire_relay_bind_confirm", relay_bind_confirm),
    ("wire_relay_bound", relay_bound),
    ("wire_reach_probe", reach_probe),
    ("wire_relay_echo", relay_echo),
    ("wire_inner", inner),
    ("wire_control", control),
    ("wire_control_stream", control_stream),
    ("wire_stun", stun),
];

/// The first byte decides, whatever follows.
pub fn classify(bytes: &[u8]) {
    let whole = crate::classify_datagram(bytes);
    let first = bytes.get(..1).map_or(crate::Datagram::Unknown, crate::classify_datagram);
    assert_eq!(whole, first);
}

/// Frame 0x10.
pub fn handshake_init(bytes: &[u8]) {
    let Ok(frame) = InitFrame::new_checked(bytes) else { return };
    let repr = InitRepr::parse(&frame);
    let mut again = repr.emit(vec![0; repr.buffer_len()]).expect("emit takes buffer_len bytes");
    assert_eq!(again.as_bytes(), bytes);
    again.set_has_cookie(!frame.has_cookie());
    assert!(InitFrame::new_checked(again.as_bytes()).is_ok());
    assert_eq!(frame.mac_input().len() + frame.mac().len(), bytes.len());
}

/// Frame 0x11.
pub fn handshake_response(bytes: &[u8]) {
    let Ok(frame) = ResponseFrame::new_checked(bytes) else { return };
    let repr = ResponseRepr::parse(&frame);
    let mut again = repr.emit(vec![0; repr.buffer_len()]).expect("emit takes buffer_len bytes");
    assert_eq!(again.as_bytes(), bytes);
    again.set_has_cookie(!frame.has_cookie());
    assert!(ResponseFrame::new_checked(again.as_bytes()).is_ok());
}

/// Frame 0x12.
pub fn cookie_reply(bytes: &[u8]) {
    let Ok(frame) = CookieFrame::new_checked(bytes) else { return };
    assert_eq!(CookieRepr::parse(&frame).to_bytes(), bytes);
}

/// Plaintexts inside 0x10 and 0x11.
pub fn handshake_payloads(bytes: &[u8]) {
    if let Ok(payload) = InitPayload::parse(bytes) {
        assert_eq!(payload.to_bytes(), bytes);
    }
    if let Ok(payload) = ResponsePayload::parse(bytes) {
        assert_eq!(payload.to_bytes(), bytes);
    }
}

/// Frame 0x13.
pub fn data(bytes: &[u8]) {
    let Ok(frame) = DataFrame::new_checked(bytes) else { return };
    let header = DataRepr::parse(&frame).to_bytes();
    assert_eq!(&header, frame.header());
    assert_eq!(header.len() + frame.sealed().len(), bytes.len());
    let mut copy = DataFrame::new_checked(bytes.to_vec()).expect("checked above");
    let (by_value, sealed) = copy.split_mut();
    assert_eq!(by_value, header);
    assert_eq!(Some(&*sealed), bytes.get(DATA_HEADER_LEN..));
}

/// Frame 0x18: what a relay does to it in place leaves a valid frame with the same inside.
pub fn relay(bytes: &[u8]) {
    let Ok(frame) = RelayFrame::new_checked(bytes) else { return };
    let repr = RelayRepr::parse(&frame);
    assert_eq!(repr.wrap(frame.inner()), bytes);
    let mut moved = RelayFrame::new_checked(bytes.to_vec()).expect("checked above");
    assert_eq!(moved.take_hop(), repr.hop_limit > 1);
    moved.set_label(!repr.label | 1);
    moved.set_epoch(!repr.epoch);
    let moved = RelayFrame::new_checked(moved.into_inner()).expect("a relay's edits keep the frame valid");
    assert_eq!(moved.inner(), frame.inner());
    assert_eq!((moved.label(), moved.epoch()), (!repr.label | 1, !repr.epoch));
}

/// Frame 0x19.
pub fn relay_bind(bytes: &[u8]) {
    let Ok(frame) = BindFrame::new_checked(bytes) else { return };
    assert_eq!(BindRepr::parse(&frame).to_bytes(), bytes);
}

/// Frame 0x1A.
pub fn relay_challenge(bytes: &[u8]) {
    let Ok(frame) = ChallengeFrame::new_checked(bytes) else { return };
    assert_eq!(ChallengeRepr::parse(&frame).to_bytes(), bytes);
}

/// Frame 0x1B.
pub fn relay_bind_confirm(bytes: &[u8]) {
    let Ok(frame) = ConfirmFrame::new_checked(bytes) else { return };
    assert_eq!(ConfirmRepr::parse(&frame).to_bytes(), bytes);
}

/// Frame 0x1C.
pub fn relay_bound(bytes: &[u8]) {
    let Ok(frame) = BoundFrame::new_checked(bytes) else { return };
    assert_eq!(BoundRepr::parse(&frame).to_bytes(), bytes);
}

/// Frame 0x1D.
pub fn reach_probe(bytes: &[u8]) {
    let Ok(frame) = ReachFrame::new_checked(bytes) else { return };
    assert_eq!(ReachRepr::parse(&frame).to_bytes(), bytes);
}

/// Frame 0x1E: what a relay does to it in place leaves a valid frame.
pub fn relay_echo(bytes: &[u8]) {
    let Ok(frame) = EchoFrame::new_checked(bytes) else { return };
    let repr = EchoRepr::parse(&frame);
    assert_eq!(repr.to_bytes(), bytes);
    let mut moved = EchoFrame::new_checked(bytes.to_vec()).expect("checked above");
    assert_eq!(moved.take_hop(), repr.hop_limit > 1);
    moved.set_label(!repr.label, !repr.epoch);
    moved.answer(8, [7; 8]);
    let moved = EchoFrame::new_checked(moved.into_inner()).expect("a relay's edits keep the frame valid");
    assert_eq!((moved.label(), moved.id(), moved.relay()), (!repr.label, repr.id, [7; 8]));
}

/// Content of an opened data frame.
pub fn inner(bytes: &[u8]) {
    let Ok(message) = Inner::parse(bytes) else { return };
    assert_eq!(message.buffer_len(), bytes.len());
    assert_eq!(message.to_vec().as_deref(), Ok(bytes));
}

/// One control message without its prefix.
pub fn control(bytes: &[u8]) {
    let Ok(message) = ControlMessage::decode(bytes) else { return };
    assert_eq!(message.encode().as_deref(), Ok(bytes));
    assert!(!message.name().is_empty());
}

/// A stream buffer: prefix, message, prefix, message, ...
pub fn control_stream(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some(length)) = message_length(rest) {
        let Some((framed, tail)) = rest.split_at_checked(crate::control::LENGTH_PREFIX + length) else { return };
        let body = framed.get(crate::control::LENGTH_PREFIX..).unwrap_or_default();
        let Ok(message) = ControlMessage::decode(body) else { return };
        assert_eq!(message.encode_framed().as_deref(), Ok(framed));
        rest = tail;
    }
}

/// STUN: every request has one answer, which is a message, names the request and holds the address or says why not.
pub fn stun(bytes: &[u8]) {
    let from = std::net::SocketAddr::from(([198, 51, 100, 7], 4_790));
    let parsed = StunMessage::new_checked(bytes);
    let answered = answer(bytes, from, true);
    assert_eq!(answered.is_some(), parsed.as_ref().is_ok_and(|message| message.class() == StunClass::Request));
    let (Ok(request), Some(answered)) = (parsed, answered) else { return };
    let answer = StunMessage::new_checked(&answered.bytes).expect("an answer is a message");
    assert_eq!(answer.transaction(), request.transaction());
    match answer.class() {
        StunClass::Success => assert_eq!(answer.mapped_address(), Some(from)),
        StunClass::Error => assert_eq!(answer.error_code(), Some(420)),
        StunClass::Request | StunClass::Indication => panic!("an answer that asks"),
    }
    assert!(answered.bytes.len() <= bytes.len() + 20, "at most an address longer than the request");
}
