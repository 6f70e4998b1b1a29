//! What two replicas tell each other: heads, then only what differs.
//!
//! Heads are one line per author. Equal heads, equal chains; otherwise the shorter side asks for the rest, and where two chains differ at the same
//! place both sides ask for the stretch around it, so the proof of a fork spreads like any entry.

use std::collections::BTreeMap;

use netflow_wire::{Head, Range};
use sha2::{Digest as _, Sha256};

use super::log::NetworkLog;

/// Domain of the digest of all heads.
const DOMAIN_HEADS: &str = "NFC/1 heads";

/// The last entry of an author, abbreviated for data-path messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortHead {
    /// First 8 bytes of the author's key.
    pub author: [u8; 8],
    /// Sequence number.
    pub seq: u32,
    /// First 8 bytes of the hash.
    pub hash: [u8; 8],
}

/// A stretch of an author's chain, abbreviated, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortRange {
    /// First 8 bytes of the author's key.
    pub author: [u8; 8],
    /// First.
    pub from: u32,
    /// Last.
    pub to: u32,
}

impl NetworkLog {
    /// The newest entry of every author, sorted by author. A frozen chain shows the place of the fork and a mark instead of a hash.
    pub fn heads(&self) -> Vec<Head> {
        let heads = self.chains().iter().filter_map(|(author, chain)| Some((*author, chain.head()?)));
        heads.map(|(author, (seq, hash))| Head { author, seq, hash: hash.0 }).collect()
    }

    /// [`NetworkLog::heads`], abbreviated.
    pub fn short_heads(&self) -> Vec<ShortHead> {
        self.heads()
            .iter()
            .map(|head| ShortHead { author: short(&head.author), seq: head.seq, hash: short(&head.hash) })
            .collect()
    }

    /// Equal digests, equal logs: the first half of SHA-256("NFC/1 heads" | author | seq u32 LE | hash | ...).
    pub fn digest(&self) -> [u8; 16] {
        let mut hasher = Sha256::new().chain_update(DOMAIN_HEADS);
        for head in self.heads() {
            hasher = hasher.chain_update(head.author).chain_update(head.seq.to_le_bytes()).chain_update(head.hash);
        }
        let digest: [u8; 32] = hasher.finalize().into();
        digest.first_chunk().copied().unwrap_or_default()
    }

    /// What to ask a replica with these heads for. Authors nobody appointed are not asked for.
    pub fn wanted(&self, theirs: &[Head]) -> Vec<Range> {
        let range = |head: &Head| {
            let (from, to) = match self.chains().get(&head.author) {
                Some(chain) => chain.wanted(head.seq, |ours| ours.0 == head.hash)?,
                None => self.may_author(&head.author).then_some((0, head.seq))?,
            };
            Some(Range { author: head.author, from, to })
        };
        theirs.iter().filter_map(range).collect()
    }

    /// [`NetworkLog::wanted`] for abbreviated heads. Answers nothing while the owner's chain is not here.
    pub fn wanted_short(&self, theirs: &[ShortHead]) -> Vec<ShortRange> {
        let range = |head: &ShortHead| {
            let author = self.author_by_prefix(&head.author)?;
            let (from, to) = match self.chains().get(&author) {
                Some(chain) => chain.wanted(head.seq, |ours| short(&ours.0) == head.hash)?,
                None => (0, head.seq),
            };
            Some(ShortRange { author: head.author, from, to })
        };
        theirs.iter().filter_map(range).collect()
    }

    /// [`NetworkLog::range`] for an abbreviated stretch.
    pub fn range_short(&self, range: &ShortRange) -> Vec<&[u8]> {
        self.author_by_prefix(&range.author)
            .map_or_else(Vec::new, |author| self.range(&Range { author, from: range.from, to: range.to }))
    }

    /// What a replica with these heads lacks, in an order in which it can insert it.
    pub fn missing_for(&self, theirs: &[Head]) -> Vec<&[u8]> {
        let theirs: BTreeMap<&[u8; 32], &Head> = theirs.iter().map(|head| (&head.author, head)).collect();
        let mut missing = Vec::new();
        for (author, chain) in self.chains() {
            let known = theirs.get(author);
            if known.is_some_and(|head| chain.head().is_some_and(|(seq, hash)| (seq, hash.0) == (head.seq, head.hash)))
            {
                continue;
            }
            let from = known.map_or(0, |head| head.seq.saturating_add(1));
            // The place of a fork is sent again: they may hold one of the two entries only.
            let from = if chain.is_frozen() { from.min(chain.next_seq()) } else { from };
            missing.extend(
                chain.range(from, u32::MAX).map(|(seq, stored)| ((stored.lamport, *author, seq), &*stored.raw)),
            );
        }
        missing.sort_by_key(|(key, _)| *key);
        missing.into_iter().map(|(_, raw)| raw).collect()
    }

    /// The author whose key begins with these bytes. Authors are appointed by the owner, so nobody can bring a collision in from outside.
    pub fn author_by_prefix(&self, prefix: &[u8; 8]) -> Option<[u8; 32]> {
        self.known_authors().find(|author| author.starts_with(prefix)).copied()
    }
}

fn short(bytes: &[u8; 32]) -> [u8; 8] {
    bytes.first_chunk().copied().unwrap_or_default()
}
