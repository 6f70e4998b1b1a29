//! The host around the consensus core: messages, time and a log in; effects out. No socket, no clock, no file.
//!
//! One height: the core runs Tendermint over [`Nfc`](crate::context::Nfc); the application builds, judges and commits blocks;
//! the shell performs the effects **in order**. What a published message follows from is appended to the log and synced
//! before it: that order is in the queue, not in the shell's good will.
//!
//! The core runs with values apart from proposals: in its other mode it would take every signed block for valid, and the
//! application would never be asked.

mod check;
mod decide;
mod future;
mod io;
mod sync;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Duration;

use alloy_primitives::{Address, B256};
use arc_malachitebft_core_consensus as cc;
use arc_malachitebft_core_types as core;
use cc::{Input, Params, ProposedValue, State};
use core::{Round, SignedProposal, ThresholdParams, Timeout, Validity, ValueOrigin, ValuePayload};
use netchain_types::{Certificate, ChainDomain};

use crate::application::{Application, Now, Tip};
use crate::context::{Height, Nfc, Proposal, Seats, Voter};
use crate::evidence::Evidence;
use crate::keys::Keys;
use crate::message::Message;
use crate::timing::Timing;
use crate::wal::{Wal, input_frame, log_height, start_frame};
use future::Future;
use io::Io;
use sync::Sync;

/// Handed to the core as the target time of a height, so that it always waits for the host to end the height (it would
/// otherwise compare with a real clock): 100 years.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A node as the shell names it.
pub type Peer = u64;

/// What the shell is to do, strictly in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Cut the log to this length: a crash tore its end.
    WalCut(usize),
    /// Replace the log by these bytes, atomically (write aside, sync, rename). The block before is committed.
    WalReset(Vec<u8>),
    /// Append to the log.
    WalAppend(Vec<u8>),
    /// Make everything appended durable before doing anything that follows. If that fails, stop the process.
    WalSync,
    /// Send to every witness and full node.
    Broadcast(Message),
    /// Send to one.
    Send(Peer, Message),
    /// A block is committed.
    Committed(u64, B256),
    /// Somebody provably lied; for operators. It goes into a block by itself.
    Evidence(Evidence),
    /// This node cannot go on and must be looked at.
    Halt(&'static str),
}

/// Numbers that decide. Shipped: [`Tendermint`]. A parameter of the type, so that the simulator can run a wrong one.
pub trait Rules {
    /// Quorum and honest thresholds.
    fn thresholds() -> ThresholdParams;
}

/// More than two thirds decide, more than one third is heard.
#[derive(Clone, Copy, Debug)]
pub struct Tendermint;

impl Rules for Tendermint {
    fn thresholds() -> ThresholdParams {
        ThresholdParams::default()
    }
}

/// Who this node is.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The chain instance.
    pub chain: ChainDomain,
    /// Account of this witness; of a full node, any that is in no set.
    pub account: Address,
    /// Waiting times.
    pub timing: Timing,
}

/// A node of the chain, witness or follower.
pub struct Host<A, R = Tendermint> {
    app: A,
    core: State<Nfc>,
    io: Io,
    tip: Tip,
    account: Address,
    /// Certificate of the tip as this node knows it.
    last_commit: Option<Certificate>,
    pending_evidence: Vec<Evidence>,
    future: Future,
    sync: Sync,
    /// This node signs nothing below this height: its log of that height is gone.
    silent_below: u64,
    halted: bool,
    rules: PhantomData<R>,
}

