//! What the swarm reports.

use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, gossipsub, identify, request_response};
use netchain_consensus::Message;

use super::run::{Asked, Task, forget};
use super::{NetEvent, Ticket, Verdict, number};
use crate::AnnounceError;
use crate::behaviour::BehaviourEvent;
use crate::wire::{SyncRequest, SyncResponse, decode_batch};

/// Addresses taken from one peer's identification.
const MAX_PEER_ADDRESSES: usize = 8;

impl Task {
    pub(super) fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        #[allow(clippy::wildcard_enum_match_arm)] // most events are the swarm's own business
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening for peers");
                self.listen.push(address);
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => self.listen.retain(|it| *it != address),
            SwarmEvent::ConnectionEstablished { peer_id, num_established, .. } if num_established.get() == 1 => {
                tracing::debug!(peer = %peer_id, "connected");
                self.peers.insert(number(&peer_id), peer_id);
                let request = SyncRequest::Status(self.tip.0);
                self.request(number(&peer_id), request, Asked::Status);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => forget(self, &peer_id),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.gossip_event(event),
            SwarmEvent::Behaviour(BehaviourEvent::Sync(event)) => self.sync_event(event),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(event)) => self.identify_event(event),
            _ => {}
        }
    }

    fn identify_event(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id, info, .. } = event else { return };
        if info.protocol_version != self.names.identify {
            // Another chain, or no node of ours at all.
            tracing::debug!(peer = %peer_id, theirs = info.protocol_version, "another network");
            self.swarm.behaviour_mut().kad.remove_peer(&peer_id);
            let _ = self.swarm.disconnect_peer_id(peer_id);
            return;
        }
        for address in info.listen_addrs.into_iter().take(MAX_PEER_ADDRESSES) {
            self.swarm.behaviour_mut().kad.add_address(&peer_id, address);
        }
        if info.protocols.contains(&self.names.consensus) {
            self.witnesses.meet(peer_id);
        }
    }

    fn gossip_event(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message { propagation_source: source, message_id: id, message } = event else { return };
        let ticket = Ticket { id, source };
        if message.topic == self.names.transactions.hash() {
            match decode_batch(&message.data) {
                Ok(txs) => {
                    if !self.tell(NetEvent::Transactions(ticket.clone(), txs)) {
                        self.verdict(&ticket, Verdict::Ignore);
                    }
                }
                Err(_) => self.verdict(&ticket, Verdict::Reject),
            }
        } else if message.topic == self.names.blocks.hash() {
            self.gossiped_block(ticket, &message.data);
        } else if message.topic == self.names.witnesses.hash() {
            let unix_s = self.unix_s();
            let verdict = match self.witnesses.judge(&message.data, unix_s) {
                Ok(()) => Verdict::Accept,
                Err(AnnounceError::Old | AnnounceError::Unknown | AnnounceError::Clock) => Verdict::Ignore,
                Err(AnnounceError::Encoding | AnnounceError::Signature) => Verdict::Reject,
            };
            self.verdict(&ticket, verdict);
        }
    }

    fn gossiped_block(&mut self, ticket: Ticket, bytes: &[u8]) {
        match Message::decode(bytes) {
            Ok(Message::Block(block)) => {
                let from = number(&ticket.source);
                // Old ones and those far ahead are of no use here; sync asks for what is missing.
                let near = block.block.height() > self.tip.0 && block.block.height() <= self.tip.0 + 2;
                let verdict = match near.then(|| self.witnesses.certified(&block)).flatten() {
                    Some(true) => Verdict::Accept,
                    Some(false) => Verdict::Reject,
                    None => Verdict::Ignore,
                };
                self.verdict(&ticket, verdict);
                if verdict == Verdict::Accept {
                    self.tell(NetEvent::Block { from, block });
                }
            }
            Ok(
                Message::Vote(_)
                | Message::Proposal(_)
                | Message::Polka(_)
                | Message::Round(_)
                | Message::BlockRequest(_),
            )
            | Err(_) => self.verdict(&ticket, Verdict::Reject),
        }
    }

    fn sync_event(&mut self, event: request_response::Event<SyncRequest, SyncResponse>) {
        match event {
            request_response::Event::Message { peer, message, .. } => match message {
                request_response::Message::Request { request, channel, .. } => self.asked_by(&peer, request, channel),
                request_response::Message::Response { request_id, response } => {
                    if let Some((peer, why)) = self.asked.remove(&request_id) {
                        self.answer(peer, &why, Some(response));
                    }
                }
            },
            request_response::Event::OutboundFailure { request_id, .. } => {
                if let Some((peer, why)) = self.asked.remove(&request_id) {
                    self.answer(peer, &why, None);
                }
            }
            request_response::Event::InboundFailure { .. } | request_response::Event::ResponseSent { .. } => {}
        }
    }

    fn asked_by(
        &mut self,
        peer: &PeerId,
        request: SyncRequest,
        channel: request_response::ResponseChannel<SyncResponse>,
    ) {
        if let SyncRequest::Status(height) = request {
            self.sync.set_peer(number(peer), height);
            let response = SyncResponse::Status(self.tip.0, self.tip.1);
            let _ = self.swarm.behaviour_mut().sync.send_response(channel, response);
            self.pump_sync();
        } else {
            self.question(request, channel);
        }
    }

    fn answer(&mut self, peer: u64, why: &Asked, response: Option<SyncResponse>) {
        let now = self.now_us();
        match (why, response) {
            (Asked::Status, Some(SyncResponse::Status(height, _))) => self.sync.set_peer(peer, height),
            (Asked::Sync, Some(SyncResponse::Blocks(blocks))) => {
                let decode = |bytes: &alloy_primitives::Bytes| match Message::decode(bytes) {
                    Ok(Message::Block(block)) => Some((block, bytes.len())),
                    Ok(_) | Err(_) => None,
                };
                match blocks.iter().map(decode).collect::<Option<Vec<_>>>() {
                    Some(blocks) => drop(self.sync.answered(now, peer, blocks)),
                    None => self.sync.failed(now, peer),
                }
            }
            (Asked::Sync, _) => self.sync.failed(now, peer),
            (Asked::Node, Some(SyncResponse::Blocks(blocks))) => {
                if let Some(Ok(Message::Block(block))) = blocks.first().map(|bytes| Message::decode(bytes)) {
                    self.tell(NetEvent::Block { from: peer, block });
                }
            }
            (Asked::Node, response) => drop(self.tell(NetEvent::Response(peer, response))),
            (Asked::Status, _) => {}
        }
        self.pump_sync();
    }
}
