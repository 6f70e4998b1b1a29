//! Every packet-side effect of the daemon: the UDP socket, the TUNs, and the batching between them and the node.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use netflow_sys::clock::Clock;
use netflow_sys::tun::{ReadBatch, Tun, WriteBatch};
use netflow_sys::udp::{Incoming, MAX_SEND_BATCH, Outgoing, RecvBatch, UdpSocket};
use netflow_wire::NetworkId;

use crate::link::QuicSocket;

/// How long the loop waits for room in the socket before it drops. Longer would stall other peers, none at all would lose bursts that the
/// kernel takes a moment later; the TUN queues meanwhile, which is what slows TCP senders down.
const SEND_PATIENCE: Duration = Duration::from_millis(5);

/// A relay we send to and hear nothing from for this long is asked over its control link. Traffic in one direction only costs two small
/// messages a second that way; a relay that was restarted answers the first with a stateless reset, and its links are dialled again at
/// once instead of at the next keepalive.
const SILENCE_US: u64 = 500_000;

/// What the packet side counted since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct IoCounters {
    /// Datagrams of no known kind.
    pub(crate) rx_foreign: u64,
    /// Datagrams the kernel did not take.
    pub(crate) tx_dropped: u64,
    /// Packets a TUN did not take.
    pub(crate) inside_dropped: u64,
}

/// What the first byte of a datagram says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One of our frames.
    Ours,
    /// QUIC, of a control link.
    Quic,
    /// STUN (answered in a later version), or nothing we know.
    Foreign,
}

fn kind(datagram: &[u8]) -> Kind {
    match datagram.first() {
        Some(0x10..=0x1f) => Kind::Ours,
        Some(first) if first & 0x40 != 0 => Kind::Quic,
        _ => Kind::Foreign,
    }
}

/// The sockets and devices.
pub(crate) struct Io {
    udp: Arc<UdpSocket>,
    quic: Arc<QuicSocket>,
    tuns: BTreeMap<NetworkId, Tun>,
    received: RecvBatch,
    read: ReadBatch,
    write: WriteBatch,
    write_to: Option<NetworkId>,
    send: SendBatch,
    clock: Clock,
    /// Remote addresses of links dialled here, and since when something sent there is unanswered.
    watched: BTreeMap<SocketAddr, Option<u64>>,
    pub(crate) counters: IoCounters,
}

impl Io {
    pub(crate) fn new(udp: Arc<UdpSocket>, quic: Arc<QuicSocket>, mtu: u16, clock: Clock) -> Self {
        Self {
            udp,
            quic,
            tuns: BTreeMap::new(),
            received: RecvBatch::default(),
            read: ReadBatch::new(mtu),
            write: WriteBatch::default(),
            write_to: None,
            send: SendBatch::default(),
            clock,
            watched: BTreeMap::new(),
            counters: IoCounters::default(),
        }
    }

