//! The trie against published roots and against a reference that rebuilds everything.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, keccak256};
use netchain_state::trie::{NodeUpdates, Trie, TrieSource, walk_proof};
use netchain_state::{EMPTY_ROOT_HASH, Nibbles, StateError};
use proptest::prelude::*;

/// Nodes and values in maps, as a store keeps them.
#[derive(Clone, Debug, Default)]
struct Maps {
    nodes: BTreeMap<Nibbles, Vec<u8>>,
    values: BTreeMap<Nibbles, Vec<u8>>,
}

impl TrieSource for &Maps {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.nodes.get(path).cloned())
    }
    fn leaf(&self, prefix: &Nibbles) -> Result<Option<(Nibbles, Vec<u8>)>, StateError> {
        Ok(self.values.range(*prefix..).next().map(|(key, value)| (*key, value.clone())))
    }
}

impl Maps {
    fn write(&mut self, updates: NodeUpdates) {
        for (path, node) in updates {
            match node {
                Some(node) => self.nodes.insert(path, node),
                None => self.nodes.remove(&path),
            };
        }
    }

    /// Applies changes in one step, as a block does.
    fn step(&mut self, root: B256, changes: &BTreeMap<Nibbles, Option<Vec<u8>>>) -> B256 {
        let (root, updates) = {
            let mut trie = Trie::open(&*self, root);
            for (key, value) in changes {
                match value {
                    Some(value) => trie.insert(*key, value.clone()).unwrap(),
                    None => trie.remove(key).unwrap(),
                }
            }
            trie.commit()
        };
        for (key, value) in changes {
            match value {
                Some(value) => self.values.insert(*key, value.clone()),
                None => self.values.remove(key),
            };
        }
        self.write(updates);
        root
    }
}

/// The Yellow Paper's definition, read aloud: c(J, i), n(J, i).
fn reference(values: &BTreeMap<Nibbles, Vec<u8>>) -> B256 {
    if values.is_empty() {
        return keccak256([0x80]);
    }
    let items: Vec<(Vec<u8>, Vec<u8>)> = values.iter().map(|(key, value)| (key.to_vec(), value.clone())).collect();
    keccak256(reference_node(&items, 0))
}

fn reference_node(items: &[(Vec<u8>, Vec<u8>)], depth: usize) -> Vec<u8> {
    if let [(key, value)] = items {
        return rlp_list(&[rlp_string(&hex_prefix(&key[depth..], true)), rlp_string(value)]);
    }
    let first = &items[0].0;
    let common = (depth..)
        .take_while(|i| items.iter().all(|(key, _)| key.get(*i).is_some_and(|n| Some(n) == first.get(*i))))
        .count();
    if common > 0 {
        let below = reference_node(items, depth + common);
        return rlp_list(&[rlp_string(&hex_prefix(&first[depth..depth + common], false)), reference_ref(below)]);
    }
    let mut parts = Vec::new();
    for nibble in 0..16 {
        let below: Vec<_> = items.iter().filter(|(key, _)| key.get(depth) == Some(&nibble)).cloned().collect();
        parts.push(if below.is_empty() { vec![0x80] } else { reference_ref(reference_node(&below, depth + 1)) });
    }
    parts.push(items.iter().find(|(key, _)| key.len() == depth).map_or(vec![0x80], |(_, value)| rlp_string(value)));
    rlp_list(&parts)
}

fn reference_ref(node: Vec<u8>) -> Vec<u8> {
    if node.len() < 32 { node } else { rlp_string(keccak256(node).as_slice()) }
}

fn hex_prefix(nibbles: &[u8], leaf: bool) -> Vec<u8> {
    let flag = if leaf { 2 } else { 0 };
    let mut all = if nibbles.len() % 2 == 1 { vec![flag + 1] } else { vec![flag, 0] };
    all.extend_from_slice(nibbles);
    all.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn rlp_string(bytes: &[u8]) -> Vec<u8> {
    alloy_rlp::encode(bytes)
}

fn rlp_list(items: &[Vec<u8>]) -> Vec<u8> {
    let payload = items.concat();
    let mut out = Vec::new();
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend(payload);
    out
}

fn key(text: &str) -> Nibbles {
    Nibbles::unpack(text.strip_prefix("0x").map_or_else(|| text.as_bytes().to_vec(), |hex| hex::decode(hex).unwrap()))
}

#[test]
fn published_roots_of_ethereum_are_computed() {
    assert_eq!(Maps::default().step(EMPTY_ROOT_HASH, &BTreeMap::new()), EMPTY_ROOT_HASH);
    // ethereum/tests, TrieTests/trieanyorder.json; "puppy" is also the example of Ethereum's documentation.
    let long = "a".repeat(50);
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("A", &long)], "d23786fb4a010da3ce639d66d5e904a11dbc02746d1ce25029e53290cabf28ab"),
        (
            &[("doe", "reindeer"), ("dog", "puppy"), ("dogglesworth", "cat")],
            "8aad789dff2f538bca5d8ea56e8abe10f4c7ba3a5dea95fea4cd6e7c3a1168d3",
        ),
        (
            &[("do", "verb"), ("horse", "stallion"), ("doge", "coin"), ("dog", "puppy")],
            "5991bb8c6514148a29db676a14ac506cd2cd5775ace63c30a4fe457715e9ac84",
        ),
        (&[("foo", "bar"), ("food", "bass")], "17beaa1648bafa633cda809c90c04af50fc8aed3cb40d16efbddee6fdf63c4c3"),
        (
            &[("be", "e"), ("dog", "puppy"), ("bed", "d")],
            "3f67c7a47520f79faa29255d2d3c084a7a6df0453116ed7232ff10277a8be68b",
        ),
        (&[("test", "test"), ("te", "testy")], "8452568af70d8d140f58d941338542f645fcca50094b20f3c3d8c3df49337928"),
        (
            &[("0x0045", "0x0123456789"), ("0x4500", "0x9876543210")],
            "285505fcabe84badc8aa310e2aae17eddc7d120aabec8a476902c8184b3a3503",
        ),
    ];
    for (items, root) in cases {
        let value = |text: &str| {
            text.strip_prefix("0x").map_or_else(|| text.as_bytes().to_vec(), |hex| hex::decode(hex).unwrap())
        };
        let values: BTreeMap<Nibbles, Option<Vec<u8>>> = items.iter().map(|(k, v)| (key(k), Some(value(v)))).collect();
        assert_eq!(hex::encode(Maps::default().step(EMPTY_ROOT_HASH, &values)), root, "{items:?}");
    }
}

