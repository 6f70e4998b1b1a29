//! What a network is at this moment: the result of replaying the log.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use netflow_wire::{InviteId, NetworkId, NodeId, RelayInfo};
use sha2::{Digest as _, Sha256};

use super::authority::Authority;
use super::body::{EntryBody, MemberAddBody};
use super::entry::EntryHash;
use super::limits::{MAX_MEMBERS, MAX_NAME_LEN};
use super::syntax::valid_name;
use crate::identity::SignedRecord;
use crate::policy::Policy;

/// Host addresses of a /16: as many as [`MAX_MEMBERS`].
const IPV4_HOSTS: u32 = 65_534;

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
    pub(super) by_x25519: BTreeMap<[u8; 32], NodeId>,
    pub(super) names: BTreeMap<String, NodeId>,
    pub(super) authority: Authority,
    pub(super) revoked: BTreeMap<NodeId, EntryHash>,
    pub(super) invites: BTreeMap<InviteId, Invite>,
    pub(super) invites_open: usize,
    pub(super) relays: Vec<RelayInfo>,
    pub(super) policy: Policy,
}

impl NetworkState {
    pub(super) fn new(network: NetworkId) -> Self {
        Self {
            network,
            owner: None,
            name: String::new(),
            ipv4_prefix: default_ipv4_prefix(&network),
            members: BTreeMap::new(),
            by_ipv4: BTreeMap::new(),
            by_ipv6: BTreeMap::new(),
            by_x25519: BTreeMap::new(),
            names: BTreeMap::new(),
            authority: Authority::default(),
            revoked: BTreeMap::new(),
            invites: BTreeMap::new(),
            invites_open: 0,
            relays: Vec::new(),
            policy: Policy::default(),
        }
    }

    /// The network.
    pub const fn network(&self) -> NetworkId {
        self.network
    }

    /// The owner's key; `None` before the genesis entry is here.
    pub const fn owner(&self) -> Option<[u8; 32]> {
        self.owner
    }

    /// Name of the network.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// IPv4 addresses of the network.
    pub const fn ipv4_prefix(&self) -> Ipv4Net {
        self.ipv4_prefix
    }

    /// IPv6 addresses of the network: a ULA /48 (RFC 4193) derived from its id.
    pub fn ipv6_prefix(&self) -> Ipv6Net {
        ipv6_prefix(&self.network)
    }

    /// All members.
    pub const fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// One member.
    pub fn member(&self, node: &NodeId) -> Option<&Member> {
        self.members.get(node)
    }

    /// Has this node access?
    pub fn is_member(&self, node: &NodeId) -> bool {
        self.members.contains_key(node)
    }

    /// The member an address belongs to.
    pub fn member_by_ip(&self, address: IpAddr) -> Option<&Member> {
        let node = match address {
            IpAddr::V4(address) => self.by_ipv4.get(&address),
            IpAddr::V6(address) => self.by_ipv6.get(&address),
        };
        self.members.get(node?)
    }

    /// The member of this name.
    pub fn member_by_name(&self, name: &str) -> Option<&Member> {
        self.members.get(self.names.get(name)?)
    }

    /// Admins in office, members or not.
    pub fn admins(&self) -> impl Iterator<Item = &NodeId> {
        self.authority.admins()
    }

    /// May this node write entries now?
    pub fn is_admin(&self, node: &NodeId) -> bool {
        self.authority.is_admin(node) && !self.revoked.contains_key(node)
    }

    /// Nodes that were revoked, with the entry a readmission must name.
    pub const fn revoked(&self) -> &BTreeMap<NodeId, EntryHash> {
        &self.revoked
    }

    /// Was this node revoked, and not readmitted?
    pub fn is_revoked(&self, node: &NodeId) -> bool {
        self.revoked.contains_key(node)
    }

    /// All invites ever written.
    pub const fn invites(&self) -> &BTreeMap<InviteId, Invite> {
        &self.invites
    }

    /// Relays of the network.
    pub fn relays(&self) -> &[RelayInfo] {
        &self.relays
    }

