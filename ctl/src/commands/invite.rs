//! `netctl invite`: the one command that prints a secret, because handing it over is its purpose.

use comfy_table::Cell;
use netctl_api::{
    InviteInfo, InviteState, NetworkInviteCancelParams, NetworkInviteParams, NetworkInviteResult, NetworkInvitesParams,
};
use serde::Serialize;

use super::Context;
use crate::cli::Invite;
use crate::failure::Failure;
use crate::output::{cell, verdict};
use crate::secrets::write_new_file;
use crate::{qr, text};

/// The result when the token went to a file.
#[derive(Serialize)]
struct Written<'a> {
    network: &'a str,
    network_id: &'a str,
    invite: &'a str,
    expires_unix_s: u64,
    tags: &'a [String],
    output: String,
}

/// `netctl invite`.
pub(super) fn invite(ctx: &Context<'_>, options: &Invite) -> Result<u8, Failure> {
    if let Some(path) = &options.output {
        // Before the invite exists: an invite nobody can read would only wait for its end.
        if path.symlink_metadata().is_ok() {
            return Err(
                Failure::file("write", path, &std::io::ErrorKind::AlreadyExists.into()).next("another file name")
            );
        }
    }
    let params = NetworkInviteParams { network: ctx.network(), tags: options.tags.clone(), expires_s: options.expires };
    let result = ctx.connect()?.call(params)?;
    let Some(path) = &options.output else {
        return ctx.show(&result, |result| print(ctx, options, result));
    };
    write_new_file(path, format!("{}\n", result.token.expose()).as_bytes())?;
    let written = Written {
        network: &result.network,
        network_id: &result.network_id,
        invite: &result.invite,
        expires_unix_s: result.expires_unix_s,
        tags: &result.tags,
        output: path.display().to_string(),
    };
    ctx.show(&written, |written| {
        let until = text::date(written.expires_unix_s);
        ctx.out
            .line(format!("invite to {}, for one node, until {until}: written to {}", written.network, written.output))
    })
}

/// `netctl invites`.
pub(super) fn list(ctx: &Context<'_>) -> Result<u8, Failure> {
    ctx.ask(NetworkInvitesParams { network: ctx.network() }, |result| {
        let header = ["INVITE", "STATE", "EXPIRES", "ISSUED BY", "TAGS"];
        ctx.out.table(&header, result.invites.iter().map(row).collect(), "no invites; try: netctl invite")
    })
}

fn row(invite: &InviteInfo) -> Vec<Cell> {
    let used = || format!("used by {}", invite.used_by.as_deref().map_or_else(|| "-".to_owned(), short_name));
    let state = match invite.state {
        InviteState::Open => verdict("open", Some(true)),
        InviteState::Used => cell(used()),
        InviteState::Expired => cell("expired"),
        InviteState::Cancelled => cell("cancelled"),
        InviteState::Unknown => cell("unknown"),
    };
    vec![
        cell(text::short_id(&invite.invite)),
        state,
        cell(text::date(invite.expires_unix_s)),
        cell(short_name(&invite.issued_by)),
        cell(invite.tags.join(",")),
    ]
}

/// A member's name as it is, a node id short.
fn short_name(name: &str) -> String {
    if name.starts_with("nf1") { text::short_id(name) } else { name.to_owned() }
}

/// `netctl invite-cancel`.
pub(super) fn cancel(ctx: &Context<'_>, invite: &str) -> Result<u8, Failure> {
    // What the table shows ends in dots.
    let invite = invite.trim_end_matches(['.', '\u{2026}']).to_owned();
    ctx.ask(NetworkInviteCancelParams { network: ctx.network(), invite }, |result| {
        ctx.out.line(format!("invite {} to {} is cancelled", text::short_id(&result.invite), result.network))
    })
}

/// For a person: words, token, QR code. For a pipe: the token alone, so that `netctl invite | ssh b netctl join` works.
fn print(ctx: &Context<'_>, options: &Invite, result: &NetworkInviteResult) -> Result<(), Failure> {
    let token = result.token.expose();
    let person = ctx.out.is_tty();
    if person {
        let until = text::date(result.expires_unix_s);
        ctx.out.line(format!("invite to {}, for one node, until {until}:", result.network))?;
        ctx.out.line("")?;
    }
    ctx.out.line(token)?;
    if (person || options.qr) && !options.no_qr {
        print_qr(ctx, token)?;
    }
    if person {
        ctx.out.line("")?;
        ctx.out.line("on the other node: netctl join, and paste the token (whoever uses it first becomes a member)")?;
    }
    Ok(())
}

fn print_qr(ctx: &Context<'_>, token: &str) -> Result<(), Failure> {
    match qr::render(token, ctx.out.has_colour()) {
        Some((lines, width)) if ctx.out.width().is_none_or(|columns| width <= usize::from(columns)) => {
            ctx.out.raw("")?;
            lines.iter().try_for_each(|line| ctx.out.raw(line))
        }
        Some((_, width)) => ctx.out.line(format!("(the QR code needs a terminal {width} columns wide)")),
        None => ctx.out.line("(the token is too long for a QR code)"),
    }
}
