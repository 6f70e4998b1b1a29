//! The sockets that strangers reach, bound while the privileges for low ports are there.

use std::net::SocketAddr;
use std::sync::Arc;

use netflow_overlay::PortId;
use netflow_sys::tcp;
use netflow_sys::udp::UdpSocket;
use tokio::net::TcpListener;

use super::Daemon;
use super::start::in_use;
use crate::config::Config;
use crate::exit::Failure;
use crate::io::Ports;
use crate::link::{Listeners, QuicSocket, WEB_PORT};

/// The main port, and what a relay listens on besides.
pub(super) struct Sockets {
    main: UdpSocket,
    alternate: Option<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Sockets {
    /// Binds what the configuration wants. Only the main port is necessary; what else cannot be had is a warning.
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        let main = UdpSocket::bind(config.listen).map_err(|error| in_use("UDP", &config.listen, &error))?;
        let bound = main.local_addr();
        let web = SocketAddr::new(config.listen.ip(), WEB_PORT);
        let wants_web = config.max_links > 0 && config.listen_443 && bound.port() != WEB_PORT;
        let alternate = wants_web.then(|| optional("UDP", web, UdpSocket::bind(web))).flatten();
        let mut tcp = Vec::new();
        if config.max_links > 0 {
            // The number of the main port comes from the socket: it may have been chosen by the kernel.
            let own = SocketAddr::new(config.listen.ip(), bound.port());
            tcp.extend(optional("TCP", own, tcp::listen(own)));
        }
        if wants_web {
            tcp.extend(optional("TCP", web, tcp::listen(web)));
        }
        Ok(Self { main, alternate, tcp })
    }

    /// The sockets for packets, and the places where links are accepted.
    pub(super) fn into_parts(self) -> (Ports, Listeners) {
        let main = Arc::new(self.main);
        let quic = Arc::new(QuicSocket::new(Arc::clone(&main)));
        let mut ports = Ports::new(main, quic);
        let alternate_quic = self.alternate.map(|socket| {
            let socket = Arc::new(socket);
            let quic = Arc::new(QuicSocket::new(Arc::clone(&socket)));
            ports.adopt(PortId::ALT_443, socket, Some(Arc::clone(&quic)));
            quic
        });
        (ports, Listeners { alternate_quic, tcp: self.tcp })
    }
}

fn optional<T>(protocol: &str, address: SocketAddr, bound: std::io::Result<T>) -> Option<T> {
    bound
        .inspect_err(|error| {
            tracing::warn!(%error, "cannot listen on {protocol} {address}; members whose network blocks UDP may not reach this relay");
        })
        .ok()
}

impl Daemon {
    /// Tells the node the numbers of its ports.
    pub(super) fn announce_ports(&mut self) {
        let now = self.now();
        let main = (PortId::MAIN, self.io.ports().local_addr());
        let ports = std::iter::once(main).chain(self.io.ports().extra()).collect::<Vec<_>>();
        for (port, address) in ports {
            self.node.handle_port_open(now, port, Ok(address.port()));
        }
    }
}
