//! A link over TLS 1.3 over TCP, for networks that let no UDP out. It carries what QUIC carries (control messages), and our frames as well.
//!
//! Each unit is `length u32 LE | kind u8 | bytes`, `length` counting the bytes alone. TCP delivers everything late rather than not at
//! all, which is wrong for packets: so frames wait here and not in the kernel (`TCP_NOTSENT_LOWAT`), for 100 ms at most, and are dropped
//! after that, as a router drops them. Control messages are never dropped and go first.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netflow_overlay::node::{Carrier, LinkId};
use netflow_sys::tcp;
use netflow_wire::NodeId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::handle::{Channel, Handle, Order};
use super::{KEEPALIVE, LinkEvent, MAX_MESSAGE, NO_ANSWER, SILENCE};

/// The longest a frame waits to be written. More is worth nothing to its packet and delays all that follow.
const FRAME_PATIENCE: Duration = Duration::from_millis(100);
/// Bytes of frames waiting: 100 ms at 40 Mbit/s, more than such a carrier is used for.
const FRAME_QUEUE: usize = 512 * 1024;
/// Bytes written in one go. A control message waits for no more than this in front of it.
const WRITE_BATCH: usize = 16 * 1024;
/// Bytes the kernel holds that were not sent yet. Two batches keep the connection busy.
const NOT_SENT: u32 = 32 * 1024;
/// One read; also how many bytes of frames go to the node at once.
const READ_CHUNK: usize = 16 * 1024;
/// A peer of which nothing came for this long is gone: the dialling side asks every 25 s.
const IDLE: Duration = Duration::from_secs(60);
const HEADER: usize = 5;

const KIND_MESSAGE: u8 = 0;
const KIND_FRAME: u8 = 1;
const KIND_PING: u8 = 2;
const KIND_PONG: u8 = 3;

/// Prepares a connection: small writes go at once, what is unsent stays with us, and data that is not acknowledged for 3 s ends it.
pub(super) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    tcp::prepare_carrier(stream, NOT_SENT, SILENCE)
}

/// What a link and the senders on it share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    frames: Mutex<Frames>,
    work: Notify,
    aborted: Notify,
    checks: Notify,
    check_ms: AtomicU64,
    ping_wanted: AtomicBool,
    /// Reads that brought something.
    heard: AtomicU64,
    rtt_us: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Frames {
    waiting: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
}

impl Shared {
    /// Queues a frame, or drops it when too much is waiting.
    pub(super) fn push_frame(&self, frame: Vec<u8>) {
        self.push(Instant::now(), frame);
    }

