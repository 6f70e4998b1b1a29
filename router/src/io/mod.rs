//! Every packet-side effect of the daemon: the UDP sockets, the TUNs, and the batching between them and the node.

mod ports;
mod send;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use netflow_overlay::PortId;
use netflow_sys::clock::Clock;
use netflow_sys::tun::{ReadBatch, Tun, WriteBatch};
use netflow_sys::udp::{Incoming, RecvBatch, is_unreachable};
use netflow_wire::NetworkId;

pub(crate) use ports::Ports;
use send::SendBatch;

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

/// Destinations the kernel refused that wait for the node; it hears of each once a drain, and of these at most.
const MAX_UNREACHABLE: usize = 64;

/// What the first byte of a datagram says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One of our frames, or STUN.
    Ours,
    /// QUIC, of a control link.
    Quic,
    /// Nothing we know.
    Foreign,
}

fn kind(datagram: &[u8]) -> Kind {
    match datagram.first() {
        Some(0x00..=0x03 | 0x10..=0x1f) => Kind::Ours,
        Some(first) if first & 0x40 != 0 => Kind::Quic,
        _ => Kind::Foreign,
    }
}

/// The sockets and devices.
pub(crate) struct Io {
    ports: Ports,
    tuns: BTreeMap<NetworkId, Tun>,
    received: RecvBatch,
    read: ReadBatch,
    write: WriteBatch,
    write_to: Option<NetworkId>,
    send: SendBatch,
    clock: Clock,
    /// Remote addresses of links dialled here, and since when something sent there is unanswered.
    watched: BTreeMap<SocketAddr, Option<u64>>,
    unreachable: Vec<(PortId, SocketAddr)>,
    pub(crate) counters: IoCounters,
}

impl Io {
    pub(crate) fn new(ports: Ports, mtu: u16, clock: Clock) -> Self {
        Self {
            ports,
            tuns: BTreeMap::new(),
            received: RecvBatch::default(),
            read: ReadBatch::new(mtu),
            write: WriteBatch::default(),
            write_to: None,
            send: SendBatch::default(),
            clock,
            watched: BTreeMap::new(),
            unreachable: Vec::new(),
            counters: IoCounters::default(),
        }
    }

    /// The UDP ports.
    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Opens a port for the node.
    pub(crate) fn open_port(&mut self, port: PortId) -> io::Result<u16> {
        self.ports.open(port)
    }

    /// Closes it again.
    pub(crate) async fn close_port(&mut self, port: PortId) {
        // What is queued may be meant to leave by it.
        self.flush_outside().await;
        self.ports.close(port);
    }

    /// Destinations the kernel refused since the last call.
    pub(crate) fn take_unreachable(&mut self) -> Vec<(PortId, SocketAddr)> {
        std::mem::take(&mut self.unreachable)
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
            port = self.ports.ready() => Ready::Outside(port),
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

    /// Receives one batch at a port, hands QUIC to quinn and each of our frames to `on_frame`. `false`: nothing was there.
    pub(crate) fn receive(&mut self, port: PortId, mut on_frame: impl FnMut(SocketAddr, &mut [u8])) -> bool {
        let Some((udp, quic)) = self.ports.get(port) else { return false };
        if let Err(error) = udp.try_recv(&mut self.received) {
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
                Kind::Quic => match quic {
                    Some(quic) => quic.deliver(&datagram),
                    None => self.counters.rx_foreign += 1,
                },
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
    pub(crate) async fn send(&mut self, from: PortId, to: SocketAddr, bytes: &[u8]) {
        let Some((udp, _)) = self.ports.get(from) else { return };
        let max_segments = udp.max_send_segments();
        if !self.send.push(from, to, bytes, max_segments) {
            self.flush_outside().await;
            // An empty batch takes anything.
            let _ = self.send.push(from, to, bytes, max_segments);
        }
    }

    /// Sends one datagram at once with a TTL of its own. Only openers of NATs have one: what does not go now is lost like on any link.
    pub(crate) fn send_ttl(&mut self, from: PortId, to: SocketAddr, ttl: u8, bytes: &[u8]) {
        let Some((udp, _)) = self.ports.get(from) else { return };
        if let Err(error) = udp.try_send_ttl(to, ttl, bytes) {
            self.counters.tx_dropped += 1;
            tracing::trace!(%error, %to, "send");
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
        let Some((from, outgoing)) = self.send.outgoing() else { return };
        let Some((udp, _)) = self.ports.get(from) else { return self.send.clear() };
        let mut sent = udp.try_send(&outgoing);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            // Whether there is room now or not: one more try, then it is lost like on any link.
            let _ = tokio::time::timeout(SEND_PATIENCE, udp.writable()).await;
            sent = udp.try_send(&outgoing);
        }
        if let Some(unanswered) = self.watched.get_mut(&outgoing.to) {
            *unanswered = unanswered.or(Some(self.clock.mono_us()));
        }
        if let Err(error) = sent {
            self.counters.tx_dropped += self.send.count();
            tracing::trace!(%error, to = %outgoing.to, "send");
            let refused = (from, outgoing.to);
            if is_unreachable(&error)
                && self.unreachable.len() < MAX_UNREACHABLE
                && !self.unreachable.contains(&refused)
            {
                self.unreachable.push(refused);
            }
        }
        self.send.clear();
    }
}

/// Where something may be waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// This UDP port.
    Outside(PortId),
    /// The TUN of this network.
    Inside(NetworkId),
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
                0x00..=0x03 | 0x10..=0x1f => Kind::Ours,
                0x40..=0x7f | 0xc0..=0xff => Kind::Quic,
                _ => Kind::Foreign,
            };
            assert_eq!(kind(&[first, 0]), expected, "{first:#04x}");
        }
    }
}
