//! Ethereum's Merkle Patricia trie (Yellow Paper, appendix D), changed in memory and read from a store as far as needed.
//!
//! A [`Trie`] starts as the reference of its root. Inserting and removing load the nodes on the way; [`Trie::commit`] hashes
//! what changed and says which stored nodes are new, changed or gone. Branches and extensions are stored by their path,
//! leaves are not: the table of values is their store ([`TrieSource::leaf`]). Every node that is loaded is hashed against
//! the reference that led to it, so damage on disk is an error and never a wrong root.

mod codec;
mod edit;
mod seal;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{B256, keccak256};
use alloy_trie::nodes::RlpNode;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use crate::StateError;
use codec::decode_node;
pub use walk::walk_proof;

/// What a trie reads.
pub trait TrieSource {
    /// RLP of the branch or extension stored at a path.
    ///
    /// # Errors
    /// The store failed.
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError>;

    /// The first value whose key starts with `prefix`, with its whole key.
    ///
    /// # Errors
    /// The store failed.
    fn leaf(&self, prefix: &Nibbles) -> Result<Option<(Nibbles, Vec<u8>)>, StateError>;
}

/// Nodes to write (`Some`) and to remove (`None`), by path.
pub type NodeUpdates = BTreeMap<Nibbles, Option<Vec<u8>>>;

/// What hangs below a node.
#[derive(Debug, Default)]
pub(crate) enum Child {
    #[default]
    Empty,
    /// Not loaded: the node's hash, or the node itself when its RLP is shorter than 32 bytes.
    Ref(RlpNode),
    Node(Box<Node>),
}

#[derive(Debug)]
pub(crate) struct Node {
    kind: Kind,
    /// The reference to this node, while nothing below it has changed.
    clean: Option<RlpNode>,
}

// A node is boxed where it hangs; boxing the children once more would cost an allocation for every branch loaded.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(crate) enum Kind {
    Leaf {
        suffix: Nibbles,
        value: Vec<u8>,
    },
    Extension {
        suffix: Nibbles,
        child: Child,
    },
    /// The value is of the key that ends here; keys of one length, as in state, never do.
    Branch {
        children: [Child; 16],
        value: Option<Vec<u8>>,
    },
}

/// A trie being read or changed.
#[derive(Debug)]
pub struct Trie<S> {
    source: S,
    root: Child,
    /// Paths of stored nodes that were loaded.
    loaded: BTreeSet<Nibbles>,
}

impl<S: TrieSource> Trie<S> {
    /// The trie whose root the caller knows; nothing is read yet.
    pub fn open(source: S, root: B256) -> Self {
        let root = if root == EMPTY_ROOT_HASH { Child::Empty } else { Child::Ref(RlpNode::word_rlp(&root)) };
        Self { source, root, loaded: BTreeSet::new() }
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// The store failed or is damaged. The trie is unusable afterwards.
    pub fn insert(&mut self, key: Nibbles, value: Vec<u8>) -> Result<(), StateError> {
        let mut root = std::mem::take(&mut self.root);
        self.insert_at(&mut root, 0, &key, value)?;
        self.root = root;
        Ok(())
    }

    /// Removes a key; one that is absent changes nothing.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn remove(&mut self, key: &Nibbles) -> Result<(), StateError> {
        let mut root = std::mem::take(&mut self.root);
        self.remove_at(&mut root, 0, key)?;
        self.root = root;
        Ok(())
    }

    /// Makes the child a loaded node. `path` is where it stands.
    pub(crate) fn resolve(&mut self, child: &mut Child, path: &Nibbles) -> Result<(), StateError> {
        if let Child::Ref(reference) = child {
            let node = self.load(reference, path)?;
            *child = Child::Node(Box::new(Node { kind: node, clean: Some(reference.clone()) }));
        }
        Ok(())
    }

