//! What a user asks for. Every command checks first and changes then; a failed one has changed nothing.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use netflow_wire::{InviteId, NetworkId, NodeId, RelayInfo};
use zeroize::Zeroizing;

use super::api::{CommandError, DownReason, ErrorDetail, ErrorKind, InviteOptions, IssuedInvite, Persist, RelayConfig};
use super::create::failed;
use super::join::pending_bytes;
use super::network::{Network, Phase, owner_to_bytes};
use super::{MAX_RELAYS_USED, Node};
use crate::identity::{Secret, format_node_id};
use crate::invite::InviteToken;
use crate::netlog::{EntryBody, check_name, network_id};
use crate::policy::Policy;
use crate::relay::RelayServer;
use crate::time::Now;

/// Shortest life of an invite: below, a clock a little off makes it useless.
const MIN_INVITE_S: u64 = 60;
/// Longest life of an invite.
const MAX_INVITE_S: u64 = 90 * 86_400;
/// With which key an entry is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    /// The owner's: appointing admins.
    Owner,
    /// This node's own as an admin, or the owner's when it is here.
    Admin,
}

impl Node {
    /// Makes an invite: an entry of this node that only this node can redeem, and a token to hand over.
    ///
    /// # Errors
    /// Not an admin, no relay to meet at, a lifetime outside 1 minute ..= 90 days, bad tags.
    pub fn create_invite(
        &mut self,
        now: Now,
        network: &NetworkId,
        options: &InviteOptions,
    ) -> Result<IssuedInvite, CommandError> {
        let state = self.member_network(network)?;
        if !(MIN_INVITE_S..=MAX_INVITE_S).contains(&options.lifetime_s) {
            return Err(CommandError::new(ErrorKind::Invalid, "an invite lives between 1 minute and 90 days"));
        }
        let relays: Vec<RelayInfo> = state.relays().iter().take(MAX_RELAYS_USED).cloned().collect();
        if relays.is_empty() {
            let text = "the network has no relay at which the invited node could find this one";
            return Err(CommandError::new(ErrorKind::Conflict, text)
                .next("netctl create-network NAME --relay nf1...@HOST:PORT"));
        }
        let network_name = state.log.state().name().to_owned();
        let expires_unix_s = now.unix_s.saturating_add(options.lifetime_s);
        let seed = Secret::<32>::generate(self.rng.as_mut());
        let token = InviteToken { network: *network, network_name, seed, expires_unix_s, relays };
        let text = token.to_text().map_err(|error| CommandError::new(ErrorKind::Failure, error.to_string()))?;
        let invite = token.id();
        let tags = sorted(&options.tags);
        self.sign(now, network, As::Admin, vec![EntryBody::InviteCreate { invite, expires_unix_s, tags }])?;
        Ok(IssuedInvite { invite, token: (*text).clone(), expires_unix_s })
    }

    /// Cancels an invite that was not used yet.
    ///
    /// # Errors
    /// Not an admin, unknown or used invite.
    pub fn cancel_invite(&mut self, now: Now, network: &NetworkId, invite: &InviteId) -> Result<(), CommandError> {
        let cancelled = self.sign(now, network, As::Admin, vec![EntryBody::InviteCancel { invite: *invite }]);
        cancelled.map_err(|error| if error.next.is_none() { error.next("netctl invites") } else { error })
    }

