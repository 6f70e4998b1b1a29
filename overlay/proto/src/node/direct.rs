//! Direct links: what this node knows of its own place in the underlay, and the ladder of attempts to reach peers without a relay.

use std::net::SocketAddr;

use super::api::{LocalInterface, PortMapping};
use super::{Node, canonical};
use crate::endpoint::PortId;
use crate::time::Now;

/// Interface addresses looked at; more belong to a machine that has other ways to say what to use.
const MAX_INTERFACES: usize = 64;

/// What the shell told about this machine.
#[derive(Default)]
pub(super) struct Local {
    pub(super) interfaces: Vec<LocalInterface>,
    pub(super) mapping: Option<PortMapping>,
}

impl Node {
    /// The addresses of this machine's interfaces, at the start and whenever they change. Overlay TUNs and loopback are left out.
    pub fn handle_interfaces(&mut self, now: Now, mut interfaces: Vec<LocalInterface>) {
        interfaces.truncate(MAX_INTERFACES);
        self.local.interfaces = interfaces;
        self.settle(now);
    }

    /// What became of [`Output::PortOpen`](super::Output::PortOpen): the local port number, or one line why not.
    pub fn handle_port_open(&mut self, now: Now, port: PortId, local_port: Result<u16, String>) {
        let _ = (port, local_port);
        self.settle(now);
    }

    /// The gateway's mapping of the main port, when there is one or when it changed.
    pub fn handle_port_map(&mut self, now: Now, mapping: Option<PortMapping>) {
        self.local.mapping = mapping;
        self.settle(now);
    }

    /// The system has no way to send from this port to this address (no route, interface down).
    pub fn handle_unreachable(&mut self, now: Now, port: PortId, to: SocketAddr) {
        let _ = (port, canonical(to));
        self.settle(now);
    }
}
