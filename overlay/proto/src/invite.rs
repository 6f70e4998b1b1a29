//! Invites: one-shot tokens that let a node ask to join.
use ed25519_dalek::SigningKey;
use netflow_wire::{InviteId, NetworkId, NodeId, RelayInfo};
use crate::identity::{Secret, SignedRecord};
use crate::time::Now;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Not an invite.
    #[error("this is not a valid invite (copy it whole; it starts with nfinvite1)")]
    Malformed,
    /// Of a later version.
    #[error("this invite needs a newer version of this program")]
    Version,
    /// Its time is over.
    #[error("this invite has expired: ask for a new one")]
    Expired,
    /// It is for another network than asked for.
    #[error("this invite is for another network")]
    Foreign,
    /// Over a limit when written.
    #[error("an invite carries at most 4 relays with 4 addresses each")]
    TooLong,
}

/// What a token says. Secret: who holds it can join once.
pub struct InviteToken {
    /// The network.
    pub network: NetworkId,
    /// Its name.
    pub network_name: String,
    /// Seed of the invite's ed25519 key.
    pub seed: Secret<32>,
    /// Seconds since 1970 after which it is refused.
    pub expires_unix_s: u64,
    /// Where to ask.
    pub relays: Vec<RelayInfo>,
}

#[expect(unused_variables, clippy::todo, missing_docs, clippy::missing_errors_doc, reason = "surface first")]
impl InviteToken {
    pub fn id(&self) -> InviteId { todo!() }
    pub fn to_text(&self) -> Result<zeroize::Zeroizing<String>, InviteError> { todo!() }
    pub fn parse(text: &str) -> Result<Self, InviteError> { todo!() }
    pub fn check(&self, now: Now) -> Result<(), InviteError> { todo!() }
    /// Signature of a join request.
    pub fn prove(&self, record: &SignedRecord) -> [u8; 64] { todo!() }
}
