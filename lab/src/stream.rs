//! Traffic whose every packet is accounted for: a UDP stream in one direction with sequence numbers, and a TCP transfer with known
//! content. What a fail-over costs is the longest time between two packets that arrived.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::netns::Netns;

/// One packet each 5 ms: ten of them in the shortest gap worth telling.
const EVERY: Duration = Duration::from_millis(5);
/// A size like voice or a game has.
const PAYLOAD: usize = 172;
/// How often a blocked thread looks whether it shall end.
const LOOK: Duration = Duration::from_millis(100);

/// When each new packet came.
#[derive(Debug, Default)]
struct Arrivals {
    times: Vec<Instant>,
    highest: Option<u64>,
    again: u64,
}

/// UDP packets from one host to another, one each 5 ms, until it is dropped.
#[derive(Debug)]
pub struct UdpStream {
    arrivals: Arc<Mutex<Arrivals>>,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl UdpStream {
    /// Starts sending from `from` to port `port` of `address`, which is an address of `to`.
    ///
    /// # Errors
    /// When a socket cannot be opened.
    pub fn start(from: &Netns, to: &Netns, address: IpAddr, port: u16) -> Result<Self> {
        let receiver = to.within(|| UdpSocket::bind((address, port)))?.context("cannot open the receiving socket")?;
        let any: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let sender = from.within(|| UdpSocket::bind((any, 0)))?.context("cannot open the sending socket")?;
        receiver.set_read_timeout(Some(LOOK))?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let arrivals = Arc::new(Mutex::new(Arrivals::default()));
        let (ends, counts) = (Arc::clone(&stop), Arc::clone(&sent));
        let sending = std::thread::spawn(move || send(&sender, (address, port).into(), &ends, &counts));
        let (ends, into) = (Arc::clone(&stop), Arc::clone(&arrivals));
        let receiving = std::thread::spawn(move || receive(&receiver, &ends, &into));
        Ok(Self { arrivals, sent, stop, threads: vec![sending, receiving] })
    }

    /// Packets that arrived, each counted once.
    #[must_use]
    pub fn received(&self) -> usize {
        self.with(|arrivals| arrivals.times.len())
    }

    /// Packets sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Packets that arrived a second time, or behind a later one.
    #[must_use]
    pub fn repeated_or_late(&self) -> u64 {
        self.with(|arrivals| arrivals.again)
    }

    /// The longest time without a packet since `since`, the time running now included.
    #[must_use]
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let now = Instant::now();
        self.with(|arrivals| longest_gap(&arrivals.times, since, now))
    }

    /// Whether packets have come without a gap over 100 ms for the last `length`.
    #[must_use]
    pub fn flows_for(&self, length: Duration) -> bool {
        let Some(since) = Instant::now().checked_sub(length) else { return false };
        self.received() > 0 && self.longest_gap(since) < Duration::from_millis(100)
    }