    fn push(&self, now: Instant, frame: Vec<u8>) {
        let mut frames = self.frames();
        if frames.bytes + frame.len() > FRAME_QUEUE || frame.len() > MAX_MESSAGE {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        frames.bytes += frame.len();
        frames.waiting.push_back((now, frame));
        drop(frames);
        self.work.notify_one();
    }

    /// Moves frames that are still worth it behind `batch`, until it is full. `true`: there are more.
    fn take_frames(&self, now: Instant, batch: &mut Vec<u8>) -> bool {
        let mut frames = self.frames();
        while batch.len() < WRITE_BATCH {
            let Some((queued, frame)) = frames.waiting.pop_front() else { return false };
            frames.bytes -= frame.len();
            if now.duration_since(queued) > FRAME_PATIENCE {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            } else {
                put(batch, KIND_FRAME, &frame);
            }
        }
        !frames.waiting.is_empty()
    }

    /// Asks the peer for a sign of life; without any within this time the link ends.
    pub(super) fn check(&self, within: Duration) {
        self.check_ms.store(u64::try_from(within.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.ping_wanted.store(true, Ordering::Relaxed);
        self.work.notify_one();
        self.checks.notify_one();
    }

    /// Ends when a check was not answered. Beside the writer, because that may be blocked by the very connection in doubt.
    async fn watch(&self) -> String {
        loop {
            self.checks.notified().await;
            let before = self.heard.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(self.check_ms.load(Ordering::Relaxed))).await;
            if self.heard.load(Ordering::Relaxed) == before {
                return NO_ANSWER.to_owned();
            }
        }
    }

    pub(super) fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt_us.load(Ordering::Relaxed))
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn abort(&self) {
        self.aborted.notify_one();
    }

    /// A panic while the lock was held cannot have left the queue half-changed.
    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(batch: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    // Both queues take no more than MAX_MESSAGE.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    batch.extend_from_slice(&len.to_le_bytes());
    batch.push(kind);
    batch.extend_from_slice(bytes);
}

/// One link over a stream, from the end of its handshake to its own end.
pub(super) struct StreamLink {
    pub(super) id: LinkId,
    pub(super) peer: NodeId,
    pub(super) remote: SocketAddr,
    pub(super) outgoing: bool,
    pub(super) events: mpsc::Sender<LinkEvent>,
}

/// What the reader tells the writer.
enum Heard {
    Ping,
    Pong,
}

impl StreamLink {
    /// Announces the link and serves it until it ends.
    pub(super) async fn run(self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let shared = Arc::new(Shared::default());
        let (handle, queued) = Handle::new(Channel::Stream(Arc::clone(&shared)));
        let (link, peer, remote, outgoing) = (self.id, self.peer, self.remote, self.outgoing);
        let up = LinkEvent::Up { link, peer, remote, outgoing, carrier: Carrier::Stream, handle };
        if self.events.send(up).await.is_err() {
            return;
        }
        let (mut read, mut write) = tokio::io::split(stream);
        // One ping may be unanswered while the writer is blocked by a slow peer; a peer that sends more of them is not slow but wrong.
        let (heard, hearing) = mpsc::channel(4);
        let reason = tokio::select! {
            reason = self.read(&mut read, heard, &shared) => reason,
            reason = shared.watch() => reason,
            reason = self.write(&mut write, queued, hearing, &shared) => reason,
            () = shared.aborted.notified() => "aborted here".to_owned(),
        };
        // Best effort: the peer hears of the end by the end of the stream in any case.
        let _ = tokio::time::timeout(Duration::from_secs(1), write.shutdown()).await;
        let _ = self.events.send(LinkEvent::Down { link: self.id, reason }).await;
    }

    async fn read(&self, stream: &mut (impl AsyncRead + Unpin), heard: mpsc::Sender<Heard>, shared: &Shared) -> String {
        let mut buffer = Vec::new();
        loop {
            buffer.reserve(READ_CHUNK);
            match tokio::time::timeout(IDLE, stream.read_buf(&mut buffer)).await {
                Err(_) => return "nothing heard for 60 s".to_owned(),
                Ok(Err(error)) => return error.to_string(),
                Ok(Ok(0)) => return "closed by the peer".to_owned(),
                Ok(Ok(_)) => _ = shared.heard.fetch_add(1, Ordering::Relaxed),
            }
            match self.units(&buffer, &heard).await {
                Ok(used) => drop(buffer.drain(..used)),
                Err(reason) => return reason,
            }
        }
    }

    /// Hands on every whole unit; returns how many bytes they were.
    async fn units(&self, buffer: &[u8], heard: &mpsc::Sender<Heard>) -> Result<usize, String> {
        let mut rest = buffer;
        let mut frames = Vec::new();
        let link = self.id;
        while let Some((unit, after)) = split_unit(rest)? {
            rest = after;
            match unit {
                Unit::Frame(bytes) => frames.push(bytes.to_vec()),
                Unit::Message(bytes) => {
                    self.frames(&mut frames).await?;
                    let message = LinkEvent::Message { link, bytes: bytes.to_vec(), remote: self.remote };
                    self.events.send(message).await.map_err(|_| "the daemon stops".to_owned())?;
                }
                Unit::Ping => heard.try_send(Heard::Ping).map_err(|_| "the peer pings too much".to_owned())?,
                // Nobody waits for one that does not fit.
                Unit::Pong => drop(heard.try_send(Heard::Pong)),
            }
        }
        self.frames(&mut frames).await?;
        Ok(buffer.len() - rest.len())
    }

    async fn frames(&self, frames: &mut Vec<Vec<u8>>) -> Result<(), String> {
        if frames.is_empty() {
            return Ok(());
        }
        let event = LinkEvent::Frames { link: self.id, frames: std::mem::take(frames) };
        // Waiting here while the node is busy closes the TCP window: the peer's queue drops, memory does not grow.
        self.events.send(event).await.map_err(|_| "the daemon stops".to_owned())
    }

    async fn write(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        mut queued: mpsc::Receiver<Order>,
        mut hearing: mpsc::Receiver<Heard>,
        shared: &Shared,
    ) -> String {
        let mut batch = Vec::with_capacity(WRITE_BATCH);
        // The first ping measures the round trip.
        let mut next_ping = self.outgoing.then(Instant::now);
        let mut asked: Option<Instant> = None;
        loop {
            batch.clear();
            tokio::select! {
                biased;
                order = queued.recv() => match order {
                    None => return "closed here".to_owned(),
                    Some(Order::Message(message, _room)) => put(&mut batch, KIND_MESSAGE, &message),
                    Some(Order::Check { within, .. }) => shared.check(within),
                },
                Some(heard) = hearing.recv() => match heard {
                    Heard::Ping => put(&mut batch, KIND_PONG, &[]),
                    Heard::Pong => {
                        if let Some(asked) = asked.take() {
                            let rtt_us = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
                            shared.rtt_us.store(rtt_us, Ordering::Relaxed);
                        }
                    }
                },
                () = sleep_until(next_ping) => {
                    next_ping = Some(Instant::now() + KEEPALIVE);
                    asked = Some(Instant::now());
                    put(&mut batch, KIND_PING, &[]);
                }
                () = shared.work.notified() => {
                    if shared.ping_wanted.swap(false, Ordering::Relaxed) {
                        asked = Some(Instant::now());
                        put(&mut batch, KIND_PING, &[]);
                    }
                    if shared.take_frames(Instant::now(), &mut batch) {
                        shared.work.notify_one();
                    }
                }
            }
            if batch.is_empty() {
                continue;
            }
            let written = async {
                stream.write_all(&batch).await?;
                stream.flush().await
            };
            if let Err(error) = written.await {
                return error.to_string();
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Unit<'a> {
    Message(&'a [u8]),
    Frame(&'a [u8]),
    Ping,
    Pong,
}

/// The first unit and what follows it; `None` while it is not complete. A length over the limit is refused before it is waited for.
fn split_unit(bytes: &[u8]) -> Result<Option<(Unit<'_>, &[u8])>, String> {
    let Some((&[a, b, c, d, kind], rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let limit = match kind {
        KIND_MESSAGE | KIND_FRAME => MAX_MESSAGE,
        KIND_PING | KIND_PONG => 0,
        _ => return Err(format!("the peer sent a unit of unknown kind {kind}")),
    };
    let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok().filter(|len| *len <= limit);
    let len = len.ok_or_else(|| format!("the peer announced a unit of kind {kind} over {limit} bytes"))?;
    let Some((bytes, after)) = rest.split_at_checked(len) else { return Ok(None) };
    let unit = match kind {
        KIND_MESSAGE => Unit::Message(bytes),
        KIND_FRAME => Unit::Frame(bytes),
        KIND_PING => Unit::Ping,
        _ => Unit::Pong,
    };
    Ok(Some((unit, after)))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn units_are_split_at_any_cut_and_what_is_too_long_or_unknown_is_refused() {
        let mut bytes = Vec::new();
        put(&mut bytes, KIND_MESSAGE, b"hello");
        put(&mut bytes, KIND_FRAME, &[0x13; 20]);
        put(&mut bytes, KIND_PING, &[]);
        for cut in 0..bytes.len() {
            let (mut rest, mut seen) = (bytes.get(..cut).unwrap(), 0);
            while let Some((_, after)) = split_unit(rest).unwrap() {
                (rest, seen) = (after, seen + 1);
            }
            assert_eq!(seen, [10, 35].iter().filter(|end| cut >= **end).count(), "cut at {cut}");
        }
        let (first, rest) = split_unit(&bytes).unwrap().unwrap();
        assert_eq!(first, Unit::Message(b"hello"));
        let (second, rest) = split_unit(rest).unwrap().unwrap();
        assert_eq!(second, Unit::Frame(&[0x13; 20]));
        assert_eq!(split_unit(rest).unwrap().unwrap(), (Unit::Ping, &[][..]));
        assert!(split_unit(&[1, 0, 1, 0, KIND_MESSAGE]).is_err(), "65,537 bytes");
        assert!(split_unit(&[1, 0, 0, 0, KIND_PONG]).is_err());
        assert!(split_unit(&[0, 0, 0, 0, 4]).is_err());
    }

    #[test]
    fn frames_that_waited_too_long_or_do_not_fit_are_dropped_and_counted() {
        let shared = Shared::default();
        let began = Instant::now();
        shared.push(began, vec![1; 100]);
        let later = began + FRAME_PATIENCE + Duration::from_millis(1);
        shared.push(later, vec![2; 100]);
        let mut batch = Vec::new();
        assert!(!shared.take_frames(later, &mut batch));
        assert_eq!(split_unit(&batch).unwrap().unwrap().0, Unit::Frame(&[2; 100]));
        assert_eq!(shared.dropped(), 1);
        for _ in 0..FRAME_QUEUE / 1_000 + 1 {
            shared.push(later, vec![3; 1_000]);
        }
        assert_eq!(shared.dropped(), 2, "the queue has an end");
        batch.clear();
        assert!(shared.take_frames(later, &mut batch), "there are more");
        assert!(batch.len() < WRITE_BATCH + 1_100, "in pieces that a message can pass between");
    }
}
