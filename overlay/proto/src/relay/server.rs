//! The relay service: hosts logs, keeps joins, binds addresses, opens circuits, forwards frames.
//!
//! It is trusted with nothing but availability. Logs it keeps are signed by their networks; frames it forwards are sealed
//! between members; what it knows of a member is its key and its address. It serves the members of the networks it was
//! told to serve, within their quota, and nobody else (pitfall 12).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use netflow_wire::control::{CONTROL_VERSION, ControlMessage, circuit_reason, refused_code};
use netflow_wire::{FrameKind, NetworkId, NodeId, Tier};
use rand_core::CryptoRng;

use super::batch::Pull;
use super::bind::{BindOutcome, Bindings};
use super::bucket::Bucket;
use super::circuits::{Circuits, Owner};
use super::config::{Carrier, LinkId, RelayConfig};
use super::hosted::{Hosted, Staging};
use super::mesh::Mesh;
use super::quota::Meter;
use super::server_forward::Waiting;
use super::server_paths::PathService;
use super::shaper::Shaper;
use super::wishes::Wishes;
use crate::endpoint::{Endpoint, Hops};
use crate::netlog::NetworkLog;
use crate::time::{Now, SECOND_US};

/// Control links accepted. A link costs a QUIC connection in the shell, which is the larger part.
const MAX_LINKS: usize = 4_096;
/// Messages out of turn after which a link is closed.
const MAX_STRIKES: u32 = 32;
/// Path queries of one link: a node with many peers starts, and then goes on.
const QUERIES_PER_SECOND: u32 = 4;
const QUERIES_BURST: u32 = 16;
/// Reachability probes of one link: a classification needs a handful.
const PROBES_PER_SECOND: u32 = 8;

/// A side effect of the relay service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RelayOutput {
    /// Send a control message.
    Send {
        /// Over this link.
        link: LinkId,
        /// The message.
        message: ControlMessage,
    },
    /// Close a link.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Send a frame.
    Datagram {
        /// Where to.
        to: Endpoint,
        /// Payload.
        bytes: Vec<u8>,
    },
    /// Append to the stored log of a network, before anything after this.
    Append {
        /// The network.
        network: NetworkId,
        /// Raw entry.
        raw: Vec<u8>,
    },
    /// Replace the notes on a network.
    Meta {
        /// The network.
        network: NetworkId,
        /// Opaque.
        bytes: Vec<u8>,
    },
    /// Forget a network.
    Remove {
        /// The network.
        network: NetworkId,
    },
}

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
    minute_us: u64,
    /// Joins asked for in this minute.
    pub(super) joins: u32,
    /// Log bytes sent on request in this minute.
    pub(super) pulled_bytes: usize,
    pub(super) queries: Bucket,
    pub(super) probes: Bucket,
}

/// The relay service of one node.
pub struct RelayServer {
    pub(super) me: NodeId,
    tier: Tier,
    software: String,
    pub(super) config: RelayConfig,
    pub(super) epoch: u16,
    pub(super) links: BTreeMap<LinkId, ServerLink>,
    pub(super) by_node: BTreeMap<NodeId, LinkId>,
    pub(super) hosted: BTreeMap<NetworkId, Hosted>,
    pub(super) binds: Bindings,
    pub(super) circuits: Circuits,
    pub(super) wishes: Wishes,
    pub(super) mesh: Mesh,
    pub(super) paths: PathService,
    /// What agreements with other relays used.
    pub(super) transit: BTreeMap<NodeId, Meter>,
    /// Frames that wait for the uplink, when its rate is known.
    pub(super) shaper: Option<Shaper<Waiting>>,
    out: VecDeque<RelayOutput>,
    pub(super) forwarded_frames: u64,
    pub(super) forwarded_bytes: u64,
    pub(super) dropped_frames: u64,
    pub(super) quota_dropped_frames: u64,
    pub(super) queue_dropped_frames: u64,
    pub(super) next_note_us: Option<u64>,
}

impl RelayServer {
    /// A relay that serves nobody yet. Its epoch is random: labels of an earlier start never match.
    pub fn new(
        me: NodeId,
        tier: Tier,
        software: String,
        config: RelayConfig,
        now: Now,
        rng: &mut dyn CryptoRng,
    ) -> Self {
        let [low, high, ..] = rng.next_u32().to_le_bytes();
        let mut server = Self {
            me,
            tier,
            software,
            epoch: u16::from_le_bytes([low, high]),
            links: BTreeMap::new(),
            by_node: BTreeMap::new(),
            hosted: BTreeMap::new(),
            binds: Bindings::new(now, rng),
            circuits: Circuits::new(config.max_circuits),
            wishes: Wishes::default(),
            mesh: Mesh::new(me, now),
            paths: PathService::default(),
            transit: BTreeMap::new(),
            shaper: None,
            config,
            out: VecDeque::new(),
            forwarded_frames: 0,
            forwarded_bytes: 0,
            dropped_frames: 0,
            quota_dropped_frames: 0,
            queue_dropped_frames: 0,
            next_note_us: None,
        };
        server.apply_config(now);
        server
    }

