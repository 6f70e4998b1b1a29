//! All metered flows of a node. A handle given to the data plane (next to a session or a relay label) is an index, so a
//! packet costs no lookup by name.

use std::collections::VecDeque;

use super::flow::{Counted, Flow, OpenSlot, Packet};
use super::records::{RecordBudget, RecordLog};
use crate::ids::{Direction, Epoch, FlowId, PerDirection, Slot, SlotClock};
use crate::params::MAX_HOPS;

/// Sessions are refused after 180 s; a slot and its grace more and nothing of them can arrive.
const SESSION_MS: u64 = 192_000;
/// Closed slots waiting to be fetched, per flow of the limit: both directions of two slots.
const CLOSED_PER_FLOW: usize = 4;

/// Limits of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MeterLimits {
    /// Flows.
    pub flows: usize,
    /// Records of all open and committed slots together, 8 bytes each. Beyond it a slot loses its claim, never a packet.
    pub records: usize,
}

impl Default for MeterLimits {
    /// 65,536 flows and 64 MiB of records: 45 s of 2 Gbit/s in 1,400-byte packets.
    fn default() -> Self {
        Self { flows: 1 << 16, records: 8 << 20 }
    }
}

/// Why a flow was not added or named.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MeterError {
    /// The table holds as many flows as it may.
    #[error("the flow table is full")]
    Full,
    /// No path is that long.
    #[error("hop {0} is beyond any path")]
    Hop(u8),
    /// The handle's flow was removed.
    #[error("the flow is gone")]
    Gone,
}

/// Names a flow of a table; stays invalid for ever once the flow is removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowHandle {
    index: u32,
    generation: u32,
}

/// Where the data plane meters a flow: kept beside the session (sender, receiver) or the relay label (relay). A session
/// or label without one is not metered and costs nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MeterPoint {
    /// The flow.
    pub handle: FlowHandle,
    /// The direction this session side or label carries.
    pub direction: Direction,
}

/// What metering did since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MeterStats {
    /// Packets counted.
    pub counted: u64,
    /// Packets whose counter was seen before.
    pub duplicates: u64,
    /// Packets outside the window of their slot.
    pub late: u64,
    /// Packets whose slot had lost its claim.
    pub dropped: u64,
    /// Slots closed without a claim: too many records, or no name for their epoch.
    pub unclaimed_slots: u64,
}

/// What one flow and direction left behind in a slot.
#[derive(Debug)]
pub struct ClosedSlot {
    /// The flow's name in the slot's epoch.
    pub flow: FlowId,
    /// Handle of the flow.
    pub handle: FlowHandle,
    /// Direction.
    pub direction: Direction,
    /// Position of this hop on the path.
    pub hop: u8,
    /// The slot.
    pub slot: Slot,
    /// Packets counted.
    pub pkts: u32,
    /// Ciphertext bytes counted.
    pub bytes: u64,
    /// Duplicates.
    pub dups: u32,
    /// The records.
    pub records: RecordLog,
}

#[derive(Debug)]
struct Entry {
    generation: u32,
    flow: Option<Flow>,
}

/// Ten million silent flows fit in 1 GiB.
const _: () = assert!(size_of::<Entry>() <= 100);

/// The metered flows of a node.
#[derive(Debug)]
pub struct MeterTable {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Indices of flows with an open slot, so that closing never walks idle flows.
    active: Vec<u32>,
    /// Flows that fell silent, oldest first: their lanes are freed when no session of theirs can be alive any more.
    idle: VecDeque<u32>,
    closed: Vec<ClosedSlot>,
    budget: RecordBudget,
    limits: MeterLimits,
    stats: MeterStats,
}

