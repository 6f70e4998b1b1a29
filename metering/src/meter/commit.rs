//! A node's commitment to one slot, and what it keeps to open it.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;

use super::records::RecordLog;
use super::table::ClosedSlot;
use crate::hash::SampleKey;
use crate::ids::{Direction, FlowId, PartyKey, Slot};
use crate::merkle::{RootBuilder, Tree};
use crate::sample::{Level, may_be_audited};
use crate::wire::{LeafOpening, Opening, Record, Signed, SlotLeaf, SlotRoot, record_leaf};

/// Levels around a hop's own that it can answer after the reveal. The sender's count sets the level; one four times off
/// is a mismatch that is worth nothing already, whoever caused it.
const LEVELS_AROUND: u8 = 2;

/// What is left of a flow-slot's records.
#[derive(Debug)]
enum Kept {
    /// All of them: the key is not known yet.
    All(RecordLog),
    /// What answers an audit at a level of `from..=to`.
    Sampled {
        from: Level,
        to: Level,
        key: SampleKey,
        samples: Vec<Record>,
        /// Where the records are that some level's opening must show.
        places: BTreeMap<Record, u32>,
        leaves: BTreeMap<u32, LeafOpening>,
    },
    /// Nothing: the lottery did not draw it.
    Nothing,
}

/// The slot was signed before, or one after it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("slot {0} is not after the last slot signed")]
pub struct AlreadySigned(pub u32);

/// Signs SlotRoots, one per slot whatever happens: two for one slot cost the whole pledge, and after a crash a node
/// remembers fewer packets than it may have signed for.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotSigner {
    last: Option<Slot>,
}

impl SlotSigner {
    /// Continues after `last`, the slot of the last root stored; `None` for a node that never signed.
    #[must_use]
    pub const fn new(last: Option<Slot>) -> Self {
        Self { last }
    }

    /// Signs what the node says about a slot. Store the signed root durably before it is sent.
    ///
    /// # Errors
    /// [`AlreadySigned`]; the slot stays unpaid, which is all it costs.
    pub fn sign(&mut self, commit: &SlotCommit, key: &SigningKey) -> Result<Signed<SlotRoot>, AlreadySigned> {
        let slot = commit.root.slot;
        if self.last.is_some_and(|last| slot <= last) {
            return Err(AlreadySigned(slot.0));
        }
        self.last = Some(slot);
        Ok(Signed::sign(commit.root, key))
    }
}

/// Commitment to a slot.
#[derive(Debug)]
pub struct SlotCommit {
    root: SlotRoot,
    leaves: Vec<SlotLeaf>,
    kept: Vec<Kept>,
    tree: Tree,
    is_revealed: bool,
}

impl SlotCommit {
    /// Commits `node` to everything of `closed` that belongs to `slot`. Hashes every record: run it off the data path.
    /// Where a flow was metered twice in a slot (removed and added again), the fuller half is claimed.
    #[must_use]
    pub fn build(node: PartyKey, slot: Slot, closed: Vec<ClosedSlot>) -> Self {
        let mut parts: BTreeMap<(FlowId, Direction), (SlotLeaf, RecordLog)> = BTreeMap::new();
        for part in closed.into_iter().filter(|part| part.slot == slot) {
            let place = (part.flow, part.direction);
            if parts.get(&place).is_some_and(|(leaf, _)| leaf.bytes >= part.bytes) {
                continue;
            }
            parts.insert(place, (leaf_of(&part), part.records));
        }
        let (mut leaves, records): (Vec<SlotLeaf>, Vec<RecordLog>) = parts.into_values().unzip();
        let root = SlotRoot::over(slot, node, &mut leaves);
        let tree = Tree::new(leaves.iter().map(SlotLeaf::hash).collect());
        Self { root, leaves, kept: records.into_iter().map(Kept::All).collect(), tree, is_revealed: false }
    }

    /// The unsigned root.
    #[must_use]
    pub const fn root(&self) -> &SlotRoot {
        &self.root
    }

