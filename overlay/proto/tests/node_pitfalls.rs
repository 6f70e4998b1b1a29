//! What bit others (docs/testing.md, "Pitfalls"), tried against whole nodes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a wrong assumption must fail the test"
)]

mod harness;

use std::net::SocketAddr;

use harness::{Id, SECOND, World, udp};
use netflow_overlay::node::Event;
use netflow_overlay::session::{LocalIdentity, PeerRef, PqMode, RemoteKeys, SealOutcome, SessionTable, Source};
use netflow_overlay::{EntryBody, NetworkId, NetworkLog, Tier};
use netflow_wire::control::ControlMessage;
use netflow_wire::relay::{RelayFrame, RelayRepr};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use zeroize::Zeroizing;

struct Home {
    world: World,
    relay: Id,
    a: Id,
    b: Id,
    c: Id,
    network: NetworkId,
}

fn home(seed: u64) -> Home {
    let mut world = World::new(seed);
    let relay = world.add("rn", Tier::Root, &[]);
    let [a, b, c] = ["a", "b", "c"].map(|name| world.add(name, Tier::Edge, &[relay]));
    let network = world.create(a, "home");
    for joiner in [b, c] {
        world.admit(a, network, joiner);
    }
    world.keep_capture = true;
    for (from, to) in [(a, b), (b, c), (c, a)] {
        assert!(world.reaches(from, to, network, 5 * SECOND));
    }
    world.run(2 * SECOND);
    Home { world, relay, a, b, c, network }
}

/// The relay header `from` uses towards the peer at the other end of `session_len`-independent traffic: the last one it sent.
fn last_header(world: &World, from: Id) -> RelayRepr {
    let sent = world.capture.iter().rev().filter(|(id, ..)| *id == from);
    sent.filter_map(|(.., bytes)| RelayFrame::new_checked(bytes.as_slice()).ok().map(|frame| RelayRepr::parse(&frame)))
        .next()
        .unwrap()
}

/// A member whose program was changed: the keys of `b`, none of its checks. Speaks to `a` through the circuit of `b`.
struct Rogue {
    table: SessionTable,
    rng: ChaCha20Rng,
    header: RelayRepr,
    peer: PeerRef,
}

impl Rogue {
    fn take_over(home: &mut Home) -> Self {
        let world = &mut home.world;
        assert!(world.reaches(home.b, home.a, home.network, SECOND));
        let header = last_header(world, home.b);
        let keys = world.keys(home.b);
        let identity = LocalIdentity {
            static_secret: Zeroizing::new(*keys.statik.expose()),
            kem_seed: Zeroizing::new(*keys.kem_seed.expose()),
            boot_epoch: u32::MAX - 1,
            aes_hw: true,
            pq: PqMode::Strict,
        };
        let mut table = SessionTable::new(identity);
        table.add_network(home.network);
        let target = world.keys(home.a);
        let peer = PeerRef { network: home.network, node: world.id(home.a) };
        let kem = Some(Box::new(target.kem_public().try_into().unwrap()));
        table.upsert_peer(peer, RemoteKeys { x25519: target.x25519_public(), kem }).unwrap();
        let mut rogue = Self { table, rng: ChaCha20Rng::seed_from_u64(1), header, peer };
        world.sims[home.b].tap = Some(Vec::new());
        let _ = rogue.table.initiate(world.now, &mut rogue.rng, &rogue.peer);
        rogue.flush(home);
        home.world.run(SECOND);
        rogue.hear(home);
        rogue
    }

    fn flush(&mut self, home: &mut Home) {
        while let Some((_, frame)) = self.table.poll_transmit() {
            let (from, to) = (home.world.sims[home.b].addr, home.world.sims[home.relay].addr);
            home.world.inject(from, to, self.header.wrap(&frame));
        }
    }

    fn hear(&mut self, home: &mut Home) {
        let heard = std::mem::take(home.world.sims[home.b].tap.as_mut().unwrap());
        for (relay, mut bytes) in heard {
            let source = Source::Relayed { relay, label: self.header.label };
            let _ = self.table.handle_frame(home.world.now, &mut self.rng, &source, &mut bytes[8..]);
        }
        self.flush(home);
    }

