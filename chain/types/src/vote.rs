//! What a witness signs.
//!
//! The consensus core's votes carry no chain id: a vote for the side chain would count on the main chain, and one for a test
//! network on the real one. Every signing text therefore begins with a domain, the chain id and the genesis hash
//! (design, "Trap 2").

use alloy_primitives::B256;

/// Identity of one chain instance, part of everything that is signed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainDomain {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of the genesis header.
    pub genesis: B256,
}

/// The two voting steps of Tendermint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VoteKind {
    /// First step.
    Prevote,
    /// Second step; certificates consist of these.
    Precommit,
}

const VOTE_DOMAIN: &[u8] = b"NFC/VOTE/v1";
const PROPOSAL_DOMAIN: &[u8] = b"NFC/PROPOSAL/v1";

fn begin(domain: &[u8], chain: &ChainDomain, height: u64, round: u32) -> Vec<u8> {
    // 11..15 domain + 8 + 32 + 8 + 4 + 1 + 1 + 32 + 5: one allocation.
    let mut bytes = Vec::with_capacity(112);
    bytes.extend_from_slice(domain);
    bytes.extend_from_slice(&chain.chain_id.to_be_bytes());
    bytes.extend_from_slice(chain.genesis.as_slice());
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&round.to_be_bytes());
    bytes
}

/// Text of a vote: `"NFC/VOTE/v1" | chain_id u64 BE | genesis 32 | height u64 BE | round u32 BE | kind u8 | 0x00` for nil, or
/// `... | 0x01 | block hash 32`. `kind` is 0 for a prevote, 1 for a precommit.
#[must_use]
pub fn vote_signing_bytes(
    chain: &ChainDomain,
    kind: VoteKind,
    height: u64,
    round: u32,
    block: Option<&B256>,
) -> Vec<u8> {
    let mut bytes = begin(VOTE_DOMAIN, chain, height, round);
    bytes.push(match kind {
        VoteKind::Prevote => 0,
        VoteKind::Precommit => 1,
    });
    match block {
        None => bytes.push(0),
        Some(hash) => {
            bytes.push(1);
            bytes.extend_from_slice(hash.as_slice());
        }
    }
    bytes
}

/// Text of a proposal: `"NFC/PROPOSAL/v1" | chain_id | genesis | height | round | pol_round i64 BE (-1: none) | block hash`.
#[must_use]
pub fn proposal_signing_bytes(
    chain: &ChainDomain,
    height: u64,
    round: u32,
    pol_round: Option<u32>,
    block: &B256,
) -> Vec<u8> {
    let mut bytes = begin(PROPOSAL_DOMAIN, chain, height, round);
    bytes.extend_from_slice(&pol_round.map_or(-1, i64::from).to_be_bytes());
    bytes.extend_from_slice(block.as_slice());
    bytes
}
