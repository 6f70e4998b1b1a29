//! How `netflowd` ends: one line for a person and a code for the service manager.

use std::fmt;
use std::process::ExitCode;

/// The exit codes, as `docs/operations.md` lists them. Success is 0, wrong usage 2 (from the argument parser).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// It ran and then failed: the disk, the kernel, a bug.
    Runtime = 1,
    /// The configuration cannot be used.
    Config = 3,
    /// Not root, or CAP_NET_ADMIN is missing.
    Permission = 4,
    /// A key or state file cannot be read.
    State = 5,
    /// The port, the socket or the state directory is in use.
    InUse = 6,
    /// The kernel or the machine lacks a feature.
    Feature = 7,
}

/// Why the daemon ends, as `what; why; what to do`.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    text: String,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
