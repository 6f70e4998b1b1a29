//! What the NAT in front of this node does, in the terms of RFC 4787, by the method of RFC 5780 with relays as servers.
//! One round: a STUN request from the main port to every address of a few relays, all at once, so that a NAT that restarts in
//! between cannot look like a random one. Same reflexive address at two relays: the mapping is endpoint-independent. Then a fresh
//! local port, that has talked to one relay only, learns who else gets in: another relay, the same relay's second port.
//! Last, the two ports send to the reflexive addresses of each other: does the NAT hairpin?
//! Where relays have IPv6, the same fresh port then learns who gets in there: no NAT, but mostly a firewall with a state.
//! The mapping costs 0.3 KB and is looked at every half hour (15 KB a day); the rest, 1.5 KB, only when that or the ground changed.

use std::net::SocketAddr;

use netflow_wire::inner::{Filtering, Mapping};
use netflow_wire::stun::{StunClass, StunMessage, TRANSACTION_LEN};
use rand_core::CryptoRng;

use super::answers::{Answer, Server, first, mapping_class, other, reflexive};
use super::candidates::is_public;
use super::questions::transaction;
pub(crate) use super::questions::{Ask, request};
use super::search::is_random;
use crate::endpoint::PortId;
use crate::time::{MILLI_US, Now, SECOND_US};

/// Relay addresses asked in one round: two relays in two families, each at a second port.
pub(crate) const MAX_SERVERS: usize = 8;
/// Pause before an unanswered question is repeated, and how often it is asked.
const ASK_GAP_US: u64 = 500 * MILLI_US;
const MAX_ASKS: u32 = 3;
/// Rounds without a reason.
const PERIOD_US: u64 = 1_800 * SECOND_US;
/// Shortest time between two rounds, whatever changes; and before one, for several changes come together: a link, its bind.
const MIN_GAP_US: u64 = 5 * SECOND_US;
const SETTLE_US: u64 = 150 * MILLI_US;
/// The same where all that changed is a port of a box that keeps ports otherwise.
const RARE_GAP_US: u64 = 600 * SECOND_US;

#[derive(Debug)]
struct Query {
    server: Server,
    transaction: [u8; TRANSACTION_LEN],
    sent_us: u64,
    answer: Option<Answer>,
}

/// Steps of the filter test, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Learn the reflexive address of the fresh port from one relay.
    Learn,
    /// Another relay sends there.
    OtherAddress,
    /// The relay it talked to sends from its other port.
    OtherPort,
    /// We send to the reflexive address of the main port.
    Hairpin,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Mapping {
        queries: Vec<Query>,
        tries: u32,
        due_us: u64,
    },
    Opening {
        due_us: u64,
    },
    Fresh {
        port: PortId,
        /// The family under test.
        v4: bool,
        step: Step,
        mapped: Option<SocketAddr>,
        token: u64,
        transaction: [u8; TRANSACTION_LEN],
        tries: u32,
        due_us: u64,
    },
}

/// What was found, and the round under way.
#[derive(Debug)]
pub(crate) struct Classifier {
    phase: Phase,
    /// When the next round begins.
    next_us: Option<u64>,
    last_us: Option<u64>,
    pub(crate) mapping: Mapping,
    /// Whom the NAT, or the firewall, lets in over IPv4: what peers are told.
    pub(crate) filtering: Filtering,
    /// The same over IPv6.
    pub(crate) filtering_v6: Filtering,
    /// Does a packet to our own reflexive address come back in?
    pub(crate) hairpin: Option<bool>,
    pub(crate) answers: Vec<Answer>,
    /// When the last round was complete.
    pub(crate) measured_us: Option<u64>,
    /// The round under way is to measure more than the mapping.
    full: bool,
}

impl Default for Classifier {
    fn default() -> Self {
        Self {
            phase: Phase::Idle,
            next_us: None,
            last_us: None,
            mapping: Mapping::Unknown,
            filtering: Filtering::Unknown,
            filtering_v6: Filtering::Unknown,
            hairpin: None,
            answers: Vec::new(),
            measured_us: None,
            full: true,
        }
    }
}

impl Classifier {
    /// Something changed: measure again soon.
    pub(crate) fn wake(&mut self, now: Now) {
        let soonest = self.last_us.map_or(0, |last| last.saturating_add(MIN_GAP_US)).max(now.after(SETTLE_US));
        self.next_us = Some(self.next_us.map_or(soonest, |next| next.min(soonest)));
        self.full = true;
    }

