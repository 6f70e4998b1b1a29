//! Where records and trie nodes are kept.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{KECCAK_EMPTY, Nibbles};

use crate::record::{Account, AccountRecord};
use crate::{State, StateError};

/// The committed state in hashed tables. Every key is a keccak256; `owner` is `keccak(address)`.
pub trait Tables: Send + Sync {
    /// Record of an account.
    ///
    /// # Errors
    /// See [`StateError`], here and below.
    fn record(&self, owner: &B256) -> Result<Option<AccountRecord>, StateError>;
    /// The first record at or after `from`.
    ///
    /// # Errors
    /// As above.
    fn next_record(&self, from: &B256) -> Result<Option<(B256, AccountRecord)>, StateError>;
    /// Value of a slot, 0 when absent.
    ///
    /// # Errors
    /// As above.
    fn slot(&self, owner: &B256, slot: &B256) -> Result<U256, StateError>;
    /// The owner's first slot at or after `from`.
    ///
    /// # Errors
    /// As above.
    fn next_slot(&self, owner: &B256, from: &B256) -> Result<Option<(B256, U256)>, StateError>;
    /// RLP of a branch or extension of the account trie.
    ///
    /// # Errors
    /// As above.
    fn account_node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError>;
    /// RLP of a branch or extension of a storage trie.
    ///
    /// # Errors
    /// As above.
    fn storage_node(&self, owner: &B256, path: &Nibbles) -> Result<Option<Vec<u8>>, StateError>;
    /// Paths of all nodes of a storage trie.
    ///
    /// # Errors
    /// As above.
    fn storage_paths(&self, owner: &B256) -> Result<Vec<Nibbles>, StateError>;
    /// Code by its keccak256.
    ///
    /// # Errors
    /// As above.
    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError>;
    /// Hash of a committed block.
    ///
    /// # Errors
    /// As above.
    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError>;
}

/// [`Tables`] read as [`State`].
#[derive(Clone, Copy, Debug)]
pub struct TablesState<'a, T: ?Sized>(pub &'a T);

impl<T: Tables + ?Sized> State for TablesState<'_, T> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        Ok(self.0.record(&keccak256(address))?.map(|record| record.account))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.0.slot(&keccak256(address), &keccak256(slot.to_be_bytes::<32>()))
    }

    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        if *hash == KECCAK_EMPTY {
            return Ok(Bytes::new());
        }
        self.0.code(hash)?.ok_or(StateError::Corrupt("code of a contract is missing"))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(self.0.block_hash(number)?.unwrap_or_default())
    }
}
