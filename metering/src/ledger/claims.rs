//! What this node will claim: the committed slots of each flow, summed up when the epoch closes.

use std::collections::BTreeMap;

use crate::hash::Hash;
use crate::ids::{Direction, Epoch, FlowId, PartyKey, PerDirection, Slot};
use crate::merkle;
use crate::params::SLOTS_PER_EPOCH;
use crate::wire::{Counts, HopClaim, Role, SlotLeaf};

/// Leaves of one flow and epoch: both directions of every slot.
const MAX_LEAVES: usize = 2 * SLOTS_PER_EPOCH as usize;

/// Why a leaf was not added to the book.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClaimError {
    /// The book holds as many flow-epochs as it may.
    #[error("the claim book is full")]
    Full,
    /// Another leaf is there for this slot and direction: a second commitment.
    #[error("slot {0} was claimed with other counts")]
    Conflict(u32),
    /// The node is not at this hop of the flow.
    #[error("the leaf is of hop {0}")]
    OtherHop(u8),
}

/// Why a claim is not the sum of its leaves. Provable to anyone who has the claim and the leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClaimFault {
    /// A leaf is of another flow, hop or epoch, or the leaves are not in order of slot and direction.
    #[error("leaf {0} does not belong to the claim")]
    Leaf(usize),
    /// The root over the leaves is another.
    #[error("the leaves are not those under the claim's root")]
    Root,
    /// The counts are not the sums.
    #[error("the counts are not the sums of the leaves")]
    Sum,
}

#[derive(Debug)]
struct FlowEpoch {
    role: Role,
    hop: u8,
    leaves: BTreeMap<(Slot, Direction), SlotLeaf>,
    goodput: PerDirection<u64>,
}

/// Committed slots by flow and epoch.
#[derive(Debug)]
pub struct ClaimBook {
    node: PartyKey,
    limit: usize,
    flows: BTreeMap<(Epoch, FlowId), FlowEpoch>,
}

impl ClaimBook {
    /// A book of `node` for at most `limit` flow-epochs of about 14 KiB.
    #[must_use]
    pub const fn new(node: PartyKey, limit: usize) -> Self {
        Self { node, limit, flows: BTreeMap::new() }
    }

    /// Adds a leaf whose SlotRoot the collector acknowledged. Adding it again changes nothing, so everything stored can
    /// be fed back after a restart.
    ///
    /// # Errors
    /// [`ClaimError`]; the book is unchanged.
    pub fn add(&mut self, role: Role, leaf: SlotLeaf) -> Result<(), ClaimError> {
        let place = (leaf.slot.epoch(), leaf.flow);
        if !self.flows.contains_key(&place) && self.flows.len() >= self.limit {
            return Err(ClaimError::Full);
        }
        let entry = self.flows.entry(place).or_insert_with(|| FlowEpoch {
            role,
            hop: leaf.hop,
            leaves: BTreeMap::new(),
            goodput: PerDirection::default(),
        });
        if entry.hop != leaf.hop {
            return Err(ClaimError::OtherHop(leaf.hop));
        }
        match entry.leaves.get(&(leaf.slot, leaf.direction)) {
            Some(held) if *held != leaf => Err(ClaimError::Conflict(leaf.slot.0)),
            _ => {
                entry.leaves.insert((leaf.slot, leaf.direction), leaf);
                Ok(())
            }
        }
    }

    /// Sets the goodput this node received in an epoch of a flow; unknown flows are ignored.
    pub fn set_goodput(&mut self, epoch: Epoch, flow: FlowId, goodput: PerDirection<u64>) {
        if let Some(entry) = self.flows.get_mut(&(epoch, flow)) {
            entry.goodput = goodput;
        }
    }

    /// The claims of `epoch`, each with its leaves in the order of their root. The same every time it is asked, so a
    /// claim sent again after a restart is the same claim.
    pub fn claims(&self, epoch: Epoch) -> impl Iterator<Item = (HopClaim, Vec<SlotLeaf>)> + '_ {
        let flows = self.flows.range((epoch, FlowId([0; 16]))..=(epoch, FlowId([0xff; 16])));
        flows.map(|((epoch, flow), entry)| {
            let leaves: Vec<SlotLeaf> = entry.leaves.values().copied().collect();
            let claim = HopClaim {
                role: entry.role,
                hop: entry.hop,
                epoch: *epoch,
                flow: *flow,
                counts: sum(&leaves),
                goodput: entry.goodput,
                slots_root: slots_root(&leaves),
                node: self.node,
            };
            (claim, leaves)
        })
    }

    /// Forgets the epochs before `epoch`.
    pub fn expire(&mut self, epoch: Epoch) {
        self.flows = self.flows.split_off(&(epoch, FlowId([0; 16])));
    }
}

/// Checks that a claim is exactly the sum of `leaves`, given in order of slot and direction.
///
/// # Errors
/// The first [`ClaimFault`] found.
pub fn check_claim(claim: &HopClaim, leaves: &[SlotLeaf]) -> Result<(), ClaimFault> {
    let mut previous = None;
    for (i, leaf) in leaves.iter().enumerate() {
        let order = (leaf.slot, leaf.direction);
        let belongs = leaf.flow == claim.flow && leaf.hop == claim.hop && leaf.slot.epoch() == claim.epoch;
        if !belongs || previous.is_some_and(|previous| previous >= order) || i >= MAX_LEAVES {
            return Err(ClaimFault::Leaf(i));
        }
        previous = Some(order);
    }
    if slots_root(leaves) != claim.slots_root {
        return Err(ClaimFault::Root);
    }
    if sum(leaves) == claim.counts { Ok(()) } else { Err(ClaimFault::Sum) }
}

fn slots_root(leaves: &[SlotLeaf]) -> Hash {
    merkle::root(&leaves.iter().map(SlotLeaf::hash).collect::<Vec<_>>())
}

/// Sums, saturating: 150 leaves of hostile counts must not wrap to something small.
fn sum(leaves: &[SlotLeaf]) -> PerDirection<Counts> {
    let mut out = PerDirection::<Counts>::default();
    for leaf in leaves {
        let counts = out.get_mut(leaf.direction);
        counts.pkts = counts.pkts.saturating_add(leaf.pkts.into());
        counts.bytes = counts.bytes.saturating_add(leaf.bytes);
        counts.dups = counts.dups.saturating_add(leaf.dups);
    }
    out
}
