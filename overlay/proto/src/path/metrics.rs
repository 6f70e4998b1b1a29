//! What is measured on one path: round trip (RFC 6298), loss, goodput. All values come from answered probes of our own, so a
//! peer can make its own paths look worse or better, and nobody else's.

use super::loss::{Loss, LossRange};
use crate::time::{MILLI_US, Now, SECOND_US};

/// Shortest time after which a probe counts as lost: below it the jitter of a busy router decides.
pub const MIN_TIMEOUT_US: u64 = 100 * MILLI_US;
/// Timeout before anything was measured (RFC 6298, 2.1).
const FIRST_TIMEOUT_US: u64 = SECOND_US;
/// Longest timeout: a path that needs more is of no use.
const MAX_TIMEOUT_US: u64 = 3 * SECOND_US;
/// The smallest round trip is that of the last one to two of these: routes change.
const MIN_RTT_WINDOW_US: u64 = 300 * SECOND_US;
/// The highest goodput is that of the last two to three of these.
const GOODPUT_WINDOW_US: u64 = 20 * SECOND_US;
/// A stretch of traffic this long and this large says something about goodput; less says how much was asked for.
const MIN_GOODPUT_US: u64 = 50 * MILLI_US;
const MIN_GOODPUT_BYTES: u64 = 32 * 1024;
/// Samples further apart than this weigh half each: what RFC 6298 smooths are the round trips of one flow, not those of last minute.
const RARE_US: u64 = 2 * SECOND_US;

/// Round trip of a path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rtt {
    smoothed_us: Option<u64>,
    var_us: u64,
    min_us: [Option<u64>; 2],
    window_us: u64,
    last_us: u64,
}

impl Rtt {
    /// One answered probe.
    pub fn add(&mut self, now: Now, sample_us: u64) {
        match self.smoothed_us {
            None => {
                self.smoothed_us = Some(sample_us);
                self.var_us = sample_us / 2;
            }
            Some(old) => {
                let (mean, var) = if now.since(self.last_us) > RARE_US { (2, 2) } else { (8, 4) };
                self.var_us = self.var_us - self.var_us / var + old.abs_diff(sample_us) / var;
                self.smoothed_us = Some(old - old / mean + sample_us / mean);
            }
        }
        self.last_us = now.mono_us;
        let window = now.mono_us / MIN_RTT_WINDOW_US;
        if window != self.window_us {
            let [newest, _] = self.min_us;
            self.min_us = [None, newest.filter(|_| window == self.window_us.saturating_add(1))];
            self.window_us = window;
        }
        let [newest, _] = &mut self.min_us;
        *newest = Some(newest.map_or(sample_us, |least| least.min(sample_us)));
    }

    /// Smoothed round trip in microseconds.
    #[must_use]
    pub const fn smoothed_us(&self) -> Option<u64> {
        self.smoothed_us
    }

    /// Mean deviation in microseconds.
    #[must_use]
    pub const fn var_us(&self) -> u64 {
        self.var_us
    }

    /// Smallest round trip of the last five to ten minutes with samples.
    #[must_use]
    pub fn min_us(&self) -> Option<u64> {
        self.min_us.into_iter().flatten().min()
    }

    /// When a probe without answer counts as lost: `max(100 ms, 2 srtt + 4 rttvar)`, at most 3 s, and 1 s before the first sample.
    #[must_use]
    pub fn timeout_us(&self) -> u64 {
        self.smoothed_us.map_or(FIRST_TIMEOUT_US, |srtt| {
            srtt.saturating_mul(2).saturating_add(self.var_us.saturating_mul(4)).clamp(MIN_TIMEOUT_US, MAX_TIMEOUT_US)
        })
    }
}

/// Counters of a path at the moment a probe left; its answer brings the other end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When the probe left.
    pub sent_us: u64,
    /// Data frames sent on the path before it, the probe included; wraps.
    pub tx_packets: u32,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Snapshot,
    rx_packets: u32,
    rx_bytes: u64,
}

/// Everything measured on one path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metrics {
    /// Round trip.
    pub rtt: Rtt,
    loss: Loss,
    goodput_bps: [(u64, u64); 3],
    seen: Option<Seen>,
    answered_us: Option<u64>,
}

impl Metrics {
    /// A probe was answered; `rx_*` are the counters of its answer.
    pub fn answered(&mut self, now: Now, sent: Snapshot, rx_packets: u32, rx_bytes: u64) {
        self.rtt.add(now, now.since(sent.sent_us));
        self.answered_us = Some(now.mono_us);
        self.loss.probe(false);
        if let Some(last) = self.seen {
            // An answer that was overtaken says nothing new.
            if sent.sent_us < last.at.sent_us {
                return;
            }
            self.compare(now, &last, sent, rx_packets, rx_bytes);
        }
        // Zero: the other end does not count this path yet.
        self.seen = (rx_packets != 0).then_some(Seen { at: sent, rx_packets, rx_bytes });
    }

    fn compare(&mut self, now: Now, last: &Seen, sent: Snapshot, rx_packets: u32, rx_bytes: u64) {
        let tx = sent.tx_packets.wrapping_sub(last.at.tx_packets);
        let rx = rx_packets.wrapping_sub(last.rx_packets);
        let Some(bytes) = rx_bytes.checked_sub(last.rx_bytes) else { return };
        // The other end began to count anew, or frames were overtaken by the probe before: neither is loss.
        if tx == 0 || rx > tx.saturating_mul(2).saturating_add(64) {
            return;
        }
        self.loss.frames(tx, rx);
        let over_us = sent.sent_us.saturating_sub(last.at.sent_us);
        if over_us >= MIN_GOODPUT_US && bytes >= MIN_GOODPUT_BYTES {
            self.note_goodput(now, bytes.saturating_mul(8).saturating_mul(SECOND_US) / over_us);
        }
    }

