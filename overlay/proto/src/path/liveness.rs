//! Does a path still work? Judged under traffic only: an idle path is neither probed nor blamed.
//!
//! Every frame sent asks for a sign of life; while none comes, the path is probed after [`SUSPECT_US`], and when three probes in
//! a row bring nothing it is dead. The answer of a probe is the sign of life of a receiver that has nothing to send, so this works for
//! one-directional traffic too. A path on which frames arrive but our probes stay unanswered is broken in our direction only: it
//! is given more time, because the other end, which hears nothing, notices within the short one.

use crate::time::{MILLI_US, Now, SECOND_US};

/// Silence under traffic after which a path is probed. Twice a usual round trip; with the probes after it a path is dead within
/// 255 ms, which leaves 45 ms of the goal (300 ms without a packet) to choose another one and to use it.
pub const SUSPECT_US: u64 = 75 * MILLI_US;
/// Least distance of the probes in a silence: one lost burst must not take all of them.
const MIN_GAP_US: u64 = 40 * MILLI_US;
/// Probes without any sign of life after which it is dead.
pub const DEAD_AFTER: u8 = 3;
/// Answered probes in a row a dead path needs: one answer may have been luck.
const ALIVE_AFTER: u8 = 3;
/// First pause between probes of a dead path; doubles up to the longest.
const FIRST_PAUSE_US: u64 = 250 * MILLI_US;
const MAX_PAUSE_US: u64 = 30 * SECOND_US;
/// A direct path that was silent for this long may have lost its NAT mapping (RFC 4787 asks for 120 s, 30 s happens).
pub const STALE_US: u64 = 28 * SECOND_US;

/// How a path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Works, as far as known.
    Alive,
    /// Silent under traffic; being probed.
    Suspect,
    /// Probes are answered again, not often enough yet.
    Recovering,
    /// Does not answer.
    Dead,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a small probe, and tell [`Liveness::sent`].
    Probe,
    /// The path just died: choose another, and probe this one.
    Died,
}

/// Life of one path.
#[derive(Clone, Copy, Debug)]
pub struct Liveness {
    dead: bool,
    /// First frame sent since something was heard.
    silent_since_us: Option<u64>,
    /// Probes sent in this silence.
    probes: u8,
    /// Probes in a row whose time was over although frames arrived.
    unanswered: u8,
    /// Answered in a row, and how many are needed, when dead.
    answered: u8,
    needed: u8,
    tries: u8,
    next_us: Option<u64>,
    heard_us: u64,
    died_us: Option<u64>,
}

impl Liveness {
    /// A new path, taken for alive.
    #[must_use]
    pub const fn new(now: Now) -> Self {
        Self {
            dead: false,
            silent_since_us: None,
            probes: 0,
            unanswered: 0,
            answered: 0,
            needed: ALIVE_AFTER,
            tries: 0,
            next_us: None,
            heard_us: now.mono_us,
            died_us: None,
        }
    }

    /// How it stands.
    #[must_use]
    pub const fn health(&self) -> Health {
        match (self.dead, self.answered, self.probes, self.unanswered) {
            (true, 0, ..) => Health::Dead,
            (true, ..) => Health::Recovering,
            (false, _, 0, 0) => Health::Alive,
            (false, ..) => Health::Suspect,
        }
    }

    /// When [`Liveness::timeout`] is due.
    #[must_use]
    pub const fn next_us(&self) -> Option<u64> {
        self.next_us
    }

    /// When something authentic came over it last.
    #[must_use]
    pub const fn heard_us(&self) -> u64 {
        self.heard_us
    }

    /// When it died, while it is dead.
    #[must_use]
    pub const fn died_us(&self) -> Option<u64> {
        self.died_us
    }

    /// A frame was sent. `true`: a deadline was set.
    pub const fn sent(&mut self, now: Now, timeout_us: u64) -> bool {
        if self.dead || self.silent_since_us.is_some() {
            return false;
        }
        self.silent_since_us = Some(now.mono_us);
        self.next_us = Some(now.after(suspect_after(timeout_us)));
        true
    }

    /// Something authentic arrived. `true`: a dead path is looked at sooner than it would have been.
    pub const fn heard(&mut self, now: Now) -> bool {
        self.heard_us = now.mono_us;
        if self.dead {
            // A sign, not a proof: look soon, but not for every frame that arrives.
            let soon = now.after(FIRST_PAUSE_US);
            let is_sooner = self.answered == 0 && matches!(self.next_us, Some(due) if due > soon);
            if is_sooner {
                self.tries = 1;
                self.next_us = Some(soon);
            }
            return is_sooner;
        }
        self.silent_since_us = None;
        self.probes = 0;
        self.next_us = None;
        false
    }

