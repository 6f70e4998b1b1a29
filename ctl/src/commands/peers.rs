//! `netctl peers` and `netctl ping`: the data plane as it is, not as it was configured.

use std::time::{Duration, Instant};

use comfy_table::Cell;
use netctl_api::{PathInfo, PathKind, PeerInfo, PeersParams, PingEvent, PingParams, PingResult, SessionInfo};

use super::Context;
use crate::cli::Ping;
use crate::failure::{Failure, Local};
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

pub(super) fn kind(kind: PathKind) -> &'static str {
    match kind {
        PathKind::Relay => "relay",
        PathKind::Direct => "direct",
        PathKind::Unknown => "unknown",
    }
}

fn path(path: &PathInfo) -> String {
    let kind = kind(path.kind);
    let relay = path.relay.as_ref().map(|relay| format!(" {}", short_id(relay))).unwrap_or_default();
    let address = path.address.map(|address| format!(" {address}")).unwrap_or_default();
    format!("{kind}{relay}{address}")
}

/// Probes of `netctl ping` without `-c`: enough to see loss and spread.
const PROBES: u32 = 4;
/// Probes of `--until-direct` without `-c`: at one a second a minute, and a path that exists is usually found in five seconds.
const PROBES_UNTIL_DIRECT: u32 = 60;

/// `netctl ping`.
pub(super) fn ping(ctx: &Context<'_>, options: &Ping) -> Result<u8, Failure> {
    if options.until_direct {
        return ping_until_direct(ctx, options);
    }
    let params = params(ctx, options, options.count.unwrap_or(PROBES));
    let between = Duration::from_millis(u64::from(options.interval) + u64::from(options.wait));
    let result = ctx.connect()?.call_with(params, between, |event| show_probe(ctx, &options.peer, &event))?;
    if ctx.out.is_json() {
        ctx.out.json("ping-summary", &result)?
    } else {
        ctx.out.line(summary(&result))?
    }
    Ok(0)
}

fn params(ctx: &Context<'_>, options: &Ping, count: u32) -> PingParams {
    PingParams {
        network: ctx.network(),
        peer: options.peer.clone(),
        count,
        interval_ms: options.interval,
        timeout_ms: options.wait,
    }
}

fn show_probe(ctx: &Context<'_>, peer: &str, event: &PingEvent) -> Result<(), Failure> {
    if ctx.out.is_json() { ctx.out.json("ping", event) } else { ctx.out.line(probe(peer, event)) }
}

/// How `--until-direct` ended, as `--json` prints it.
#[derive(serde::Serialize)]
struct UntilDirect {
    name: String,
    direct: bool,
    sent: u32,
    received: u32,
    elapsed_ms: u64,
    path: Option<String>,
}

/// One probe after the other until one comes back over a direct path.
#[allow(
    clippy::disallowed_methods,
    reason = "a person watches: probes are a second apart, and how long it took is shown"
)]
fn ping_until_direct(ctx: &Context<'_>, options: &Ping) -> Result<u8, Failure> {
    let probes = options.count.unwrap_or(PROBES_UNTIL_DIRECT);
    let started = Instant::now();
    let mut client = ctx.connect()?;
    let mut end =
        UntilDirect { name: options.peer.clone(), direct: false, sent: 0, received: 0, elapsed_ms: 0, path: None };
    let wait = Duration::from_millis(u64::from(options.wait));
    while end.sent < probes && !end.direct {
        if end.sent > 0 {
            std::thread::sleep(Duration::from_millis(u64::from(options.interval)));
        }
        end.sent += 1;
        let answer = client.call_with(params(ctx, options, 1), wait, |mut event: PingEvent| {
            event.seq = end.sent;
            if event.rtt_us.is_some() {
                end.received += 1;
                end.path.clone_from(&event.path);
                end.direct = event.path_kind == Some(PathKind::Direct);
            }
            show_probe(ctx, &options.peer, &event)
        });
        match answer {
            Ok(result) => end.name = result.name,
            // A lost probe was shown; the next one may get through.
            Err(failure) if failure.is_code("timeout") => {}
            Err(failure) => return Err(failure),
        }
    }
    end.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    finish_until_direct(ctx, &end)
}

fn finish_until_direct(ctx: &Context<'_>, end: &UntilDirect) -> Result<u8, Failure> {
    if end.direct {
        if ctx.out.is_json() {
            ctx.out.json("ping-until-direct", end)?;
        } else {
            let path = end.path.as_deref().unwrap_or("direct");
            ctx.out.line(format!("{}: {path} after {}", end.name, millis_of(end.elapsed_ms)))?;
        }
        return Ok(0);
    }
    let via = end.path.as_ref().map_or_else(|| String::from("no answer at all"), |path| format!("still via {path}"));
    let text = format!("no direct path to {} after {} probes; {via}", end.name, end.sent);
    Err(Failure::new(Local::Timeout, text).next(format!("netctl path {}", end.name)))
}

fn millis_of(ms: u64) -> String {
    micros(ms.saturating_mul(1_000))
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
