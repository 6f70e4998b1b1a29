//! The loop: swarm, commands, streams and a tick.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use alloy_primitives::B256;
use libp2p::futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::Swarm;
use libp2p::{Multiaddr, PeerId, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::IncomingStreams;
use netchain_consensus::{Message, message::MAX_MESSAGE_BYTES};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::witness::Witnesses;
use super::{NetCommand, NetConfig, NetError, NetEvent, NetStatus, PeerStatus, Verdict, number};
use crate::behaviour::{Behaviour, Names};
use crate::sync::BlockSync;
use crate::wire::{SyncRequest, SyncResponse, encode_batches};

/// Questions of peers that the node has not answered yet. Beyond, peers hear "busy".
const MAX_QUESTIONS: usize = 64;
/// Own questions under way: status, blocks and one more of each of 192 connections.
const MAX_ASKED: usize = 576;
const TICK: Duration = Duration::from_millis(250);
/// Between asking each peer where it is.
const STATUS_TICKS: u64 = 8;
/// Between dialling bootnodes while this node is alone.
const BOOT_TICKS: u64 = 8;
/// An idle connection is kept: gossip and consensus are quiet for seconds between blocks.
const IDLE: Duration = Duration::from_secs(600);

pub(super) enum Asked {
    Sync,
    Status,
    Node,
}

pub(super) struct Task {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) names: Names,
    pub(super) events: mpsc::Sender<NetEvent>,
    status: watch::Sender<NetStatus>,
    incoming: IncomingStreams,
    pub(super) witnesses: Witnesses,
    pub(super) sync: BlockSync,
    sync_blocks: bool,
    pub(super) tip: (u64, B256),
    /// Connected peers by number.
    pub(super) peers: BTreeMap<u64, PeerId>,
    pub(super) questions: BTreeMap<u64, ResponseChannel<SyncResponse>>,
    next_question: u64,
    pub(super) asked: std::collections::HashMap<OutboundRequestId, (u64, Asked)>,
    pub(super) listen: Vec<Multiaddr>,
    bootnodes: Vec<Multiaddr>,
    pub(super) dropped: u64,
    started: Instant,
    ticks: u64,
}

