//! Requests whose answer comes later: creating (until a relay has the network), joining, pinging.

use std::collections::BTreeMap;

use netctl_api::{
    ApiError, ErrorCode, JoinEvent, JoinStage, NetworkCreateParams, NetworkJoinParams, PingEvent, PingParams,
    PingResult,
};
use netflow_overlay::identity::format_node_id;
use netflow_overlay::node::{Event, MemberInfo};
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
    pub(super) count: u32,
    pub(super) rtts_us: Vec<u64>,
    pub(super) lost: u32,
    pub(super) last_problem: String,
}

/// Everything that waits.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) creating: Vec<Creating>,
    pub(super) joining: Vec<Joining>,
    pub(super) pinging: BTreeMap<u64, Pinging>,
}

impl Waiting {
    /// Whether one more may wait.
    pub(super) fn has_room(&self) -> bool {
        self.creating.len() + self.joining.len() + self.pinging.len() < MAX_WAITING
    }

    /// When somebody runs out of patience.
    pub(super) fn deadline(&self) -> Option<u64> {
        let creating = self.creating.iter().map(|waiter| waiter.deadline_us);
        creating.chain(self.joining.iter().map(|waiter| waiter.deadline_us)).min()
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
                let event = PingEvent { seq: seq + 1, rtt_us: Some(*rtt_us), path: Some(view::path_line(path)) };
                self.probe(*ping, &event, "");
            }
            Event::PingLost { ping, seq, text } => {
                self.probe(*ping, &PingEvent { seq: seq + 1, rtt_us: None, path: None }, text);
            }
            Event::NetworkUp(_)
            | Event::NetworkDown { .. }
            | Event::MembershipChanged { .. }
            | Event::RelayRefused { .. }
            | Event::MemberAdmitted { .. }
            | Event::PeerEstablished { .. }
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

    fn probe(&mut self, ping: u64, event: &PingEvent, problem: &str) {
        let Some(waiter) = self.pinging.get_mut(&ping) else { return };
        waiter.sink.event::<PingParams>(event);
        match event.rtt_us {
            Some(rtt_us) => waiter.rtts_us.push(rtt_us),
            None => {
                waiter.lost += 1;
                problem.clone_into(&mut waiter.last_problem);
            }
        }
        let received = view::small(waiter.rtts_us.len());
        if received + waiter.lost >= waiter.count
            && let Some(waiter) = self.pinging.remove(&ping)
        {
            waiter.finish();
        }
    }

    /// Creations that are published or out of time.
    pub(super) fn take_created(&mut self, now_us: u64) -> Vec<Creating> {
        self.creating.extract_if(.., |waiter| waiter.published || waiter.deadline_us <= now_us).collect()
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
