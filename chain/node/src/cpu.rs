//! Where the CPU time goes: microseconds of each kind of work, counted by the thread that does it.
//!
//! One set of counters a process: several nodes in one process (tests, `make bench-chain`) share it, as they share the cores.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::time::{ClockId, clock_gettime};

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Work {
    /// Reading transactions and recovering who signed them.
    Signatures,
    /// Mempool and journal.
    Pool,
    /// Execution, of own blocks and others'.
    Execution,
    /// State root and the roots of a block.
    Roots,
    /// Committing: encoding and the database.
    Commit,
    /// Answers to peers out of the database.
    Answers,
}

/// All kinds with their names in metrics.
pub const ALL: [(Work, &str); 6] = [
    (Work::Signatures, "signatures"),
    (Work::Pool, "pool"),
    (Work::Execution, "execution"),
    (Work::Roots, "roots"),
    (Work::Commit, "commit"),
    (Work::Answers, "answers"),
];

static SPENT_US: [AtomicU64; ALL.len()] = [const { AtomicU64::new(0) }; ALL.len()];

fn thread_us() -> u64 {
    // Linux has this clock since 2.6.12. Without it nothing is counted.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(0, |time| u64::try_from(time.tv_sec() * 1_000_000 + time.tv_nsec() / 1_000).unwrap_or(0))
}

/// Does the work and counts it.
pub fn spend<R>(work: Work, run: impl FnOnce() -> R) -> R {
    let before = thread_us();
    let result = run();
    if let Some(counter) = SPENT_US.get(work as usize) {
        counter.fetch_add(thread_us().saturating_sub(before), Ordering::Relaxed);
    }
    result
}

/// Microseconds of CPU spent on a kind of work since the process began.
#[must_use]
pub fn spent_us(work: Work) -> u64 {
    SPENT_US.get(work as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_where_it_belongs() {
        let mut sum = 0_u64;
        while spent_us(Work::Answers) == 0 {
            sum = spend(Work::Answers, || (0..100_000_u64).fold(sum, |a, b| std::hint::black_box(a ^ b)));
        }
        assert!(ALL.iter().enumerate().all(|(index, (work, _))| *work as usize == index));
    }
}