    fn say(&mut self, home: &mut Home, plaintext: &[u8]) {
        let SealOutcome::Frame(frame) = self.table.seal(home.world.now, &mut self.rng, &self.peer, plaintext) else {
            panic!("no session")
        };
        let (from, to) = (home.world.sims[home.b].addr, home.world.sims[home.relay].addr);
        home.world.inject(from, to, self.header.wrap(&frame));
        home.world.run(SECOND);
        self.hear(home);
    }
}

#[test]
fn pitfall_07_a_member_cannot_send_in_the_name_of_another() {
    let mut home = home(80);
    let (a, b, c, network) = (home.a, home.b, home.c, home.network);
    let [own, other, target] = [b, c, a].map(|id| home.world.address(id, network));
    let mut rogue = Rogue::take_over(&mut home);
    rogue.say(&mut home, &udp(own, target, b"in my own name"));
    assert!(home.world.received(a, network).contains(&b"in my own name".to_vec()), "the rogue has a session");
    let spoofed = |home: &Home| home.world.sims[a].node.as_ref().unwrap().status(home.world.now).counters.rx_spoofed;
    let before = spoofed(&home);
    let outside: SocketAddr = "192.0.2.1:1".parse().unwrap();
    for source in [other, target, outside.ip()] {
        rogue.say(&mut home, &udp(source, target, b"in another's name"));
    }
    // To an address that is not the receiver's: it is no router for others.
    rogue.say(&mut home, &udp(own, other, b"in another's name"));
    assert!(!home.world.received(a, network).contains(&b"in another's name".to_vec()));
    assert_eq!(spoofed(&home) - before, 3);
    // The honest end does not even send it.
    home.world.send_raw(c, network, &udp(own, target, b"in another's name"));
    home.world.run(SECOND);
    assert!(!home.world.received(a, network).contains(&b"in another's name".to_vec()));
}

/// Everything that must not change, without the counters of what was dropped.
fn state_of(world: &World, id: Id, network: &NetworkId) -> String {
    let node = world.sims[id].node.as_ref().unwrap();
    let mut peers = node.peers(world.now, network).unwrap_or_default();
    for peer in &mut peers {
        // The passing of time is no change.
        if let Some(session) = &mut peer.session {
            (session.age_us, session.idle_us) = (0, None);
        }
    }
    let relay = node.relay_status().map(|mut status| {
        status.dropped_frames = 0;
        status
    });
    let members = node.members(network).unwrap_or_default();
    let links = node.status(world.now).links;
    format!("{:?} {peers:?} {relay:?} {members:?} {links:?} {}", node.networks(), world.sims[id].journal.len())
}

#[test]
fn pitfall_10_datagrams_that_do_not_authenticate_change_nothing() {
    // The same world twice: what an attack changed is what differs from the world without it.
    let (mut home, mut twin) = (home(81), home(81));
    let (ids, network) = ([home.relay, home.a, home.b, home.c], home.network);
    // Only what arrived: a frame held back on the way is fresh when it comes at last (node_failover.rs has that one).
    let arrived = |(_, _, bytes): &&(Id, SocketAddr, Vec<u8>)| !(0x10..=0x13).contains(&bytes[0]);
    let sent: Vec<(Id, SocketAddr, Vec<u8>)> = home.world.capture.iter().filter(arrived).cloned().collect();
    home.world.run(5 * SECOND);
    twin.world.run(5 * SECOND);
    let stranger: SocketAddr = "203.0.113.66:6666".parse().unwrap();
    let relay_addr = home.world.sims[home.relay].addr;
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    for id in ids {
        let to = home.world.sims[id].addr;
        // Noise of every kind and length.
        for kind in 0..=255u8 {
            for length in [1, 8, 28, 36, 52, 54, 64, 80, 132, 1220, 1400] {
                let mut bytes = vec![0; length];
                rng.fill_bytes(&mut bytes);
                bytes[0] = kind;
                home.world.inject(stranger, to, bytes.clone());
                home.world.inject(relay_addr, to, bytes);
            }
        }
    }
    // What was really sent, from elsewhere, changed by one bit, or simply again.
    for (_, to, bytes) in &sent {
        home.world.inject(stranger, *to, bytes.clone());
        let mut bent = bytes.clone();
        let bit = rng.next_u32() as usize % (bent.len() * 8);
        bent[bit / 8] ^= 1 << (bit % 8);
        home.world.inject(stranger, *to, bent.clone());
        if *to != relay_addr {
            home.world.inject(relay_addr, *to, bent);
            home.world.inject(relay_addr, *to, bytes.clone());
        }
    }
    home.world.run(3 * SECOND);
    twin.world.run(3 * SECOND);
    for id in ids {
        assert_eq!(state_of(&twin.world, id, &network), state_of(&home.world, id, &network));
        assert_eq!(twin.world.sims[id].inside, home.world.sims[id].inside, "nothing was delivered");
        assert_eq!(twin.world.sims[id].events, home.world.sims[id].events);
    }
    assert!(home.world.reaches(home.a, home.b, network, SECOND));
}

