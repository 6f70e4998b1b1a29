//! `netctl bench latency`, and the round trips that `bench throughput` measures beside its transfer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::peer::Peer;
use super::protocol::{MAX_PROBE_LEN, PROBE_LEN, read_probe, write_probe};
use super::serve::now;
use crate::cli::Latency;
use crate::commands::Context;
use crate::failure::{Failure, Local};
use crate::text;

/// Answers are waited for so long after the last probe; what comes later is lost for every use.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// Round trips of one run, microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct RoundTrips {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) min_us: Option<u64>,
    pub(super) p50_us: Option<u64>,
    pub(super) p90_us: Option<u64>,
    pub(super) p99_us: Option<u64>,
    pub(super) max_us: Option<u64>,
}

impl RoundTrips {
    fn of(sent: u64, mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        // Nearest rank: the smallest value that so many per cent do not exceed.
        let rank = |percent: usize| times.get((times.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        Self {
            sent,
            received: times.len() as u64,
            min_us: times.first().copied(),
            p50_us: rank(50),
            p90_us: rank(90),
            p99_us: rank(99),
            max_us: times.last().copied(),
        }
    }

    /// For a person.
    pub(super) fn line(&self) -> String {
        let (Some(min), Some(p50), Some(p90), Some(p99), Some(max)) =
            (self.min_us, self.p50_us, self.p90_us, self.p99_us, self.max_us)
        else {
            return format!("none of {} probes came back", self.sent);
        };
        let lost = self.sent - self.received;
        let [min, p50, p90, p99, max] = [min, p50, p90, p99, max].map(fine);
        format!("min {min}, median {p50}, 90 % {p90}, 99 % {p99}, max {max}; {lost} of {} lost", self.sent)
    }
}

/// Microseconds below a millisecond: a LAN would read `0.2 ms` for everything.
fn fine(us: u64) -> String {
    if us < 1_000 { format!("{us} us") } else { text::micros(us) }
}

/// One way to send probes.
pub(super) struct Prober {
    socket: UdpSocket,
    run: u64,
    size: usize,
}

impl Prober {
    pub(super) fn new(peer: &Peer, size: usize) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| peer.unreachable(&error);
        let any = match peer.address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        #[allow(clippy::disallowed_methods, reason = "a program of its own, not the daemon")]
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).map_err(failed)?;
        socket.connect(peer.address).map_err(failed)?;
        let mut run = [0; 8];
        getrandom::fill(&mut run)
            .map_err(|error| Failure::new(Local::Failure, format!("no random number from the system; {error}")))?;
        Ok(Self { socket, run: u64::from_le_bytes(run), size: size.clamp(PROBE_LEN, MAX_PROBE_LEN) })
    }

    /// Sends a probe every `interval` until there were `count` or `stop` is set, and reads what comes back. An ICMP error (nobody
    /// listens) is one answer that does not come.
    pub(super) fn run(&self, count: u64, interval: Duration, stop: &AtomicBool, tick: impl Fn(u64)) -> RoundTrips {
        let start = now();
        let mut packet = [0; MAX_PROBE_LEN];
        let mut sent_at: Vec<Option<Instant>> = Vec::new();
        let mut times = Vec::new();
        let mut last = start;
        while (sent_at.len() as u64) < count && !stop.load(Ordering::Relaxed) {
            let due = start + interval * u32::try_from(sent_at.len()).unwrap_or(u32::MAX);
            self.collect_until(due, &mut sent_at, &mut times);
            if let Some(probe) = packet.get_mut(..self.size) {
                write_probe(probe, self.run, sent_at.len() as u64);
                last = now();
                sent_at.push(Some(last));
                let _ = self.socket.send(probe);
            }
            tick(sent_at.len() as u64);
        }
        while times.len() < sent_at.len() && last.elapsed() < LAST_WAIT {
            self.collect_until((last + LAST_WAIT).min(now() + Duration::from_millis(20)), &mut sent_at, &mut times);
        }
        RoundTrips::of(sent_at.len() as u64, times)
    }

