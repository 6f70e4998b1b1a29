//! Putting log entries together again that a peer sent in fragments. Bounded in entries and bytes, whatever comes.

use std::collections::BTreeMap;

use netflow_wire::inner::{Fragment, MAX_FRAGMENT_LEN};

/// Entries of one peer under way at a time. With [`netflow_wire::control::MAX_ENTRY_LEN`] each: at most 256 KiB a peer.
const MAX_PARTIAL: usize = 16;

#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    /// Which fragments are here, by number.
    have: Vec<bool>,
    /// Order of arrival, for dropping the oldest.
    age: u64,
}

/// Entries of one peer that are not complete yet.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    partial: BTreeMap<([u8; 8], u32), Partial>,
    clock: u64,
}

impl Reassembly {
    /// Takes one fragment; returns the entry it completes.
    pub(super) fn add(&mut self, fragment: &Fragment<'_>) -> Option<Vec<u8>> {
        let total = usize::from(fragment.total);
        let offset = usize::from(fragment.offset);
        // Senders cut at fixed places: anything else is not worth the bookkeeping of overlapping pieces.
        let expected = MAX_FRAGMENT_LEN.min(total.checked_sub(offset)?);
        if !offset.is_multiple_of(MAX_FRAGMENT_LEN) || fragment.bytes.len() != expected {
            return None;
        }
        if expected == total {
            return Some(fragment.bytes.to_vec());
        }
        let key = (fragment.author, fragment.seq);
        if self.partial.get(&key).is_some_and(|partial| partial.bytes.len() != total) {
            self.partial.remove(&key);
        }
        if !self.partial.contains_key(&key) && self.partial.len() >= MAX_PARTIAL {
            let oldest = self.partial.iter().min_by_key(|(_, partial)| partial.age).map(|(key, _)| *key)?;
            self.partial.remove(&oldest);
        }
        self.clock = self.clock.wrapping_add(1);
        let age = self.clock;
        let count = total.div_ceil(MAX_FRAGMENT_LEN);
        let partial =
            self.partial.entry(key).or_insert_with(|| Partial { bytes: vec![0; total], have: vec![false; count], age });
        partial.bytes.get_mut(offset..)?.get_mut(..expected)?.copy_from_slice(fragment.bytes);
        *partial.have.get_mut(offset / MAX_FRAGMENT_LEN)? = true;
        if partial.have.iter().all(|have| *have) {
            return self.partial.remove(&key).map(|partial| partial.bytes);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netflow_wire::inner::fragments;

    #[test]
    fn an_entry_comes_back_whole_in_any_order_and_once() {
        let raw: Vec<u8> = (0..=255u8).cycle().take(5_000).collect();
        let mut pieces: Vec<_> = fragments([1; 8], 4, &raw).collect();
        pieces.reverse();
        let mut reassembly = Reassembly::default();
        let done: Vec<_> = pieces.iter().chain(&pieces[..2]).filter_map(|piece| reassembly.add(piece)).collect();
        assert_eq!(done, [raw]);
    }

    #[test]
    fn a_peer_that_begins_entries_and_never_ends_them_costs_a_bounded_amount() {
        let raw = vec![0; 8_000];
        let mut reassembly = Reassembly::default();
        for seq in 0..10_000 {
            let first = fragments([1; 8], seq, &raw).next().unwrap();
            assert_eq!(reassembly.add(&first), None);
        }
        assert_eq!(reassembly.partial.len(), MAX_PARTIAL);
    }
}
