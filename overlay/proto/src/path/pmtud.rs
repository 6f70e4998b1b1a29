//! Datagram packetization layer path MTU discovery (RFC 8899) of one path.
//!
//! Sizes are those of the whole outer IP packet. No ICMP is read: a size passes when a probe padded to it is answered. All sizes of
//! interest are probed at the same time, so one round trip usually ends the search; three rounds end it always. A confirmed size is
//! confirmed again while it is in use, and when that fails while small packets pass, the path is a black hole for it (pitfall 18) and
//! the size falls back to the base at once.

use crate::time::{MILLI_US, Now, SECOND_US};

/// The size every path is taken to carry: the IPv6 minimum link MTU (RFC 8200, 5).
pub const BASE: u16 = 1_280;
/// Plateaus worth a probe: tunnels, GRE, two PPPoE, PPPoE, Ethernet; then jumbo frames (RFC 1191, 7.1 in spirit).
const PLATEAUS: [u16; 11] = [1_340, 1_400, 1_420, 1_452, 1_480, 1_492, 1_500, 2_048, 4_000, 8_000, 9_000];
/// Beyond Ethernet only once Ethernet has passed: most of those probes would only be thrown away.
const ETHERNET: u16 = 1_500;
/// Rounds of probes without progress (MAX_PROBES, RFC 8899, 5.1.2).
const MAX_ROUNDS: u8 = 3;
/// Pause before larger sizes are tried again (PMTU_RAISE_TIMER).
const RAISE_US: u64 = 600 * SECOND_US;
/// Pause before the search after a black hole: whatever changed may still be changing.
const HOLE_PAUSE_US: u64 = 2 * SECOND_US;
/// A size in use is confirmed this often, and after a lost confirmation this soon again.
const CONFIRM_US: u64 = SECOND_US;
/// Least wait for the answer of a large probe: it takes its time on a slow line.
const MIN_WAIT_US: u64 = 200 * MILLI_US;

/// The search on one path.
#[derive(Clone, Copy, Debug)]
pub struct Pmtud {
    confirmed: u16,
    limit: u16,
    round: u8,
    /// When the next round of the search is due; `None`: nothing left to search.
    search_us: Option<u64>,
    /// Sizes above the base have been in use since then, and are due for confirmation.
    confirm_us: Option<u64>,
    /// Confirmations lost in a row.
    missed: u8,
    /// The first search came to an end.
    settled: bool,
}

impl Pmtud {
    /// A path of which nothing is known, asked for packets of at most `limit` bytes.
    #[must_use]
    pub const fn new(now: Now, limit: u16) -> Self {
        let search_us = if limit > BASE { Some(now.mono_us) } else { None };
        Self { confirmed: BASE, limit, round: 0, search_us, confirm_us: None, missed: 0, settled: limit <= BASE }
    }

    /// Largest outer packet known to pass.
    #[must_use]
    pub const fn confirmed(&self) -> u16 {
        self.confirmed
    }

    /// Largest outer packet anybody wants to send.
    #[must_use]
    pub const fn limit(&self) -> u16 {
        self.limit
    }

    /// Is the first search not over yet? Until then the path may well carry more than is known.
    #[must_use]
    pub const fn is_searching(&self) -> bool {
        !self.settled
    }

    /// When [`Pmtud::poll`] has something to send.
    #[must_use]
    pub fn next_us(&self) -> Option<u64> {
        [self.search_us, self.confirm_us].into_iter().flatten().min()
    }

    /// A packet of this outer size was sent: above the base it must be confirmed now and then. `true`: a deadline was set.
    pub const fn used(&mut self, now: Now, size: u16) -> bool {
        if size <= BASE || self.confirm_us.is_some() {
            return false;
        }
        self.confirm_us = Some(now.after(CONFIRM_US));
        true
    }

