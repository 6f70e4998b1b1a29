//! The task that owns the swarm, and what goes in and out of it.

mod events;
mod run;
mod witness;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use libp2p::gossipsub::MessageId;
use libp2p::{Multiaddr, PeerId};
use netchain_consensus::{CertifiedBlock, Keys, Message};
use netchain_types::{ChainDomain, WitnessSet};
use tokio::sync::{mpsc, watch};

use crate::sync::Progress;
use crate::wire::{SyncRequest, SyncResponse};

/// Commands waiting for the task. Votes of a round of 21 and a block's worth of gossip fit many times.
const MAX_COMMANDS: usize = 1_024;
/// Events waiting for the node.
const MAX_EVENTS: usize = 1_024;

/// Why the network does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// A library refused its configuration.
    #[error("the network stack refused its {0}")]
    Setup(&'static str),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(Multiaddr, String),
}

/// The key that proves this node to be a witness.
#[derive(Clone)]
pub struct WitnessKey {
    /// Account of the witness.
    pub account: Address,
    /// Its vote key.
    pub keys: Arc<dyn Keys + Send + Sync>,
}

/// What the network is to be.
pub struct NetConfig {
    /// The chain instance; nodes of another one are not spoken to.
    pub chain: ChainDomain,
    /// ed25519 secret of the libp2p identity: 32 bytes.
    pub identity: [u8; 32],
    /// Addresses to listen on.
    pub listen: Vec<Multiaddr>,
    /// Addresses others reach this node at, besides those it listens on.
    pub external: Vec<Multiaddr>,
    /// Nodes to begin with; their addresses end in `/p2p/<peer id>`.
    pub bootnodes: Vec<Multiaddr>,
    /// Set when this node is a witness.
    pub witness: Option<WitnessKey>,
    /// Whether to fetch blocks above the tip. Off while a snapshot is fetched: blocks before it lead nowhere.
    pub sync_blocks: bool,
}

/// Reference to a gossiped message that waits for the node's verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub(crate) id: MessageId,
    pub(crate) source: PeerId,
}

/// What the node thinks of a gossiped message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Accept,
    /// Neither good nor bad: keep it to ourselves.
    Ignore,
    /// Provably bad: whoever forwarded it loses score.
    Reject,
}

/// Into the task.
#[derive(Clone, Debug)]
pub enum NetCommand {
    /// To every witness.
    Broadcast(Message),
    /// To one peer: over its witness stream; a block request to a full node goes over the sync protocol.
    Send(u64, Message),
    /// A block this node decided, for everybody.
    PublishBlock(CertifiedBlock),
    /// Transactions this node took from its own users.
    PublishTransactions(Vec<Bytes>),
    /// Answer to a ticket.
    Verdict(Ticket, Verdict),
    /// Answer to a request.
    Respond(u64, SyncResponse),
    /// Ask one peer, or whoever is best when 0; the answer comes as [`NetEvent::Response`].
    Request(u64, SyncRequest),
    /// The sets whose members are witnesses now.
    Witnesses(Vec<WitnessSet>),
    /// The tip moved.
    Tip(u64, B256),
}

/// Out of the task.
#[derive(Clone, Debug)]
pub enum NetEvent {
    /// From a witness, over its authenticated stream.
    Consensus {
        /// The peer.
        from: u64,
        /// The message; its own signature is not checked yet.
        message: Message,
    },
    /// A certified block, by gossip or by sync. Verified by the consumer: here only gossiped ones are, before they are
    /// passed on.
    Block {
        /// The peer it came from.
        from: u64,
        /// The block.
        block: CertifiedBlock,
    },
    /// Gossiped transactions, waiting for a verdict.
    Transactions(Ticket, Vec<Bytes>),
    /// A peer asks; answer with [`NetCommand::Respond`] and this number.
    Request(u64, SyncRequest),
    /// Answer to a [`NetCommand::Request`]; none when it failed.
    Response(u64, Option<SyncResponse>),
}

/// A connected peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its number in commands and events.
    pub number: u64,
    /// Its peer id.
    pub id: String,
    /// Account of the witness it proved to be.
    pub witness: Option<Address>,
    /// Height it claims.
    pub height: u64,
}

/// What the network looks like from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetStatus {
    /// This node's peer id.
    pub peer_id: String,
    /// Addresses listened on, with the peer id.
    pub listen: Vec<String>,
    /// Connected peers.
    pub peers: Vec<PeerStatus>,
    /// Witnesses with an open stream to them.
    pub witnesses: usize,
    /// Block sync.
    pub sync: Progress,
    /// Messages dropped because the node or a peer did not keep up.
    pub dropped: u64,
}

/// The way to the task. When it is dropped the task ends.
#[derive(Clone, Debug)]
pub struct NetHandle {
    commands: mpsc::Sender<NetCommand>,
    status: watch::Receiver<NetStatus>,
}

impl NetHandle {
    /// Gives a command; false when the task is gone or does not keep up, and the command is lost. Consensus and gossip repeat.
    pub fn send(&self, command: NetCommand) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// The network as it is now.
    #[must_use]
    pub fn status(&self) -> NetStatus {
        self.status.borrow().clone()
    }

    /// Wakes when the status changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<NetStatus> {
        self.status.clone()
    }
}

/// Starts the network on the current tokio runtime.
///
/// # Errors
/// See [`NetError`].
pub fn start(config: NetConfig) -> Result<(NetHandle, mpsc::Receiver<NetEvent>), NetError> {
    let (command_sender, commands) = mpsc::channel(MAX_COMMANDS);
    let (events, event_receiver) = mpsc::channel(MAX_EVENTS);
    let (status_sender, status) = watch::channel(NetStatus::default());
    let task = run::Task::new(config, events, status_sender)?;
    tokio::spawn(task.run(commands));
    Ok((NetHandle { commands: command_sender, status }, event_receiver))
}

/// The name of a peer as consensus and sync know it: from its peer id, so that it stays the same.
pub(crate) fn number(peer: &PeerId) -> u64 {
    let hash = alloy_primitives::keccak256(peer.to_bytes());
    hash.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte)).max(1)
}
