//! `netctl peers` and `netctl ping`: the data plane as it is, not as it was configured.

use std::time::Duration;

use comfy_table::Cell;
use netctl_api::{PathInfo, PathKind, PeerInfo, PeersParams, PingEvent, PingParams, PingResult, SessionInfo};

use super::Context;
use crate::cli::Ping;
use crate::failure::Failure;
use crate::output::{cell, optional, verdict};
use crate::text::{bytes, micros, millis, short_id};

/// `netctl peers`.
pub(super) fn peers(ctx: &Context<'_>) -> Result<u8, Failure> {
    ctx.ask(PeersParams { network: ctx.network() }, |result| {
        let header = ["NAME", "ADDRESS", "SUITE", "KEYS", "PATH", "RTT", "RX", "TX", "WHY"];
        ctx.out.table(
            &header,
            result.peers.iter().map(row).collect(),
            "no session with a member yet; try: netctl members, netctl ping NAME",
        )
    })
}

fn row(peer: &PeerInfo) -> Vec<Cell> {
    let address = peer.ipv4.map_or_else(|| peer.ipv6.to_string(), |address| address.to_string());
    let session = peer.session.as_ref();
    let why = peer.problem.as_ref().or(peer.path.as_ref().map(|path| &path.reason));
    vec![
        cell(&peer.name),
        cell(address),
        session.map_or_else(|| verdict("no session", None), |session| cell(&session.suite)),
        session.map_or_else(|| cell("-"), keys),
        optional(peer.path.as_ref().map(path)),
        optional(peer.path.as_ref().and_then(|path| path.rtt_ms).map(millis)),
        optional(session.map(|session| bytes(session.rx_bytes))),
        optional(session.map(|session| bytes(session.tx_bytes))),
        optional(why),
    ]
}

/// What really protects the keys: pitfall 23 was a post-quantum mode that was silently off.
fn keys(session: &SessionInfo) -> Cell {
    if session.hybrid_pq {
        verdict("hybrid (X25519+ML-KEM-768)", Some(true))
    } else {
        verdict("classical (X25519)", None)
    }
}

fn path(path: &PathInfo) -> String {
    let kind = match path.kind {
        PathKind::Relay => "relay",
        PathKind::Direct => "direct",
        PathKind::Unknown => "unknown",
    };
    let relay = path.relay.as_ref().map(|relay| format!(" {}", short_id(relay))).unwrap_or_default();
    let address = path.address.map(|address| format!(" {address}")).unwrap_or_default();
    format!("{kind}{relay}{address}")
}

/// `netctl ping`.
pub(super) fn ping(ctx: &Context<'_>, options: &Ping) -> Result<u8, Failure> {
    let params = PingParams {
        network: ctx.network(),
        peer: options.peer.clone(),
        count: options.count,
        interval_ms: options.interval,
        timeout_ms: options.wait,
    };
    let between = Duration::from_millis(u64::from(options.interval) + u64::from(options.wait));
    let result = ctx.connect()?.call_with(params, between, |event| {
        if ctx.out.is_json() { ctx.out.json("ping", &event) } else { ctx.out.line(probe(&options.peer, &event)) }
    })?;
    if ctx.out.is_json() {
        ctx.out.json("ping-summary", &result)?
    } else {
        ctx.out.line(summary(&result))?
    }
    Ok(0)
}

fn probe(peer: &str, event: &PingEvent) -> String {
    let path = event.path.as_ref().map(|path| format!(" via {path}")).unwrap_or_default();
    match event.rtt_us {
        Some(rtt) => format!("{peer}: seq={} time={}{path}", event.seq, micros(rtt)),
        None => format!("{peer}: seq={} lost{path}", event.seq),
    }
}

fn summary(result: &PingResult) -> String {
    let address = result.ipv4.map(|address| format!(" ({address})")).unwrap_or_default();
    let times = match (result.min_us, result.avg_us, result.max_us) {
        (Some(min), Some(avg), Some(max)) => {
            format!(", min/avg/max {} / {} / {}", micros(min), micros(avg), micros(max))
        }
        _ => String::new(),
    };
    format!("{}{address}: {} sent, {} received{times}", result.name, result.sent, result.received)
}
