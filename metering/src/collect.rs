//! A collector (central or root node): takes the SlotRoots of the nodes at home with it, puts one root over them into
//! the chain, and gives each node a receipt. A node it convicts of two roots for one slot is out of both.

use std::collections::BTreeMap;

use crate::hash::Hash;
use crate::ids::{PartyKey, Slot};
use crate::ledger::Equivocation;
use crate::merkle::{self, Tree};
use crate::params::COMMIT_MS;
use crate::wire::{Signed, SlotRoot, View, WireError};

/// Slots that can be open at a collector: the current one, and the last one until its commitments are due.
const OPEN_SLOTS: usize = 2;

/// What a SlotRoot did.
#[derive(Clone, PartialEq, Debug)]
pub enum Collected {
    /// It will be in the batch of its slot: store it durably before it is acknowledged.
    Accepted(Signed<SlotRoot>),
    /// It is there already.
    Known,
    /// The node signed another one for this slot: evidence, and neither is batched.
    Equivocation(Box<Equivocation<SlotRoot>>),
}

/// Why a SlotRoot was refused. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CollectError {
    /// Before the slot is over, or more than 4 s after it: its bytes stay unpaid.
    #[error("slot {0} does not take commitments now")]
    NotOpen(u32),
    /// As many nodes as this collector serves committed to the slot.
    #[error("the slot is full")]
    Full,
    /// Malformed, or not signed by the node it names.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The node is convicted of two roots for this slot.
    #[error("the node equivocated in this slot")]
    Convicted,
}

#[derive(Debug)]
enum Entry {
    Root(Signed<SlotRoot>),
    Convicted,
}

/// SlotRoots of the slots that take commitments.
#[derive(Debug)]
pub struct Collector {
    limit: usize,
    slots: BTreeMap<Slot, BTreeMap<PartyKey, Entry>>,
}

/// The SlotRoots of one slot, ordered by node key.
#[derive(Clone, Debug)]
pub struct Batch {
    slot: Slot,
    roots: Vec<Signed<SlotRoot>>,
    tree: Tree,
}

/// Shows that a SlotRoot is in a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Index in the batch.
    pub index: u32,
    /// SlotRoots in the batch.
    pub n: u32,
    /// Path to the batch's root.
    pub path: Vec<Hash>,
}

impl Collector {
    /// A collector for at most `limit` nodes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, slots: BTreeMap::new() }
    }

    /// Takes a SlotRoot of a node that is at home here (the caller knows its nodes). The signature is checked last of all
    /// that can fail, so refusing strangers and repeats costs no cryptography.
    ///
    /// # Errors
    /// [`CollectError`].
    pub fn handle_root(&mut self, view: View<SlotRoot>, now_ms: u64) -> Result<Collected, CollectError> {
        let claimed = *view.claimed();
        let (slot, node) = (claimed.slot, claimed.node);
        if now_ms < slot.end_ms() || now_ms > slot.end_ms() + COMMIT_MS {
            return Err(CollectError::NotOpen(slot.0));
        }
        let known = self.slots.get(&slot).and_then(|nodes| nodes.get(&node));
        match known {
            Some(Entry::Convicted) => return Err(CollectError::Convicted),
            Some(Entry::Root(held)) if *held.body() == claimed => return Ok(Collected::Known),
            Some(Entry::Root(_)) => {}
            None if self.slots.get(&slot).is_some_and(|nodes| nodes.len() >= self.limit) => {
                return Err(CollectError::Full);
            }
            None => {}
        }
        let root = view.verify(&node)?;
        if self.slots.len() >= OPEN_SLOTS && !self.slots.contains_key(&slot) {
            // Batches nobody fetched: the collector was stopped for longer than a slot.
            self.slots.pop_first();
        }
        let nodes = self.slots.entry(slot).or_default();
        match nodes.remove(&node) {
            Some(Entry::Root(held)) => {
                nodes.insert(node, Entry::Convicted);
                let proof = Equivocation::new(held, root).ok_or(CollectError::Convicted)?;
                Ok(Collected::Equivocation(Box::new(proof)))
            }
            Some(Entry::Convicted) | None => {
                nodes.insert(node, Entry::Root(root.clone()));
                Ok(Collected::Accepted(root))
            }
        }
    }

    /// The batches whose commitments are complete.
    pub fn poll_batches(&mut self, now_ms: u64) -> Vec<Batch> {
        let due = self.slots.keys().copied().filter(|slot| now_ms > slot.end_ms() + COMMIT_MS).collect::<Vec<_>>();
        due.into_iter().filter_map(|slot| Some(Batch::new(slot, self.slots.remove(&slot)?))).collect()
    }
}

impl Batch {
    fn new(slot: Slot, nodes: BTreeMap<PartyKey, Entry>) -> Self {
        let roots: Vec<Signed<SlotRoot>> = nodes
            .into_values()
            .filter_map(|entry| match entry {
                Entry::Root(root) => Some(root),
                Entry::Convicted => None,
            })
            .collect();
        let tree = Tree::new(roots.iter().map(leaf).collect());
        Self { slot, roots, tree }
    }

    /// The slot.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// What goes into the chain.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.tree.root()
    }

    /// The SlotRoots, by node key.
    #[must_use]
    pub fn roots(&self) -> &[Signed<SlotRoot>] {
        &self.roots
    }

    /// The receipt of `node`; `None` when it is not in the batch.
    #[must_use]
    pub fn receipt(&self, node: &PartyKey) -> Option<Receipt> {
        let index = self.roots.binary_search_by_key(node, |root| root.body().node).ok()?;
        Some(Receipt {
            index: u32::try_from(index).ok()?,
            n: u32::try_from(self.roots.len()).ok()?,
            path: self.tree.path(index)?,
        })
    }
}

impl Receipt {
    /// Whether `slot_root` is in the batch with root `batch`.
    #[must_use]
    pub fn verify(&self, slot_root: &Signed<SlotRoot>, batch: &Hash) -> bool {
        merkle::verify(&leaf(slot_root), u64::from(self.index), u64::from(self.n), &self.path, batch)
    }
}

/// Leaf of a batch: the signed SlotRoot, 140 bytes.
fn leaf(root: &Signed<SlotRoot>) -> Hash {
    merkle::leaf_hash(&root.to_bytes())
}
