//! Merkle trees in the shape of RFC 6962: leaves are `SHA-256(0x00 | data)`, nodes `SHA-256(0x01 | left | right)`, the
//! left subtree of `n` leaves holds the largest power of two below `n`, and the empty tree is the leaf of no data.

use crate::hash::{Hash, plain};
use crate::params::MAX_PATH;

/// Hash of one leaf's data.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    plain(&[&[0], data])
}

/// Hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    plain(&[&[1], left, right])
}

/// Root of `leaves`, which are leaf hashes already.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    let mut builder = RootBuilder::default();
    for leaf in leaves {
        builder.push(*leaf);
    }
    builder.finish()
}

/// Builds a root leaf by leaf with one hash per level in memory, so a slot of a million packets needs no second buffer.
#[derive(Clone, Debug, Default)]
pub struct RootBuilder {
    /// Roots of full subtrees, largest first; subtree `i` covers the `i`-th set bit of `count`, from the top.
    peaks: Vec<Hash>,
    count: u64,
}

impl RootBuilder {
    /// Adds the next leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        let mut merged = self.count;
        // A trailing one in the count is a full subtree of the same size waiting for its right sibling.
        while merged & 1 == 1 {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
            merged >>= 1;
        }
        self.peaks.push(node);
        self.count += 1;
    }

    /// Number of leaves so far.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// Whether no leaf was added.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The root over all leaves added.
    #[must_use]
    pub fn finish(mut self) -> Hash {
        let Some(mut node) = self.peaks.pop() else { return leaf_hash(&[]) };
        while let Some(left) = self.peaks.pop() {
            node = node_hash(&left, &node);
        }
        node
    }
}

/// A whole tree in memory, for several paths out of one set of leaves: two hashes' work per leaf, once.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Leaves first, root last. A last node without a sibling moves up unchanged, which gives the shape of RFC 6962.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree over `leaves`.
    #[must_use]
    pub fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(last) = levels.last().filter(|level| level.len() > 1) {
            let next = last.chunks(2).map(|pair| match pair {
                [left, right] => node_hash(left, right),
                [alone, ..] => *alone,
                [] => leaf_hash(&[]),
            });
            let next = next.collect();
            levels.push(next);
        }
        Self { levels }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_else(|| leaf_hash(&[]))
    }

    /// Inclusion path of leaf `index`, from the leaf upwards; `None` when there is no such leaf.
    #[must_use]
    pub fn path(&self, index: usize) -> Option<Vec<Hash>> {
        self.levels.first()?.get(index)?;
        let siblings = self.levels.iter().enumerate().filter_map(|(i, level)| level.get((index >> i) ^ 1));
        Some(siblings.copied().collect())
    }
}

/// Leaves of the left subtree of a tree with `n >= 2` leaves.
const fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// Number of hashes in the path of leaf `index` in a tree of `n` leaves; `None` when there is no such leaf.
#[must_use]
pub fn path_len(index: u64, n: u64) -> Option<usize> {
    Some(descend(index, n)?.len())
}

/// Inclusion path of leaf `index`, from the leaf upwards; `None` when there is no such leaf.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    let mut rest = leaves;
    let mut at = index;
    if at >= rest.len() {
        return None;
    }
    let mut up = Vec::new();
    while rest.len() > 1 {
        let (left, right) = rest.split_at(usize::try_from(split(rest.len() as u64)).ok()?);
        if at < left.len() {
            up.push(root(right));
            rest = left;
        } else {
            up.push(root(left));
            at -= left.len();
            rest = right;
        }
    }
    up.reverse();
    Some(up)
}

/// The turns from the root of a tree of `n` leaves down to leaf `index`: `true` is left.
fn descend(index: u64, n: u64) -> Option<Vec<bool>> {
    let (mut at, mut n) = (index, n);
    if at >= n {
        return None;
    }
    let mut turns = Vec::with_capacity(MAX_PATH);
    while n > 1 {
        let left = split(n);
        turns.push(at < left);
        if at < left {
            n = left;
        } else {
            at -= left;
            n -= left;
        }
    }
    Some(turns)
}

/// Whether `leaf` is leaf `index` of the tree of `n` leaves with `root`; a path with a hash too many or too few is none.
#[must_use]
pub fn verify(leaf: &Hash, index: u64, n: u64, path: &[Hash], root: &Hash) -> bool {
    let Some(turns) = descend(index, n) else { return false };
    if turns.len() != path.len() {
        return false;
    }
    let node = turns.iter().rev().zip(path).fold(*leaf, |node, (is_left, sibling)| {
        if *is_left { node_hash(&node, sibling) } else { node_hash(sibling, &node) }
    });
    node == *root
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn leaves(n: u8) -> Vec<Hash> {
        (0..n).map(|i| leaf_hash(&[i])).collect()
    }

    #[test]
    fn seven_leaves_have_the_shape_of_rfc_6962() {
        let l = leaves(7);
        let left = node_hash(&node_hash(&l[0], &l[1]), &node_hash(&l[2], &l[3]));
        assert_eq!(root(&l), node_hash(&left, &node_hash(&node_hash(&l[4], &l[5]), &l[6])));
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_a_path_and_only_it() {
        for n in 1..40u8 {
            let l = leaves(n);
            let r = root(&l);
            let tree = Tree::new(l.clone());
            assert_eq!(tree.root(), r);
            for i in 0..usize::from(n) {
                let p = path(&l, i).unwrap();
                assert_eq!(tree.path(i), Some(p.clone()));
                let (leaf, i, n) = (l[i], i as u64, u64::from(n));
                assert_eq!(path_len(i, n), Some(p.len()));
                assert!(verify(&leaf, i, n, &p, &r));
                assert!(!verify(&leaf_hash(b"other"), i, n, &p, &r));
                assert!(!verify(&leaf, i + 1, n, &p, &r));
                let mut long = p.clone();
                long.push([0; 32]);
                assert!(!verify(&leaf, i, n, &long, &r));
                assert!(p.is_empty() || !verify(&leaf, i, n, &p[1..], &r));
            }
        }
    }

    #[test]
    fn a_leaf_outside_the_tree_has_no_path() {
        assert_eq!(path(&leaves(3), 3), None);
        assert_eq!(path(&[], 0), None);
        assert_eq!(Tree::new(leaves(3)).path(3), None);
        assert_eq!((Tree::new(Vec::new()).root(), Tree::new(Vec::new()).path(0)), (root(&[]), None));
        assert!(!verify(&[0; 32], u64::MAX, u64::MAX, &[], &[0; 32]));
        assert_eq!(path_len(u64::MAX - 1, u64::MAX).map(|n| n <= 64), Some(true));
    }
}