#[test]
fn pitfall_22_a_relay_can_add_nothing_to_a_log() {
    let mut home = home(82);
    let (relay, a, b, network) = (home.relay, home.a, home.b, home.network);
    let now = home.world.now;
    // Entries by the relay's own key; of another network by its rightful owner; and real ones of this network, changed.
    let relay_key = home.world.keys(relay).node;
    let params = netflow_overlay::netlog::GenesisParams { name: "other".to_owned(), ipv4: None };
    let other = NetworkLog::create(&relay_key, params, now).unwrap();
    let mut forged: Vec<Vec<u8>> = other.entries().into_iter().map(<[u8]>::to_vec).collect();
    let body = EntryBody::MemberRevoke { node: home.world.id(b) };
    let entry = netflow_overlay::netlog::entry::Entry {
        network,
        author: relay_key.verifying_key().to_bytes(),
        seq: 0,
        prev: netflow_overlay::EntryHash([0; 32]),
        lamport: 1_000,
        unix_s: now.unix_s,
        body,
    };
    forged.push(netflow_overlay::netlog::SignedEntry::sign(&relay_key, &entry).unwrap().raw().to_vec());
    let stored = harness::restored(&home.world.sims[a].journal).networks.remove(0).log;
    for (index, raw) in stored.iter().enumerate() {
        let mut bent = raw.clone();
        let at = (index * 31) % bent.len();
        bent[at] ^= 1;
        forged.push(bent);
    }
    let before = state_of(&home.world, a, &network);
    let refused = |world: &World| world.sims[a].node.as_ref().unwrap().status(world.now).counters.rx_refused;
    let (count, expected) = (refused(&home.world), forged.len() as u64);
    let members = home.world.members(a, network);
    home.world.forge(relay, a, &ControlMessage::LogEntries { network, entries: forged });
    assert_eq!(state_of(&home.world, a, &network), before);
    home.world.run(SECOND);
    assert_eq!(home.world.members(a, network), members);
    assert_eq!(refused(&home.world) - count, expected, "and every one of them was counted");
}

#[test]
fn pitfall_22_what_a_relay_keeps_back_comes_through_the_members() {
    let mut home = home(83);
    let (a, b, c, network) = (home.a, home.b, home.c, home.network);
    // The relay tells c nothing of the log any more: not of the revocation, and not of anything else.
    home.world.sims[c].deaf_to_entries = true;
    let now = home.world.now;
    let id = home.world.id(b);
    home.world.node(a).set_tags(now, &network, &id, &["suspect".to_owned()]).unwrap();
    home.world.perform(a);
    home.world.send(a, c, network, b"by the way");
    assert!(home.world.run_until(30 * SECOND, |world| {
        let members = world.sims[c].node.as_ref().unwrap().members(&network).unwrap();
        members.iter().any(|member| member.tags == ["suspect"])
    }));
    home.world.revoke(a, network, b);
    assert!(home.world.run_until(10 * SECOND, |world| !world.members(c, network).contains(&id)));
}

