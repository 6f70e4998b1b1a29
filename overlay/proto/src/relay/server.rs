//! The relay service: hosts logs, keeps joins, binds addresses, opens circuits, forwards frames.
//!
//! It is trusted with nothing but availability. Logs it keeps are signed by their networks; frames it forwards are sealed
//! between members; what it knows of a member is its key and its address. It serves the members of the networks it was
//! told to serve, within their quota, and nobody else (pitfall 12).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use netflow_wire::control::{ControlMessage, circuit_reason};
use netflow_wire::{FrameKind, NetworkId, NodeId, Tier};
use rand_core::CryptoRng;

use super::bind::{BindOutcome, Bindings};
use super::circuits::{Circuits, Owner};
use super::config::{LinkId, RelayConfig};
use super::hosted::Hosted;
use super::mesh::Mesh;
use super::quota::Meter;
use super::server_forward::Waiting;
use super::server_links::ServerLink;
use super::server_paths::PathService;
use super::server_probes::StunLimits;
use super::shaper::Shaper;
use super::wishes::Wishes;
use crate::endpoint::{Endpoint, Hops};
use crate::identity::{Signatures, Strict};
use crate::netlog::NetworkLog;
use crate::time::{Now, SECOND_US, WallClock};

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

/// The relay service of one node.
pub struct RelayServer {
    pub(super) me: NodeId,
    pub(super) tier: Tier,
    pub(super) software: String,
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
    pub(super) stun: StunLimits,
    pub(super) wall: WallClock,
    /// The shell has a second port for answers that must come from one.
    pub(super) has_other_port: bool,
    pub(super) signatures: Arc<dyn Signatures>,
    out: VecDeque<RelayOutput>,
    pub(super) forwarded_frames: u64,
    pub(super) forwarded_bytes: u64,
    pub(super) dropped_frames: u64,
    pub(super) quota_dropped_frames: u64,
    pub(super) queue_dropped_frames: u64,
    pub(super) forged_adverts: u64,
    pub(super) next_note_us: Option<u64>,
}

impl RelayServer {
    /// A relay that serves nobody yet; `key` is its `NodeKey`, which signs its adverts. Its epoch is random: labels of an earlier start never match.
    pub fn new(
        key: &SigningKey,
        tier: Tier,
        software: String,
        config: RelayConfig,
        now: Now,
        rng: &mut dyn CryptoRng,
    ) -> Self {
        let me = NodeId(key.verifying_key().to_bytes());
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
            mesh: Mesh::new(key.clone(), now),
            paths: PathService::default(),
            transit: BTreeMap::new(),
            shaper: None,
            stun: StunLimits::new(now, rng),
            wall: WallClock::default(),
            has_other_port: false,
            signatures: Arc::new(Strict),
            config,
            out: VecDeque::new(),
            forwarded_frames: 0,
            forwarded_bytes: 0,
            dropped_frames: 0,
            quota_dropped_frames: 0,
            queue_dropped_frames: 0,
            forged_adverts: 0,
            next_note_us: None,
        };
        server.apply_config(now);
        server
    }

    /// Takes somebody else's word for the signatures of logs that come from now on.
    pub(crate) fn set_signatures(&mut self, signatures: Arc<dyn Signatures>) {
        self.signatures = signatures;
    }

    /// Takes back a network stored before a restart, when it still has a quota here. A log that does not verify is
    /// forgotten: members bring it again.
    pub fn restore(&mut self, now: Now, network: NetworkId, log: Vec<Vec<u8>>, meta: Option<&[u8]>) {
        let entries = log.len();
        let restored = NetworkLog::from_entries_with(network, log, Arc::clone(&self.signatures)).ok();
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
            ControlMessage::TimeQuery { id } => self.tell_time(now, link, id),
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
            | ControlMessage::PathAnswer { .. }
            | ControlMessage::TimeAnswer { .. } => self.strike(link, "message out of turn"),
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
}
