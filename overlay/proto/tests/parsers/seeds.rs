//! Seeds of the corpus: one good input of every kind, and the interesting bad ones. Deterministic, so a second run changes nothing.

use std::path::Path;

use netflow_overlay::identity::{NodeRecord, Secret, format_network_id, format_node_id};
use netflow_overlay::invite::InviteToken;
use netflow_overlay::netlog::GenesisParams;
use netflow_overlay::policy::Policy;
use netflow_overlay::{
    EntryBody, InviteId, NetworkId, NetworkLog, NodeId, NodeKeys, Now, RelayInfo, SignedRecord, Tier,
};
use rand_core::SeedableRng as _;

use crate::{fuzz_folder, parsers};

/// Every seed. What a fuzzer found beside them is kept.
pub(crate) fn write() {
    records_and_entries();
    histories();
    texts_and_keys();
    let vectors = vectors("frames.json");
    session(&vectors);
    node(&vectors);
    packets();
}

fn relay(node: NodeId) -> RelayInfo {
    RelayInfo { node, tier: Tier::Central, addrs: vec!["198.51.100.7:4790".parse().unwrap()] }
}

fn vectors(name: &str) -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/vectors").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn seed(target: &str, name: &str, bytes: &[u8]) {
    let folder = fuzz_folder().join("corpus").join(target);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), bytes).unwrap();
}

/// The body of a `[body, signature]` pair.
fn unsigned(raw: &[u8]) -> &[u8] {
    let mut decoder = minicbor::Decoder::new(raw);
    decoder.array().unwrap();
    decoder.bytes().unwrap()
}

fn records_and_entries() {
    let now = Now { mono_us: 0, unix_s: 1_700_000_000 };
    let (owner, admin) = (parsers::key(1), parsers::key(2));
    let node = NodeId(admin.verifying_key().to_bytes());
    let record = SignedRecord::sign(
        &owner,
        NodeRecord {
            node: NodeId(owner.verifying_key().to_bytes()),
            x25519: [4; 32],
            kem_hash: [0; 32],
            reward: [1; 20],
            seq: 7,
        },
    );
    seed("proto_record", "signed", record.raw());
    seed("proto_record", "body", unsigned(record.raw()));
    seed("proto_record", "half", &record.raw()[..60]);

    let genesis = GenesisParams { name: "home".into(), ipv4: None };
    let mut log = NetworkLog::create(&owner, genesis, now).unwrap();
    let member = log.state().add_body(&record, &[], "laptop", &["home".to_owned()]).unwrap();
    let bodies = [
        ("admin_add", EntryBody::AdminAdd { node }),
        ("member_add", member),
        ("tags", EntryBody::MemberTags { node: record.record().node, tags: vec!["a".into(), "b".into()] }),
        ("rename", EntryBody::MemberRename { node: record.record().node, name: "desk".into() }),
        ("invite", EntryBody::InviteCreate { invite: InviteId([6; 32]), expires_unix_s: 1_800_000_000, tags: vec![] }),
        ("cancel", EntryBody::InviteCancel { invite: InviteId([6; 32]) }),
        ("relays", EntryBody::RelaySet { relays: vec![relay(node)] }),
        ("policy", EntryBody::PolicySet { policy: Policy::allow_all() }),
        ("revoke", EntryBody::MemberRevoke { node: record.record().node }),
        ("admin_remove", EntryBody::AdminRemove { node, last: None }),
    ];
    let first = log.entries()[0].to_vec();
    seed("proto_entry", "genesis_signed", &first);
    seed("proto_entry", "genesis", unsigned(&first));
    seed("proto_entry", "genesis_half", &first[..first.len() / 2]);
    for (name, body) in bodies {
        let raw = log.author(&owner, body, now).unwrap_or_else(|error| panic!("{name}: {error}"));
        seed("proto_entry", name, unsigned(&raw));
    }
}

