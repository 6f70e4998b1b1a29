//! The ladder of attempts to reach one peer directly.
//!
//! `ask` (our candidates, sealed, through the relay) -> `answer` (theirs) -> **burst**: both ends probe every admitted address of
//! the other, best first, seven times in three seconds -> if nothing answered and one NAT is random and the other stable, the
//! patient [`search`](super::search). The first answered probe ends it; everything else ends by itself and is tried again later:
//! at once when the ground changed, else after a minute, doubling up to an hour, and only while there is traffic.
//!
//! The end that answers has sent before the other end knows where to: its first packets are *openers* with a small IP TTL, made
//! to pass its own NAT and die before the other one, which would take them for a stranger's. When the asker's probe comes, the
//! way is open.

use std::net::SocketAddr;

use netflow_wire::inner::{Candidate, Candidates, Mapping};
use rand_core::CryptoRng;

use super::candidates::{Place, is_private};
use super::search::{Role, Search, role, target};
use crate::endpoint::PortId;
use crate::time::{MILLI_US, Now, SECOND_US};

/// IP TTL of openers: home router, a second one behind it, the carrier's NAT and a hop between them are passed; paths between
/// two sites of different providers are longer.
pub(crate) const OPENER_TTL: u8 = 5;
/// When the probes of a burst leave. Dense at first, for the far end starts within a round trip; 112 packets in all at most.
const BURST_US: [u64; 7] = [0, 100_000, 300_000, 600_000, 1_000_000, 1_800_000, 3_000_000];
/// How long the last answers of a burst are waited for.
const BURST_END_US: u64 = 700 * MILLI_US;
/// Pause before an unanswered ask is repeated, and how often it is sent.
const ASK_GAP_US: u64 = 1_500 * MILLI_US;
const MAX_ASKS: u32 = 4;
/// How long a random side waits to be asked for a search.
const WAIT_US: u64 = 10 * SECOND_US;
/// First pause after a failed attempt; doubles up to the longest.
const RETRY_US: u64 = 60 * SECOND_US;
const MAX_RETRY_US: u64 = 3_600 * SECOND_US;
/// Shortest time between two attempts, whatever changes, and between two bursts a peer may ask for.
const MIN_ATTEMPT_GAP_US: u64 = 2 * SECOND_US;
/// The same for bursts when the peer's addresses are new ones.
const MIN_MOVE_GAP_US: u64 = 500 * MILLI_US;

/// What the node is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send a sealed probe, if the budget has room.
    Probe {
        /// From.
        port: PortId,
        /// To.
        to: SocketAddr,
        /// IP TTL, for openers.
        ttl: Option<u8>,
    },
    /// Send our candidates through the relay.
    Tell {
        /// Their candidates are wanted in return.
        ask: bool,
        /// Ready for a search.
        patient: bool,
    },
    /// Open as many local ports as there may be.
    OpenPorts,
    /// The ports of this peer are not needed any more, those that carry a path apart.
    ClosePorts,
}

/// What an attempt depends on.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) rng: &'a mut dyn CryptoRng,
    pub(crate) place: &'a Place,
    /// How our own NAT maps.
    pub(crate) mapping: Mapping,
    /// No other peer is being searched for: ports and entries are there.
    pub(crate) may_search: bool,
    /// Entries the budget has left, and when it has more.
    pub(crate) free: usize,
    pub(crate) next_free_us: Option<u64>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Asked { tries: u32, due_us: u64 },
    Burst { started_us: u64, step: usize, opens_first: bool },
    AwaitSearch { role: Role, tries: u32, due_us: u64 },
    Search(Search),
}

/// What the peer said last.
#[derive(Debug)]
struct Remote {
    round: u32,
    mapping: Mapping,
    admitted: Vec<Candidate>,
    target: Option<SocketAddr>,
}

/// Attempts to reach one peer.
#[derive(Debug)]
pub(crate) struct Punch {
    phase: Phase,
    remote: Option<Remote>,
    /// Number of our last list of candidates.
    round: u32,
    /// When the next attempt may begin.
    attempt_us: u64,
    last_start_us: Option<u64>,
    failures: u32,
    searches: u32,
    /// The ground changed since the attempt under way began.
    again: bool,
}

