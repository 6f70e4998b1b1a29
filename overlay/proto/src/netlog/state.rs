//! What a network is at this moment: the result of replaying the log.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use netflow_wire::{InviteId, NetworkId, NodeId, RelayInfo};
use sha2::{Digest as _, Sha256};

use super::body::{EntryBody, MemberAddBody};
use super::entry::EntryHash;
use super::limits::{MAX_MEMBERS, MAX_NAME_LEN};
use super::syntax::valid_name;
use crate::identity::{SignedRecord, verify};
use crate::invite;
use crate::policy::Policy;
use crate::time::Now;

/// A node that has access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub node: NodeId,
    /// Its verified record.
    pub record: SignedRecord,
    /// Session key.
    pub x25519: [u8; 32],
    /// ML-KEM-768 encapsulation key: 1,184 bytes, or empty.
    pub kem_key: Vec<u8>,
    /// Its IPv4 address; `None` when an earlier entry had taken the one it was given, until an admin gives it another.
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address, derived from the id.
    pub ipv6: Ipv6Addr,
    /// Its name, unique in the network.
    pub name: String,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// May it write entries?
    pub is_admin: bool,
    /// The invite it came with.
    pub invite: Option<InviteId>,
    /// Author of the entry that added it.
    pub added_by: [u8; 32],
    /// The author's clock then, seconds since 1970.
    pub added_unix_s: u64,
}

/// What became of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteStatus {
    /// Can be redeemed until it expires.
    Open,
    /// This node came with it.
    Used(NodeId),
    /// Cancelled, or purged after it expired.
    Cancelled,
}

/// An invite in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Its author: only this one redeems it.
    pub issuer: [u8; 32],
    /// Seconds since 1970 after which it cannot be redeemed.
    pub expires_unix_s: u64,
    /// Tags the new member gets.
    pub tags: Vec<String>,
    /// What became of it.
    pub status: InviteStatus,
}

/// Why a join is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The record, the key, the name or the proof does not hold.
    #[error("the join request is malformed or its proof does not verify")]
    Malformed,
    /// No such invite in this network.
    #[error("this invite does not exist in this network")]
    Unknown,
    /// Issued by another author of this network: only that one can redeem it.
    #[error("this invite was issued by another admin")]
    Foreign,
    /// Redeemed before.
    #[error("this invite was used before")]
    Used,
    /// Its time is over.
    #[error("this invite has expired")]
    Expired,
    /// Cancelled by an admin.
    #[error("this invite was cancelled")]
    Cancelled,
    /// No address left.
    #[error("the network is full")]
    Full,
    /// The node was revoked; an admin must readmit it by hand.
    #[error("this node was revoked from the network")]
    Revoked,
    /// The node is a member already.
    #[error("this node is a member already")]
    Member,
}

/// A join request as it arrives ([`netflow_wire::ControlMessage::JoinRequest`]).
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// The invite.
    pub invite: &'a InviteId,
    /// Raw signed record.
    pub record: &'a [u8],
    /// ML-KEM-768 key, or empty.
    pub kem_key: &'a [u8],
    /// Wished name; made valid and unique here.
    pub name: &'a str,
    /// [`invite::prove`].
    pub proof: &'a [u8; 64],
}

/// The replayed state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkState {
    pub(super) network: NetworkId,
    pub(super) owner: Option<[u8; 32]>,
    pub(super) name: String,
    pub(super) ipv4_prefix: Ipv4Net,
    pub(super) members: BTreeMap<NodeId, Member>,
    pub(super) by_ipv4: BTreeMap<Ipv4Addr, NodeId>,
    pub(super) by_ipv6: BTreeMap<Ipv6Addr, NodeId>,
    pub(super) names: BTreeMap<String, NodeId>,
    pub(super) admins: BTreeSet<NodeId>,
    pub(super) revoked: BTreeMap<NodeId, EntryHash>,
    pub(super) invites: BTreeMap<InviteId, Invite>,
    pub(super) relays: Vec<RelayInfo>,
    pub(super) policy: Policy,
    pub(super) version: u64,
}
