//! What two replicas tell each other: heads, then only what differs.
//!
//! Heads are one line per author. Equal heads, equal chains; otherwise the shorter side asks for the rest, and where two chains differ at the same
//! place both sides ask for the stretch around it, so the proof of a fork spreads like any entry.

use std::collections::BTreeMap;

use netflow_wire::{Head, NodeId, Range};
use sha2::{Digest as _, Sha256};

use super::chain::{Chain, Stored};
use super::entry::MergeKey;
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

impl From<&Head> for ShortHead {
    fn from(head: &Head) -> Self {
        Self { author: short(&head.author), seq: head.seq, hash: short(&head.hash) }
    }
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
        self.heads().iter().map(ShortHead::from).collect()
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
            let term = self.authority().term_of(&NodeId(*author));
            in_order(author, chain, from, term, &mut missing);
        }
        missing.sort_unstable_by_key(|(place, _)| *place);
        missing.into_iter().map(|(_, raw)| raw).collect()
    }

    /// The author whose key begins with these bytes. Authors are appointed by the owner, so nobody can bring a collision in from outside.
    pub fn author_by_prefix(&self, prefix: &[u8; 8]) -> Option<[u8; 32]> {
        self.known_authors().find(|author| author.starts_with(prefix)).copied()
    }
}

/// Where an entry is published: its place in the replay or, when it depends on one that sorts behind it, that one's place and how many wait there.
type Place = (MergeKey, u32);

/// Entries of one chain with places that rise along it and begin behind the author's appointment. Places of two chains never are the same: what
/// is pushed back stays behind an entry of its own chain, or behind the appointment, which is about this author alone.
fn in_order<'a>(
    author: &[u8; 32],
    chain: &'a Chain,
    from: u32,
    term: Option<(MergeKey, Option<MergeKey>)>,
    out: &mut Vec<(Place, &'a [u8])>,
) {
    let (since, until) = term.unwrap_or(((0, [0; 32], 0), None));
    let mut at: Place = (since, 0);
    let mut put = |key: MergeKey, waiting: u32, stored: &'a Stored| {
        at = if key > at.0 { (key, waiting) } else { (at.0, at.1 + 1) };
        out.push((at, &*stored.raw));
    };
    for (seq, stored) in chain.counted(from) {
        put((stored.lamport, *author, seq), 0, stored);
    }
    // The place of a fork is sent again: they may hold one of the two entries only. The second one follows at once, since the first may be the end
    // of somebody's chain for as long as it stands alone.
    if let Some((ours, other)) = chain.fork() {
        let key = (ours.lamport, *author, chain.next_seq());
        put(key, 0, ours);
        put(key, 0, other);
    }
    // Only behind the end that names it is this stretch taken.
    for stored in chain.staged() {
        put(until.unwrap_or(since), 1, stored);
    }
}

fn short(bytes: &[u8; 32]) -> [u8; 8] {
    bytes.first_chunk().copied().unwrap_or_default()
}
