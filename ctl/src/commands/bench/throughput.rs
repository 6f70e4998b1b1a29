//! `netctl bench throughput`.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::latency::{Prober, RoundTrips, bar};
use super::peer::Peer;
use super::protocol::{CHUNK, Hello, PROBE_LEN, Tally};
use super::serve::{micros, now};
use crate::cli::Throughput;
use crate::commands::Context;
use crate::failure::{Failure, Local};
use crate::text;

/// Probes on the idle path before, and the time between probes: 100 a second cost nothing beside a transfer.
const IDLE_PROBES: u64 = 50;
const PROBE_INTERVAL: Duration = Duration::from_millis(10);
/// A transfer that stands still for so long has failed: longer than any switch of paths takes.
const SILENCE: Duration = Duration::from_secs(15);
/// How often the bar moves.
const TICK: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct ThroughputResult {
    peer: String,
    address: SocketAddr,
    path: Option<String>,
    direction: &'static str,
    streams: u32,
    bytes: u64,
    elapsed_us: u64,
    bits_per_second: u64,
    idle: RoundTrips,
    loaded: RoundTrips,
}

/// `netctl bench throughput`.
pub(super) fn throughput(ctx: &Context<'_>, options: &Throughput) -> Result<u8, Failure> {
    let peer = Peer::find(ctx, &options.peer, options.port)?;
    let streams = (0..options.streams).map(|_| peer.connect()).collect::<Result<Vec<_>, _>>()?;
    let prober = Prober::new(&peer, PROBE_LEN)?;
    let idle = prober.run(IDLE_PROBES, PROBE_INTERVAL, &AtomicBool::new(false), |_| ());
    let (tallies, loaded) = transfer(ctx, options, streams, &prober);
    let tallies = tallies.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| {
        Failure::new(Local::Failure, format!("the transfer broke off; {error}"))
            .next(format!("netctl path {}", peer.name))
    })?;
    let bytes = tallies.iter().map(|tally| tally.bytes).sum();
    let bits_per_second = tallies.iter().map(|tally| tally.bits_per_second()).sum();
    let elapsed_us = tallies.iter().map(|tally| tally.elapsed_us).max().unwrap_or_default();
    let result = ThroughputResult {
        path: peer.path(ctx),
        peer: peer.name,
        address: peer.address,
        direction: if options.reverse { "down" } else { "up" },
        streams: options.streams,
        bytes,
        elapsed_us,
        bits_per_second,
        idle,
        loaded,
    };
    ctx.show(&result, |result| describe(ctx, result))
}

fn describe(ctx: &Context<'_>, result: &ThroughputResult) -> Result<(), Failure> {
    let path = result.path.as_deref().unwrap_or("path not known");
    let way = if result.direction == "down" { "from" } else { "to" };
    let (rate, amount) = (text::bits(result.bits_per_second), text::bytes(result.bytes));
    let (time, streams) = (text::micros(result.elapsed_us), result.streams);
    ctx.out.line(format!("{way} {} ({path}): {rate}, {amount} in {time}, streams: {streams}", result.peer))?;
    ctx.out.line(format!("round trip idle:   {}", result.idle.line()))?;
    ctx.out.line(format!("round trip loaded: {}", result.loaded.line()))
}

type Tallies = Vec<std::io::Result<Tally>>;

/// All streams at once, with probes beside them.
fn transfer(
    ctx: &Context<'_>,
    options: &Throughput,
    streams: Vec<TcpStream>,
    prober: &Prober,
) -> (Tallies, RoundTrips) {
    let hello = Hello { down: options.reverse, seconds: options.seconds };
    let (moved, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let bar = bar(ctx, u64::from(options.seconds) * 1_000);
    let start = now();
    let progress = || {
        let (us, bytes) = (micros(start).max(1), moved.load(Ordering::Relaxed));
        bar.set_position(us / 1_000);
        bar.set_message(text::bits(Tally { bytes, elapsed_us: us }.bits_per_second()));
    };
    let results = std::thread::scope(|scope| {
        let probes = scope.spawn(|| prober.run(u64::MAX, PROBE_INTERVAL, &done, |_| ()));
        let moved = &moved;
        let workers =
            streams.into_iter().map(|stream| scope.spawn(move || one(stream, hello, moved))).collect::<Vec<_>>();
        while workers.iter().any(|worker| !worker.is_finished()) {
            progress();
            std::thread::park_timeout(TICK);
        }
        let tallies = workers.into_iter().filter_map(|worker| worker.join().ok()).collect::<Tallies>();
        done.store(true, Ordering::Relaxed);
        (tallies, probes.join().unwrap_or_default())
    });
    bar.finish_and_clear();
    results
}

/// One stream. The count is the receiver's.
fn one(mut stream: TcpStream, hello: Hello, moved: &AtomicU64) -> std::io::Result<Tally> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    stream.write_all(&hello.to_bytes())?;
    let mut chunk = vec![0; CHUNK];
    if hello.down {
        let (mut start, mut bytes) = (now(), 0);
        loop {
            let n = stream.read(&mut chunk)? as u64;
            if n == 0 {
                break;
            }
            if bytes == 0 {
                start = now();
            }
            bytes += n;
            moved.fetch_add(n, Ordering::Relaxed);
        }
        return if bytes > 0 {
            Ok(Tally { bytes, elapsed_us: micros(start) })
        } else {
            Err(std::io::Error::other("the server closed without a byte; it may be at its limit of connections"))
        };
    }
    let (start, long) = (now(), Duration::from_secs(u64::from(hello.seconds)));
    while start.elapsed() < long {
        moved.fetch_add(stream.write(&chunk)? as u64, Ordering::Relaxed);
    }
    stream.shutdown(Shutdown::Write)?;
    let mut tally = [0; Tally::LEN];
    stream.read_exact(&mut tally)?;
    Ok(Tally::parse(tally))
}