    /// The sizes to send a padded probe of now.
    pub fn poll(&mut self, now: Now, timeout_us: u64) -> Vec<u16> {
        let wait = timeout_us.max(MIN_WAIT_US);
        let mut sizes = Vec::new();
        if self.confirm_us.is_some_and(|due| due <= now.mono_us) {
            self.confirm_us = None;
            if self.missed >= MAX_ROUNDS {
                self.black_hole(now);
                return sizes;
            }
            if self.confirmed > BASE {
                self.missed += 1;
                self.confirm_us = Some(now.after(wait));
                sizes.push(self.confirmed);
            }
        }
        if self.search_us.is_some_and(|due| due <= now.mono_us) {
            if self.round >= MAX_ROUNDS {
                self.round = 0;
            }
            let wanted = self.wanted();
            if wanted.is_empty() {
                self.settled = true;
                self.search_us = None;
                return sizes;
            }
            self.round += 1;
            // What was asked twice and not answered will hardly be answered the third time.
            self.settled |= self.round >= MAX_ROUNDS;
            self.search_us = Some(now.after(if self.round >= MAX_ROUNDS { RAISE_US } else { wait }));
            sizes.extend(wanted);
        }
        sizes
    }

    /// A probe of this size was answered. `true`: larger packets may be sent from now on.
    pub fn answered(&mut self, now: Now, size: u16) -> bool {
        if size >= self.confirmed && self.missed > 0 {
            self.missed = 0;
            self.confirm_us = None;
        }
        if size <= self.confirmed || size > self.limit {
            return false;
        }
        self.confirmed = size;
        // Answers to the same round may still come; what is left is asked in the next one.
        self.round = 0;
        self.search_us = (!self.wanted().is_empty()).then(|| now.after(MIN_WAIT_US));
        self.settled |= self.search_us.is_none();
        true
    }

    /// Small packets do not pass either: lost probes say nothing about the size. What is due waits.
    pub fn forgive(&mut self, now: Now) {
        self.missed = 0;
        self.round = 0;
        for due in [&mut self.search_us, &mut self.confirm_us].into_iter().flatten() {
            *due = (*due).max(now.after(CONFIRM_US));
        }
    }

    const fn black_hole(&mut self, now: Now) {
        self.confirmed = BASE;
        self.settled = true;
        self.missed = 0;
        self.round = 0;
        self.search_us = Some(now.after(HOLE_PAUSE_US));
    }