impl MeterTable {
    /// An empty table.
    #[must_use]
    pub fn new(limits: MeterLimits) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            active: Vec::new(),
            idle: VecDeque::new(),
            closed: Vec::new(),
            budget: RecordBudget::new(limits.records),
            limits,
            stats: MeterStats::default(),
        }
    }

    /// Meters a flow of which this node is hop `hop` (0 initiator, then relays, last provider).
    ///
    /// # Errors
    /// [`MeterError::Full`], [`MeterError::Hop`].
    pub fn add(&mut self, hop: u8) -> Result<FlowHandle, MeterError> {
        if usize::from(hop) >= MAX_HOPS {
            return Err(MeterError::Hop(hop));
        }
        let flow = Some(Flow::new(hop));
        if let Some(index) = self.free.pop()
            && let Some(entry) = self.entry_mut(index)
        {
            entry.flow = flow;
            return Ok(FlowHandle { index, generation: entry.generation });
        }
        let index = u32::try_from(self.entries.len()).map_err(|_| MeterError::Full)?;
        if self.entries.len() >= self.limits.flows {
            return Err(MeterError::Full);
        }
        self.entries.push(Entry { generation: 0, flow });
        Ok(FlowHandle { index, generation: 0 })
    }

    /// Sets the flow's name in `epoch`; the names of two epochs are kept. Slots of a nameless epoch are not claimed.
    ///
    /// # Errors
    /// [`MeterError::Gone`].
    pub fn set_name(&mut self, handle: FlowHandle, epoch: Epoch, id: FlowId) -> Result<(), MeterError> {
        self.flow_mut(handle).ok_or(MeterError::Gone)?.set_name(epoch, id);
        Ok(())
    }

    /// Stops metering a flow. What its open slots hold is closed with the next [`MeterTable::close_due`].
    pub fn remove(&mut self, handle: FlowHandle) {
        if self.flow_mut(handle).is_none() {
            return;
        }
        self.close_flow(handle.index, 0, true);
        self.active.retain(|index| *index != handle.index);
        if let Some(entry) = self.entry_mut(handle.index) {
            entry.flow = None;
            entry.generation = entry.generation.wrapping_add(1);
            // A generation that came round could revive an old handle: leave the place unused for ever.
            if entry.generation != 0 {
                self.free.push(handle.index);
            }
        }
    }

    /// The hook of the data plane: meters one data frame (type 0x13, without relay header) at `point`.
    ///
    /// * sender: after sealing, with [`SlotClock::tag`] written into the header before it;
    /// * relay: when the frame leaves, whole;
    /// * receiver: after the AEAD and replay checks. The ciphertext may be decrypted in place by then: header, tag and
    ///   length are all that is read.
    pub fn meter(&mut self, point: MeterPoint, frame: &[u8], clock: &SlotClock) -> Counted {
        match Packet::of_frame(frame) {
            Some(packet) => self.count(point.handle, point.direction, &packet, clock),
            None => Counted::Unmetered,
        }
    }

    /// Counts one packet where this hop meters it: a sender and a relay at egress, a receiver after the AEAD and replay
    /// checks. `clock` is this node's wall clock, read once per batch. Never allocates but for a chunk of records.
    pub fn count(&mut self, handle: FlowHandle, direction: Direction, packet: &Packet, clock: &SlotClock) -> Counted {
        let Some(slot) = clock.resolve(packet.slot_lsb) else {
            self.stats.late += 1;
            return Counted::Late;
        };
        let Some(flow) = self
            .entries
            .get_mut(handle.index as usize)
            .filter(|entry| entry.generation == handle.generation)
            .and_then(|entry| entry.flow.as_mut())
        else {
            return Counted::Unmetered;
        };
        let (counted, stale) = flow.lane(direction, slot).count(slot, packet, &self.budget);
        if !flow.is_active {
            flow.is_active = true;
            self.active.push(handle.index);
        }
        match counted {
            Counted::Yes => self.stats.counted += 1,
            Counted::Duplicate => self.stats.duplicates += 1,
            Counted::Dropped => self.stats.dropped += 1,
            Counted::Late | Counted::Unmetered => {}
        }
        if let Some(stale) = stale {
            self.retire(handle, direction, stale);
        }
        counted
    }

    /// Closes every slot whose window is over and returns them with those closed before. Call it once a second.
    pub fn close_due(&mut self, now_ms: u64) -> Vec<ClosedSlot> {
        let active = std::mem::take(&mut self.active);
        for index in active {
            if self.close_flow(index, now_ms, false) {
                self.active.push(index);
            }
        }
        self.forget_idle(now_ms);
        std::mem::take(&mut self.closed)
    }

    /// Frees the lanes of flows without a packet for longer than any session lives: with the keys gone, no packet of
    /// theirs is valid any more, so their replay windows are not needed.
    fn forget_idle(&mut self, now_ms: u64) {
        for _ in 0..self.idle.len() {
            let Some(index) = self.idle.pop_front() else { return };
            let Some(flow) = self.entry_mut(index).and_then(|entry| entry.flow.as_mut()) else { continue };
            let silent_ms = flow.last().map_or(u64::MAX, |slot| now_ms.saturating_sub(slot.end_ms()));
            if flow.is_active {
                // It queues again when it falls silent again.
                flow.is_queued = false;
            } else if silent_ms > SESSION_MS {
                flow.is_queued = false;
                flow.lanes = PerDirection::default();
            } else {
                self.idle.push_front(index);
                return;
            }
        }
    }

    /// What metering did so far.
    #[must_use]
    pub const fn stats(&self) -> &MeterStats {
        &self.stats
    }

    /// Records held in open and committed slots, of the limit given.
    #[must_use]
    pub fn records_held(&self) -> usize {
        self.budget.used()
    }

    fn entry_mut(&mut self, index: u32) -> Option<&mut Entry> {
        self.entries.get_mut(index as usize)
    }

    fn flow_mut(&mut self, handle: FlowHandle) -> Option<&mut Flow> {
        let entry = self.entry_mut(handle.index).filter(|entry| entry.generation == handle.generation)?;
        entry.flow.as_mut()
    }

    /// Closes what is due (or all) of one flow; whether the flow still has open slots.
    fn close_flow(&mut self, index: u32, now_ms: u64, all: bool) -> bool {
        let Some(entry) = self.entry_mut(index) else { return false };
        let handle = FlowHandle { index, generation: entry.generation };
        let Some(flow) = entry.flow.as_mut() else { return false };
        let mut due = Vec::new();
        let mut is_open = false;
        for direction in Direction::BOTH {
            if let Some(lane) = flow.lanes.get_mut(direction) {
                due.extend(lane.close(now_ms, all).map(|slot| (direction, slot)));
                is_open |= lane.open().next().is_some();
            }
        }
        flow.is_active = is_open;
        let falls_silent = !is_open && !flow.is_queued;
        flow.is_queued |= falls_silent;
        if falls_silent {
            self.idle.push_back(index);
        }
        for (direction, slot) in due {
            self.retire(handle, direction, slot);
        }
        is_open
    }

    fn retire(&mut self, handle: FlowHandle, direction: Direction, open: OpenSlot) {
        let Some(flow) = self.flow_mut(handle) else { return };
        let (hop, name) = (flow.hop, flow.name(open.slot.epoch()));
        let OpenSlot { slot, pkts, bytes, dups, records, overflowed, .. } = open;
        // Slots that nobody fetches are few flows' worth of memory at most.
        let fits = self.closed.len() < self.limits.flows.saturating_mul(CLOSED_PER_FLOW);
        let Some(flow) = name.filter(|_| !overflowed && fits) else {
            self.stats.unclaimed_slots += 1;
            return;
        };
        self.closed.push(ClosedSlot { flow, handle, direction, hop, slot, pkts, bytes, dups, records });
    }
}
