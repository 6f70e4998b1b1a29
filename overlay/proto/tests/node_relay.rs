//! The relay service against strangers, crowds and heavy users, without a node around it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

use std::net::SocketAddr;

use ed25519_dalek::SigningKey;
use netflow_overlay::netlog::GenesisParams;
use netflow_overlay::node::{Carrier, Grant, LinkId, Quota, RelayConfig};
use netflow_overlay::relay::{RelayOutput, RelayServer};
use netflow_overlay::{Endpoint, EntryBody, NetworkId, NetworkLog, NodeId, NodeKeys, Now, RelayInfo, Tier};
use netflow_wire::control::{CONTROL_VERSION, ControlMessage, circuit_reason, refused_code};
use netflow_wire::relay::{RelayFrame, RelayRepr};
use netflow_wire::{Datagram, classify_datagram};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const PLENTY: Quota = Quota { bytes_per_day: 1 << 40, rate_bps: 1 << 40 };

struct Bench {
    relay: RelayServer,
    rng: ChaCha20Rng,
    now: Now,
    network: NetworkId,
    log: NetworkLog,
    members: Vec<NodeKeys>,
}

fn config() -> RelayConfig {
    RelayConfig {
        public_addrs: Vec::new(),
        default_quota: Some(PLENTY),
        grants: Vec::new(),
        max_networks: 4,
        max_circuits: 64,
        mesh: Vec::new(),
        rate_bps: None,
        price: 0,
        transit: Vec::new(),
    }
}

fn addr(index: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(index).unwrap()], 4_790))
}

impl Bench {
    /// A relay, and a network of so many members that names it. Nobody is connected.
    fn new(members: usize, config: RelayConfig) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(100);
        let now = Now { mono_us: 1_000_000, unix_s: 1_790_000_000 };
        let relay_keys = NodeKeys::generate(&mut rng);
        let relay_id = relay_keys.node_id();
        let members: Vec<NodeKeys> = (0..members).map(|_| NodeKeys::generate(&mut rng)).collect();
        let (network, log) = found(&mut rng, &members, relay_id, now);
        let relay = RelayServer::new(&relay_keys.node, Tier::Central, "bench".to_owned(), config, now, &mut rng);
        Self { relay, rng, now, network, log, members }
    }

    fn say(&mut self, link: u64, message: ControlMessage) -> Vec<RelayOutput> {
        self.relay.handle_message(self.now, LinkId(link), message, &mut self.rng);
        self.drain()
    }

    fn drain(&mut self) -> Vec<RelayOutput> {
        std::iter::from_fn(|| self.relay.poll_output()).collect()
    }

    fn connect(&mut self, link: u64, node: NodeId) -> Vec<RelayOutput> {
        self.relay.handle_link_up(self.now, LinkId(link), node, addr(usize::try_from(link).unwrap()), Carrier::Quic);
        let software = "bench".to_owned();
        self.say(link, ControlMessage::Hello { version: CONTROL_VERSION, tier: Tier::Edge, software })
    }

    fn publish(&mut self, link: u64) -> Vec<RelayOutput> {
        let entries = self.log.entries().into_iter().map(<[u8]>::to_vec).collect();
        self.say(link, ControlMessage::Publish { network: self.network, entries })
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &mut [u8]) -> Vec<RelayOutput> {
        if let Datagram::Frame(kind) = classify_datagram(bytes) {
            self.relay.handle_frame(self.now, Endpoint::main(from), kind, bytes, &mut self.rng);
        }
        self.drain()
    }

    /// Member `index` connects, attaches and binds its address.
    fn join_in(&mut self, index: usize) {
        let link = index as u64;
        self.connect(link, self.members[index].node_id());
        if index == 0 {
            self.publish(link);
        }
        self.say(link, ControlMessage::Attach { network: self.network });
        let ticket = sent(&self.say(link, ControlMessage::BindRequest));
        let [ControlMessage::BindTicket { bind_id, bind_key }] = ticket[..] else { panic!("no ticket") };
        let mut client = Client { id: bind_id, key: bind_key, nonce: 0 };
        let challenge = self.datagram(addr(index), &mut client.bind());
        let [RelayOutput::Datagram { bytes, .. }] = &challenge[..] else { panic!("no challenge") };
        let bound = self.datagram(addr(index), &mut client.confirm(&bytes.clone()));
        assert!(matches!(&bound[0], RelayOutput::Datagram { bytes, .. } if bytes[0] == 0x1c));
    }

    fn open(&mut self, from: usize, to: usize) -> Vec<RelayOutput> {
        let peer = self.members[to].node_id();
        self.say(from as u64, ControlMessage::CircuitOpen { network: self.network, peer, via: Vec::new() })
    }
}

