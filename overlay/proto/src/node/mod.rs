//! The whole node as a state machine: links, datagrams and packets in, [`Output`]s out (architecture.md, "The grammar of every core").
//!
//! Cut by the state each part owns: [`network`] a network and what of it is on disk, [`links`] control links to relays,
//! [`peers`] and [`peer`] who traffic goes to, [`paths`] how, [`probes`] pings under way. On top of them, by what they do: `control` (messages
//! of relays), `sync` (logs), `join`, `circuits` (frames and handshakes), `measure` (paths), `inside` (packets), `commands` and `queries`.

mod api;
mod circuits;
mod commands;
mod control;
mod create;
mod direct;
mod event;
mod fragments;
mod gate;
mod inside;
mod join;
mod links;
mod measure;
mod members;
mod netcheck;
mod network;
mod outbox;
mod packet;
mod parts;
mod paths;
mod peer;
mod peers;
mod plane;
mod probes;
mod queries;
mod restore;
mod routes;
mod spread;
mod sync;
mod via;
mod views;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use netflow_wire::relay::RelayFrame;
use netflow_wire::{Datagram, FrameKind, NetworkId, NodeId, RelayInfo, Tier, classify_datagram};
use rand_core::CryptoRng;

pub use api::*;
pub use commands::check_member_name;
pub use plane::PacketSink;
pub(crate) use via::Via;

use self::direct::{Direct, Local as LocalNet};
use self::links::Links;
use self::network::Network;
use self::outbox::{Local, Outbox, SELF_CLIENT, SELF_CLIENT_ADDR, SELF_RELAY_ADDR, SELF_SERVER};
use self::peers::Peers;
use self::probes::Probes;
use self::routes::Routes;
use crate::endpoint::Endpoint;
use crate::identity::{NodeKeys, Signatures, SignedRecord};
use crate::relay::{RelayOutput, RelayServer};
use crate::session::{SessionEvent, SessionTable};
use crate::time::{Now, WallClock};

/// Rounds of internal work after one input. Every round consumes something that was bounded when it came in; the limit is
/// there so that a mistake costs a late packet and not the event loop.
const MAX_ROUNDS: usize = 10_000;

/// One overlay node, every tier.
///
/// Feed it with `handle_*`, then drain [`Node::poll_output`] and set a timer for [`Node::poll_timeout`]. Commands and queries
/// may come at any time; drain the outputs after a command before showing its answer.
pub struct Node {
    keys: NodeKeys,
    id: NodeId,
    record: SignedRecord,
    kem_key: Vec<u8>,
    tier: Tier,
    name: String,
    software: String,
    default_relays: Vec<RelayInfo>,
    pq: crate::session::PqMode,
    mtu: u16,
    boot_epoch: u32,
    rng: Box<dyn CryptoRng + Send>,
    outbox: Outbox,
    networks: BTreeMap<NetworkId, Network>,
    links: Links,
    sessions: SessionTable,
    peers: Peers,
    probes: Probes,
    knocks: measure::Knocks,
    local: LocalNet,
    routes: Routes,
    direct: Direct,
    gate: gate::InitGate,
    relay: Option<RelayServer>,
    relay_config: Option<RelayConfig>,
    signatures: Arc<dyn Signatures>,
    counters: Counters,
    wall: WallClock,
    plane: plane::Plane,
}

impl Node {
    /// One of our frames that came over the stream of a [`Carrier::Stream`] link.
    pub fn handle_link_frame(&mut self, now: Now, link: LinkId, frame: &mut [u8]) {
        self.counters.rx_datagrams = self.counters.rx_datagrams.saturating_add(1);
        self.datagram(now, Endpoint::Carrier(link), frame);
        self.settle(now);
    }

    /// A control link is up; `peer` is the key the other side proved. `outgoing`: this side dialled.
    /// With [`Carrier::Quic`], `remote` is also where datagrams for (or from) the other side's data path go.
    pub fn handle_link_up(
        &mut self,
        now: Now,
        link: LinkId,
        peer: NodeId,
        remote: SocketAddr,
        outgoing: bool,
        carrier: Carrier,
    ) {
        if outgoing {
            self.relay_link_up(now, link, peer, canonical(remote), carrier);
        } else if let Some(relay) = &mut self.relay {
            relay.handle_link_up(now, link, peer, canonical(remote), carrier);
        } else {
            self.outbox.close(link);
        }
        self.settle(now);
    }