    /// The box forgot a mapping and gave another port of the same address. Carriers' boxes do so every minute, for ever, and are the same boxes
    /// as before: measuring them again each time would be most of what an idle node sends.
    pub(crate) fn wake_rarely(&mut self, now: Now) {
        let soonest = self.last_us.map_or(0, |last| last.saturating_add(RARE_GAP_US)).max(now.after(SETTLE_US));
        self.next_us = Some(self.next_us.map_or(soonest, |next| next.min(soonest)));
    }

    /// Is [`Classifier::start`] to be called now?
    pub(crate) fn wants_round(&self, now: Now) -> bool {
        matches!(self.phase, Phase::Idle) && self.next_us.is_some_and(|next| next <= now.mono_us)
    }

    /// Is a round under way or about to begin?
    pub(crate) fn is_measuring(&self) -> bool {
        !matches!(self.phase, Phase::Idle) || self.full
    }

    /// When something is due.
    pub(crate) fn due_us(&self) -> Option<u64> {
        match &self.phase {
            Phase::Idle => self.next_us,
            Phase::Mapping { due_us, .. } | Phase::Opening { due_us } | Phase::Fresh { due_us, .. } => Some(*due_us),
        }
    }

    /// Begins a round. No servers: the next reason to measure will come.
    pub(crate) fn start(&mut self, now: Now, rng: &mut dyn CryptoRng, servers: &[Server], out: &mut Vec<Ask>) {
        self.last_us = Some(now.mono_us);
        self.next_us = None;
        if servers.is_empty() {
            return;
        }
        self.next_us = Some(now.after(PERIOD_US));
        let query = |server: &Server| {
            let transaction = transaction(rng);
            out.push(Ask::Stun { port: PortId::MAIN, to: server.addr, transaction });
            Query { server: *server, transaction, sent_us: now.mono_us, answer: None }
        };
        let queries = servers.iter().take(MAX_SERVERS).map(query).collect();
        self.phase = Phase::Mapping { queries, tries: 1, due_us: now.after(ASK_GAP_US) };
    }

    /// A STUN message came. Only the answer of the server that was asked, to a question that is open, changes anything.
    pub(crate) fn stun(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        port: PortId,
        from: SocketAddr,
        message: &StunMessage<'_>,
        out: &mut Vec<Ask>,
    ) -> bool {
        match &mut self.phase {
            Phase::Mapping { queries, .. } if port == PortId::MAIN && message.class() == StunClass::Success => {
                let asked =
                    |query: &&mut Query| query.server.addr == from && query.transaction == *message.transaction();
                let Some(query) = queries.iter_mut().find(asked).filter(|query| query.answer.is_none()) else {
                    return false;
                };
                let Some(mapped) = message.mapped_address() else { return false };
                query.answer = Some(Answer { server: query.server, mapped, rtt_us: now.since(query.sent_us) });
                if queries.iter().all(|query| query.answer.is_some() || !query.server.main) {
                    self.mapping_done(now, out);
                }
                true
            }
            Phase::Fresh { port: fresh, step: Step::Learn, mapped, transaction, .. }
                if port == *fresh && message.class() == StunClass::Success && message.transaction() == transaction =>
            {
                *mapped = message.mapped_address();
                let known = mapped.is_some();
                if known {
                    self.next_step(now, rng, Step::OtherAddress, out);
                }
                known
            }
            // Our own request, back through the NAT.
            Phase::Fresh { step: Step::Hairpin, port: fresh, transaction, .. }
                if (port == PortId::MAIN || port == *fresh)
                    && message.class() == StunClass::Request
                    && message.transaction() == transaction =>
            {
                self.hairpin = Some(true);
                self.family_done(now, rng, out);
                true
            }
            Phase::Idle | Phase::Mapping { .. } | Phase::Opening { .. } | Phase::Fresh { .. } => false,
        }
    }

    /// A frame 0x1D came to a fresh port: whoever sent it gets in.
    pub(crate) fn reached(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        port: PortId,
        token: u64,
        out: &mut Vec<Ask>,
    ) -> bool {
        let Phase::Fresh { port: fresh, step, token: expected, .. } = &self.phase else { return false };
        if port != *fresh || token != *expected {
            return false;
        }
        let class = match step {
            Step::OtherAddress => Filtering::EndpointIndependent,
            Step::OtherPort => Filtering::AddressDependent,
            Step::Learn | Step::Hairpin => return false,
        };
        self.filtering_found(now, rng, class, out);
        true
    }

