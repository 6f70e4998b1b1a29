//! What `netctl netcheck` asks of each relay beside the rounds of STUN: what its clock shows, and how large a packet gets there.
//!
//! Only when somebody looks: nothing of it is worth idle traffic. The size is found as on every path (`path::pmtud`, RFC 8899), with
//! STUN requests padded to it (RFC 5780, 7.6) from the port the data path uses, so that they go the way its packets go.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use netflow_wire::NodeId;
use netflow_wire::stun::{BindingRequest, StunClass, StunMessage, TRANSACTION_LEN};
use rand_core::CryptoRng;

use crate::path::Pmtud;
use crate::path::pmtud::BASE;
use crate::time::{MILLI_US, Now, SECOND_US};

/// Relays asked: a node keeps links to four for each network, and few nodes are in more than four networks.
const MAX_RELAYS: usize = 16;
/// Sizes above Ethernet's are not looked for: relays are on the internet.
const LIMIT: u16 = 1_500;
/// Pause between rounds of sizes; a relay on the other side of the world answers within it.
const ROUND_US: u64 = 400 * MILLI_US;
/// How long an answer about the clock is waited for: the question may stand behind log entries in the stream.
const CLOCK_WAIT_US: u64 = 2 * SECOND_US;
/// Probes remembered: three rounds of all sizes, and as many again for progress on the way.
const MAX_OPEN: usize = 64;
/// IP and UDP headers.
const V4_HEADERS: u16 = 20 + 8;
const V6_HEADERS: u16 = 40 + 8;

/// What the node is to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// `TimeQuery` over the control link of a relay.
    Time { relay: NodeId, id: u64 },
    /// A STUN request from the main port.
    Stun { to: SocketAddr, request: Vec<u8> },
}

/// One relay.
#[derive(Debug)]
struct Surveyed {
    /// The open question about its clock, and when it left.
    asked: Option<(u64, u64)>,
    /// Our clock minus its clock.
    skew_ms: Option<i64>,
    /// Absent where no UDP goes to it.
    size: Option<Sizing>,
}

#[derive(Debug)]
struct Sizing {
    to: SocketAddr,
    pmtud: Pmtud,
    open: Vec<([u8; TRANSACTION_LEN], u16)>,
    answered: bool,
    /// When the next round, or the end of the last one, is due; `None`: done.
    due_us: Option<u64>,
}

/// The relays asked last, and what they said.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    relays: BTreeMap<NodeId, Surveyed>,
    started_us: Option<u64>,
}

impl Survey {
    /// Asks these relays anew; the address is where their datagrams go, absent when a stream carries them.
    pub(crate) fn start(
        &mut self,
        now: Now,
        rng: &mut dyn CryptoRng,
        relays: impl Iterator<Item = (NodeId, Option<SocketAddr>)>,
        out: &mut Vec<Ask>,
    ) {
        self.relays.clear();
        self.started_us = Some(now.mono_us);
        for (relay, to) in relays.take(MAX_RELAYS) {
            let id = rng.next_u64();
            out.push(Ask::Time { relay, id });
            let size = to.map(|to| Sizing::new(now, to));
            self.relays.insert(relay, Surveyed { asked: Some((id, now.mono_us)), skew_ms: None, size });
        }
        self.timeout(now, rng, out);
    }

    /// When the relays were asked last.
    pub(crate) const fn started_us(&self) -> Option<u64> {
        self.started_us
    }

    /// A relay says what its clock shows. `ours_ms`: what our own showed at a moment of the monotonic clock. The answer was written
    /// half a round trip before it came, as far as anybody can know.
    pub(crate) fn time_answered(
        &mut self,
        now: Now,
        relay: &NodeId,
        id: u64,
        unix_ms: u64,
        ours_ms: impl Fn(u64) -> i64,
    ) {
        let Some(state) = self.relays.get_mut(relay) else { return };
        let Some((_, sent_us)) = state.asked.take_if(|(asked, _)| *asked == id) else { return };
        let written_us = sent_us.saturating_add(now.since(sent_us) / 2);
        let theirs_ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
        state.skew_ms = Some(ours_ms(written_us).saturating_sub(theirs_ms));
    }

