//! `netctl netcheck`: what the way to the internet does to packets, before anybody wonders why a path is not direct.

use netctl_api::{
    CarrierKind, FamilyCheck, MapProtocol, NatBehaviour, NetcheckParams, NetcheckResult, PortMappingInfo, RelayCheck,
};

use super::Context;
use crate::failure::Failure;
use crate::output::{cell, optional, verdict};
use crate::text::{duration, millis, short_id};

/// A clock off by more than this is shown as a fault: invites and log entries are dated, and a minute is their tolerance.
const SKEW_LIMIT_MS: u64 = 60_000;

/// `netctl netcheck`.
pub(super) fn netcheck(ctx: &Context<'_>) -> Result<u8, Failure> {
    ctx.ask(NetcheckParams {}, |result| {
        ctx.out.table(&["CHECK", "FOUND"], findings(result), "")?;
        ctx.out.line("")?;
        let header = ["RELAY", "ADDRESS", "RTT", "MTU", "CARRIER", "SEES US AS", "PROBLEM"];
        ctx.out.table(&header, result.relays.iter().map(relay).collect(), "no relays; set `relays` in netflow.toml")?;
        ctx.out.line("")?;
        ctx.out.line(&result.verdict)
    })
}

fn findings(result: &NetcheckResult) -> Vec<Vec<comfy_table::Cell>> {
    let yes_no = |value: Option<bool>| match value {
        Some(true) => verdict("yes", Some(true)),
        Some(false) => verdict("no", None),
        None => cell("not known"),
    };
    let udp = match result.udp {
        Some(true) => verdict("yes", Some(true)),
        Some(false) => verdict("blocked", Some(false)),
        None => verdict("no relay answers", Some(false)),
    };
    let mut rows = vec![
        vec![cell("UDP"), udp],
        vec![cell("IPv4"), family(&result.ipv4)],
        vec![cell("IPv6"), family(&result.ipv6)],
        vec![cell("mapping"), cell(behaviour(result.mapping))],
        vec![cell("filtering"), cell(behaviour(result.filtering))],
        vec![cell("filtering, IPv6"), cell(behaviour(result.ipv6.filtering))],
        vec![cell("hairpin"), yes_no(result.hairpin)],
        vec![cell("port mapping"), port_mapping(result.port_mapping.as_ref())],
        vec![cell("MTU"), result.mtu_bytes.map_or_else(|| cell("not known"), |mtu| cell(format!("{mtu} bytes")))],
        vec![cell("clock skew"), skew(result.clock_skew_ms)],
    ];
    if let Some(age_s) = result.age_s {
        rows.push(vec![cell("measured"), cell(format!("{} ago", duration(age_s)))]);
    }
    rows
}

fn family(check: &FamilyCheck) -> comfy_table::Cell {
    match (check.udp, check.public_address) {
        (true, Some(address)) => verdict(&format!("yes, {address}"), Some(true)),
        (true, None) => verdict("yes", Some(true)),
        (false, _) => cell("no"),
    }
}

fn behaviour(behaviour: NatBehaviour) -> &'static str {
    match behaviour {
        NatBehaviour::EndpointIndependent => "endpoint-independent",
        NatBehaviour::AddressDependent => "address-dependent",
        NatBehaviour::AddressAndPortDependent => "address- and port-dependent",
        NatBehaviour::Unknown => "not known",
    }
}

fn port_mapping(mapping: Option<&PortMappingInfo>) -> comfy_table::Cell {
    let Some(mapping) = mapping else { return cell("none") };
    let protocol = match mapping.protocol {
        MapProtocol::Pcp => "PCP",
        MapProtocol::NatPmp => "NAT-PMP",
        MapProtocol::Upnp => "UPnP",
        MapProtocol::Unknown => "unknown protocol",
    };
    let lifetime = duration(u64::from(mapping.lifetime_s));
    verdict(&format!("{}, by {protocol}, for {lifetime}", mapping.external), Some(true))
}

fn skew(skew_ms: Option<i64>) -> comfy_table::Cell {
    let Some(skew_ms) = skew_ms else { return cell("not known") };
    let text = format!("{skew_ms:+} ms");
    verdict(&text, Some(skew_ms.unsigned_abs() <= SKEW_LIMIT_MS))
}

fn relay(relay: &RelayCheck) -> Vec<comfy_table::Cell> {
    let carrier = relay.carrier.map(|carrier| match carrier {
        CarrierKind::Quic => "QUIC",
        CarrierKind::Stream => "TLS over TCP",
        CarrierKind::Unknown => "unknown",
    });
    vec![
        cell(short_id(&relay.node)),
        optional(relay.address),
        optional(relay.rtt_ms.map(millis)),
        optional(relay.mtu_bytes),
        optional(carrier),
        optional(relay.public_address),
        cell(relay.problem.as_deref().unwrap_or("")),
    ]
}