    /// The fresh port is open. `false`: nobody waits for it.
    pub(crate) fn port_opened(&mut self, now: Now, rng: &mut dyn CryptoRng, port: PortId, out: &mut Vec<Ask>) -> bool {
        let Phase::Opening { .. } = self.phase else { return false };
        self.phase = Phase::Fresh {
            port,
            v4: first(&self.answers, true).is_some(),
            step: Step::Learn,
            mapped: None,
            token: rng.next_u64(),
            transaction: transaction(rng),
            tries: 0,
            due_us: now.mono_us,
        };
        self.ask(now, rng, out);
        true
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, now: Now, rng: &mut dyn CryptoRng, out: &mut Vec<Ask>) {
        match &mut self.phase {
            Phase::Mapping { queries, tries, due_us } if *due_us <= now.mono_us => {
                if *tries >= MAX_ASKS {
                    self.mapping_done(now, out);
                    return;
                }
                *tries += 1;
                *due_us = now.after(ASK_GAP_US);
                for query in queries.iter_mut().filter(|query| query.answer.is_none()) {
                    query.sent_us = now.mono_us;
                    let Query { server, transaction, .. } = query;
                    out.push(Ask::Stun { port: PortId::MAIN, to: server.addr, transaction: *transaction });
                }
            }
            Phase::Opening { due_us } if *due_us <= now.mono_us => self.phase = Phase::Idle,
            Phase::Fresh { step, tries, due_us, .. } if *due_us <= now.mono_us => {
                if *tries < MAX_ASKS {
                    self.ask(now, rng, out);
                    return;
                }
                match step {
                    Step::Learn => self.family_done(now, rng, out),
                    Step::OtherAddress => self.next_step(now, rng, Step::OtherPort, out),
                    Step::OtherPort => self.filtering_found(now, rng, Filtering::AddressAndPortDependent, out),
                    Step::Hairpin => {
                        self.hairpin = Some(false);
                        self.family_done(now, rng, out);
                    }
                }
            }
            Phase::Idle | Phase::Mapping { .. } | Phase::Opening { .. } | Phase::Fresh { .. } => {}
        }
    }

    fn mapping_done(&mut self, now: Now, out: &mut Vec<Ask>) {
        let Phase::Mapping { queries, .. } = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        let before = self.ground();
        self.answers = queries.into_iter().filter_map(|query| query.answer).collect();
        self.mapping = mapping_class(&self.answers);
        let news = self.measured_us.is_none() || before != self.ground();
        self.measured_us = Some(now.mono_us);
        if news {
            out.push(Ask::Changed);
        }
        if (std::mem::take(&mut self.full) || news) && !self.answers.is_empty() {
            self.phase = Phase::Opening { due_us: now.after(2 * SECOND_US) };
            out.push(Ask::OpenPort);
        }
    }

    /// What peers must know: not the port a random NAT gives a flow.
    fn ground(&self) -> (Mapping, Vec<SocketAddr>) {
        let mut reflexive = reflexive(&self.answers);
        if is_random(self.mapping) {
            reflexive.iter_mut().for_each(|addr| addr.set_port(0));
            reflexive.dedup();
        }
        (self.mapping, reflexive)
    }

    fn filtering_found(&mut self, now: Now, rng: &mut dyn CryptoRng, class: Filtering, out: &mut Vec<Ask>) {
        let Phase::Fresh { v4, .. } = &self.phase else { return };
        if *v4 {
            self.filtering = class;
            self.next_step(now, rng, Step::Hairpin, out);
        } else {
            // Nothing is translated there, so there is nothing to hairpin.
            self.filtering_v6 = class;
            self.fresh_done(out);
        }
    }

    /// IPv4 is done: the same port has talked to nobody over IPv6 yet.
    fn family_done(&mut self, now: Now, rng: &mut dyn CryptoRng, out: &mut Vec<Ask>) {
        let has_v6 = first(&self.answers, false).is_some();
        match &mut self.phase {
            Phase::Fresh { v4: v4 @ true, mapped, transaction: open, .. } if has_v6 => {
                (*v4, *mapped, *open) = (false, None, transaction(rng));
                self.next_step(now, rng, Step::Learn, out);
            }
            Phase::Idle | Phase::Mapping { .. } | Phase::Opening { .. } | Phase::Fresh { .. } => self.fresh_done(out),
        }
    }

