//! (3) Discount coefficient: what share of its fee a node's weight keeps, in parts per million.

use crate::params::{DUP_FREE_PPM, PPM, TAU0_Q16, TAU1_Q16, TAU2_Q16};

/// What a node's counts and its audit say about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deviation {
    /// Distance by which it claims more than either end counted, Q16.16 octaves.
    pub over: u32,
    /// Distance from the nearer of its two neighbours, on its worse side, Q16.16 octaves.
    pub step: u32,
    /// Packets counted.
    pub pkts: u128,
    /// Packets counted as duplicates.
    pub dups: u128,
    /// An audit of the flow in this epoch flagged it.
    pub flagged: bool,
}

impl Deviation {
    /// The coefficient: product of the three, each product rounded down; zero when flagged.
    #[must_use]
    pub fn coefficient(&self) -> u64 {
        if self.flagged {
            return 0;
        }
        let c = of_over(self.over) * of_step(self.step) / PPM;
        c * of_duplicates(self.pkts, self.dups) / PPM
    }
}

/// Claimed more than was sent: free to 1 %, nothing left at 20 %.
#[must_use]
pub fn of_over(distance: u32) -> u64 {
    ramp(distance, TAU0_Q16, TAU1_Q16)
}

/// Not corroborated by a neighbour (loss or a lie, nobody can tell): free to 1 %, nothing left at one octave.
#[must_use]
pub fn of_step(distance: u32) -> u64 {
    ramp(distance, TAU0_Q16, TAU2_Q16)
}

/// Duplicates: free to 2 % of all packets, then the share that was not duplicate.
#[must_use]
pub fn of_duplicates(pkts: u128, dups: u128) -> u64 {
    let total = pkts.saturating_add(dups);
    let ppm = u128::from(PPM);
    if total == 0 || dups.saturating_mul(ppm) <= total.saturating_mul(u128::from(DUP_FREE_PPM)) {
        return PPM;
    }
    // Counts of a flow-epoch stay far below 2^100; above, the quotient is only smaller.
    u64::try_from(pkts.saturating_mul(ppm) / total).unwrap_or(PPM).min(PPM)
}

fn ramp(distance: u32, free: u32, zero: u32) -> u64 {
    if distance <= free {
        PPM
    } else if distance >= zero {
        0
    } else {
        PPM * u64::from(zero - distance) / u64::from(zero - free)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_deviation_earns_more_than_a_smaller_one(a: u32, b: u32, step: u32, pkts: u64, dups: u32) {
            let of = |over| {
                Deviation { over, step, pkts: pkts.into(), dups: dups.into(), flagged: false }.coefficient()
            };
            prop_assert!(of(a.max(b)) <= of(a.min(b)));
            prop_assert!(of(a) <= PPM);
        }
    }

    #[test]
    fn a_flag_leaves_nothing_and_extreme_counts_do_not_panic() {
        let all = Deviation { over: 0, step: 0, pkts: u128::MAX, dups: u128::MAX, flagged: false };
        assert!(all.coefficient() <= PPM);
        assert_eq!(Deviation { flagged: true, ..Deviation::default() }.coefficient(), 0);
    }
}