    /// The leaves, in commitment order: what the epoch's claims sum up.
    #[must_use]
    pub fn leaves(&self) -> &[SlotLeaf] {
        &self.leaves
    }

    /// The key of the slot is known: keeps what an audit could ask for and frees the rest. Only the first key counts.
    pub fn reveal(&mut self, slot_key: SampleKey) {
        if std::mem::replace(&mut self.is_revealed, true) {
            return;
        }
        for (leaf, kept) in self.leaves.iter().zip(&mut self.kept) {
            *kept = match std::mem::replace(kept, Kept::Nothing) {
                Kept::All(log) if may_be_audited(slot_key, leaf.flow, leaf.direction, leaf.bytes) => {
                    sampled(&log, leaf, slot_key.of_flow(leaf.flow, leaf.direction))
                }
                Kept::All(_) | Kept::Sampled { .. } | Kept::Nothing => Kept::Nothing,
            };
        }
    }

    /// Opens one flow and direction at the sender's `level` ([`Level::of_slot`]). `None` when the slot is not revealed, the flow is not in it,
    /// the lottery cannot have drawn it, or the level is too far from this hop's own count.
    #[must_use]
    pub fn open(&self, flow: FlowId, direction: Direction, level: Level) -> Option<Opening> {
        let index = self.leaves.binary_search_by_key(&(flow, direction), |leaf| (leaf.flow, leaf.direction)).ok()?;
        let Kept::Sampled { from, to, key, samples, places, leaves } = self.kept.get(index)? else { return None };
        if level < *from || level > *to {
            return None;
        }
        let samples = level.sample(*key, samples.iter().copied());
        let leaf = *self.leaves.get(index)?;
        let mut shown = Opening::drawn(*key, leaf.pkts);
        for record in Opening::chosen(*key, &samples) {
            shown.insert(*places.get(&record)?);
        }
        Some(Opening {
            level,
            leaf,
            index: u32::try_from(index).ok()?,
            n_leaves: self.root.n_leaves,
            path: self.tree.path(index)?,
            samples,
            opened: shown.iter().map(|at| leaves.get(at).cloned()).collect::<Option<_>>()?,
        })
    }
}

fn leaf_of(part: &ClosedSlot) -> SlotLeaf {
    let mut builder = RootBuilder::default();
    for leaf in part.records.leaves() {
        builder.push(record_leaf(leaf));
    }
    SlotLeaf {
        flow: part.flow,
        direction: part.direction,
        hop: part.hop,
        slot: part.slot,
        pkts: part.pkts,
        bytes: part.bytes,
        dups: part.dups,
        record_root: builder.finish(),
    }
}

/// The samples and chosen leaves of every level an audit may ask for.
fn sampled(log: &RecordLog, leaf: &SlotLeaf, key: SampleKey) -> Kept {
    let own = Level::of_slot(u64::from(leaf.pkts), leaf.bytes);
    let (from, to) = (own.finer(LEVELS_AROUND), own.coarser(LEVELS_AROUND));
    let tree = Tree::new(log.leaves().map(record_leaf).collect());
    let samples = from.sample(key, log.iter());
    let mut wanted = BTreeSet::new();
    for level in from.to(to) {
        wanted.extend(Opening::chosen(key, &level.sample(key, samples.iter().copied())));
    }
    let (mut places, mut leaves) = (BTreeMap::new(), BTreeMap::new());
    let drawn = Opening::drawn(key, leaf.pkts);
    for (index, records) in (0u32..).zip(log.leaves()) {
        let here: Vec<Record> = records.iter().filter(|record| wanted.remove(*record)).copied().collect();
        if here.is_empty() && !drawn.contains(&index) {
            continue;
        }
        if let Some(path) = tree.path(index as usize) {
            leaves.insert(index, LeafOpening { index, records: records.to_vec(), path });
        }
        places.extend(here.into_iter().map(|record| (record, index)));
    }
    Kept::Sampled { from, to, key, samples, places, leaves }
}
