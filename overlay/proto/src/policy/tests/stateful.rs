use super::grammar::*;
use super::*;

fn packet(from: usize, to: usize, payload: Payload, source_port: u16, dest_port: u16) -> Sentence {
    Sentence {
        v6: false,
        from,
        to,
        claims: from,
        exts: Vec::new(),
        inner_exts: Vec::new(),
        frag: Frag::Whole,
        payload,
        source_port,
        dest_port,
        cut: 0,
    }
}

/// Node 0's decision about a packet.
fn decide(net: &Net, engine: &mut Engine, now: Now, s: &Sentence) -> Result<(), Denied> {
    let bytes = s.bytes(net.address(s.claims, s.v6), net.address(s.to, s.v6));
    if s.from == 0 {
        engine.outbound(now, &net.log, &net.nodes[0], &bytes).map(|_| ())
    } else {
        engine.inbound(now, &net.log, &net.nodes[0], &net.nodes[s.from], &bytes)
    }
}

fn only_red_opens_port_80() -> Policy {
    Policy { rules: vec![rule("red", "*", Proto::Tcp, &[(80, 80)], Action::Allow)] }
}

const SYN: Payload = Payload::Tcp { syn: true, ack: false };
const ACK: Payload = Payload::Tcp { syn: false, ack: true };

#[test]
fn pitfall_07_a_packet_whose_source_is_not_the_senders_address_is_dropped() {
    let net = Net::new(Policy::allow_all());
    let mut engine = Engine::new();
    for v6 in [false, true] {
        let mut honest = packet(1, 0, Payload::Udp, 1, 2);
        honest.v6 = v6;
        assert_eq!(decide(&net, &mut engine, at(1), &honest), Ok(()));
        // Another member's address, and this node's own.
        for claims in [2, 0] {
            let forged = Sentence { claims, ..honest.clone() };
            assert_eq!(decide(&net, &mut engine, at(1), &forged), Err(Denied::Source));
        }
        // What belongs to nobody, inside the network and outside.
        let dest = net.address(0, v6);
        let nobody: [std::net::IpAddr; 2] = if v6 {
            ["2001:db8::1".parse().unwrap(), "::1".parse().unwrap()]
        } else {
            ["192.0.2.1".parse().unwrap(), "127.0.0.1".parse().unwrap()]
        };
        for source in nobody {
            let bytes = honest.bytes(source, dest);
            let decided = engine.inbound(at(1), &net.log, &net.nodes[0], &net.nodes[1], &bytes);
            assert_eq!(decided, Err(Denied::Source));
        }
        // The other way: this node sends only as itself, and only to members.
        let bytes = honest.bytes(net.address(1, v6), net.address(2, v6));
        assert_eq!(engine.outbound(at(1), &net.log, &net.nodes[0], &bytes), Err(Denied::Source));
        let bytes = honest.bytes(net.address(0, v6), nobody[0]);
        assert_eq!(engine.outbound(at(1), &net.log, &net.nodes[0], &bytes), Err(Denied::Destination));
    }
}

#[test]
fn pitfall_07_a_member_that_lost_its_place_lost_its_address() {
    let mut net = Net::new(Policy::allow_all());
    let mut engine = Engine::new();
    let bytes = packet(1, 0, Payload::Udp, 1, 2).bytes(net.address(1, false), net.address(0, false));
    assert_eq!(engine.inbound(at(1), &net.log, &net.nodes[0], &net.nodes[1], &bytes), Ok(()));
    net.log.author(&owner(), EntryBody::MemberRevoke { node: net.nodes[1] }, at(1)).unwrap();
    assert_eq!(engine.inbound(at(1), &net.log, &net.nodes[0], &net.nodes[1], &bytes), Err(Denied::Source));
}

