//! `netctl doctor`: the daemon's checks, or this side's own when there is no daemon to ask.

use netctl_api::{Check, CheckState, DoctorParams, DoctorResult};

use super::Context;
use crate::client::socket_path;
use crate::failure::Failure;
use crate::output::{cell, verdict};

/// `netctl doctor`. Exit 0 when nothing fails, 1 when a check fails, the code of the connection when there is none.
pub(super) fn doctor(ctx: &Context<'_>) -> Result<u8, Failure> {
    let socket = socket_path(ctx.global.socket.as_ref());
    let answer = ctx.connect().and_then(|mut client| client.call(DoctorParams {}));
    let (result, code) = match answer {
        Ok(mut result) => {
            let text = format!("answers on {}", socket.display());
            result.checks.insert(0, Check { name: "daemon".into(), state: CheckState::Ok, text, next: None });
            let failed = result.checks.iter().any(|check| check.state == CheckState::Fail);
            (result, u8::from(failed))
        }
        Err(failure) => (DoctorResult { checks: without_daemon(&failure) }, failure.exit()),
    };
    ctx.show(&result, |result| table(ctx, &result.checks))?;
    Ok(code)
}

/// What can be said about a machine whose daemon does not answer.
fn without_daemon(failure: &Failure) -> Vec<Check> {
    let daemon = Check {
        name: "daemon".into(),
        state: CheckState::Fail,
        text: failure.what().to_owned(),
        next: failure.advice().map(str::to_owned),
    };
    let tun = std::path::Path::new("/dev/net/tun");
    let tun = if tun.exists() {
        Check { name: "tun device".into(), state: CheckState::Ok, text: "/dev/net/tun is there".into(), next: None }
    } else {
        let (text, next) = ("/dev/net/tun is missing; the daemon cannot make interfaces", "sudo modprobe tun");
        Check { name: "tun device".into(), state: CheckState::Fail, text: text.into(), next: Some(next.into()) }
    };
    vec![daemon, tun]
}

fn table(ctx: &Context<'_>, checks: &[Check]) -> Result<(), Failure> {
    let rows = checks.iter().map(|check| {
        let state = match check.state {
            CheckState::Ok => verdict("ok", Some(true)),
            CheckState::Warn => verdict("warn", None),
            CheckState::Fail => verdict("FAIL", Some(false)),
        };
        vec![state, cell(&check.name), cell(&check.text), cell(check.next.as_deref().unwrap_or(""))]
    });
    ctx.out.table(&["", "CHECK", "FOUND", "NEXT STEP"], rows.collect(), "no checks")
}