    /// Starts to join; `JoinCompleted` or `JoinFailed` follows. With the token of a join under way it goes on with that one.
    ///
    /// The node asks for `name`, or for `NodeConfig::name`; where that is taken, digits of the node id follow it.
    ///
    /// # Errors
    /// A token that is malformed or expired, a name that cannot be, a network this node is in, the limit of networks.
    pub fn join(&mut self, now: Now, token: &str, name: Option<&str>) -> Result<NetworkId, CommandError> {
        let text = token.trim();
        if let Some(name) = name {
            check_member_name(name)?;
        }
        let parsed =
            InviteToken::parse(text).map_err(|error| CommandError::new(ErrorKind::Invalid, error.to_string()))?;
        parsed.check(now).map_err(|error| {
            CommandError::new(ErrorKind::Invite, error.to_string()).detail(ErrorDetail::InviteExpired)
        })?;
        let id = parsed.network;
        let under_way = |network: &Network| network.joining().is_some_and(|joining| joining.token.id() == parsed.id());
        match self.networks.get_mut(&id) {
            Some(network) if under_way(network) => {
                if let (Some(joining), Some(name)) = (network.joining_mut(), name) {
                    joining.name = Some(name.to_owned());
                    let bytes = Some(pending_bytes(text, Some(name)));
                    self.outbox.persist(Persist::PendingJoin { network: id, bytes });
                }
                self.request_joins(now, None);
                self.settle(now);
                return Ok(id);
            }
            // Another token, or a second try after a revocation: what was there stands for nothing any more.
            Some(network) if !matches!(network.phase, Phase::Member { .. }) => self.forget_network(now, &id),
            Some(_) => {
                let text = format!("this node is in the network {} already", parsed.network_name);
                return Err(CommandError::new(ErrorKind::Conflict, text).next("netctl networks"));
            }
            None => {}
        }
        self.check_room()?;
        self.start_join(now, parsed, text, name);
        self.settle(now);
        Ok(id)
    }

    /// Forgets a network, on disk too; others still list this node until an admin revokes it.
    ///
    /// # Errors
    /// No such network; [`ErrorKind::Conflict`] when the only copy of the owner key may be here and `force` is not set.
    pub fn leave(&mut self, now: Now, network: &NetworkId, force: bool) -> Result<(), CommandError> {
        let state = self.network(network)?;
        if state.owner.is_some() && !force {
            let text =
                format!("this node holds the owner key of {}: without it nobody can appoint admins", state.name());
            return Err(CommandError::new(ErrorKind::Conflict, text)
                .next("sudo netctl backup FILE, then netctl leave NETWORK --force"));
        }
        self.forget_network(now, network);
        self.settle(now);
        Ok(())
    }

    /// Brings a network up or down. Remembered over restarts.
    ///
    /// # Errors
    /// No such network, not joined yet, or revoked.
    pub fn set_up(&mut self, now: Now, network: &NetworkId, up: bool) -> Result<(), CommandError> {
        let state = self.network_mut(network)?;
        match &mut state.phase {
            Phase::Member { up: now_up } => {
                if *now_up == up {
                    return Ok(());
                }
                *now_up = up;
            }
            Phase::Joining(_) => {
                return Err(CommandError::new(ErrorKind::Conflict, "this node has not joined the network yet"));
            }
            Phase::Revoked => {
                return Err(CommandError::new(ErrorKind::Refused, "this node was revoked from the network"));
            }
        }
        let bytes = state.meta();
        self.outbox.persist(Persist::NetworkMeta { network: *network, bytes });
        if up {
            self.bring_up(now, *network);
        } else {
            self.take_down(now, *network, DownReason::Command);
        }
        self.settle(now);
        Ok(())
    }

    /// Takes access away from a node, at once here and within seconds everywhere. An admin is removed from office first,
    /// for which the owner key is needed.
    ///
    /// # Errors
    /// Not an admin, this node itself, an unknown node.
    pub fn revoke(&mut self, now: Now, network: &NetworkId, node: &NodeId) -> Result<(), CommandError> {
        let state = self.member_network(network)?;
        if *node == self.id {
            let text = "this node cannot revoke itself";
            return Err(CommandError::new(ErrorKind::Conflict, text).next("netctl leave NETWORK"));
        }
        known(state, node)?;
        let bodies = state.log.revoke_bodies(node);
        self.sign(now, network, As::Admin, bodies)
    }

    /// Replaces the tags of a member.
    ///
    /// # Errors
    /// Not an admin, an unknown node, bad tags.
    pub fn set_tags(
        &mut self,
        now: Now,
        network: &NetworkId,
        node: &NodeId,
        tags: &[String],
    ) -> Result<(), CommandError> {
        known(self.member_network(network)?, node)?;
        self.sign(now, network, As::Admin, vec![EntryBody::MemberTags { node: *node, tags: sorted(tags) }])
    }