    /// A dial asked for by [`Output::LinkConnect`] failed; `error` is one line for people.
    pub fn handle_link_failed(&mut self, now: Now, node: &NodeId, error: &str) {
        self.links.link_failed(now, node, error);
    }

    /// One control message (CBOR, without its length prefix). A message that does not parse closes the link.
    pub fn handle_link_message(&mut self, now: Now, link: LinkId, message: &[u8]) {
        match netflow_wire::ControlMessage::decode(message) {
            Ok(message) => self.link_message(now, link, message),
            Err(_) => {
                self.counters.rx_refused = self.counters.rx_refused.saturating_add(1);
                self.outbox.close(link);
                self.link_gone(now, link);
            }
        }
        self.settle(now);
    }

    /// The remote address of a link changed (QUIC migration).
    pub fn handle_link_address(&mut self, now: Now, link: LinkId, remote: SocketAddr) {
        if let Some(relay) = &mut self.relay {
            relay.handle_link_address(now, link, canonical(remote), self.rng.as_mut());
        }
        self.settle(now);
    }

    /// A link is gone.
    pub fn handle_link_down(&mut self, now: Now, link: LinkId) {
        self.link_gone(now, link);
        self.settle(now);
    }

    /// Timers. Call when [`Node::poll_timeout`] is reached; calling early is harmless.
    pub fn handle_timeout(&mut self, now: Now) {
        // Most timers are those of one path. Only what is due is looked at.
        let is_due = |at_us: Option<u64>| at_us.is_some_and(|at_us| at_us <= now.mono_us);
        if is_due(self.sessions.poll_timeout()) {
            self.sessions.handle_timeout(now, self.rng.as_mut());
        }
        if let Some(relay) = &mut self.relay
            && is_due(relay.poll_timeout())
        {
            relay.handle_timeout(now, self.rng.as_mut());
        }
        if is_due(self.links.poll_timeout()) {
            self.links_timeout(now);
        }
        self.joins_timeout(now);
        self.peers_timeout(now);
        if is_due(self.next_probe_due()) {
            self.probes_timeout(now);
        }
        if is_due(self.routes.poll_timeout()) {
            self.routes_timeout(now);
        }
        if is_due(self.next_direct_due()) || self.direct.has_ports() {
            self.direct_timeout(now);
        }
        self.settle(now);
    }

    /// When [`Node::handle_timeout`] is due, in [`Now::mono_us`].
    pub fn poll_timeout(&self) -> Option<u64> {
        let relay = self.relay.as_ref().and_then(RelayServer::poll_timeout);
        let own = [self.links.poll_timeout(), self.next_join_due(), self.peers.next_due(), self.next_probe_due()];
        let own = own.into_iter().chain([self.next_direct_due(), self.routes.poll_timeout()]);
        own.chain([relay, self.sessions.poll_timeout()]).flatten().min()
    }

    /// The next side effect.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    // ---- inside

    fn datagram(&mut self, now: Now, from: Endpoint, datagram: &mut [u8]) {
        let known = match classify_datagram(datagram) {
            Datagram::Frame(kind) => match kind {
                FrameKind::Relay => self.relayed(now, from, datagram),
                FrameKind::RelayBind | FrameKind::RelayBindConfirm => match &mut self.relay {
                    Some(relay) => relay.handle_frame(now, from, kind, datagram, self.rng.as_mut()),
                    None => false,
                },
                FrameKind::RelayChallenge | FrameKind::RelayBound => self.bind_frame(now, from, kind, datagram),
                FrameKind::HandshakeInit | FrameKind::HandshakeResponse | FrameKind::CookieReply | FrameKind::Data => {
                    self.direct_frame(now, from, datagram)
                }
                FrameKind::ReachProbe => self.reach_probe(now, from, datagram),
                FrameKind::RelayEcho => self.relay_echo(now, from, datagram),
            },
            Datagram::Stun => self.own_stun(now, from, datagram) || self.stun(now, from, datagram),
            Datagram::Quic | Datagram::Unknown => false,
        };
        if !known {
            self.counters.rx_unknown = self.counters.rx_unknown.saturating_add(1);
        }
    }