impl<A: Application, R: Rules> Host<A, R> {
    /// Starts on the application's tip with the log the last run left (empty on the first).
    ///
    /// A log that is damaged before its end, or of a height the state has not reached, does not stop the node: it follows
    /// the chain and signs nothing until that height is over. It is never deleted to get going.
    pub fn start(config: Config, keys: Box<dyn Keys>, app: A, log: &[u8], now: Now) -> Self {
        let tip = app.tip();
        let height = tip.height + 1;
        let wal = Wal::read(log);
        let silent_below = match &wal {
            Ok(wal) => wal.height.filter(|at| *at > height).map_or(0, |at| at + 1),
            Err(_) => height.max(log_height(log).unwrap_or(0)) + 1,
        };
        let params = Params {
            address: Voter(config.account),
            threshold_params: R::thresholds(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: height >= silent_below,
        };
        let io = Io {
            chain: config.chain,
            keys,
            timing: config.timing,
            thresholds: R::thresholds(),
            set: tip.next.clone(),
            now,
            started_us: now.mono_us,
            timers: BTreeMap::new(),
            out: std::collections::VecDeque::new(),
            replayed: None,
            turn: None,
            finalized: None,
            authentic: false,
            logging: true,
            unsynced: false,
        };
        let mut host = Self {
            last_commit: app.certified(tip.height).map(|certified| certified.certificate),
            // The core's own queue holds nothing: messages of later heights are kept, bounded by witness, in `future`.
            core: State::new(Nfc, Height(height), Seats::new(&tip.next, &tip.order), params, 1, 1),
            app,
            io,
            tip,
            account: config.account,
            pending_evidence: Vec::new(),
            future: Future::default(),
            sync: Sync::default(),
            silent_below,
            halted: false,
            rules: PhantomData,
        };
        match wal {
            Ok(wal) if wal.height == Some(height) => host.replay(wal, log.len()),
            _ => host.begin_height(),
        }
        host.settle();
        host
    }

    /// The application, for reading.
    pub fn app(&self) -> &A {
        &self.app
    }

    /// Height being decided.
    pub fn height(&self) -> u64 {
        self.tip.height + 1
    }

    /// Round under way.
    pub fn round(&self) -> u32 {
        self.core.round().as_u32().unwrap_or(0)
    }

    /// Takes a decoded message. Hostile ones change nothing.
    pub fn handle_message(&mut self, now: Now, from: Peer, message: Message) {
        self.io.now = now;
        if self.halted {
            return;
        }
        match message {
            Message::BlockRequest(height) => {
                if let Some(certified) = self.app.certified(height) {
                    self.io.out.push_back(Effect::Send(from, Message::Block(certified)));
                }
            }
            Message::Block(certified) => self.take_certified(certified),
            message if message.height() > self.height() => self.take_future(from, message),
            message if message.height() == self.height() => self.deliver(message),
            // Of a height that is over.
            Message::Vote(_) | Message::Proposal(_) | Message::Polka(_) | Message::Round(_) => {}
        }
        self.settle();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.io.now = now;
        if self.halted {
            return;
        }
        while let Some(key) = self.io.timers.iter().find(|(_, (at, _))| *at <= now.mono_us).map(|(key, _)| *key) {
            if let Some((_, timeout)) = self.io.timers.remove(&key) {
                self.timeout(timeout);
                self.settle();
            }
        }
        self.ask_when_due();
        self.settle();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), in microseconds of the monotonic clock.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.io.timers.values().map(|(at, _)| *at).chain(self.sync.due_us()).min()
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.io.out.pop_front()
    }

    fn timeout(&mut self, timeout: Timeout) {
        let repeats = timeout.kind == core::TimeoutKind::Rebroadcast;
        if let Some(proposal) = repeats.then(|| self.own_proposal()).flatten() {
            self.io.publish(Message::Proposal(proposal));
        }
        self.feed(Input::TimeoutElapsed(timeout));
    }

    /// The proposal this node made in the round under way: the core repeats votes by itself, but not this.
    fn own_proposal(&self) -> Option<SignedProposal<Nfc>> {
        let (height, me) = (self.core.height(), Voter(self.account));
        let full = self.core.full_proposal_at_round_and_proposer(&height, self.core.round(), &me)?;
        self.core.params.enabled.then(|| full.proposal.clone())
    }

    /// One input through the core. An error of the core on outside input changes nothing but that input's fate.
    fn feed(&mut self, input: Input<Nfc>) -> bool {
        let (state, io) = (&mut self.core, &mut self.io);
        let result: Result<(), cc::Error<Nfc>> = cc::process!(input: input, state: state, metrics: &(), with: effect => Ok::<_, Infallible>(io.handle(effect)));
        result.is_ok()
    }

    /// Acts on what the core asked for, until it asks for nothing more.
    fn settle(&mut self) {
        while !self.halted {
            if let Some((certificate, evidence)) = self.io.finalized.take() {
                self.finish_height(&certificate, &evidence);
            } else if let Some((height, round)) = self.io.turn.take() {
                self.offer_block(height, round);
            } else {
                return;
            }
        }
    }

