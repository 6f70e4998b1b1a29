//! Counters of one flow at this hop.

use super::records::{RecordBudget, RecordLog};
use super::replay::ReplayWindow;
use crate::ids::{Direction, Epoch, FlowId, PerDirection, Slot};
use crate::wire::Record;

/// Bytes of the header of a data frame: type, slot tag, flags, receiver index, counter.
const DATA_HEADER: usize = 16;
/// Bytes of its AEAD tag.
const AEAD_TAG: usize = 16;
/// Sessions of a flow a hop tells apart in one direction: the current and the previous one of two slices.
const SESSIONS: usize = 4;
/// New sessions of a flow and direction counted in one slot. A rekey takes two minutes, so more is somebody cycling
/// through old sessions to have replays counted.
const NEW_SESSIONS_PER_SLOT: u8 = 4;

/// What metering needs of one end-to-end packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Receiver index: names the session, whose counters are its own.
    pub session: u32,
    /// Packet counter of the session.
    pub counter: u64,
    /// Low byte of the sender's slot.
    pub slot_lsb: u8,
    /// Digest and ciphertext length.
    pub record: Record,
}

impl Packet {
    /// Reads a data frame (type 0x13): header 16, ciphertext, tag 16. `None` for anything that cannot be one.
    #[must_use]
    pub fn of_frame(frame: &[u8]) -> Option<Self> {
        let (header, rest) = frame.split_first_chunk::<DATA_HEADER>()?;
        let (ciphertext, tag) = rest.split_last_chunk::<AEAD_TAG>()?;
        let [_, slot_lsb, _, _, s0, s1, s2, s3, c0, c1, c2, c3, c4, c5, c6, c7] = *header;
        let [t0, t1, t2, t3, t4, t5, ..] = *tag;
        Some(Self {
            session: u32::from_le_bytes([s0, s1, s2, s3]),
            counter: u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
            slot_lsb,
            record: Record::new([t0, t1, t2, t3, t4, t5], u16::try_from(ciphertext.len()).ok()?),
        })
    }
}

/// What became of a packet in the meter. It is forwarded in every case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Counted in its slot.
    Yes,
    /// Its counter was seen before (or is too old to tell): counted apart.
    Duplicate,
    /// Its slot is not open here now: not counted.
    Late,
    /// The slot has no claim any more: its records did not fit in memory.
    Dropped,
    /// The flow is not metered.
    Unmetered,
}

/// Counters of a slot that still takes packets.
#[derive(Debug)]
pub(super) struct OpenSlot {
    pub(super) slot: Slot,
    pub(super) pkts: u32,
    pub(super) bytes: u64,
    pub(super) dups: u32,
    pub(super) records: RecordLog,
    pub(super) overflowed: bool,
    new_sessions: u8,
}

impl OpenSlot {
    const fn new(slot: Slot, budget: RecordBudget) -> Self {
        let records = RecordLog::new(budget);
        Self { slot, pkts: 0, bytes: 0, dups: 0, records, overflowed: false, new_sessions: 0 }
    }

    fn count(&mut self, record: Record) -> Counted {
        if self.overflowed {
            return Counted::Dropped;
        }
        let pkts = self.pkts.checked_add(1);
        let (true, Some(pkts)) = (pkts.is_some() && self.records.push(record), pkts) else {
            self.overflowed = true;
            self.records.clear();
            return Counted::Dropped;
        };
        self.pkts = pkts;
        self.bytes += u64::from(record.length());
        Counted::Yes
    }
}

#[derive(Debug)]
struct Session {
    index: u32,
    /// Latest slot with a packet of it: the session silent for longest is forgotten first.
    last: Slot,
    window: ReplayWindow,
}

/// One direction of a flow, while it carries traffic. Two slots can be open at once, and they differ in parity.
#[derive(Debug)]
pub(super) struct Lane {
    /// Latest slot that saw a packet.
    last: Slot,
    even: Option<OpenSlot>,
    odd: Option<OpenSlot>,
    sessions: Sessions,
}

impl Lane {
    const fn new(slot: Slot) -> Self {
        Self { last: slot, even: None, odd: None, sessions: Sessions { current: None, others: Vec::new() } }
    }

    /// The slots open here.
    pub(super) fn open(&self) -> impl Iterator<Item = &OpenSlot> {
        self.even.iter().chain(&self.odd)
    }

