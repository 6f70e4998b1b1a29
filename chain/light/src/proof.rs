//! State proofs: the answers of `eth_getProof` (EIP-1186) checked against a believed state root.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::proof::verify_proof;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles, TrieAccount};

/// Most nodes of one proof: a key has 64 nibbles, so no path is longer than 65 nodes.
pub const MAX_PROOF_NODES: usize = 65;
/// Longest node: a branch of 17 items of at most 33 bytes is 532; a leaf of an account is shorter.
const MAX_NODE_BYTES: usize = 1_024;

/// What a server says of an account. An account that does not exist is all zero, with the empty code hash and storage root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountClaim {
    /// Nonce.
    pub nonce: u64,
    /// Balance in base units.
    pub balance: U256,
    /// Root of its storage trie.
    pub storage_root: B256,
    /// keccak256 of its code.
    pub code_hash: B256,
}

impl AccountClaim {
    /// The claim "there is no such account".
    #[must_use]
    pub const fn absent() -> Self {
        Self { nonce: 0, balance: U256::ZERO, storage_root: EMPTY_ROOT_HASH, code_hash: KECCAK_EMPTY }
    }
}

/// Why a claim is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// More nodes, or longer ones, than any trie of this chain has.
    #[error("the proof is larger than any real one")]
    TooLarge,
    /// The nodes do not prove the claim under this root.
    #[error("the proof does not lead from the root to the claim")]
    Wrong,
}

/// Verifies what a server says of `account` under `state_root`. `proof`: trie nodes from the root down.
///
/// # Errors
/// See [`ProofError`]. Safe on any input.
pub fn verify_account(
    state_root: B256,
    account: &Address,
    claim: &AccountClaim,
    proof: &[Bytes],
) -> Result<(), ProofError> {
    let value = (*claim != AccountClaim::absent()).then(|| {
        let leaf = TrieAccount {
            nonce: claim.nonce,
            balance: claim.balance,
            storage_root: claim.storage_root,
            code_hash: claim.code_hash,
        };
        alloy_rlp::encode(leaf)
    });
    verify(state_root, keccak256(account), value, proof)
}

/// Verifies that storage slot `slot` under `storage_root` holds `value` (0: the slot is absent).
///
/// # Errors
/// See [`ProofError`]. Safe on any input.
pub fn verify_storage(storage_root: B256, slot: &B256, value: U256, proof: &[Bytes]) -> Result<(), ProofError> {
    let value = (!value.is_zero()).then(|| {
        let mut bytes = Vec::with_capacity(33);
        value.encode(&mut bytes);
        bytes
    });
    verify(storage_root, keccak256(slot), value, proof)
}

fn verify(root: B256, key: B256, value: Option<Vec<u8>>, proof: &[Bytes]) -> Result<(), ProofError> {
    if proof.len() > MAX_PROOF_NODES || proof.iter().any(|node| node.len() > MAX_NODE_BYTES) {
        return Err(ProofError::TooLarge);
    }
    verify_proof(root, Nibbles::unpack(key), value, proof).map_err(|_| ProofError::Wrong)
}
