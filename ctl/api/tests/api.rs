//! What both ends of the control API rely on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use netctl_api::*;
use serde_json::{Value, json};

fn parse(line: &str) -> Result<Request, Reply> {
    Request::parse(line.as_bytes())
}

fn error_of(reply: &Reply) -> &ApiError {
    let Body::Error(error) = &reply.body else { panic!("expected an error, got {reply:?}") };
    error
}

#[test]
fn a_request_survives_the_wire() {
    let line = Request::new(7, PingParams { network: Some("home".into()), ..PingParams::new("bob".into()) })
        .to_line()
        .unwrap();
    assert!(line.ends_with('\n'));
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["method"], "ping");
    assert_eq!(value["params"]["peer"], "bob");
    let request = parse(line.trim_end()).unwrap();
    assert_eq!((request.api, request.id), (1, 7));
    assert!(matches!(request.call, Call::Ping(p) if p.peer == "bob" && p.network.as_deref() == Some("home")));
}

#[test]
fn every_method_is_reachable_by_its_name() {
    for method in METHODS {
        let line = json!({"api": 1, "id": 1, "method": method, "params": {"surely_unknown": 1}}).to_string();
        let reply = parse(&line).unwrap_err();
        let error = error_of(&reply);
        assert_eq!(error.code, ErrorCode::InvalidInput, "{method}: {error}");
    }
}

#[test]
fn absent_and_null_params_mean_the_defaults() {
    for line in [r#"{"api":1,"id":2,"method":"status"}"#, r#"{"api":1,"id":2,"method":"status","params":null}"#] {
        assert!(matches!(parse(line).unwrap().call, Call::Status(_)));
    }
    let Call::NetworkInvite(invite) = parse(r#"{"api":1,"id":2,"method":"network.invite"}"#).unwrap().call else {
        panic!()
    };
    assert_eq!(invite.expires_s, 86_400);
}

#[test]
fn unknown_parameters_are_refused_not_dropped() {
    let reply = parse(r#"{"api":1,"id":9,"method":"down","params":{"netwrok":"home"}}"#).unwrap_err();
    assert_eq!((reply.id, error_of(&reply).code), (9, ErrorCode::InvalidInput));
    assert!(error_of(&reply).message.contains("netwrok"));
}

#[test]
fn refusals_carry_the_id_when_it_can_be_read() {
    let cases = [
        ("garbage", 0, ErrorCode::BadRequest),
        (r#"{"id":4}"#, 4, ErrorCode::BadRequest),
        (r#"{"api":2,"id":5,"method":"status"}"#, 5, ErrorCode::UnsupportedApi),
        (r#"{"api":1,"id":6,"method":"rm"}"#, 6, ErrorCode::UnknownMethod),
        (r#"[1,2]"#, 0, ErrorCode::BadRequest),
    ];
    for (line, id, code) in cases {
        let reply = parse(line).unwrap_err();
        assert_eq!((reply.id, error_of(&reply).code), (id, code), "{line}");
    }
}

#[test]
fn replies_tolerate_fields_of_a_newer_daemon() {
    let line = r#"{"api":1,"id":3,"extra":true,"result":{"software":"netflowd","version":"9","api":[1,2],"tier":"xn","new":{}}}"#;
    let reply = Reply::parse(line.as_bytes()).unwrap();
    let Body::Result(value) = reply.body else { panic!() };
    let version: VersionResult = serde_json::from_value(value).unwrap();
    assert_eq!((version.version.as_str(), version.tier), ("9", Tier::Unknown));
    let reply = Reply::parse(br#"{"api":1,"id":3,"error":{"code":"quantum_flux","message":"m","hint":"h"}}"#).unwrap();
    assert_eq!(error_of(&reply).code, ErrorCode::Unknown);
}

#[test]
fn every_error_code_maps_to_a_documented_exit_code() {
    let codes = [
        ("internal", 1),
        ("bad_request", 1),
        ("unknown_method", 1),
        ("unsupported_api", 1),
        ("permission", 4),
        ("not_found", 5),
        ("exists", 6),
        ("conflict", 6),
        ("invalid_input", 7),
        ("invite_used", 8),
        ("invite_expired", 8),
        ("invite_cancelled", 8),
        ("invite_foreign", 8),
        ("timeout", 9),
        ("offline", 9),
        ("refused", 10),
        ("not_admin", 10),
    ];
    for (name, exit) in codes {
        let code: ErrorCode = serde_json::from_value(json!(name)).unwrap();
        assert_ne!(code, ErrorCode::Unknown, "{name}");
        assert_eq!(code.exit_code(), exit, "{name}");
    }
}

#[test]
fn lines_are_cut_wherever_the_bytes_fall() {
    let mut buffer = LineBuffer::new();
    let mut lines = Vec::new();
    for byte in b"one\n\ntwo\nthr" {
        buffer.push(&[*byte]);
        while let Some(line) = buffer.next_line().unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
    }
    assert_eq!(lines, ["one", "", "two"]);
    assert_eq!(buffer.pending(), 3);
}

#[test]
fn a_line_over_the_limit_is_refused_complete_or_not() {
    let mut buffer = LineBuffer::new();
    buffer.push(&vec![b'x'; MAX_LINE_BYTES - 1]);
    assert_eq!(buffer.next_line(), Ok(None));
    buffer.push(b"\n");
    assert_eq!(buffer.next_line().unwrap().unwrap().len(), MAX_LINE_BYTES - 1);
    buffer.push(&vec![b'x'; MAX_LINE_BYTES]);
    assert_eq!(buffer.next_line(), Err(LineError::TooLong));
    let mut buffer = LineBuffer::new();
    buffer.push(&vec![b'x'; MAX_LINE_BYTES]);
    buffer.push(b"\n");
    assert_eq!(buffer.next_line(), Err(LineError::TooLong));
}

#[test]
fn a_reply_too_long_for_a_line_becomes_an_error_line() {
    let checks =
        vec![Check { name: "x".repeat(MAX_LINE_BYTES), state: CheckState::Ok, text: String::new(), next: None }];
    let line = Reply::result::<DoctorParams>(1, &DoctorResult { checks }).to_line();
    let reply = Reply::parse(line.as_bytes()).unwrap();
    assert_eq!(error_of(&reply).code, ErrorCode::Internal);
}

#[test]
fn port_ranges_are_strings_people_write() {
    let rule: PolicyRule = serde_json::from_value(
        json!({"action": "allow", "from": "*", "to": "tag:web", "proto": "tcp", "ports": ["443", "8000-8100"]}),
    )
    .unwrap();
    assert_eq!(rule.ports, [PortRange { lo: 443, hi: 443 }, PortRange { lo: 8000, hi: 8100 }]);
    assert_eq!(serde_json::to_value(&rule).unwrap()["ports"], json!(["443", "8000-8100"]));
    for bad in ["", "9-1", "70000", "a"] {
        assert!(PortRange::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}

#[test]
fn pitfall_29_debug_output_of_a_call_hides_the_token() {
    let request = Request::new(1, NetworkJoinParams::new(Secret::new("nfinvite1secret".into())));
    assert!(!format!("{request:?}").contains("nfinvite1secret"));
    assert!(request.to_line().unwrap().contains("nfinvite1secret"));
}
