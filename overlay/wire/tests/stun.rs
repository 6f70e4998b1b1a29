//! STUN against the sample messages of RFC 5769 and the answers a second implementation gives.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::SocketAddr;

use netflow_wire::WireError;
use netflow_wire::stun::*;
use proptest::prelude::*;
use serde_json::Value;

fn load() -> Value {
    let path = format!("{}/vectors/stun.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn address(value: &Value) -> Option<SocketAddr> {
    value.as_str().map(|text| text.parse().unwrap())
}

#[test]
fn every_sample_message_is_read_as_its_rfc_says() {
    for vector in load()["messages"].as_array().unwrap() {
        let data = bytes(&vector["hex"]);
        let message = StunMessage::new_checked(&data).unwrap();
        let class = match vector["class"].as_str().unwrap() {
            "request" => StunClass::Request,
            "success" => StunClass::Success,
            _ => StunClass::Error,
        };
        assert_eq!(message.class(), class, "{}", vector["name"]);
        assert_eq!(message.mapped_address(), address(&vector["mapped"]), "{}", vector["name"]);
        assert_eq!(message.error_code(), (class == StunClass::Error).then_some(420), "{}", vector["name"]);
    }
}

#[test]
fn every_request_gets_exactly_the_answer_of_its_vector() {
    for vector in load()["answers"].as_array().unwrap() {
        let answered = answer(&bytes(&vector["request"]), address(&vector["from"]).unwrap(), true).unwrap();
        assert_eq!(hex::encode(&answered.bytes), vector["answer"].as_str().unwrap(), "{}", vector["name"]);
        assert_eq!(answered.from_other_port, vector["other_port"].as_bool().unwrap(), "{}", vector["name"]);
    }
}

#[test]
fn what_is_no_binding_message_is_refused_for_the_stated_reason() {
    for vector in load()["rejected"].as_array().unwrap() {
        let expected = match vector["error"].as_str().unwrap() {
            "length" => WireError::Length,
            "kind" => WireError::Kind,
            _ => WireError::Value,
        };
        assert_eq!(StunMessage::new_checked(&bytes(&vector["hex"])).err(), Some(expected), "{}", vector["name"]);
    }
}

#[test]
fn pitfall_13_the_answer_to_our_own_request_is_never_longer_than_the_request() {
    let vector = &load()["request"];
    let transaction = bytes(&vector["transaction"]).try_into().unwrap();
    let request = BindingRequest { transaction }.to_bytes();
    assert_eq!(hex::encode(request), vector["hex"].as_str().unwrap());
    for from in ["192.0.2.1:1", "[2001:db8::1]:65535"] {
        let from = from.parse().unwrap();
        let answered = answer(&request, from, false).unwrap();
        assert!(!answered.is_longer_than(&request), "{} bytes", answered.bytes.len());
        assert_eq!(StunMessage::new_checked(&answered.bytes).unwrap().mapped_address(), Some(from));
    }
}

#[test]
fn only_requests_are_answered() {
    let mut datagram = BindingRequest { transaction: [7; 12] }.to_bytes();
    let from = "192.0.2.1:1".parse().unwrap();
    assert!(answer(&datagram, from, true).is_some());
    for kind in [[0x00, 0x11], [0x01, 0x01], [0x01, 0x11]] {
        datagram[..2].copy_from_slice(&kind);
        assert!(StunMessage::new_checked(&datagram).is_ok());
        assert_eq!(answer(&datagram, from, true), None, "two servers must not talk to each other for ever");
    }
}

#[test]
fn a_padded_request_has_the_length_asked_for_and_a_short_answer() {
    let request = BindingRequest { transaction: [7; 12] };
    for length in [24, 44, 1_252, 1_472] {
        let datagram = request.padded(length).unwrap();
        assert_eq!(datagram.len(), length);
        let answered = answer(&datagram, "192.0.2.1:1".parse().unwrap(), false).unwrap();
        assert_eq!((answered.bytes.len(), answered.is_longer_than(&datagram)), (32, length < 32));
    }
    for length in [0, 20, 26, 1_473, 1_476] {
        assert_eq!(request.padded(length), None, "{length}");
    }
}

#[test]
fn a_change_of_port_is_refused_by_a_server_that_has_one_port() {
    let vector = load();
    let change = vector["answers"].as_array().unwrap().iter().find(|v| v["name"] == "from another port").unwrap();
    let answered = answer(&bytes(&change["request"]), "192.0.2.1:1".parse().unwrap(), false).unwrap();
    assert_eq!(StunMessage::new_checked(&answered.bytes).unwrap().error_code(), Some(420));
    assert!(!answered.from_other_port);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_or_the_server_panic(data in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..44) {
        netflow_wire::fuzzing::stun(&data);
        let mut near = BindingRequest { transaction: [1; 12] }.to_bytes().to_vec();
        near.truncate(cut);
        near.extend_from_slice(&data);
        netflow_wire::fuzzing::stun(&near);
        if let Some(length) = near.get_mut(2..4) {
            let announced = u16::try_from(data.len() + cut).unwrap().saturating_sub(20) & !3;
            length.copy_from_slice(&announced.to_be_bytes());
            netflow_wire::fuzzing::stun(&near);
        }
    }

    #[test]
    fn any_address_comes_back_as_it_was(v6 in any::<u128>(), v4 in any::<u32>(), port in any::<u16>(), transaction in any::<[u8; 12]>()) {
        let ips = [std::net::IpAddr::V4(v4.into()), std::net::Ipv6Addr::from(v6).to_canonical()];
        for from in ips.map(|ip| SocketAddr::new(ip, port)) {
            let answered = answer(&BindingRequest { transaction }.to_bytes(), from, false).unwrap();
            let message = StunMessage::new_checked(&answered.bytes).unwrap();
            prop_assert_eq!(message.mapped_address(), Some(from));
            prop_assert_eq!(message.transaction(), &transaction);
        }
    }
}