#[test]
fn nothing_passes_without_a_rule() {
    let net = Net::new(Policy::default());
    let mut engine = Engine::new();
    for payload in [SYN, Payload::Udp, Payload::Echo { reply: false }, Payload::Other(47)] {
        assert_eq!(decide(&net, &mut engine, at(1), &packet(0, 1, payload, 1, 80)), Err(Denied::Policy));
        assert_eq!(decide(&net, &mut engine, at(1), &packet(1, 0, payload, 1, 80)), Err(Denied::Policy));
    }
    assert_eq!(engine.flow_count(), 0);
}

#[test]
fn replies_pass_for_as_long_as_the_flow_lives_and_open_nothing() {
    let net = Net::new(only_red_opens_port_80());
    let mut engine = Engine::new();
    let (request, reply) = (packet(0, 1, SYN, 5000, 80), packet(1, 0, ACK, 80, 5000));
    assert_eq!(decide(&net, &mut engine, at(1), &reply), Err(Denied::Policy), "no request yet");
    assert_eq!(decide(&net, &mut engine, at(1), &request), Ok(()));
    assert_eq!(decide(&net, &mut engine, at(300), &reply), Ok(()));
    assert_eq!(decide(&net, &mut engine, at(600), &reply), Ok(()), "a reply keeps the flow alive");
    // The responder may not use the flow to open a connection of its own.
    assert_eq!(decide(&net, &mut engine, at(600), &packet(1, 0, SYN, 80, 5000)), Err(Denied::Policy));
    assert_eq!(decide(&net, &mut engine, at(600), &packet(1, 0, ACK, 80, 5001)), Err(Denied::Policy));
    assert_eq!(decide(&net, &mut engine, at(901), &reply), Err(Denied::Policy), "idle for 301 s");
}

#[test]
fn an_echo_reply_passes_once_asked_for() {
    let net = Net::new(Policy { rules: vec![rule("red", "*", Proto::Icmp, &[], Action::Allow)] });
    let mut engine = Engine::new();
    let (request, reply) =
        (packet(0, 1, Payload::Echo { reply: false }, 7, 0), packet(1, 0, Payload::Echo { reply: true }, 7, 0));
    assert_eq!(decide(&net, &mut engine, at(1), &reply), Err(Denied::Policy));
    assert_eq!(decide(&net, &mut engine, at(1), &request), Ok(()));
    assert_eq!(decide(&net, &mut engine, at(2), &reply), Ok(()));
    assert_eq!(decide(&net, &mut engine, at(33), &reply), Err(Denied::Policy), "idle for 31 s");
    assert_eq!(
        decide(&net, &mut engine, at(2), &packet(1, 0, Payload::Echo { reply: false }, 7, 0)),
        Err(Denied::Policy)
    );
}

#[test]
fn a_stricter_policy_ends_open_flows() {
    let mut net = Net::new(only_red_opens_port_80());
    let mut engine = Engine::new();
    let (request, reply) = (packet(0, 1, SYN, 5000, 80), packet(1, 0, ACK, 80, 5000));
    decide(&net, &mut engine, at(1), &request).unwrap();
    net.log.author(&owner(), EntryBody::MemberTags { node: net.nodes[2], tags: vec![] }, at(1)).unwrap();
    assert_eq!(decide(&net, &mut engine, at(1), &reply), Ok(()), "an unrelated change ends nothing");
    net.set(Policy::default());
    assert_eq!(decide(&net, &mut engine, at(1), &reply), Err(Denied::Policy));
    net.set(only_red_opens_port_80());
    assert_eq!(decide(&net, &mut engine, at(1), &reply), Err(Denied::Policy), "the flow is forgotten");
}

