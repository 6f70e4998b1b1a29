//! The chain of one author as a replica holds it: growing, frozen by a fork, or ended by the owner.
//!
//! * **Growing**: entry `n` names the hash of entry `n - 1` and its lamport clock is higher.
//! * **Frozen**: two signed entries for one place exist. Both are kept as proof outside the chain, and the chain ends before them. When a fork at a
//!   lower place is found, that one replaces it: the lowest fork is a fact about the author, so all replicas end at the same place.
//! * **Ended**: the owner named the last entry that counts by hash. That decides every fork: exactly one chain leads to a hash. A replica that holds
//!   another branch keeps it until it can link the right one, which it collects backwards from the named hash (`staged`).

use std::collections::BTreeMap;

use super::entry::{EntryHash, SignedEntry};
use super::limits::{MAX_BYTES_PER_AUTHOR, MAX_ENTRIES_PER_AUTHOR};
use super::outcome::{Inserted, LogError};

/// Entries asked for in one go when a branch point is searched: two control messages full of ordinary entries.
const SEARCH_WINDOW: u32 = 64;

/// Entries kept that do not count: as many as the longest chain has.
const MAX_SHELF: usize = MAX_ENTRIES_PER_AUTHOR as usize;

/// An entry at rest. The body is decoded again when it is replayed: raw bytes are all that is worth keeping in memory.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) raw: Box<[u8]>,
    pub(super) hash: EntryHash,
    pub(super) prev: EntryHash,
    pub(super) lamport: u64,
}

impl Stored {
    fn new(entry: &SignedEntry) -> Self {
        let fields = entry.entry();
        Self { raw: entry.raw().into(), hash: entry.hash(), prev: fields.prev, lamport: fields.lamport }
    }
}

/// Where the owner ended a chain: nothing counts, or everything up to this entry.
pub(super) type End = Option<(u32, EntryHash)>;

#[derive(Default)]
pub(super) struct Chain {
    entries: Vec<Stored>,
    bytes: u64,
    /// Proof that the author signed two entries for the place `entries.len()`.
    fork: Option<Box<(Stored, Stored)>>,
    end: Option<End>,
    /// Ended chains only: the stretch that leads to the named hash, as far down as it is known.
    staged: BTreeMap<u32, Stored>,
    /// Verified entries that counted once, before a fork or an end took them out. The owner's word may bring them back; without this a restart
    /// with every other node offline would lose them.
    shelf: Vec<Stored>,
    /// An entry arrived that continues another branch than ours: look below.
    suspect: bool,
    /// One more than the highest place the author is known to have signed an entry for, held here or not.
    signed: u32,
}

/// What a chain shows to others: sequence number and hash, or the mark of a fork.
pub(super) type HeadMark = (u32, EntryHash);

impl Chain {
    pub(super) fn entries(&self) -> &[Stored] {
        &self.entries
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.fork.is_some()
    }

    pub(super) fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// First place that is not part of the chain.
    pub(super) fn next_seq(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("a chain has at most 2^18 entries")
    }

    /// Are these very bytes the entry of that place?
    pub(super) fn holds(&self, seq: u32, raw: &[u8]) -> bool {
        self.get(seq).is_some_and(|ours| *ours.raw == *raw)
    }

    fn get(&self, seq: u32) -> Option<&Stored> {
        self.entries.get(usize::try_from(seq).ok()?)
    }

    /// Last entry that counts.
    pub(super) fn last(&self) -> Option<(u32, EntryHash)> {
        let last = self.entries.last()?;
        Some((self.next_seq() - 1, last.hash))
    }

    /// Has the author signed entries this replica does not hold? One that signs now would sign a second entry for the same place.
    pub(super) fn lags(&self) -> bool {
        self.signed > self.next_seq()
    }

