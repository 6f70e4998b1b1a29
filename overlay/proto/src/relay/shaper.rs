//! Who may send next when the uplink is the bottleneck: deficit round robin between networks (M. Shreedhar and G. Varghese,
//! "Efficient Fair Queueing Using Deficit Round Robin", SIGCOMM 1995), behind a token bucket of the configured rate.
//!
//! While tokens are there, frames pass without being kept. When they are not, each network has a queue of its own and takes its
//! turn with a quantum of bytes, so that each gets the same share whatever it offers. A queue is first in, first out: nothing
//! is reordered within a circuit. Frames that waited too long are dropped at the head, where dropping tells the sender soonest
//! (RFC 8289, 3): the queue is never a store.

use std::collections::{BTreeMap, VecDeque};

use netflow_wire::NetworkId;

use crate::time::{MILLI_US, Now, SECOND_US};

/// Bytes a network may send in its turn: one full frame, so that a turn always sends something.
const QUANTUM: u64 = 1_500;
/// Longest wait of a frame: a queue of this length is what interactive traffic still bears.
pub(super) const MAX_WAIT_US: u64 = 50 * MILLI_US;
/// Smallest room of a queue: a full batch of segments of one transfer.
const MIN_QUEUE_BYTES: u64 = 65_536;
/// Bytes that may pass at once, in time of the rate: timers are about a millisecond late.
const BURST_US: u64 = 4 * MILLI_US;
/// Smallest burst: two full frames.
const MIN_BURST_BYTES: u64 = 3_000;

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<T> {
    /// Send it now.
    Pass(T),
    /// Kept for later.
    Queued,
    /// No room.
    Dropped(T),
}

struct Item<T> {
    what: T,
    bytes: u64,
    since_us: u64,
}

struct Queue<T> {
    items: VecDeque<Item<T>>,
    bytes: u64,
    deficit: u64,
}

/// The send side of a relay with a known rate.
pub(super) struct Shaper<T> {
    rate_bps: u64,
    /// Bytes that may go now.
    tokens: u64,
    refilled_us: u64,
    queues: BTreeMap<NetworkId, Queue<T>>,
    /// Networks with something to send, in the order of their turns.
    turns: VecDeque<NetworkId>,
}

impl<T> Shaper<T> {
    pub(super) fn new(rate_bps: u64, now: Now) -> Self {
        let (queues, turns) = (BTreeMap::new(), VecDeque::new());
        let mut shaper = Self { rate_bps: rate_bps.max(1), tokens: 0, refilled_us: now.mono_us, queues, turns };
        shaper.tokens = shaper.burst();
        shaper
    }

    pub(super) fn set_rate(&mut self, rate_bps: u64) {
        self.rate_bps = rate_bps.max(1);
    }

    /// A frame of a network wants to go.
    pub(super) fn push(&mut self, now: Now, network: NetworkId, bytes: u64, what: T) -> Verdict<T> {
        self.refill(now);
        if self.turns.is_empty() && self.tokens >= bytes {
            self.tokens -= bytes;
            return Verdict::Pass(what);
        }
        let room = self.in_time(MAX_WAIT_US).max(MIN_QUEUE_BYTES);
        let queue =
            self.queues.entry(network).or_insert_with(|| Queue { items: VecDeque::new(), bytes: 0, deficit: 0 });
        if queue.bytes.saturating_add(bytes) > room {
            return Verdict::Dropped(what);
        }
        if queue.items.is_empty() {
            queue.deficit = 0;
            self.turns.push_back(network);
        }
        queue.bytes = queue.bytes.saturating_add(bytes);
        queue.items.push_back(Item { what, bytes, since_us: now.mono_us });
        Verdict::Queued
    }

    /// The next frame that may go, or one to be dropped because it waited too long.
    pub(super) fn pop(&mut self, now: Now) -> Option<Verdict<T>> {
        self.refill(now);
        // Each round gives one quantum to one network: at most one frame of the largest size more than there are networks.
        loop {
            let network = *self.turns.front()?;
            let queue = self.queues.get_mut(&network)?;
            let Some(item) = queue.items.front() else {
                self.turns.pop_front();
                self.queues.remove(&network);
                continue;
            };
            let bytes = item.bytes;
            let late = now.since(item.since_us) > MAX_WAIT_US;
            if !late && queue.deficit < bytes {
                queue.deficit = queue.deficit.saturating_add(QUANTUM);
                self.turns.rotate_left(1);
                continue;
            }
            if !late && self.tokens < bytes {
                return None;
            }
            let item = queue.items.pop_front()?;
            queue.bytes = queue.bytes.saturating_sub(bytes);
            if !late {
                queue.deficit -= bytes;
                self.tokens -= bytes;
            }
            if queue.items.is_empty() {
                self.turns.pop_front();
                self.queues.remove(&network);
            }
            return Some(if late { Verdict::Dropped(item.what) } else { Verdict::Pass(item.what) });
        }
    }

    /// When [`Shaper::pop`] will have something.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let head = self.queues.get(self.turns.front()?)?.items.front()?;
        let missing = u128::from(head.bytes.saturating_sub(self.tokens));
        let wait = (missing * 8 * u128::from(SECOND_US)).div_ceil(u128::from(self.rate_bps));
        Some(self.refilled_us.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// Forgets what waits, for instance of a network that is gone.
    pub(super) fn clear(&mut self, network: &NetworkId) {
        if self.queues.remove(network).is_some() {
            self.turns.retain(|turn| turn != network);
        }
    }

    /// Frames waiting.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(|queue| queue.items.len()).sum()
    }

