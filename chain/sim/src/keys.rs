//! Keys of the simulated witnesses.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use alloy_primitives::{B256, keccak256};
use ed25519_dalek::SigningKey;
use netchain_consensus::Keys;
use netchain_consensus::keys::verify_strict;

/// Verdicts on signatures, shared by the nodes of a world.
pub(crate) type Cache = Rc<RefCell<BTreeMap<B256, bool>>>;

/// Real signatures; what one node verified is not computed again for the next twenty.
pub(crate) struct SimKeys {
    pub(crate) key: SigningKey,
    pub(crate) cache: Cache,
}

impl Keys for SimKeys {
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        Keys::sign(&self.key, bytes)
    }

    fn verify(&self, key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> bool {
        let id = keccak256([key.as_slice(), signature.as_slice(), bytes].concat());
        *self.cache.borrow_mut().entry(id).or_insert_with(|| verify_strict(key, bytes, signature))
    }
}
