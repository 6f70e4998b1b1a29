//! What happens when: one heap for the whole world. Things of one moment happen in the order they were put in, so that a
//! seed runs the same way every time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Things to come. The heap moves times and places only; the things themselves stay where they are.
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    things: Vec<Option<T>>,
    free: Vec<usize>,
    order: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), things: Vec::new(), free: Vec::new(), order: 0 }
    }
}

impl<T> Queue<T> {
    /// Puts something in for a time in virtual microseconds.
    pub fn put(&mut self, at_us: u64, what: T) {
        self.order += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.things.push(None);
            self.things.len() - 1
        });
        self.things[place] = Some(what);
        self.heap.push(Reverse((at_us, self.order, place)));
    }

    /// Takes the next thing, if it happens up to `until_us`.
    pub fn take(&mut self, until_us: u64) -> Option<(u64, T)> {
        let Reverse((at_us, ..)) = *self.heap.peek()?;
        if at_us > until_us {
            return None;
        }
        let Reverse((_, _, place)) = self.heap.pop()?;
        self.free.push(place);
        self.things[place].take().map(|what| (at_us, what))
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
