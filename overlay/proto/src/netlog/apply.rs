//! The transition function: one entry changes the state, or every replica voids it alike.
//!
//! Each arm checks first and changes afterwards, so a voided entry leaves no trace. The texts of the voids are for the author's own user.

use ipnet::Ipv4Net;
use netflow_wire::{InviteId, NodeId};

use super::body::{EntryBody, GenesisBody, MemberAddBody};
use super::entry::{Entry, SignedEntry};
use super::limits::{MAX_INVITES_OUTSTANDING, MAX_MEMBERS, MAX_REVOKED};
use super::state::{Invite, InviteStatus, Member, NetworkState, ipv6_address};
use crate::identity::SignedRecord;

/// Sessions are found by this key: with a copy of it, a member would shut out the one it belongs to. Records do not prove that their node holds
/// the key, so the earlier entry keeps it. A copied ML-KEM key harms nobody but its copier, who cannot open what is sealed to it.
const KEY_TAKEN: &str = "another member has this session key (x25519)";

type Applied = Result<(), &'static str>;

impl NetworkState {
    /// Applies the next entry of the merge order. `Err`: void, nothing changed.
    pub(super) fn apply(&mut self, signed: &SignedEntry) -> Applied {
        let entry = signed.entry();
        if let EntryBody::Genesis(genesis) = &entry.body {
            return self.begin(genesis);
        }
        let owner = self.owner.ok_or("the network has not begun")?;
        let by_owner = entry.author == owner;
        if !by_owner {
            self.check_admin(&NodeId(entry.author), &entry.body)?;
        }
        match &entry.body {
            EntryBody::Genesis(_) => Err("a network begins once"),
            EntryBody::MemberAdd(add) => self.add_member(entry, add),
            EntryBody::MemberRevoke { node } => self.revoke(signed, node, by_owner),
            EntryBody::MemberTags { node, tags } => {
                self.member_mut(node)?.tags.clone_from(tags);
                Ok(())
            }
            EntryBody::MemberAddress { node, ipv4 } => self.move_member(node, *ipv4),
            EntryBody::AdminAdd { node } | EntryBody::AdminRemove { node, .. } => self.change_admin(node, entry),
            EntryBody::InviteCreate { invite, expires_unix_s, tags } => {
                let created = Invite {
                    issuer: entry.author,
                    expires_unix_s: *expires_unix_s,
                    tags: tags.clone(),
                    status: InviteStatus::Open,
                };
                self.create_invite(*invite, created, entry.unix_s)
            }
            EntryBody::InviteCancel { invite } => self.close_invite(invite, InviteStatus::Cancelled),
            EntryBody::RelaySet { relays } => {
                self.relays.clone_from(relays);
                Ok(())
            }
            EntryBody::PolicySet { policy } => {
                self.policy.clone_from(policy);
                Ok(())
            }
            EntryBody::RecordUpdate { record, kem_key } => self.update_record(record, kem_key),
            EntryBody::MemberRename { node, name } => self.rename(node, name),
            EntryBody::Unknown { .. } => Err("an entry of a later version of this program"),
        }
    }

    fn begin(&mut self, genesis: &GenesisBody) -> Applied {
        if self.owner.is_some() {
            return Err("a network begins once");
        }
        self.owner = Some(genesis.owner);
        self.name.clone_from(&genesis.name);
        self.ipv4_prefix = genesis.ipv4;
        Ok(())
    }

    /// The author must be appointed before this entry in the merge order, and not be revoked itself.
    fn check_admin(&self, author: &NodeId, body: &EntryBody) -> Applied {
        if !self.authority.was_appointed(author) || body.owner_only() {
            return Err("the author has no right to this change");
        }
        if self.revoked.contains_key(author) { Err("the author was revoked") } else { Ok(()) }
    }

    fn add_member(&mut self, entry: &Entry, add: &MemberAddBody) -> Applied {
        let record = SignedRecord::trusted(&add.record).map_err(|_| "the node record is malformed")?;
        let node = record.record().node;
        if self.members.contains_key(&node) {
            return Err("the node is a member already");
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err("the network is full");
        }
        if self.revoked.get(&node).is_some_and(|hash| add.readmit != Some(*hash)) {
            return Err("the node was revoked, and the entry does not name the revocation");
        }
        if let Some(invite) = &add.invite {
            self.check_redeemable(invite, entry)?;
        }
        if !is_host(&self.ipv4_prefix, add.ipv4) {
            return Err("the address is not a host address of the network");
        }
        let ipv6 = ipv6_address(&self.network, &node);
        if self.by_ipv6.contains_key(&ipv6) {
            return Err("the IPv6 address of the node is taken");
        }
        if self.by_x25519.contains_key(&record.record().x25519) {
            return Err(KEY_TAKEN);
        }
        // Checked; from here on everything succeeds.
        self.revoked.remove(&node);
        if let Some(invite) = &add.invite {
            self.close_invite(invite, InviteStatus::Used(node))?;
        }
        // Two admins may have chosen the same address at the same time: the earlier entry keeps it.
        let ipv4 = (!self.by_ipv4.contains_key(&add.ipv4)).then_some(add.ipv4);
        let name = self.unique_name(&add.name, &node);
        if let Some(ipv4) = ipv4 {
            self.by_ipv4.insert(ipv4, node);
        }
        self.by_ipv6.insert(ipv6, node);
        self.by_x25519.insert(record.record().x25519, node);
        self.names.insert(name.clone(), node);
        let member = Member {
            node,
            x25519: record.record().x25519,
            record,
            kem_key: add.kem_key.clone(),
            ipv4,
            ipv6,
            name,
            tags: add.tags.clone(),
            is_admin: self.authority.is_admin(&node),
            invite: add.invite,
            added_by: entry.author,
            added_unix_s: entry.unix_s,
        };
        self.members.insert(node, member);
        Ok(())
    }

