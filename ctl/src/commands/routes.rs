//! `netctl path` and `netctl trace`: every way to a member, and the hops of the one in use.

use comfy_table::Cell;
use netctl_api::{PathParams, PathReport, PathState, TraceHop, TraceParams};

use super::{Context, peers};
use crate::failure::Failure;
use crate::output::{cell, optional, verdict};
use crate::text::{bits, millis, short_id};

/// `netctl path PEER`.
pub(super) fn path(ctx: &Context<'_>, peer: &str) -> Result<u8, Failure> {
    ctx.ask(PathParams { network: ctx.network(), peer: peer.to_owned() }, |result| {
        let header = ["", "STATE", "PATH", "RTT", "LOSS", "GOODPUT", "MTU", "CLASSES"];
        let rows = result.paths.iter().zip(1_usize..).map(|(path, number)| row(path, number)).collect();
        ctx.out.table(&header, rows, "no path yet; try: netctl ping NAME")?;
        ctx.out.line("")?;
        let rows = result.choices.iter().map(|choice| {
            let number = choice.path.map(|at| u64::from(at) + 1);
            vec![cell(&choice.class), optional(number), cell(&choice.reason)]
        });
        ctx.out.table(&["CLASS", "PATH", "WHY"], rows.collect(), "")
    })
}

fn row(path: &PathReport, number: usize) -> Vec<Cell> {
    let state = match path.state {
        PathState::Primary => verdict("primary", Some(true)),
        PathState::Warm => cell("warm"),
        PathState::Ready => cell("ready"),
        PathState::Suspect => verdict("suspect", None),
        PathState::Dead => verdict("dead", Some(false)),
        PathState::Recovering => cell("recovering"),
        PathState::Unknown => cell("unknown"),
    };
    let rtt = path.rtt_ms.map(|rtt| match path.rtt_var_ms {
        Some(deviation) => format!("{} +- {}", millis(rtt), millis(deviation)),
        None => millis(rtt),
    });
    vec![
        cell(number.to_string()),
        state,
        cell(way(path)),
        optional(rtt),
        optional(path.loss_pct.map(|loss| format!("{loss:.1} %"))),
        optional(path.goodput_bps.map(bits)),
        optional(path.mtu_bytes),
        cell(path.classes.join(", ")),
    ]
}

/// `direct 192.0.2.1:4790`, or the relays in order.
fn way(path: &PathReport) -> String {
    let hops: Vec<String> = path.hops.iter().map(|hop| short_id(hop)).collect();
    let address = path.address.map(|address| format!(" {address}")).unwrap_or_default();
    let kind = peers::kind(path.kind);
    if hops.is_empty() { format!("{kind}{address}") } else { format!("{kind} {}{address}", hops.join(" > ")) }
}

/// `netctl trace PEER`.
pub(super) fn trace(ctx: &Context<'_>, peer: &str) -> Result<u8, Failure> {
    ctx.ask(TraceParams { network: ctx.network(), peer: peer.to_owned() }, |result| {
        ctx.out.line(format!("{} is reached {}: {}", result.name, via(result.kind), result.reason))?;
        let rows = result.hops.iter().zip(1_usize..).map(|(at, number)| hop(at, number)).collect();
        ctx.out.table(&["HOP", "NODE", "ROLE", "ADDRESS", "RTT"], rows, "no hops")
    })
}

fn via(kind: netctl_api::PathKind) -> &'static str {
    match kind {
        netctl_api::PathKind::Direct => "directly",
        netctl_api::PathKind::Relay => "through relays",
        netctl_api::PathKind::Unknown => "in a way this version does not know",
    }
}

fn hop(hop: &TraceHop, number: usize) -> Vec<Cell> {
    vec![
        cell(number.to_string()),
        cell(hop.name.clone().unwrap_or_else(|| short_id(&hop.node))),
        cell(if hop.relay { "relay" } else { "member" }),
        optional(hop.address),
        optional(hop.rtt_ms.map(millis)),
    ]
}