    fn with<T>(&self, look: impl FnOnce(&Arrivals) -> T) -> T {
        look(&self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for UdpStream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The longest distance between neighbours from `since` to `now`; the packet before `since` and `now` itself are neighbours too.
fn longest_gap(times: &[Instant], since: Instant, now: Instant) -> Duration {
    let first = times.partition_point(|time| *time < since);
    let start = first.checked_sub(1).and_then(|before| times.get(before)).copied().unwrap_or(since);
    let mut last = start;
    let mut longest = Duration::ZERO;
    for time in times.get(first..).unwrap_or_default().iter().chain([&now]) {
        longest = longest.max(time.saturating_duration_since(last));
        last = *time;
    }
    longest
}

fn send(socket: &UdpSocket, to: SocketAddr, stop: &AtomicBool, sent: &AtomicU64) {
    let mut next = Instant::now();
    let mut payload = [0; PAYLOAD];
    while !stop.load(Ordering::Relaxed) {
        let number = sent.fetch_add(1, Ordering::Relaxed);
        if let Some(head) = payload.first_chunk_mut::<8>() {
            *head = number.to_be_bytes();
        }
        // What the network under test does not take is a packet that does not arrive.
        let _ = socket.send_to(&payload, to);
        next += EVERY;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn receive(socket: &UdpSocket, stop: &AtomicBool, arrivals: &Mutex<Arrivals>) {
    let mut buffer = [0; PAYLOAD];
    while !stop.load(Ordering::Relaxed) {
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        let number = buffer.first_chunk::<8>().filter(|_| length == PAYLOAD).map(|head| u64::from_be_bytes(*head));
        let Some(number) = number else { continue };
        let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.highest.is_some_and(|highest| number <= highest) {
            arrivals.again += 1;
        } else {
            arrivals.highest = Some(number);
            arrivals.times.push(Instant::now());
        }
    }
}

/// A TCP transfer at a steady rate with content that is checked byte by byte.
#[derive(Debug)]
pub struct Transfer {
    progress: Arc<Mutex<Progress>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Progress {
    times: Vec<Instant>,
    bytes: u64,
    broken: Option<String>,
}

/// Sent each [`EVERY`]: 16 KiB each 5 ms are 26 Mbit/s, which every path of the lab carries with room to spare.
const CHUNK: usize = 16 << 10;
/// A prime, so that a shifted, repeated or lost piece of any round size shows.
const PERIOD: u64 = 251;

impl Transfer {
    /// Connects from `from` to `address` of `to` and sends until it is dropped.
    ///
    /// # Errors
    /// When the connection cannot be made.
    pub fn start(from: &Netns, to: &Netns, address: IpAddr, port: u16) -> Result<Self> {
        let listener = to.within(|| TcpListener::bind((address, port)))?.context("cannot listen")?;
        let limit = Duration::from_secs(10);
        let out = from.within(|| TcpStream::connect_timeout(&(address, port).into(), limit))?;
        let out = out.context("the transfer cannot connect")?;
        let (into, _) = listener.accept()?;
        into.set_read_timeout(Some(LOOK))?;
        out.set_write_timeout(Some(LOOK))?;
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Mutex::new(Progress::default()));
        let ends = Arc::clone(&stop);
        let sending = std::thread::spawn(move || give(out, &ends));
        let (ends, counts) = (Arc::clone(&stop), Arc::clone(&progress));
        let receiving = std::thread::spawn(move || take(into, &ends, &counts));
        Ok(Self { progress, stop, threads: vec![sending, receiving] })
    }

    /// Bytes that arrived.
    ///
    /// # Errors
    /// When the connection broke or a byte was wrong.
    pub fn bytes(&self) -> Result<u64> {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match &progress.broken {
            Some(why) => anyhow::bail!("the transfer broke after {} bytes: {why}", progress.bytes),
            None => Ok(progress.bytes),
        }
    }

    /// The longest time without a byte since `since`.
    #[must_use]
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let now = Instant::now();
        longest_gap(&self.progress.lock().unwrap_or_else(PoisonError::into_inner).times, since, now)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn byte_at(offset: u64) -> u8 {
    u8::try_from(offset % PERIOD).unwrap_or_default()
}

fn give(mut out: TcpStream, stop: &AtomicBool) {
    let mut offset = 0;
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let chunk: Vec<u8> = (offset..offset + CHUNK as u64).map(byte_at).collect();
        let mut rest = chunk.as_slice();
        while !rest.is_empty() && !stop.load(Ordering::Relaxed) {
            match out.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                // A full buffer is what a gap looks like from here; a broken connection shows at the other end.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        offset += CHUNK as u64;
        next = (next + EVERY).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

fn take(mut input: TcpStream, stop: &AtomicBool, progress: &Mutex<Progress>) {
    let mut buffer = vec![0; CHUNK];
    while !stop.load(Ordering::Relaxed) {
        let read = input.read(&mut buffer);
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(0) => progress.broken = Some("it was closed".to_owned()),
            Ok(length) => {
                let piece = buffer.get(..length).unwrap_or_default();
                let start = progress.bytes;
                if !piece.iter().zip(start..).all(|(byte, offset)| *byte == byte_at(offset)) {
                    progress.broken = Some("a byte is wrong".to_owned());
                }
                progress.bytes += piece.len() as u64;
                progress.times.push(Instant::now());
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => progress.broken = Some(error.to_string()),
        }
        if progress.broken.is_some() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::longest_gap;

    #[test]
    fn a_gap_counts_from_the_packet_before_the_event_and_until_now() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let times = [at(0), at(5), at(10), at(400), at(405)];
        let gap = |since, now| longest_gap(&times, at(since), at(now)).as_millis();
        assert_eq!(gap(12, 410), 390, "the gap began before the event was over");
        assert_eq!(gap(401, 900), 495, "nothing since 405");
        assert_eq!(longest_gap(&times[..3], at(0), at(10)).as_millis(), 5);
        assert_eq!(longest_gap(&[], at(0), at(70)).as_millis(), 70);
    }
}
