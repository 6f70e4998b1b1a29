//! How much a network may relay: a token bucket for the rate, a counter of the UTC day for the volume.

use super::config::Quota;
use crate::time::{Now, SECOND_US};

/// Longest burst in microseconds of the rate: a quarter of a second, about the queue of a home uplink.
const BURST_US: u64 = SECOND_US / 4;
/// Smallest burst in bytes, so that a slow quota still passes one full batch of segments.
const MIN_BURST_BYTES: u64 = 65_536;

/// Why a frame may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Faster than the rate: dropped like by any full queue.
    Rate,
    /// The day's volume is used up.
    Volume,
}

/// What one network used, against what it may use.
#[derive(Debug)]
pub(super) struct Meter {
    quota: Quota,
    /// Bytes that may pass at once, as of `refilled_us`.
    tokens: u64,
    refilled_us: u64,
    day: u64,
    used_today: u64,
}

impl Meter {
    pub(super) fn new(quota: Quota, now: Now) -> Self {
        let mut meter = Self { quota, tokens: 0, refilled_us: now.mono_us, day: now.day(), used_today: 0 };
        meter.tokens = meter.burst();
        meter
    }

    /// Puts back what was noted before a restart, when it is of the same day.
    pub(super) fn restore(&mut self, day: u64, used: u64) {
        if day == self.day {
            self.used_today = used;
        }
    }

    pub(super) const fn quota(&self) -> Quota {
        self.quota
    }

    pub(super) const fn set_quota(&mut self, quota: Quota) {
        self.quota = quota;
    }

    /// Day and bytes used in it.
    pub(super) const fn used(&self) -> (u64, u64) {
        (self.day, self.used_today)
    }

    /// Is there volume left today?
    pub(super) fn has_volume(&mut self, now: Now) -> bool {
        self.turn_day(now);
        self.used_today < self.quota.bytes_per_day
    }

    /// Takes `bytes` from both, or from neither.
    pub(super) fn take(&mut self, now: Now, bytes: u64) -> Result<(), Denied> {
        self.turn_day(now);
        if self.used_today.saturating_add(bytes) > self.quota.bytes_per_day {
            return Err(Denied::Volume);
        }
        self.refill(now);
        if self.tokens < bytes {
            return Err(Denied::Rate);
        }
        self.tokens -= bytes;
        self.used_today = self.used_today.saturating_add(bytes);
        Ok(())
    }

    /// Gives back what was taken for a frame that did not leave after all.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.used_today = self.used_today.saturating_sub(bytes);
        self.tokens = self.tokens.saturating_add(bytes).min(self.burst());
    }

    /// The wall clock may jump back; a day never begins twice, or the volume would be given twice.
    const fn turn_day(&mut self, now: Now) {
        if now.day() > self.day {
            self.day = now.day();
            self.used_today = 0;
        }
    }

    fn refill(&mut self, now: Now) {
        // Longer than the burst gains nothing, and keeps the product below 2^64.
        let elapsed = now.since(self.refilled_us).min(SECOND_US * 60);
        let gained = bytes_in(self.quota.rate_bps, elapsed);
        if gained > 0 {
            self.tokens = self.tokens.saturating_add(gained).min(self.burst());
            self.refilled_us = now.mono_us;
        }
    }

    fn burst(&self) -> u64 {
        bytes_in(self.quota.rate_bps, BURST_US).max(MIN_BURST_BYTES)
    }
}

/// Bytes that `rate_bps` lets through in `us` microseconds.
fn bytes_in(rate_bps: u64, us: u64) -> u64 {
    let bytes = u128::from(rate_bps) * u128::from(us) / (8 * u128::from(SECOND_US));
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_us: u64, unix_s: u64) -> Now {
        Now { mono_us, unix_s }
    }

    #[test]
    fn a_network_never_passes_more_than_rate_and_burst() {
        let quota = Quota { bytes_per_day: u64::MAX, rate_bps: 8_000_000 };
        let mut meter = Meter::new(quota, at(0, 0));
        let mut passed = 0;
        for step in 0..10_000 {
            if meter.take(at(step * 1_000, 0), 1_000).is_ok() {
                passed += 1_000;
            }
        }
        // Ten seconds of 1 MB/s, and the burst of a quarter of a second.
        assert!((10_000_000 - 1_000..=10_260_000).contains(&passed), "{passed}");
    }

    #[test]
    fn the_volume_of_a_day_comes_back_the_next_day_and_only_then() {
        let quota = Quota { bytes_per_day: 2_000, rate_bps: u64::MAX };
        let mut meter = Meter::new(quota, at(0, 86_400));
        assert_eq!(meter.take(at(0, 86_400), 1_500), Ok(()));
        assert_eq!(meter.take(at(0, 86_400), 501), Err(Denied::Volume));
        assert_eq!(meter.take(at(0, 10), 501), Err(Denied::Volume), "a clock set back gives nothing");
        assert_eq!(meter.take(at(0, 2 * 86_400), 501), Ok(()));
    }
}
