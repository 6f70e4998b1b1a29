//! Joining, both sides.
//!
//! The joiner keeps its token on disk and repeats its request until the log says that it is a member, or a refusal is
//! final; nothing it does is lost or done twice by a crash. The issuer answers every verified request by itself: it signs
//! the admission, makes that durable, and only then lets anybody see it. Since only the author of an invite redeems it, and
//! an author's entries form one chain, an invite is used once however many ask (pitfall 21).

use std::sync::Arc;

use netflow_wire::control::{ControlMessage, join_reason};
use netflow_wire::{InviteId, NetworkId, NodeId};

use super::Node;
use super::api::{CommandError, ErrorDetail, ErrorKind, Event, LinkId, Persist};
use super::network::{Joining, Network, Phase};
use super::sync::Origin;
use crate::invite::InviteToken;
use crate::netlog::{Admission, EntryBody, JoinError, NetworkLog};
use crate::relay::reason_of;
use crate::time::{Now, SECOND_US};

/// A request is repeated after this time while nobody answers.
const REPEAT_US: u64 = 5 * SECOND_US;
/// The same once a relay said that it keeps the request.
const REPEAT_PENDING_US: u64 = 30 * SECOND_US;
/// How long "no such invite" is taken for a relay that is behind, rather than for the truth.
const UNKNOWN_PATIENCE_US: u64 = 15 * SECOND_US;
/// Pause before asking again a relay that does not know the invite.
const UNKNOWN_REPEAT_US: u64 = SECOND_US / 2;

impl Node {
    /// Begins, or goes on with, a join. The token was checked.
    pub(super) fn start_join(&mut self, now: Now, token: InviteToken, text: &str, name: Option<&str>) {
        let id = token.network;
        self.outbox.persist(Persist::PendingJoin { network: id, bytes: Some(pending_bytes(text, name)) });
        let log = NetworkLog::empty_with(id, Arc::clone(&self.signatures));
        let network = Network::new(log, Phase::Joining(joining(now, token, name)), None);
        self.networks.insert(id, network);
        self.refresh_links(now);
        self.request_joins(now, None);
    }

    /// Sends the request of every join under way: to one relay that just came up, or to all.
    pub(super) fn request_joins(&mut self, now: Now, only: Option<NodeId>) {
        let mut sends: Vec<(LinkId, ControlMessage)> = Vec::new();
        for network in self.networks.values_mut() {
            let Phase::Joining(joining) = &mut network.phase else { continue };
            joining.due_us = now.after(if joining.pending { REPEAT_PENDING_US } else { REPEAT_US });
            let token = &joining.token;
            let request = ControlMessage::JoinRequest {
                network: token.network,
                invite: token.id(),
                record: self.record.raw().to_vec(),
                kem_key: self.kem_key.clone(),
                name: joining.name.as_ref().unwrap_or(&self.name).clone(),
                proof: token.prove(&self.record),
            };
            for relay in token.relays.iter().filter(|relay| only.is_none_or(|only| only == relay.node)) {
                if let Some((link, _)) = self.links.get(&relay.node).and_then(super::links::RelayLink::up) {
                    sends.push((link, request.clone()));
                }
            }
        }
        for (link, request) in sends {
            self.outbox.send(link, request);
        }
    }

    pub(super) fn joins_timeout(&mut self, now: Now) {
        let due = |network: &Network| network.joining().is_some_and(|joining| joining.due_us <= now.mono_us);
        if self.networks.values().any(due) {
            self.request_joins(now, None);
        }
    }

    pub(super) fn next_join_due(&self) -> Option<u64> {
        self.networks.values().filter_map(Network::joining).map(|joining| joining.due_us).min()
    }

    pub(super) fn join_pending(&mut self, now: Now, relay: NodeId, network: NetworkId) {
        let Some(joining) = self.networks.get_mut(&network).and_then(Network::joining_mut) else { return };
        if !joining.token.relays.iter().any(|known| known.node == relay) {
            return;
        }
        joining.due_us = now.after(REPEAT_PENDING_US);
        if !std::mem::replace(&mut joining.pending, true) {
            self.outbox.event(Event::JoinWaiting { network, relay });
        }
    }

