//! Requests whose answer comes later: creating (until a relay has the network), joining, pinging.

use std::collections::{BTreeMap, BTreeSet};

use netctl_api::{
    ApiError, ErrorCode, JoinEvent, JoinStage, NetworkCreateParams, NetworkJoinParams, PingEvent, PingParams,
    PingResult, TraceParams, TraceResult,
};
use netflow_overlay::identity::format_node_id;
use netflow_overlay::node::{Event, MemberInfo, PathInfo, TraceHopInfo};
use netflow_wire::NetworkId;

use crate::api::{Sink, view};

/// Joins and creations a daemon waits for at a time; more than the networks it can have is a loop in a script.
const MAX_WAITING: usize = 64;

/// Somebody waits for a network that was created here.
pub(super) struct Creating {
    pub(super) network: NetworkId,
    pub(super) sink: Sink,
    pub(super) deadline_us: u64,
    pub(super) published: bool,
}

/// Somebody waits for relays to name in a network to be created.
pub(super) struct Unnamed {
    pub(super) params: NetworkCreateParams,
    pub(super) sink: Sink,
    pub(super) deadline_us: u64,
}

/// Somebody waits for a join.
pub(super) struct Joining {
    pub(super) network: NetworkId,
    pub(super) sink: Sink,
    pub(super) started_us: u64,
    pub(super) deadline_us: u64,
    pub(super) outcome: Option<Result<(), ApiError>>,
}

/// Somebody watches a ping.
pub(super) struct Pinging {
    pub(super) member: MemberInfo,
    pub(super) sink: Sink,
    /// Numbers of the probes without an outcome.
    pub(super) open: BTreeSet<u32>,
    pub(super) schedule: Schedule,
    pub(super) rtts_us: Vec<u64>,
    pub(super) lost: u32,
    pub(super) last_problem: String,
}

/// Somebody waits for the hops of a path.
pub(super) struct Tracing {
    /// Without the round trips to relays.
    pub(super) result: TraceResult,
    pub(super) sink: Sink,
}

impl Tracing {
    fn finish(mut self, hops: &[TraceHopInfo]) {
        for hop in hops {
            let node = format_node_id(&hop.relay);
            if let Some(shown) = self.result.hops.iter_mut().find(|shown| shown.relay && shown.node == node) {
                shown.rtt_ms = hop.rtt_us.map(view::ms);
            }
        }
        self.sink.finish::<TraceParams>(Ok(self.result));
    }
}

/// Somebody waits for a measurement of the NAT.
pub(super) struct Netchecking {
    pub(super) sink: Sink,
    pub(super) deadline_us: u64,
}

/// When each probe leaves, and how long it may take.
#[derive(Clone, Copy)]
pub(super) struct Schedule {
    pub(super) started_us: u64,
    pub(super) interval_us: u64,
    pub(super) timeout_us: u64,
}

impl Schedule {
    fn deadline_us(&self, seq: u32) -> u64 {
        self.started_us + u64::from(seq) * self.interval_us + self.timeout_us
    }
}

/// Everything that waits.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) unnamed: Vec<Unnamed>,
    pub(super) creating: Vec<Creating>,
    pub(super) joining: Vec<Joining>,
    pub(super) pinging: BTreeMap<u64, Pinging>,
    /// Ends by itself within a second: the node says so.
    pub(super) tracing: BTreeMap<u64, Tracing>,
    pub(super) netchecks: Vec<Netchecking>,
}

impl Waiting {
    /// Whether one more may wait.
    pub(super) fn has_room(&self) -> bool {
        let soon = self.unnamed.len() + self.creating.len() + self.tracing.len() + self.netchecks.len();
        soon + self.joining.len() + self.pinging.len() < MAX_WAITING
    }

    /// When somebody runs out of patience.
    pub(super) fn deadline(&self) -> Option<u64> {
        let unnamed = self.unnamed.iter().map(|waiter| waiter.deadline_us);
        let creating = self.creating.iter().map(|waiter| waiter.deadline_us).chain(unnamed);
        let pings = self.pinging.values().filter_map(|waiter| Some(waiter.schedule.deadline_us(*waiter.open.first()?)));
        let netchecks = self.netchecks.iter().map(|waiter| waiter.deadline_us);
        creating.chain(self.joining.iter().map(|waiter| waiter.deadline_us)).chain(pings).chain(netchecks).min()
    }

    /// Tells the waiters about an event.
    pub(super) fn event(&mut self, event: &Event) {
        match event {
            Event::RelayAttached { network, .. } => {
                self.creating
                    .iter_mut()
                    .filter(|waiter| waiter.network == *network)
                    .for_each(|waiter| waiter.published = true);
                self.progress(network, JoinStage::Requested, "the request is at a relay");
            }
            Event::JoinWaiting { network, .. } => {
                self.progress(
                    network,
                    JoinStage::Waiting,
                    "the issuer of the invite is offline; the relay keeps the request",
                );
            }
            Event::JoinCompleted { network } => {
                self.progress(network, JoinStage::Accepted, "accepted");
                self.end_join(network, &Ok(()));
            }
            Event::JoinFailed { network, error } => self.end_join(network, &Err(view::error(error.clone()))),
            Event::PingReply { ping, seq, rtt_us, path } => {
                self.probe(*ping, *seq, Some((*rtt_us, path)), "");
            }
            Event::PingLost { ping, seq, text } => {
                self.probe(*ping, *seq, None, text);
            }
            Event::TraceDone { trace, hops } => {
                if let Some(waiter) = self.tracing.remove(trace) {
                    waiter.finish(hops);
                }
            }
            Event::NetworkUp(_)
            | Event::NetworkDown { .. }
            | Event::MembershipChanged { .. }
            | Event::RelayRefused { .. }
            | Event::MemberAdmitted { .. }
            | Event::PeerEstablished { .. }
            | Event::PathChanged { .. }
            | Event::MemberRevoked { .. }
            | Event::ForkDetected { .. } => {}
        }
    }

