//! The decay curve: how much NFC the traffic vault has released after so many bytes, network-wide. It is the ceiling of
//! an epoch's rewards; what is minted below it depends on what was burnt.
//!
//! `E(0) = 2^128`, `E(n+1) = floor(E(n) * RHO / 2^128)`, `T(n) = V - ceil(V * E(n) / 2^128)`, linear inside an exabyte.

use crate::amount::Amount;
use crate::params::{EXABYTE, RHO, TRAFFIC_VAULT};

/// Released after `exabytes` whole exabytes, atto-NFC.
///
/// At most about 7,000 multiplications whatever the argument: the remaining share is an integer that only falls, and
/// reaches zero.
#[must_use]
pub fn released_after(exabytes: u128) -> u128 {
    let mut remaining: Amount = Amount::from(1) << 128;
    let mut step = 0;
    while step < exabytes && !remaining.is_zero() {
        remaining = (remaining * Amount::from(RHO)) >> 128;
        step += 1;
    }
    let kept = Amount::from(TRAFFIC_VAULT) * remaining;
    let whole: Amount = (kept + ((Amount::from(1) << 128) - Amount::from(1))) >> 128;
    // kept <= V because remaining <= 2^128.
    TRAFFIC_VAULT.saturating_sub(whole.saturating_to::<u128>())
}

/// Released after `bytes` counted bytes, atto-NFC.
#[must_use]
pub fn released(bytes: u128) -> u128 {
    let (whole, rest) = (bytes / EXABYTE, bytes % EXABYTE);
    let from = released_after(whole);
    let step = released_after(whole + 1) - from;
    // step < 2^85 and rest < 2^60: the product needs more than 128 bits.
    let part = Amount::from(step) * Amount::from(rest) / Amount::from(EXABYTE);
    from + part.saturating_to::<u128>()
}

/// Ceiling of the rewards of an epoch that moved the counter from `before` to `after` bytes, atto-NFC; zero when the
/// counter did not grow.
#[must_use]
pub fn allowance(before: u128, after: u128) -> u128 {
    released(after).saturating_sub(released(before))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn allowances_add_up_however_the_traffic_is_cut(a in 0..80 * EXABYTE, b in 0..EXABYTE, c in 0..EXABYTE) {
            prop_assert_eq!(allowance(a, a + b) + allowance(a + b, a + b + c), allowance(a, a + b + c));
        }
    }

    #[test]
    fn the_vault_is_never_exceeded_and_half_is_out_at_52_exabytes() {
        assert!(released(51 * EXABYTE) < TRAFFIC_VAULT / 2 && TRAFFIC_VAULT / 2 < released(52 * EXABYTE));
        assert_eq!(released(u128::MAX), TRAFFIC_VAULT);
        assert_eq!(allowance(5, 4), 0);
    }
}
