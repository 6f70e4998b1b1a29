//! UDP sockets of the daemon: dual stack, batched, with GSO on send and GRO on receive (`quinn-udp`).
//!
//! `SO_REUSEADDR` stays off, so that a port another program uses is an error at start and not a silent split of the traffic.
//!
//! Every datagram leaves with DF set and without asking the kernel what it believes of the path (`IP_PMTUDISC_PROBE`, `IPV6_DONTFRAG`; set by
//! `quinn-udp`): path MTU probes of any size go out, and what is too large for the path vanishes, which is what the probing finds. ICMP
//! errors never come back to a socket: none is connected and none asks for them (`IP_RECVERR` is off).

mod batch;

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg, setsockopt, sockopt};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

pub use batch::{Incoming, Outgoing, RecvBatch, Run};
pub use quinn_udp::EcnCodepoint;

/// Kernel buffer in each direction: 100 ms at 160 Mbit/s, what one scheduling gap of a busy two-core router loses otherwise.
const SOCKET_BUFFER: usize = 2 * 1024 * 1024;
/// Kernel buffer of a secondary socket: a punch port may become the path of a transfer, and there may be 64 of them.
const SMALL_BUFFER: usize = 512 * 1024;
/// The largest batch of one send call: UDP_SEGMENT is bounded by one IP packet, less its headers.
pub const MAX_SEND_BATCH: usize = 65_000;

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
        Self::bind_with_buffer(address, SOCKET_BUFFER)
    }

    /// Binds a further socket, with smaller kernel buffers.
    ///
    /// # Errors
    /// As [`UdpSocket::bind`].
    pub fn bind_secondary(address: SocketAddr) -> io::Result<Self> {
        Self::bind_with_buffer(address, SMALL_BUFFER)
    }

    fn bind_with_buffer(address: SocketAddr, buffer: usize) -> io::Result<Self> {
        match Self::bind_exactly(address, buffer) {
            Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && is_family_missing(&error) => {
                Self::bind_exactly(SocketAddr::new([0, 0, 0, 0].into(), address.port()), buffer)
            }
            other => other,
        }
    }

    fn bind_exactly(address: SocketAddr, buffer: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // The force variants pass net.core.{r,w}mem_max with CAP_NET_ADMIN; the plain ones get what the limit allows.
        if setsockopt(&socket, sockopt::RcvBufForce, &buffer).is_err() {
            socket.set_recv_buffer_size(buffer)?;
        }
        if setsockopt(&socket, sockopt::SndBufForce, &buffer).is_err() {
            socket.set_send_buffer_size(buffer)?;
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

    /// [`UdpSocket::readable`] for a task that watches many sockets. Only the last task that asked is woken.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error is there to be read like a datagram.
        self.io.poll_recv_ready(cx).map(drop)
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
        batch.fill(|buffers, metas| {
            self.io.try_io(Interest::READABLE, || self.state.recv(UdpSockRef::from(&self.io), buffers, metas))
        })
    }

    /// Sends without waiting. A datagram that is larger than the interface takes is lost like one that is larger than the path takes,
    /// without an error, and without the others of its batch.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel's buffer is full; otherwise the error of the failed call. Nothing was sent then.
    pub fn try_send(&self, outgoing: &Outgoing<'_>) -> io::Result<()> {
        let result = self.send_batch(outgoing);
        match (&result, outgoing.segment_size) {
            (Err(error), Some(size)) if is_too_large(error) => {
                for bytes in outgoing.bytes.chunks(size.max(1)) {
                    without_size_error(self.send_batch(&Outgoing { bytes, segment_size: None, ..*outgoing }))?;
                }
                Ok(())
            }
            _ => without_size_error(result),
        }
    }

    fn send_batch(&self, outgoing: &Outgoing<'_>) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.for_socket(outgoing.to),
            ecn: outgoing.ecn,
            contents: outgoing.bytes,
            segment_size: outgoing.segment_size,
            src_ip: outgoing.from,
        };
        self.io.try_io(Interest::WRITABLE, || self.state.try_send(UdpSockRef::from(&self.io), &transmit))
    }

    /// Sends one datagram with a TTL (hop limit for IPv6) of its own, which says how many routers may see it.
    ///
    /// # Errors
    /// As [`UdpSocket::try_send`].
    pub fn try_send_ttl(&self, to: SocketAddr, ttl: u8, bytes: &[u8]) -> io::Result<()> {
        let ttl = i32::from(ttl);
        let message = if to.is_ipv4() { ControlMessage::Ipv4Ttl(&ttl) } else { ControlMessage::Ipv6HopLimit(&ttl) };
        let to = SockaddrStorage::from(self.for_socket(to));
        let sent = self.io.try_io(Interest::WRITABLE, || {
            let sent = sendmsg(self.io.as_raw_fd(), &[IoSlice::new(bytes)], &[message], MsgFlags::empty(), Some(&to));
            sent.map(drop).map_err(io::Error::from)
        });
        without_size_error(sent)
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

/// Whether the kernel says that nothing can go to an address now: no route, no such host on the wire, the interface is down, or a packet
/// filter refuses it. A path over it is dead at once.
#[must_use]
pub fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EPERM | libc::EADDRNOTAVAIL)
    )
}