fn found(rng: &mut ChaCha20Rng, members: &[NodeKeys], relay: NodeId, now: Now) -> (NetworkId, NetworkLog) {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    let owner = SigningKey::from_bytes(&seed);
    let mut log = NetworkLog::create(&owner, GenesisParams { name: "bench".to_owned(), ipv4: None }, now).unwrap();
    for member in members {
        let body = log.state().add_body(&member.record(1, [0; 20]), &member.kem_public(), "member", &[]).unwrap();
        log.author(&owner, body, now).unwrap();
    }
    let relays = vec![RelayInfo { node: relay, tier: Tier::Central, addrs: vec![addr(200)] }];
    log.author(&owner, EntryBody::RelaySet { relays }, now).unwrap();
    (log.network(), log)
}

/// The client's half of the bind, by the specification and not by our own code.
struct Client {
    id: u64,
    key: [u8; 32],
    nonce: u64,
}

impl Client {
    fn mac(&self, bytes: &[u8]) -> [u8; 16] {
        use blake2::digest::consts::U16;
        use blake2::digest::{KeyInit as _, Mac as _};
        let mut mac = blake2::Blake2sMac::<U16>::new_from_slice(&self.key).unwrap();
        blake2::digest::Mac::update(&mut mac, bytes);
        mac.finalize().into_bytes().into()
    }

    fn bind(&mut self) -> Vec<u8> {
        self.nonce += 1;
        let mut frame = vec![0x19, 0, 0, 0];
        frame.extend_from_slice(&self.id.to_le_bytes());
        frame.extend_from_slice(&self.nonce.to_le_bytes());
        frame.extend_from_slice(&self.mac(&frame));
        frame
    }

    fn confirm(&mut self, challenge: &[u8]) -> Vec<u8> {
        assert_eq!((challenge.len(), challenge[0]), (28, 0x1a));
        self.nonce += 1;
        let mut frame = vec![0x1b, 0, 0, 0];
        frame.extend_from_slice(&self.id.to_le_bytes());
        frame.extend_from_slice(&self.nonce.to_le_bytes());
        frame.extend_from_slice(&challenge[12..28]);
        frame.extend_from_slice(&self.mac(&frame));
        frame
    }
}

fn sent(outputs: &[RelayOutput]) -> Vec<ControlMessage> {
    let message = |output: &RelayOutput| match output {
        RelayOutput::Send { message, .. } => Some(message.clone()),
        _ => None,
    };
    outputs.iter().filter_map(message).collect()
}

fn closed(outputs: &[RelayOutput]) -> Option<u8> {
    sent(outputs).iter().find_map(|message| match message {
        ControlMessage::CircuitClosed { reason, .. } => Some(*reason),
        _ => None,
    })
}

fn refused(outputs: &[RelayOutput]) -> Option<u8> {
    sent(outputs).iter().find_map(|message| match message {
        ControlMessage::Refused { code, .. } => Some(*code),
        _ => None,
    })
}

/// Label and epoch a link was told, in the order of the links.
fn opened(outputs: &[RelayOutput]) -> Vec<(u64, u32, u16)> {
    let mut labels: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            RelayOutput::Send { link, message: ControlMessage::CircuitOpened { label, epoch, .. } } => {
                Some((link.0, *label, *epoch))
            }
            _ => None,
        })
        .collect();
    labels.sort_unstable();
    labels
}

fn data_frame(label: u32, epoch: u16, length: usize) -> Vec<u8> {
    let mut inner = vec![0; length];
    inner[0] = 0x13;
    RelayRepr { hop_limit: 8, epoch, label }.wrap(&inner)
}

#[test]
fn pitfall_12_nobody_binds_or_opens_circuits_without_membership() {
    let mut bench = Bench::new(2, config());
    bench.join_in(0);
    let stranger = NodeKeys::generate(&mut ChaCha20Rng::seed_from_u64(7)).node_id();
    bench.connect(50, stranger);
    let (network, peer) = (bench.network, bench.members[0].node_id());
    assert_eq!(refused(&bench.say(50, ControlMessage::BindRequest)), Some(refused_code::NOT_MEMBER));
    assert_eq!(refused(&bench.say(50, ControlMessage::Attach { network })), Some(refused_code::NOT_MEMBER));
    assert_eq!(
        closed(&bench.say(50, ControlMessage::CircuitOpen { network, peer, via: Vec::new() })),
        Some(circuit_reason::NOT_MEMBER)
    );
    // To bring a log does not make its bringer a member, and the relay's own network is not to be had by naming it.
    let outputs = bench.publish(50);
    assert_eq!(refused(&outputs), Some(refused_code::NOT_MEMBER));
    assert_eq!(refused(&bench.say(50, ControlMessage::BindRequest)), Some(refused_code::NOT_MEMBER));
    // A member asks for a circuit to somebody who is none.
    let ask = ControlMessage::CircuitOpen { network, peer: stranger, via: Vec::new() };
    assert_eq!(closed(&bench.say(0, ask)), Some(circuit_reason::NOT_MEMBER));
    assert_eq!((bench.relay.status().bindings, bench.relay.status().circuits), (1, 0));
}