    fn next_step(&mut self, now: Now, rng: &mut dyn CryptoRng, next: Step, out: &mut Vec<Ask>) {
        if let Phase::Fresh { step, tries, due_us, token, .. } = &mut self.phase {
            (*step, *tries, *due_us, *token) = (next, 0, now.mono_us, rng.next_u64());
            self.ask(now, rng, out);
        }
    }

    /// Asks the question of the step under way (again).
    fn ask(&mut self, now: Now, rng: &mut dyn CryptoRng, out: &mut Vec<Ask>) {
        let Phase::Fresh { v4, .. } = &self.phase else { return };
        let (first, other) = (first(&self.answers, *v4), other(&self.answers, *v4));
        let Phase::Fresh { port, step, mapped, token, transaction: open, tries, due_us, .. } = &mut self.phase else {
            return;
        };
        *tries += 1;
        *due_us = now.after(ASK_GAP_US);
        let ask = match (*step, first, *mapped) {
            (Step::Learn, Some(first), _) => Some(Ask::Stun { port: *port, to: first.server.addr, transaction: *open }),
            (Step::OtherAddress, Some(_), Some(addr)) => {
                other.map(|other| Ask::ProbeMe { relay: other.server.relay, addr, token: *token, alt: false })
            }
            (Step::OtherPort, Some(first), Some(addr)) => {
                Some(Ask::ProbeMe { relay: first.server.relay, addr, token: *token, alt: true })
            }
            // What a relay says must not make us knock at somebody's private address.
            (Step::Hairpin, Some(first), Some(addr)) if is_public(first.mapped.ip()) && is_public(addr.ip()) => {
                if *tries == 1 {
                    *open = transaction(rng);
                }
                // From the other end as well: a filter lets in only whom the main port has sent to.
                out.push(Ask::Stun { port: PortId::MAIN, to: addr, transaction: *open });
                Some(Ask::Stun { port: *port, to: first.mapped, transaction: *open })
            }
            (Step::Learn | Step::OtherAddress | Step::OtherPort | Step::Hairpin, _, _) => None,
        };
        match ask {
            Some(ask) => out.push(ask),
            // Nobody to ask: the next step at once.
            None => (*tries, *due_us) = (MAX_ASKS, now.mono_us),
        }
    }

    fn fresh_done(&mut self, out: &mut Vec<Ask>) {
        if let Phase::Fresh { port, .. } = std::mem::replace(&mut self.phase, Phase::Idle) {
            out.push(Ask::ClosePort(port));
            out.push(Ask::Changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_wire::NodeId;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    /// A round against one relay that says of every port that it is seen there; all requests that were sent.
    fn round(mapped: &str) -> Vec<SocketAddr> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut now = Now { mono_us: SECOND_US, unix_s: 0 };
        let relay: SocketAddr = "198.51.100.1:4790".parse().unwrap();
        let mut classifier = Classifier::default();
        let mut out = Vec::new();
        classifier.start(now, &mut rng, &[Server { relay: NodeId([1; 32]), addr: relay, main: true }], &mut out);
        let mut sent = Vec::new();
        while let Some(ask) = (!out.is_empty()).then(|| out.remove(0)) {
            if let Ask::Stun { port, to, transaction } = ask {
                sent.push(to);
                let answer = netflow_wire::stun::answer(&request(transaction), mapped.parse().unwrap(), false).unwrap();
                let message = StunMessage::new_checked(&answer.bytes).unwrap();
                if to == relay {
                    classifier.stun(now, &mut rng, port, relay, &message, &mut out);
                }
            } else if ask == Ask::OpenPort {
                classifier.port_opened(now, &mut rng, PortId::FIRST_PUNCH, &mut out);
            }
            while let Some(due) = classifier.due_us().filter(|due| out.is_empty() && *due < 60 * SECOND_US) {
                now.mono_us = now.mono_us.max(due);
                classifier.timeout(now, &mut rng, &mut out);
            }
        }
        sent
    }

    #[test]
    fn pitfall_27_a_relay_cannot_make_us_knock_at_private_addresses() {
        assert!(
            round("203.0.113.7:4000").contains(&"203.0.113.7:4000".parse().unwrap()),
            "the hairpin test sends there"
        );
        for private in ["192.168.1.1:80", "10.0.0.1:80", "127.0.0.1:80", "100.64.0.1:80"] {
            assert!(!round(private).contains(&private.parse().unwrap()), "{private}");
        }
    }
}
