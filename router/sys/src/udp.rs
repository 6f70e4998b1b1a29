//! The one UDP socket of the daemon: dual stack, batched, with GSO on send and GRO on receive (`quinn-udp`).
//!
//! `SO_REUSEADDR` stays off, so that a port another program uses is an error at start and not a silent split of the traffic.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

pub use quinn_udp::EcnCodepoint;

/// Kernel buffer in each direction: 100 ms at 160 Mbit/s, what one scheduling gap of a busy two-core router loses otherwise.
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;
/// Buffers of one receive call. Each may hold up to 64 KiB of merged datagrams; eight keep the batch at 512 KiB of resident memory.
const RECV_BUFFERS: usize = 8;
/// The largest UDP payload, and so the largest merged receive.
const MAX_MERGED: usize = 65_535;
/// The largest batch of one send call: UDP_SEGMENT is bounded by one IP packet, less its headers.
pub const MAX_SEND_BATCH: usize = 65_000;

/// One datagram, or several of equal size for one destination.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where to; IPv4 in its own form or mapped.
    pub to: SocketAddr,
    /// The payloads, one after the other.
    pub bytes: &'a [u8],
    /// Size of each payload but the last, when there is more than one.
    pub segment_size: Option<usize>,
    /// Source address to use; `None` lets the kernel choose.
    pub from: Option<IpAddr>,
    /// Congestion mark of the outer header.
    pub ecn: Option<EcnCodepoint>,
}

/// One received datagram.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Who sent it; IPv4 always in its own form, never mapped.
    pub from: SocketAddr,
    /// The local address it came to.
    pub to_ip: Option<IpAddr>,
    /// Congestion mark of the outer header.
    pub ecn: Option<EcnCodepoint>,
    /// The payload.
    pub bytes: &'a mut [u8],
}

/// Buffers of receive calls, reused for the life of the daemon.
pub struct RecvBatch {
    storage: Vec<Vec<u8>>,
    metas: [RecvMeta; RECV_BUFFERS],
    filled: usize,
}

impl std::fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvBatch").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        let storage = (0..RECV_BUFFERS).map(|_| vec![0; MAX_MERGED]).collect();
        Self { storage, metas: [RecvMeta::default(); RECV_BUFFERS], filled: 0 }
    }
}

impl RecvBatch {
    /// The datagrams of the last receive, in order of arrival.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Incoming<'_>> {
        self.storage.iter_mut().zip(&self.metas).take(self.filled).flat_map(|(buffer, meta)| {
            let (from, to_ip, ecn) = (canonical(meta.addr), meta.dst_ip.map(|ip| ip.to_canonical()), meta.ecn);
            let merged = buffer.get_mut(..meta.len).unwrap_or_default();
            // A stride of zero would only come from a broken kernel; chunks_mut panics on it.
            merged.chunks_mut(meta.stride.max(1)).map(move |bytes| Incoming { from, to_ip, ecn, bytes })
        })
    }
}

/// The bound socket.
#[derive(Debug)]
pub struct UdpSocket {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds `address`. `[::]` also serves IPv4, and becomes `0.0.0.0` on a machine without IPv6.
    ///
    /// # Errors
    /// `AddrInUse` when the port is taken; otherwise the error of the failed call.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        match Self::bind_exactly(address) {
            Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && is_family_missing(&error) => {
                Self::bind_exactly(SocketAddr::new([0, 0, 0, 0].into(), address.port()))
            }
            other => other,
        }
    }

    fn bind_exactly(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // The force variants pass net.core.{r,w}mem_max with CAP_NET_ADMIN; the plain ones get what the limit allows.
        if setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER).is_err() {
            socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        }
        if setsockopt(&socket, sockopt::SndBufForce, &SOCKET_BUFFER).is_err() {
            socket.set_send_buffer_size(SOCKET_BUFFER)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let io = tokio::net::UdpSocket::from_std(socket.into())?;
        let state = UdpSocketState::new(UdpSockRef::from(&io))?;
        let local = io.local_addr()?;
        Ok(Self { io, state, local })
    }

    /// The bound address, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// How many datagrams one send may carry.
    #[must_use]
    pub fn max_send_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Whether the IP layer may cut datagrams into fragments.
    #[must_use]
    pub fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    /// Waits until [`UdpSocket::try_recv`] may have something.
    ///
    /// # Errors
    /// The error of the failed call.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Waits until [`UdpSocket::try_send`] may succeed.
    ///
    /// # Errors
    /// The error of the failed call.
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Receives what is there, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; otherwise the error of the failed call.
    pub fn try_recv(&self, batch: &mut RecvBatch) -> io::Result<()> {
        batch.filled = 0;
        let mut buffers = batch.storage.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect::<Vec<_>>();
        let metas = &mut batch.metas;
        batch.filled =
            self.io.try_io(Interest::READABLE, || self.state.recv(UdpSockRef::from(&self.io), &mut buffers, metas))?;
        Ok(())
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel's buffer is full; otherwise the error of the failed call. Nothing was sent then.
    pub fn try_send(&self, outgoing: &Outgoing<'_>) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.for_socket(outgoing.to),
            ecn: outgoing.ecn,
            contents: outgoing.bytes,
            segment_size: outgoing.segment_size,
            src_ip: outgoing.from,
        };
        self.io.try_io(Interest::WRITABLE, || self.state.try_send(UdpSockRef::from(&self.io), &transmit))
    }

    /// An IPv6 socket takes IPv4 destinations in mapped form only.
    #[must_use]
    pub fn for_socket(&self, address: SocketAddr) -> SocketAddr {
        match (self.local.is_ipv6(), address.ip()) {
            (true, IpAddr::V4(ip)) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            _ => address,
        }
    }
}

/// IPv4 in its own form, whatever kind of socket it came through.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

fn is_family_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn outgoing(to: SocketAddr, bytes: &[u8], segment_size: Option<usize>) -> Outgoing<'_> {
        Outgoing { to, bytes, segment_size, from: None, ecn: None }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_batch_arrives_as_the_datagrams_it_was_made_of() {
        let a = UdpSocket::bind("[::]:0".parse().unwrap()).unwrap();
        let b = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let bytes = [vec![1; 100], vec![2; 100], vec![3; 40]].concat();
        a.writable().await.unwrap();
        a.try_send(&outgoing(b.local_addr(), &bytes, Some(100))).unwrap();
        let mut batch = RecvBatch::default();
        let mut seen = Vec::new();
        while seen.len() < 3 {
            b.readable().await.unwrap();
            match b.try_recv(&mut batch) {
                Ok(()) => seen.extend(batch.datagrams().map(|datagram| (datagram.from, datagram.bytes.to_vec()))),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(seen.iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>(), [100, 100, 40]);
        // The answer to a mapped source finds its way through the dual-stack socket.
        let back = seen[0].0;
        assert!(back.is_ipv4());
        b.writable().await.unwrap();
        b.try_send(&outgoing(back, b"pong", None)).unwrap();
        while a.try_recv(&mut batch).is_err() {
            a.readable().await.unwrap();
        }
        let datagram = batch.datagrams().next().unwrap();
        assert_eq!((datagram.from, &*datagram.bytes), (b.local_addr(), &b"pong"[..]));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_port_in_use_is_an_error() {
        let first = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(UdpSocket::bind(first.local_addr()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