    fn begin_height(&mut self) {
        self.tip = self.app.tip();
        let height = self.height();
        self.io.set = self.tip.next.clone();
        self.io.started_us = self.io.now.mono_us;
        self.io.turn = None;
        self.core.params.enabled = height >= self.silent_below;
        // A log that this node may not vote by is kept as it is: it is evidence of what was signed.
        self.io.logging = self.core.params.enabled;
        if self.io.logging {
            self.io.out.push_back(Effect::WalReset(start_frame(height)));
            self.io.unsynced = true;
        }
        self.feed(self.start_input(false));
        for message in self.future.take(height) {
            self.deliver(message);
        }
        self.sync.begin_height(self.io.now, height);
    }

    fn start_input(&self, restart: bool) -> Input<Nfc> {
        let seats = Seats::new(&self.tip.next, &self.tip.order);
        Input::StartHeight(Height(self.height()), seats, restart, Some(NEVER), core::VoteExtensionPolicy::default())
    }

    /// Brings the core to where the log ends. Whatever was signed before is said again with the same signature.
    fn replay(&mut self, wal: Wal, log_bytes: usize) {
        if wal.good_bytes < log_bytes {
            self.io.out.push_back(Effect::WalCut(wal.good_bytes));
        }
        self.io.replayed = Some(wal.inputs.iter().filter_map(input_frame).collect());
        // Synced or not before the crash: now it must be, before anything is said again.
        self.io.unsynced = true;
        self.feed(self.start_input(true));
        self.core.index_wal_entries(wal.inputs.iter());
        for input in wal.inputs {
            if !self.feed(input) && self.core.params.enabled {
                // Replay derived another vote than the one signed: whatever the reason, this node must not sign here.
                self.silent_below = self.height() + 1;
                self.core.params.enabled = false;
            }
        }
        self.core.reset_entries_index();
        self.io.replayed = None;
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Vote(vote) => drop(self.feed(Input::Vote(vote))),
            Message::Polka(polka) => drop(self.feed(Input::PolkaCertificate(polka))),
            Message::Round(round) => drop(self.feed(Input::RoundCertificate(round))),
            Message::Proposal(proposal) => self.take_proposal(proposal),
            Message::BlockRequest(_) | Message::Block(_) => {}
        }
    }

    /// Whether this very proposal was taken before and its block judged: creators repeat theirs every second, and checking what binds a
    /// full block costs a third of executing it.
    fn is_known(&self, signed: &SignedProposal<Nfc>) -> bool {
        let Proposal { height, round, block, pol_round, voter } = &signed.message;
        let known = self.core.full_proposal_at_round_and_proposer(height, *round, voter);
        known.is_some_and(|known| {
            let said = &known.proposal.message;
            let same = said.block.hash() == block.hash() && said.pol_round == *pol_round;
            same && known.proposal.signature == signed.signature
        })
    }

    fn take_proposal(&mut self, signed: SignedProposal<Nfc>) {
        let Proposal { height, round, block, pol_round, voter } = signed.message.clone();
        if self.is_known(&signed) {
            return;
        }
        // A new block names the round it is offered in; one offered again was new in its pol round or before. Else a creator
        // could put the blame for skipped rounds aside. Dropped, not judged: the same hash may come again rightly.
        let named = Round::new(block.extra().round);
        let placed = if pol_round.is_nil() { named == round } else { named <= pol_round };
        if block.height() != height.0 || !placed || !self.app.binds(&block) {
            return;
        }
        // A creator may sign a thousand blocks for its round; the core keeps a few, and no other is executed.
        if self.core.exceeds_per_round_cap(height, round, &block.hash()) {
            return;
        }
        self.io.authentic = false;
        self.feed(Input::Proposal(signed));
        let known = self.core.full_proposal_keeper.get_value_by_id(&height, &block.hash());
        // Judged only when the creator's signature was good and the block is new here: execution is what costs.
        let waiting = known.is_none() || self.core.full_proposal_at_round_and_value(&height, round, &block).is_none();
        if !self.io.authentic || self.height() != height.0 || !waiting {
            return;
        }
        let valid = self.check(&block, Some(self.io.now)).is_ok() && self.app.validate(&block).is_ok();
        let validity = Validity::from_bool(valid);
        let value = ProposedValue { height, round, valid_round: pol_round, proposer: voter, value: block, validity };
        self.feed(Input::ProposedValue(value, ValueOrigin::Consensus));
    }
}
