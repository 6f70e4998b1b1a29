//! Errors of the API: a code for programs, a sentence for people, and the next command to run.

use serde::{Deserialize, Serialize};

/// What kind of failure a call met. In JSON: the name in `snake_case`, e.g. `"not_found"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The daemon failed for a reason of its own (disk, kernel, bug).
    Internal,
    /// The line is not a request: broken JSON, missing `id`, too long.
    BadRequest,
    /// No such method in this daemon.
    UnknownMethod,
    /// The daemon speaks another version of the API.
    UnsupportedApi,
    /// The caller's user may not do this (owner key export and import need root).
    Permission,
    /// No such network, member, relay or peer; or no network at all yet.
    NotFound,
    /// It exists already: name taken, already a member.
    Exists,
    /// An address or route of the network clashes with one of this machine.
    Conflict,
    /// A value cannot be used: malformed name, token, tag, rule, relay address, unknown field.
    InvalidInput,
    /// The invite was used before.
    InviteUsed,
    /// The invite's time is over.
    InviteExpired,
    /// The invite was withdrawn.
    InviteCancelled,
    /// The invite is well formed, but no network at its relays knows it.
    InviteForeign,
    /// The invite cannot be used; the message says why. For a daemon that is told no more than that.
    Invite,
    /// It took longer than asked for (a join waiting for the issuer, a ping without any answer).
    Timeout,
    /// The other side (relay, peer, issuer) cannot be reached now.
    Offline,
    /// Not allowed by policy, quota, admission, or because this node was revoked.
    Refused,
    /// Needs the owner or an admin of the network, and this node is neither.
    NotAdmin,
    /// A code this version does not know; sent by a newer daemon.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// The exit code of `netctl` for this error.
    ///
    /// 1 failure, 4 permission, 5 not found, 6 conflict, 7 invalid input, 8 invite, 9 timeout or offline, 10 refused.
    /// (0 is success, 2 wrong usage, 3 daemon not running: these never come from the daemon.)
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal | Self::BadRequest | Self::UnknownMethod | Self::UnsupportedApi | Self::Unknown => 1,
            Self::Permission => 4,
            Self::NotFound => 5,
            Self::Exists | Self::Conflict => 6,
            Self::InvalidInput => 7,
            Self::InviteUsed | Self::InviteExpired | Self::InviteCancelled | Self::InviteForeign | Self::Invite => 8,
            Self::Timeout | Self::Offline => 9,
            Self::Refused | Self::NotAdmin => 10,
        }
    }
}

/// The `error` of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Kind of failure.
    pub code: ErrorCode,
    /// What happened and why, as `what; why`, without a final full stop and without secrets.
    pub message: String,
    /// The command that helps, e.g. `netctl invite`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl ApiError {
    /// An error without advice.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), next: None }
    }

    /// The same error with the command that helps.
    #[must_use]
    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }
}
