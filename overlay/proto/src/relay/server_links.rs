//! Accepted control links: who is at the other end, and what each may ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use netflow_wire::control::{CONTROL_VERSION, ControlMessage, refused_code};
use netflow_wire::{NetworkId, NodeId};
use rand_core::CryptoRng;

use super::batch::Pull;
use super::bucket::Bucket;
use super::config::{Carrier, LinkId};
use super::hosted::Staging;
use super::server::{RelayOutput, RelayServer};
use crate::endpoint::Endpoint;
use crate::time::Now;

/// Control links accepted. A link costs a QUIC connection in the shell, which is the larger part.
const MAX_LINKS: usize = 4_096;
/// Messages out of turn after which a link is closed.
const MAX_STRIKES: u32 = 32;
/// Path queries of one link: a node with many peers starts, and then goes on.
const QUERIES_PER_SECOND: u32 = 4;
const QUERIES_BURST: u32 = 16;
/// Reachability probes and questions about the time of one link: a classification needs a handful.
const PROBES_PER_SECOND: u32 = 8;

/// One accepted control link.
pub(super) struct ServerLink {
    pub(super) node: NodeId,
    pub(super) remote: SocketAddr,
    pub(super) carrier: Carrier,
    pub(super) greeted: bool,
    pub(super) attached: BTreeSet<NetworkId>,
    pub(super) staging: Option<Staging>,
    /// Log entries being fetched over this link, by attached network.
    pub(super) pulls: BTreeMap<NetworkId, Pull>,
    strikes: u32,
    /// Start of the minute the budgets below belong to.
    pub(super) minute_us: u64,
    /// Joins asked for in this minute.
    pub(super) joins: u32,
    /// Log bytes sent on request in this minute.
    pub(super) pulled_bytes: usize,
    pub(super) queries: Bucket,
    pub(super) probes: Bucket,
}

impl RelayServer {
    /// A control link was accepted.
    pub fn handle_link_up(&mut self, now: Now, link: LinkId, node: NodeId, remote: SocketAddr, carrier: Carrier) {
        if self.links.len() >= MAX_LINKS {
            self.emit(RelayOutput::Close { link });
            return;
        }
        if let Some(old) = self.by_node.insert(node, link) {
            self.drop_link(now, old);
            self.emit(RelayOutput::Close { link: old });
        }
        self.links.insert(
            link,
            ServerLink {
                node,
                remote,
                carrier,
                greeted: false,
                attached: BTreeSet::new(),
                staging: None,
                pulls: BTreeMap::new(),
                strikes: 0,
                minute_us: now.mono_us,
                joins: 0,
                pulled_bytes: 0,
                queries: Bucket::new(QUERIES_PER_SECOND, QUERIES_BURST, now),
                probes: Bucket::new(PROBES_PER_SECOND, PROBES_PER_SECOND, now),
            },
        );
        let (tier, software) = (self.tier, self.software.clone());
        self.send(link, ControlMessage::Hello { version: CONTROL_VERSION, tier, software });
    }

    /// A control link is gone. Address and circuits stay for a minute: a connection that breaks must not stop packets.
    pub fn handle_link_down(&mut self, now: Now, link: LinkId) {
        self.drop_link(now, link);
    }

    /// The address of a control link changed: most likely that of the data path did too.
    pub fn handle_link_address(&mut self, now: Now, link: LinkId, remote: SocketAddr, rng: &mut dyn CryptoRng) {
        self.mesh.moved(link, remote);
        let Some(node) = self.links.get_mut(&link).map(|state| {
            state.remote = remote;
            state.node
        }) else {
            return;
        };
        // From the port its datagrams came to: another one would not pass its NAT.
        if let Some(Endpoint::Udp { port, addr }) = self.binds.address(&node)
            && addr != remote
            && let Some(bytes) = self.binds.challenge(now, &node, remote, rng)
        {
            self.emit(RelayOutput::Datagram { to: Endpoint::Udp { port, addr: remote }, bytes });
        }
    }

    /// A message that an honest client would not have sent. A few are forgiven: links and logs change under way.
    pub(super) fn strike(&mut self, link: LinkId, text: &str) {
        self.refuse(link, None, refused_code::UNEXPECTED, text);
        let Some(state) = self.links.get_mut(&link) else { return };
        state.strikes = state.strikes.saturating_add(1);
        if state.strikes > MAX_STRIKES {
            self.emit(RelayOutput::Close { link });
        }
    }

    pub(super) fn greet(&mut self, link: LinkId, message: &ControlMessage) {
        if matches!(message, ControlMessage::Hello { version: CONTROL_VERSION, .. }) {
            if let Some(state) = self.links.get_mut(&link) {
                state.greeted = true;
            }
        } else {
            self.refuse(link, None, refused_code::VERSION, "this relay speaks control version 2, Hello first");
            self.emit(RelayOutput::Close { link });
        }
    }

    pub(super) fn drop_link(&mut self, now: Now, link: LinkId) {
        self.mesh_down(now, link);
        let Some(state) = self.links.remove(&link) else { return };
        if self.by_node.get(&state.node) == Some(&link) {
            self.by_node.remove(&state.node);
        }
        for network in &state.attached {
            if let Some(hosted) = self.hosted.get_mut(network)
                && hosted.attached.get(&state.node) == Some(&link)
            {
                hosted.attached.remove(&state.node);
            }
        }
        self.binds.link_lost(now, &state.node, link);
    }

    pub(super) fn link_of(&self, node: &NodeId) -> Option<LinkId> {
        self.by_node.get(node).copied()
    }
}
