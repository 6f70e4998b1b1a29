//! Names of the things that are metered: parties, flows, directions, slots and epochs.

use crate::params::{EPOCH_SECONDS, SLOT_GRACE_MS, SLOT_SECONDS, SLOTS_PER_EPOCH};

/// Ed25519 public key of a node or of a payment channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartyKey(pub [u8; 32]);

/// Name of a flow in one epoch; it rotates so that epochs cannot be linked without the flow secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowId(pub [u8; 16]);

/// Direction of a flow, seen from the initiator.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// From the initiator to the provider.
    Up,
    /// From the provider to the initiator.
    Down,
}

impl Direction {
    /// Both, in wire order.
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    /// Byte on the wire and in hashes: 0 up, 1 down.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Up => 0,
            Self::Down => 1,
        }
    }

    /// The direction of a wire byte, `None` for anything but 0 and 1.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Up),
            1 => Some(Self::Down),
            _ => None,
        }
    }
}

/// One value for each direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PerDirection<T> {
    /// Initiator to provider.
    pub up: T,
    /// Provider to initiator.
    pub down: T,
}

impl<T> PerDirection<T> {
    /// The value of `direction`.
    pub const fn get(&self, direction: Direction) -> &T {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// The value of `direction`, to change.
    pub const fn get_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

/// Number of a slot since the Unix epoch (8 s each).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(pub u32);

/// Number of an epoch since the Unix epoch (75 slots each).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Epoch(pub u32);

const SLOT_MS: u64 = SLOT_SECONDS as u64 * 1_000;

impl Slot {
    /// The slot of a wall-clock time in milliseconds; the last slot for times past the year 3058.
    #[must_use]
    pub fn at(unix_ms: u64) -> Self {
        Self(u32::try_from(unix_ms / SLOT_MS).unwrap_or(u32::MAX))
    }

    /// First millisecond of the slot.
    #[must_use]
    pub const fn start_ms(self) -> u64 {
        self.0 as u64 * SLOT_MS
    }

    /// First millisecond after the slot.
    #[must_use]
    pub const fn end_ms(self) -> u64 {
        self.start_ms() + SLOT_MS
    }

    /// The byte a sender writes into the data header.
    #[must_use]
    pub const fn lsb(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// The epoch this slot belongs to.
    #[must_use]
    pub const fn epoch(self) -> Epoch {
        Epoch(self.0 / SLOTS_PER_EPOCH)
    }

    /// Whether a packet of this slot is still (or already) counted at `unix_ms`.
    #[must_use]
    pub const fn is_open(self, unix_ms: u64) -> bool {
        unix_ms.saturating_add(SLOT_GRACE_MS) >= self.start_ms() && unix_ms <= self.end_ms() + SLOT_GRACE_MS
    }
}

/// A moment of a node's wall clock, in slots: made once for a batch of packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotClock {
    now_ms: u64,
    current: Slot,
    /// The slot before is still counted.
    last: Option<Slot>,
    /// The slot after is counted already.
    next: Option<Slot>,
}

impl SlotClock {
    /// The moment `unix_ms`.
    #[must_use]
    pub fn at(unix_ms: u64) -> Self {
        let current = Slot::at(unix_ms);
        let open = |slot: Option<u32>| slot.map(Slot).filter(|slot| slot.is_open(unix_ms));
        Self { now_ms: unix_ms, current, last: open(current.0.checked_sub(1)), next: open(current.0.checked_add(1)) }
    }

    /// The time, in milliseconds.
    #[must_use]
    pub const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What a sender writes into the slot byte of the data header.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.current.lsb()
    }

    /// The slot a header byte names now: the current slot or a neighbour whose window is open; `None` means the packet
    /// is forwarded and not counted.
    #[must_use]
    pub fn resolve(&self, tag: u8) -> Option<Slot> {
        match tag.wrapping_sub(self.current.lsb()) {
            0 => Some(self.current).filter(|slot| slot.is_open(self.now_ms)),
            1 => self.next,
            0xff => self.last,
            _ => None,
        }
    }
}

impl Epoch {
    /// The epoch of a wall-clock time in milliseconds.
    #[must_use]
    pub fn at(unix_ms: u64) -> Self {
        Slot::at(unix_ms).epoch()
    }

    /// First millisecond after the epoch.
    #[must_use]
    pub const fn end_ms(self) -> u64 {
        (self.0 as u64 + 1) * EPOCH_SECONDS as u64 * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_resolves_only_inside_the_window_of_its_slot() {
        let slot = Slot(318_150);
        for (now, want) in [
            (slot.start_ms() - 3_001, None),
            (slot.start_ms() - 3_000, Some(slot)),
            (slot.start_ms() + 4_000, Some(slot)),
            (slot.end_ms() + 3_000, Some(slot)),
            (slot.end_ms() + 3_001, None),
        ] {
            assert_eq!(SlotClock::at(now).resolve(slot.lsb()), want, "at {now}");
        }
    }

    #[test]
    fn no_time_and_no_tag_panics() {
        for now in [0, 1, u64::from(u32::MAX) * SLOT_MS, u64::MAX] {
            for lsb in 0..=255 {
                let _ = SlotClock::at(now).resolve(lsb);
            }
        }
    }

    #[test]
    fn the_reference_slot_belongs_to_the_reference_epoch() {
        assert_eq!(Slot(318_150).epoch(), Epoch(4_242));
    }
}
