//! Retroactive, keyed, consistent sampling: which flow-slots are audited and which records are shown. The keys come from
//! a beacon that did not exist when the slot was committed.

use crate::hash::SampleKey;
use crate::ids::{Direction, FlowId};
use crate::params::{AUDIT_BYTES, MAX_EXTRA_LEVELS, SAMPLE_EXP};
use crate::wire::{Record, WireError};

/// Sampling level `r`: a record is sampled with probability 2^-r. Samples of a level are a subset of those below it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Level(u8);

impl Level {
    /// The finest level of a 64-bit packet count.
    pub const MAX: Self = Self(57);

    /// The level for a sender's packet count: 64 to 127 expected samples, all records below 128.
    #[must_use]
    pub fn of(sender_pkts: u64) -> Self {
        let octave = sender_pkts.checked_ilog2().unwrap_or(0);
        // ilog2 of a u64 is at most 63, so the level is at most 57.
        Self(u8::try_from(octave.saturating_sub(SAMPLE_EXP)).unwrap_or(Self::MAX.0))
    }

    /// The level an audit of a slot uses, for the sender's packets and bytes: [`Level::of`], finer by one for each
    /// doubling above 128 MiB, as the lottery draws a slot only once however much it carried.
    #[must_use]
    pub fn of_slot(sender_pkts: u64, sender_bytes: u64) -> Self {
        let ratio = sender_bytes.div_ceil(AUDIT_BYTES).max(1);
        let doublings = u8::try_from(ratio.next_power_of_two().ilog2()).unwrap_or(MAX_EXTRA_LEVELS);
        Self::of(sender_pkts).finer(doublings.min(MAX_EXTRA_LEVELS))
    }

    /// The level of a wire byte.
    ///
    /// # Errors
    /// [`WireError::Field`] above [`Level::MAX`].
    pub const fn from_byte(byte: u8) -> Result<Self, WireError> {
        if byte <= Self::MAX.0 { Ok(Self(byte)) } else { Err(WireError::Field("level")) }
    }

    /// The level `by` below this one, which shows more.
    #[must_use]
    pub const fn finer(self, by: u8) -> Self {
        Self(self.0.saturating_sub(by))
    }

    /// The level `by` above this one, which shows less.
    #[must_use]
    pub fn coarser(self, by: u8) -> Self {
        Self(self.0.saturating_add(by)).min(Self::MAX)
    }

    /// The levels from this one to `last`.
    pub(crate) fn to(self, last: Self) -> impl Iterator<Item = Self> {
        (self.0..=last.0).map(Self)
    }

    /// The exponent.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether `record` is sampled at this level under the flow's key.
    #[must_use]
    pub fn selects(self, flow_key: SampleKey, record: Record) -> bool {
        self.0 == 0 || flow_key.mac(&record.0.to_le_bytes()) >> (64 - u32::from(self.0)) == 0
    }

    /// The sampled records, sorted.
    #[must_use]
    pub fn sample(self, flow_key: SampleKey, records: impl IntoIterator<Item = Record>) -> Vec<Record> {
        let mut out: Vec<Record> = records.into_iter().filter(|record| self.selects(flow_key, *record)).collect();
        out.sort_unstable();
        out
    }
}

/// The number the lottery draws for a flow and direction in the slot of `slot_key`.
#[must_use]
pub fn lottery(slot_key: SampleKey, flow: FlowId, direction: Direction) -> u64 {
    let mut message = [0; 17];
    for (to, from) in message.iter_mut().zip(flow.0.iter().chain([&direction.to_byte()])) {
        *to = *from;
    }
    slot_key.mac(&message)
}

/// Whether the flow is audited in this slot and direction, the sender having counted `sender_bytes`: on average once per
/// 128 MiB carried, so big claims are audited almost always and audits cost a constant share of the traffic.
#[must_use]
pub fn is_audited(slot_key: SampleKey, flow: FlowId, direction: Direction, sender_bytes: u64) -> bool {
    let threshold = (u128::from(sender_bytes) << 64) / u128::from(AUDIT_BYTES);
    u128::from(lottery(slot_key, flow, direction)) < threshold
}

/// Whether a hop that counted `own_bytes` keeps its records for an audit: it does not know the sender's count, so it
/// keeps them when twice its own would be drawn.
#[must_use]
pub fn may_be_audited(slot_key: SampleKey, flow: FlowId, direction: Direction, own_bytes: u64) -> bool {
    is_audited(slot_key, flow, direction, own_bytes.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_coarser_sample_is_part_of_every_finer_one(key: [u8; 16], record: u64, level in 0u8..57) {
            let key = SampleKey::from_bytes(key);
            if Level(level + 1).selects(key, Record(record)) {
                prop_assert!(Level(level).selects(key, Record(record)));
            }
        }

        #[test]
        fn more_bytes_never_escape_an_audit_fewer_would_have_met(key: [u8; 16], flow: [u8; 16], a: u64, b: u64) {
            let (key, flow) = (SampleKey::from_bytes(key), FlowId(flow));
            if is_audited(key, flow, Direction::Up, a.min(b)) {
                prop_assert!(is_audited(key, flow, Direction::Up, a.max(b)));
            }
        }
    }

    #[test]
    fn a_big_slot_shows_as_many_samples_per_byte_as_a_small_one() {
        let level = |pkts, mib: u64| Level::of_slot(pkts, mib << 20).get();
        assert_eq!((level(1 << 20, 128), level(1 << 20, 129), level(1 << 20, 1_024)), (14, 13, 11));
        assert_eq!((level(1 << 20, 1 << 40), Level::of_slot(u64::MAX, u64::MAX).get()), (10, 53));
    }

    #[test]
    fn extreme_counts_have_a_level_and_are_always_drawn() {
        assert_eq!(Level::of(u64::MAX), Level::MAX);
        assert!(is_audited(SampleKey::from_bytes([9; 16]), FlowId([1; 16]), Direction::Down, u64::MAX));
        assert!(Level::from_byte(58).is_err());
    }
}
