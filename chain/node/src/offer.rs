//! The mempool's transactions on their way into a block.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use netchain_exec::{Candidates, SignedTransaction, Verdict};

use crate::txpool::TxPool;

/// The pool's transactions on their way into a block.
pub(crate) struct Offer<'a> {
    best: std::vec::IntoIter<SignedTransaction>,
    pool: &'a TxPool,
    /// Senders whose turn ended: one of theirs did not fit or was not valid.
    skipped: BTreeSet<Address>,
    /// Gas of the block that is not offered.
    reserve: u64,
}

impl<'a> Offer<'a> {
    /// `reserve`: gas of the block that is not offered.
    pub(crate) fn new(best: Vec<SignedTransaction>, pool: &'a TxPool, reserve: u64) -> Self {
        Self { best: best.into_iter(), pool, skipped: BTreeSet::new(), reserve }
    }
}

impl Candidates for Offer<'_> {
    fn next(&mut self, gas_left: u64) -> Option<SignedTransaction> {
        // Cheaper than the cheapest transaction: nothing more fits. One is offered however much it asks for.
        if gas_left < self.reserve.saturating_add(21_000) {
            return None;
        }
        let skipped = &self.skipped;
        self.best.find(|tx| !skipped.contains(&tx.sender()))
    }

    fn done(&mut self, transaction: &SignedTransaction, verdict: &Verdict) {
        match verdict {
            Verdict::Taken => {}
            Verdict::NoRoom => _ = self.skipped.insert(transaction.sender()),
            Verdict::Invalid(why) => {
                tracing::debug!(hash = %transaction.hash(), why, "a waiting transaction is not valid any more");
                _ = self.skipped.insert(transaction.sender());
                self.pool.remove(&transaction.hash());
            }
        }
    }
}
