//! Direct links: what this node knows of its own place in the underlay, and the ladder of attempts to reach peers without a relay.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netflow_wire::inner::Candidates;

use super::Node;
use super::api::{LocalInterface, PortMapping};
use crate::endpoint::PortId;
use crate::session::PeerRef;
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
        let ways_out = |interfaces: &[LocalInterface]| -> BTreeSet<IpAddr> {
            interfaces.iter().filter(|interface| interface.has_default_route).map(|interface| interface.addr).collect()
        };
        let is_new = !self.local.interfaces.is_empty() && ways_out(&interfaces) != ways_out(&self.local.interfaces);
        self.local.interfaces = interfaces;
        if is_new {
            self.uplink_changed(now);
        }
        self.settle(now);
    }

    /// What became of [`Output::PortOpen`](super::Output::PortOpen): the local port number, or one line why not.
    pub fn handle_port_open(&mut self, now: Now, port: PortId, local_port: Result<u16, String>) {
        if let (PortId::STUN_ALT, Some(relay)) = (port, &mut self.relay) {
            relay.set_other_port(local_port.is_ok());
        }
        self.settle(now);
    }

    /// The gateway's mapping of the main port, when there is one or when it changed.
    pub fn handle_port_map(&mut self, now: Now, mapping: Option<PortMapping>) {
        self.local.mapping = mapping;
        self.settle(now);
    }

    // ---- what the paths tell the search

    /// A peer says where it may be reached.
    pub(super) fn candidates_from_peer(&mut self, now: Now, peer: PeerRef, candidates: Candidates) {
        let _ = (now, peer, candidates);
    }

    /// A probe of ours was answered: there is a direct path now.
    pub(super) fn direct_found(&mut self, now: Now, peer: PeerRef, port: PortId, addr: SocketAddr) {
        let _ = (now, peer, port, addr);
    }

    /// A peer saw us at this address when our probe came from this port.
    pub(super) fn direct_observed(&mut self, now: Now, peer: PeerRef, port: PortId, observed: SocketAddr) {
        let _ = (now, peer, port, observed);
    }

    /// Traffic with a peer begins, or begins again.
    pub(super) fn direct_wanted(&mut self, now: Now, peer: PeerRef) {
        let _ = (now, peer);
    }

    /// The last direct path to a peer died.
    pub(super) fn direct_lost(&mut self, now: Now, peer: PeerRef) {
        let _ = (now, peer);
    }
}
