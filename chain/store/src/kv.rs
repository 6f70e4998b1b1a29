//! Ordered tables with atomic batches: all the store needs of a database.

use crate::StoreError;

/// The tables. Keys are fixed concatenations; integers in keys are big-endian, so order is by height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Name -> value: format version, tip, root, horizon of undo.
    Meta,
    /// `keccak(address)` -> account record.
    Accounts,
    /// `keccak(address) | keccak(slot)` -> RLP of the value.
    Slots,
    /// Nibbles of the path, one a byte -> RLP of a branch or extension.
    AccountNodes,
    /// `keccak(address)` | nibbles of the path -> likewise.
    StorageNodes,
    /// Code hash -> code.
    Codes,
    /// `keccak(address) | height` -> record before that block, empty when there was none.
    AccountUndo,
    /// `keccak(address) | keccak(slot) | height` -> RLP of the value before, empty when 0.
    SlotUndo,
    /// Height -> keys of both undo tables, and what else rolling back needs.
    UndoKeys,
    /// Height -> RLP of the header.
    Headers,
    /// Height -> RLP of the block.
    Blocks,
    /// Height -> RLP list of receipts.
    Receipts,
    /// Height -> certificate of the block, as this node knows it.
    Certificates,
    /// Block hash -> height.
    Hashes,
    /// Transaction hash -> height u64 | index u32.
    Transactions,
    /// Height -> what the node keeps beside the state (senders of transactions); opaque here.
    Notes,
    /// Hash of a witness set -> its RLP, for ever: a light client may come days after the state that named it is gone.
    WitnessSets,
    /// Height of a block that changed the witness set -> what proves it, opaque here, for ever.
    SetChanges,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Meta,
        Self::Accounts,
        Self::Slots,
        Self::AccountNodes,
        Self::StorageNodes,
        Self::Codes,
        Self::AccountUndo,
        Self::SlotUndo,
        Self::UndoKeys,
        Self::Headers,
        Self::Blocks,
        Self::Receipts,
        Self::Certificates,
        Self::Hashes,
        Self::Transactions,
        Self::Notes,
        Self::WitnessSets,
        Self::SetChanges,
    ];

    /// Name on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Accounts => "accounts",
            Self::Slots => "slots",
            Self::AccountNodes => "account_nodes",
            Self::StorageNodes => "storage_nodes",
            Self::Codes => "codes",
            Self::AccountUndo => "account_undo",
            Self::SlotUndo => "slot_undo",
            Self::UndoKeys => "undo_keys",
            Self::Headers => "headers",
            Self::Blocks => "blocks",
            Self::Receipts => "receipts",
            Self::Certificates => "certificates",
            Self::Hashes => "hashes",
            Self::Transactions => "transactions",
            Self::Notes => "notes",
            Self::WitnessSets => "witness_sets",
            Self::SetChanges => "set_changes",
        }
    }

    /// Length of the key prefix that is looked for on its own, 0 for none.
    pub(crate) const fn prefix_len(self) -> usize {
        match self {
            Self::Slots | Self::AccountUndo | Self::StorageNodes => 32,
            Self::SlotUndo => 64,
            Self::Meta
            | Self::Accounts
            | Self::AccountNodes
            | Self::Codes
            | Self::UndoKeys
            | Self::Headers
            | Self::Blocks
            | Self::Receipts
            | Self::Certificates
            | Self::Hashes
            | Self::Transactions
            | Self::Notes
            | Self::WitnessSets
            | Self::SetChanges => 0,
        }
    }
}

/// One key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Writes that happen together or not at all. A later write of one key wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub(crate) writes: Vec<(Table, Vec<u8>, Option<Vec<u8>>)>,
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push((table, key.into(), Some(value.into())));
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.writes.push((table, key.into(), None));
    }

    /// Writes in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// A database of ordered tables.
pub trait Kv: Send + Sync {
    /// Value of a key.
    ///
    /// # Errors
    /// The database failed, here and below.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` entries from `from` on, ascending. `within`: only keys that begin with these bytes of `from`.
    ///
    /// # Errors
    /// As above.
    fn scan(&self, table: Table, from: &[u8], within: usize, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Performs a batch, atomically. `durable`: it is on the disk when this returns.
    ///
    /// # Errors
    /// As above; then nothing of it happened.
    fn write(&self, batch: Batch, durable: bool) -> Result<(), StoreError>;

    /// The tables as they are now, whatever is written afterwards. Reading only.
    ///
    /// # Errors
    /// This database has no such views.
    fn view(&self) -> Result<Box<dyn Kv + '_>, StoreError> {
        Err(StoreError::Database("it cannot be read while it is written".to_owned()))
    }
}

/// What a view answers to a write.
pub(crate) fn view_is_read_only() -> StoreError {
    StoreError::Database("a view is for reading".to_owned())
}