    /// A relay (for itself or for the issuer) refuses.
    pub(super) fn join_refused(
        &mut self,
        now: Now,
        relay: NodeId,
        id: NetworkId,
        invite: InviteId,
        reason: u8,
        text: &str,
    ) {
        let Some(joining) = self.networks.get_mut(&id).and_then(Network::joining_mut) else { return };
        if joining.token.id() != invite || !joining.token.relays.iter().any(|known| known.node == relay) {
            return;
        }
        if reason == join_reason::UNKNOWN {
            // Perhaps this relay has not got the newest entries yet: believed when every relay says so for a while.
            joining.unknown.entry(relay).or_insert(now.mono_us);
            joining.due_us = joining.due_us.min(now.after(UNKNOWN_REPEAT_US));
            let long = |since: &u64| now.since(*since) >= UNKNOWN_PATIENCE_US;
            if joining.unknown.len() < joining.token.relays.len() || !joining.unknown.values().all(long) {
                return;
            }
        }
        let (kind, advice) = match reason {
            join_reason::FULL => (ErrorKind::Refused, "ask an admin of the network"),
            join_reason::REVOKED => (ErrorKind::Refused, "ask an admin to readmit this node"),
            _ => (ErrorKind::Invite, "ask for a new invite"),
        };
        let mut error = CommandError::new(kind, format!("the network refused this node: {text}")).next(advice);
        error.detail = match reason {
            join_reason::UNKNOWN => Some(ErrorDetail::InviteForeign),
            join_reason::USED => Some(ErrorDetail::InviteUsed),
            join_reason::EXPIRED => Some(ErrorDetail::InviteExpired),
            join_reason::CANCELLED => Some(ErrorDetail::InviteCancelled),
            _ => None,
        };
        self.forget_network(now, &id);
        self.outbox.event(Event::JoinFailed { network: id, error });
    }

    /// The log says that this node is a member.
    pub(super) fn join_completed(&mut self, now: Now, id: NetworkId) {
        let Some(network) = self.networks.get_mut(&id) else { return };
        network.phase = Phase::Member { up: true };
        let meta = network.meta();
        self.outbox.persist(Persist::NetworkMeta { network: id, bytes: meta });
        self.outbox.persist(Persist::PendingJoin { network: id, bytes: None });
        self.outbox.event(Event::JoinCompleted { network: id });
        self.bring_up(now, id);
    }

    // ---- the issuer

    /// A request a relay hands over.
    pub(super) fn join_requested(&mut self, now: Now, link: LinkId, message: &ControlMessage) {
        let ControlMessage::JoinRequest { network: id, invite, record, kem_key, name, proof } = message else { return };
        let Some(network) = self.networks.get_mut(id).filter(|network| network.is_up()) else { return };
        let state = network.log.state();
        let Some(issuer) = state.invites().get(invite).map(|invite| invite.issuer) else { return };
        let own = issuer == self.id.0;
        let as_owner = network.owner.as_ref().filter(|owner| owner.verifying_key().to_bytes() == issuer);
        let Some(key) = (if own { Some(&self.keys.node) } else { as_owner }) else { return };
        match state.admit(&issuer, &Admission { invite, record, kem_key, name, proof }, now) {
            Ok(body) => {
                let node = admitted(&body);
                match network.log.author(key, body, now) {
                    Ok(raw) => {
                        self.authored(now, *id, vec![raw]);
                        if let Some(node) = node {
                            self.outbox.event(Event::MemberAdmitted { network: *id, node, invite: *invite });
                        }
                    }
                    Err(error) => self.refuse_join(link, *id, *invite, join_reason::MALFORMED, &error.to_string()),
                }
            }
            // It asked again before the relay had seen the answer: show the relay what we have.
            Err(JoinError::Member) => {
                let heads = network.log.heads();
                self.outbox.send(link, ControlMessage::LogHeads { network: *id, heads });
            }
            Err(error) => self.refuse_join(link, *id, *invite, reason_of(error), &error.to_string()),
        }
    }

    fn refuse_join(&mut self, link: LinkId, network: NetworkId, invite: InviteId, reason: u8, text: &str) {
        let text = text.to_owned();
        self.outbox.send(link, ControlMessage::JoinRefused { network, invite, reason, text });
    }

    /// Entries this node signed: durable first, then spread. The log has them already.
    pub(super) fn authored(&mut self, now: Now, network: NetworkId, raws: Vec<Vec<u8>>) {
        for raw in &raws {
            self.outbox.persist(Persist::LogAppend { network, raw: raw.clone() });
        }
        self.spread(now, network, &raws, Origin::Own);
        self.log_changed(now, network);
    }
}

pub(super) fn joining(now: Now, token: InviteToken, name: Option<&str>) -> Joining {
    let unknown = std::collections::BTreeMap::new();
    Joining { token, name: name.map(str::to_owned), due_us: now.after(REPEAT_US), pending: false, unknown }
}

/// Contents of `Persist::PendingJoin`: the token, and on a second line the name asked for, if any.
pub(super) fn pending_bytes(token: &str, name: Option<&str>) -> Vec<u8> {
    name.map_or_else(|| token.to_owned(), |name| format!("{token}\n{name}")).into_bytes()
}

/// The opposite of [`pending_bytes`].
pub(super) fn parse_pending(bytes: &[u8]) -> Option<(InviteToken, Option<&str>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (token, name) = text.split_once('\n').map_or((text, None), |(token, name)| (token, Some(name)));
    Some((InviteToken::parse(token).ok()?, name))
}

fn admitted(body: &EntryBody) -> Option<NodeId> {
    let EntryBody::MemberAdd(body) = body else { return None };
    crate::identity::SignedRecord::verify(&body.record).ok().map(|record| record.record().node)
}