    /// Where the daemon listens.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.udp.local_addr()
    }

    /// QUIC datagrams dropped because quinn did not keep up.
    pub(crate) fn quic_dropped(&self) -> u64 {
        self.quic.dropped()
    }

    pub(crate) fn attach(&mut self, network: NetworkId, tun: Tun) {
        self.tuns.insert(network, tun);
    }

    pub(crate) fn detach(&mut self, network: &NetworkId) -> Option<Tun> {
        self.tuns.remove(network)
    }

    pub(crate) fn interface(&self, network: &NetworkId) -> Option<&str> {
        self.tuns.get(network).map(Tun::name)
    }

    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.tuns.values().map(Tun::name)
    }

    /// Watches for silence of an address; `is_linked` ends it.
    pub(crate) fn watch(&mut self, remote: SocketAddr, is_linked: bool) {
        if is_linked {
            self.watched.insert(remote, None);
        } else {
            self.watched.remove(&remote);
        }
    }

    /// When the next watched address has been silent for too long.
    pub(crate) fn silence_deadline(&self) -> Option<u64> {
        self.watched.values().flatten().min().map(|since| since + SILENCE_US)
    }

    /// Addresses that have been silent for too long; each is named once, until something is sent there again.
    pub(crate) fn take_silent(&mut self) -> Vec<SocketAddr> {
        let limit = self.clock.mono_us().saturating_sub(SILENCE_US);
        let silent = self.watched.iter_mut().filter(|(_, since)| since.is_some_and(|since| since <= limit));
        silent
            .map(|(remote, since)| {
                *since = None;
                *remote
            })
            .collect()
    }

    /// Waits for a datagram or a packet; says where it may be.
    pub(crate) async fn ready(&self) -> Ready {
        tokio::select! {
            result = self.udp.readable() => {
                if let Err(error) = result {
                    tracing::warn!(%error, "cannot wait for the UDP socket");
                }
                Ready::Outside
            }
            network = self.inside_ready() => Ready::Inside(network),
        }
    }

    async fn inside_ready(&self) -> NetworkId {
        std::future::poll_fn(|cx| {
            let ready = self.tuns.iter().find(|(_, tun)| tun.poll_readable(cx).is_ready());
            ready.map_or(Poll::Pending, |(network, _)| Poll::Ready(*network))
        })
        .await
    }

    /// Receives one batch, hands QUIC to quinn and each of our frames to `on_frame`. `false`: nothing was there.
    pub(crate) fn receive(&mut self, mut on_frame: impl FnMut(SocketAddr, &mut [u8])) -> bool {
        if let Err(error) = self.udp.try_recv(&mut self.received) {
            if error.kind() != io::ErrorKind::WouldBlock {
                tracing::debug!(%error, "receive");
            }
            return false;
        }
        let mut heard = None;
        for datagram in self.received.datagrams() {
            // Batches mostly come from one address: one look-up for all of it.
            if heard != Some(datagram.from) {
                heard = Some(datagram.from);
                if let Some(unanswered) = self.watched.get_mut(&datagram.from) {
                    *unanswered = None;
                }
            }
            match kind(datagram.bytes) {
                Kind::Ours => {
                    let Incoming { from, bytes, .. } = datagram;
                    on_frame(from, bytes);
                }
                Kind::Quic => self.quic.deliver(&datagram),
                Kind::Foreign => self.counters.rx_foreign += 1,
            }
        }
        true
    }

    /// Reads one batch from a network's TUN. `false`: nothing was there.
    pub(crate) fn read_inside(&mut self, network: &NetworkId, mut on_packet: impl FnMut(&[u8])) -> bool {
        let Some(tun) = self.tuns.get(network) else { return false };
        match tun.try_read(&mut self.read) {
            Ok(()) => {
                self.read.packets().for_each(&mut on_packet);
                true
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::debug!(%error, interface = tun.name(), "read");
                }
                false
            }
        }
    }

    /// Queues a datagram behind others for the same peer.
    pub(crate) async fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        if !self.send.push(to, bytes, self.udp.max_send_segments()) {
            self.flush_outside().await;
            // An empty batch takes anything.
            let _ = self.send.push(to, bytes, self.udp.max_send_segments());
        }
    }

    /// Queues a packet for a TUN.
    pub(crate) fn deliver(&mut self, network: NetworkId, packet: &[u8]) {
        if self.write_to != Some(network) {
            self.flush_inside();
            self.write_to = Some(network);
        }
        if !self.write.push(packet) {
            self.flush_inside();
            self.write_to = Some(network);
            let _ = self.write.push(packet);
        }
    }

    /// Sends and writes what is queued.
    pub(crate) async fn flush(&mut self) {
        self.flush_inside();
        self.flush_outside().await;
    }

    fn flush_inside(&mut self) {
        if self.write.is_empty() {
            return;
        }
        let Some(tun) = self.write_to.take().and_then(|network| self.tuns.get(&network)) else {
            self.write = WriteBatch::default();
            return;
        };
        if let Err(error) = tun.write(&mut self.write) {
            self.counters.inside_dropped += 1;
            tracing::debug!(%error, interface = tun.name(), "write");
        }
    }

    async fn flush_outside(&mut self) {
        let Some(outgoing) = self.send.outgoing() else { return };
        let mut sent = self.udp.try_send(&outgoing);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            // Whether there is room now or not: one more try, then it is lost like on any link.
            let _ = tokio::time::timeout(SEND_PATIENCE, self.udp.writable()).await;
            sent = self.udp.try_send(&outgoing);
        }
        if let Some(unanswered) = self.watched.get_mut(&outgoing.to) {
            *unanswered = unanswered.or(Some(self.clock.mono_us()));
        }
        if let Err(error) = sent {
            self.counters.tx_dropped += self.send.count;
            tracing::trace!(%error, to = %outgoing.to, "send");
        }
        self.send.clear();
    }
}

/// Where something may be waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// The UDP socket.
    Outside,
    /// The TUN of this network.
    Inside(NetworkId),
}

/// Datagrams of equal size for one peer; the last may be shorter.
#[derive(Default)]
struct SendBatch {
    to: Option<SocketAddr>,
    bytes: Vec<u8>,
    segment: usize,
    count: u64,
    closed: bool,
}

impl SendBatch {
    /// `false`: does not fit here; flush first.
    fn push(&mut self, to: SocketAddr, bytes: &[u8], max_segments: usize) -> bool {
        match self.to {
            None => {
                self.to = Some(to);
                self.segment = bytes.len();
            }
            Some(current) => {
                let fits = !self.closed
                    && current == to
                    && bytes.len() <= self.segment
                    && self.bytes.len() + bytes.len() <= MAX_SEND_BATCH
                    && usize::try_from(self.count).is_ok_and(|count| count < max_segments);
                if !fits {
                    return false;
                }
                self.closed = bytes.len() < self.segment;
            }
        }
        self.bytes.extend_from_slice(bytes);
        self.count += 1;
        true
    }

    fn outgoing(&self) -> Option<Outgoing<'_>> {
        let segment_size = (self.count > 1).then_some(self.segment);
        Some(Outgoing { to: self.to?, bytes: &self.bytes, segment_size, from: None, ecn: None })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.to = None;
        self.count = 0;
        self.closed = false;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_decides_who_gets_a_datagram() {
        assert_eq!(kind(&[]), Kind::Foreign);
        for first in 0..=u8::MAX {
            let expected = match first {
                0x10..=0x1f => Kind::Ours,
                0x40..=0x7f | 0xc0..=0xff => Kind::Quic,
                _ => Kind::Foreign,
            };
            assert_eq!(kind(&[first, 0]), expected, "{first:#04x}");
        }
    }

    #[test]
    fn a_batch_is_one_peer_and_one_size_with_a_shorter_end() {
        let (a, b) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
        let mut batch = SendBatch::default();
        assert!(batch.push(a, &[1; 100], 64));
        assert!(!batch.push(b, &[1; 100], 64), "another peer");
        assert!(!batch.push(a, &[1; 101], 64), "a longer one");
        assert!(batch.push(a, &[2; 100], 64));
        assert!(batch.push(a, &[3; 10], 64));
        assert!(!batch.push(a, &[4; 10], 64), "a shorter one ends the batch");
        assert_eq!(batch.outgoing().unwrap().segment_size, Some(100));
        batch.clear();
        assert!(batch.push(b, &[1], 1));
        assert!(!batch.push(b, &[1], 1), "no more than the kernel segments");
        assert_eq!(batch.outgoing().unwrap().segment_size, None);
    }
}
