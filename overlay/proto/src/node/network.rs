//! One network of this node: its log, where it stands, and what of it is on disk.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ed25519_dalek::SigningKey;
use minicbor::{Decode, Encode};
use netflow_wire::{NetworkId, NodeId, RelayInfo};
use zeroize::Zeroizing;

use super::api::{MAX_RELAYS_USED, NetworkPlan};
use crate::invite::InviteToken;
use crate::netlog::NetworkLog;
use crate::policy::Engine;

/// Version of [`Meta`] and of the pending join.
const VERSION: u8 = 1;

/// Where the network stands.
pub(super) enum Phase {
    /// Waiting to be admitted.
    Joining(Joining),
    /// A member; `up`: carries traffic.
    Member { up: bool },
    /// This node was revoked.
    Revoked,
}

/// A join under way.
pub(super) struct Joining {
    pub(super) token: InviteToken,
    /// Name to ask for; the node's own when there is none.
    pub(super) name: Option<String>,
    /// When to send the request again.
    pub(super) due_us: u64,
    /// A relay said that the issuer is offline.
    pub(super) pending: bool,
    /// Refusals that may be due to a relay that does not know the invite yet: relay and when it said so first.
    pub(super) unknown: BTreeMap<NodeId, u64>,
}

/// One network.
pub(super) struct Network {
    pub(super) log: NetworkLog,
    pub(super) phase: Phase,
    /// The owner's key, when it is on this node.
    pub(super) owner: Option<SigningKey>,
    pub(super) engine: Engine,
    /// Members whose keys the session table has, with the number of their record.
    pub(super) keyed: BTreeMap<NodeId, u64>,
    /// Last `NetworkUp`.
    pub(super) plan: Option<NetworkPlan>,
}

impl Network {
    pub(super) fn new(log: NetworkLog, phase: Phase, owner: Option<SigningKey>) -> Self {
        let engine = Engine::new();
        Self { log, phase, owner, engine, keyed: BTreeMap::new(), plan: None }
    }

    pub(super) const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Member { up: true })
    }

    pub(super) const fn joining(&self) -> Option<&Joining> {
        match &self.phase {
            Phase::Joining(joining) => Some(joining),
            Phase::Member { .. } | Phase::Revoked => None,
        }
    }

    pub(super) const fn joining_mut(&mut self) -> Option<&mut Joining> {
        match &mut self.phase {
            Phase::Joining(joining) => Some(joining),
            Phase::Member { .. } | Phase::Revoked => None,
        }
    }

    /// Name for people: the log's, or the token's until it is here.
    pub(super) fn name(&self) -> String {
        match &self.phase {
            Phase::Joining(joining) => joining.token.network_name.clone(),
            Phase::Member { .. } | Phase::Revoked => self.log.state().name().to_owned(),
        }
    }

    /// Relays in the network's order: the log's, and while joining the token's.
    pub(super) fn relays(&self) -> &[RelayInfo] {
        match &self.phase {
            Phase::Joining(joining) => &joining.token.relays,
            Phase::Member { .. } | Phase::Revoked => self.log.state().relays(),
        }
    }

    /// Relays this node keeps links to: none while the network is down.
    pub(super) fn wanted_relays(&self) -> impl Iterator<Item = (NodeId, &[SocketAddr])> {
        let wanted = self.is_up() || self.joining().is_some();
        let count = if wanted { MAX_RELAYS_USED } else { 0 };
        self.relays().iter().take(count).map(|relay| (relay.node, relay.addrs.as_slice()))
    }

    pub(super) fn uses_relay(&self, relay: &NodeId) -> bool {
        self.wanted_relays().any(|(node, _)| node == *relay)
    }

    /// Contents of `Persist::NetworkMeta`.
    pub(super) fn meta(&self) -> Vec<u8> {
        let up = !matches!(self.phase, Phase::Member { up: false });
        minicbor::to_vec(Meta { version: VERSION, up }).expect("writing to memory cannot fail")
    }
}

/// What is on disk besides the log. Its presence says that the network was created or joined completely.
#[derive(Encode, Decode)]
pub(super) struct Meta {
    #[n(0)]
    version: u8,
    /// Does the user want it up?
    #[n(1)]
    pub(super) up: bool,
}

impl Meta {
    /// `None`: not written by this version or an earlier one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        minicbor::decode::<Self>(bytes).ok().filter(|meta| meta.version == VERSION)
    }
}

/// Contents of `Persist::NetworkSecret`: version byte and the owner's seed.
pub(super) fn owner_to_bytes(owner: &SigningKey) -> Vec<u8> {
    let seed = Zeroizing::new(owner.to_bytes());
    let mut bytes = Vec::with_capacity(33);
    bytes.push(VERSION);
    bytes.extend_from_slice(seed.as_ref());
    bytes
}

pub(super) fn owner_from_bytes(network: &NetworkId, bytes: &[u8]) -> Option<SigningKey> {
    let (version, seed) = bytes.split_first()?;
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(seed.try_into().ok()?);
    let key = SigningKey::from_bytes(&seed);
    let matches = crate::netlog::network_id(&key.verifying_key().to_bytes()) == *network;
    (*version == VERSION && matches).then_some(key)
}