    /// Takes back a network stored before a restart, when it still has a quota here. A log that does not verify is
    /// forgotten: members bring it again.
    pub fn restore(&mut self, now: Now, network: NetworkId, log: Vec<Vec<u8>>, meta: Option<&[u8]>) {
        let entries = log.len();
        let restored = NetworkLog::from_entries(network, log).ok();
        match (self.quota_of(&network), restored) {
            (Some(quota), Some(log)) if self.names_me(&log) => {
                let mut hosted = Hosted::new(log, entries, quota, now);
                if let Some(meta) = meta {
                    hosted.restore_note(meta);
                }
                self.hosted.insert(network, hosted);
            }
            _ => self.out.push_back(RelayOutput::Remove { network }),
        }
    }

    /// The next side effect.
    pub fn poll_output(&mut self) -> Option<RelayOutput> {
        self.out.pop_front()
    }

    /// A control link was accepted.
    pub fn handle_link_up(&mut self, now: Now, link: LinkId, node: NodeId, remote: SocketAddr, carrier: Carrier) {
        if self.links.len() >= MAX_LINKS {
            self.out.push_back(RelayOutput::Close { link });
            return;
        }
        if let Some(old) = self.by_node.insert(node, link) {
            self.drop_link(now, old);
            self.out.push_back(RelayOutput::Close { link: old });
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
            self.out.push_back(RelayOutput::Datagram { to: Endpoint::Udp { port, addr: remote }, bytes });
        }
    }

    /// One message of a link.
    pub fn handle_message(&mut self, now: Now, link: LinkId, message: ControlMessage, rng: &mut dyn CryptoRng) {
        let Some(state) = self.links.get_mut(&link) else { return };
        if now.since(state.minute_us) >= 60 * SECOND_US {
            (state.minute_us, state.joins, state.pulled_bytes) = (now.mono_us, 0, 0);
        }
        if !state.greeted {
            self.greet(link, &message);
            return;
        }
        match message {
            ControlMessage::Attach { network } => self.attach(now, link, network, rng),
            ControlMessage::LogHeads { network, heads } => self.log_heads(link, network, heads),
            ControlMessage::LogPull { network, ranges } => self.log_pull(link, network, &ranges),
            ControlMessage::LogEntries { network, entries } => self.log_entries(now, link, network, entries, rng),
            ControlMessage::Publish { network, entries } => self.publish(now, link, network, entries, rng),
            request @ ControlMessage::JoinRequest { .. } => self.join_request(now, link, request, rng),
            refusal @ ControlMessage::JoinRefused { .. } => self.join_refused(link, refusal),
            ControlMessage::BindRequest => self.bind_request(now, link, rng),
            ControlMessage::CircuitOpen { network, peer, via } if via.is_empty() => {
                self.circuit_open(now, link, network, peer, rng);
            }
            ControlMessage::CircuitOpen { network, peer, via } => self.open_via(now, link, (network, peer), via, rng),
            ControlMessage::CircuitClosed { network, peer, via, .. } => {
                self.circuit_closed(link, network, peer, &via);
            }
            ControlMessage::Ping { id } => self.send(link, ControlMessage::Pong { id }),
            ControlMessage::ProbeMe { addr, token, alt } => self.probe_me(now, link, addr, token, alt),
            ControlMessage::PathQuery { network, peer, class } => {
                self.path_query(now, link, network, peer, class, rng);
            }
            ControlMessage::MeshHello => self.mesh_hello(now, link),
            message @ (ControlMessage::LinkState { .. }
            | ControlMessage::WhereIs { .. }
            | ControlMessage::Here { .. }
            | ControlMessage::CircuitExtend { .. }
            | ControlMessage::CircuitExtended { .. }
            | ControlMessage::CircuitRelease { .. }) => match self.mesh.by_link(link) {
                Some(node) => self.mesh_message(now, node, message, rng),
                None => self.strike(link, "a message of the mesh over another link"),
            },
            ControlMessage::Pong { .. } | ControlMessage::Refused { .. } => {}
            ControlMessage::Hello { .. }
            | ControlMessage::Attached { .. }
            | ControlMessage::JoinPending { .. }
            | ControlMessage::BindTicket { .. }
            | ControlMessage::CircuitOpened { .. }
            | ControlMessage::PathAnswer { .. } => self.strike(link, "message out of turn"),
        }
    }

