//! Networks of this node: create, list, switch, up, down, leave.

use netctl_api::{
    DownParams, NetworkCreateParams, NetworkInfo, NetworkLeaveParams, NetworkListParams, NetworkSwitchParams, Role,
    UpParams,
};

use super::Context;
use crate::cli::CreateNetwork;
use crate::failure::Failure;
use crate::output::{cell, optional, verdict};

/// `netctl up`.
pub(super) fn up(ctx: &Context<'_>) -> Result<u8, Failure> {
    ctx.ask(UpParams { network: ctx.network() }, |result| {
        let already = if result.changed { "" } else { " (was up already)" };
        ctx.out.line(format!("{}{already}", describe(&result.network)))
    })
}

/// `netctl down`.
pub(super) fn down(ctx: &Context<'_>) -> Result<u8, Failure> {
    ctx.ask(DownParams { network: ctx.network() }, |result| {
        let already = if result.changed { "" } else { " (was down already)" };
        ctx.out.line(format!("{}{already}", describe(&result.network)))
    })
}

/// `netctl create-network`.
pub(super) fn create(ctx: &Context<'_>, options: &CreateNetwork) -> Result<u8, Failure> {
    let params = NetworkCreateParams {
        name: options.name.clone(),
        relays: options.relays.clone(),
        ipv4_prefix: options.prefix.clone(),
        member_name: options.member_name.clone(),
    };
    ctx.ask(params, |result| {
        let network = &result.network;
        ctx.out.line(format!("network {} created: {}", network.name, network.id))?;
        ctx.out.line(describe(network))?;
        if !result.published {
            ctx.out.line("no relay holds the network yet, so nobody can join; see: netctl relay status")?;
        }
        ctx.out.line("next: netctl invite, and sudo netctl backup FILE for the owner key")
    })
}

/// `netctl networks`.
pub(super) fn list(ctx: &Context<'_>) -> Result<u8, Failure> {
    ctx.ask(NetworkListParams {}, |result| networks_table(ctx, &result.networks))
}

/// `netctl switch`.
pub(super) fn switch(ctx: &Context<'_>, network: &str) -> Result<u8, Failure> {
    ctx.ask(NetworkSwitchParams { network: network.to_owned() }, |result| {
        let before = result.previous.as_ref().filter(|name| **name != result.network.name);
        let before = before.map(|name| format!(" (before: {name})")).unwrap_or_default();
        ctx.out.line(format!("active network: {}{before}", result.network.name))
    })
}

/// `netctl leave`.
pub(super) fn leave(ctx: &Context<'_>, network: &str, force: bool) -> Result<u8, Failure> {
    ctx.ask(NetworkLeaveParams { network: network.to_owned(), force }, |result| {
        let active = result.active.as_ref().map(|name| format!("; active network: {name}")).unwrap_or_default();
        ctx.out.line(format!("left {}{active}", result.name))
    })
}

/// One row per network; also part of `netctl status`.
pub(super) fn networks_table(ctx: &Context<'_>, networks: &[NetworkInfo]) -> Result<(), Failure> {
    let rows = networks.iter().map(|network| {
        let state = match (&network.problem, network.up) {
            (Some(problem), _) => verdict(problem, Some(false)),
            (None, true) => verdict("up", Some(true)),
            (None, false) => verdict("down", None),
        };
        vec![
            cell(if network.active { "*" } else { "" }),
            cell(&network.name),
            state,
            cell(role(network.role)),
            optional(network.ipv4),
            optional(network.ipv6),
            optional(network.interface.as_ref()),
            cell(network.members.to_string()),
            cell(network.relays.len().to_string()),
        ]
    });
    let header = ["", "NETWORK", "STATE", "ROLE", "IPV4", "IPV6", "INTERFACE", "MEMBERS", "RELAYS"];
    ctx.out.table(&header, rows.collect(), "no networks; try: netctl create-network NAME, or netctl join")
}

/// One line about a network: name, state, addresses.
pub(super) fn describe(network: &NetworkInfo) -> String {
    let mut parts = vec![format!("{} is {}", network.name, if network.up { "up" } else { "down" })];
    parts.extend(network.ipv4.map(|address| address.to_string()));
    parts.extend(network.ipv6.map(|address| address.to_string()));
    parts.extend(network.interface.as_ref().map(|name| format!("interface {name}")));
    parts.extend(network.problem.clone());
    parts.join(", ")
}

/// The word for a role.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Member => "member",
        Role::Revoked => "revoked",
        Role::Pending => "pending",
        Role::Unknown => "unknown",
    }
}
