//! How much to offer in a block: what this machine could judge within the others' patience, judging by the blocks before, and less in each
//! later round of a height. Without it a busy network collapses: a block that takes too long to judge costs the round, what
//! was offered waits, and the next block is larger still.

use std::time::Duration;

/// Time a block may take to execute, with its roots: the first wait for a proposal (docs/spec/chain.md), so that those who judge it are
/// done before the slowest of them gives up on the next round.
const PATIENCE: Duration = Duration::from_secs(1);
/// Blocks with less gas say nothing about the speed: their fixed costs are most of their time. Fifty transfers.
const LEAST_TOLD_GAS: u64 = 50 * 21_000;
/// However slow the machine seems, 1/64 of a block: one stall (a disk, a sleeping laptop) must not close the chain.
const LEAST_SHARE: u64 = 64;
/// Halved a round, four times at most.
const MAX_HALVINGS: u32 = 4;

/// Speed of execution, as the clock on the wall sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Nanoseconds a thousand gas, none before a block told.
    ns_per_kgas: Option<u64>,
}

impl Pace {
    /// A block with so much gas took this long.
    pub fn took(&mut self, gas: u64, time: Duration) {
        if gas < LEAST_TOLD_GAS {
            return;
        }
        let new = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / (gas / 1_000).max(1);
        // Half of it is the last block: it follows a machine that becomes busy within two blocks, and forgets a stall as fast.
        self.ns_per_kgas = Some(self.ns_per_kgas.map_or(new, |old| old / 2 + new / 2));
    }

    /// Gas to offer in a round, of `most` that a block may hold.
    #[must_use]
    pub fn budget(&self, round: u32, most: u64) -> u64 {
        let patience = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        let by_speed = self.ns_per_kgas.map_or(most, |ns| (patience / ns.max(1)).saturating_mul(1_000));
        by_speed.clamp(most / LEAST_SHARE, most) >> round.min(MAX_HALVINGS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 284_000_000;

    #[test]
    fn a_fast_machine_fills_the_block_and_a_slow_one_what_it_can_judge_in_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.budget(0, MOST), MOST);
        // 6,000 transfers in 0.3 s.
        pace.took(6_000 * 21_000, Duration::from_millis(300));
        assert_eq!(pace.budget(0, MOST), MOST);
        // The same in 3 s, again and again: some 2,000 a second.
        for _ in 0..8 {
            pace.took(6_000 * 21_000, Duration::from_secs(3));
        }
        assert!((1_900 * 21_000..2_100 * 21_000).contains(&pace.budget(0, MOST)), "{}", pace.budget(0, MOST));
        pace.took(0, Duration::from_secs(60));
        assert!(pace.budget(0, MOST) >= 1_900 * 21_000, "an empty block says nothing");
    }

    #[test]
    fn each_round_offers_half_and_nothing_closes_the_chain() {
        let mut pace = Pace::default();
        let rounds: Vec<u64> = (0..6).map(|round| pace.budget(round, MOST)).collect();
        assert_eq!(rounds, [MOST, MOST / 2, MOST / 4, MOST / 8, MOST / 16, MOST / 16]);
        pace.took(MOST, Duration::MAX);
        assert_eq!(pace.budget(0, MOST), MOST / 64);
        assert!(pace.budget(u32::MAX, MOST) >= 10 * 21_000);
        // Forgotten as fast as it came.
        for _ in 0..80 {
            pace.took(MOST, Duration::from_millis(500));
        }
        assert_eq!(pace.budget(0, MOST), MOST);
    }
}