    fn wanted(&self) -> Vec<u16> {
        let reach = if self.confirmed >= ETHERNET { self.limit } else { self.limit.min(ETHERNET) };
        let mut sizes: Vec<u16> = PLATEAUS.into_iter().filter(|size| *size > self.confirmed && *size < reach).collect();
        if reach > self.confirmed {
            sizes.push(reach);
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(mono_us: u64) -> Now {
        Now { mono_us, unix_s: 0 }
    }

    /// Runs a path that carries `mtu` until `until_us`; returns bytes of probes and when the last size was learnt.
    fn run(pmtud: &mut Pmtud, mtu: u16, from_us: u64, until_us: u64, use_it: bool) -> (u64, u64) {
        let (mut bytes, mut learnt) = (0, from_us);
        let mut answers: Vec<(u64, u16)> = Vec::new();
        for now in (from_us..until_us).step_by(10_000) {
            for (_, size) in answers.extract_if(.., |(due, _)| *due <= now) {
                if pmtud.answered(at(now), size) {
                    learnt = now;
                }
            }
            if use_it {
                pmtud.used(at(now), pmtud.confirmed());
            }
            for size in pmtud.poll(at(now), 100_000) {
                bytes += u64::from(size);
                if size <= mtu {
                    answers.push((now + 40_000, size));
                }
            }
        }
        (bytes, learnt - from_us)
    }

    #[test]
    fn pitfall_18_the_size_of_every_common_path_is_found_within_a_second_without_icmp() {
        for (mtu, limit, found) in [
            (1_280, 1_500, 1_280),
            (1_400, 1_500, 1_400),
            (1_420, 1_500, 1_420),
            (1_492, 1_500, 1_492),
            (1_500, 1_500, 1_500),
            (1_500, 1_388, 1_388),
            (1_500, 9_000, 1_500),
            (4_000, 9_000, 4_000),
            (9_000, 9_000, 9_000),
            (1_350, 1_500, 1_340),
        ] {
            let mut pmtud = Pmtud::new(at(0), limit);
            let (bytes, learnt) = run(&mut pmtud, mtu, 0, 60 * SECOND_US, false);
            assert_eq!(pmtud.confirmed(), found, "path of {mtu}, limit {limit}");
            assert!(learnt <= SECOND_US, "path of {mtu} took {learnt} us");
            assert!(bytes < 100_000, "path of {mtu}: {bytes} bytes of probes");
        }
    }

    #[test]
    fn pitfall_18_a_path_that_shrinks_falls_back_within_two_seconds_of_use() {
        let mut pmtud = Pmtud::new(at(0), 1_500);
        run(&mut pmtud, 1_500, 0, 10 * SECOND_US, true);
        assert_eq!(pmtud.confirmed(), 1_500);
        run(&mut pmtud, 1_400, 10 * SECOND_US, 12 * SECOND_US, true);
        assert_eq!(pmtud.confirmed(), BASE, "large packets vanish now");
        run(&mut pmtud, 1_400, 12 * SECOND_US, 20 * SECOND_US, true);
        assert_eq!(pmtud.confirmed(), 1_400, "and the new size is found again");
    }

    #[test]
    fn a_size_that_was_too_large_is_tried_again_after_ten_minutes_and_not_before() {
        let mut pmtud = Pmtud::new(at(0), 1_500);
        run(&mut pmtud, 1_400, 0, 10 * SECOND_US, false);
        let (bytes, _) = run(&mut pmtud, 1_500, 10 * SECOND_US, 590 * SECOND_US, false);
        assert_eq!(bytes, 0);
        run(&mut pmtud, 1_500, 590 * SECOND_US, 620 * SECOND_US, false);
        assert_eq!(pmtud.confirmed(), 1_500);
    }

    #[test]
    fn a_path_that_is_not_asked_for_more_than_the_base_is_not_probed() {
        let mut pmtud = Pmtud::new(at(0), BASE);
        assert_eq!((pmtud.next_us(), pmtud.poll(at(0), 100_000)), (None, vec![]));
    }

    #[test]
    fn losses_of_a_dead_path_are_no_black_hole() {
        let mut pmtud = Pmtud::new(at(0), 1_500);
        run(&mut pmtud, 1_500, 0, 5 * SECOND_US, true);
        for now in (5 * SECOND_US..30 * SECOND_US).step_by(10_000) {
            pmtud.used(at(now), 1_500);
            pmtud.poll(at(now), 100_000);
            pmtud.forgive(at(now));
        }
        assert_eq!(pmtud.confirmed(), 1_500);
    }

    proptest! {
        /// With loss the search may find less, never more than the path carries, and it always ends.
        #[test]
        fn no_size_above_that_of_the_path_is_ever_confirmed(mtu in BASE..9_100, limit in BASE..9_100, loss in proptest::collection::vec(any::<bool>(), 64)) {
            let mut pmtud = Pmtud::new(at(0), limit);
            let mut lost = loss.into_iter().cycle();
            let mut sent = 0;
            for now in (0..300 * SECOND_US).step_by(100_000) {
                for size in pmtud.poll(at(now), 100_000) {
                    sent += 1;
                    if size <= mtu && !lost.next().unwrap_or(false) {
                        pmtud.answered(at(now), size);
                    }
                }
                prop_assert!(pmtud.confirmed() <= mtu.min(limit));
            }
            prop_assert!(sent <= 12 * 3 * 11, "{} probes", sent);
        }
    }
}
