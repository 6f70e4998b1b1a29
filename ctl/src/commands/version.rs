//! `netctl version`: both programs, and whether they understand each other.

use netctl_api::{API_VERSION, VersionParams, VersionResult};
use serde::Serialize;

use super::Context;
use crate::failure::Failure;

/// Versions of this side and of the daemon.
#[derive(Serialize)]
struct Versions {
    netctl: &'static str,
    api: u32,
    daemon: Option<VersionResult>,
    daemon_problem: Option<String>,
}

/// `netctl version`. A daemon that is not there is news, not a failure: this program's version is known anyway.
pub(super) fn version(ctx: &Context<'_>) -> Result<u8, Failure> {
    let (daemon, daemon_problem) = match ctx.connect().and_then(|mut client| client.call(VersionParams {})) {
        Ok(version) => (Some(version), None),
        Err(failure) => (None, Some(failure.what().to_owned())),
    };
    let versions = Versions { netctl: env!("CARGO_PKG_VERSION"), api: API_VERSION, daemon, daemon_problem };
    ctx.show(&versions, |versions| {
        ctx.out.line(format!("netctl {} (API {API_VERSION})", versions.netctl))?;
        match (&versions.daemon, &versions.daemon_problem) {
            (Some(daemon), _) => {
                let api: Vec<String> = daemon.api.iter().map(ToString::to_string).collect();
                ctx.out.line(format!("{} {} (API {})", daemon.software, daemon.version, api.join(", ")))
            }
            (None, problem) => ctx.out.line(format!("netflowd: {}", problem.as_deref().unwrap_or("unknown"))),
        }
    })
}
