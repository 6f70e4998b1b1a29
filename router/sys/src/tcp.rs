//! TCP sockets that carry packets.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections the kernel holds ready for us; each costs it a few hundred bytes.
const BACKLOG: i32 = 128;

/// Listens on `address`. `[::]` also serves IPv4, and becomes `0.0.0.0` on a machine without IPv6.
///
/// # Errors
/// The error of the failed call.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match listen_exactly(address) {
        Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && crate::udp::is_family_missing(&error) => {
            listen_exactly(SocketAddr::new([0, 0, 0, 0].into(), address.port()))
        }
        other => other,
    }
}

fn listen_exactly(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // For TCP this lets a restarted daemon bind while connections of the old one are still closing, and nothing else.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Prepares a connection that carries packets: no waiting for more to send (Nagle), at most `not_sent` bytes in the kernel that have not
/// left yet, and an end when what was sent is not acknowledged for `patience` (`TCP_USER_TIMEOUT`, RFC 5482).
///
/// # Errors
/// The error of the failed call.
pub fn prepare_carrier(stream: &TcpStream, not_sent: u32, patience: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_notsent_lowat(not_sent)?;
    socket.set_tcp_user_timeout(Some(patience))
}