    fn load(&mut self, reference: &RlpNode, path: &Nibbles) -> Result<Kind, StateError> {
        let Some(hash) = reference.as_hash() else {
            return decode_node(reference);
        };
        if let Some(rlp) = self.source.node(path)? {
            if keccak256(&rlp) != hash {
                return Err(StateError::Corrupt("a trie node has another hash than its parent says"));
            }
            self.loaded.insert(*path);
            return decode_node(&rlp);
        }
        let missing = StateError::Corrupt("a trie node or the value of a leaf is missing");
        let (key, value) = self.source.leaf(path)?.filter(|(key, _)| key.starts_with(path)).ok_or(missing)?;
        let leaf = Kind::Leaf { suffix: key.slice(path.len()..), value };
        if keccak256(codec::encode_node(&leaf)) != hash {
            return Err(StateError::Corrupt("a value has another hash than the trie says"));
        }
        Ok(leaf)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn get(&mut self, key: &Nibbles) -> Result<Option<Vec<u8>>, StateError> {
        let mut root = std::mem::take(&mut self.root);
        let found = self.walk(&mut root, key, &mut |_| ());
        self.root = root;
        found
    }

    /// Proof of a key, present or absent: RLP of the nodes from the root to where its path ends. Call after
    /// [`commit`](Self::commit), or on an unchanged trie.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn prove(&mut self, key: &Nibbles) -> Result<Vec<Vec<u8>>, StateError> {
        let mut proof = Vec::new();
        let mut root = std::mem::take(&mut self.root);
        let walked = self.walk(&mut root, key, &mut |node| {
            let rlp = codec::encode_node(&node.kind);
            // A short node is inside its parent already; the root stands alone whatever its length.
            if proof.is_empty() || rlp.len() >= 32 {
                proof.push(rlp);
            }
        });
        self.root = root;
        walked.map(|_| proof)
    }

    /// Goes down from `child` along `key`, showing each node.
    fn walk(
        &mut self,
        mut child: &mut Child,
        key: &Nibbles,
        seen: &mut dyn FnMut(&Node),
    ) -> Result<Option<Vec<u8>>, StateError> {
        let mut depth = 0;
        loop {
            self.resolve(child, &key.slice(..depth))?;
            let Child::Node(node) = child else { return Ok(None) };
            seen(node);
            let rest = key.slice(depth..);
            match &mut node.kind {
                Kind::Leaf { suffix, value } => return Ok((*suffix == rest).then(|| value.clone())),
                Kind::Extension { suffix, child: below } => {
                    if !rest.starts_with(suffix) {
                        return Ok(None);
                    }
                    depth += suffix.len();
                    child = below;
                }
                Kind::Branch { children, value } => {
                    let Some(nibble) = rest.get(0) else { return Ok(value.clone()) };
                    let Some(below) = children.get_mut(usize::from(nibble)) else { return Ok(None) };
                    depth += 1;
                    child = below;
                }
            }
        }
    }

    /// Reads the whole trie without keeping it. Returns the numbers of leaves and of stored nodes.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn count(mut self) -> Result<(u64, u64), StateError> {
        let mut counts = (0, 0);
        let root = std::mem::take(&mut self.root);
        self.count_below(root, Nibbles::new(), &mut counts)?;
        Ok(counts)
    }

    fn count_below(&mut self, mut child: Child, path: Nibbles, counts: &mut (u64, u64)) -> Result<(), StateError> {
        self.resolve(&mut child, &path)?;
        // What was loaded is only needed to tell what a commit removes.
        self.loaded.clear();
        let Child::Node(node) = child else { return Ok(()) };
        let stored = path.is_empty() || node.clean.as_ref().is_some_and(RlpNode::is_hash);
        match node.kind {
            Kind::Leaf { .. } => counts.0 += 1,
            Kind::Extension { suffix, child } => {
                counts.1 += u64::from(stored);
                self.count_below(child, path.join(&suffix), counts)?;
            }
            Kind::Branch { children, value } => {
                counts.0 += u64::from(value.is_some());
                counts.1 += u64::from(stored);
                for (nibble, child) in (0u8..).zip(children).filter(|(_, child)| !matches!(child, Child::Empty)) {
                    let mut below = path;
                    below.push(nibble);
                    self.count_below(child, below, counts)?;
                }
            }
        }
        Ok(())
    }
}
