//! Ethereum state without a database: what execution reads, what a block changes, and the root that follows.
//!
//! [`State`] is what an executor reads at one height. [`StateChanges`] is what a block did. [`apply`] turns changes into a
//! [`StateUpdate`]: the new root and every record and trie node to write, found in work proportional to the changes. Where
//! the records are kept is behind [`Tables`]; [`MemoryTables`] is the twin in memory, the other one is `netchain-store`.
//!
//! Keys are hashed (`keccak(address)`, `keccak(slot)`) as in the tries, so records and leaves have one order, and a leaf is
//! never stored twice: the node store holds branches and extensions only.

mod apply;
mod changes;
mod memory;
mod proof;
mod record;
mod revert;
mod tables;
pub mod trie;
mod verify;

use alloy_primitives::{Address, B256, Bytes, U256};

pub use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles};
pub use apply::{StateUpdate, apply, extend_accounts, extend_slots};
pub use changes::{AccountChange, StateChanges};
pub use memory::{MemoryState, MemoryTables};
pub use proof::{AccountProof, StorageProof, prove, prove_over};
pub use record::{Account, AccountRecord, decode_slot, encode_slot};
pub use revert::revert;
pub use tables::{Tables, TablesState};
pub use verify::{Verified, verify_tables};

/// Why state cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The tables contradict each other: a node or record is missing or has another hash.
    #[error("the state database is damaged: {0}; try: netchaind verify-db")]
    Corrupt(&'static str),
    /// The height is older than the undo records reach.
    #[error("state of height {height} is not kept any more, the oldest is {oldest}; a node with --archive has it")]
    Pruned {
        /// Height asked for.
        height: u64,
        /// Oldest height that can be read.
        oldest: u64,
    },
    /// The height is above the tip.
    #[error("height {height} does not exist yet, the tip is {tip}")]
    Future {
        /// Height asked for.
        height: u64,
        /// Last committed height.
        tip: u64,
    },
    /// The disk or the database failed.
    #[error("the state database failed: {0}")]
    Database(String),
}

/// The state at one height, as execution reads it.
pub trait State: Send + Sync {
    /// The account, none when it does not exist.
    ///
    /// # Errors
    /// See [`StateError`].
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError>;

    /// Value of a storage slot, 0 when absent.
    ///
    /// # Errors
    /// See [`StateError`].
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError>;

    /// Code by its keccak256; an unknown hash is an error, the hash of no code is empty code.
    ///
    /// # Errors
    /// See [`StateError`].
    fn code(&self, hash: &B256) -> Result<Bytes, StateError>;

    /// Hash of a block for the `BLOCKHASH` instruction, zero when unknown.
    ///
    /// # Errors
    /// See [`StateError`].
    fn block_hash(&self, number: u64) -> Result<B256, StateError>;
}

impl<S: State + ?Sized> State for &S {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        (**self).account(address)
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        (**self).storage(address, slot)
    }
    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        (**self).code(hash)
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        (**self).block_hash(number)
    }
}

impl<S: State + ?Sized> State for std::sync::Arc<S> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        (**self).account(address)
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        (**self).storage(address, slot)
    }
    fn code(&self, hash: &B256) -> Result<Bytes, StateError> {
        (**self).code(hash)
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        (**self).block_hash(number)
    }
}