    /// One frame for a relay (0x18, 0x19, 0x1B, 0x1E). `false`: not for us, nothing changed.
    pub fn handle_frame(
        &mut self,
        now: Now,
        from: Endpoint,
        kind: FrameKind,
        frame: &mut [u8],
        rng: &mut dyn CryptoRng,
    ) -> bool {
        let outcome = match (kind, from) {
            (FrameKind::Relay, _) => return self.forward(now, from, frame, rng),
            (FrameKind::RelayEcho, _) => return self.echo(now, from, frame),
            (FrameKind::RelayBind, Endpoint::Udp { addr, .. }) => self.binds.handle_bind(now, addr, frame, rng),
            (FrameKind::RelayBindConfirm, Endpoint::Udp { port, addr }) => {
                self.binds.handle_confirm(now, port, addr, frame, rng)
            }
            // A carrier has no address to prove: its link did.
            _ => return false,
        };
        match outcome {
            BindOutcome::Reply(bytes) => self.out.push_back(RelayOutput::Datagram { to: from, bytes }),
            BindOutcome::Bound(node, bytes) => {
                self.out.push_back(RelayOutput::Datagram { to: from, bytes });
                self.node_bound(now, node, rng);
            }
            BindOutcome::Drop => return false,
        }
        true
    }

    /// Timers: bindings without a link, circuits that do not grow, the mesh, frames that wait, notes on volume.
    pub fn handle_timeout(&mut self, now: Now, rng: &mut dyn CryptoRng) {
        for node in self.binds.expired(now) {
            self.binds.remove(&node);
            self.wishes.forget_asker(node, None);
            for key in self.circuits.of_owner(Owner::Member(node)) {
                self.close_circuit(&key, circuit_reason::PEER_OFFLINE, None);
                // The other end still wants it: it opens again when this one is back.
                if key.route == Hops::one(self.me) {
                    self.wishes.add(key.network, key.other(&node), node);
                }
            }
        }
        for key in self.circuits.overdue(now) {
            self.close_circuit(&key, circuit_reason::UNREACHABLE, None);
        }
        self.mesh_timeout(now, rng);
        self.paths_timeout(now);
        self.send_waiting(now);
        if self.next_note_us.is_some_and(|due| due <= now.mono_us) {
            self.next_note_us = None;
            for (network, hosted) in &mut self.hosted {
                if let Some(bytes) = hosted.note() {
                    self.out.push_back(RelayOutput::Meta { network: *network, bytes });
                }
            }
        }
    }

    /// When [`RelayServer::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<u64> {
        let own = [self.binds.next_expiry(), self.next_note_us, self.circuits.next_overdue()];
        let parts =
            [self.mesh.poll_timeout(), self.paths.next_due(), self.shaper.as_ref().and_then(Shaper::poll_timeout)];
        own.into_iter().chain(parts).flatten().min()
    }

    // ---- links

    pub(super) fn send(&mut self, link: LinkId, message: ControlMessage) {
        self.out.push_back(RelayOutput::Send { link, message });
    }

    pub(super) fn emit(&mut self, output: RelayOutput) {
        self.out.push_back(output);
    }

    pub(super) fn refuse(&mut self, link: LinkId, network: Option<NetworkId>, code: u8, text: &str) {
        self.send(link, ControlMessage::Refused { network, code, text: text.to_owned() });
    }

    /// A message that an honest client would not have sent. A few are forgiven: links and logs change under way.
    pub(super) fn strike(&mut self, link: LinkId, text: &str) {
        self.refuse(link, None, refused_code::UNEXPECTED, text);
        let Some(state) = self.links.get_mut(&link) else { return };
        state.strikes = state.strikes.saturating_add(1);
        if state.strikes > MAX_STRIKES {
            self.out.push_back(RelayOutput::Close { link });
        }
    }

    fn greet(&mut self, link: LinkId, message: &ControlMessage) {
        if matches!(message, ControlMessage::Hello { version: CONTROL_VERSION, .. }) {
            if let Some(state) = self.links.get_mut(&link) {
                state.greeted = true;
            }
        } else {
            self.refuse(link, None, refused_code::VERSION, "this relay speaks control version 1, Hello first");
            self.out.push_back(RelayOutput::Close { link });
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
