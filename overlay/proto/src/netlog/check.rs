//! Which values an entry can carry. One check for those who sign and those who read; only those who sign are told what is wrong.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use netflow_wire::control::{MAX_KEM_KEY_LEN, MAX_RELAY_ADDRS};
use netflow_wire::{NodeId, RelayInfo};

use super::body::EntryBody;
use super::limits::{MAX_RELAYS, MAX_RULES, MAX_TAGS};
use super::syntax::{LabelError, check_name, check_tag};
use crate::identity::format_node_id;
use crate::policy::{Policy, Selector};

/// A value no entry can carry. The texts are for the user who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A name or tag.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// Tags in another order than the one an entry has.
    #[error("tags must be sorted, each of them once")]
    TagOrder,
    /// Too many of something.
    #[error("{count} {what} are more than {limit}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The network's addresses.
    #[error("{0} is no /16 of 100.64.0.0/10")]
    Prefix(Ipv4Net),
    /// Length of an ML-KEM-768 key.
    #[error("an ML-KEM-768 key has 1184 bytes, not {0}")]
    KemKey(usize),
    /// Addresses of a relay.
    #[error("relay {} has {count} addresses; 1 to 8 can be listed", format_node_id(relay))]
    RelayAddrs {
        /// The relay.
        relay: NodeId,
        /// Its addresses.
        count: usize,
    },
    /// The same relay again.
    #[error("relay {} is listed twice", format_node_id(.0))]
    RelayTwice(NodeId),
    /// A rule of the policy, counted from 1.
    #[error("rule {0} is not one: at most 16 port ranges, each from low to high, none with ICMP")]
    Rule(usize),
    /// A kind this program knows, with bytes it does not understand.
    #[error("kind {0} is not a later one")]
    Kind(u16),
}

impl EntryBody {
    /// Names, tags, lists and the network prefix within their limits and in their one order? Entries that are not are no entries at all.
    ///
    /// # Errors
    /// [`BodyError`], which says what is wrong to the user who wrote it.
    pub fn check(&self) -> Result<(), BodyError> {
        match self {
            Self::Genesis(genesis) => {
                check_name(&genesis.name)?;
                ensure(valid_prefix(&genesis.ipv4), BodyError::Prefix(genesis.ipv4))
            }
            Self::MemberAdd(member) => {
                check_name(&member.name)?;
                check_tags(&member.tags)?;
                check_kem_key(&member.kem_key)
            }
            Self::MemberTags { tags, .. } | Self::InviteCreate { tags, .. } => check_tags(tags),
            Self::RelaySet { relays } => check_relays(relays),
            Self::PolicySet { policy } => check_policy(policy),
            Self::RecordUpdate { kem_key, .. } => check_kem_key(kem_key),
            Self::MemberRename { name, .. } => Ok(check_name(name)?),
            Self::Unknown { kind, .. } => ensure(*kind > 12, BodyError::Kind(*kind)),
            Self::MemberRevoke { .. }
            | Self::MemberAddress { .. }
            | Self::AdminAdd { .. }
            | Self::AdminRemove { .. }
            | Self::InviteCancel { .. } => Ok(()),
        }
    }
}

fn ensure(holds: bool, error: BodyError) -> Result<(), BodyError> {
    if holds { Ok(()) } else { Err(error) }
}

fn check_count(what: &'static str, count: usize, limit: usize) -> Result<(), BodyError> {
    ensure(count <= limit, BodyError::Count { what, count, limit })
}

fn check_kem_key(key: &[u8]) -> Result<(), BodyError> {
    ensure(key.is_empty() || key.len() == MAX_KEM_KEY_LEN, BodyError::KemKey(key.len()))
}

fn check_tags(tags: &[String]) -> Result<(), BodyError> {
    check_count("tags", tags.len(), MAX_TAGS)?;
    tags.iter().try_for_each(|tag| check_tag(tag))?;
    ensure(tags.is_sorted_by(|a, b| a < b), BodyError::TagOrder)
}

fn check_relays(relays: &[RelayInfo]) -> Result<(), BodyError> {
    check_count("relays", relays.len(), MAX_RELAYS)?;
    let mut seen = BTreeSet::new();
    relays.iter().try_for_each(|relay| {
        let count = relay.addrs.len();
        ensure((1..=MAX_RELAY_ADDRS).contains(&count), BodyError::RelayAddrs { relay: relay.node, count })?;
        ensure(seen.insert(relay.node), BodyError::RelayTwice(relay.node))
    })
}

fn check_policy(policy: &Policy) -> Result<(), BodyError> {
    check_count("rules", policy.rules.len(), MAX_RULES)?;
    policy.rules.iter().zip(1..).try_for_each(|(rule, number)| {
        for selector in [&rule.from, &rule.to] {
            if let Selector::Tag(tag) = selector {
                check_tag(tag)?;
            }
        }
        ensure(rule.is_well_formed(), BodyError::Rule(number))
    })?;
    // The policy's own word is the one that counts.
    ensure(policy.is_well_formed(), BodyError::Rule(policy.rules.len()))
}

/// A /16 of 100.64.0.0/10.
fn valid_prefix(prefix: &Ipv4Net) -> bool {
    let [a, b, c, d] = prefix.addr().octets();
    prefix.prefix_len() == 16 && a == 100 && (64..128).contains(&b) && c == 0 && d == 0
}