/// Kernels before 6.2 say EINVAL for a segment that is larger than the interface takes.
fn is_too_large(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::EINVAL))
}

fn without_size_error(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => Ok(()),
        other => other,
    }
}

pub(crate) fn is_family_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail loudly, and plain sockets stand for strangers"
)]
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

    /// Receives until something came.
    async fn next(socket: &UdpSocket, batch: &mut RecvBatch) -> Vec<u8> {
        while socket.try_recv(batch).is_err() {
            socket.readable().await.unwrap();
        }
        batch.datagrams().next().unwrap().bytes.to_vec()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_datagram_leaves_with_the_ttl_it_was_given_in_both_families() {
        let sender = UdpSocket::bind("[::]:0".parse().unwrap()).unwrap();
        let mut families = vec!["127.0.0.1:0"];
        if sender.local_addr().is_ipv6() {
            families.push("[::1]:0");
        }
        for family in families {
            let address: SocketAddr = family.parse().unwrap();
            let receiver = std::net::UdpSocket::bind(address).unwrap();
            if address.is_ipv4() {
                setsockopt(&receiver, sockopt::Ipv4RecvTtl, &true).unwrap();
            } else {
                setsockopt(&receiver, sockopt::Ipv6RecvHopLimit, &true).unwrap();
            }
            for ttl in [3, 64] {
                sender.writable().await.unwrap();
                sender.try_send_ttl(receiver.local_addr().unwrap(), ttl, b"opener").unwrap();
                assert_eq!(received_ttl(&receiver), i32::from(ttl), "{family}");
            }
        }
    }

    fn received_ttl(receiver: &std::net::UdpSocket) -> i32 {
        use std::io::IoSliceMut;

        use nix::sys::socket::{ControlMessageOwned, recvmsg};
        let mut bytes = [0; 64];
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        let mut space = nix::cmsg_space!(i32);
        let message =
            recvmsg::<SockaddrStorage>(receiver.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::empty())
                .unwrap();
        message
            .cmsgs()
            .unwrap()
            .find_map(|message| match message {
                ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => Some(ttl),
                _ => None,
            })
            .unwrap()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_datagram_too_large_for_the_interface_is_lost_alone_and_the_socket_lives() {
        let a = UdpSocket::bind_secondary("127.0.0.1:0".parse().unwrap()).unwrap();
        let b = UdpSocket::bind_secondary("127.0.0.1:0".parse().unwrap()).unwrap();
        a.writable().await.unwrap();
        // More than an IP packet takes: EMSGSIZE on every interface.
        a.try_send(&outgoing(b.local_addr(), &[0; 65_530], None)).unwrap();
        a.try_send_ttl(b.local_addr(), 9, &[0; 65_530]).unwrap();
        a.try_send(&outgoing(b.local_addr(), b"small", None)).unwrap();
        assert_eq!(next(&b, &mut RecvBatch::default()).await, b"small");
        assert!(!a.may_fragment() && !b.may_fragment(), "DF is set");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nobody_listening_leaves_the_socket_as_it_was() {
        let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let a = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let b = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        a.writable().await.unwrap();
        for _ in 0..3 {
            // The kernel answers each with "port unreachable".
            a.try_send(&outgoing(closed, b"anybody?", None)).unwrap();
        }
        b.writable().await.unwrap();
        b.try_send(&outgoing(a.local_addr(), b"still there", None)).unwrap();
        assert_eq!(next(&a, &mut RecvBatch::default()).await, b"still there");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_port_in_use_is_an_error() {
        let first = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(UdpSocket::bind(first.local_addr()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