impl Default for Punch {
    fn default() -> Self {
        Self {
            phase: Phase::Idle,
            remote: None,
            round: 0,
            attempt_us: 0,
            last_start_us: None,
            failures: 0,
            searches: 0,
            again: false,
        }
    }
}

impl Punch {
    /// A direct path is wanted and there is none. Starts when it is time.
    pub(crate) fn want(&mut self, now: Now, out: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Idle) && self.attempt_us <= now.mono_us {
            self.last_start_us = Some(now.mono_us);
            self.again = false;
            self.phase = Phase::Asked { tries: 1, due_us: now.after(ASK_GAP_US) };
            out.push(Action::Tell { ask: true, patient: false });
        }
    }

    /// The ground changed (own addresses, NAT class, a direct path died): what failed before may work now. An attempt under
    /// way goes on with the new addresses, and another one follows if it fails.
    pub(crate) fn changed(&mut self, now: Now, out: &mut Vec<Action>) {
        self.failures = 0;
        match self.phase {
            Phase::Idle => {
                let soonest = self.last_start_us.map_or(now.mono_us, |last| last.saturating_add(MIN_ATTEMPT_GAP_US));
                self.attempt_us = self.attempt_us.min(soonest.max(now.mono_us));
            }
            Phase::Asked { .. } | Phase::Burst { .. } => {
                self.again = true;
                out.push(Action::Tell { ask: true, patient: false });
            }
            Phase::AwaitSearch { .. } | Phase::Search(_) => self.again = true,
        }
    }

    /// A new session: the peer's numbers start anew.
    pub(crate) fn session_began(&mut self) {
        self.remote = None;
    }

    /// Nobody talks to the peer any more.
    pub(crate) fn stop(&mut self, out: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Search(_)) {
            out.push(Action::ClosePorts);
        }
        self.phase = Phase::Idle;
    }

    /// A probe was answered: the link stands.
    pub(crate) fn connected(&mut self, out: &mut Vec<Action>) {
        self.failures = 0;
        self.searches = 0;
        self.stop(out);
    }

    /// Number for the next list of candidates.
    pub(crate) const fn next_round(&mut self) -> u32 {
        self.round = self.round.saturating_add(1);
        self.round
    }

    /// Is the patient search under way?
    pub(crate) const fn is_searching(&self) -> bool {
        matches!(self.phase, Phase::Search(_))
    }

    /// May the attempt begin that [`Punch::want`] would make, and when? `None` while one is under way.
    pub(crate) const fn attempt_due_us(&self) -> Option<u64> {
        match self.phase {
            Phase::Idle => Some(self.attempt_us),
            Phase::Asked { .. } | Phase::Burst { .. } | Phase::AwaitSearch { .. } | Phase::Search(_) => None,
        }
    }

    /// When [`Punch::timeout`] is due.
    pub(crate) fn due_us(&self) -> Option<u64> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Asked { due_us, .. } | Phase::AwaitSearch { due_us, .. } => Some(*due_us),
            Phase::Burst { started_us, step, .. } => Some(burst_time(*started_us, *step)),
            Phase::Search(search) => Some(search.due_us()),
        }
    }

    /// The peer's candidates came, sealed. `linked`: a direct path stands already.
    pub(crate) fn candidates(
        &mut self,
        ctx: &mut Context<'_>,
        theirs: &Candidates,
        linked: bool,
        out: &mut Vec<Action>,
    ) {
        if self.remote.as_ref().is_some_and(|known| theirs.round < known.round) {
            return;
        }
        let repeated = self.remote.as_ref().is_some_and(|known| theirs.round == known.round);
        let admitted = ctx.place.admit(&theirs.list);
        let moved = self.remote.as_ref().is_none_or(|known| known.admitted != admitted);
        let target = target(&admitted);
        self.remote = Some(Remote { round: theirs.round, mapping: theirs.mapping, admitted, target });
        if theirs.patient {
            self.search_offered(ctx, theirs, linked, out);
            return;
        }
        if theirs.wants_answer {
            out.push(Action::Tell { ask: false, patient: false });
        }
        let asked = matches!(self.phase, Phase::Asked { .. });
        let recent =
            self.burst_age(ctx.now).is_some_and(|age| age < if moved { MIN_MOVE_GAP_US } else { MIN_ATTEMPT_GAP_US });
        if asked || (theirs.wants_answer && !repeated && !recent && !self.is_searching()) {
            // Whoever was asked begins before the asker knows where to.
            self.phase = Phase::Burst { started_us: ctx.now.mono_us, step: 0, opens_first: theirs.wants_answer };
            self.last_start_us = Some(ctx.now.mono_us);
            self.timeout(ctx, out);
        }
    }

    /// Time since the burst under way began: a peer cannot make us send more by asking more often.
    const fn burst_age(&self, now: Now) -> Option<u64> {
        match self.phase {
            Phase::Burst { started_us, .. } => Some(now.since(started_us)),
            Phase::Idle | Phase::Asked { .. } | Phase::AwaitSearch { .. } | Phase::Search(_) => None,
        }
    }

    fn search_offered(&mut self, ctx: &mut Context<'_>, theirs: &Candidates, linked: bool, out: &mut Vec<Action>) {
        let Some(target) = self.remote.as_ref().and_then(|remote| remote.target) else { return };
        let role = role(ctx.mapping, theirs.mapping);
        match (role, theirs.wants_answer) {
            (Some(Role::Opener), true) => {
                let ready = !linked && (ctx.may_search || self.is_searching());
                if ready && !self.is_searching() {
                    // Every other search goes without the TTL: where more than five hops of NAT lie behind us, it would never get out.
                    let ttl = self.searches.is_multiple_of(2).then_some(OPENER_TTL);
                    self.phase = Phase::Search(Search::new(ctx.now, ctx.rng, Role::Opener, target, ttl));
                    self.searches = self.searches.saturating_add(1);
                    out.push(Action::OpenPorts);
                }
                if ready {
                    out.push(Action::Tell { ask: false, patient: true });
                }
            }
            (Some(Role::Seeker), false) if matches!(self.phase, Phase::AwaitSearch { .. }) && ctx.may_search => {
                self.phase = Phase::Search(Search::new(ctx.now, ctx.rng, Role::Seeker, target, None));
            }
            (Some(Role::Opener | Role::Seeker) | None, _) => {}
        }
    }

    /// A local port of ours is open.
    pub(crate) fn port_opened(&mut self, now: Now, port: PortId) -> bool {
        match &mut self.phase {
            Phase::Search(search) if search.role() == Role::Opener => {
                search.port_opened(now, port);
                true
            }
            Phase::Idle | Phase::Asked { .. } | Phase::Burst { .. } | Phase::AwaitSearch { .. } | Phase::Search(_) => {
                false
            }
        }
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, ctx: &mut Context<'_>, out: &mut Vec<Action>) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Asked { tries, due_us } if *due_us <= ctx.now.mono_us => {
                if *tries >= MAX_ASKS {
                    self.failed(ctx, out);
                } else {
                    *tries += 1;
                    *due_us = ctx.now.after(ASK_GAP_US);
                    out.push(Action::Tell { ask: true, patient: false });
                }
            }
            Phase::Burst { started_us, step, opens_first } => {
                let due = burst_time(*started_us, *step) <= ctx.now.mono_us;
                let (first, over) = (*step == 0, *step >= BURST_US.len());
                if due && !over {
                    *step += 1;
                    let opens = first && *opens_first;
                    self.probe_all(opens, out);
                } else if due {
                    self.burst_over(ctx, out);
                }
            }
            Phase::AwaitSearch { role, tries, due_us } if *due_us <= ctx.now.mono_us => {
                if *role == Role::Seeker && *tries < MAX_ASKS {
                    *tries += 1;
                    *due_us = ctx.now.after(ASK_GAP_US);
                    out.push(Action::Tell { ask: true, patient: true });
                } else {
                    self.failed(ctx, out);
                }
            }
            Phase::Asked { .. } | Phase::AwaitSearch { .. } => {}
            Phase::Search(search) => {
                if search.is_over(ctx.now) {
                    self.failed(ctx, out);
                } else if let Some((port, to, ttl)) = search.poll(ctx.now, ctx.free, ctx.next_free_us) {
                    out.push(Action::Probe { port, to, ttl });
                }
            }
        }
    }

    fn probe_all(&self, opens: bool, out: &mut Vec<Action>) {
        for candidate in self.remote.iter().flat_map(|remote| &remote.admitted) {
            // On a LAN there is no NAT to open, and the hop limit would not matter.
            let ttl = (opens && !is_private(candidate.addr.ip())).then_some(OPENER_TTL);
            out.push(Action::Probe { port: PortId::MAIN, to: candidate.addr, ttl });
        }
    }

    fn burst_over(&mut self, ctx: &mut Context<'_>, out: &mut Vec<Action>) {
        let remote = self.remote.as_ref().filter(|remote| remote.target.is_some());
        match remote.and_then(|remote| role(ctx.mapping, remote.mapping)) {
            Some(Role::Seeker) => {
                self.phase = Phase::AwaitSearch { role: Role::Seeker, tries: 1, due_us: ctx.now.after(ASK_GAP_US) };
                out.push(Action::Tell { ask: true, patient: true });
            }
            Some(Role::Opener) => {
                self.phase = Phase::AwaitSearch { role: Role::Opener, tries: 1, due_us: ctx.now.after(WAIT_US) };
            }
            None => self.failed(ctx, out),
        }
    }

    fn failed(&mut self, ctx: &mut Context<'_>, out: &mut Vec<Action>) {
        let pause = RETRY_US.saturating_mul(1 << self.failures.min(6)).min(MAX_RETRY_US);
        // Two ends that failed together should not ask each other at the same moment again.
        let jitter = u64::from(ctx.rng.next_u32()) % (pause / 8);
        self.failures = self.failures.saturating_add(1);
        let pause = if self.again { MIN_ATTEMPT_GAP_US } else { pause.saturating_add(jitter) };
        self.attempt_us = ctx.now.after(pause);
        self.again = false;
        self.stop(out);
    }
}

