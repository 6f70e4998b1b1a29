//! The mailbox of joins: a verified request waits for its issuer, and the log answers it.

use netflow_wire::control::{ControlMessage, join_reason, refused_code};
use netflow_wire::{InviteId, NetworkId, NodeId};
use rand_core::CryptoRng;

use super::config::LinkId;
use super::hosted::{Hosted, Kept, Waiting};
use super::server::RelayServer;
use crate::identity::SignedRecord;
use crate::netlog::{Admission, InviteStatus, JoinError};
use crate::time::Now;

/// Join requests of one link in a minute. A joiner repeats its request every few seconds.
const MAX_JOINS: u32 = 60;

impl RelayServer {
    /// Joins that the log has decided.
    pub(super) fn answer_waiting(&mut self, now: Now, network: NetworkId, rng: &mut dyn CryptoRng) {
        let Some(hosted) = self.hosted.get_mut(&network) else { return };
        let verdicts: Vec<(InviteId, JoinError)> = hosted
            .waiting()
            .filter_map(|(invite, waiting)| Some((*invite, verdict(hosted, &waiting.request, now).err()?)))
            .collect();
        for (invite, error) in verdicts {
            let Some(waiting) = self.hosted.get_mut(&network).and_then(|hosted| hosted.take_waiting(&invite)) else {
                continue;
            };
            if !self.links.contains_key(&waiting.link) {
                continue;
            }
            let member = self.hosted.get(&network).is_some_and(|hosted| hosted.log.state().is_member(&waiting.node));
            if error == JoinError::Member && member {
                self.welcome(now, waiting.link, network, waiting.node, rng);
            } else {
                self.refuse_join(waiting.link, network, invite, reason_of(error), &error.to_string());
            }
        }
    }

    /// A stranger with a token. Everything that can be checked is, before anything is kept.
    pub(super) fn join_request(&mut self, now: Now, link: LinkId, message: ControlMessage, rng: &mut dyn CryptoRng) {
        let ControlMessage::JoinRequest { network, invite, record, .. } = &message else { return };
        let (network, invite) = (*network, *invite);
        let Some(state) = self.links.get_mut(&link) else { return };
        let node = state.node;
        state.joins = state.joins.saturating_add(1);
        if state.joins > MAX_JOINS {
            self.refuse(link, Some(network), refused_code::QUOTA, "too many join requests, wait a minute");
            return;
        }
        // A request speaks for the node at the other end of this link, and for no other.
        if !SignedRecord::verify(record).is_ok_and(|record| record.record().node == node) {
            self.refuse_join(link, network, invite, join_reason::MALFORMED, "the record is not that of this node");
            return;
        }
        let Some(hosted) = self.hosted.get_mut(&network) else {
            self.refuse_join(link, network, invite, join_reason::UNKNOWN, "this relay does not host the network");
            return;
        };
        match verdict(hosted, &message, now) {
            Ok(()) => {}
            Err(JoinError::Member) if hosted.log.state().is_member(&node) => {
                self.welcome(now, link, network, node, rng);
                return;
            }
            Err(error) => {
                self.refuse_join(link, network, invite, reason_of(error), &error.to_string());
                return;
            }
        }
        let links = &self.links;
        match hosted.keep(invite, Waiting { node, link, request: message.clone() }, |link| links.contains_key(&link)) {
            Kept::Stored => {}
            Kept::Taken => {
                let text = "another node is using this invite at this moment";
                self.refuse_join(link, network, invite, join_reason::USED, text);
                return;
            }
            Kept::Full => {
                self.refuse_join(link, network, invite, join_reason::FULL, "too many joins wait at this relay");
                return;
            }
        }
        let online: Vec<LinkId> =
            issuers(hosted, &invite).iter().filter_map(|issuer| hosted.attached.get(issuer).copied()).collect();
        if online.is_empty() {
            self.send(link, ControlMessage::JoinPending { network, invite });
        }
        for issuer in online {
            self.send(issuer, message.clone());
        }
    }

    /// The issuer refused: pass it on to the joiner, once.
    pub(super) fn join_refused(&mut self, link: LinkId, message: ControlMessage) {
        let ControlMessage::JoinRefused { network, invite, .. } = &message else { return };
        let (network, invite) = (*network, *invite);
        let Some(node) = self.links.get(&link).map(|state| state.node) else { return };
        let attached = self.is_attached(link, &network);
        let Some(hosted) = self.hosted.get_mut(&network).filter(|_| attached) else { return };
        if !issuers(hosted, &invite).contains(&node) {
            return;
        }
        if let Some(waiting) = hosted.take_waiting(&invite)
            && self.links.contains_key(&waiting.link)
        {
            self.send(waiting.link, message);
        }
    }

    fn refuse_join(&mut self, link: LinkId, network: NetworkId, invite: InviteId, reason: u8, text: &str) {
        self.send(link, ControlMessage::JoinRefused { network, invite, reason, text: text.to_owned() });
    }
}

/// What the log says to a request, proof first: `Ok`, its issuer may admit it.
fn verdict(hosted: &Hosted, message: &ControlMessage, now: Now) -> Result<(), JoinError> {
    let ControlMessage::JoinRequest { invite, record, kem_key, name, proof, .. } = message else {
        return Err(JoinError::Malformed);
    };
    let state = hosted.log.state();
    let issuer = state.invites().get(invite).map_or([0; 32], |invite| invite.issuer);
    state.admit(&issuer, &Admission { invite, record, kem_key, name, proof }, now).map(|_| ())
}

/// Nodes that may hold the key an invite was issued with: the admin, or, for the owner's, any admin.
pub(super) fn issuers(hosted: &Hosted, invite: &InviteId) -> Vec<NodeId> {
    let state = hosted.log.state();
    let Some(invite) = state.invites().get(invite).filter(|invite| invite.status == InviteStatus::Open) else {
        return Vec::new();
    };
    if state.owner() == Some(invite.issuer) { state.admins().copied().collect() } else { vec![NodeId(invite.issuer)] }
}

/// Code of a refusal on the wire.
pub(crate) const fn reason_of(error: JoinError) -> u8 {
    match error {
        JoinError::Malformed => join_reason::MALFORMED,
        JoinError::Unknown | JoinError::Foreign => join_reason::UNKNOWN,
        JoinError::Used | JoinError::Member => join_reason::USED,
        JoinError::Expired => join_reason::EXPIRED,
        JoinError::Cancelled => join_reason::CANCELLED,
        JoinError::Full => join_reason::FULL,
        JoinError::Revoked => join_reason::REVOKED,
    }
}
