//! The record of one packet, and the root over a slot's records.

use crate::hash::Hash;
use crate::merkle::{RootBuilder, leaf_hash};
use crate::params::LEAF_RECORDS;

/// What a hop keeps of one packet: 48 bits of its digest and the 16-bit length of its ciphertext, header and tag not
/// counted. `digest << 16 | length`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Record(pub u64);

impl Record {
    /// The record of a packet with this AEAD tag (or digest) and ciphertext length in bytes.
    #[must_use]
    pub const fn new(digest: [u8; 6], length: u16) -> Self {
        let [a, b, c, d, e, f] = digest;
        let [low, high] = length.to_le_bytes();
        Self(u64::from_le_bytes([low, high, a, b, c, d, e, f]))
    }

    /// Ciphertext length in bytes.
    #[must_use]
    pub const fn length(self) -> u16 {
        let [low, high, ..] = self.0.to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}

/// Hash of the leaf over up to 16 records.
pub(crate) fn record_leaf(records: &[Record]) -> Hash {
    let mut data = [0u8; LEAF_RECORDS * 8];
    let mut used = 0;
    for (slot, record) in data.chunks_exact_mut(8).zip(records) {
        slot.copy_from_slice(&record.0.to_le_bytes());
        used += 8;
    }
    leaf_hash(data.get(..used).unwrap_or(&data))
}

/// Root over records in arrival order, 16 to a leaf.
#[must_use]
pub fn record_root(records: &[Record]) -> Hash {
    let mut builder = RootBuilder::default();
    for leaf in records.chunks(LEAF_RECORDS) {
        builder.push(record_leaf(leaf));
    }
    builder.finish()
}
