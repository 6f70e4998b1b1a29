//! `netctl relay status`: both sides of relaying.

use netctl_api::{RelayServerInfo, RelayStatusParams, RelayedNetwork};

use super::{Context, status::relays_table};
use crate::failure::Failure;
use crate::output::cell;
use crate::text::{bits, bytes, short_id};

/// `netctl relay status`.
pub(super) fn status(ctx: &Context<'_>) -> Result<u8, Failure> {
    ctx.ask(RelayStatusParams {}, |result| {
        relays_table(ctx, &result.relays)?;
        match &result.server {
            Some(server) => server_tables(ctx, server),
            None => ctx.out.line("this node does not relay for others"),
        }
    })
}

fn server_tables(ctx: &Context<'_>, server: &RelayServerInfo) -> Result<(), Failure> {
    let addresses: Vec<String> = server.public_addresses.iter().map(ToString::to_string).collect();
    ctx.out.line(format!(
        "relaying at {}; links: {}, bound addresses: {}, circuits: {}",
        if addresses.is_empty() { String::from("no public address") } else { addresses.join(", ") },
        server.links,
        server.bindings,
        server.circuits
    ))?;
    let rows = server.networks.iter().map(|network| {
        vec![
            cell(short_id(&network.network)),
            cell(network.attached.to_string()),
            cell(network.circuits.to_string()),
            cell(bytes(network.rx_bytes)),
            cell(bytes(network.tx_bytes)),
            cell(network.dropped_packets.to_string()),
            cell(quota(network)),
            cell(network.rate_bps.map_or_else(|| String::from("none"), bits)),
        ]
    });
    let header = ["NETWORK", "ATTACHED", "CIRCUITS", "RX", "TX", "DROPPED", "TODAY", "RATE"];
    ctx.out.table(&header, rows.collect(), "no networks hosted")
}

fn quota(network: &RelayedNetwork) -> String {
    let used = bytes(network.used_bytes_day);
    network.quota_bytes_day.map_or_else(|| used.clone(), |quota| format!("{used} of {}", bytes(quota)))
}