fn burst_time(started_us: u64, step: usize) -> u64 {
    let offset = BURST_US.get(step).copied();
    let end = BURST_US.last().copied().unwrap_or(0).saturating_add(BURST_END_US);
    started_us.saturating_add(offset.unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_wire::inner::{CandidateKind, Filtering};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    struct End {
        punch: Punch,
        place: Place,
        rng: ChaCha20Rng,
        mapping: Mapping,
        now: Now,
    }

    impl End {
        fn new() -> Self {
            Self {
                punch: Punch::default(),
                place: Place::default(),
                rng: ChaCha20Rng::seed_from_u64(1),
                mapping: Mapping::EndpointIndependent,
                now: Now { mono_us: SECOND_US, unix_s: 0 },
            }
        }

        fn run(&mut self, work: impl FnOnce(&mut Punch, &mut Context<'_>, &mut Vec<Action>)) -> Vec<Action> {
            let mut out = Vec::new();
            let (now, mapping, place) = (self.now, self.mapping, &self.place);
            let rng = &mut self.rng;
            work(
                &mut self.punch,
                &mut Context { now, rng, place, mapping, may_search: true, free: 290, next_free_us: None },
                &mut out,
            );
            out
        }

        /// Lets timers run up to a moment; what was sent, with its time.
        fn until(&mut self, end_us: u64) -> Vec<(u64, Action)> {
            let mut sent = Vec::new();
            while let Some(due) = self.punch.due_us().filter(|due| *due <= end_us) {
                self.now.mono_us = self.now.mono_us.max(due);
                let at = self.now.mono_us;
                sent.extend(self.run(|punch, ctx, out| punch.timeout(ctx, out)).into_iter().map(|action| (at, action)));
            }
            self.now.mono_us = end_us;
            sent
        }
    }

    fn theirs(round: u32, wants_answer: bool, port: u16) -> Candidates {
        let addr = SocketAddr::from(([203, 0, 113, 9], port));
        Candidates {
            round,
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::Unknown,
            same_lan: false,
            wants_answer,
            patient: false,
            list: vec![Candidate { kind: CandidateKind::ServerReflexive, addr }],
        }
    }

    fn probes(actions: &[Action]) -> Vec<Option<u8>> {
        let ttl = |action: &Action| match action {
            Action::Probe { ttl, .. } => Some(*ttl),
            Action::Tell { .. } | Action::OpenPorts | Action::ClosePorts => None,
        };
        actions.iter().filter_map(ttl).collect()
    }

    #[test]
    fn the_asked_end_opens_its_nat_with_a_packet_that_dies_on_the_way_and_the_asker_does_not() {
        let mut asked = End::new();
        let out = asked.run(|punch, ctx, out| punch.candidates(ctx, &theirs(1, true, 1), false, out));
        assert_eq!(probes(&out), [Some(OPENER_TTL)]);
        assert!(out.contains(&Action::Tell { ask: false, patient: false }));
        let rest: Vec<Action> = asked.until(20 * SECOND_US).into_iter().map(|(_, action)| action).collect();
        assert_eq!(probes(&rest), [None; 6]);

        let mut asker = End::new();
        let out = asker.run(|punch, ctx, out| punch.want(ctx.now, out));
        assert_eq!(out, [Action::Tell { ask: true, patient: false }]);
        let out = asker.run(|punch, ctx, out| punch.candidates(ctx, &theirs(1, false, 1), false, out));
        assert_eq!(probes(&out), [None]);
    }

    #[test]
    fn failed_attempts_are_a_minute_apart_doubling_up_to_an_hour() {
        let mut end = End::new();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let due = end.punch.attempt_due_us().unwrap().max(end.now.mono_us);
            pauses.push((due - end.now.mono_us) / SECOND_US);
            end.now.mono_us = due;
            assert_eq!(end.run(|punch, ctx, out| punch.want(ctx.now, out)).len(), 1);
            let asks = end.until(due + 30 * SECOND_US).len();
            assert_eq!(asks, 3, "an unanswered question is asked four times");
            end.now.mono_us = due + 6 * SECOND_US;
        }
        assert!(pauses[1] >= 59 && pauses[1] <= 68, "{pauses:?}");
        assert!(pauses.windows(2).skip(1).all(|pair| pair[1] >= pair[0] * 3 / 2 || pair[1] >= 3_500), "{pauses:?}");
        assert!(pauses[9] <= 4_060, "{pauses:?}");
        end.run(|punch, ctx, out| punch.changed(ctx.now, out));
        assert!(end.punch.attempt_due_us().unwrap() <= end.now.mono_us, "what changed is tried at once");
    }

    #[test]
    fn a_peer_cannot_make_us_send_more_by_asking_more_often() {
        let mut end = End::new();
        let mut sent = 0;
        for round in 0..1_000u32 {
            let port = u16::try_from(1 + round % 2).unwrap();
            let out = end.run(|punch, ctx, out| punch.candidates(ctx, &theirs(round, true, port), false, out));
            sent += probes(&out).len();
            let until = end.now.mono_us + 10 * MILLI_US;
            sent += probes(&end.until(until).into_iter().map(|(_, action)| action).collect::<Vec<_>>()).len();
        }
        assert!(sent <= 80, "{sent} probes in ten seconds");
    }

    #[test]
    fn an_older_list_of_candidates_changes_nothing() {
        let mut end = End::new();
        end.run(|punch, ctx, out| punch.candidates(ctx, &theirs(5, true, 1), false, out));
        let out = end.run(|punch, ctx, out| punch.candidates(ctx, &theirs(4, true, 2), false, out));
        assert_eq!(out, []);
        end.punch.session_began();
        let out = end.run(|punch, ctx, out| punch.candidates(ctx, &theirs(1, true, 2), false, out));
        assert!(!out.is_empty(), "a new session counts anew");
    }
}