    /// A STUN message came to the main port. `false`: not the answer to a request of ours.
    pub(crate) fn stun(&mut self, now: Now, from: SocketAddr, message: &StunMessage<'_>) -> bool {
        if message.class() != StunClass::Success {
            return false;
        }
        let mut sizes = self.relays.values_mut().filter_map(|relay| relay.size.as_mut());
        sizes.find(|size| size.to == from).is_some_and(|size| size.answer(now, message.transaction()))
    }

    /// Does what is due.
    pub(crate) fn timeout(&mut self, now: Now, rng: &mut dyn CryptoRng, out: &mut Vec<Ask>) {
        for relay in self.relays.values_mut() {
            relay.asked.take_if(|(_, sent_us)| now.since(*sent_us) >= CLOCK_WAIT_US);
            if let Some(size) = &mut relay.size {
                size.run(now, rng, out);
            }
        }
    }

    /// When [`Survey::timeout`] is due; `None`: all is answered, or was given up.
    pub(crate) fn due_us(&self) -> Option<u64> {
        let clocks = self.relays.values().filter_map(|relay| relay.asked);
        let clocks = clocks.map(|(_, sent_us)| sent_us.saturating_add(CLOCK_WAIT_US));
        let sizes = self.relays.values().filter_map(|relay| relay.size.as_ref()?.due_us);
        clocks.chain(sizes).min()
    }

    /// Largest IP packet known to reach a relay. `None`: none did, or it was not asked.
    pub(crate) fn mtu(&self, relay: &NodeId) -> Option<u16> {
        let size = self.relays.get(relay)?.size.as_ref()?;
        size.answered.then(|| size.pmtud.confirmed())
    }

    /// Our clock minus that of the relays, in milliseconds: the median, so that one relay with a wrong clock says nothing.
    pub(crate) fn skew_ms(&self) -> Option<i64> {
        let mut all: Vec<i64> = self.relays.values().filter_map(|relay| relay.skew_ms).collect();
        all.sort_unstable();
        let (lower, upper) = (all.get(all.len().saturating_sub(1) / 2)?, all.get(all.len() / 2)?);
        Some(lower.midpoint(*upper))
    }
}

impl Sizing {
    fn new(now: Now, to: SocketAddr) -> Self {
        Self { to, pmtud: Pmtud::new(now, LIMIT), open: Vec::new(), answered: false, due_us: Some(now.mono_us) }
    }

    fn run(&mut self, now: Now, rng: &mut dyn CryptoRng, out: &mut Vec<Ask>) {
        if self.due_us.is_none_or(|due| due > now.mono_us) {
            return;
        }
        if !self.pmtud.is_searching() {
            self.due_us = None;
            return;
        }
        let mut sizes = self.pmtud.poll(now, ROUND_US);
        // Elsewhere the base is taken for granted; here somebody wants to know.
        if !self.answered {
            sizes.push(BASE);
        }
        for size in sizes {
            self.probe(rng, size, out);
        }
        let next = if self.pmtud.is_searching() { self.pmtud.next_us() } else { None };
        self.due_us = Some(next.unwrap_or_else(|| now.after(ROUND_US)));
    }

    fn probe(&mut self, rng: &mut dyn CryptoRng, size: u16, out: &mut Vec<Ask>) {
        let headers = if self.to.is_ipv4() { V4_HEADERS } else { V6_HEADERS };
        let mut transaction = [0; TRANSACTION_LEN];
        rng.fill_bytes(&mut transaction);
        let request = BindingRequest { transaction }.padded(usize::from(size.saturating_sub(headers)));
        let Some(request) = request else { return };
        if self.open.len() >= MAX_OPEN {
            self.open.remove(0);
        }
        self.open.push((transaction, size));
        out.push(Ask::Stun { to: self.to, request });
    }

