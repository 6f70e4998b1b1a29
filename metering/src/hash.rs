//! The hash and the keyed hash of the protocol, and the two keys sampling derives from a beacon.

use std::hash::Hasher as _;

use sha2::{Digest as _, Sha256};
use siphasher::sip::SipHasher24;

use crate::ids::{Direction, FlowId, Slot};

/// A SHA-256 value.
pub type Hash = [u8; 32];

/// `H(tag, parts..)`: SHA-256 of the tag's length (one byte), the tag and the parts. All parts of one tag have lengths
/// fixed by the message, so plain concatenation is unambiguous.
#[must_use]
pub fn tagged(tag: &'static str, parts: &[&[u8]]) -> Hash {
    // Tags are literals of this crate; a longer one could not be written by accident and is cut identically everywhere.
    let length = u8::try_from(tag.len()).unwrap_or(u8::MAX);
    let mut hasher = Sha256::new();
    hasher.update([length]);
    hasher.update(tag.as_bytes());
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// SHA-256 over `parts` without a tag (Merkle nodes carry their own prefix).
pub(crate) fn plain(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// A SipHash-2-4 key that did not exist before the slot was committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SampleKey([u8; 16]);

impl SampleKey {
    /// The key made of `bytes` (for tests and for keys handed over by an auditor).
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of the key.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// `K_slot`: from the beacon of the first final block at least 16 s after the end of `slot` on chain `chain_id`.
    #[must_use]
    pub fn of_slot(chain_id: u64, slot: Slot, beacon: &Hash) -> Self {
        Self(first16(&tagged("povf/slot-key", &[&chain_id.to_le_bytes(), &slot.0.to_le_bytes(), beacon])))
    }

    /// `K_flow`: selects the records of one flow and direction; `self` is the slot's key.
    #[must_use]
    pub fn of_flow(self, flow: FlowId, direction: Direction) -> Self {
        Self(first16(&tagged("povf/flow-key", &[&self.0, &flow.0, &[direction.to_byte()]])))
    }

    /// The key that chooses which sampled records are opened; `self` is the flow's key.
    #[must_use]
    pub fn of_openings(self) -> Self {
        Self(first16(&tagged("povf/open-key", &[&self.0])))
    }

    /// SipHash-2-4 of `message`.
    #[must_use]
    pub fn mac(self, message: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(message);
        hasher.finish()
    }
}

/// First 16 bytes of a hash: what the protocol uses where collisions cost an attacker its own flow.
pub(crate) fn first16(hash: &Hash) -> [u8; 16] {
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(hash) {
        *to = *from;
    }
    out
}