/// Steps of four bytes: author and habit, kind, node, detail.
fn histories() {
    seed("proto_log", "empty", &[]);
    seed("proto_log", "admin_adds_and_revokes", &[0, 0, 0, 0, 1, 3, 1, 1, 1, 3, 2, 2, 1, 2, 1, 0, 0, 3, 1, 3]);
    seed("proto_log", "fork_of_an_admin", &[0, 0, 0, 0, 1, 3, 1, 1, 0x85, 4, 1, 1, 1, 4, 1, 2, 0, 1, 0, 0]);
    seed("proto_log", "clock_jumps", &[0, 0, 0, 0, 0x81, 3, 255, 1, 0, 3, 1, 1, 0x80, 2, 200, 0]);
    seed("proto_log", "invites", &[0, 7, 9, 1, 0, 8, 0, 1, 0, 7, 9, 1, 0, 0, 1, 0, 2, 7, 200, 5]);
    // Written by a changed program: the first member keeps the session key.
    seed("proto_log", "two_members_one_session_key", &[0x80, 3, 200, 0, 0x80, 3, 201, 0, 0, 2, 0, 0, 0, 3, 1, 1]);
    seed(
        "proto_log",
        "two_admins_one_address",
        &[0, 0, 0, 0, 0, 0, 1, 0, 1, 3, 1, 1, 2, 3, 2, 1, 1, 5, 1, 9, 2, 5, 2, 9],
    );
}

fn texts_and_keys() {
    let node = NodeId(parsers::key(2).verifying_key().to_bytes());
    let token = InviteToken {
        network: NetworkId([9; 32]),
        network_name: "home".into(),
        seed: Secret::new([5; 32]),
        expires_unix_s: 1_800_000_000,
        relays: vec![relay(node)],
    };
    let text = token.to_text().unwrap();
    seed("proto_invite", "good", text.as_bytes());
    seed("proto_invite", "upper_case", text.to_uppercase().as_bytes());
    seed("proto_invite", "one_letter_off", text.replacen('q', "p", 1).as_bytes());
    seed("proto_invite", "cut", &text.as_bytes()[..40]);
    seed("proto_invite", "spaces", format!(" {}\n", *text).as_bytes());

    let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
    let keys = NodeKeys::generate(&mut rng).to_bytes();
    seed("proto_key_file", "good", &keys);
    seed("proto_key_file", "cut", &keys[..50]);
    seed("proto_key_file", "long", &[keys.as_slice(), &[0]].concat());

    seed("proto_ids", "node", format_node_id(&node).as_bytes());
    seed("proto_ids", "network", format_network_id(&NetworkId([9; 32])).as_bytes());
    seed("proto_ids", "mixed_case", format_node_id(&node).replacen('q', "Q", 1).as_bytes());
    seed("proto_ids", "cut", &format_node_id(&node).as_bytes()[..20]);
}

/// The wire's golden frames, once alone and once all short ones in a row.
fn session(vectors: &serde_json::Value) {
    let mut all = Vec::new();
    for vector in vectors["frames"].as_array().unwrap() {
        let (kind, bytes) = (vector["kind"].as_str().unwrap(), hex::decode(vector["hex"].as_str().unwrap()).unwrap());
        if matches!(kind, "handshake_init" | "handshake_response" | "cookie_reply" | "data") {
            let name = vector["name"].as_str().unwrap().replace(' ', "_");
            seed("proto_session", &name, &[&[255], bytes.as_slice()].concat());
            if let Ok(length @ 0..=254) = u8::try_from(bytes.len()) {
                all.push(length);
                all.extend_from_slice(&bytes);
            }
        }
    }
    seed("proto_session", "all_short_frames", &all);
}