    fn refill(&mut self, now: Now) {
        let elapsed = now.since(self.refilled_us).min(SECOND_US);
        let gained = self.in_time(elapsed);
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(gained).min(self.burst());
            self.refilled_us = now.mono_us;
        }
    }

    fn burst(&self) -> u64 {
        self.in_time(BURST_US).max(MIN_BURST_BYTES).max(self.largest_head())
    }

    /// A frame larger than the burst must still pass some time.
    fn largest_head(&self) -> u64 {
        let front = self.turns.front().and_then(|network| self.queues.get(network)?.items.front());
        front.map_or(0, |item| item.bytes)
    }

    fn in_time(&self, us: u64) -> u64 {
        let bytes = u128::from(self.rate_bps) * u128::from(us) / (8 * u128::from(SECOND_US));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(mono_us: u64) -> Now {
        Now { mono_us, unix_s: 0 }
    }

    fn net(byte: u8) -> NetworkId {
        NetworkId([byte; 32])
    }

    #[derive(Debug, Clone, Copy)]
    struct Frame {
        network: u8,
        number: u64,
        bytes: u64,
        sent_us: u64,
    }

    /// Offers each network its rate in bytes a second for some seconds. Returns what passed and when, in order.
    fn run(rate_bps: u64, seconds: u64, offers: &[(u64, u64)]) -> Vec<(u64, Frame)> {
        let mut shaper = Shaper::new(rate_bps, at(0));
        let mut passed = Vec::new();
        let mut owed = vec![0u64; offers.len()];
        let mut numbers = vec![0u64; offers.len()];
        for step in 0..seconds * 2_000 {
            let now = at(step * 500);
            for (index, (rate, size)) in offers.iter().enumerate() {
                owed[index] += rate / 2_000;
                while owed[index] >= *size {
                    owed[index] -= size;
                    numbers[index] += 1;
                    let network = u8::try_from(index).unwrap();
                    let frame = Frame { network, number: numbers[index], bytes: *size, sent_us: now.mono_us };
                    if let Verdict::Pass(frame) = shaper.push(now, net(network), *size, frame) {
                        passed.push((now.mono_us, frame));
                    }
                }
            }
            // Timers fire about a millisecond late.
            if step % 2 == 0 && shaper.poll_timeout().is_some_and(|due| due <= now.mono_us) {
                while let Some(verdict) = shaper.pop(now) {
                    if let Verdict::Pass(frame) = verdict {
                        passed.push((now.mono_us, frame));
                    }
                }
            }
        }
        passed
    }

    fn bytes_of(passed: &[(u64, Frame)], network: u8) -> u64 {
        passed.iter().filter(|(_, frame)| frame.network == network).map(|(_, frame)| frame.bytes).sum()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// 10:1: one network floods, the other asks for its fair share; both get it, and nothing is reordered.
        #[test]
        fn two_networks_get_the_same_share_whatever_they_offer(
            rate_mbps in 2..40u64, flood_size in 100..1_500u64, honest_size in 100..1_500u64,
        ) {
            let rate = rate_mbps * 125_000;
            let seconds = 10;
            let passed = run(rate * 8, seconds, &[(rate * 5, flood_size), (rate * 55 / 100, honest_size)]);
            let fair = rate * seconds / 2;
            for network in [0, 1] {
                let got = bytes_of(&passed, network);
                prop_assert!(got * 10 >= fair * 9 && got * 10 <= fair * 11, "network {network}: {got} of {fair}");
            }
            for network in [0, 1] {
                let mut last = 0;
                for (_, frame) in passed.iter().filter(|(_, frame)| frame.network == network) {
                    prop_assert!(frame.number > last, "reordered");
                    last = frame.number;
                }
            }
            for (at, frame) in passed {
                prop_assert!(at - frame.sent_us <= MAX_WAIT_US, "a frame waited {} us", at - frame.sent_us);
            }
        }
    }

    #[test]
    fn a_network_below_its_share_loses_nothing_and_waits_little() {
        let passed = run(80_000_000, 10, &[(100_000_000, 1_400), (1_000_000, 200)]);
        // All but what is still under way at the end.
        assert!(bytes_of(&passed, 1) >= 9_995_000, "{}", bytes_of(&passed, 1));
        let mut waits: Vec<u64> =
            passed.iter().filter(|(_, frame)| frame.network == 1).map(|(at, frame)| at - frame.sent_us).collect();
        waits.sort_unstable();
        assert!(waits[waits.len() * 99 / 100] <= 3_000, "99 % wait {} us", waits[waits.len() * 99 / 100]);
    }

    #[test]
    fn alone_a_network_gets_everything_and_an_idle_uplink_keeps_nothing() {
        let passed = run(8_000_000, 10, &[(3_000_000, 1_000)]);
        let got = bytes_of(&passed, 0);
        assert!((9_900_000..=10_010_000).contains(&got), "{got}");
        let mut shaper = Shaper::new(8_000_000, at(0));
        assert_eq!(shaper.push(at(0), net(1), 1_000, 7), Verdict::Pass(7));
        assert_eq!((shaper.poll_timeout(), shaper.len()), (None, 0));
    }

    #[test]
    fn a_frame_larger_than_the_burst_passes_in_its_time() {
        let mut shaper = Shaper::new(8_000, at(0));
        while shaper.push(at(0), net(1), 1_000, 0) != Verdict::Queued {}
        shaper.clear(&net(1));
        assert_eq!(shaper.push(at(0), net(1), 60_000, 1), Verdict::Queued);
        assert!(shaper.poll_timeout().is_some_and(|due| due > 50 * SECOND_US));
        assert_eq!(shaper.pop(at(40 * MILLI_US)), None);
        assert_eq!(shaper.pop(at(60 * SECOND_US)), Some(Verdict::Dropped(1)), "it waited too long");
    }
}
