//! What a node commits to per slot: a leaf per flow and direction, and one signed root over its leaves.

use super::{Object, Reader, WireError};
use crate::hash::Hash;
use crate::ids::{Direction, FlowId, PartyKey, Slot};
use crate::merkle;
use crate::params::MAX_HOPS;

/// Counters and records of one flow, direction and slot at one hop (70 bytes).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotLeaf {
    /// The flow.
    pub flow: FlowId,
    /// The direction.
    pub direction: Direction,
    /// Position on the path: 0 initiator, then the relays, last the provider.
    pub hop: u8,
    /// The slot.
    pub slot: Slot,
    /// Packets counted.
    pub pkts: u32,
    /// Ciphertext bytes counted.
    pub bytes: u64,
    /// Packets whose counter was seen before.
    pub dups: u32,
    /// Root over the records.
    pub record_root: Hash,
}

impl SlotLeaf {
    /// Bytes of one encoded leaf.
    pub const LEN: usize = 70;

    /// The leaf's hash in the tree of its SlotRoot.
    #[must_use]
    pub fn hash(&self) -> Hash {
        merkle::leaf_hash(&self.to_bytes())
    }
}

impl Object for SlotLeaf {
    // Never signed alone; the domain exists so that a signature over one could not be taken for another object's.
    const TAG: &'static str = "povf/slot-leaf";

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.flow.0);
        out.extend_from_slice(&[self.direction.to_byte(), self.hop]);
        out.extend_from_slice(&self.slot.0.to_le_bytes());
        out.extend_from_slice(&self.pkts.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.dups.to_le_bytes());
        out.extend_from_slice(&self.record_root);
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let leaf = Self {
            flow: reader.flow()?,
            direction: reader.direction()?,
            hop: reader.u8()?,
            slot: Slot(reader.u32()?),
            pkts: reader.u32()?,
            bytes: reader.u64()?,
            dups: reader.u32()?,
            record_root: reader.hash()?,
        };
        if usize::from(leaf.hop) >= MAX_HOPS {
            return Err(WireError::Field("hop"));
        }
        Ok(leaf)
    }
}

/// What a node says about a slot (76 bytes, 140 signed).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotRoot {
    /// The slot.
    pub slot: Slot,
    /// Number of leaves.
    pub n_leaves: u32,
    /// The node that signs.
    pub node: PartyKey,
    /// Root over the leaf hashes, leaves sorted by flow and direction.
    pub root: Hash,
}

impl SlotRoot {
    /// Bytes of one signed root.
    pub const SIGNED_LEN: usize = 140;

    /// The root over `leaves`, which are brought into commitment order first. More than 2^32 - 1 leaves cannot occur:
    /// the flow table is far smaller.
    #[must_use]
    pub fn over(slot: Slot, node: PartyKey, leaves: &mut [SlotLeaf]) -> Self {
        leaves.sort_unstable_by_key(|leaf| (leaf.flow, leaf.direction));
        let hashes: Vec<Hash> = leaves.iter().map(SlotLeaf::hash).collect();
        Self { slot, n_leaves: u32::try_from(hashes.len()).unwrap_or(u32::MAX), node, root: merkle::root(&hashes) }
    }
}

impl Object for SlotRoot {
    const TAG: &'static str = "povf/slot-root";

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[super::VERSION, KIND_SLOT_ROOT, 0, 0]);
        out.extend_from_slice(&self.slot.0.to_le_bytes());
        out.extend_from_slice(&self.n_leaves.to_le_bytes());
        out.extend_from_slice(&self.node.0);
        out.extend_from_slice(&self.root);
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.version()?;
        reader.constant(KIND_SLOT_ROOT, "kind")?;
        reader.constant(0, "reserved")?;
        reader.constant(0, "reserved")?;
        Ok(Self { slot: Slot(reader.u32()?), n_leaves: reader.u32()?, node: reader.key()?, root: reader.hash()? })
    }
}

const KIND_SLOT_ROOT: u8 = 1;
