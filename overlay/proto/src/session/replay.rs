//! Sliding window over record counters: each is accepted once. RFC 6479 (ring of words, no shifting), window 8192.

/// Counters this far below the highest are too old. Covers 8 ms of reordering at 1 Mpps, more than any path we keep.
pub(super) const WINDOW: u64 = 8192;
/// One word more than the window needs, because its two ends share a word only when aligned.
const RING: usize = 8192 / 64 + 1;
const WORDS: u64 = RING as u64;

/// Which counters of one session were seen.
pub(super) struct ReplayWindow {
    /// The highest accepted counter plus one.
    next: u64,
    ring: [u64; RING],
}

impl ReplayWindow {
    pub(super) const fn new() -> Self {
        Self { next: 0, ring: [0; RING] }
    }

    /// True when nothing was accepted yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// Whether `counter` could be accepted: new, and inside or above the window.
    pub(super) fn is_fresh(&self, counter: u64) -> bool {
        if counter >= self.next {
            return true;
        }
        // The window holds the WINDOW counters below `next`.
        if self.next - counter > WINDOW {
            return false;
        }
        self.ring.get(word(counter)).is_some_and(|bits| bits & bit(counter) == 0)
    }

    /// Marks an *authenticated* counter. False (and no change) when it is not fresh.
    pub(super) fn accept(&mut self, counter: u64) -> bool {
        if !self.is_fresh(counter) {
            return false;
        }
        if counter >= self.next {
            let highest_block = self.next.saturating_sub(1) / 64;
            let new_block = counter / 64;
            for block in highest_block + 1..=new_block.min(highest_block + WORDS) {
                if let Some(bits) = self.ring.get_mut(word(block * 64)) {
                    *bits = 0;
                }
            }
            self.next = counter.saturating_add(1);
        }
        if let Some(bits) = self.ring.get_mut(word(counter)) {
            *bits |= bit(counter);
        }
        true
    }
}

const fn word(counter: u64) -> usize {
    ((counter / 64) % WORDS) as usize
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{ReplayWindow, WINDOW};

    #[test]
    fn pitfall_04_replay_window_takes_each_counter_once_and_nothing_older_than_8192() {
        let mut window = ReplayWindow::new();
        assert!(window.accept(0) && !window.accept(0));
        assert!(window.accept(WINDOW));
        assert!(window.is_fresh(1) && !window.accept(0));
        assert!(window.accept(WINDOW + 1));
        assert!(!window.is_fresh(1), "8192 below the next counter is the oldest that counts");
        assert!(window.accept(2) && !window.accept(2));
        assert!(window.accept(u64::MAX - 1) && !window.accept(2) && !window.accept(u64::MAX - 1));
    }

    proptest! {
        #[test]
        fn pitfall_04_replay_window_agrees_with_a_set(
            steps in proptest::collection::vec((0u8..4, 0u64..20_000), 1..400)
        ) {
            let (mut window, mut seen, mut next) = (ReplayWindow::new(), BTreeSet::new(), 0u64);
            for (kind, value) in steps {
                let counter = match kind {
                    0 => next.saturating_add(value % 3),
                    1 => next.saturating_add(value),
                    _ => next.saturating_sub(value % 9_000),
                };
                let fresh = !seen.contains(&counter) && (counter >= next || next - counter <= WINDOW);
                prop_assert_eq!(window.is_fresh(counter), fresh);
                prop_assert_eq!(window.accept(counter), fresh);
                if fresh {
                    seen.insert(counter);
                    next = next.max(counter + 1);
                }
            }
        }
    }
}
