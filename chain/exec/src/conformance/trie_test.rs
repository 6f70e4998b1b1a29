//! TrieTests: keys and values in, root out.

use std::collections::BTreeMap;

use alloy_primitives::{B256, hex, keccak256};
use netchain_state::trie::{Trie, TrieSource};
use netchain_state::{EMPTY_ROOT_HASH, Nibbles, StateError};
use serde_json::Value;

/// Longest key the path of a trie here can hold.
const MAX_KEY_BYTES: usize = 32;

#[derive(Default)]
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

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map_err(|error| error.to_string()),
        None => Ok(text.as_bytes().to_vec()),
    }
}

type Change = (Vec<u8>, Option<Vec<u8>>);

fn changes(input: &Value) -> Result<Vec<Change>, String> {
    let value = |value: &Value| value.as_str().map(bytes).transpose();
    match input {
        Value::Array(pairs) => pairs
            .iter()
            .map(|pair| {
                let key = pair.get(0).and_then(Value::as_str).ok_or("a pair has no key")?;
                Ok((bytes(key)?, value(pair.get(1).unwrap_or(&Value::Null))?))
            })
            .collect(),
        Value::Object(map) => map.iter().map(|(key, item)| Ok((bytes(key)?, value(item)?))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err("`in` is no list".into()),
    }
}

/// One change at a time, each written and read back: the hardest way to the root.
pub(super) fn run(case: &Value, secure: bool) -> Result<(), String> {
    let expected: B256 =
        case.get("root").and_then(Value::as_str).and_then(|root| root.parse().ok()).ok_or("no root")?;
    let mut maps = Maps::default();
    let mut root = EMPTY_ROOT_HASH;
    for (key, value) in changes(case.get("in").unwrap_or(&Value::Null))? {
        let key = if secure { keccak256(key).to_vec() } else { key };
        if key.len() > MAX_KEY_BYTES {
            return Err(format!("a key has more than {MAX_KEY_BYTES} bytes"));
        }
        let key = Nibbles::unpack(key);
        let mut trie = Trie::open(&maps, root);
        match &value {
            Some(value) => trie.insert(key, value.clone()),
            None => trie.remove(&key),
        }
        .map_err(|error| error.to_string())?;
        let (new_root, updates) = trie.commit();
        root = new_root;
        match value {
            Some(value) => maps.values.insert(key, value),
            None => maps.values.remove(&key),
        };
        for (path, node) in updates {
            match node {
                Some(node) => maps.nodes.insert(path, node),
                None => maps.nodes.remove(&path),
            };
        }
    }
    if root == expected { Ok(()) } else { Err(format!("root {root}, expected {expected}")) }
}