#[test]
fn pitfall_12_no_network_is_hosted_without_a_grant_and_none_beyond_the_limit() {
    let mut closed_relay = config();
    closed_relay.default_quota = None;
    let mut bench = Bench::new(1, closed_relay.clone());
    bench.connect(0, bench.members[0].node_id());
    assert_eq!(refused(&bench.publish(0)), Some(refused_code::NOT_ADMITTED));
    // The same with a grant.
    closed_relay.grants = vec![Grant { network: bench.network, quota: PLENTY }];
    bench.relay.set_config(bench.now, closed_relay);
    assert_eq!(refused(&bench.publish(0)), None);
    assert_eq!(bench.relay.status().networks.len(), 1);
    // Without it again, everything of the network goes.
    let mut none = config();
    none.default_quota = None;
    bench.relay.set_config(bench.now, none);
    assert!(bench.drain().contains(&RelayOutput::Remove { network: bench.network }));
    assert!(bench.relay.status().networks.is_empty());
    // A network that does not name this relay is not hosted.
    let mut other = Bench::new(1, config());
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let elsewhere = NodeKeys::generate(&mut rng).node_id();
    (other.network, other.log) = found(&mut rng, &other.members, elsewhere, other.now);
    other.connect(0, other.members[0].node_id());
    other.publish(0);
    let outputs = other.say(0, ControlMessage::LogHeads { network: other.network, heads: Vec::new() });
    assert_eq!(refused(&outputs), Some(refused_code::NOT_ADMITTED));
    // And no more than `max_networks`.
    let mut full = config();
    full.max_networks = 0;
    let mut bench = Bench::new(1, full);
    bench.connect(0, bench.members[0].node_id());
    assert_eq!(refused(&bench.publish(0)), Some(refused_code::QUOTA));
}

#[test]
fn pitfall_12_the_quota_of_a_day_ends_circuits_and_comes_back_the_next_day() {
    let mut small = config();
    small.default_quota = Some(Quota { bytes_per_day: 10_000, rate_bps: 1 << 40 });
    let mut bench = Bench::new(2, small);
    bench.join_in(0);
    bench.join_in(1);
    let labels = opened(&bench.open(0, 1));
    let (_, label, epoch) = labels[0];
    let mut passed = 0;
    let mut end = None;
    while end.is_none() {
        let outputs = bench.datagram(addr(0), &mut data_frame(label, epoch, 992));
        passed += outputs.iter().filter(|output| matches!(output, RelayOutput::Datagram { .. })).count();
        end = closed(&outputs);
    }
    assert_eq!((passed, end), (10, Some(circuit_reason::QUOTA)));
    assert_eq!(closed(&bench.open(0, 1)), Some(circuit_reason::QUOTA));
    bench.now.unix_s += 86_400;
    assert_eq!(opened(&bench.open(0, 1)).len(), 2);
}

#[test]
fn pitfall_14_labels_share_one_port_and_running_out_is_a_clean_answer() {
    let mut small = config();
    small.max_circuits = 3;
    let mut bench = Bench::new(4, small);
    for index in 0..4 {
        bench.join_in(index);
    }
    let mut labels = Vec::new();
    for (from, to) in [(0, 1), (0, 2), (0, 3)] {
        labels.extend(opened(&bench.open(from, to)).into_iter().map(|(_, label, _)| label));
    }
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), 6, "six ends, six labels, one port");
    assert_eq!(closed(&bench.open(1, 2)), Some(circuit_reason::FULL));
    // Asking again for an open one is answered with the same labels.
    assert!(opened(&bench.open(0, 1)).iter().all(|(_, label, _)| labels.contains(label)));
    let (network, peer) = (bench.network, bench.members[1].node_id());
    bench.say(
        0,
        ControlMessage::CircuitClosed {
            network,
            peer,
            via: Vec::new(),
            label: 0,
            reason: circuit_reason::PEER_OFFLINE,
        },
    );
    assert_eq!(opened(&bench.open(1, 2)).len(), 2, "room again");
}

