//! The UDP sockets, by the names the node has for them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use netflow_overlay::PortId;
use netflow_sys::udp::UdpSocket;

use crate::link::QuicSocket;

/// Sockets beside the main one: the fixed ones of a relay and those of a search for a way through a NAT, which is content with 64.
const MAX_EXTRA: usize = 80;

type Socket = (Arc<UdpSocket>, Option<Arc<QuicSocket>>);
/// The main one always has QUIC.
type MainSocket = (Arc<UdpSocket>, Arc<QuicSocket>);

/// All sockets of the daemon. Each is as good as the main one for frames; QUIC goes to those that have it.
pub(crate) struct Ports {
    main: MainSocket,
    extra: BTreeMap<PortId, Socket>,
    /// The port that was ready last; the next one is looked for behind it, so that a busy port does not starve the others.
    last: Cell<PortId>,
}

impl Ports {
    pub(crate) fn new(main: Arc<UdpSocket>, quic: Arc<QuicSocket>) -> Self {
        Self { main: (main, quic), extra: BTreeMap::new(), last: Cell::new(PortId::MAIN) }
    }

    /// Takes over a socket that was bound while the privileges for it were there.
    pub(crate) fn adopt(&mut self, port: PortId, socket: Arc<UdpSocket>, quic: Option<Arc<QuicSocket>>) {
        self.extra.insert(port, (socket, quic));
    }

    /// Binds one more socket, to a port the kernel chooses at the address of the main one. Returns the port number.
    pub(super) fn open(&mut self, port: PortId) -> io::Result<u16> {
        if port == PortId::MAIN || self.extra.contains_key(&port) {
            return self.get(port).map_or(Err(io::ErrorKind::NotFound.into()), |(udp, _)| Ok(udp.local_addr().port()));
        }
        if self.extra.len() >= MAX_EXTRA {
            return Err(io::Error::other(format!("{MAX_EXTRA} ports are open already")));
        }
        let socket = UdpSocket::bind_secondary(SocketAddr::new(self.local_addr().ip(), 0))?;
        let number = socket.local_addr().port();
        self.extra.insert(port, (Arc::new(socket), None));
        Ok(number)
    }

    pub(super) fn close(&mut self, port: PortId) {
        self.extra.remove(&port);
    }

    /// QUIC's half of the main socket.
    pub(crate) fn main_quic(&self) -> Arc<QuicSocket> {
        Arc::clone(&self.main.1)
    }

    /// Where the daemon listens.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.main.0.local_addr()
    }

    /// Sockets open beside the main one.
    pub(crate) fn extra(&self) -> impl Iterator<Item = (PortId, SocketAddr)> {
        self.extra.iter().map(|(port, (udp, _))| (*port, udp.local_addr()))
    }

    /// QUIC datagrams dropped because quinn did not keep up.
    pub(crate) fn quic_dropped(&self) -> u64 {
        let extra = self.extra.values().filter_map(|(_, quic)| quic.as_deref());
        extra.chain(std::iter::once(&*self.main.1)).map(QuicSocket::dropped).sum()
    }

    pub(super) fn get(&self, port: PortId) -> Option<(&UdpSocket, Option<&Arc<QuicSocket>>)> {
        if port == PortId::MAIN {
            return Some((&self.main.0, Some(&self.main.1)));
        }
        self.extra.get(&port).map(|(udp, quic)| (&**udp, quic.as_ref()))
    }

    fn all(&self) -> impl Iterator<Item = (PortId, &UdpSocket)> {
        let extra = self.extra.iter().map(|(port, (udp, _))| (*port, &**udp));
        std::iter::once((PortId::MAIN, &*self.main.0)).chain(extra)
    }

    /// Waits until a datagram is at one of them.
    pub(super) async fn ready(&self) -> PortId {
        std::future::poll_fn(|cx| {
            let last = self.last.get();
            let in_turn = self.all().skip_while(|(port, _)| *port <= last).chain(self.all());
            // `all` is in order, so the second round ends where the first began; asking one twice costs nothing.
            let ready = { in_turn }.find(|(_, udp)| udp.poll_readable(cx).is_ready()).map(|(port, _)| port);
            ready.map_or(Poll::Pending, |port| {
                self.last.set(port);
                Poll::Ready(port)
            })
        })
        .await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a stranger's socket is no socket of the daemon")]
mod tests {
    use super::*;

    fn ports() -> Ports {
        let main = Arc::new(UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap());
        let quic = Arc::new(QuicSocket::new(Arc::clone(&main)));
        Ports::new(main, quic)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_port_that_is_always_ready_does_not_starve_the_others() {
        let mut ports = ports();
        let punch = PortId(PortId::FIRST_PUNCH.0);
        let number = ports.open(punch).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for to in [ports.local_addr(), SocketAddr::from(([127, 0, 0, 1], number))] {
            sender.send_to(b"x", to).unwrap();
        }
        // Nothing is read, so both stay ready, and they take turns.
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(ports.ready().await);
        }
        assert_ne!(seen.first(), seen.get(1), "{seen:?}");
        assert_eq!((seen.first(), seen.get(1)), (seen.get(2), seen.get(3)));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn ports_have_numbers_of_their_own_and_a_limit() {
        let mut ports = ports();
        let first = ports.open(PortId(16)).unwrap();
        assert_eq!(ports.open(PortId(16)).unwrap(), first, "open already");
        let mut opened = 1;
        while ports.open(PortId(16 + opened)).is_ok() {
            opened += 1;
        }
        assert_eq!(usize::from(opened), MAX_EXTRA);
        ports.close(PortId(16));
        assert!(ports.get(PortId(16)).is_none());
        assert!(ports.open(PortId(999)).is_ok(), "there is room again");
    }
}
