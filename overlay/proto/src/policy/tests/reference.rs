//! The engine against a matcher that knows the sentence and never looks at a byte.

use proptest::prelude::*;

use super::grammar::*;
use super::*;

/// A flow as the reference sees it: (version 6, opener, responder, protocol, source port, destination port).
type Flow = (bool, usize, usize, u8, u16, u16);

#[derive(Default)]
struct Reference {
    flows: Vec<Flow>,
    /// (version 6, source, destination, id, bytes the first fragment's headers take)
    passed: Vec<(bool, usize, usize, u16, usize)>,
}

const TAGS: [&[&str]; 3] = [&["red"], &["blue"], &["blue", "red"]];

impl Reference {
    /// What must happen on node 0. `None`: the packet has to be refused, for whichever reason.
    fn allows(&mut self, policy: &Policy, s: &Sentence) -> bool {
        if malformed(s) || s.claims != s.from || s.from == s.to || (s.from != 0 && s.to != 0) {
            return false;
        }
        let verdict = match s.frag {
            Frag::Tail { id, offset_units } => {
                let offset = usize::from(offset_units) * 8;
                return self.passed.iter().any(|entry| {
                    (entry.0, entry.1, entry.2, entry.3) == (s.v6, s.from, s.to, id) && offset >= entry.4
                });
            }
            Frag::Whole | Frag::First { .. } => self.head(policy, s),
        };
        if let Frag::First { id } = s.frag {
            self.passed.retain(|entry| (entry.0, entry.1, entry.2, entry.3) != (s.v6, s.from, s.to, id));
            if verdict {
                self.passed.push((s.v6, s.from, s.to, id, covered(s)));
            }
        }
        verdict
    }

    fn head(&mut self, policy: &Policy, s: &Sentence) -> bool {
        let (source_port, dest_port) = match s.payload {
            Payload::Tcp { .. } | Payload::Udp => (s.source_port, s.dest_port),
            Payload::Echo { .. } => (s.source_port, s.source_port),
            Payload::IcmpOther | Payload::Other(_) => (0, 0),
        };
        let forward = (s.v6, s.from, s.to, s.proto(), source_port, dest_port);
        let backward = (s.v6, s.to, s.from, s.proto(), dest_port, source_port);
        let may_reply = !matches!(s.payload, Payload::Tcp { syn: true, ack: false } | Payload::Echo { reply: false });
        let may_open = !matches!(s.payload, Payload::Echo { reply: true } | Payload::IcmpOther);
        if self.flows.contains(&forward) && may_open || may_reply && self.flows.contains(&backward) {
            return true;
        }
        let allowed = policy
            .rules
            .iter()
            .find(|rule| matches(rule, s, dest_port))
            .is_some_and(|rule| rule.action == Action::Allow);
        if allowed && may_open {
            self.flows.push(forward);
        }
        allowed
    }
}

fn matches(rule: &Rule, s: &Sentence, dest_port: u16) -> bool {
    let tagged = |selector: &Selector, node: usize| match selector {
        Selector::Any => true,
        Selector::Tag(tag) => TAGS[node].contains(&tag.as_str()),
    };
    let ported = matches!(s.payload, Payload::Tcp { .. } | Payload::Udp);
    let proto = match rule.proto {
        Proto::Any => true,
        Proto::Tcp => matches!(s.payload, Payload::Tcp { .. }),
        Proto::Udp => s.payload == Payload::Udp,
        Proto::Icmp => matches!(s.payload, Payload::Echo { .. } | Payload::IcmpOther),
    };
    let port =
        rule.ports.is_empty() || ported && rule.ports.iter().any(|range| range.0 <= dest_port && dest_port <= range.1);
    proto && port && tagged(&rule.from, s.from) && tagged(&rule.to, s.to)
}

/// Headers in an order no honest sender uses, or cut off before the ports.
fn malformed(s: &Sentence) -> bool {
    let tail = matches!(s.frag, Frag::Tail { .. });
    let mut chain: Vec<Ext> = if s.v6 { s.exts.clone() } else { Vec::new() };
    let before = chain.len();
    if s.v6 && matches!(s.frag, Frag::First { .. }) {
        chain.extend(&s.inner_exts);
    }
    let headers = chain.len() + usize::from(s.v6 && s.frag != Frag::Whole);
    let late_hop = chain
        .iter()
        .enumerate()
        .any(|(index, ext)| *ext == Ext::HopByHop && (index > 0 || (before == 0 && s.frag != Frag::Whole)));
    let source_routed = chain.contains(&Ext::Routing(0));
    let room = if tail { 32 } else { s.transport().len() };
    let needed = if tail { 0 } else { needed(s) };
    late_hop || source_routed || headers > 8 || s.cut > room - needed
}

/// Bytes of the transport header the filter must see.
fn needed(s: &Sentence) -> usize {
    match s.payload {
        Payload::Tcp { .. } => 20,
        Payload::Udp | Payload::Echo { .. } | Payload::IcmpOther => 8,
        Payload::Other(_) => 0,
    }
}

fn covered(s: &Sentence) -> usize {
    let exts = if s.v6 { s.inner_exts.iter().map(|ext| if *ext == Ext::Auth { 16 } else { 8 }).sum() } else { 0 };
    exts + needed(s)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let tag = || prop_oneof![Just("*"), Just("red"), Just("blue"), Just("green")];
    let proto = prop_oneof![Just(Proto::Any), Just(Proto::Tcp), Just(Proto::Udp), Just(Proto::Icmp)];
    let ports = prop_oneof![Just(vec![]), Just(vec![(80, 80)]), Just(vec![(1, 100), (400, 500)])];
    (tag(), tag(), proto, ports, any::<bool>()).prop_map(|(from, to, proto, ports, allow)| {
        let ports = if proto == Proto::Icmp { vec![] } else { ports };
        rule(from, to, proto, &ports, if allow { Action::Allow } else { Action::Deny })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn pitfall_08_no_extension_header_or_fragment_gets_past_the_rules(
        rules in prop::collection::vec(any_rule(), 0..5),
        sentences in prop::collection::vec(sentence(), 1..40),
    ) {
        let policy = Policy { rules };
        let net = Net::new(policy.clone());
        let (mut engine, mut reference) = (Engine::new(), Reference::default());
        let own = net.nodes[0];
        for s in &sentences {
            let bytes = s.bytes(net.address(s.claims, s.v6), net.address(s.to, s.v6));
            let decided = if s.from == 0 {
                engine.outbound(at(1), &net.log, &own, &bytes).map(|_| ())
            } else {
                engine.inbound(at(1), &net.log, &own, &net.nodes[s.from], &bytes)
            };
            prop_assert_eq!(decided.is_ok(), reference.allows(&policy, s), "{:?}: {:?}", s, decided);
        }
    }

    #[test]
    fn no_bytes_whatever_make_the_engine_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), version in 4u8..=6) {
        let net = Net::new(Policy::allow_all());
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = (version << 4) | (*first & 0x0f);
        }
        let _ = Engine::new().inbound(at(1), &net.log, &net.nodes[0], &net.nodes[1], &bytes);
    }
}
