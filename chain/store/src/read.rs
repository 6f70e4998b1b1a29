//! Reading blocks.

use alloy_primitives::{B256, Bytes};
use netchain_types::{Header, WitnessSet};

use crate::block::BlockBytes;
use crate::kv::{Batch, Table};
use crate::{META_BASE, Store, StoreError, u64_of};

impl Store {
    /// First height whose block is here: 0, or that of the snapshot this store was imported from.
    ///
    /// # Errors
    /// See [`StoreError`], here and below.
    pub fn base(&self) -> Result<u64, StoreError> {
        self.kv().get(Table::Meta, META_BASE)?.map_or(Ok(0), |bytes| u64_of(&bytes))
    }

    /// Header of a height.
    ///
    /// # Errors
    /// As above.
    pub fn header(&self, height: u64) -> Result<Option<Header>, StoreError> {
        let bytes = self.kv().get(Table::Headers, &height.to_be_bytes())?;
        let decode = |bytes: Vec<u8>| {
            alloy_rlp::decode_exact(&bytes).map_err(|_| StoreError::Corrupt("a stored header is not readable"))
        };
        bytes.map(decode).transpose()
    }

    /// Height of a block hash.
    ///
    /// # Errors
    /// As above.
    pub fn height_of(&self, hash: &B256) -> Result<Option<u64>, StoreError> {
        self.kv().get(Table::Hashes, hash.as_slice())?.map(|bytes| u64_of(&bytes)).transpose()
    }

    /// Hash of the block at a height.
    ///
    /// # Errors
    /// As above.
    pub fn hash_at(&self, height: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.kv().get(Table::Headers, &height.to_be_bytes())?.map(alloy_primitives::keccak256))
    }

    /// Block of a height.
    ///
    /// # Errors
    /// As above.
    pub fn block(&self, height: u64) -> Result<Option<BlockBytes>, StoreError> {
        let bytes = self.kv().get(Table::Blocks, &height.to_be_bytes())?;
        bytes.map(|bytes| BlockBytes::new(bytes.into())).transpose()
    }

    /// Receipts of a height, EIP-2718 bytes, one a transaction.
    ///
    /// # Errors
    /// As above.
    pub fn receipts(&self, height: u64) -> Result<Option<Vec<Bytes>>, StoreError> {
        let bytes = self.kv().get(Table::Receipts, &height.to_be_bytes())?;
        let decode = |bytes: Vec<u8>| {
            alloy_rlp::decode_exact(&bytes).map_err(|_| StoreError::Corrupt("stored receipts are not readable"))
        };
        bytes.map(decode).transpose()
    }

    /// Certificate of a block as this node got it. Others may hold another one for the same block.
    ///
    /// # Errors
    /// As above.
    pub fn certificate(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        Ok(self.kv().get(Table::Certificates, &height.to_be_bytes())?.map(Bytes::from))
    }

    /// Where a transaction is: height and index.
    ///
    /// # Errors
    /// As above.
    pub fn transaction(&self, hash: &B256) -> Result<Option<(u64, u32)>, StoreError> {
        let Some(bytes) = self.kv().get(Table::Transactions, hash.as_slice())? else { return Ok(None) };
        let bad = StoreError::Corrupt("a place of a transaction is not readable");
        let (height, index) = bytes.split_at_checked(8).ok_or(bad.clone())?;
        let index = index.try_into().map(u32::from_be_bytes).map_err(|_| bad)?;
        Ok(Some((u64_of(height)?, index)))
    }

    /// A witness set by its hash, when this node ever saw it in office.
    ///
    /// # Errors
    /// As above.
    pub fn witness_set(&self, hash: &B256) -> Result<Option<WitnessSet>, StoreError> {
        let bytes = self.kv().get(Table::WitnessSets, hash.as_slice())?;
        let decode = |bytes: Vec<u8>| {
            WitnessSet::decode(&bytes).map_err(|_| StoreError::Corrupt("a stored witness set is not readable"))
        };
        bytes.map(decode).transpose()
    }

    /// Keeps a witness set for ever, at most 2.3 KB a change of it. Not synced: the state names it once more at the next start.
    ///
    /// # Errors
    /// As above.
    pub fn keep_witness_set(&self, set: &WitnessSet) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Table::WitnessSets, set.hash().to_vec(), set.encode());
        self.kv().write(batch, false)
    }

    /// Changes of the witness set after a height, the oldest first, at most so many, as they were kept.
    ///
    /// # Errors
    /// As above.
    pub fn set_changes(&self, after: u64, most: usize) -> Result<Vec<Bytes>, StoreError> {
        let from = after.saturating_add(1).to_be_bytes();
        let changes = self.kv().scan(Table::SetChanges, &from, 0, most)?;
        Ok(changes.into_iter().map(|(_, change)| change.into()).collect())
    }

    /// Keeps what proves that a block changed the witness set. Not synced, as the set.
    ///
    /// # Errors
    /// As above.
    pub fn keep_set_change(&self, height: u64, change: &[u8]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.put(Table::SetChanges, height.to_be_bytes(), change.to_vec());
        self.kv().write(batch, false)
    }

    /// What the node noted with a block; kept as long as undo records are.
    ///
    /// # Errors
    /// As above.
    pub fn notes(&self, height: u64) -> Result<Option<Bytes>, StoreError> {
        Ok(self.kv().get(Table::Notes, &height.to_be_bytes())?.map(Bytes::from))
    }
}