    pub(super) fn last_lamport(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.lamport)
    }

    /// Offers a verified entry. Only `New` and `Fork` change anything that is replayed.
    pub(super) fn offer(&mut self, entry: &SignedEntry) -> Result<Inserted, LogError> {
        if let Some(end) = self.end {
            return Ok(self.offer_ended(end, entry));
        }
        let (seq, next) = (entry.entry().seq, self.next_seq());
        self.signed = self.signed.max(seq.saturating_add(1));
        if seq < next {
            return Ok(self.offer_known_place(seq, entry));
        }
        if let Some(fork) = &self.fork {
            let known = seq == next && (fork.0.hash == entry.hash() || fork.1.hash == entry.hash());
            return Ok(if known { Inserted::Known } else { Inserted::Beyond });
        }
        if seq > next {
            return Ok(self.gap(entry));
        }
        if !self.continues(entry)? {
            self.suspect = true;
            return Ok(self.gap(entry));
        }
        self.push(Stored::new(entry));
        Ok(Inserted::New)
    }

    fn offer_known_place(&mut self, seq: u32, entry: &SignedEntry) -> Inserted {
        let Some(ours) = self.get(seq) else { return Inserted::Known };
        if ours.hash == entry.hash() {
            return Inserted::Known;
        }
        let proof = Box::new((ours.clone(), Stored::new(entry)));
        self.shelve_fork();
        self.truncate(seq);
        self.fork = Some(proof);
        self.suspect = false;
        Inserted::Fork
    }

    /// Does the entry link to our last one? Entries that break a rule of the chain itself are refused for good.
    fn continues(&self, entry: &SignedEntry) -> Result<bool, LogError> {
        let fields = entry.entry();
        let expected = self.entries.last().map_or(EntryHash([0; 32]), |last| last.hash);
        if fields.prev != expected {
            // At the first place there is no branch to look for.
            return if fields.seq == 0 { Err(LogError::BrokenChain) } else { Ok(false) };
        }
        if !self.entries.is_empty() && fields.lamport <= self.last_lamport() {
            return Err(LogError::BrokenChain);
        }
        if fields.seq >= MAX_ENTRIES_PER_AUTHOR {
            return Err(LogError::Limit("262,144 entries by one author"));
        }
        if self.bytes + entry.raw().len() as u64 > MAX_BYTES_PER_AUTHOR {
            return Err(LogError::Limit("160 MiB of entries by one author"));
        }
        Ok(true)
    }

    fn offer_ended(&mut self, end: End, entry: &SignedEntry) -> Inserted {
        let Some((last, hash)) = end else { return Inserted::Beyond };
        let seq = entry.entry().seq;
        if self.get(seq).is_some_and(|ours| ours.hash == entry.hash()) {
            return Inserted::Known;
        }
        if seq > last || self.is_complete(last, hash) {
            return Inserted::Beyond;
        }
        if (seq, entry.hash()) == self.needed(last, hash) {
            self.staged.insert(seq, Stored::new(entry));
            self.link();
            return Inserted::New;
        }
        if seq == last || self.staged.contains_key(&seq) {
            return Inserted::Beyond;
        }
        if seq == self.next_seq() && self.continues(entry) == Ok(true) {
            self.push(Stored::new(entry));
            self.link();
            return Inserted::New;
        }
        self.suspect |= seq <= self.next_seq();
        self.gap(entry)
    }

    fn is_complete(&self, last: u32, hash: EntryHash) -> bool {
        self.last() == Some((last, hash))
    }

    /// The next entry down the branch the owner named.
    fn needed(&self, last: u32, hash: EntryHash) -> (u32, EntryHash) {
        self.staged.first_key_value().map_or((last, hash), |(seq, stored)| (seq.saturating_sub(1), stored.prev))
    }

    /// Joins the staged stretch to the chain once it touches it.
    fn link(&mut self) {
        let Some((&first, lowest)) = self.staged.first_key_value() else { return };
        let touches = match first.checked_sub(1) {
            None => true,
            Some(below) => self.get(below).is_some_and(|ours| ours.hash == lowest.prev),
        };
        if touches {
            self.truncate(first);
            for stored in std::mem::take(&mut self.staged).into_values() {
                self.push(stored);
            }
            self.suspect = false;
        }
    }

    /// The owner ended this chain. Returns whether anything that was replayed has gone, or may have come.
    pub(super) fn end_at(&mut self, end: End) -> bool {
        self.end = Some(end);
        let before = self.last();
        self.shelve_fork();
        let Some((last, hash)) = end else {
            self.truncate(0);
            return before.is_some();
        };
        match self.get(last).map(|ours| ours.hash == hash) {
            Some(true) => self.truncate(last + 1),
            // We hold another branch; where it parts from the right one is not known yet.
            Some(false) => {
                self.truncate(last);
                self.suspect = true;
            }
            None => {}
        }
        self.unshelve();
        self.last() != before
    }

    fn shelve_fork(&mut self) {
        if let Some(pair) = self.fork.take() {
            let (a, b) = *pair;
            self.shelf.extend([a, b]);
        }
    }

    /// Offers the shelf again: from the top for a stretch that is collected backwards, then from the bottom.
    fn unshelve(&mut self) {
        let mut shelf: Vec<SignedEntry> = std::mem::take(&mut self.shelf)
            .iter()
            .filter_map(|stored| SignedEntry::trusted(&stored.raw).ok())
            .collect();
        shelf.sort_by_key(|entry| entry.entry().seq);
        let placed = |answer| matches!(answer, Ok(Inserted::New | Inserted::Fork | Inserted::Known));
        shelf.reverse();
        shelf.retain(|entry| !placed(self.offer(entry)));
        shelf.reverse();
        shelf.retain(|entry| !placed(self.offer(entry)));
        self.shelf.extend(shelf.iter().map(Stored::new));
    }

    /// The entry by which the owner ended this chain does not count any more.
    pub(super) fn reopen(&mut self) {
        self.end = None;
        self.shelf.extend(std::mem::take(&mut self.staged).into_values());
        self.suspect = false;
        self.unshelve();
    }

    fn push(&mut self, stored: Stored) {
        self.bytes += stored.raw.len() as u64;
        self.entries.push(stored);
        self.suspect = false;
    }

    fn truncate(&mut self, seq: u32) {
        let keep = usize::try_from(seq).unwrap_or(usize::MAX);
        if keep >= self.entries.len() {
            return;
        }
        for dropped in self.entries.split_off(keep) {
            self.bytes -= dropped.raw.len() as u64;
            // One who signs branch after branch fills no more than this.
            if self.shelf.len() < MAX_SHELF {
                self.shelf.push(dropped);
            }
        }
    }

    fn gap(&self, entry: &SignedEntry) -> Inserted {
        let fields = entry.entry();
        let next = self.next_seq();
        let have = if self.suspect { next.saturating_sub(SEARCH_WINDOW) } else { next };
        Inserted::Gap { author: fields.author, have, got: fields.seq }
    }

    /// What others see of this chain. A frozen one shows the place of the fork and a hash that commits to the chain below.
    pub(super) fn head(&self) -> Option<HeadMark> {
        if self.is_frozen() {
            let below = self.entries.last().map_or(EntryHash([0; 32]), |last| last.hash);
            return Some((self.next_seq(), below.fork_mark()));
        }
        self.last()
    }

    /// Which stretch to ask a replica for that shows this head; `matches` compares our hash with theirs (they may have sent a part of it).
    pub(super) fn wanted(&self, seq: u32, matches: impl Fn(EntryHash) -> bool) -> Option<(u32, u32)> {
        let next = self.next_seq();
        let window = |to: u32| (to.saturating_sub(SEARCH_WINDOW - 1), to);
        if self.head().is_some_and(|(ours, hash)| ours == seq && matches(hash)) {
            return None;
        }
        if let Some(end) = self.end {
            let (last, hash) = end?;
            if self.is_complete(last, hash) {
                return None;
            }
            let (needed, _) = self.needed(last, hash);
            let forward = self.staged.is_empty() && !self.suspect;
            return Some(if forward { (next, last) } else { window(needed) });
        }
        if seq < next {
            // They are behind, or on another branch.
            let behind = self.get(seq).is_some_and(|ours| matches(ours.hash));
            return (!behind).then(|| window(seq));
        }
        if let Some(fork) = &self.fork {
            let below = next.checked_sub(1)?;
            let parted_earlier = fork.0.prev != fork.1.prev;
            let live = seq == next && (matches(fork.0.hash) || matches(fork.1.hash));
            return (parted_earlier || (seq == next && !live)).then(|| window(below));
        }
        Some(if self.suspect { (next.saturating_sub(SEARCH_WINDOW), seq) } else { (next, seq) })
    }

    /// Entries that count from this place on.
    pub(super) fn counted(&self, from: u32) -> impl Iterator<Item = (u32, &Stored)> {
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        self.entries.iter().zip(0u32..).skip(start).map(|(stored, seq)| (seq, stored))
    }

    /// The proof of a fork: the entry that continued the chain first.
    pub(super) fn fork(&self) -> Option<(&Stored, &Stored)> {
        self.fork.as_deref().map(|(ours, other)| (ours, other))
    }

    /// The stretch that leads to the named end, in the only order in which it can be collected: from there downwards.
    pub(super) fn staged(&self) -> impl Iterator<Item = &Stored> {
        self.staged.values().rev()
    }

    /// Raw entries of a stretch, both entries of a fork and staged ones included.
    pub(super) fn range(&self, from: u32, to: u32) -> impl Iterator<Item = (u32, &Stored)> {
        let chain = self.counted(from);
        let next = self.next_seq();
        let fork = self.fork.iter().flat_map(move |pair| [(next, &pair.0), (next, &pair.1)]);
        let staged = self.staged.iter().map(|(seq, stored)| (*seq, stored));
        chain.chain(fork).chain(staged).filter(move |(seq, _)| (from..=to).contains(seq))
    }
}