    fn answer(&mut self, now: Now, transaction: &[u8; TRANSACTION_LEN]) -> bool {
        let Some(at) = self.open.iter().position(|(open, _)| open == transaction) else { return false };
        let (_, size) = self.open.swap_remove(at);
        self.answered = true;
        self.pmtud.answered(now, size);
        if self.due_us.is_some() {
            let next = if self.pmtud.is_searching() { self.pmtud.next_us() } else { Some(now.mono_us) };
            self.due_us = next.or(self.due_us);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    fn at(mono_us: u64) -> Now {
        Now { mono_us, unix_s: 0 }
    }

    fn relay(number: u8) -> (NodeId, SocketAddr) {
        (NodeId([number; 32]), SocketAddr::from(([192, 0, 2, number], 4790)))
    }

    /// Surveys relays whose clocks show this many milliseconds more than ours; each way takes 30 ms.
    fn skew(ahead_ms: &[i64]) -> Option<i64> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (mut survey, mut out) = (Survey::default(), Vec::new());
        let relays = (0..).zip(ahead_ms).map(|(number, _)| (relay(number).0, None));
        let ours = |mono_us: u64| 1_790_000_000_000 + i64::try_from(mono_us / 1_000).unwrap();
        survey.start(at(SECOND_US), &mut rng, relays, &mut out);
        for (ask, ahead_ms) in out.into_iter().zip(ahead_ms) {
            let Ask::Time { relay, id } = ask else { panic!("only clocks were asked") };
            let theirs = u64::try_from(ours(SECOND_US + 30 * MILLI_US) + ahead_ms).unwrap();
            survey.time_answered(at(SECOND_US + 60 * MILLI_US), &relay, id, theirs, ours);
        }
        assert_eq!(survey.due_us(), None);
        survey.skew_ms()
    }

    #[test]
    fn the_clock_skew_is_the_median_over_relays_without_the_way() {
        assert_eq!(skew(&[]), None);
        assert_eq!(skew(&[0]), Some(0));
        assert_eq!(skew(&[-90_000]), Some(90_000), "ours is ahead");
        assert_eq!(skew(&[5_000, 5_002]), Some(-5_001));
        assert_eq!(skew(&[5, 7, i64::from(i32::MAX) * 1_000]), Some(-7), "one liar of three says nothing");
    }

    #[test]
    fn an_answer_nobody_asked_for_says_nothing() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (mut survey, mut out) = (Survey::default(), Vec::new());
        survey.start(at(0), &mut rng, [(relay(1).0, None)].into_iter(), &mut out);
        let Some(Ask::Time { id, .. }) = out.first().cloned() else { panic!("nothing asked") };
        survey.time_answered(at(1), &relay(1).0, id ^ 1, 7, |_| 0);
        survey.time_answered(at(1), &relay(2).0, id, 7, |_| 0);
        assert_eq!(survey.skew_ms(), None);
        survey.time_answered(at(1), &relay(1).0, id, u64::MAX, |_| i64::MIN);
        survey.time_answered(at(1), &relay(1).0, id, 0, |_| 0);
        assert_eq!(survey.skew_ms(), Some(i64::MIN), "and each counts once");
        let mut silent = Survey::default();
        silent.start(at(0), &mut rng, [(relay(1).0, None)].into_iter(), &mut out);
        silent.timeout(at(CLOCK_WAIT_US), &mut rng, &mut out);
        assert_eq!((silent.due_us(), silent.skew_ms()), (None, None));
    }

    /// Surveys a relay that packets of at most `mtu` bytes reach; what was found, and bytes sent.
    fn size(mtu: u16) -> (Option<u16>, usize) {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let (mut survey, mut out) = (Survey::default(), Vec::new());
        let (node, addr) = relay(1);
        survey.start(at(0), &mut rng, [(node, Some(addr))].into_iter(), &mut out);
        let mut sent = 0;
        for mono_us in (0..20 * SECOND_US).step_by(10_000) {
            for ask in std::mem::take(&mut out) {
                let Ask::Stun { to, request } = ask else { continue };
                assert_eq!(to, addr);
                sent += request.len();
                if request.len() + 28 <= usize::from(mtu) {
                    let answer = netflow_wire::stun::answer(&request, addr, false).unwrap();
                    assert!(answer.bytes.len() < request.len());
                    assert!(survey.stun(at(mono_us), to, &StunMessage::new_checked(&answer.bytes).unwrap()));
                }
            }
            survey.timeout(at(mono_us), &mut rng, &mut out);
        }
        assert_eq!(survey.due_us(), None, "it ends by itself");
        (survey.mtu(&node), sent)
    }

    #[test]
    fn the_largest_packet_that_reaches_a_relay_is_found() {
        for (mtu, found) in
            [(1_500, Some(1_500)), (1_492, Some(1_492)), (1_400, Some(1_400)), (1_280, Some(1_280)), (1_000, None)]
        {
            let (size, sent) = size(mtu);
            assert_eq!(size, found, "a way of {mtu} bytes");
            assert!(sent <= 100_000, "a way of {mtu} bytes: {sent} bytes of probes");
        }
    }
}
