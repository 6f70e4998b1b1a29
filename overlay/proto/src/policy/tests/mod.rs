#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod grammar;
mod reference;
mod stateful;

use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::identity::{NodeKeys, SignedRecord};
use crate::netlog::{EntryBody, GenesisParams, NetworkLog};
use crate::time::Now;

pub(super) const SECOND: u64 = 1_000_000;

pub(super) fn at(seconds: u64) -> Now {
    Now { mono_us: seconds * SECOND, unix_s: 1_800_000_000 + seconds }
}

pub(super) fn owner() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// Made once: ML-KEM key generation would take most of the time of a property test.
static RECORDS: LazyLock<Vec<(SignedRecord, Vec<u8>)>> = LazyLock::new(|| {
    let keys = |seed| NodeKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed));
    (0..3).map(keys).map(|keys| (keys.record(1, [0; 20]), keys.kem_public())).collect()
});

/// Three members: 0 has tag `red`, 1 `blue`, 2 both.
pub(super) struct Net {
    pub(super) log: NetworkLog,
    pub(super) nodes: Vec<netflow_wire::NodeId>,
}

impl Net {
    pub(super) fn new(policy: Policy) -> Self {
        let params = GenesisParams { name: "home".into(), ipv4: None };
        let mut log = NetworkLog::create(&owner(), params, at(0)).unwrap();
        let tags: [&[&str]; 3] = [&["red"], &["blue"], &["blue", "red"]];
        let mut nodes = Vec::new();
        for ((record, kem_key), tags) in RECORDS.iter().zip(tags) {
            let tags: Vec<String> = tags.iter().map(|&tag| tag.to_owned()).collect();
            let body = log.state().add_body(record, kem_key, "n", &tags).unwrap();
            log.author(&owner(), body, at(0)).unwrap();
            nodes.push(record.record().node);
        }
        let mut net = Self { log, nodes };
        net.set(policy);
        net
    }

    pub(super) fn set(&mut self, policy: Policy) {
        self.log.author(&owner(), EntryBody::PolicySet { policy }, at(0)).unwrap();
    }

    pub(super) fn address(&self, node: usize, v6: bool) -> std::net::IpAddr {
        let member = self.log.state().member(&self.nodes[node]).unwrap();
        if v6 { member.ipv6.into() } else { member.ipv4.unwrap().into() }
    }
}

pub(super) fn rule(from: &str, to: &str, proto: Proto, ports: &[(u16, u16)], action: Action) -> Rule {
    let selector = |text: &str| if text == "*" { Selector::Any } else { Selector::Tag(text.to_owned()) };
    Rule { from: selector(from), to: selector(to), proto, ports: ports.to_vec(), action }
}
