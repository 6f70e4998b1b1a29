//! What a node answers its peers: gossiped transactions judged, blocks and snapshots handed out.

use std::sync::Arc;

use alloy_primitives::Bytes;
use netchain_consensus::Message;
use netchain_consensus::message::MAX_MESSAGE_BYTES;
use netchain_net::{NetCommand, NetEvent, NetHandle, SyncRequest, SyncResponse, Ticket, Verdict};
use netchain_store::Store;
use tokio::sync::{Semaphore, mpsc};

use crate::chain::certified;
use crate::cpu::{Work, spend};
use crate::engine::EngineHandle;
use crate::snapshots::Snapshots;
use crate::txpool::{SubmitError, TxPool};

/// Batches of gossiped transactions checked at a time: signatures are work, and consensus needs the cores too.
const MAX_CHECKS: usize = 2;
/// Batches that wait for a check, at most 256 KiB each. Beyond, they are dropped: their senders gossip them again.
const MAX_BATCHES: usize = 64;
/// Questions of peers answered at a time.
const MAX_ANSWERS: usize = 4;

/// What answers the network.
pub struct Node {
    /// State and blocks.
    pub store: Store,
    /// Waiting transactions.
    pub pool: Arc<TxPool>,
    /// Peers.
    pub net: NetHandle,
    /// Consensus.
    pub engine: EngineHandle,
    /// Snapshots for new nodes.
    pub snapshots: Arc<Snapshots>,
}

impl Node {
    /// Serves the network until it ends.
    pub async fn events(self: Arc<Self>, events: mpsc::Receiver<NetEvent>) {
        let (batches, waiting) = mpsc::channel(MAX_BATCHES);
        tokio::join!(self.clone().check_batches(waiting), self.dispatch(events, batches));
    }

    /// Checks gossiped transactions, some batches at a time.
    async fn check_batches(self: Arc<Self>, mut waiting: mpsc::Receiver<(Ticket, Vec<Bytes>)>) {
        let checks = Arc::new(Semaphore::new(MAX_CHECKS));
        while let Some((ticket, raws)) = waiting.recv().await {
            let Ok(permit) = checks.clone().acquire_owned().await else { return };
            let node = self.clone();
            tokio::task::spawn_blocking(move || {
                let verdict = node.check(&raws);
                node.net.send(NetCommand::Verdict(ticket, verdict));
                drop(permit);
            });
        }
    }

    /// Hands every event on without ever waiting: votes must not queue behind signatures of transactions.
    async fn dispatch(
        self: Arc<Self>,
        mut events: mpsc::Receiver<NetEvent>,
        batches: mpsc::Sender<(Ticket, Vec<Bytes>)>,
    ) {
        let answers = Arc::new(Semaphore::new(MAX_ANSWERS));
        while let Some(event) = events.recv().await {
            match event {
                NetEvent::Consensus { from, message } => self.engine.message(from, message),
                NetEvent::Block { from, block } => self.engine.message(from, Message::Block(block)),
                NetEvent::Transactions(ticket, raws) => {
                    if let Err(error) = batches.try_send((ticket, raws)) {
                        let (ticket, _) = error.into_inner();
                        self.net.send(NetCommand::Verdict(ticket, Verdict::Ignore));
                    }
                }
                NetEvent::Request(id, request) => {
                    let node = self.clone();
                    match answers.clone().try_acquire_owned() {
                        Ok(permit) => drop(tokio::task::spawn_blocking(move || {
                            let response = spend(Work::Answers, || node.answer(request));
                            node.net.send(NetCommand::Respond(id, response));
                            drop(permit);
                        })),
                        Err(_) => drop(self.net.send(NetCommand::Respond(id, SyncResponse::Busy))),
                    }
                }
                NetEvent::Response(..) => {}
            }
        }
    }

    /// Takes gossiped transactions. One that is none condemns the batch; one that the pool does not want, does not.
    fn check(&self, raws: &[Bytes]) -> Verdict {
        let outcomes = self.pool.submit_all(raws, false);
        if outcomes.iter().any(|outcome| matches!(outcome, Err(SubmitError::Decode(_)))) {
            return Verdict::Reject;
        }
        if outcomes.iter().any(Result::is_ok) { Verdict::Accept } else { Verdict::Ignore }
    }

    fn answer(&self, request: SyncRequest) -> SyncResponse {
        match request {
            SyncRequest::Blocks(from, count) => {
                let (mut blocks, mut bytes) = (Vec::new(), 0);
                for height in from..from.saturating_add(count.min(netchain_net::wire::MAX_BLOCKS)) {
                    let Some(block) = certified(&self.store, height) else { break };
                    let encoded = Message::Block(block).encode();
                    bytes += encoded.len() + 16;
                    if !blocks.is_empty() && bytes > MAX_MESSAGE_BYTES {
                        break;
                    }
                    blocks.push(Bytes::from(encoded));
                }
                SyncResponse::Blocks(blocks)
            }
            SyncRequest::Snapshots => SyncResponse::Snapshots(self.snapshots.offered()),
            SyncRequest::Chunk(height, index) => SyncResponse::Chunk(self.snapshots.chunk(height, index)),
            SyncRequest::SetChanges(after) => {
                let changes = self.store.set_changes(after, netchain_net::wire::MAX_SET_CHANGES);
                SyncResponse::SetChanges(changes.unwrap_or_default())
            }
            // The network answers this one itself.
            SyncRequest::Status(_) => SyncResponse::Busy,
        }
    }
}
