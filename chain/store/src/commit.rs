//! Writing: genesis, blocks, rolling back.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use alloy_primitives::B256;
use alloy_rlp::Encodable;
use netchain_state::{EMPTY_ROOT_HASH, StateChanges, StateUpdate, apply, revert};
use netchain_types::Header;

use crate::block::{BlockBytes, NewBlock};
use crate::kv::{Batch, Table};
use crate::tables::{KvTables, write_update};
use crate::undo::{collect_before, drop_undo, undo_keys, write_undo};
use crate::{FORMAT, META_BASE, META_FORMAT, META_OLDEST, META_TIP, Store, StoreError, StoreTip, encode_tip};

impl Store {
    /// Works out what changes do to the state after the tip: the new root and the writes. Nothing is written; the result
    /// can be committed as long as the tip is the same.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn prepare(&self, changes: &StateChanges) -> Result<StateUpdate, StoreError> {
        let root = self.tip().map_or(EMPTY_ROOT_HASH, |tip| tip.root);
        Ok(apply(&KvTables(self.kv()), root, changes)?)
    }

    /// Writes the genesis into an empty store. The header's state root must be that of `changes`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn init(&self, header: &Header, changes: &StateChanges, notes: &[u8]) -> Result<StoreTip, StoreError> {
        let _one = self.0.committing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tip().is_some() || !self.kv().scan(Table::Accounts, &[], 0, 1)?.is_empty() {
            return Err(StoreError::NotEmpty);
        }
        let update = self.prepare(changes)?;
        if update.root != header.state_root || header.number != 0 {
            return Err(StoreError::Block("the genesis header names another state root"));
        }
        let block = BlockBytes::bare(header);
        let genesis =
            NewBlock { block, receipts: Vec::new(), certificate: Vec::new().into(), notes: notes.to_vec().into() };
        let mut batch = Batch::default();
        batch.put(Table::Meta, META_FORMAT, FORMAT.to_be_bytes());
        batch.put(Table::Meta, META_BASE, 0u64.to_be_bytes());
        self.write_block(batch, &genesis, &update, 0)
    }

    /// Commits the block after the tip with what [`prepare`](Self::prepare) gave for its changes: one atomic batch, on the
    /// disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Block`] when it does not follow the tip or names another state root; then nothing was written.
    pub fn commit(&self, new: &NewBlock, update: &StateUpdate) -> Result<StoreTip, StoreError> {
        let _one = self.0.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let tip = self.tip().ok_or(StoreError::Empty)?;
        let header = &new.block.header;
        if header.number != tip.height + 1 || header.parent_hash != tip.hash {
            return Err(StoreError::Block("it does not follow the tip"));
        }
        if update.parent_root != tip.root || update.root != header.state_root {
            return Err(StoreError::Block("its state root is not that of its changes"));
        }
        let mut batch = Batch::default();
        write_undo(update, header.number, &mut batch);
        let mut oldest = self.oldest_state();
        if let Some(keep) = self.0.options.undo_blocks {
            while oldest < header.number.saturating_sub(keep) {
                oldest += 1;
                drop_undo(self.kv(), oldest, &mut batch)?;
                batch.delete(Table::Notes, (oldest - 1).to_be_bytes());
            }
        }
        self.write_block(batch, new, update, oldest)
    }

    fn write_block(
        &self,
        mut batch: Batch,
        new: &NewBlock,
        update: &StateUpdate,
        oldest: u64,
    ) -> Result<StoreTip, StoreError> {
        let header = &new.block.header;
        let height = header.number.to_be_bytes();
        let hashes = new.transaction_hashes()?;
        if hashes.len() != new.receipts.len() {
            return Err(StoreError::Block("it has not one receipt a transaction"));
        }
        write_update(update, &mut batch);
        batch.put(Table::Headers, height, alloy_rlp::encode(header));
        batch.put(Table::Blocks, height, new.block.bytes.to_vec());
        let mut receipts = Vec::new();
        new.receipts.encode(&mut receipts);
        batch.put(Table::Receipts, height, receipts);
        batch.put(Table::Certificates, height, new.certificate.to_vec());
        batch.put(Table::Hashes, new.block.hash.to_vec(), height);
        batch.put(Table::Notes, height, new.notes.to_vec());
        for (index, hash) in (0u32..).zip(&hashes) {
            batch.put(Table::Transactions, hash.to_vec(), [&height[..], &index.to_be_bytes()].concat());
        }
        let tip = StoreTip { height: header.number, hash: new.block.hash, root: update.root };
        self.publish(batch, tip, oldest)
    }

    /// Writes a batch that moves the tip.
    pub(crate) fn publish(&self, mut batch: Batch, tip: StoreTip, oldest: u64) -> Result<StoreTip, StoreError> {
        batch.put(Table::Meta, META_TIP, encode_tip(&tip));
        batch.put(Table::Meta, META_OLDEST, oldest.to_be_bytes());
        let _readers_out = self.0.gate.write().unwrap_or_else(PoisonError::into_inner);
        // Before the batch: a reader that finds an undo record gone then sees that its height is gone too.
        let previous = self.0.oldest.fetch_max(oldest, Ordering::AcqRel);
        if let Err(error) = self.kv().write(batch, self.0.options.durable) {
            self.0.oldest.store(previous, Ordering::Release);
            return Err(error);
        }
        *self.0.tip.write().unwrap_or_else(PoisonError::into_inner) = Some(tip);
        Ok(tip)
    }

    /// Takes back the last block. For repair: a block that is final is never taken back by the protocol.
    ///
    /// # Errors
    /// The undo records are gone, or there is only the genesis.
    pub fn rollback(&self) -> Result<StoreTip, StoreError> {
        let _one = self.0.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let tip = self.tip().ok_or(StoreError::Empty)?;
        let gone = StoreError::Block("its undo records are not kept any more");
        let keys = undo_keys(self.kv(), tip.height)?.filter(|_| tip.height > self.oldest_state()).ok_or(gone)?;
        let before = collect_before(self.kv(), tip.height, tip.height, None)?;
        let tables = KvTables(self.kv());
        let update = revert(&tables, tip.root, keys.parent_root, &before.records, &before.slots)?;
        let block = self.block(tip.height)?.ok_or(StoreError::Corrupt("the last block is missing"))?;
        let mut batch = Batch::default();
        write_update(&update, &mut batch);
        drop_undo(self.kv(), tip.height, &mut batch)?;
        let height = tip.height.to_be_bytes();
        let of_height =
            [Table::Headers, Table::Blocks, Table::Receipts, Table::Certificates, Table::Notes, Table::SetChanges];
        for table in of_height {
            batch.delete(table, height);
        }
        batch.delete(Table::Hashes, tip.hash.to_vec());
        for transaction in block.transactions()? {
            batch.delete(Table::Transactions, alloy_primitives::keccak256(transaction).to_vec());
        }
        let tip = StoreTip { height: tip.height - 1, hash: block.header.parent_hash, root: keys.parent_root };
        let oldest = self.oldest_state();
        self.publish(batch, tip, oldest)
    }

    /// State root after a committed block.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn root_at(&self, height: u64) -> Result<Option<B256>, StoreError> {
        Ok(self.header(height)?.map(|header| header.state_root))
    }
}
