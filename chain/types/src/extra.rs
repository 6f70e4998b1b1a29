//! `extraData` of a header: what consensus adds to an Ethereum block.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// Longest `extraData`: 6 + 9 + 6 + 98 + 3 * 33 bytes of items and a list head, rounded up. Longer is refused unread.
pub const MAX_EXTRA_BYTES: usize = 256;
/// Length of a compressed BLS12-381 G2 signature, the reveal.
pub const REVEAL_BYTES: usize = 96;

/// RLP list `[round, shuffle_round, slot, reveal, last_commit_hash, validators_hash, next_validators_hash]`.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct ConsensusExtra {
    /// Round in which the block was *proposed*. State may use this one only, never the round of a local certificate: the same
    /// block can be certified in different rounds on different nodes (design, "Trap 1").
    pub round: u32,
    /// Number of the shuffle round, from 0.
    pub shuffle_round: u64,
    /// Place in the order of the shuffle round where this height begins.
    pub slot: u32,
    /// BLS signature of the proposer over the height: unique, so it cannot be ground. Empty in the genesis header.
    pub reveal: Bytes,
    /// `keccak256(rlp(certificate))` of the certificate of the block before, carried in this block.
    pub last_commit_hash: B256,
    /// Hash of the set that votes on this block.
    pub validators_hash: B256,
    /// Hash of the set that votes on the next block.
    pub next_validators_hash: B256,
}
