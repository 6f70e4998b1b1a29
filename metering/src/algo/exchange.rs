//! (2) Arithmetic average exchange: what two ends of a segment agree to have exchanged.

use super::logm::{byte_distance, distance};
use crate::params::TAU0_Q16;

/// The mean of two counts within 1 % of each other, else the smaller: claiming more gains at most 0.5 %, and nothing
/// past the tolerance.
#[must_use]
pub fn average(sent: u64, received: u64) -> u64 {
    mean_within(distance(sent, received), sent, received)
}

/// [`average`] of byte totals, where differences up to 64 KiB are within the tolerance too.
#[must_use]
pub fn average_bytes(sent: u64, received: u64) -> u64 {
    mean_within(byte_distance(sent, received), sent, received)
}

fn mean_within(distance: u32, a: u64, b: u64) -> u64 {
    if distance <= TAU0_Q16 { a.midpoint(b) } else { a.min(b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_average_lies_between_its_arguments(a: u64, b: u64) {
            for v in [average(a, b), average_bytes(a, b)] {
                prop_assert!(a.min(b) <= v && v <= a.max(b));
            }
        }

        #[test]
        fn claiming_more_gains_at_most_half_of_the_tolerance(r in 1_000_000u64..1_000_000_000_000, f in 0u64..2_000_000) {
            let claimed = r + u64::try_from(u128::from(r) * u128::from(f) / 1_000_000).unwrap_or(0);
            prop_assert!(average(claimed, r) <= r + r / 1_000_000 * 5_100 + 5_100);
        }
    }
}
