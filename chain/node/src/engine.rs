//! The consensus thread: the host with its log, driven by messages and time, publishing through the network.
//!
//! A thread of its own: executing a block takes as long as it takes, and the network must not wait for it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use alloy_primitives::Address;
use netchain_consensus::{Application, Config, Effect, Host, Keys, Message, Now, Peer, Tendermint, Timing};
use netchain_net::{NetCommand, NetHandle};
use netchain_types::ChainDomain;

use crate::chain::Chain;
use crate::wal_file::WalFile;

/// Messages waiting for the thread while it executes a block: more than a round of 21 witnesses says in a second.
const MAX_WAITING: usize = 4_096;
/// Longest sleep: the stop flag is looked at that often.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// What the thread is told.
pub enum Input {
    /// A message of a peer.
    Message(Peer, Message),
    /// End after the current step.
    Stop,
}

/// What the thread tells everybody.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Height being decided.
    pub height: AtomicU64,
    /// Round under way.
    pub round: AtomicU64,
    /// Times a proven liar was seen.
    pub evidence: AtomicU64,
    /// Messages dropped because the thread did not keep up.
    pub dropped: AtomicU64,
}

/// The way to the thread.
#[derive(Clone)]
pub struct EngineHandle {
    inputs: SyncSender<Input>,
    gauges: Arc<Gauges>,
}

impl EngineHandle {
    /// Hands over a message; dropped when the thread does not keep up: peers repeat what matters.
    pub fn message(&self, from: Peer, message: Message) {
        if self.inputs.try_send(Input::Message(from, message)).is_err() {
            self.gauges.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks the thread to end.
    pub fn stop(&self) {
        // Full: it looks at the queue's other end when the senders are gone.
        let _ = self.inputs.send(Input::Stop);
    }

    /// Numbers for operators.
    #[must_use]
    pub fn gauges(&self) -> &Gauges {
        &self.gauges
    }
}

/// Who this node is in consensus.
pub struct EngineConfig {
    /// The chain instance.
    pub domain: ChainDomain,
    /// Account of the witness, or any that is in no set.
    pub account: Address,
    /// Its vote key.
    pub keys: Box<dyn Keys + Send>,
    /// Waiting times.
    pub timing: Timing,
}

/// Vote keys as the host wants them.
struct ThreadKeys(Box<dyn Keys + Send>);

impl Keys for ThreadKeys {
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes)
    }
}

/// Why the thread ended.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log cannot be written: nothing may be signed any more.
    #[error("the write-ahead log of consensus failed: {0}")]
    Wal(#[from] std::io::Error),
    /// The host cannot go on.
    #[error("consensus stopped: {0}")]
    Halt(&'static str),
}

/// Starts the thread. `ended` is called with what made it end.
///
/// # Errors
/// The log cannot be opened, or the thread not started.
pub fn start(
    config: EngineConfig,
    chain: Chain,
    wal: &Path,
    net: NetHandle,
    ended: impl FnOnce(Result<(), EngineError>) + Send + 'static,
) -> std::io::Result<EngineHandle> {
    let (inputs, receiver) = sync_channel(MAX_WAITING);
    let (wal, log) = WalFile::open(wal)?;
    let gauges = Arc::new(Gauges::default());
    let handle = EngineHandle { inputs, gauges: gauges.clone() };
    let run = move || {
        let engine = Engine { wal, net, gauges, began: Instant::now(), account: config.account };
        ended(engine.run(config, chain, &log, &receiver));
    };
    std::thread::Builder::new().name("consensus".to_owned()).spawn(run)?;
    Ok(handle)
}

struct Engine {
    wal: WalFile,
    net: NetHandle,
    gauges: Arc<Gauges>,
    began: Instant,
    account: Address,
}

type ChainHost = Host<Chain, Tendermint>;

impl Engine {
    fn now(&self) -> Now {
        let unix_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Now { mono_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX), unix_s }
    }

    fn run(
        mut self,
        config: EngineConfig,
        chain: Chain,
        log: &[u8],
        inputs: &Receiver<Input>,
    ) -> Result<(), EngineError> {
        let host_config = Config { chain: config.domain, account: config.account, timing: config.timing };
        let mut host = ChainHost::start(host_config, Box::new(ThreadKeys(config.keys)), chain, log, self.now());
        self.announce_tip(&host);
        loop {
            self.perform(&mut host)?;
            let due = host.poll_timeout().map(Duration::from_micros);
            let wait = due.map_or(LONGEST_WAIT, |due| due.saturating_sub(self.began.elapsed()).min(LONGEST_WAIT));
            match inputs.recv_timeout(wait) {
                Ok(Input::Message(from, message)) => host.handle_message(self.now(), from, message),
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.now();
            if host.poll_timeout().is_some_and(|due| due <= now.mono_us) {
                host.handle_timeout(now);
            }
        }
    }

    /// Performs what the host asks for, strictly in order.
    fn perform(&mut self, host: &mut ChainHost) -> Result<(), EngineError> {
        while let Some(effect) = host.poll_effect() {
            match effect {
                Effect::WalCut(length) => self.wal.cut(length)?,
                Effect::WalReset(bytes) => self.wal.reset(&bytes)?,
                Effect::WalAppend(bytes) => self.wal.append(&bytes)?,
                Effect::WalSync => self.wal.sync()?,
                Effect::Broadcast(message) => {
                    self.net.send(NetCommand::Broadcast(message));
                }
                Effect::Send(to, message) => {
                    self.net.send(NetCommand::Send(to, message));
                }
                Effect::Committed(height, hash) => {
                    tracing::info!(height, %hash, round = host.round(), "block");
                    self.announce_tip(host);
                    self.publish_own(host, height);
                }
                Effect::Evidence(evidence) => {
                    self.gauges.evidence.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(account = %evidence.account, height = evidence.height, "a witness signed two statements");
                }
                Effect::Halt(why) => return Err(EngineError::Halt(why)),
            }
        }
        self.gauges.height.store(host.height(), Ordering::Relaxed);
        self.gauges.round.store(u64::from(host.round()), Ordering::Relaxed);
        Ok(())
    }

    fn announce_tip(&self, host: &ChainHost) {
        let tip = host.app().tip();
        self.net.send(NetCommand::Witnesses(vec![tip.next, tip.voted]));
        self.net.send(NetCommand::Tip(tip.height, tip.hash));
    }

    /// Full nodes hear of a block from its creator; if that one is gone, they ask.
    fn publish_own(&self, host: &ChainHost, height: u64) {
        let header = host.app().store().header(height).ok().flatten();
        if header.is_some_and(|header| header.beneficiary == self.account)
            && let Some(block) = host.app().certified(height)
        {
            self.net.send(NetCommand::PublishBlock(block));
        }
    }
}