#[test]
fn an_error_passes_only_about_a_packet_that_was_sent() {
    let net = Net::new(only_red_opens_port_80());
    let mut engine = Engine::new();
    let request = packet(0, 1, SYN, 5000, 80);
    let (own, peer) = (net.address(0, false), net.address(1, false));
    let quote = request.bytes(own, peer);
    let error = |quote: &[u8]| {
        let mut bytes = packet(1, 0, Payload::IcmpOther, 0, 0).bytes(peer, own);
        bytes.truncate(20);
        bytes.extend_from_slice(&[3, 4, 0, 0, 0, 0, 5, 0]);
        bytes.extend_from_slice(quote);
        let length = (bytes.len() as u16).to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes
    };
    let sender = net.nodes[1];
    let inbound = |engine: &mut Engine, bytes: &[u8]| engine.inbound(at(1), &net.log, &net.nodes[0], &sender, bytes);
    assert_eq!(inbound(&mut engine, &error(&quote[..28])), Err(Denied::Policy));
    decide(&net, &mut engine, at(1), &request).unwrap();
    assert_eq!(inbound(&mut engine, &error(&quote[..28])), Ok(()));
    let other = packet(0, 2, SYN, 5000, 80).bytes(own, net.address(2, false));
    assert_eq!(inbound(&mut engine, &error(&other[..28])), Err(Denied::Policy), "about somebody else's packet");
    assert_eq!(inbound(&mut engine, &error(&quote[..23])), Err(Denied::Policy), "quote without ports");
}

#[test]
fn pitfall_08_later_fragments_follow_the_first_one_only() {
    let net = Net::new(only_red_opens_port_80());
    let mut engine = Engine::new();
    let first = |dest_port| Sentence { frag: Frag::First { id: 5 }, ..packet(2, 0, SYN, 5000, dest_port) };
    let tail = |offset_units| Sentence { frag: Frag::Tail { id: 5, offset_units }, ..packet(2, 0, SYN, 0, 0) };
    assert_eq!(decide(&net, &mut engine, at(1), &tail(3)), Err(Denied::Fragment), "came first");
    assert_eq!(decide(&net, &mut engine, at(1), &first(80)), Ok(()));
    assert_eq!(decide(&net, &mut engine, at(1), &tail(3)), Ok(()));
    assert_eq!(decide(&net, &mut engine, at(1), &tail(1)), Err(Denied::Fragment), "reaches into the TCP header");
    assert_eq!(decide(&net, &mut engine, at(32), &tail(3)), Err(Denied::Fragment), "too late");
    assert_eq!(decide(&net, &mut engine, at(33), &first(80)), Ok(()));
    assert_eq!(decide(&net, &mut engine, at(33), &first(22)), Err(Denied::Policy));
    assert_eq!(
        decide(&net, &mut engine, at(33), &tail(3)),
        Err(Denied::Fragment),
        "the last first fragment was denied"
    );
}

#[test]
fn one_peer_cannot_fill_the_flow_table() {
    let net = Net::new(Policy::allow_all());
    let mut engine = Engine::new();
    for port in 0..u16::MAX {
        let decided = decide(&net, &mut engine, at(1), &packet(1, 0, Payload::Udp, port, 80));
        assert_eq!(decided, Ok(()), "the rule still allows the packet");
    }
    assert_eq!(engine.flow_count(), 65_536 / 8);
    // Another peer's flows are remembered, and the table frees itself.
    decide(&net, &mut engine, at(1), &packet(2, 0, Payload::Udp, 1, 80)).unwrap();
    assert_eq!(engine.flow_count(), 65_536 / 8 + 1);
    engine.handle_timeout(at(400));
    assert_eq!(engine.flow_count(), 0);
}

#[test]
fn a_rule_with_ports_never_matches_what_has_none() {
    let net = Net::new(Policy { rules: vec![rule("*", "*", Proto::Any, &[(0, 65_535)], Action::Allow)] });
    let mut engine = Engine::new();
    assert_eq!(decide(&net, &mut engine, at(1), &packet(0, 1, Payload::Udp, 1, 9)), Ok(()));
    for payload in [Payload::Other(47), Payload::Echo { reply: false }] {
        assert_eq!(decide(&net, &mut engine, at(1), &packet(0, 1, payload, 1, 9)), Err(Denied::Policy));
    }
}