type Steps = Vec<BTreeMap<Nibbles, Option<Vec<u8>>>>;

/// Keys of any length up to four bytes over a small alphabet: every shape of split and collapse comes up often.
fn steps(fixed: bool) -> impl Strategy<Value = Steps> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(0x10), Just(0x11), Just(0xff), any::<u8>()];
    let length = if fixed { 3..4usize } else { 0..5 };
    let key = prop::collection::vec(byte, length).prop_map(Nibbles::unpack);
    let value = prop::option::weighted(0.6, prop::collection::vec(1u8.., 1..40));
    prop::collection::vec(prop::collection::btree_map(key, value, 0..12), 1..10)
}

fn check(steps: Steps) -> Result<(), TestCaseError> {
    let mut maps = Maps::default();
    let mut root = EMPTY_ROOT_HASH;
    for step in &steps {
        root = maps.step(root, step);
        prop_assert_eq!(root, reference(&maps.values));
        // Exactly the nodes of this trie are stored: what was replaced is gone.
        let (leaves, nodes) = Trie::open(&maps, root).count().unwrap();
        prop_assert_eq!(leaves, maps.values.len() as u64);
        prop_assert_eq!(nodes, maps.nodes.len() as u64);
    }
    // Present and absent keys are proven, and another value is not.
    let keys: Vec<Nibbles> = steps.iter().flat_map(|step| step.keys().copied()).chain([key("zz")]).collect();
    for key in keys {
        let proof: Vec<Bytes> = Trie::open(&maps, root).prove(&key).unwrap().into_iter().map(Bytes::from).collect();
        prop_assert_eq!(walk_proof(root, &key, &proof).unwrap(), maps.values.get(&key).cloned());
        if let Some((last, rest)) = proof.split_last() {
            prop_assert!(walk_proof(root, &key, rest).is_err());
            let mut bad = last.to_vec();
            bad[0] ^= 1;
            let mut proof = proof.clone();
            *proof.last_mut().unwrap() = bad.into();
            prop_assert!(walk_proof(root, &key, &proof).is_err());
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_changes_give_the_root_of_a_trie_built_afresh(steps in steps(true)) {
        check(steps)?;
    }

    #[test]
    fn keys_that_begin_with_other_keys_give_the_root_of_a_trie_built_afresh(steps in steps(false)) {
        check(steps)?;
    }

    #[test]
    fn no_bytes_make_a_proof_walk_panic(nodes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..4)) {
        let root = keccak256(&nodes[0]);
        let nodes: Vec<Bytes> = nodes.into_iter().map(Bytes::from).collect();
        let _ = walk_proof(root, &Nibbles::unpack([0x12; 32]), &nodes);
    }
}

#[test]
fn a_damaged_node_or_value_is_an_error_and_never_another_root() {
    let mut maps = Maps::default();
    let values: BTreeMap<Nibbles, Option<Vec<u8>>> =
        (0u32..200).map(|i| (Nibbles::unpack(keccak256(i.to_be_bytes())), Some(vec![1; 40]))).collect();
    let root = maps.step(EMPTY_ROOT_HASH, &values);
    let change = |maps: &Maps| {
        let mut trie = Trie::open(maps, root);
        values.keys().find_map(|key| trie.insert(*key, vec![2; 40]).err())
    };
    assert_eq!(change(&maps), None);
    for path in maps.nodes.keys().copied().collect::<Vec<_>>() {
        let mut bad = maps.clone();
        *bad.nodes.get_mut(&path).unwrap().last_mut().unwrap() ^= 1;
        assert!(matches!(change(&bad), Some(StateError::Corrupt(_))), "{path:?}");
    }
    for key in maps.values.keys().copied().take(20).collect::<Vec<_>>() {
        let mut bad = maps.clone();
        bad.values.remove(&key);
        assert!(matches!(change(&bad), Some(StateError::Corrupt(_))), "{key:?}");
    }
}
