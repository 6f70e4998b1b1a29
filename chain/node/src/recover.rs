//! Recovering senders of many transactions: the one thing a plain transfer costs, spread over the cores.

use alloy_primitives::Bytes;
use netchain_exec::{SignedTransaction, TransactionError};

use crate::cpu::{Work, spend};

/// Fewer are faster on one thread than with starting another one: a recovery takes some 40 us, a thread as long.
const LEAST_A_THREAD: usize = 32;
/// Threads at a time. A witness has other things to do with further cores, and two halve the wait already.
const MAX_THREADS: usize = 2;

/// Reads transactions and recovers their senders, in order. `system`: the last one may be the system transaction.
#[must_use]
pub fn decode_all(raws: &[Bytes], chain_id: u64, system: bool) -> Vec<Result<SignedTransaction, TransactionError>> {
    let last = raws.len().saturating_sub(1);
    let decode = |index: usize, raw: &Bytes| {
        if system && index == last {
            SignedTransaction::decode_any(raw, chain_id)
        } else {
            SignedTransaction::decode(raw, chain_id)
        }
    };
    let run = |from: usize, part: &[Bytes]| {
        spend(Work::Signatures, || part.iter().zip(from..).map(|(raw, index)| decode(index, raw)).collect::<Vec<_>>())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(MAX_THREADS).min(raws.len() / LEAST_A_THREAD).max(1);
    if threads == 1 {
        return run(0, raws);
    }
    let size = raws.len().div_ceil(threads);
    let (first, others) = raws.split_at(size.min(raws.len()));
    let run = &run;
    std::thread::scope(|scope| {
        let parts = others.chunks(size).zip((size..).step_by(size));
        let started: Vec<_> = parts.map(|(part, from)| (from, part, scope.spawn(move || run(from, part)))).collect();
        let mut all = run(0, first);
        for (from, part, thread) in started {
            // A thread that could not do it: here, then.
            all.extend(thread.join().unwrap_or_else(|_| run(from, part)));
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;
    use netchain_exec::system::EndBlock;

    #[test]
    fn many_are_read_in_order_and_only_the_last_may_be_the_systems() {
        let system = EndBlock::default().transaction(7, 1, Address::ZERO).unwrap();
        let raws: Vec<Bytes> =
            (0..100_u64).map(|_| Bytes::from(vec![1, 2, 3])).chain([system.bytes().clone()]).collect();
        let read = decode_all(&raws, 7, true);
        assert_eq!(read.len(), raws.len());
        assert!(read[..100].iter().all(|it| *it == Err(TransactionError::Encoding)));
        assert_eq!(read[100].as_ref(), Ok(&system));
        assert_eq!(decode_all(&raws, 7, false)[100], Err(TransactionError::System));
        assert!(decode_all(&[], 7, true).is_empty());
    }
}