    /// The policy.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The entry that adds a member without an invite: the creator's own node, or a readmission by hand. `None` when the network is full.
    ///
    /// `kem_key` must belong to the record. A revoked node is readmitted by this.
    pub fn add_body(&self, record: &SignedRecord, kem_key: &[u8], name: &str, tags: &[String]) -> Option<EntryBody> {
        let mut body = self.member_body(record, kem_key, name, tags)?;
        body.readmit = self.revoked.get(&body_node(record)).copied();
        Some(EntryBody::MemberAdd(Box::new(body)))
    }

    pub(super) fn member_body(
        &self,
        record: &SignedRecord,
        kem_key: &[u8],
        wish: &str,
        tags: &[String],
    ) -> Option<MemberAddBody> {
        let node = body_node(record);
        let mut tags = tags.to_vec();
        tags.sort();
        tags.dedup();
        Some(MemberAddBody {
            record: record.raw().to_vec(),
            kem_key: kem_key.to_vec(),
            ipv4: self.free_ipv4(&node)?,
            name: self.unique_name(&to_name(wish), &node),
            tags,
            invite: None,
            readmit: None,
        })
    }

    /// A free address. Where the search starts depends on the node, so two admins who add nodes at the same time rarely choose the same.
    pub fn free_ipv4(&self, node: &NodeId) -> Option<Ipv4Addr> {
        if self.members.len() >= MAX_MEMBERS {
            return None;
        }
        let [a, b, ..] = digest(&node.0);
        let start = u32::from(u16::from_be_bytes([a, b]));
        let base = u32::from(self.ipv4_prefix.network());
        // Hosts 1..=65534: the first and last address of a subnet mean other things to other programs.
        (0..IPV4_HOSTS)
            .map(|step| Ipv4Addr::from(base | (1 + (start + step) % IPV4_HOSTS)))
            .find(|address| !self.by_ipv4.contains_key(address))
    }

    /// The name itself when it is free, otherwise with digits of the node id behind it.
    pub(super) fn unique_name(&self, name: &str, node: &NodeId) -> String {
        let hex: String = node.0.iter().map(|byte| format!("{byte:02x}")).collect();
        let with = |digits: usize| {
            let keep = MAX_NAME_LEN - 1 - digits;
            let (stem, id) = (name.get(..keep).unwrap_or(name), hex.get(..digits).unwrap_or(&hex));
            format!("{}-{id}", stem.trim_end_matches('-'))
        };
        [name.to_owned(), with(4), with(16), with(60)]
            .into_iter()
            .find(|candidate| !self.names.contains_key(candidate))
            // Only after three collisions, the last of 240 bits; unique because the whole id is in it.
            .unwrap_or_else(|| hex.get(..MAX_NAME_LEN).unwrap_or(&hex).to_owned())
    }
}

fn body_node(record: &SignedRecord) -> NodeId {
    record.record().node
}

/// Makes any text a valid name: lower case, other characters become `-`, `node` when nothing is left.
pub fn to_name(text: &str) -> String {
    let mapped: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(MAX_NAME_LEN)
        .collect();
    let trimmed = mapped.trim_matches('-');
    if valid_name(trimmed) { trimmed.to_owned() } else { "node".to_owned() }
}

/// The default /16 of a network: 100.(64 + six bits of the id).0.0.
pub fn default_ipv4_prefix(network: &NetworkId) -> Ipv4Net {
    let [_, _, _, _, _, byte, ..] = network.0;
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64 + (byte & 0x3f), 0, 0), 16)
}

/// `fd` | first 40 bits of the network id: a ULA /48 (RFC 4193, 3.1).
pub fn ipv6_prefix(network: &NetworkId) -> Ipv6Net {
    Ipv6Net::new_assert(ipv6_from(network, [0; 8]), 48)
}

/// Address of a node: the network's prefix, subnet 0, the first 64 bits of SHA-256(node id).
pub fn ipv6_address(network: &NetworkId, node: &NodeId) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h, ..] = digest(&node.0);
    ipv6_from(network, [a, b, c, d, e, f, g, h])
}

fn ipv6_from(network: &NetworkId, host: [u8; 8]) -> Ipv6Addr {
    let [a, b, c, d, e, ..] = network.0;
    let prefix = u64::from_be_bytes([0xfd, a, b, c, d, e, 0, 0]);
    Ipv6Addr::from((u128::from(prefix) << 64) | u128::from(u64::from_be_bytes(host)))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