    fn collect_until(&self, due: Instant, sent_at: &mut [Option<Instant>], times: &mut Vec<u64>) {
        let mut packet = [0; MAX_PROBE_LEN];
        loop {
            let left = due.saturating_duration_since(now());
            if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
                return;
            }
            let Ok(len) = self.socket.recv(&mut packet) else { continue };
            let seq = packet.get(..len).and_then(|probe| read_probe(probe, self.run));
            let slot = seq.and_then(|seq| sent_at.get_mut(usize::try_from(seq).ok()?));
            // Taken: a duplicate counts once.
            if let Some(sent) = slot.and_then(Option::take) {
                times.push(super::serve::micros(sent));
            }
        }
    }
}

#[derive(Serialize)]
struct LatencyResult {
    peer: String,
    address: SocketAddr,
    path: Option<String>,
    size: u16,
    interval_ms: u32,
    #[serde(flatten)]
    round_trips: RoundTrips,
}

/// A bar that only a person at a terminal sees.
pub(super) fn bar(ctx: &Context<'_>, length: u64) -> ProgressBar {
    if ctx.out.is_json() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar
}

/// `netctl bench latency`.
pub(super) fn latency(ctx: &Context<'_>, options: &Latency) -> Result<u8, Failure> {
    let peer = Peer::find(ctx, &options.peer, options.port)?;
    // TCP answers at once when nobody listens; UDP would only be silent.
    drop(peer.connect()?);
    let prober = Prober::new(&peer, usize::from(options.size))?;
    let bar = bar(ctx, u64::from(options.count));
    let interval = Duration::from_millis(u64::from(options.interval));
    let never = AtomicBool::new(false);
    let round_trips = prober.run(u64::from(options.count), interval, &never, |sent| bar.set_position(sent));
    bar.finish_and_clear();
    if round_trips.received == 0 {
        let what = format!("none of {} probes to {} came back, though TCP does", round_trips.sent, peer.address);
        return Err(Failure::new(Local::Timeout, what).next("netctl policy get"));
    }
    let (size, interval_ms) = (options.size, options.interval);
    let path = peer.path(ctx);
    let result = LatencyResult { peer: peer.name, address: peer.address, path, size, interval_ms, round_trips };
    ctx.show(&result, |result| {
        let path = result.path.as_deref().unwrap_or("path not known");
        ctx.out.line(format!("{} ({path}), {} bytes: {}", result.peer, result.size, result.round_trips.line()))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a socket of the test")]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let trips = RoundTrips::of(101, (1..=100).rev().collect());
        let expected = [Some(1), Some(50), Some(90), Some(99), Some(100)];
        assert_eq!([trips.min_us, trips.p50_us, trips.p90_us, trips.p99_us, trips.max_us], expected);
        assert!(trips.line().contains("1 of 101 lost"), "{}", trips.line());
        let one = RoundTrips::of(1, vec![7]);
        assert_eq!([one.min_us, one.p50_us, one.p99_us, one.max_us], [Some(7); 4]);
        assert_eq!(RoundTrips::of(3, Vec::new()).p99_us, None);
    }

    #[test]
    fn answers_are_counted_once_and_strangers_never() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = Peer { name: "b".into(), address: server.local_addr().unwrap() };
        let prober = Prober::new(&peer, 64).unwrap();
        let echo = std::thread::spawn(move || {
            let mut packet = [0; 1500];
            for _ in 0..3 {
                let (len, from) = server.recv_from(&mut packet).unwrap();
                server.send_to(&packet[..len], from).unwrap();
                server.send_to(&packet[..len], from).unwrap();
                server.send_to(b"nfbench1 and something else", from).unwrap();
            }
        });
        let trips = prober.run(3, Duration::from_millis(1), &AtomicBool::new(false), |_| ());
        echo.join().unwrap();
        assert_eq!((trips.sent, trips.received), (3, 3));
    }
}