    fn progress(&self, network: &NetworkId, stage: JoinStage, text: &str) {
        for waiter in self.joining.iter().filter(|waiter| waiter.network == *network) {
            waiter.sink.event::<NetworkJoinParams>(&JoinEvent { stage, text: text.to_owned() });
        }
    }

    fn end_join(&mut self, network: &NetworkId, outcome: &Result<(), ApiError>) {
        for waiter in self.joining.iter_mut().filter(|waiter| waiter.network == *network) {
            waiter.outcome = Some(outcome.clone());
        }
    }

    fn probe(&mut self, ping: u64, seq: u32, answer: Option<(u64, &PathInfo)>, problem: &str) {
        let Some(waiter) = self.pinging.get_mut(&ping) else { return };
        if !waiter.open.remove(&seq) {
            return;
        }
        let (rtt_us, path) = answer.unzip();
        match rtt_us {
            Some(rtt_us) => waiter.rtts_us.push(rtt_us),
            None => {
                waiter.lost += 1;
                problem.clone_into(&mut waiter.last_problem);
            }
        }
        waiter.sink.event::<PingParams>(&PingEvent {
            seq: seq + 1,
            rtt_us,
            path: path.map(view::path_line),
            path_kind: path.map(view::path_kind),
        });
        if waiter.open.is_empty()
            && let Some(waiter) = self.pinging.remove(&ping)
        {
            waiter.finish();
        }
    }

    /// Counts probes as lost that took longer than the asker wants to wait; an answer after that is too late.
    pub(super) fn expire_probes(&mut self, now_us: u64) {
        let late =
            |waiter: &Pinging| waiter.open.first().copied().filter(|seq| waiter.schedule.deadline_us(*seq) <= now_us);
        while let Some((ping, seq)) = self.pinging.iter().find_map(|(ping, waiter)| Some((*ping, late(waiter)?))) {
            self.probe(ping, seq, None, "no answer in time");
        }
    }

    /// Networks to be created now that there are relays, or that waited too long for them.
    pub(super) fn take_unnamed(&mut self, now_us: u64, is_done: bool) -> Vec<Unnamed> {
        self.unnamed.extract_if(.., |waiter| is_done || waiter.deadline_us <= now_us).collect()
    }

    /// Creations that are published or out of time.
    pub(super) fn take_created(&mut self, now_us: u64) -> Vec<Creating> {
        self.creating.extract_if(.., |waiter| waiter.published || waiter.deadline_us <= now_us).collect()
    }

    /// Those who wait for a measurement that `is_over`, or that takes too long.
    pub(super) fn take_netchecks(&mut self, now_us: u64, is_over: bool) -> Vec<Netchecking> {
        self.netchecks.extract_if(.., |waiter| is_over || waiter.deadline_us <= now_us).collect()
    }

    /// Joins that ended and whose network `is_settled`, or that are out of time.
    pub(super) fn take_joined(&mut self, now_us: u64, is_settled: impl Fn(&NetworkId) -> bool) -> Vec<Joining> {
        self.joining
            .extract_if(.., |waiter| match &waiter.outcome {
                Some(Ok(())) => is_settled(&waiter.network) || waiter.deadline_us <= now_us,
                Some(Err(_)) => true,
                None => waiter.deadline_us <= now_us,
            })
            .collect()
    }

    /// Pings nobody watches any more.
    pub(super) fn abandoned(&mut self) -> Vec<u64> {
        self.pinging.extract_if(.., |_, waiter| waiter.sink.is_closed()).map(|(ping, _)| ping).collect()
    }
}

impl Pinging {
    fn finish(self) {
        let sent = view::small(self.rtts_us.len()) + self.lost;
        let total: u64 = self.rtts_us.iter().sum();
        let Some(avg_us) = total.checked_div(u64::from(view::small(self.rtts_us.len()))) else {
            let why = if self.last_problem.is_empty() { "no answer" } else { &self.last_problem };
            let text = format!("no answer from {} to {sent} probes; {why}", self.member.name);
            let error = ApiError::new(ErrorCode::Timeout, text).next("netctl peers");
            return self.sink.finish::<PingParams>(Err(error));
        };
        self.sink.finish::<PingParams>(Ok(PingResult {
            node: format_node_id(&self.member.node),
            name: self.member.name,
            ipv4: self.member.ipv4,
            ipv6: Some(self.member.ipv6),
            sent,
            received: view::small(self.rtts_us.len()),
            min_us: self.rtts_us.iter().min().copied(),
            avg_us: Some(avg_us),
            max_us: self.rtts_us.iter().max().copied(),
        }));
    }
}

/// Only to name the type in `finish`.
pub(super) type CreateMethod = NetworkCreateParams;
