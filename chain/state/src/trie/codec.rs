//! RLP of trie nodes.

use alloy_rlp::{BufMut, EMPTY_STRING_CODE, Header};
use alloy_trie::Nibbles;
use alloy_trie::nodes::{RlpNode, encode_path_leaf};

use super::{Child, Kind};
use crate::StateError;

const BAD: StateError = StateError::Corrupt("a stored trie node is not the RLP of one");

/// RLP of a node; children must be sealed (references, or nodes with one).
pub(crate) fn encode_node(kind: &Kind) -> Vec<u8> {
    let mut payload = Vec::with_capacity(532);
    match kind {
        Kind::Leaf { suffix, value } => {
            put_string(&encode_path_leaf(suffix, true), &mut payload);
            put_string(value, &mut payload);
        }
        Kind::Extension { suffix, child } => {
            put_string(&encode_path_leaf(suffix, false), &mut payload);
            put_child(child, &mut payload);
        }
        Kind::Branch { children, value } => {
            children.iter().for_each(|child| put_child(child, &mut payload));
            match value {
                Some(value) => put_string(value, &mut payload),
                None => payload.put_u8(EMPTY_STRING_CODE),
            }
        }
    }
    let mut out = Vec::with_capacity(payload.len() + 3);
    Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend_from_slice(&payload);
    out
}

fn put_string(bytes: &[u8], out: &mut Vec<u8>) {
    alloy_rlp::Encodable::encode(bytes, out);
}

fn put_child(child: &Child, out: &mut Vec<u8>) {
    match child {
        Child::Empty => out.put_u8(EMPTY_STRING_CODE),
        Child::Ref(reference) => out.put_slice(reference),
        Child::Node(node) => match &node.clean {
            Some(reference) => out.put_slice(reference),
            // Not sealed: an empty child would be a wrong root, the whole node is the same bytes as far as it is short.
            None => out.put_slice(&RlpNode::from_rlp(&encode_node(&node.kind))),
        },
    }
}

/// Reads a node whose hash was checked. Safe on any input all the same.
pub(crate) fn decode_node(rlp: &[u8]) -> Result<Kind, StateError> {
    let mut rest = rlp;
    let payload = Header::decode_bytes(&mut rest, true).map_err(|_| BAD)?;
    if !rest.is_empty() {
        return Err(BAD);
    }
    // Two items or seventeen: a third one tells.
    let mut items: Vec<&[u8]> = Vec::with_capacity(17);
    let mut left = payload;
    while !left.is_empty() {
        if items.len() == 17 {
            return Err(BAD);
        }
        items.push(take_item(&mut left)?);
    }
    match items.as_slice() {
        [path, item] => decode_short(path, item),
        items if items.len() == 17 => decode_branch(items),
        _ => Err(BAD),
    }
}

/// The next item with its head.
fn take_item<'a>(left: &mut &'a [u8]) -> Result<&'a [u8], StateError> {
    let mut after = *left;
    let header = Header::decode(&mut after).map_err(|_| BAD)?;
    let head = left.len() - after.len();
    let (item, rest) = left.split_at_checked(head + header.payload_length).ok_or(BAD)?;
    *left = rest;
    Ok(item)
}

fn string(item: &[u8]) -> Result<&[u8], StateError> {
    let mut rest = item;
    Header::decode_bytes(&mut rest, false).map_err(|_| BAD)
}

fn decode_short(path: &[u8], item: &[u8]) -> Result<Kind, StateError> {
    let path = string(path)?;
    let (first, rest) = path.split_first().ok_or(BAD)?;
    if rest.len() > 32 || first >> 6 != 0 {
        return Err(BAD);
    }
    let mut suffix = Nibbles::new();
    if first & 0x10 != 0 {
        suffix.push(first & 0x0f);
    } else if first & 0x0f != 0 {
        return Err(BAD);
    }
    for byte in rest {
        // 64 nibbles is all a key has.
        if suffix.len() + 2 > 64 {
            return Err(BAD);
        }
        suffix.push(byte >> 4);
        suffix.push(byte & 0x0f);
    }
    if first & 0x20 != 0 {
        return Ok(Kind::Leaf { suffix, value: string(item)?.to_vec() });
    }
    match decode_child(item)? {
        Child::Empty => Err(BAD),
        child @ (Child::Ref(_) | Child::Node(_)) => Ok(Kind::Extension { suffix, child }),
    }
}

fn decode_branch(items: &[&[u8]]) -> Result<Kind, StateError> {
    let mut children: [Child; 16] = Default::default();
    for (child, item) in children.iter_mut().zip(items) {
        *child = decode_child(item)?;
    }
    let value = string(items.last().ok_or(BAD)?)?;
    Ok(Kind::Branch { children, value: (!value.is_empty()).then(|| value.to_vec()) })
}

fn decode_child(item: &[u8]) -> Result<Child, StateError> {
    match item.first() {
        Some(&EMPTY_STRING_CODE) if item.len() == 1 => Ok(Child::Empty),
        // A hash, or a node of less than 32 bytes.
        Some(first) if (*first == 0xa0 && item.len() == 33) || (*first >= 0xc0 && item.len() < 32) => {
            RlpNode::from_raw(item).map(Child::Ref).ok_or(BAD)
        }
        _ => Err(BAD),
    }
}
