//! A token bucket for events: so many a second, so many at once.

use crate::time::{Now, SECOND_US};

/// Tokens in millionths, so that a slow rate adds up between two events close together.
const WHOLE: u64 = 1_000_000;

/// How many events may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    per_second: u32,
    burst: u32,
    left: u64,
    refilled_us: u64,
}

impl Bucket {
    /// Full at first.
    pub(crate) fn new(per_second: u32, burst: u32, now: Now) -> Self {
        Self { per_second, burst, left: u64::from(burst) * WHOLE, refilled_us: now.mono_us }
    }

    /// One event. `false`: too many.
    pub(crate) fn take(&mut self, now: Now) -> bool {
        // Longer than a minute fills every bucket there is, and keeps the product small.
        let elapsed = now.since(self.refilled_us).min(60 * SECOND_US);
        self.refilled_us = now.mono_us;
        self.left = (self.left + elapsed * u64::from(self.per_second)).min(u64::from(self.burst) * WHOLE);
        let enough = self.left >= WHOLE;
        if enough {
            self.left -= WHOLE;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_burst_and_rate_pass() {
        let at = |mono_us| Now { mono_us, unix_s: 0 };
        let mut bucket = Bucket::new(4, 16, at(0));
        let passed = (0..1_000u64).filter(|step| bucket.take(at(step * 10_000))).count();
        // Ten seconds of four a second, and the sixteen at the start.
        assert!((55..=56).contains(&passed), "{passed}");
    }
}
