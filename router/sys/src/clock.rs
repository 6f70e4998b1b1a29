//! The only place that reads a clock. Everything above takes time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Monotonic time since the start of the process and wall-clock time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// A tokio instant, so that tests which pause tokio's clock pause this one too.
    start: tokio::time::Instant,
}

impl Clock {
    /// Starts the monotonic count at zero.
    #[must_use]
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    /// Microseconds since [`Clock::start`]; never goes back.
    #[must_use]
    pub fn mono_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant at which [`Clock::mono_us`] will be `mono_us`.
    #[must_use]
    pub fn instant_at(&self, mono_us: u64) -> tokio::time::Instant {
        // 30 years: further than any deadline, near enough that the addition cannot overflow the kernel's clock.
        const HORIZON: Duration = Duration::from_secs(30 * 365 * 86_400);
        self.start + Duration::from_micros(mono_us).min(HORIZON)
    }

    /// Seconds since 1970 by the machine's clock, which may be wrong and may jump.
    #[must_use]
    pub fn unix_s(&self) -> u64 {
        unix_s()
    }

    /// The same in milliseconds.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        unix_ms()
    }
}

/// Milliseconds since 1970 by the machine's clock; zero when it stands before 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this crate is the shell that reads the clock for everyone")]
pub fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970 by the machine's clock; zero when it stands before 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this crate is the shell that reads the clock for everyone")]
pub fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