    /// Renames a member.
    ///
    /// # Errors
    /// Not an admin, an unknown node, a name that is taken or cannot be.
    pub fn rename_member(
        &mut self,
        now: Now,
        network: &NetworkId,
        node: &NodeId,
        name: &str,
    ) -> Result<(), CommandError> {
        known(self.member_network(network)?, node)?;
        self.sign(now, network, As::Admin, vec![EntryBody::MemberRename { node: *node, name: name.to_owned() }])
    }

    /// Replaces the policy.
    ///
    /// # Errors
    /// Not an admin, a policy over its limits.
    pub fn set_policy(&mut self, now: Now, network: &NetworkId, policy: &Policy) -> Result<(), CommandError> {
        self.sign(now, network, As::Admin, vec![EntryBody::PolicySet { policy: policy.clone() }])
    }

    /// Appoints an admin. Owner only.
    ///
    /// # Errors
    /// The owner key is not here, an unknown node.
    pub fn add_admin(&mut self, now: Now, network: &NetworkId, node: &NodeId) -> Result<(), CommandError> {
        known(self.member_network(network)?, node)?;
        self.sign(now, network, As::Owner, vec![EntryBody::AdminAdd { node: *node }])
    }

    /// Ends an admin's office. Owner only.
    ///
    /// # Errors
    /// The owner key is not here, not an admin.
    pub fn remove_admin(&mut self, now: Now, network: &NetworkId, node: &NodeId) -> Result<(), CommandError> {
        let state = self.member_network(network)?;
        if !state.log.state().is_admin(node) {
            let text = format!("{} is not an admin of this network", format_node_id(node));
            return Err(CommandError::new(ErrorKind::NotFound, text).next("netctl members"));
        }
        let body = state.log.admin_remove_body(node);
        self.sign(now, network, As::Owner, vec![body])
    }

    /// Replaces the relays of a network.
    ///
    /// # Errors
    /// Not an admin, too many relays.
    pub fn set_relays(&mut self, now: Now, network: &NetworkId, relays: &[RelayInfo]) -> Result<(), CommandError> {
        self.sign(now, network, As::Admin, vec![EntryBody::RelaySet { relays: relays.to_vec() }])
    }

    /// The owner's secret key (ed25519 seed), for a sealed backup.
    ///
    /// # Errors
    /// No such network, or the key is not here.
    pub fn owner_key(&self, network: &NetworkId) -> Result<Zeroizing<[u8; 32]>, CommandError> {
        let owner = self.network(network)?.owner.as_ref();
        let owner = owner.ok_or_else(|| CommandError::new(ErrorKind::NotFound, "the owner key is not on this node"))?;
        Ok(Zeroizing::new(owner.to_bytes()))
    }

    /// Puts an owner key back on a node that is a member, and so has the log the key goes on signing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when it is not the owner's key; not a member, not yet, or not any more.
    pub fn import_owner(&mut self, _now: Now, network: &NetworkId, seed: &[u8; 32]) -> Result<(), CommandError> {
        let owner = SigningKey::from_bytes(seed);
        if network_id(&owner.verifying_key().to_bytes()) != *network {
            return Err(CommandError::new(ErrorKind::Invalid, "this is not the owner key of the network"));
        }
        // Beside a log that is not whole, the key would sign numbers it used before, which freezes it for everybody.
        self.member_network(network)?;
        let bytes = owner_to_bytes(&owner);
        self.network_mut(network)?.owner = Some(owner);
        self.outbox.persist(Persist::NetworkSecret { network: *network, bytes });
        Ok(())
    }

    /// Reload of the configuration: relays for networks created later.
    pub fn set_default_relays(&mut self, relays: Vec<RelayInfo>) {
        self.default_relays = relays;
    }