    /// Takes the slots that no longer count packets at `now_ms`, or all.
    pub(super) fn close(&mut self, now_ms: u64, all: bool) -> impl Iterator<Item = OpenSlot> {
        let due = |open: &mut OpenSlot| all || !open.slot.is_open(now_ms);
        let (even, odd) = (self.even.take_if(due), self.odd.take_if(due));
        even.into_iter().chain(odd)
    }

    /// Counts a packet of `slot`; a stale slot in its place is returned for closing.
    pub(super) fn count(&mut self, slot: Slot, packet: &Packet, budget: &RecordBudget) -> (Counted, Option<OpenSlot>) {
        self.last = self.last.max(slot);
        let place = if slot.0.is_multiple_of(2) { &mut self.even } else { &mut self.odd };
        let stale = place.take_if(|open| open.slot != slot);
        let open = place.get_or_insert_with(|| OpenSlot::new(slot, budget.clone()));
        let counted = if self.sessions.admit(packet, slot, &mut open.new_sessions) {
            open.count(packet.record)
        } else {
            open.dups = open.dups.saturating_add(1);
            Counted::Duplicate
        };
        (counted, stale)
    }
}

/// The sessions of a lane: the one in use beside the counters, the others apart.
#[derive(Debug)]
struct Sessions {
    current: Option<Session>,
    others: Vec<Session>,
}

impl Sessions {
    /// Whether this is the first time the packet is seen, as far as the windows can tell.
    fn admit(&mut self, packet: &Packet, slot: Slot, new_sessions: &mut u8) -> bool {
        if self.current.as_ref().is_none_or(|current| current.index != packet.session)
            && !self.switch(packet.session, slot, new_sessions)
        {
            return false;
        }
        let Some(current) = &mut self.current else { return false };
        current.last = current.last.max(slot);
        current.window.admit(packet.counter)
    }

    /// Makes session `index` the current one; `false` when it is new and too many were new in this slot.
    #[cold]
    fn switch(&mut self, index: u32, slot: Slot, new_sessions: &mut u8) -> bool {
        let known = self.others.iter().position(|session| session.index == index);
        let next = if let Some(place) = known {
            self.others.swap_remove(place)
        } else {
            if *new_sessions >= NEW_SESSIONS_PER_SLOT {
                return false;
            }
            *new_sessions += 1;
            Session { index, last: slot, window: ReplayWindow::default() }
        };
        self.others.extend(self.current.replace(next));
        if self.others.len() >= SESSIONS
            && let Some((silent, _)) = self.others.iter().enumerate().min_by_key(|(_, session)| session.last)
        {
            self.others.swap_remove(silent);
        }
        true
    }
}

/// A flow at this hop. Lanes are boxed so that an idle flow costs little.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) hop: u8,
    /// Names in two epochs: slots of the previous epoch close after the next one has begun.
    names: [Option<(Epoch, FlowId)>; 2],
    pub(super) lanes: PerDirection<Option<Box<Lane>>>,
    /// Has an open slot.
    pub(super) is_active: bool,
    /// Waits in the table's queue of idle flows.
    pub(super) is_queued: bool,
}

impl Flow {
    pub(super) const fn new(hop: u8) -> Self {
        Self { hop, names: [None; 2], lanes: PerDirection { up: None, down: None }, is_active: false, is_queued: false }
    }

    /// Sets the flow's name in `epoch`, in the place of the older name.
    pub(super) fn set_name(&mut self, epoch: Epoch, id: FlowId) {
        let [a, b] = &mut self.names;
        let known = |name: &Option<(Epoch, FlowId)>| name.map(|(epoch, _)| epoch);
        let place = if known(a) == Some(epoch) || (known(b) != Some(epoch) && known(a) <= known(b)) { a } else { b };
        *place = Some((epoch, id));
    }

    pub(super) fn name(&self, epoch: Epoch) -> Option<FlowId> {
        self.names.iter().flatten().find(|(e, _)| *e == epoch).map(|(_, id)| *id)
    }

    /// The lane of `direction`, made when a packet of `slot` is its first.
    pub(super) fn lane(&mut self, direction: Direction, slot: Slot) -> &mut Lane {
        self.lanes.get_mut(direction).get_or_insert_with(|| Box::new(Lane::new(slot)))
    }

    /// Latest slot with a packet in either direction.
    pub(super) fn last(&self) -> Option<Slot> {
        [&self.lanes.up, &self.lanes.down].into_iter().flatten().map(|lane| lane.last).max()
    }
}
