//! The commitments a node may still have to open.

use std::collections::BTreeMap;

use super::commit::SlotCommit;
use crate::hash::SampleKey;
use crate::ids::{Direction, FlowId, Slot};
use crate::params::{OPENING_MS, SLOT_SECONDS};
use crate::sample::Level;
use crate::wire::Opening;

/// Slots between the end of a slot and the end of its openings, and two for a clock that jumps.
const MAX_SLOTS: usize = 14;
const _: () = assert!(MAX_SLOTS as u64 == OPENING_MS / (SLOT_SECONDS as u64 * 1_000) + 2);

/// Why a commitment was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is one for this slot; a second would be equivocation.
    #[error("the slot is committed already")]
    Committed,
    /// Slots are not revealed or expired: the chain stands still.
    #[error("the archive is full")]
    Full,
}

/// Commitments by slot.
#[derive(Debug, Default)]
pub struct Archive {
    slots: BTreeMap<Slot, SlotCommit>,
}

impl Archive {
    /// Keeps a commitment. On error its slot is not to be signed, and its bytes stay unpaid.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn insert(&mut self, commit: SlotCommit) -> Result<(), ArchiveError> {
        let slot = commit.root().slot;
        if self.slots.contains_key(&slot) {
            return Err(ArchiveError::Committed);
        }
        if self.slots.len() >= MAX_SLOTS {
            return Err(ArchiveError::Full);
        }
        self.slots.insert(slot, commit);
        Ok(())
    }

    /// The commitment of `slot`.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&SlotCommit> {
        self.slots.get(&slot)
    }

    /// The key of `slot` is known. `false` when nothing is kept of the slot.
    pub fn reveal(&mut self, slot: Slot, slot_key: SampleKey) -> bool {
        self.slots.get_mut(&slot).map(|commit| commit.reveal(slot_key)).is_some()
    }

    /// Opens a flow-slot ([`SlotCommit::open`]).
    #[must_use]
    pub fn open(&self, slot: Slot, flow: FlowId, direction: Direction, level: Level) -> Option<Opening> {
        self.slots.get(&slot)?.open(flow, direction, level)
    }

    /// Forgets slots that nobody can ask for any more.
    pub fn expire(&mut self, now_ms: u64) {
        self.slots.retain(|slot, _| slot.end_ms().saturating_add(OPENING_MS) > now_ms);
    }
}
