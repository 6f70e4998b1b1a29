//! (1) Logarithmic measurement: a scale-free distance of two counts, in Q16.16 octaves.
//!
//! Never a payout weight per identity: any concave function of a node's own volume pays for splitting the node.

use crate::params::SLACK_BYTES;

/// Distance of a count from zero: no tolerance reaches it.
pub const FAR: u32 = u32::MAX;

/// log2 of `x` in Q16.16, exact on powers of two, monotone, within 2^-14 octave below the true value; 0 for 0 and 1.
#[must_use]
pub fn lg(x: u64) -> u32 {
    let Some(octave) = x.checked_ilog2() else { return 0 };
    // The mantissa x / 2^octave in Q31; squaring it doubles the logarithm, so each carry is the next binary digit.
    let mut mantissa = u64::try_from((u128::from(x) << 31) >> octave).unwrap_or(u64::MAX);
    let mut fraction = 0;
    for _ in 0..16 {
        mantissa = (mantissa * mantissa) >> 31;
        fraction <<= 1;
        if mantissa >= 1 << 32 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    octave << 16 | fraction
}

/// Distance of two counts in Q16.16 octaves: symmetric, 0 when equal, [`FAR`] when exactly one is zero.
#[must_use]
pub fn distance(a: u64, b: u64) -> u32 {
    match (a, b) {
        _ if a == b => 0,
        (0, _) | (_, 0) => FAR,
        _ => lg(a).abs_diff(lg(b)),
    }
}

/// Distance of two byte totals: differences up to [`SLACK_BYTES`] are none.
#[must_use]
pub fn byte_distance(a: u64, b: u64) -> u32 {
    if a.abs_diff(b) <= SLACK_BYTES { 0 } else { distance(a, b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_logarithm_is_monotone(a in 1u64.., b in 1u64..) {
            prop_assert_eq!(lg(a.min(b)) <= lg(a.max(b)), true);
        }

        #[test]
        fn the_distance_is_symmetric_and_a_metric(a in 1u64.., b in 1u64.., c in 1u64..) {
            prop_assert_eq!(distance(a, b), distance(b, a));
            prop_assert!(u64::from(distance(a, c)) <= u64::from(distance(a, b)) + u64::from(distance(b, c)));
        }

        #[test]
        fn doubling_adds_one_octave(x in 1u64..1 << 63) {
            prop_assert_eq!(lg(2 * x), lg(x) + (1 << 16));
        }
    }

    #[test]
    fn powers_of_two_are_exact() {
        for octave in 0..64 {
            assert_eq!(lg(1 << octave), octave << 16);
        }
    }
}