impl Task {
    pub(super) fn new(
        config: NetConfig,
        events: mpsc::Sender<NetEvent>,
        status: watch::Sender<NetStatus>,
    ) -> Result<Self, NetError> {
        let names = Names::new(&config.chain)?;
        let key = Keypair::ed25519_from_bytes(config.identity).map_err(|_| NetError::Setup("identity"))?;
        let behaviour = Behaviour::new(&key, &names)?;
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
            .map_err(|_| NetError::Setup("TCP transport"))?
            .with_quic()
            .with_behaviour(|_| behaviour)
            .map_err(|_| NetError::Setup("behaviour"))?
            .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE))
            .build();
        for address in config.listen {
            swarm.listen_on(address.clone()).map_err(|error| NetError::Listen(address, error.to_string()))?;
        }
        for address in config.external {
            swarm.add_external_address(address);
        }
        let mut control = swarm.behaviour().streams.new_control();
        let incoming = control.accept(names.consensus.clone()).map_err(|_| NetError::Setup("stream protocol"))?;
        let witnesses =
            Witnesses::new(config.chain, config.witness, *swarm.local_peer_id(), control, names.consensus.clone());
        Ok(Self {
            swarm,
            names,
            events,
            status,
            incoming,
            witnesses,
            sync: BlockSync::default(),
            sync_blocks: config.sync_blocks,
            tip: (0, B256::ZERO),
            peers: BTreeMap::new(),
            questions: BTreeMap::new(),
            next_question: 1,
            asked: std::collections::HashMap::new(),
            listen: Vec::new(),
            bootnodes: config.bootnodes,
            dropped: 0,
            started: Instant::now(),
            ticks: 0,
        })
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<NetCommand>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.swarm_event(event),
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    // Every handle is gone: the node stops.
                    None => return,
                },
                stream = self.incoming.next() => if let Some((peer, stream)) = stream {
                    self.witnesses.accept(peer, stream);
                },
                hello = self.witnesses.next_hello() => self.witnesses.admit(hello, self.unix_s(), &self.events),
                _ = tick.tick() => self.tick(),
            }
        }
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn unix_s(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    fn command(&mut self, command: NetCommand) {
        match command {
            NetCommand::Broadcast(message) => self.dropped += self.witnesses.broadcast(&message),
            NetCommand::Send(to, message) => self.send(to, message),
            NetCommand::PublishBlock(block) => self.publish(true, Message::Block(block).encode()),
            NetCommand::PublishTransactions(txs) => {
                encode_batches(&txs).into_iter().for_each(|batch| self.publish(false, batch));
            }
            NetCommand::Verdict(ticket, verdict) => self.verdict(&ticket, verdict),
            NetCommand::Respond(id, response) => {
                if let Some(channel) = self.questions.remove(&id) {
                    // Fails when the peer is gone: nothing to do.
                    let _ = self.swarm.behaviour_mut().sync.send_response(channel, response);
                }
            }
            NetCommand::Request(to, request) => self.request(to, request, Asked::Node),
            NetCommand::Witnesses(sets) => self.witnesses.set(sets),
            NetCommand::Tip(height, hash) => {
                self.tip = (height, hash);
                let now = self.now_us();
                self.sync.set_tip(now, height);
                self.pump_sync();
            }
        }
    }

    fn send(&mut self, to: u64, message: Message) {
        match (self.witnesses.send(to, &message), message) {
            (true, _) => {}
            (false, Message::BlockRequest(height)) => self.request(to, SyncRequest::Blocks(height, 1), Asked::Node),
            (false, _) => self.dropped += 1,
        }
    }

    fn publish(&mut self, block: bool, bytes: Vec<u8>) {
        let topic = if block { &self.names.blocks } else { &self.names.transactions };
        if bytes.len() > MAX_MESSAGE_BYTES {
            return;
        }
        // Without peers there is nobody to tell: they will ask.
        let _ = self.swarm.behaviour_mut().gossip.publish(topic.hash(), bytes);
    }

    pub(super) fn verdict(&mut self, ticket: &super::Ticket, verdict: Verdict) {
        use libp2p::gossipsub::MessageAcceptance as A;
        let acceptance = match verdict {
            Verdict::Accept => A::Accept,
            Verdict::Ignore => A::Ignore,
            Verdict::Reject => A::Reject,
        };
        self.swarm.behaviour_mut().gossip.report_message_validation_result(&ticket.id, &ticket.source, acceptance);
    }

    pub(super) fn request(&mut self, to: u64, request: SyncRequest, why: Asked) {
        let to = if to == 0 { self.peers.keys().next().copied().unwrap_or(0) } else { to };
        match self.peers.get(&to).copied() {
            Some(peer) if self.asked.len() < MAX_ASKED => {
                let id = self.swarm.behaviour_mut().sync.send_request(&peer, request);
                self.asked.insert(id, (to, why));
            }
            _ if matches!(why, Asked::Node) => drop(self.tell(NetEvent::Response(to, None))),
            _ => {}
        }
    }

    /// A peer asks something only the node can answer.
    pub(super) fn question(&mut self, request: SyncRequest, channel: ResponseChannel<SyncResponse>) {
        let id = self.next_question;
        if self.questions.len() >= MAX_QUESTIONS || self.events.try_send(NetEvent::Request(id, request)).is_err() {
            let _ = self.swarm.behaviour_mut().sync.send_response(channel, SyncResponse::Busy);
            return;
        }
        self.next_question += 1;
        self.questions.insert(id, channel);
    }

    /// Hands an event to the node, or drops it when the node does not keep up: whatever it was, peers say it again.
    pub(super) fn tell(&mut self, event: NetEvent) -> bool {
        let told = self.events.try_send(event).is_ok();
        self.dropped += u64::from(!told);
        told
    }

    /// Asks for blocks and hands on what is next.
    pub(super) fn pump_sync(&mut self) {
        if !self.sync_blocks {
            return;
        }
        let now = self.now_us();
        while let Some((peer, from, count)) = self.sync.poll_request(now) {
            self.request(peer, SyncRequest::Blocks(from, count), Asked::Sync);
        }
        // Half of the queue stays free for votes.
        while self.events.capacity() > self.events.max_capacity() / 2 {
            let Some((from, block)) = self.sync.poll_block() else { return };
            self.tell(NetEvent::Block { from, block });
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        if self.ticks % STATUS_TICKS == 1 {
            let request = SyncRequest::Status(self.tip.0);
            for peer in self.peers.keys().copied().collect::<Vec<_>>() {
                self.request(peer, request, Asked::Status);
            }
        }
        if self.ticks % BOOT_TICKS == 1 && self.peers.len() < self.bootnodes.len() {
            self.dial_bootnodes();
        }
        let unix_s = self.unix_s();
        if let Some(bytes) = self.witnesses.tick(self.ticks, unix_s, &self.listen) {
            let topic = self.names.witnesses.hash();
            let _ = self.swarm.behaviour_mut().gossip.publish(topic, bytes);
        }
        for (peer, addresses) in self.witnesses.to_dial(self.ticks) {
            if !self.swarm.is_connected(&peer) {
                let options = libp2p::swarm::dial_opts::DialOpts::peer_id(peer).addresses(addresses).build();
                let _ = self.swarm.dial(options);
            }
        }
        self.pump_sync();
        self.report();
    }

    fn dial_bootnodes(&mut self) {
        let me = *self.swarm.local_peer_id();
        for address in self.bootnodes.clone() {
            let Some(libp2p::multiaddr::Protocol::P2p(peer)) = address.iter().last() else { continue };
            if peer != me && !self.swarm.is_connected(&peer) {
                self.swarm.behaviour_mut().kad.add_address(&peer, address.clone());
                let _ = self.swarm.dial(address);
            }
        }
    }

    fn peer_list(&self) -> Vec<PeerStatus> {
        let status = |(number, id): (&u64, &PeerId)| PeerStatus {
            number: *number,
            id: id.to_string(),
            witness: self.witnesses.witness_of(id),
            height: self.sync.height_of(*number),
        };
        self.peers.iter().map(status).collect()
    }

    fn report(&self) {
        let me = self.swarm.local_peer_id();
        let status = NetStatus {
            peer_id: me.to_string(),
            listen: self.listen.iter().map(|address| format!("{address}/p2p/{me}")).collect(),
            peers: self.peer_list(),
            witnesses: self.witnesses.connected(),
            sync: self.sync.progress(),
            dropped: self.dropped,
        };
        self.status.send_if_modified(|old| {
            let new = *old != status;
            *old = status;
            new
        });
    }
}

/// Forgets which peer a number was.
pub(super) fn forget(task: &mut Task, peer: &PeerId) {
    let id = number(peer);
    task.peers.remove(&id);
    task.sync.remove_peer(id);
    task.witnesses.gone(peer);
}
