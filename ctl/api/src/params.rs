//! Parameters of each method. Every field with a default may be left out; unknown fields are refused.
//!
//! `network` everywhere is a network's name or its `nfnet1...` id; without it the active network is meant.
//! `member` and `peer` are a member's name, its overlay address (IPv4 or IPv6), or its `nf1...` node id.

use serde::{Deserialize, Serialize};

use crate::{PolicyRule, Secret};

/// Parameters of `status`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusParams {}

/// Parameters of `up`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpParams {
    /// Which network; the active one if absent.
    pub network: Option<String>,
}

/// Parameters of `down`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DownParams {
    /// Which network; the active one if absent.
    pub network: Option<String>,
}

/// Parameters of `network.create`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkCreateParams {
    /// Name of the network, 1 to 63 characters of `a-z 0-9 -`.
    pub name: String,
    /// Relays of the network as `nf1...@host:port`; the relays of the daemon's configuration if empty.
    #[serde(default)]
    pub relays: Vec<String>,
    /// IPv4 /16 out of 100.64.0.0/10, e.g. `100.77.0.0/16`; chosen by the daemon if absent.
    #[serde(default)]
    pub ipv4_prefix: Option<String>,
    /// Name of this node in the network; that of the configuration or the host name if absent.
    #[serde(default)]
    pub member_name: Option<String>,
}

/// Parameters of `network.invite`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkInviteParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// Tags the new member gets.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Life of the invite in seconds from now, 60 to 7,776,000 (90 days).
    #[serde(default = "default_invite_expires_s")]
    pub expires_s: u64,
}

/// A day: long enough to hand the token over, short enough that a forgotten one dies.
fn default_invite_expires_s() -> u64 {
    24 * 60 * 60
}

impl Default for NetworkInviteParams {
    fn default() -> Self {
        Self { network: None, tags: Vec::new(), expires_s: default_invite_expires_s() }
    }
}

/// Parameters of `network.invites`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkInvitesParams {
    /// Which network; the active one if absent.
    pub network: Option<String>,
}

/// Parameters of `network.invite_cancel`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkInviteCancelParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// The `nfinv1...` id of the invite, or a beginning of it that only one invite of the network has.
    pub invite: String,
}

/// Parameters of `network.join`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkJoinParams {
    /// The invite token.
    pub token: Secret,
    /// Name of this node in the network; that of the configuration or the host name if absent.
    #[serde(default)]
    pub member_name: Option<String>,
    /// How long the daemon waits before it answers `timeout`, in seconds. The join goes on in the background after that.
    #[serde(default = "default_join_wait_s")]
    pub wait_s: u32,
}

/// An issuer that is online answers in a second or two; a minute covers a slow relay connection on a phone link.
fn default_join_wait_s() -> u32 {
    60
}

impl NetworkJoinParams {
    /// A join with default name and waiting time.
    pub fn new(token: Secret) -> Self {
        Self { token, member_name: None, wait_s: default_join_wait_s() }
    }
}

/// Parameters of `network.list`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkListParams {}

/// Parameters of `network.switch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSwitchParams {
    /// Network to make active.
    pub network: String,
}

/// Parameters of `network.leave`. No default network here: leaving is not undone by another command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkLeaveParams {
    /// Network to leave.
    pub network: String,
    /// Leave even when this node holds the only copy of the owner key.
    #[serde(default)]
    pub force: bool,
}

/// Parameters of `network.export_owner`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkExportOwnerParams {
    /// Which network; the active one if absent.
    pub network: Option<String>,
}

/// Parameters of `network.import_owner`: what `network.export_owner` gave. The node must be a member, so that it has the log:
/// an owner key that signs an entry number twice is frozen for everybody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkImportOwnerParams {
    /// The `nfnet1...` id; the daemon refuses a key that does not hash to it.
    pub network: String,
    /// Name of the network, used until its log is there.
    pub name: String,
    /// The owner's ed25519 secret key, 64 hexadecimal digits.
    pub owner_key: Secret,
    /// Relays that store the network's log, as `nf1...@host:port`.
    #[serde(default)]
    pub relays: Vec<String>,
}

/// Parameters of `members.list`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MembersListParams {
    /// Which network; the active one if absent.
    pub network: Option<String>,
}

/// Parameters of `members.revoke`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersRevokeParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// Member to revoke.
    pub member: String,
}

/// Parameters of `members.tag`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersTagParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// Member whose tags change.
    pub member: String,
    /// All tags it has from now on; empty takes every tag away.
    pub tags: Vec<String>,
}

/// Parameters of `members.rename`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersRenameParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// Member to rename.
    pub member: String,
    /// New name, 1 to 63 characters of `a-z 0-9 -`, not taken in this network.
    pub name: String,
}

/// Parameters of `admins.add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminsAddParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// Member that becomes an admin.
    pub member: String,
}

/// Parameters of `admins.remove`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminsRemoveParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// Admin that becomes a plain member.
    pub member: String,
}

/// Parameters of `policy.get`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyGetParams {
    /// Which network; the active one if absent.
    pub network: Option<String>,
}

/// Parameters of `policy.set`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicySetParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// All rules, in order; the first that matches decides, and what no rule matches is denied.
    pub rules: Vec<PolicyRule>,
}

/// Parameters of `peers`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeersParams {
    /// Which network; the active one if absent.
    pub network: Option<String>,
}

/// Parameters of `ping`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PingParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// Member to ping.
    pub peer: String,
    /// Number of probes, 1 to [`crate::MAX_PING_COUNT`].
    #[serde(default = "default_ping_count")]
    pub count: u32,
    /// Time between probes in milliseconds, at least 10.
    #[serde(default = "default_ping_interval_ms")]
    pub interval_ms: u32,
    /// How long one probe may take before it counts as lost, in milliseconds.
    #[serde(default = "default_ping_timeout_ms")]
    pub timeout_ms: u32,
}

/// Enough to see loss and spread, over in three seconds.
fn default_ping_count() -> u32 {
    4
}
/// As `ping` does.
fn default_ping_interval_ms() -> u32 {
    1_000
}
/// The first probe may wait for link, circuit and handshake; five seconds is the whole budget from create to first ping.
fn default_ping_timeout_ms() -> u32 {
    5_000
}

impl PingParams {
    /// A ping of `peer` in the active network with the defaults of the API.
    pub fn new(peer: String) -> Self {
        Self {
            network: None,
            peer,
            count: default_ping_count(),
            interval_ms: default_ping_interval_ms(),
            timeout_ms: default_ping_timeout_ms(),
        }
    }
}

/// Parameters of `netcheck`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetcheckParams {}

/// Parameters of `path`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// Member whose paths are asked for.
    pub peer: String,
}

/// Parameters of `trace`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceParams {
    /// Which network; the active one if absent.
    #[serde(default)]
    pub network: Option<String>,
    /// Member at the end of the path.
    pub peer: String,
}

/// Parameters of `doctor`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoctorParams {}

/// Parameters of `relay.status`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayStatusParams {}

/// Parameters of `version`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionParams {}
