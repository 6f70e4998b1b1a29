//! Members of a network: list, revoke, tag, rename, admins.

use comfy_table::Cell;
use netctl_api::{
    AdminsAddParams, AdminsRemoveParams, MemberChanged, MemberInfo, MembersListParams, MembersListResult,
    MembersRenameParams, MembersRevokeParams, MembersTagParams,
};

use super::{Context, network::role};
use crate::cli::Tag;
use crate::failure::{Failure, Local};
use crate::output::{cell, optional, verdict};
use crate::text::{duration, short_id};

/// `netctl members`.
pub(super) fn list(ctx: &Context<'_>, all: bool) -> Result<u8, Failure> {
    ctx.ask(MembersListParams { network: ctx.network() }, |result| {
        let header = ["NAME", "IPV4", "IPV6", "ROLE", "TAGS", "STATE", "NODE"];
        ctx.out.table(&header, result.members.iter().map(row).collect(), "no members")?;
        if all {
            return result.revoked.iter().try_for_each(|node| ctx.out.line(format!("revoked: {node}")));
        }
        match result.revoked.len() {
            0 => Ok(()),
            1 => ctx.out.line("1 node is revoked; see: netctl members --all"),
            count => ctx.out.line(format!("{count} nodes are revoked; see: netctl members --all")),
        }
    })
}

fn row(member: &MemberInfo) -> Vec<Cell> {
    let state = match (member.this_node, member.connected, member.last_seen_s) {
        (true, _, _) => cell("this node"),
        (false, true, _) => verdict("connected", Some(true)),
        (false, false, Some(age)) => cell(format!("seen {} ago", duration(age))),
        (false, false, None) => cell("-"),
    };
    vec![
        cell(&member.name),
        optional(member.ipv4),
        cell(member.ipv6.to_string()),
        cell(role(member.role)),
        cell(member.tags.join(",")),
        state,
        cell(short_id(&member.node)),
    ]
}

/// `netctl revoke`.
pub(super) fn revoke(ctx: &Context<'_>, member: &str) -> Result<u8, Failure> {
    ctx.ask(MembersRevokeParams { network: ctx.network(), member: member.to_owned() }, |result| {
        ctx.out.line(format!(
            "{} ({}) revoked from {}; nodes told at once: {}, the others learn it from them",
            result.name,
            short_id(&result.node),
            result.network,
            result.told
        ))
    })
}

/// `netctl tag`.
pub(super) fn tag(ctx: &Context<'_>, options: &Tag) -> Result<u8, Failure> {
    let mut client = ctx.connect()?;
    let tags = if options.add.is_empty() && options.remove.is_empty() {
        options.tags.clone()
    } else {
        let list = client.call(MembersListParams { network: ctx.network() })?;
        let member = find(&list, &options.member)?;
        let mut tags: Vec<String> = member.tags.iter().filter(|tag| !options.remove.contains(tag)).cloned().collect();
        tags.extend(options.add.iter().filter(|tag| !member.tags.contains(tag)).cloned());
        tags
    };
    let result = client.call(MembersTagParams { network: ctx.network(), member: options.member.clone(), tags })?;
    ctx.show(&result, |result| {
        let tags = if result.member.tags.is_empty() { String::from("none") } else { result.member.tags.join(", ") };
        ctx.out.line(format!("tags of {} in {}: {tags}", result.member.name, result.network))
    })
}

/// The member meant by a name, an address or a node id.
fn find<'a>(list: &'a MembersListResult, wanted: &str) -> Result<&'a MemberInfo, Failure> {
    let meant = |member: &&MemberInfo| {
        member.name == wanted
            || member.node == wanted
            || member.ipv4.is_some_and(|address| Ok(address) == wanted.parse())
            || Ok(member.ipv6) == wanted.parse()
    };
    list.members.iter().find(meant).ok_or_else(|| {
        let text = format!("no member {wanted}; {} has none of this name, address or node id", list.network);
        Failure::new(Local::NotFound, text).next("netctl members")
    })
}

/// `netctl rename`.
pub(super) fn rename(ctx: &Context<'_>, member: &str, name: &str) -> Result<u8, Failure> {
    let params = MembersRenameParams { network: ctx.network(), member: member.to_owned(), name: name.to_owned() };
    ctx.ask(params, |result| ctx.out.line(format!("{member} is {} now in {}", result.member.name, result.network)))
}

/// `netctl admin add`.
pub(super) fn admin_add(ctx: &Context<'_>, member: &str) -> Result<u8, Failure> {
    ctx.ask(AdminsAddParams { network: ctx.network(), member: member.to_owned() }, |result| role_line(ctx, result))
}

/// `netctl admin remove`.
pub(super) fn admin_remove(ctx: &Context<'_>, member: &str) -> Result<u8, Failure> {
    ctx.ask(AdminsRemoveParams { network: ctx.network(), member: member.to_owned() }, |result| role_line(ctx, result))
}

fn role_line(ctx: &Context<'_>, result: &MemberChanged) -> Result<(), Failure> {
    ctx.out.line(format!("{} is {} of {} now", result.member.name, role(result.member.role), result.network))
}