/// Control messages from both sides and every frame, as steps of `kind, length, bytes`.
fn node(frames: &serde_json::Value) {
    let step = |kind: u8, bytes: &[u8]| {
        [&[kind], u16::try_from(bytes.len()).unwrap().to_le_bytes().as_slice(), bytes].concat()
    };
    let control = vectors("control.json");
    let hex_of = |value: &serde_json::Value| hex::decode(value["hex"].as_str().unwrap()).unwrap();
    let messages = control["messages"].as_array().unwrap();
    let hello = hex_of(&messages[0]);
    for message in messages {
        let name = message["name"].as_str().unwrap().replace(' ', "_");
        let bytes = hex_of(message);
        seed("proto_node", &format!("client_{name}"), &[step(1, &hello), step(1, &bytes)].concat());
        seed("proto_node", &format!("server_{name}"), &[step(2, &hello), step(2, &bytes), step(4, &[])].concat());
    }
    for frame in frames["frames"].as_array().unwrap() {
        if !matches!(frame["kind"].as_str().unwrap(), "inner" | "init_payload" | "response_payload") {
            let name = frame["name"].as_str().unwrap().replace(' ', "_");
            seed("proto_node", &name, &[step(0, &hex_of(frame)), step(5, &hex_of(frame))].concat());
        }
    }
}

fn packet(how: u8, bytes: &[u8]) -> Vec<u8> {
    [&[how, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn v4(protocol: u8, fragment: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let [f0, f1] = fragment;
    let head = [0x45, 0, total[0], total[1], 0, 7, f0, f1, 64, protocol, 0, 0];
    [head.as_slice(), &[0; 8], payload].concat()
}

fn v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[0x60, 0, 0, 0, length[0], length[1], next, 64], [0; 32].as_slice(), payload].concat()
}

fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    [ports.as_slice(), &[0; 8], &[0x50, flags, 0, 0, 0, 0, 0, 0]].concat()
}

/// Openings, replies, fragments and extension headers at the policy engine.
fn packets() {
    let (syn, answer) = (tcp(4000, 80, 2), tcp(80, 4000, 0x12));
    seed(
        "proto_policy",
        "v4_open_and_reply",
        &[packet(2, &v4(6, [0, 0], &syn)), packet(3, &v4(6, [0, 0], &answer))].concat(),
    );
    seed("proto_policy", "v6_open_and_reply", &[packet(2, &v6(6, &syn)), packet(3, &v6(6, &answer))].concat());
    seed("proto_policy", "v4_denied_port", &packet(2, &v4(6, [0, 0], &tcp(4000, 22, 2))));
    seed("proto_policy", "v4_udp", &packet(2, &v4(17, [0, 0], &[0, 9, 0, 80, 0, 8, 0, 0])));
    seed(
        "proto_policy",
        "v4_fragments",
        &[packet(2, &v4(6, [0x20, 0], &[syn.as_slice(), &[0; 4]].concat())), packet(2, &v4(6, [0, 3], &[1; 16]))]
            .concat(),
    );
    seed("proto_policy", "v4_tail_first", &packet(2, &v4(6, [0, 3], &[1; 16])));
    seed("proto_policy", "v4_tiny_fragment", &packet(2, &v4(6, [0x20, 0], &syn[..8])));
    seed("proto_policy", "v6_hop_by_hop", &packet(2, &v6(0, &[&[6, 0, 1, 4, 0, 0, 0, 0], syn.as_slice()].concat())));
    seed("proto_policy", "v6_fragment", &packet(2, &v6(44, &[&[6, 0, 0, 1, 0, 0, 0, 7], syn.as_slice()].concat())));
    seed(
        "proto_policy",
        "v6_fragment_tail",
        &packet(2, &v6(44, &[&[6, 0, 0, 9, 0, 0, 0, 7], syn.as_slice()].concat())),
    );
    seed("proto_policy", "v6_routing", &packet(2, &v6(43, &[&[6, 0, 0, 1, 0, 0, 0, 0], syn.as_slice()].concat())));
    seed(
        "proto_policy",
        "v6_destination_options_hide_udp",
        &packet(2, &v6(60, &[&[17, 0, 1, 4, 0, 0, 0, 0], syn.as_slice()].concat())),
    );
    seed("proto_policy", "foreign_source", &packet(0, &v4(6, [0, 0], &syn)));
    seed(
        "proto_policy",
        "icmp_error_quotes_nothing_known",
        &packet(3, &v4(1, [0, 0], &[&[3, 3, 0, 0, 0, 0, 0, 0], v4(6, [0, 0], &syn).as_slice()].concat())),
    );
}
