//! How a command ends when it does not end well: what, why, next command, exit code.

use netctl_api::{ApiError, ErrorCode};
use serde::Serialize;

use crate::text::clean;

/// Kinds of failure that start on this side of the socket; the daemon's own kinds are [`ErrorCode`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// Anything else.
    Failure,
    /// The command line is wrong.
    Usage,
    /// No daemon on the socket, no node at the address.
    NotRunning,
    /// The operating system forbids it.
    Permission,
    /// A file is not there.
    NotFound,
    /// A file is there already.
    Exists,
    /// What the user gave cannot be used.
    InvalidInput,
    /// The daemon or the node did not answer in time.
    Timeout,
    /// The chain or a contract does not take it, or this program will not sign it.
    Refused,
}

impl Local {
    fn code(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::NotRunning => "not_running",
            Self::Permission => "permission",
            Self::NotFound => "not_found",
            Self::Exists => "exists",
            Self::InvalidInput => "invalid_input",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
        }
    }

    fn exit(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
            Self::Permission => 4,
            Self::NotFound => 5,
            Self::Exists => 6,
            Self::InvalidInput => 7,
            Self::Timeout => 9,
            Self::Refused => 10,
        }
    }
}

/// A failed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    code: String,
    exit: u8,
    what: String,
    next: Option<String>,
}

/// The failure as `--json` prints it on stdout.
#[derive(Serialize)]
struct FailureJson<'a> {
    schema: &'static str,
    code: &'a str,
    message: &'a str,
    next: Option<&'a str>,
    exit: u8,
}

impl Failure {
    /// A failure found here; `what` reads `what; why`.
    pub(crate) fn new(kind: Local, what: impl Into<String>) -> Self {
        Self { code: kind.code().to_owned(), exit: kind.exit(), what: what.into(), next: None }
    }

    /// The same with the command that helps.
    pub(crate) fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }

    /// A failure to use a file, with the kind taken from the operating system's answer.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::NotFound {
            Local::NotFound
        } else if error.kind() == std::io::ErrorKind::PermissionDenied {
            Local::Permission
        } else if error.kind() == std::io::ErrorKind::AlreadyExists {
            Local::Exists
        } else {
            Local::Failure
        };
        Self::new(kind, format!("cannot {doing} {}; {error}", path.display()))
    }

    /// Exit code of the program.
    pub(crate) fn exit(&self) -> u8 {
        self.exit
    }

    /// Whether it is of this kind, by the name the API gives it.
    pub(crate) fn is_code(&self, code: &str) -> bool {
        self.code == code
    }

    /// What and why, without the advice.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The advice.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// The JSON object of `--json`, one line without newline.
    pub(crate) fn to_json(&self) -> String {
        let json = FailureJson {
            schema: "netctl.error/1",
            code: &self.code,
            message: &self.what,
            next: self.next.as_deref(),
            exit: self.exit,
        };
        serde_json::to_string(&json).unwrap_or_default()
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let exit = error.code.exit_code();
        let code = serde_json::to_value(error.code).ok().and_then(|v| v.as_str().map(str::to_owned));
        let code = code.unwrap_or_else(|| String::from("unknown"));
        // A daemon that knows the error better than its cure still leaves the user with something to type.
        let next = error.next.or_else(|| default_advice(error.code).map(str::to_owned));
        Self { code, exit, what: error.message, next }
    }
}

/// What to try when the daemon names nothing better.
fn default_advice(code: ErrorCode) -> Option<&'static str> {
    let advice = match code {
        ErrorCode::Internal | ErrorCode::Timeout | ErrorCode::Offline | ErrorCode::Conflict => "netctl doctor",
        ErrorCode::BadRequest | ErrorCode::UnknownMethod | ErrorCode::UnsupportedApi => "netctl version",
        ErrorCode::Permission => "the same command with sudo",
        ErrorCode::NotFound => "netctl networks, netctl members",
        ErrorCode::Exists => "netctl networks",
        ErrorCode::InviteUsed
        | ErrorCode::InviteExpired
        | ErrorCode::InviteCancelled
        | ErrorCode::InviteForeign
        | ErrorCode::Invite => "ask the issuer for a new one: netctl invite",
        ErrorCode::Refused | ErrorCode::NotAdmin => "netctl members, to see who is owner or admin",
        ErrorCode::InvalidInput | ErrorCode::Unknown | _ => "netctl --help",
    };
    Some(advice)
}

impl std::fmt::Display for Failure {
    /// The one line on stderr, without newline. Text of a daemon or of a file may hold anything: control characters go.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "netctl: {}", clean(&self.what))?;
        match &self.next {
            Some(next) => write!(f, "; try: {}", clean(next)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_the_daemon_says() {
        let error = ApiError::new(ErrorCode::Refused, "no\nroot: \u{1b}[31mred").next("a\rb");
        let line = Failure::from(error).to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(line.starts_with("netctl: no") && line.contains("; try: a"));
    }
}
