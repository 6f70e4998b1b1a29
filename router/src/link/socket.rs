//! quinn's view of the shared UDP socket: datagrams are handed in by the event loop, and sent straight out.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use netflow_sys::udp::{EcnCodepoint, Incoming, Outgoing, UdpSocket};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Datagrams waiting for quinn. At 1.5 KiB each this is 384 KiB; a flood beyond that is dropped here, and QUIC retransmits what was real.
const QUEUE_LIMIT: usize = 256;

/// The half of the socket that speaks QUIC.
pub(crate) struct QuicSocket {
    udp: Arc<UdpSocket>,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    datagrams: VecDeque<Datagram>,
    waker: Option<Waker>,
    dropped: u64,
}

struct Datagram {
    from: SocketAddr,
    to_ip: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    bytes: Vec<u8>,
}

impl fmt::Debug for QuicSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicSocket").field("local", &self.udp.local_addr()).finish_non_exhaustive()
    }
}

impl QuicSocket {
    pub(crate) fn new(udp: Arc<UdpSocket>) -> Self {
        Self { udp, inbox: Mutex::default() }
    }

    /// Hands a received datagram to quinn.
    pub(crate) fn deliver(&self, incoming: &Incoming<'_>) {
        let mut inbox = self.inbox();
        if inbox.datagrams.len() >= QUEUE_LIMIT {
            inbox.dropped += 1;
            return;
        }
        // quinn on a dual-stack socket knows IPv4 peers by their mapped address only.
        inbox.datagrams.push_back(Datagram {
            from: self.udp.for_socket(incoming.from),
            to_ip: incoming.to_ip,
            ecn: incoming.ecn,
            bytes: incoming.bytes.to_vec(),
        });
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
    }

    /// Datagrams dropped because quinn did not keep up.
    pub(crate) fn dropped(&self) -> u64 {
        self.inbox().dropped
    }

    /// A panic while the lock was held cannot have left the queue half-changed.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for QuicSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { udp: Arc::clone(&self.udp), waiting: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.udp.try_send(&Outgoing {
            to: transmit.destination,
            bytes: transmit.contents,
            segment_size: transmit.segment_size,
            from: transmit.src_ip,
            ecn: transmit.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
        });
        match sent {
            // quinn would end the connection. No route for a moment, while an uplink changes, is a lost packet like any other.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                tracing::trace!(%error, to = %transmit.destination, "send (QUIC)");
                Ok(())
            }
            other => other,
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.inbox();
        let mut count = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Some(datagram) = inbox.datagrams.pop_front() else { break };
            // Longer than quinn's buffer is longer than any datagram we agreed to: what is cut off does not authenticate.
            let len = datagram.bytes.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(&datagram.bytes) {
                *to = *from;
            }
            *meta = RecvMeta {
                addr: datagram.from,
                len,
                stride: len,
                ecn: datagram.ecn.and_then(|ecn| quinn::udp::EcnCodepoint::from_bits(ecn as u8)),
                dst_ip: datagram.to_ip,
            };
            count += 1;
        }
        if count == 0 {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.udp.local_addr())
    }

    fn max_transmit_segments(&self) -> usize {
        self.udp.max_send_segments()
    }

    fn may_fragment(&self) -> bool {
        self.udp.may_fragment()
    }
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits for the socket on behalf of one connection.
struct Poller {
    udp: Arc<UdpSocket>,
    waiting: Option<Writable>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let udp = Arc::clone(&self.udp);
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(async move { udp.writable().await }));
        let result = waiting.as_mut().poll(cx);
        if result.is_ready() {
            self.waiting = None;
        }
        result
    }
}
