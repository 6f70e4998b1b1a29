#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod convergence;
mod forks;
mod invites;
mod members;
mod order;
mod roles;
mod sync;
mod vectors;

use ed25519_dalek::SigningKey;
use netflow_wire::{InviteId, NodeId};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::entry::{Entry, SignedEntry};
use super::*;
use crate::identity::{NodeKeys, Secret};
use crate::invite::InviteToken;
use crate::time::Now;

pub(super) const NOW: Now = Now { mono_us: 0, unix_s: 1_800_000_000 };

pub(super) fn keys(seed: u64) -> NodeKeys {
    NodeKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed))
}

pub(super) fn owner() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

pub(super) fn new_log() -> NetworkLog {
    NetworkLog::create(&owner(), GenesisParams { name: "home".into(), ipv4: None }, NOW).unwrap()
}

/// The entry that adds a node, as this replica would write it.
pub(super) fn add(log: &NetworkLog, node: &NodeKeys, name: &str) -> EntryBody {
    log.state().add_body(&node.record(1, [0; 20]), &node.kem_public(), name, &[]).unwrap()
}

/// A log with these nodes as members and admins.
pub(super) fn log_with_admins(admins: &[&NodeKeys]) -> NetworkLog {
    let mut log = new_log();
    for admin in admins {
        let body = add(&log, admin, "admin");
        log.author(&owner(), body, NOW).unwrap();
        log.author(&owner(), EntryBody::AdminAdd { node: admin.node_id() }, NOW).unwrap();
    }
    log
}

pub(super) fn copy(log: &NetworkLog) -> NetworkLog {
    NetworkLog::from_entries(log.network(), log.entries().into_iter().map(<[u8]>::to_vec)).unwrap()
}

/// Everything `from` has that `to` lacks.
pub(super) fn push(from: &NetworkLog, to: &mut NetworkLog) {
    let missing: Vec<Vec<u8>> = from.missing_for(&to.heads()).into_iter().map(<[u8]>::to_vec).collect();
    to.insert_all(&missing);
}

/// Pulls until nothing is wanted, as two nodes would; returns the number of rounds.
pub(super) fn settle(replicas: &mut [NetworkLog]) -> usize {
    for round in 1..200 {
        let mut changed = false;
        for i in 0..replicas.len() {
            for j in 0..replicas.len() {
                let wanted = replicas[i].wanted(&replicas[j].heads());
                let raws: Vec<Vec<u8>> =
                    wanted.iter().flat_map(|range| replicas[j].range(range)).map(<[u8]>::to_vec).collect();
                let (results, _) = replicas[i].insert_all(&raws);
                changed |= results.iter().any(|result| matches!(result, Ok(Inserted::New | Inserted::Fork)));
                for gap in results.iter().flatten() {
                    if let Inserted::Gap { author, have, got } = gap {
                        let range = netflow_wire::Range { author: *author, from: *have, to: *got };
                        let raws: Vec<Vec<u8>> = replicas[j].range(&range).into_iter().map(<[u8]>::to_vec).collect();
                        let (results, _) = replicas[i].insert_all(&raws);
                        changed |= results.iter().any(|result| matches!(result, Ok(Inserted::New | Inserted::Fork)));
                    }
                }
            }
        }
        if !changed {
            return round;
        }
    }
    panic!("replicas keep exchanging entries");
}

/// A second entry for a place that is taken: what an honest author never signs.
pub(super) fn forge(log: &NetworkLog, key: &SigningKey, seq: u32, body: EntryBody) -> Vec<u8> {
    let author = key.verifying_key().to_bytes();
    let entries: Vec<SignedEntry> = log
        .entries()
        .into_iter()
        .map(|raw| SignedEntry::verify(raw).unwrap())
        .filter(|entry| entry.entry().author == author)
        .collect();
    let at = |seq: u32| entries.iter().find(|entry| entry.entry().seq == seq);
    let prev = seq.checked_sub(1).and_then(at).map_or(EntryHash([0; 32]), SignedEntry::hash);
    let lamport = at(seq).map_or(1_000, |entry| entry.entry().lamport);
    let entry = Entry { network: log.network(), author, seq, prev, lamport, unix_s: NOW.unix_s, body };
    SignedEntry::sign(key, &entry).unwrap().raw().to_vec()
}

pub(super) fn token(log: &NetworkLog, seed: u8, expires_unix_s: u64) -> InviteToken {
    InviteToken {
        network: log.network(),
        network_name: "home".into(),
        seed: Secret::new([seed; 32]),
        expires_unix_s,
        relays: vec![relay(1)],
    }
}

pub(super) fn relay(seed: u8) -> netflow_wire::RelayInfo {
    netflow_wire::RelayInfo {
        node: NodeId([seed; 32]),
        tier: netflow_wire::Tier::Central,
        addrs: vec!["192.0.2.1:4790".parse().unwrap(), "[2001:db8::1]:4790".parse().unwrap()],
    }
}

pub(super) fn invite_body(token: &InviteToken) -> EntryBody {
    EntryBody::InviteCreate { invite: token.id(), expires_unix_s: token.expires_unix_s, tags: vec!["guest".into()] }
}

/// What the issuer answers to a join request of this node with this token.
pub(super) fn admit(
    log: &NetworkLog,
    issuer: &SigningKey,
    token: &InviteToken,
    node: &NodeKeys,
    now: Now,
) -> Result<EntryBody, JoinError> {
    let record = node.record(1, [0; 20]);
    let (invite, proof): (InviteId, _) = (token.id(), token.prove(&record));
    let kem_key = node.kem_public();
    let request =
        Admission { invite: &invite, record: record.raw(), kem_key: &kem_key, name: "Laptop of Ada", proof: &proof };
    log.state().admit(&issuer.verifying_key().to_bytes(), &request, now)
}
