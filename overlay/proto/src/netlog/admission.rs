//! What the issuer of an invite answers to a join request.

use netflow_wire::InviteId;
use netflow_wire::control::join_reason;

use super::body::EntryBody;
use super::state::{InviteStatus, NetworkState};
use crate::identity::SignedRecord;
use crate::invite;
use crate::time::Now;

/// Why a join is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The record, the key, the name or the proof does not hold, or the session key belongs to a member.
    #[error("the join request is malformed, its proof does not verify or its session key belongs to another member")]
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

impl JoinError {
    /// The code of [`netflow_wire::control::join_reason`].
    pub const fn reason(self) -> u8 {
        match self {
            Self::Malformed => join_reason::MALFORMED,
            Self::Unknown | Self::Foreign => join_reason::UNKNOWN,
            Self::Used | Self::Member => join_reason::USED,
            Self::Expired => join_reason::EXPIRED,
            Self::Cancelled => join_reason::CANCELLED,
            Self::Full => join_reason::FULL,
            Self::Revoked => join_reason::REVOKED,
        }
    }
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
    /// [`invite::InviteToken::prove`].
    pub proof: &'a [u8; 64],
}

impl NetworkState {
    /// Checks a join request at its issuer and says which entry to write for it. Nothing changes until that entry is authored.
    ///
    /// # Errors
    /// [`JoinError`], the reason the joiner is told.
    pub fn admit(&self, issuer: &[u8; 32], request: &Admission<'_>, now: Now) -> Result<EntryBody, JoinError> {
        let record = SignedRecord::verify(request.record).map_err(|_| JoinError::Malformed)?;
        record.record().check_kem_key(request.kem_key).map_err(|_| JoinError::Malformed)?;
        let node = record.record().node;
        if !invite::proof_holds(request.invite, &self.network, &record, request.proof) {
            return Err(JoinError::Malformed);
        }
        let invite = self.invites.get(request.invite).ok_or(JoinError::Unknown)?;
        match invite.status {
            InviteStatus::Used(by) if by == node && self.is_member(&node) => return Err(JoinError::Member),
            InviteStatus::Used(_) => return Err(JoinError::Used),
            InviteStatus::Cancelled => return Err(JoinError::Cancelled),
            InviteStatus::Open => {}
        }
        if invite.issuer != *issuer {
            return Err(JoinError::Foreign);
        }
        if now.unix_s > invite.expires_unix_s {
            return Err(JoinError::Expired);
        }
        if self.is_member(&node) {
            return Err(JoinError::Member);
        }
        if self.is_revoked(&node) {
            return Err(JoinError::Revoked);
        }
        // A session key of another member: no honest node has one, so the joiner is told no more.
        if self.by_x25519.contains_key(&record.record().x25519) {
            return Err(JoinError::Malformed);
        }
        let mut body = self.member_body(&record, request.kem_key, request.name, &invite.tags).ok_or(JoinError::Full)?;
        body.invite = Some(*request.invite);
        Ok(EntryBody::MemberAdd(Box::new(body)))
    }
}
