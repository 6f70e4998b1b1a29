//! Every packet-side effect of the daemon: the UDP sockets, the TUNs, and the batching between them and the node.

mod out;
mod ports;
mod send;

use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use netflow_overlay::node::Node;
use netflow_overlay::{Now, PortId};
use netflow_sys::clock::Clock;
use netflow_sys::tun::{ReadBatch, Tun};
use netflow_sys::udp::{Incoming, RecvBatch};
use netflow_wire::NetworkId;

pub(crate) use out::Out;
pub(crate) use ports::Ports;

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

/// The sockets and devices: what comes in, and everything that goes out.
pub(crate) struct Io {
    received: RecvBatch,
    read: ReadBatch,
    out: Out,
}

impl Io {
    pub(crate) fn new(ports: Ports, mtu: u16, clock: Clock) -> Self {
        Self { received: RecvBatch::default(), read: ReadBatch::new(mtu), out: Out::new(ports, clock) }
    }

    /// The UDP ports.
    pub(crate) fn ports(&self) -> &Ports {
        &self.out.ports
    }

    /// Opens a port for the node.
    pub(crate) fn open_port(&mut self, port: PortId) -> io::Result<u16> {
        self.out.ports.open(port)
    }

    /// Closes it again.
    pub(crate) async fn close_port(&mut self, port: PortId) {
        // What is queued may be meant to leave by it.
        self.out.flush_outside().await;
        self.out.ports.close(port);
    }

    /// Destinations the kernel refused since the last call.
    pub(crate) fn take_unreachable(&mut self) -> Vec<(PortId, SocketAddr)> {
        std::mem::take(&mut self.out.unreachable)
    }

    pub(crate) fn attach(&mut self, network: NetworkId, tun: Tun) {
        self.out.tuns.insert(network, tun);
    }

    pub(crate) fn detach(&mut self, network: &NetworkId) -> Option<Tun> {
        self.out.tuns.remove(network)
    }

    pub(crate) fn interface(&self, network: &NetworkId) -> Option<&str> {
        self.out.tuns.get(network).map(Tun::name)
    }

    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.out.tuns.values().map(Tun::name)
    }

    /// Watches for silence of an address; `is_linked` ends it.
    pub(crate) fn watch(&mut self, remote: SocketAddr, is_linked: bool) {
        if is_linked {
            self.out.watched.insert(remote, None);
        } else {
            self.out.watched.remove(&remote);
        }
    }

    /// When the next watched address has been silent for too long.
    pub(crate) fn silence_deadline(&self) -> Option<u64> {
        self.out.watched.values().flatten().min().map(|since| since + SILENCE_US)
    }

    /// Addresses that have been silent for too long; each is named once, until something is sent there again.
    pub(crate) fn take_silent(&mut self) -> Vec<SocketAddr> {
        let limit = self.out.clock.mono_us().saturating_sub(SILENCE_US);
        let silent = self.out.watched.iter_mut().filter(|(_, since)| since.is_some_and(|since| since <= limit));
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
            port = self.out.ports.ready() => Ready::Outside(port),
            network = self.inside_ready() => Ready::Inside(network),
        }
    }

    async fn inside_ready(&self) -> NetworkId {
        std::future::poll_fn(|cx| {
            let ready = self.out.tuns.iter().find(|(_, tun)| tun.poll_readable(cx).is_ready());
            ready.map_or(Poll::Pending, |(network, _)| Poll::Ready(*network))
        })
        .await
    }

    /// Receives one batch at a port, hands QUIC to quinn and what else there is to the node. `false`: nothing was there.
    pub(crate) fn receive(&mut self, port: PortId, now: Now, node: &mut Node) -> bool {
        let Self { received, out, .. } = self;
        let Some((udp, quic)) = out.ports.get(port) else { return false };
        if let Err(error) = udp.try_recv(received) {
            if error.kind() != io::ErrorKind::WouldBlock {
                tracing::debug!(%error, "receive");
            }
            return false;
        }
        let quic = quic.cloned();
        for run in received.runs() {
            out.heard(&run.from);
            if let Some((from, to)) = node.forward_run(now, port, run.from, run.bytes, run.stride) {
                out.send_run(from, to, &run);
                continue;
            }
            for datagram in run.datagrams() {
                match kind(datagram.bytes) {
                    Kind::Ours => {
                        let Incoming { from, bytes, .. } = datagram;
                        node.handle_datagram_into(now, port, from, bytes, out);
                    }
                    Kind::Quic => match &quic {
                        Some(quic) => quic.deliver(&datagram),
                        None => out.counters.rx_foreign += 1,
                    },
                    Kind::Foreign => out.counters.rx_foreign += 1,
                }
            }
        }
        true
    }

    /// Reads one batch from a network's TUN. `false`: nothing was there.
    pub(crate) fn read_inside(&mut self, network: &NetworkId, mut on_packet: impl FnMut(&[u8], &mut Out)) -> bool {
        let Self { read, out, .. } = self;
        let Some(tun) = out.tuns.get(network) else { return false };
        match tun.try_read(read) {
            Ok(()) => {
                read.packets().for_each(|packet| on_packet(packet, out));
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
        self.out.send(from, to, bytes).await;
    }

    /// Sends one datagram at once with a TTL of its own. Only openers of NATs have one: what does not go now is lost like on any link.
    pub(crate) fn send_ttl(&mut self, from: PortId, to: SocketAddr, ttl: u8, bytes: &[u8]) {
        self.out.send_ttl(from, to, ttl, bytes);
    }

    /// Queues a packet for a TUN.
    pub(crate) fn deliver(&mut self, network: NetworkId, packet: &[u8]) {
        self.out.deliver(network, packet);
    }

    /// Sends and writes what is queued.
    pub(crate) async fn flush(&mut self) {
        self.out.flush().await;
    }

    /// What was counted since the start.
    pub(crate) fn counters(&self) -> IoCounters {
        self.out.counters
    }

    /// Whether enough is queued to be worth a flush.
    pub(crate) fn is_full(&self) -> bool {
        self.out.is_full()
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
