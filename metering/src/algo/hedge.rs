//! (4) Two-way hedging: opposite quantities cancel, so friends who call each other mint nothing.

use crate::amount::Amount;
use crate::params::PPM;

/// What of two opposite byte counts is left on each side when `eta_ppm` of the other is set against it.
#[must_use]
pub fn net(a: u64, b: u64, eta_ppm: u64) -> (u64, u64) {
    let against = |x: u64| u64::try_from(u128::from(x) * u128::from(eta_ppm) / u128::from(PPM)).unwrap_or(u64::MAX);
    (a.saturating_sub(against(b)), b.saturating_sub(against(a)))
}

/// Mutual obligations of one epoch after barter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hedged {
    /// Left of the first obligation.
    pub net_x: Amount,
    /// Left of the second obligation.
    pub net_y: Amount,
    /// Neither paid, nor burnt, nor minted on.
    pub bartered: Amount,
}

/// Sets two wallets' obligations of one epoch against each other.
#[must_use]
pub fn pair(x: Amount, y: Amount) -> Hedged {
    let bartered = x.min(y);
    Hedged { net_x: x - bartered, net_y: y - bartered, bartered }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::params::ETA_PPM;

    proptest! {
        #[test]
        fn one_side_is_left_with_exactly_the_difference(a: u64, b: u64) {
            let (x, y) = net(a, b, ETA_PPM);
            prop_assert!(x == 0 || y == 0);
            prop_assert_eq!(i128::from(x) - i128::from(y), i128::from(a) - i128::from(b));
        }

        #[test]
        fn barter_conserves_both_obligations(a: [u8; 32], b: [u8; 32]) {
            let (x, y) = (Amount::from_le_bytes(a), Amount::from_le_bytes(b));
            let h = pair(x, y);
            prop_assert_eq!(h.net_x + h.bartered, x);
            prop_assert_eq!(h.net_y + h.bartered, y);
            prop_assert!(h.net_x.is_zero() || h.net_y.is_zero());
        }
    }
}
