//! Checking a proof and finding what it proves.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::nodes::RlpNode;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use super::codec::decode_node;
use super::{Child, Kind};
use crate::StateError;

const WRONG: StateError = StateError::Corrupt("the proof does not lead from the root to the key");

/// Follows a proof from `root` along `key`. Returns the value, or none when the proof shows that there is none. Every node
/// given must be on the way.
///
/// # Errors
/// The nodes prove neither. Safe on any input.
pub fn walk_proof(root: B256, key: &Nibbles, nodes: &[Bytes]) -> Result<Option<Vec<u8>>, StateError> {
    let mut nodes = nodes.iter();
    if root == EMPTY_ROOT_HASH {
        return if nodes.next().is_none() { Ok(None) } else { Err(WRONG) };
    }
    let mut child = Child::Ref(RlpNode::word_rlp(&root));
    let mut depth = 0;
    let found = loop {
        let node = match &child {
            Child::Ref(reference) => match reference.as_hash() {
                Some(hash) => {
                    let rlp = nodes.next().filter(|rlp| keccak256(rlp) == hash).ok_or(WRONG)?;
                    decode_node(rlp)?
                }
                None => decode_node(reference)?,
            },
            Child::Empty | Child::Node(_) => break None,
        };
        let rest = key.slice(depth..);
        child = match node {
            Kind::Leaf { suffix, value } => break (suffix == rest).then_some(value),
            Kind::Extension { suffix, child } => {
                if suffix.is_empty() {
                    return Err(WRONG);
                }
                if !rest.starts_with(&suffix) {
                    break None;
                }
                depth += suffix.len();
                child
            }
            Kind::Branch { mut children, value } => {
                let Some(below) = rest.get(0).and_then(|nibble| children.get_mut(usize::from(nibble))) else {
                    break value;
                };
                depth += 1;
                std::mem::take(below)
            }
        };
    };
    // Nodes beyond the end prove nothing: they would be a second encoding of one proof.
    if nodes.next().is_none() { Ok(found) } else { Err(WRONG) }
}
