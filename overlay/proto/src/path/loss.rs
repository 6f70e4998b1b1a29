//! How much of what is sent on a path is lost, and how sure that is.
//!
//! A path with one packet a second is known by a few dozen samples: one lost probe of sixteen reads as six percent, and the next
//! fifteen good ones as none. Whoever acts on that number leaves a path and comes back to it every few seconds. So the estimate
//! is a range, the Wilson score interval (E. B. Wilson, 1927): wide while little is known, narrow when much is. [`super::select`]
//! holds against a path only what it has surely lost more than another one.

/// All of it, in parts per million.
pub const ALL_PPM: u32 = 1_000_000;
/// One sample in the fixed point of the counters.
const ONE: u64 = 1 << 16;
/// Probes that weigh as much as all that was known before: at one every five seconds of a path in use, that of five minutes.
const PROBE_MEMORY: u64 = 64 * ONE;
/// The same for frames, which are counted in hundreds by one answer on a busy path.
const FRAME_MEMORY: u64 = 256 * ONE;
/// Lost share a path that comes back from the dead starts with at most: its outage was no random loss, but it is not as good as new.
const REVIVED_PART: u64 = 100;
/// A path lost at least the lower end with a probability of 99.9 % (three deviations): nobody is blamed for bad luck, not even by one of
/// the seven hundred looks of an hour.
const LOW_DEVIATIONS: u64 = 3;
/// It lost at most the upper end with 84 % (one): a clean path of thirty samples is good for 3 %, so that a really bad one is
/// left for it within a minute of probes.
const HIGH_DEVIATIONS: u64 = 1;

/// What a path is known to lose, in parts per million: surely no less, likely no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossRange {
    /// At least this much.
    pub low_ppm: u32,
    /// At most this much.
    pub high_ppm: u32,
}

impl LossRange {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { low_ppm: 0, high_ppm: ALL_PPM };
}

/// Counts of one path, older ones fading.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loss {
    samples: u64,
    lost: u64,
}

impl Loss {
    /// One probe, answered or not.
    pub fn probe(&mut self, lost: bool) {
        self.fade(ONE, PROBE_MEMORY);
        self.samples += ONE;
        self.lost += if lost { ONE } else { 0 };
    }

    /// What the other end counted between two answers: `arrived` of `sent` frames. More than were sent: the probe before had overtaken
    /// them, and they were counted as lost then.
    pub fn frames(&mut self, sent: u32, arrived: u32) {
        let late = u64::from(arrived.saturating_sub(sent)) * ONE;
        let (mut sent, mut lost) = (u64::from(sent) * ONE, u64::from(sent.saturating_sub(arrived)) * ONE);
        if sent > FRAME_MEMORY {
            lost = scaled(lost, FRAME_MEMORY, sent);
            sent = FRAME_MEMORY;
        }
        self.fade(sent, FRAME_MEMORY);
        self.samples += sent;
        self.lost = (self.lost + lost).saturating_sub(late).min(self.samples);
    }

    /// The path answers again after it was dead.
    pub fn revived(&mut self) {
        self.lost = self.lost.min(self.samples / REVIVED_PART);
    }

    /// Share lost, in parts per million.
    #[must_use]
    pub fn mean_ppm(&self) -> u32 {
        ppm(self.lost, self.samples)
    }

    /// What is sure about it.
    #[must_use]
    pub fn range(&self) -> LossRange {
        LossRange { low_ppm: self.bound(LOW_DEVIATIONS, false), high_ppm: self.bound(HIGH_DEVIATIONS, true) }
    }

    /// Makes room for `more` samples within `memory`.
    fn fade(&mut self, more: u64, memory: u64) {
        let room = memory.saturating_sub(more);
        if self.samples > room {
            self.lost = scaled(self.lost, room, self.samples);
            self.samples = room;
        }
    }

    /// One end of the Wilson interval of `z` deviations: `(lost + z^2/2 -+ z sqrt(lost (n - lost) / n + z^2/4)) / (n + z^2)`.
    fn bound(&self, z: u64, upper: bool) -> u32 {
        let kept = self.samples.saturating_sub(self.lost);
        // Counters are at most 2^24, so nothing here comes near 2^64.
        let variance = (self.lost * kept).checked_div(self.samples).unwrap_or(0) * ONE + z * z * ONE * ONE / 4;
        let (centre, reach) = (self.lost + z * z * ONE / 2, z * variance.isqrt());
        let end = if upper { centre + reach } else { centre.saturating_sub(reach) };
        ppm(end, self.samples + z * z * ONE)
    }
}

fn scaled(value: u64, to: u64, from: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(to) / u128::from(from.max(1))).unwrap_or(u64::MAX)
}

fn ppm(part: u64, all: u64) -> u32 {
    u32::try_from(scaled(part, u64::from(ALL_PPM), all)).unwrap_or(ALL_PPM).min(ALL_PPM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(answered: u32, lost: u32) -> Loss {
        let mut loss = Loss::default();
        (0..answered).for_each(|_| loss.probe(false));
        (0..lost).for_each(|_| loss.probe(true));
        loss
    }

    #[test]
    fn nothing_is_known_of_a_path_without_samples() {
        assert_eq!(Loss::default().range(), LossRange::UNKNOWN);
        assert_eq!(Loss::default().mean_ppm(), 0);
    }

    /// Checked against the formula worked out by hand: 1 of 16 with z = 3 is (1 + 4.5 - 3 sqrt(15/16 + 2.25)) / 25 = 0.58 %;
    /// 0 of 30 with z = 1 is 1 / 31 = 3.2 %.
    #[test]
    fn one_lost_probe_of_sixteen_is_surely_no_more_than_half_a_percent() {
        let range = after(15, 1).range();
        assert!((5_000..=6_500).contains(&range.low_ppm), "{range:?}");
        let clean = after(30, 0).range();
        assert_eq!(clean.low_ppm, 0);
        assert!((31_000..=33_000).contains(&clean.high_ppm), "{clean:?}");
    }

    #[test]
    fn a_path_that_loses_a_third_is_known_for_it_after_a_dozen_probes_of_a_flow() {
        let mut loss = after(64, 0);
        (0..4).for_each(|_| {
            loss.probe(false);
            loss.probe(true);
            loss.probe(false);
        });
        let quick = loss.range().low_ppm;
        assert!(quick > 12_000, "{quick} ppm after four of twelve");
    }

    #[test]
    fn frames_overtaken_by_a_probe_are_no_loss_when_they_arrive_after_it() {
        let mut loss = Loss::default();
        for _ in 0..50 {
            loss.frames(10, 8);
            loss.frames(10, 12);
        }
        assert!(loss.mean_ppm() < 1_000, "{} ppm", loss.mean_ppm());
    }

    proptest! {
        /// Whatever is counted, the mean lies within its range and all of it between nothing and everything.
        #[test]
        fn the_mean_lies_within_its_range(steps in proptest::collection::vec((any::<bool>(), any::<u32>(), any::<u32>()), 0..200)) {
            let mut loss = Loss::default();
            for (probe, sent, arrived) in steps {
                if probe { loss.probe(sent % 3 == 0) } else { loss.frames(sent, arrived) }
                let (range, mean) = (loss.range(), loss.mean_ppm());
                prop_assert!(range.low_ppm <= mean + 1 && mean <= range.high_ppm + 1 && range.high_ppm <= ALL_PPM, "{range:?} {mean}");
            }
        }
    }
}