    fn note_goodput(&mut self, now: Now, bps: u64) {
        let window = now.mono_us / GOODPUT_WINDOW_US;
        let [newest, middle, oldest] = &mut self.goodput_bps;
        if newest.0 != window {
            (*oldest, *middle, *newest) = (*middle, *newest, (window, 0));
        }
        newest.1 = newest.1.max(bps);
    }

    /// The path answers again after it was dead.
    pub fn revived(&mut self) {
        self.loss.revived();
        self.seen = None;
    }

    /// A small probe was not answered in time.
    pub fn lost(&mut self) {
        self.loss.probe(true);
    }

    /// Share of frames lost, in parts per million: the likeliest number, for people.
    #[must_use]
    pub fn loss_ppm(&self) -> u32 {
        self.loss.mean_ppm()
    }

    /// What is sure about the share of frames lost, for the choice of paths.
    #[must_use]
    pub fn loss_range(&self) -> LossRange {
        self.loss.range()
    }

    /// Most bits a second that arrived over a stretch of the last minute: a lower bound of what the path carries. `None`: little was sent.
    #[must_use]
    pub fn goodput_bps(&self, now: Now) -> Option<u64> {
        let window = now.mono_us / GOODPUT_WINDOW_US;
        let recent = self.goodput_bps.iter().filter(|(of, bps)| *bps > 0 && window.saturating_sub(*of) <= 2);
        recent.map(|(_, bps)| *bps).max()
    }

    /// Microseconds since a probe was answered; `None`: never.
    #[must_use]
    pub fn age_us(&self, now: Now) -> Option<u64> {
        self.answered_us.map(|at| now.since(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::loss::ALL_PPM;
    use proptest::prelude::*;

    fn at(mono_us: u64) -> Now {
        Now { mono_us, unix_s: 0 }
    }

    #[test]
    fn the_round_trip_follows_rfc_6298() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout_us(), SECOND_US);
        rtt.add(at(0), 80_000);
        assert_eq!((rtt.smoothed_us(), rtt.var_us()), (Some(80_000), 40_000));
        rtt.add(at(1), 160_000);
        assert_eq!((rtt.smoothed_us(), rtt.var_us()), (Some(90_000), 50_000));
        assert_eq!(rtt.timeout_us(), 380_000);
        assert_eq!(rtt.min_us(), Some(80_000));
    }

    #[test]
    fn the_smallest_round_trip_is_forgotten_when_the_route_changed_long_ago() {
        let mut rtt = Rtt::default();
        rtt.add(at(0), 10_000);
        rtt.add(at(MIN_RTT_WINDOW_US), 50_000);
        assert_eq!(rtt.min_us(), Some(10_000));
        rtt.add(at(2 * MIN_RTT_WINDOW_US), 50_000);
        assert_eq!(rtt.min_us(), Some(50_000));
    }

    #[test]
    fn a_rare_sample_weighs_more_than_one_of_many() {
        let mut rtt = Rtt::default();
        rtt.add(at(0), 300_000);
        for step in 1..=5u64 {
            rtt.add(at(step * 15 * SECOND_US), 20_000);
        }
        assert!(rtt.smoothed_us().is_some_and(|us| us < 30_000), "{rtt:?}");
    }

    #[test]
    fn frames_that_never_arrived_show_as_loss_and_those_that_did_as_goodput() {
        let mut metrics = Metrics::default();
        let (mut tx, mut rx, mut bytes) = (0u32, 0u32, 0u64);
        for step in 0..50u64 {
            tx = tx.wrapping_add(1_000);
            rx = rx.wrapping_add(900);
            bytes += 900 * 1_250;
            let sent = Snapshot { sent_us: step * 100_000, tx_packets: tx };
            metrics.answered(at(step * 100_000 + 20_000), sent, rx, bytes);
        }
        assert!((60_000..=100_000).contains(&metrics.loss_ppm()), "{} ppm", metrics.loss_ppm());
        assert_eq!(metrics.goodput_bps(at(5_000_000)), Some(900 * 1_250 * 8 * 10));
        assert_eq!(metrics.goodput_bps(at(120_000_000)), None, "a minute later it is history");
    }

    #[test]
    fn a_peer_that_counts_anew_is_not_taken_for_loss() {
        let mut metrics = Metrics::default();
        metrics.answered(at(1_000), Snapshot { sent_us: 0, tx_packets: 5_000 }, 5_000, 9_000_000);
        metrics.answered(at(2_000), Snapshot { sent_us: 1_500, tx_packets: 5_010 }, 3, 4_000);
        assert_eq!(metrics.loss_ppm(), 0);
        metrics.answered(at(3_000), Snapshot { sent_us: 2_500, tx_packets: 5_020 }, 13, 5_000);
        assert_eq!(metrics.loss_ppm(), 0);
    }

    proptest! {
        /// Whatever a peer claims, the numbers stay in range and nothing overflows.
        #[test]
        fn hostile_counters_do_no_harm(acks in proptest::collection::vec(any::<(u64, u32, u32, u64)>(), 0..50)) {
            let mut metrics = Metrics::default();
            for (sent_us, tx_packets, rx_packets, rx_bytes) in acks {
                metrics.answered(at(sent_us.saturating_add(5)), Snapshot { sent_us, tx_packets }, rx_packets, rx_bytes);
                prop_assert!(metrics.loss_ppm() <= ALL_PPM);
                prop_assert!((MIN_TIMEOUT_US..=MAX_TIMEOUT_US).contains(&metrics.rtt.timeout_us()));
            }
        }
    }
}
