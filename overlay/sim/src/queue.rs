//! What happens when: one heap for the whole world. Things of one moment happen in the order they were put in, so that a
//! seed runs the same way every time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

struct Entry<T> {
    at_us: u64,
    order: u64,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    /// The heap gives the greatest first: the earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.order).cmp(&(self.at_us, self.order))
    }
}

/// Things to come.
pub struct Queue<T> {
    heap: BinaryHeap<Entry<T>>,
    order: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), order: 0 }
    }
}

impl<T> Queue<T> {
    /// Puts something in for a time in virtual microseconds.
    pub fn put(&mut self, at_us: u64, what: T) {
        self.order += 1;
        self.heap.push(Entry { at_us, order: self.order, what });
    }

    /// Takes the next thing, if it happens up to `until_us`.
    pub fn take(&mut self, until_us: u64) -> Option<(u64, T)> {
        if self.heap.peek()?.at_us > until_us {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at_us, entry.what))
    }

    /// Things waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_equals_come_in_order() {
        let mut queue = Queue::default();
        for (at, what) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            queue.put(at, what);
        }
        let taken: String = std::iter::from_fn(|| queue.take(5).map(|(_, what)| what)).collect();
        assert_eq!(taken, "abcd");
    }
}
