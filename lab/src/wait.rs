//! Waiting for conditions, never for times.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at: short beside every limit in the tests, long beside the cost of a look.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks `condition` until it gives a value or `limit_ms` milliseconds have gone.
pub fn until_some<T>(limit_ms: u64, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + Duration::from_millis(limit_ms);
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Asks `condition` until it holds; how long that took.
///
/// # Errors
/// "`what` did not happen within N ms".
pub fn until(what: &str, limit_ms: u64, mut condition: impl FnMut() -> bool) -> Result<Duration> {
    let start = Instant::now();
    if until_some(limit_ms, || condition().then_some(())).is_none() {
        bail!("{what} did not happen within {limit_ms} ms");
    }
    Ok(start.elapsed())
}