    /// Frame 0x18: for a circuit of ours, or to be sent on by our relay service.
    fn relayed(&mut self, now: Now, from: Endpoint, datagram: &mut [u8]) -> bool {
        let Ok(mut frame) = RelayFrame::new_checked(&mut *datagram) else { return false };
        let (label, epoch) = (frame.label(), frame.epoch());
        if let Some((peer, key)) = self.peers.by_label(from, label) {
            let via = self.peers.get(&peer).and_then(|state| state.via(&key));
            return via.filter(|via| via.label.is_some_and(|(_, open)| open == epoch)).is_some_and(|via| {
                self.session_frame(now, peer, &via, frame.inner_mut());
                true
            });
        }
        match &mut self.relay {
            Some(relay) => relay.handle_frame(now, from, FrameKind::Relay, datagram, self.rng.as_mut()),
            None => false,
        }
    }

    /// Does the work that an input left behind, until nothing is left.
    fn settle(&mut self, now: Now) {
        for _ in 0..MAX_ROUNDS {
            let busy = self.settle_relay(now) | self.settle_sessions(now) | self.settle_local(now);
            if !(busy | self.settle_peers(now)) {
                break;
            }
        }
        self.counters.queue_full = self.counters.queue_full.saturating_add(std::mem::take(&mut self.outbox.dropped));
    }

    fn settle_relay(&mut self, now: Now) -> bool {
        let mut busy = false;
        while let Some(output) = self.relay.as_mut().and_then(RelayServer::poll_output) {
            busy = true;
            match output {
                RelayOutput::Send { link, message } => self.outbox.send(link, message),
                RelayOutput::Close { link } => {
                    self.outbox.close(link);
                    // A mesh link this node dialled: dial it again.
                    if self.links.relay_of(link).is_some() {
                        self.link_gone(now, link);
                    }
                }
                RelayOutput::Datagram { to, bytes } => self.outbox.datagram(to, bytes),
                RelayOutput::Append { network, raw } => self.outbox.persist(Persist::HostedAppend { network, raw }),
                RelayOutput::Meta { network, bytes } => self.outbox.persist(Persist::HostedMeta { network, bytes }),
                RelayOutput::Remove { network } => self.outbox.persist(Persist::HostedRemove { network }),
            }
        }
        busy
    }

    fn settle_sessions(&mut self, now: Now) -> bool {
        let mut busy = false;
        while let Some((peer, frame)) = self.sessions.poll_transmit() {
            busy = true;
            self.send_own_frame(&peer, &frame);
        }
        while let Some(event) = self.sessions.poll_event() {
            busy = true;
            match event {
                SessionEvent::Established { peer, first } => self.session_established(now, peer, first),
                // Pings time out by themselves and say why; what else waited is gone.
                SessionEvent::HandshakeFailed { .. } | SessionEvent::Expired { .. } => {}
            }
        }
        busy
    }

    fn settle_local(&mut self, now: Now) -> bool {
        let mut busy = false;
        while let Some(local) = self.outbox.pop_local() {
            busy = true;
            match local {
                Local::ToServer(message) => {
                    if let Some(relay) = &mut self.relay {
                        relay.handle_message(now, SELF_SERVER, message, self.rng.as_mut());
                    }
                }
                Local::ToClient(message) => self.link_message(now, SELF_CLIENT, message),
                Local::DatagramToServer(mut bytes) => self.datagram(now, Endpoint::main(SELF_CLIENT_ADDR), &mut bytes),
                Local::DatagramToClient(mut bytes) => self.datagram(now, Endpoint::main(SELF_RELAY_ADDR), &mut bytes),
            }
            // The relay's own queue comes first: a circuit must be known before its frames.
            self.settle_relay(now);
        }
        busy
    }
}

/// One spelling per address: a v4-mapped IPv6 address is the IPv4 address.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip if ip == addr.ip() => addr,
        ip => SocketAddr::new(ip, addr.port()),
    }
}
