//! The client's state as bytes, for the disk of a router.

use alloy_primitives::B256;
use alloy_rlp::{RlpDecodable, RlpEncodable};
use netchain_types::{ChainDomain, MAX_SET_BYTES, WitnessSet};

use crate::{LightClient, Trusted};

/// Longest state: the set and 170 bytes. The budget of the design is 3 KB per believed header.
pub const MAX_STATE_BYTES: usize = MAX_SET_BYTES + 256;
const _: () = assert!(MAX_STATE_BYTES <= 3_072, "the budget of the design");
const VERSION: u8 = 1;

/// The bytes are no state of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a saved light client state of version {VERSION}; start again from a checkpoint")]
pub struct StateError;

#[derive(RlpEncodable, RlpDecodable)]
struct Saved {
    version: u8,
    chain_id: u64,
    genesis: B256,
    hash: B256,
    number: u64,
    timestamp: u64,
    state_root: B256,
    next_hash: B256,
    set: alloy_primitives::Bytes,
}

impl LightClient {
    /// State to be kept across restarts.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let trusted = self.trusted();
        alloy_rlp::encode(Saved {
            version: VERSION,
            chain_id: self.chain().chain_id,
            genesis: self.chain().genesis,
            hash: trusted.hash,
            number: trusted.number,
            timestamp: trusted.timestamp,
            state_root: trusted.state_root,
            next_hash: trusted.next_hash,
            set: trusted.set.as_ref().map(WitnessSet::encode).unwrap_or_default().into(),
        })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. The bytes are believed: keep them where only this program writes.
    ///
    /// # Errors
    /// Not such a state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        if bytes.len() > MAX_STATE_BYTES {
            return Err(StateError);
        }
        let saved: Saved = alloy_rlp::decode_exact(bytes).map_err(|_| StateError)?;
        if saved.version != VERSION {
            return Err(StateError);
        }
        let set = match saved.set.as_ref() {
            [] => None,
            bytes => Some(WitnessSet::decode(bytes).map_err(|_| StateError)?),
        };
        if set.as_ref().is_some_and(|set| set.hash() != saved.next_hash) {
            return Err(StateError);
        }
        Ok(Self {
            chain: ChainDomain { chain_id: saved.chain_id, genesis: saved.genesis },
            trusted: Trusted {
                hash: saved.hash,
                number: saved.number,
                timestamp: saved.timestamp,
                state_root: saved.state_root,
                set,
                next_hash: saved.next_hash,
            },
        })
    }
}