    fn check_redeemable(&self, invite: &InviteId, entry: &Entry) -> Applied {
        let found = self.invites.get(invite).ok_or("the invite does not exist")?;
        if found.issuer != entry.author {
            return Err("the invite was issued by another author");
        }
        if found.status != InviteStatus::Open {
            return Err("the invite was used or cancelled");
        }
        if entry.unix_s > found.expires_unix_s { Err("the invite has expired") } else { Ok(()) }
    }

    fn revoke(&mut self, signed: &SignedEntry, node: &NodeId, by_owner: bool) -> Applied {
        if !by_owner && self.authority.is_admin(node) {
            return Err("only the owner revokes an admin");
        }
        // A member can always be revoked; the limit is for nodes that never were.
        if !self.members.contains_key(node) && !self.revoked.contains_key(node) && self.revoked.len() >= MAX_REVOKED {
            return Err("too many revoked nodes");
        }
        if let Some(member) = self.members.remove(node) {
            if let Some(ipv4) = member.ipv4 {
                self.by_ipv4.remove(&ipv4);
            }
            self.by_ipv6.remove(&member.ipv6);
            self.by_x25519.remove(&member.x25519);
            self.names.remove(&member.name);
        }
        // The newest revocation is the one a readmission must name: an author who had not seen it cannot undo it.
        self.revoked.insert(*node, signed.hash());
        Ok(())
    }

    fn move_member(&mut self, node: &NodeId, ipv4: std::net::Ipv4Addr) -> Applied {
        if !is_host(&self.ipv4_prefix, ipv4) {
            return Err("the address is not a host address of the network");
        }
        if self.by_ipv4.contains_key(&ipv4) {
            return Err("the address is taken");
        }
        let before = self.member_mut(node)?.ipv4.replace(ipv4);
        if let Some(before) = before {
            self.by_ipv4.remove(&before);
        }
        self.by_ipv4.insert(ipv4, *node);
        Ok(())
    }

    fn change_admin(&mut self, node: &NodeId, entry: &Entry) -> Applied {
        self.authority.apply(entry)?;
        let is_admin = self.authority.is_admin(node);
        if let Some(member) = self.members.get_mut(node) {
            member.is_admin = is_admin;
        }
        Ok(())
    }

    fn create_invite(&mut self, id: InviteId, invite: Invite, unix_s: u64) -> Applied {
        if self.invites.contains_key(&id) {
            return Err("the invite exists already");
        }
        if self.invites_open >= MAX_INVITES_OUTSTANDING {
            self.purge_invites(unix_s);
        }
        if self.invites_open >= MAX_INVITES_OUTSTANDING {
            return Err("1,024 invites are open: cancel some first");
        }
        self.invites.insert(id, invite);
        self.invites_open += 1;
        Ok(())
    }

    /// Closes expired invites, by the clock of the entry that needs the room.
    fn purge_invites(&mut self, unix_s: u64) {
        for invite in self.invites.values_mut() {
            if invite.status == InviteStatus::Open && invite.expires_unix_s < unix_s {
                invite.status = InviteStatus::Cancelled;
                self.invites_open -= 1;
            }
        }
    }

    fn close_invite(&mut self, id: &InviteId, status: InviteStatus) -> Applied {
        let invite = self.invites.get_mut(id).ok_or("the invite does not exist")?;
        if invite.status != InviteStatus::Open {
            return Err("the invite was used or cancelled");
        }
        invite.status = status;
        self.invites_open -= 1;
        Ok(())
    }

    fn update_record(&mut self, raw: &[u8], kem_key: &[u8]) -> Applied {
        let record = SignedRecord::trusted(raw).map_err(|_| "the node record is malformed")?;
        let fields = record.record();
        let holder = self.by_x25519.get(&fields.x25519).copied();
        let member = self.member_mut(&fields.node)?;
        if fields.seq <= member.record.record().seq {
            return Err("the node record is not newer");
        }
        if holder.is_some_and(|holder| holder != fields.node) {
            return Err(KEY_TAKEN);
        }
        let (node, after) = (fields.node, fields.x25519);
        let before = std::mem::replace(&mut member.x25519, after);
        member.kem_key = kem_key.to_vec();
        member.record = record;
        self.by_x25519.remove(&before);
        self.by_x25519.insert(after, node);
        Ok(())
    }

    fn rename(&mut self, node: &NodeId, name: &str) -> Applied {
        if self.names.contains_key(name) {
            return Err("the name is taken");
        }
        let before = std::mem::replace(&mut self.member_mut(node)?.name, name.to_owned());
        self.names.remove(&before);
        self.names.insert(name.to_owned(), *node);
        Ok(())
    }

    fn member_mut(&mut self, node: &NodeId) -> Result<&mut Member, &'static str> {
        self.members.get_mut(node).ok_or("the node is not a member")
    }
}

/// Inside the prefix, and neither its first nor its last address.
fn is_host(prefix: &Ipv4Net, address: std::net::Ipv4Addr) -> bool {
    prefix.contains(&address) && address != prefix.network() && address != prefix.broadcast()
}