    /// Something authentic arrived at `heard_us` and is told of only now; `asked`: something was sent after it. A silence that began
    /// later goes on; one that began earlier is over, and the next one began at the latest with what was sent next.
    pub fn heard_before(&mut self, now: Now, heard_us: u64, asked: bool, timeout_us: u64) {
        let then = Now { mono_us: heard_us, ..now };
        if !self.dead && self.silent_since_us.is_some_and(|since| since > heard_us) {
            self.heard_us = heard_us;
            return;
        }
        self.heard(then);
        if asked {
            self.sent(then, timeout_us);
        }
    }

    /// One of our probes was answered. `true`: the path came back to life.
    pub const fn answered(&mut self, now: Now) -> bool {
        self.heard_us = now.mono_us;
        self.unanswered = 0;
        if !self.dead {
            self.silent_since_us = None;
            self.probes = 0;
            self.next_us = None;
            return false;
        }
        self.answered = self.answered.saturating_add(1);
        if self.answered >= self.needed {
            *self = Self::new(now);
            return true;
        }
        self.next_us = Some(now.mono_us);
        false
    }

    /// One of our probes was not answered within its time. `true`: the path just died.
    pub const fn probe_lost(&mut self, now: Now) -> bool {
        self.answered = 0;
        if self.dead {
            return false;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered < DEAD_AFTER {
            return false;
        }
        self.die(now);
        true
    }

    /// Runs what is due. `timeout_us` is that of [`super::metrics::Rtt::timeout_us`].
    pub fn timeout(&mut self, now: Now, timeout_us: u64) -> Option<Action> {
        if self.next_us.is_none_or(|due| due > now.mono_us) {
            return None;
        }
        if self.dead {
            let pause = if self.answered > 0 { timeout_us } else { pause_us(self.tries) };
            self.tries = self.tries.saturating_add(1);
            self.next_us = Some(now.after(pause));
            return Some(Action::Probe);
        }
        if self.probes >= DEAD_AFTER {
            self.die(now);
            return Some(Action::Died);
        }
        self.probes += 1;
        let wait = if self.probes == DEAD_AFTER { timeout_us } else { MIN_GAP_US.max(timeout_us / 4) };
        self.next_us = Some(now.after(wait));
        Some(Action::Probe)
    }

    /// The kernel refuses to send there: dead at once. `true`: it was not before.
    pub const fn unreachable(&mut self, now: Now) -> bool {
        let was_alive = !self.dead;
        if was_alive {
            self.die(now);
            // Routes come back as fast as they go.
            self.needed = 1;
        }
        was_alive
    }

    /// Something changed underneath (another uplink): probe at once; three quick probes decide.
    pub const fn suspect(&mut self, now: Now) {
        if self.dead {
            self.tries = 0;
        } else {
            self.silent_since_us = Some(now.mono_us);
            self.probes = 0;
        }
        self.next_us = Some(now.mono_us);
    }

    /// What was sent in an idle time proves nothing.
    pub const fn forgive(&mut self) {
        if !self.dead {
            self.silent_since_us = None;
            self.probes = 0;
            self.unanswered = 0;
            self.next_us = None;
        }
    }

    /// Nothing can be asked before then.
    pub fn defer(&mut self, until_us: u64) {
        self.forgive();
        self.next_us = self.next_us.map(|due| due.max(until_us));
    }

    /// Traffic begins again on a direct path after an idle time: until a probe is answered nothing should rely on its NAT mapping.
    /// `true`: it is doubtful now.
    pub const fn resume(&mut self, now: Now) -> bool {
        if self.dead || now.since(self.heard_us) < STALE_US {
            return false;
        }
        self.die(now);
        self.needed = 1;
        true
    }

    const fn die(&mut self, now: Now) {
        *self = Self {
            dead: true,
            silent_since_us: None,
            probes: 0,
            unanswered: 0,
            answered: 0,
            needed: ALIVE_AFTER,
            tries: 0,
            next_us: Some(now.mono_us),
            heard_us: self.heard_us,
            died_us: Some(now.mono_us),
        };
    }
}

/// Silence after which a path with this timeout is probed: a long round trip is no silence.
const fn suspect_after(timeout_us: u64) -> u64 {
    let half = timeout_us / 2;
    if half > SUSPECT_US { half } else { SUSPECT_US }
}

const fn pause_us(tries: u8) -> u64 {
    let shift = if tries < 7 { tries } else { 7 };
    let pause = FIRST_PAUSE_US << shift;
    if pause < MAX_PAUSE_US { pause } else { MAX_PAUSE_US }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: u64 = 100 * MILLI_US;

    fn at(mono_us: u64) -> Now {
        Now { mono_us, unix_s: 0 }
    }

    /// Sends every `gap_us` and hears nothing; returns when it died and the probes until then.
    fn die(life: &mut Liveness, start_us: u64, timeout_us: u64) -> (u64, u32) {
        let mut probes = 0;
        for now in (start_us..start_us + 10 * SECOND_US).step_by(1_000) {
            life.sent(at(now), timeout_us);
            match life.timeout(at(now), timeout_us) {
                Some(Action::Died) => return (now - start_us, probes),
                Some(Action::Probe) => probes += 1,
                None => {}
            }
        }
        panic!("still alive");
    }

    #[test]
    fn a_cut_path_is_dead_255_ms_after_the_first_unanswered_frame_and_three_probes() {
        let mut life = Liveness::new(at(0));
        assert_eq!(die(&mut life, 5_000, TIMEOUT), (255 * MILLI_US, 3));
        assert_eq!(life.health(), Health::Dead);
    }

    #[test]
    fn a_slow_path_gets_the_time_its_round_trip_needs() {
        let mut life = Liveness::new(at(0));
        let (after, probes) = die(&mut life, 0, 500 * MILLI_US);
        assert_eq!((after, probes), (1_000 * MILLI_US, 3));
    }

    #[test]
    fn one_directional_traffic_lives_on_answers_alone() {
        let mut life = Liveness::new(at(0));
        let mut answers = Vec::new();
        for now in (0..60 * SECOND_US).step_by(1_000) {
            if answers.first().is_some_and(|due| *due <= now) {
                answers.remove(0);
                assert!(!life.answered(at(now)));
            }
            life.sent(at(now), TIMEOUT);
            match life.timeout(at(now), TIMEOUT) {
                Some(Action::Probe) => answers.push(now + 40 * MILLI_US),
                Some(Action::Died) => panic!("died after {now}"),
                None => {}
            }
        }
    }

    #[test]
    fn an_idle_path_is_never_probed() {
        let mut life = Liveness::new(at(0));
        life.sent(at(0), TIMEOUT);
        life.heard(at(10));
        assert_eq!(life.next_us(), None);
        assert_eq!(life.timeout(at(3_600 * SECOND_US), TIMEOUT), None);
    }

    #[test]
    fn a_dead_path_comes_back_only_after_answered_probes_and_is_asked_ever_more_rarely() {
        let mut life = Liveness::new(at(0));
        die(&mut life, 0, TIMEOUT);
        let mut probes = 0;
        for now in (SECOND_US..601 * SECOND_US).step_by(10_000) {
            probes += u32::from(life.timeout(at(now), TIMEOUT).is_some());
        }
        assert!((20..=32).contains(&probes), "{probes} probes in ten minutes");
        life.heard(at(602 * SECOND_US));
        assert_eq!(life.health(), Health::Dead, "a frame proves the other direction only");
        assert!(life.next_us().is_some_and(|due| due <= 602 * SECOND_US + FIRST_PAUSE_US), "but it is worth a look");
        assert!(!life.answered(at(602 * SECOND_US)));
        assert_eq!(life.health(), Health::Recovering);
        assert!(!life.answered(at(603 * SECOND_US)));
        assert!(!life.probe_lost(at(604 * SECOND_US)), "a lost one in between begins anew");
        for _ in 0..2 {
            assert!(!life.answered(at(605 * SECOND_US)));
        }
        assert!(life.answered(at(606 * SECOND_US)));
        assert_eq!(life.health(), Health::Alive);
    }

    #[test]
    fn a_path_broken_in_our_direction_only_dies_although_frames_arrive() {
        let mut life = Liveness::new(at(0));
        for lost in 0..3u64 {
            life.heard(at(lost * SECOND_US));
            assert_eq!(life.probe_lost(at(lost * SECOND_US)), lost == 2);
        }
        assert_eq!(life.health(), Health::Dead);
    }

    #[test]
    fn what_the_kernel_refuses_is_dead_at_once_and_back_with_one_answer() {
        let mut life = Liveness::new(at(0));
        assert!(life.unreachable(at(5)) && !life.unreachable(at(6)));
        assert_eq!(life.health(), Health::Dead);
        assert_eq!(life.timeout(at(6), TIMEOUT), Some(Action::Probe));
        assert!(life.answered(at(40_000)));
    }

    #[test]
    fn frames_on_a_dead_path_do_not_start_a_storm_of_probes() {
        let mut life = Liveness::new(at(0));
        die(&mut life, 0, TIMEOUT);
        let mut probes = 0;
        for now in (SECOND_US..11 * SECOND_US).step_by(1_000) {
            life.heard(at(now));
            probes += u32::from(life.timeout(at(now), TIMEOUT).is_some());
        }
        assert!(probes <= 42, "{probes} probes in ten seconds");
    }

    #[test]
    fn after_an_idle_time_a_direct_path_is_doubted_until_one_probe_is_answered() {
        let mut life = Liveness::new(at(0));
        assert!(!life.resume(at(STALE_US - 1)));
        assert!(life.resume(at(STALE_US)));
        assert_eq!(life.timeout(at(STALE_US), TIMEOUT), Some(Action::Probe));
        assert!(life.answered(at(STALE_US + 20_000)));
    }
}