    /// Reload of the configuration: grants and quotas. Circuits of networks that lost theirs are closed; `None` stops the
    /// service, with every link it accepted.
    pub fn set_relay_config(&mut self, now: Now, relay: Option<RelayConfig>) {
        match (&mut self.relay, &relay) {
            (Some(server), Some(config)) => server.set_config(now, config.clone()),
            (Some(server), None) => {
                let links: Vec<_> = server.links().map(|(_, link, _)| link).collect();
                for link in links {
                    self.outbox.close(link);
                }
                self.relay = None;
            }
            (None, Some(config)) => {
                let (software, rng) = (self.software.clone(), self.rng.as_mut());
                let mut server = RelayServer::new(&self.keys.node, self.tier, software, config.clone(), now, rng);
                server.set_signatures(Arc::clone(&self.signatures));
                self.relay = Some(server);
                self.open_relay_port();
            }
            (None, None) => {}
        }
        self.relay_config = relay;
        self.refresh_links(now);
        self.settle(now);
    }

    // ---- common

    pub(super) fn network(&self, network: &NetworkId) -> Result<&Network, CommandError> {
        self.networks.get(network).ok_or_else(no_network)
    }

    fn network_mut(&mut self, network: &NetworkId) -> Result<&mut Network, CommandError> {
        self.networks.get_mut(network).ok_or_else(no_network)
    }

    /// A network this node is a member of.
    pub(super) fn member_network(&self, network: &NetworkId) -> Result<&Network, CommandError> {
        let state = self.network(network)?;
        match state.phase {
            Phase::Member { .. } => Ok(state),
            Phase::Joining(_) => {
                Err(CommandError::new(ErrorKind::Conflict, "this node has not joined the network yet"))
            }
            Phase::Revoked => Err(CommandError::new(ErrorKind::Refused, "this node was revoked from the network")),
        }
    }

    /// Signs entries, in order, all or none as far as they can be foreseen; durable, then spread.
    fn sign(&mut self, now: Now, id: &NetworkId, with: As, bodies: Vec<EntryBody>) -> Result<(), CommandError> {
        self.member_network(id)?;
        let node = self.id;
        let Some(network) = self.networks.get_mut(id) else { return Err(no_network()) };
        let is_admin = network.log.state().is_admin(&node);
        let needs_owner = with == As::Owner || bodies.iter().any(EntryBody::owner_only);
        let owner = network.owner.as_ref();
        let key = match owner {
            Some(owner) if needs_owner || !is_admin => owner,
            _ if !needs_owner && is_admin => &self.keys.node,
            _ if needs_owner => {
                let text = "only the owner of the network may do this, and the owner key is not on this node";
                return Err(not_admin(text).next("sudo netctl restore FILE"));
            }
            _ => {
                let text = "this node is not an admin of the network";
                return Err(not_admin(text).next("netctl members"));
            }
        };
        let mut raws = Vec::new();
        let mut error = None;
        for body in bodies {
            match network.log.author(key, body, now) {
                Ok(raw) => raws.push(raw),
                Err(refused) => {
                    error = Some(failed(refused));
                    break;
                }
            }
        }
        if !raws.is_empty() {
            self.authored(now, *id, raws);
            self.settle(now);
        }
        error.map_or(Ok(()), Err)
    }
}

fn not_admin(text: &str) -> CommandError {
    CommandError::new(ErrorKind::Refused, text).detail(ErrorDetail::NotAdmin)
}

fn no_network() -> CommandError {
    CommandError::new(ErrorKind::NotFound, "this node is in no such network").next("netctl networks")
}

pub(super) fn known(network: &Network, node: &NodeId) -> Result<(), CommandError> {
    if network.log.state().is_member(node) {
        return Ok(());
    }
    let text = format!("{} is not a member of this network", format_node_id(node));
    Err(CommandError::new(ErrorKind::NotFound, text).next("netctl members"))
}

/// Refuses a name no member can have.
///
/// # Errors
/// [`ErrorKind::Invalid`], with the rule broken.
pub fn check_member_name(name: &str) -> Result<(), CommandError> {
    check_name(name).map_err(|error| CommandError::new(ErrorKind::Invalid, error.to_string()))
}

fn sorted(tags: &[String]) -> Vec<String> {
    let mut tags = tags.to_vec();
    tags.sort();
    tags.dedup();
    tags
}
