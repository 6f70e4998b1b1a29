//! The records of one flow, direction and slot, in chunks that grow with the flow, under a limit all flows share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::params::LEAF_RECORDS;
use crate::wire::Record;

const _: () = assert!(FIRST_CHUNK.is_multiple_of(LEAF_RECORDS) && LARGEST_CHUNK.is_multiple_of(LEAF_RECORDS));

/// Capacity of the first chunk: a flow of a few packets a slot costs 128 bytes.
const FIRST_CHUNK: usize = 16;
/// Largest chunk (32 KiB): one allocation per 4,096 packets, and no copy ever.
const LARGEST_CHUNK: usize = 4_096;

/// Records all logs of a table may hold together.
#[derive(Clone, Debug)]
pub(super) struct RecordBudget {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl RecordBudget {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: Arc::new(AtomicUsize::new(0)), limit }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Relaxed is enough: the count guards memory, it orders nothing. Two threads may overshoot by a chunk each.
    fn take(&self, n: usize) -> bool {
        if self.used().saturating_add(n) > self.limit {
            return false;
        }
        self.used.fetch_add(n, Ordering::Relaxed);
        true
    }

    fn give_back(&self, n: usize) {
        self.used.fetch_sub(n, Ordering::Relaxed);
    }
}

/// Records in arrival order. Dropping it gives its memory back to the table's budget, on whatever thread.
#[derive(Debug)]
pub struct RecordLog {
    full: Vec<Vec<Record>>,
    tail: Vec<Record>,
    taken: usize,
    budget: RecordBudget,
}

impl RecordLog {
    pub(super) const fn new(budget: RecordBudget) -> Self {
        Self { full: Vec::new(), tail: Vec::new(), taken: 0, budget }
    }

    /// Appends; `false`, and nothing appended, when the budget of the table is used up.
    pub(super) fn push(&mut self, record: Record) -> bool {
        if self.tail.len() == self.tail.capacity() && !self.grow() {
            return false;
        }
        self.tail.push(record);
        true
    }

    #[cold]
    fn grow(&mut self) -> bool {
        let next = (self.tail.capacity() * 4).clamp(FIRST_CHUNK, LARGEST_CHUNK);
        if !self.budget.take(next) {
            return false;
        }
        self.taken += next;
        let full = std::mem::replace(&mut self.tail, Vec::with_capacity(next));
        if !full.is_empty() {
            self.full.push(full);
        }
        true
    }

    /// Gives all memory back.
    pub(super) fn clear(&mut self) {
        self.full = Vec::new();
        self.tail = Vec::new();
        self.budget.give_back(std::mem::take(&mut self.taken));
    }

    /// The records in the leaves of their Merkle tree: chunks hold multiples of a leaf, so no leaf spans two.
    pub(super) fn leaves(&self) -> impl Iterator<Item = &[Record]> {
        self.full.iter().chain([&self.tail]).flat_map(|chunk| chunk.chunks(LEAF_RECORDS))
    }

    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = Record> + '_ {
        self.full.iter().flatten().chain(&self.tail).copied()
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full.iter().map(Vec::len).sum::<usize>() + self.tail.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for RecordLog {
    fn drop(&mut self) {
        self.budget.give_back(self.taken);
    }
}