#[test]
fn pitfall_22_a_relay_that_forgets_entries_is_given_them_again() {
    let mut home = home(84);
    let (relay, a, network) = (home.relay, home.a, home.network);
    home.world.kill(relay);
    // Its disk "loses" everything after the first five entries, the admission of c among it.
    let mut kept = 0;
    home.world.sims[relay].journal.retain(|change| {
        let append = matches!(change, netflow_overlay::node::Persist::HostedAppend { .. });
        kept += usize::from(append);
        !append || kept <= 5
    });
    home.world.start(relay);
    home.world.run(40 * SECOND);
    assert_eq!(home.world.node(relay).relay_status().unwrap().networks[0].members, 3);
    assert_eq!(home.world.members(a, network).len(), 3);
    assert!(home.world.reaches(home.c, a, network, 5 * SECOND));
}

#[test]
fn pitfall_22_two_entries_for_one_place_freeze_their_author_everywhere() {
    let mut home = home(85);
    let (relay, a, b, c, network) = (home.relay, home.a, home.b, home.c, home.network);
    // The admin's key signs a second history: a copy of its node as it was, restored from a backup.
    let stored = harness::restored(&home.world.sims[a].journal).networks.remove(0).log;
    let mut copy = NetworkLog::from_entries(network, stored).unwrap();
    let (now, key) = (home.world.now, home.world.keys(a).node);
    let one =
        copy.author(&key, EntryBody::MemberTags { node: home.world.id(b), tags: vec!["one".to_owned()] }, now).unwrap();
    let id = home.world.id(b);
    home.world.node(a).set_tags(now, &network, &id, &["two".to_owned()]).unwrap();
    home.world.perform(a);
    home.world.run(SECOND);
    home.world.forge(relay, c, &ControlMessage::LogEntries { network, entries: vec![one] });
    home.world.send(c, a, network, b"traffic");
    home.world.send(c, b, network, b"traffic");
    home.world.run(60 * SECOND);
    for id in [a, b, c] {
        assert!(home.world.saw(id, |event| matches!(event, Event::ForkDetected { .. })), "{id} knows of the fork");
        let members = home.world.sims[id].node.as_ref().unwrap().members(&network).unwrap();
        assert!(members.iter().all(|member| member.tags.is_empty()), "neither of the two counts at {id}");
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn pitfall_31_nothing_of_a_packet_leaves_in_clear() {
    let mut home = home(86);
    let (a, b, network) = (home.a, home.b, home.network);
    let pattern = b"THE-INSIDE-OF-A-PACKET";
    for _ in 0..50 {
        home.world.send(a, b, network, pattern);
        home.world.send(b, a, network, pattern);
        home.world.run(SECOND / 10);
    }
    assert!(home.world.received(b, network).contains(&pattern.to_vec()));
    let packet = udp(home.world.address(a, network), home.world.address(b, network), pattern);
    // Source and destination address side by side, and the two ports side by side, as every packet has them.
    let needles = [&pattern[..], &packet[12..20], &packet[20..24]];
    let datagrams = home.world.capture.iter().map(|(.., bytes)| bytes);
    let messages = home.world.messages.iter().map(|(.., bytes)| bytes);
    let mut seen = 0;
    for bytes in datagrams.chain(messages) {
        seen += 1;
        for needle in needles {
            assert!(!contains(bytes, needle));
        }
    }
    assert!(seen > 300, "{seen} things left the nodes");
}

#[test]
fn the_relay_holds_no_session_and_belongs_to_no_network() {
    let mut home = home(87);
    let (relay, network) = (home.relay, home.network);
    assert!(home.world.node(relay).networks().is_empty());
    let now = home.world.now;
    assert!(home.world.node(relay).peers(now, &network).is_err());
    assert!(home.world.sims[relay].inside.is_empty());
    // Of what members put into a datagram a relay changes the label and the hop limit, and nothing else.
    let capture = &home.world.capture;
    let from_relay: Vec<&Vec<u8>> = capture.iter().filter(|(id, ..)| *id == relay).map(|(.., bytes)| bytes).collect();
    let relayed = from_relay.iter().filter(|bytes| bytes[0] == 0x18);
    for bytes in relayed.clone() {
        assert!(capture.iter().any(|(id, _, sent)| *id != relay && sent[0] == 0x18 && sent[8..] == bytes[8..]));
    }
    assert!(relayed.count() > 20);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Send(Id, Id, bool),
    Kill(Id),
    Start(Id),
    CutLinks(Id, bool),
    Unplug(Id, bool),
    Weather(u8),
    Rename(Id),
    SetUp(Id, bool),
    Wait(u16),
}

fn act() -> impl Strategy<Value = Act> {
    let node = 0..6usize;
    let member = 2..6usize;
    prop_oneof![
        6 => (member.clone(), member.clone(), any::<bool>()).prop_map(|(from, to, first)| Act::Send(from, to, first)),
        1 => node.clone().prop_map(Act::Kill),
        2 => node.clone().prop_map(Act::Start),
        1 => (node.clone(), any::<bool>()).prop_map(|(id, cut)| Act::CutLinks(id, cut)),
        1 => (node, any::<bool>()).prop_map(|(id, out)| Act::Unplug(id, out)),
        1 => (0..40u8).prop_map(Act::Weather),
        1 => member.clone().prop_map(Act::Rename),
        1 => (member, any::<bool>()).prop_map(|(id, up)| Act::SetUp(id, up)),
        4 => (0..20_000u16).prop_map(Act::Wait),
    ]
}

/// More with `NODE_CASES=1000`.
fn cases() -> u32 {
    std::env::var("NODE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(32)
}

/// Six nodes: two relays; 2, 3 and 4 in the first network, 4 and 5 in the second, which has the same addresses.
fn two_networks() -> (World, [NetworkId; 2]) {
    let mut world = World::new(90);
    let relays = [world.add("rn", Tier::Root, &[]), world.add("cn", Tier::Central, &[])];
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| world.add(name, Tier::Edge, &relays));
    let first = world.create(a, "one");
    let second = world.create(d, "two");
    world.admit(a, first, b);
    world.admit(a, first, c);
    world.admit(d, second, c);
    (world, [first, second])
}

const MEMBERS: [&[Id]; 2] = [&[2, 3, 4], &[4, 5]];

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: nothing passes between networks, nothing comes twice, nothing is in clear, and
    /// when everything is mended, everything works again.
    #[test]
    fn any_order_of_events_keeps_the_promises(acts in prop::collection::vec(act(), 1..60)) {
        the_promises_hold(acts)?;
    }
}

/// What brought mistakes to light once.
#[test]
fn orders_of_events_that_once_broke_a_promise() {
    // A network taken down and up again while somebody had opened a circuit.
    the_promises_hold(vec![Act::SetUp(4, false), Act::Send(2, 4, true)]).unwrap();
    // An answer to a path probe that came when the peer had just stopped being active: its timer was due for ever.
    the_promises_hold(vec![
        Act::Send(2, 3, true),
        Act::Wait(6_122),
        Act::Weather(33),
        Act::Wait(17_626),
        Act::Wait(6_291),
    ])
    .unwrap();
}

/// One play: the world, and payloads that name their network.
struct Play {
    world: World,
    networks: [NetworkId; 2],
    addresses: Vec<Vec<Option<std::net::IpAddr>>>,
    number: u64,
}

impl Play {
    fn new() -> Self {
        let (mut world, networks) = two_networks();
        world.keep_capture = true;
        let address = |index: usize, id: Id| MEMBERS[index].contains(&id).then(|| world.address(id, networks[index]));
        let addresses = (0..2).map(|index| (0..6).map(|id| address(index, id)).collect()).collect();
        Self { world, networks, addresses, number: 0 }
    }

    /// Sends a payload like no other; `None` when the two are not in the network or the sender is dead.
    fn send(&mut self, from: Id, to: Id, index: usize) -> Option<Vec<u8>> {
        let (source, dest) = (self.addresses[index][from]?, self.addresses[index][to]?);
        if from == to || self.world.sims[from].node.is_none() {
            return None;
        }
        self.number += 1;
        let payload = format!("PLAINTEXT net{index} #{:08}", self.number).into_bytes();
        self.world.send_raw(from, self.networks[index], &udp(source, dest, &payload));
        Some(payload)
    }

    fn act(&mut self, act: Act) {
        let (world, first) = (&mut self.world, self.networks[0]);
        let now = world.now;
        match act {
            Act::Send(from, to, first) => drop(self.send(from, to, usize::from(!first))),
            Act::Kill(id) => world.kill(id),
            Act::Start(id) if world.sims[id].node.is_none() => world.start(id),
            Act::Start(_) => {}
            Act::CutLinks(id, cut) => world.cut_links(id, cut),
            Act::Unplug(id, out) => world.unplug(id, out),
            Act::Weather(loss) => {
                world.weather.loss_percent = u32::from(loss);
                world.weather.double_percent = u32::from(loss);
                world.weather.jitter_us = u64::from(loss) * 5_000;
            }
            Act::Rename(id) => {
                let node = world.id(id);
                if let Some(admin) = &mut world.sims[2].node {
                    let _ = admin.rename_member(now, &first, &node, &format!("n{}", now.mono_us));
                    world.perform(2);
                }
            }
            Act::SetUp(id, up) => {
                if let Some(node) = &mut world.sims[id].node {
                    let _ = node.set_up(now, &first, up);
                    world.perform(id);
                }
            }
            Act::Wait(ms) => world.run(u64::from(ms) * 1_000),
        }
    }

    fn mend(&mut self) {
        self.act(Act::Weather(0));
        for id in 0..6 {
            for act in [Act::CutLinks(id, false), Act::Unplug(id, false), Act::Start(id), Act::SetUp(id, true)] {
                self.act(act);
            }
        }
        self.world.run(100 * SECOND);
    }

    fn everybody_reaches_everybody(&mut self) -> Result<(), TestCaseError> {
        for (index, members) in MEMBERS.iter().enumerate() {
            for (from, to) in members.iter().flat_map(|from| members.iter().map(move |to| (*from, *to))) {
                if let Some(payload) = self.send(from, to, index) {
                    let network = self.networks[index];
                    let arrived =
                        self.world.run_until(10 * SECOND, |world| world.received(to, network).contains(&payload));
                    prop_assert!(arrived, "{from} to {to} after everything was mended");
                }
            }
            let view = |id: &Id| {
                let mut members = self.world.sims[*id].node.as_ref().unwrap().members(&self.networks[index]).unwrap();
                members.iter_mut().for_each(|member| member.is_self = false);
                format!("{members:?}")
            };
            prop_assert!(members.iter().all(|id| view(id) == view(&members[0])), "all members agree");
        }
        Ok(())
    }

    fn nothing_went_astray(&self) -> Result<(), TestCaseError> {
        for id in 0..6 {
            for (index, network) in self.networks.iter().enumerate() {
                let received = self.world.received(id, *network);
                let tag = format!("PLAINTEXT net{index} ");
                prop_assert!(received.iter().all(|payload| payload.starts_with(tag.as_bytes())), "across networks");
                let mut unique = received.clone();
                unique.sort();
                unique.dedup();
                prop_assert_eq!(unique.len(), received.len(), "delivered twice");
            }
        }
        prop_assert!(self.world.capture.iter().all(|(.., bytes)| !contains(bytes, b"PLAINTEXT")));
        for relay in 0..2 {
            prop_assert!(self.world.sims[relay].node.as_ref().unwrap().networks().is_empty());
        }
        Ok(())
    }
}

fn the_promises_hold(acts: Vec<Act>) -> Result<(), TestCaseError> {
    let mut play = Play::new();
    for act in acts {
        play.act(act);
    }
    play.mend();
    play.everybody_reaches_everybody()?;
    play.nothing_went_astray()
}
