//! Results of `network.*`.

use serde::{Deserialize, Serialize};

use crate::{NetworkInfo, Secret};

/// Result of `network.create`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkCreateResult {
    /// The new network.
    pub network: NetworkInfo,
    /// At least one relay has accepted the network; invites work once it has.
    pub published: bool,
}

/// Result of `network.invite`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkInviteResult {
    /// Name of the network.
    pub network: String,
    /// Id of the network.
    pub network_id: String,
    /// Public id of the invite, for lists and logs.
    pub invite: String,
    /// The token: whoever holds it first becomes a member.
    pub token: Secret,
    /// End of its life, seconds since 1970 UTC.
    pub expires_unix_s: u64,
    /// Tags the new member gets.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// What became of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InviteState {
    /// Can be used.
    Open,
    /// A node came with it.
    Used,
    /// Its time was over before anybody used it.
    Expired,
    /// Withdrawn by an admin.
    Cancelled,
    /// A state this version does not know.
    #[serde(other)]
    Unknown,
}

/// One invite of a network. The token is on no disk and cannot be shown again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InviteInfo {
    /// `nfinv1...`.
    pub invite: String,
    /// Name of the member that issued it, `owner` where the owner key signed, else a node id.
    pub issued_by: String,
    /// End of its life, seconds since 1970 UTC.
    pub expires_unix_s: u64,
    /// What became of it.
    pub state: InviteState,
    /// Name of the member that came with it, or the id of a node that is none any more.
    #[serde(default)]
    pub used_by: Option<String>,
    /// Tags the new member gets.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Result of `network.invites`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkInvitesResult {
    /// Name of the network.
    pub network: String,
    /// Its id.
    pub network_id: String,
    /// Invites, the one that expires last first.
    pub invites: Vec<InviteInfo>,
}

/// Result of `network.invite_cancel`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkInviteCancelResult {
    /// Name of the network.
    pub network: String,
    /// The `nfinv1...` id of the invite.
    pub invite: String,
}

/// How far a join is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinStage {
    /// Reaching a relay named in the token.
    Connecting,
    /// The request is at a relay, and the issuer of the invite has not answered yet.
    Requested,
    /// The relay keeps the request; the issuer is offline.
    Waiting,
    /// Accepted; fetching the network's log.
    Accepted,
    /// A stage this version does not know.
    #[serde(other)]
    Unknown,
}

/// Event of `network.join`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinEvent {
    /// How far it is.
    pub stage: JoinStage,
    /// The same for people, one line.
    pub text: String,
}

/// Result of `network.join`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkJoinResult {
    /// The network joined, up.
    pub network: NetworkInfo,
    /// From the request to the membership, milliseconds.
    pub elapsed_ms: u64,
}

/// Result of `network.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkListResult {
    /// Networks of this node.
    pub networks: Vec<NetworkInfo>,
}

/// Result of `network.switch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkSwitchResult {
    /// The network that is active now.
    pub network: NetworkInfo,
    /// Name of the network that was active before.
    #[serde(default)]
    pub previous: Option<String>,
}

/// Result of `network.leave`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkLeaveResult {
    /// Id of the network left.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Name of the network that is active now.
    #[serde(default)]
    pub active: Option<String>,
}

/// Result of `network.export_owner`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OwnerExport {
    /// `nfnet1...`.
    pub network: String,
    /// Name of the network.
    pub name: String,
    /// The owner's ed25519 secret key, 64 hexadecimal digits. The client seals it before it reaches a disk.
    pub owner_key: Secret,
    /// Relays that store the network's log, as `nf1...@host:port`.
    #[serde(default)]
    pub relays: Vec<String>,
}

/// Result of `network.import_owner`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkImportOwnerResult {
    /// The network, as far as its log is there.
    pub network: NetworkInfo,
}
