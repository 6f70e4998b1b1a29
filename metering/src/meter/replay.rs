//! Which packet counters a metering point has seen: RFC 6479, a ring of words, so moving on never shifts bits.

const WORDS: u64 = 16;
const RING: usize = 16;
const _: () = assert!(RING as u64 == WORDS);

/// Counters this far below the highest one are too old to tell, and taken as seen: 15 of 16 words, as the word the
/// highest counter has just entered is being reused. Reordering on one path stays below 64.
pub const WINDOW: u64 = (WORDS - 1) * 64;

/// The counters seen of one session and direction (136 bytes).
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    highest: u64,
    seen: [u64; RING],
}

impl ReplayWindow {
    /// Notes `counter`; `true` when it was not seen before.
    pub fn admit(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            let (old, new) = (self.highest / 64, counter / 64);
            for word in (old + 1..=new).take(RING) {
                *self.word(word) = 0;
            }
            // After a jump of more than the ring every word was cleared, whichever it was.
            self.highest = counter;
        } else if self.highest - counter >= WINDOW {
            return false;
        }
        let bit = 1 << (counter % 64);
        let word = self.word(counter / 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    // The index is reduced modulo the length of the array, which the compiler sees.
    #[allow(clippy::indexing_slicing)]
    const fn word(&mut self, index: u64) -> &mut u64 {
        &mut self.seen[(index % WORDS) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pitfall_04_a_counter_is_admitted_at_most_once(steps in proptest::collection::vec((0u64..2_000, any::<bool>()), 0..400)) {
            let mut window = ReplayWindow::default();
            let mut admitted = BTreeSet::new();
            let mut highest = 0u64;
            for (step, back) in steps {
                let counter = if back { highest.saturating_sub(step) } else { highest + step };
                let fresh = window.admit(counter);
                prop_assert_eq!(fresh, !admitted.contains(&counter) && highest.saturating_sub(counter) < WINDOW);
                if fresh {
                    admitted.insert(counter);
                }
                highest = highest.max(counter);
            }
        }
    }

    #[test]
    fn the_ends_of_the_counter_range_are_counters_like_others() {
        let mut window = ReplayWindow::default();
        for counter in [0, u64::MAX, u64::MAX - WINDOW + 1] {
            assert!(window.admit(counter));
            assert!(!window.admit(counter));
        }
        assert!(!window.admit(u64::MAX - WINDOW));
    }
}
