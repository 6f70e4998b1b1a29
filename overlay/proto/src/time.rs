//! Time as an input: the shell reads the clocks, the core is told.

/// One reading of both clocks, taken together by the shell and passed into every call.
///
/// The monotonic clock drives every timer; the wall clock is written into log entries and compared with the expiry of
/// invites, and nothing else trusts it: a router boots in 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Monotonic microseconds since an arbitrary start. Never goes back.
    pub mono_us: u64,
    /// Wall clock in seconds since 1970-01-01 UTC. May jump.
    pub unix_s: u64,
}

/// Microseconds of a second: the unit of every timer of the core.
pub const SECOND_US: u64 = 1_000_000;
/// Microseconds of a millisecond.
pub const MILLI_US: u64 = 1_000;

impl Now {
    /// The moment `delay_us` microseconds after this one, saturating.
    #[must_use]
    pub const fn after(self, delay_us: u64) -> u64 {
        self.mono_us.saturating_add(delay_us)
    }

    /// Microseconds since `earlier_us` on the monotonic clock, 0 when that lies ahead.
    #[must_use]
    pub const fn since(self, earlier_us: u64) -> u64 {
        self.mono_us.saturating_sub(earlier_us)
    }

    /// Day number since 1970 on the wall clock: the period of a relay quota.
    #[must_use]
    pub const fn day(self) -> u64 {
        self.unix_s / 86_400
    }
}

/// The wall clock to the millisecond, as far as the shell told it. For people to look at: nothing is decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    /// What it shows beyond the monotonic one, in milliseconds.
    ahead_ms: Option<i64>,
}

impl WallClock {
    /// What both clocks show at the same moment.
    pub fn set(&mut self, now: Now, unix_ms: u64) {
        self.ahead_ms = Some(signed(unix_ms).saturating_sub(signed(now.mono_us / MILLI_US)));
    }

    /// Milliseconds since 1970 at a moment of the monotonic clock; to the second of `now` while nobody told more.
    #[must_use]
    pub fn unix_ms(&self, now: Now, mono_us: u64) -> i64 {
        match self.ahead_ms {
            Some(ahead_ms) => signed(mono_us / MILLI_US).saturating_add(ahead_ms),
            None => signed(now.unix_s.saturating_mul(1_000)).saturating_sub(signed(now.since(mono_us) / MILLI_US)),
        }
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
