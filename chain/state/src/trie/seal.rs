//! Hashing what changed, and what the store has to do for it.

use std::collections::BTreeSet;

use alloy_primitives::{B256, keccak256};
use alloy_trie::nodes::RlpNode;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use super::codec::encode_node;
use super::{Child, Kind, NodeUpdates, Trie, TrieSource};

impl<S: TrieSource> Trie<S> {
    /// Hashes all changes. Returns the root and the stored nodes to write and to remove.
    pub fn commit(&mut self) -> (B256, NodeUpdates) {
        let mut updates = NodeUpdates::new();
        let mut live = BTreeSet::new();
        let mut root = std::mem::take(&mut self.root);
        let hash = match &mut root {
            Child::Empty => EMPTY_ROOT_HASH,
            Child::Ref(reference) => reference.as_hash().unwrap_or(EMPTY_ROOT_HASH),
            Child::Node(_) => seal_root(&mut root, &mut updates, &mut live),
        };
        self.root = root;
        for path in std::mem::take(&mut self.loaded) {
            if !live.contains(&path) {
                updates.entry(path).or_insert(None);
            } else {
                self.loaded.insert(path);
            }
        }
        self.loaded.extend(updates.iter().filter(|(_, node)| node.is_some()).map(|(path, _)| *path));
        (hash, updates)
    }
}

/// The root is stored and named by its hash however short it is.
fn seal_root(root: &mut Child, updates: &mut NodeUpdates, live: &mut BTreeSet<Nibbles>) -> B256 {
    let reference = seal(root, Nibbles::new(), updates, live);
    if let Some(hash) = reference.as_hash() {
        return hash;
    }
    let Child::Node(node) = root else { return EMPTY_ROOT_HASH };
    let rlp = encode_node(&node.kind);
    let hash = keccak256(&rlp);
    if !matches!(node.kind, Kind::Leaf { .. }) {
        updates.insert(Nibbles::new(), Some(rlp));
    }
    node.clean = Some(RlpNode::word_rlp(&hash));
    hash
}

/// The reference of a child; nodes that changed are encoded and noted on the way.
fn seal(child: &mut Child, path: Nibbles, updates: &mut NodeUpdates, live: &mut BTreeSet<Nibbles>) -> RlpNode {
    let node = match child {
        Child::Empty => return RlpNode::from_rlp(&[alloy_rlp::EMPTY_STRING_CODE]),
        Child::Ref(reference) => return reference.clone(),
        Child::Node(node) => node,
    };
    match &mut node.kind {
        Kind::Leaf { .. } => {}
        Kind::Extension { suffix, child } => {
            seal(child, path.join(suffix), updates, live);
        }
        Kind::Branch { children, .. } => {
            for (nibble, child) in (0u8..).zip(children.iter_mut()) {
                if let Child::Node(_) = child {
                    let mut below = path;
                    below.push(nibble);
                    seal(child, below, updates, live);
                }
            }
        }
    }
    let leaf = matches!(node.kind, Kind::Leaf { .. });
    if let Some(reference) = &node.clean {
        if !leaf {
            live.insert(path);
        }
        return reference.clone();
    }
    let rlp = encode_node(&node.kind);
    let reference = RlpNode::from_rlp(&rlp);
    node.clean = Some(reference.clone());
    if !leaf && reference.is_hash() {
        live.insert(path);
        updates.insert(path, Some(rlp));
    }
    reference
}
