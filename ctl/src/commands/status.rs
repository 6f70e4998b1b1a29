//! `netctl status`: the node at a glance.

use netctl_api::{RelayLinkInfo, StatusParams, StatusResult, Tier};

use super::{Context, network};
use crate::failure::Failure;
use crate::output::{cell, optional, verdict};
use crate::text::{duration, millis, short_id};

/// `netctl status`.
pub(super) fn status(ctx: &Context<'_>) -> Result<u8, Failure> {
    ctx.ask(StatusParams {}, |status| human(ctx, status))
}

fn human(ctx: &Context<'_>, status: &StatusResult) -> Result<(), Failure> {
    let relaying = if status.relaying { ", relays for others" } else { "" };
    ctx.out.line(format!("node     {}", status.node))?;
    ctx.out.line(format!(
        "daemon   netflowd {}, {}{relaying}, running for {}",
        status.version,
        tier(status.tier),
        duration(status.uptime_s)
    ))?;
    if let Some(listen) = status.listen {
        ctx.out.line(format!("udp      {listen}"))?;
    }
    for address in &status.relay_addresses {
        ctx.out.line(format!("relay at {address}"))?;
    }
    ctx.out.line(format!("quantum  {}", pq(&status.pq)))?;
    ctx.out.line("")?;
    network::networks_table(ctx, &status.networks)?;
    if !status.relays.is_empty() {
        ctx.out.line("")?;
        relays_table(ctx, &status.relays)?;
    }
    Ok(())
}

/// One row per relay this node uses; also part of `netctl relay status`.
pub(super) fn relays_table(ctx: &Context<'_>, relays: &[RelayLinkInfo]) -> Result<(), Failure> {
    let rows = relays.iter().map(|relay| {
        let state = match (relay.connected, relay.bound) {
            (true, true) => verdict("ready", Some(true)),
            (true, false) => verdict("connected, not bound", None),
            (false, _) => verdict(relay.problem.as_deref().unwrap_or("not connected"), Some(false)),
        };
        vec![
            cell(short_id(&relay.node)),
            cell(relay.tier.map_or("-", tier)),
            optional(relay.address),
            state,
            optional(relay.rtt_ms.map(millis)),
            optional(relay.public_address),
            cell(relay.networks.join(", ")),
        ]
    });
    let header = ["RELAY", "TIER", "ADDRESS", "STATE", "RTT", "SEES US AS", "NETWORKS"];
    ctx.out.table(&header, rows.collect(), "no relays in use")
}

/// The tier in words.
pub(super) fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::En => "edge node",
        Tier::Cn => "central node",
        Tier::Rn => "root node",
        Tier::Unknown => "unknown tier",
    }
}

fn pq(mode: &str) -> String {
    match mode {
        "strict" => String::from("strict: sessions without ML-KEM-768 are refused"),
        "prefer" => String::from("prefer: ML-KEM-768 wherever the peer has it; `netctl peers` shows what is in use"),
        "off" => String::from("off: X25519 only"),
        other => other.to_owned(),
    }
}
