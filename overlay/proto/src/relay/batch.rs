//! Log entries over a control link: cutting them into messages, and asking for what is missing without asking twice.

use netflow_wire::control::{MAX_ENTRIES, MAX_HEADS};
use netflow_wire::{Head, Range};

use crate::netlog::NetworkLog;

/// Entry bytes per message: leaves 4 KiB of the 64 KiB for the CBOR around them.
const MAX_BATCH_BYTES: usize = 60 * 1024;

/// Entries in the same order, in groups that fit into one message each.
pub(crate) fn batches(entries: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for raw in entries {
        // Four bytes: the longest CBOR header of an entry.
        let cost = raw.len().saturating_add(4);
        if !batch.is_empty() && (bytes + cost > MAX_BATCH_BYTES || batch.len() >= MAX_ENTRIES) {
            all.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += cost;
        batch.push(raw);
    }
    if !batch.is_empty() {
        all.push(batch);
    }
    all
}

/// What to pull after gaps were seen: the widest stretch per author, at most one message of them. The entry that showed the gap was not
/// stored, so the stretch ends with it and not before it.
pub(crate) fn gap_ranges(gaps: &[([u8; 32], u32, u32)]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for (author, have, got) in gaps {
        let to = *got.max(have);
        if let Some(range) = ranges.iter_mut().find(|range| range.author == *author) {
            range.from = range.from.min(*have);
            range.to = range.to.max(to);
        } else if ranges.len() < MAX_HEADS {
            ranges.push(Range { author: *author, from: *have, to });
        }
    }
    ranges
}

/// Entries of one author asked for at a time: what [`NetworkLog::range`] answers at most.
const MAX_PULL: u32 = 1_024;

/// Times the other end is asked for its heads while that brings nothing: it may be lying.
const MAX_FRUITLESS: u32 = 8;

/// What the other end of a link showed, and what it was asked for and has not sent yet.
///
/// More than one round may be needed: who the admins are is in the owner's chain, so their chains are asked for after it.
#[derive(Debug, Default)]
pub(crate) struct Pull {
    heads: Vec<Head>,
    asked: Vec<Range>,
    /// Our heads as they were shown last over this link.
    shown: Vec<Head>,
    /// Entries were pushed that have no place here yet: the heads above are old.
    behind: bool,
    /// Times the other end was asked for its heads since it brought anything new.
    fruitless: u32,
}

impl Pull {
    /// New heads: what to ask for.
    pub(crate) fn heads(&mut self, log: &NetworkLog, heads: Vec<Head>) -> Vec<Range> {
        self.heads = heads;
        self.asked.clear();
        self.next(log)
    }

    /// Our heads, when the other end, which has nothing we lack, has not seen them as they are.
    pub(crate) fn answer(&mut self, log: &NetworkLog) -> Option<Vec<Head>> {
        let ours = log.heads();
        (self.asked.is_empty() && self.heads != ours && self.shown != ours).then(|| self.show(log))
    }

    /// Our heads, to be sent now.
    pub(crate) fn show(&mut self, log: &NetworkLog) -> Vec<Head> {
        self.shown = log.heads();
        self.shown.clone()
    }

    /// A pushed entry had no place: who its author is, is in a part of the log that is not here.
    pub(crate) const fn fell_behind(&mut self) {
        self.behind = true;
    }

    /// Something new came.
    pub(crate) const fn progressed(&mut self) {
        self.fruitless = 0;
    }

    /// Our heads, when the other end should show its own: it does so when it sees that ours are behind.
    pub(crate) fn ask(&mut self, log: &NetworkLog) -> Option<Vec<Head>> {
        if !self.behind || !self.asked.is_empty() || self.fruitless >= MAX_FRUITLESS {
            return None;
        }
        self.behind = false;
        self.fruitless += 1;
        Some(self.show(log))
    }

    /// After entries came: what to ask for now. Nothing while an answer is still under way.
    pub(crate) fn next(&mut self, log: &NetworkLog) -> Vec<Range> {
        if !self.asked.is_empty() {
            let ours = log.heads();
            let lacks = |range: &Range| ours.iter().all(|head| head.author != range.author || head.seq < range.to);
            self.asked.retain(lacks);
        }
        if !self.asked.is_empty() {
            return Vec::new();
        }
        self.asked = log.wanted(&self.heads);
        for range in &mut self.asked {
            range.to = range.to.min(range.from.saturating_add(MAX_PULL - 1));
        }
        self.asked.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_in_one_batch_and_every_batch_fits_a_message() {
        let entries: Vec<Vec<u8>> = (0..2_000usize).map(|i| vec![7; 1 + (i * 37) % 8_192]).collect();
        let cut = batches(entries.clone());
        assert_eq!(cut.concat(), entries);
        for entries in cut {
            let network = netflow_wire::NetworkId([1; 32]);
            assert!(netflow_wire::ControlMessage::LogEntries { network, entries }.encode().is_ok());
        }
    }

    #[test]
    fn the_entry_that_showed_a_gap_is_pulled_with_what_lacks_before_it() {
        let (a, b) = ([1; 32], [2; 32]);
        let ranges = gap_ranges(&[(a, 4, 7), (b, 0, 1), (a, 5, 8)]);
        assert_eq!(ranges, [Range { author: a, from: 4, to: 8 }, Range { author: b, from: 0, to: 1 }]);
        // Another branch at the same place: the stretch is that place.
        assert_eq!(gap_ranges(&[(a, 4, 4)]), [Range { author: a, from: 4, to: 4 }]);
    }
}