#[test]
fn a_frame_passes_only_from_its_bound_address_with_its_label_epoch_and_hops() {
    let mut bench = Bench::new(2, config());
    bench.join_in(0);
    bench.join_in(1);
    let labels = opened(&bench.open(0, 1));
    let ((_, mine, epoch), (_, theirs, _)) = (labels[0], labels[1]);
    let frame = data_frame(mine, epoch, 100);
    let outputs = bench.datagram(addr(0), &mut frame.clone());
    let [RelayOutput::Datagram { to, bytes }] = &outputs[..] else { panic!("not forwarded") };
    assert_eq!((*to, &bytes[8..]), (Endpoint::main(addr(1)), &frame[8..]));
    let forwarded = RelayFrame::new_checked(bytes.as_slice()).unwrap();
    assert_eq!((forwarded.label(), forwarded.hop_limit(), forwarded.epoch()), (theirs, 7, epoch));
    let wrong_hops = RelayRepr { hop_limit: 1, epoch, label: mine }.wrap(&frame[8..]);
    for (from, bytes) in [
        (addr(1), frame.clone()),
        (addr(0), data_frame(theirs, epoch, 100)),
        (addr(0), data_frame(mine, epoch.wrapping_add(1), 100)),
        (addr(0), data_frame(mine ^ 1, epoch, 100)),
        (addr(0), wrong_hops),
    ] {
        let outputs = bench.datagram(from, &mut bytes.clone());
        let forwarded =
            outputs.iter().any(|output| matches!(output, RelayOutput::Datagram { bytes, .. } if bytes[0] == 0x18));
        assert!(!forwarded);
    }
}

#[test]
fn a_confirm_seen_on_the_way_moves_no_binding_back() {
    let mut bench = Bench::new(2, config());
    bench.join_in(0);
    bench.join_in(1);
    let ticket = sent(&bench.say(0, ControlMessage::BindRequest));
    let [ControlMessage::BindTicket { bind_id, bind_key }] = ticket[..] else { panic!("no ticket") };
    let mut client = Client { id: bind_id, key: bind_key, nonce: 0 };
    let bind = |bench: &mut Bench, client: &mut Client, from: SocketAddr| {
        let outputs = bench.datagram(from, &mut client.bind());
        let [RelayOutput::Datagram { bytes, .. }] = &outputs[..] else { panic!("no challenge") };
        let confirm = client.confirm(&bytes.clone());
        bench.datagram(from, &mut confirm.clone());
        confirm
    };
    let old = bind(&mut bench, &mut client, addr(10));
    bind(&mut bench, &mut client, addr(11));
    assert!(bench.datagram(addr(10), &mut old.clone()).is_empty(), "replayed from the old address");
    assert!(bench.datagram(addr(12), &mut old.clone()).is_empty(), "replayed from another one");
    let label = opened(&bench.open(0, 1))[0];
    let outputs = bench.datagram(addr(11), &mut data_frame(label.1, label.2, 100));
    assert!(matches!(&outputs[..], [RelayOutput::Datagram { to, .. }] if *to == Endpoint::main(addr(1))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever comes from an address that was not proved, less goes back there.
    #[test]
    fn pitfall_13_an_unproved_address_gets_no_more_bytes_than_it_sent(
        frames in prop::collection::vec((0..6u8, any::<u16>(), 1..1_400usize), 1..200),
        gap_ms in 0..3_000u64,
    ) {
        let mut bench = Bench::new(2, config());
        bench.join_in(0);
        bench.join_in(1);
        let labels = opened(&bench.open(0, 1));
        let ticket = sent(&bench.say(0, ControlMessage::BindRequest));
        let [ControlMessage::BindTicket { bind_id, bind_key }] = ticket[..] else { panic!("no ticket") };
        // The attacker is a member with a ticket of its own, and forges the source address of its victim.
        let mut client = Client { id: bind_id, key: bind_key, nonce: 0 };
        let victim = addr(66);
        let (mut received, mut answered) = (0, 0);
        for (kind, noise, length) in frames {
            let mut bytes = match kind {
                0 => client.bind(),
                1 => client.confirm(&[&[0x1a; 1][..], &[0; 27]].concat()),
                2 => data_frame(labels[0].1, labels[0].2, length),
                3 => data_frame(labels[1].1, labels[1].2, length),
                4 => data_frame(u32::from(noise), labels[0].2, length),
                _ => vec![noise.to_le_bytes()[0]; length],
            };
            if noise % 7 == 0 {
                let at = usize::from(noise) % bytes.len();
                bytes[at] ^= 0x10;
            }
            received += bytes.len();
            for output in bench.datagram(victim, &mut bytes) {
                if let RelayOutput::Datagram { to, bytes } = output {
                    prop_assert_eq!(to, Endpoint::main(victim), "nothing is forwarded from an unproved address");
                    answered += bytes.len();
                }
            }
            prop_assert!(answered <= received, "{} bytes for {}", answered, received);
            bench.now.mono_us += gap_ms * 1_000;
        }
    }
}
