//! Reading a snapshot without believing it: memory for one chunk, all roots computed here.

use alloy_primitives::{B256, Bytes, keccak256};
use netchain_state::trie::NodeUpdates;
use netchain_state::{
    AccountRecord, EMPTY_ROOT_HASH, KECCAK_EMPTY, StateUpdate, decode_slot, extend_accounts, extend_slots,
};

use super::{ACCOUNT, CODE, Entry, Manifest, SLOT};
use crate::block::BlockBytes;
use crate::kv::{Batch, Table};
use crate::tables::{KvTables, write_update};
use crate::{FORMAT, META_BASE, META_FORMAT, Store, StoreError, StoreTip};

/// The account whose slots come next.
struct Open {
    owner: B256,
    record: AccountRecord,
    /// Root of the slots read so far.
    storage_root: B256,
    code_seen: bool,
    last_slot: Option<B256>,
}

/// Builds the state of a snapshot in an empty store, chunk after chunk. The store has no tip until [`finish`](Self::finish)
/// has compared the root; after an error start again with an empty folder.
pub struct Importer {
    store: Store,
    manifest: Manifest,
    next: usize,
    accounts: u64,
    root: B256,
    last: Option<Open>,
}

impl std::fmt::Debug for Importer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Importer").field("next", &self.next).field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

impl Importer {
    /// Begins. `header_hash` is the block the caller believes, checked against certificates.
    ///
    /// # Errors
    /// The store is not empty or the manifest is of another block.
    pub fn new(store: Store, manifest: Manifest, header_hash: B256) -> Result<Self, StoreError> {
        if manifest.header.hash() != header_hash {
            return Err(StoreError::Snapshot("it is of another block"));
        }
        if store.tip().is_some() || !store.kv().scan(Table::Accounts, &[], 0, 1)?.is_empty() {
            return Err(StoreError::NotEmpty);
        }
        Ok(Self { store, manifest, next: 0, accounts: 0, root: EMPTY_ROOT_HASH, last: None })
    }

    /// Number of the chunk that comes next; as many as the manifest has: call [`finish`](Self::finish).
    #[must_use]
    pub const fn next_chunk(&self) -> usize {
        self.next
    }

    /// Accounts read so far, and all of them as the manifest says.
    #[must_use]
    pub const fn progress(&self) -> (u64, u64) {
        (self.accounts, self.manifest.accounts)
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// [`StoreError::Snapshot`] when the bytes are not that chunk or contradict what came before. Safe on any input.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if !self.manifest.is_chunk(self.next, bytes) {
            return Err(StoreError::Snapshot("not the chunk that the manifest names"));
        }
        let entries: Vec<Entry> =
            alloy_rlp::decode_exact(bytes).map_err(|_| StoreError::Snapshot("not an encoded chunk"))?;
        let mut update = StateUpdate::default();
        for entry in entries {
            match entry.kind {
                ACCOUNT => self.account(&entry, &mut update)?,
                CODE => self.code(entry.value, &mut update)?,
                SLOT => self.slot(&entry, &mut update)?,
                _ => return Err(StoreError::Snapshot("an entry of a kind that does not exist")),
            }
        }
        self.fold_slots(&mut update)?;
        let records: Vec<_> =
            update.records.iter().filter_map(|(owner, (_, record))| record.map(|record| (*owner, record))).collect();
        (self.root, update.account_nodes) = extend_accounts(&KvTables(self.store.kv()), self.root, &records)?;
        let mut batch = Batch::default();
        write_update(&update, &mut batch);
        self.store.kv().write(batch, false)?;
        self.next += 1;
        Ok(())
    }

    /// Compares the roots and gives the store its tip.
    ///
    /// # Errors
    /// [`StoreError::Snapshot`] when chunks are missing or the state is not that of the header.
    pub fn finish(mut self) -> Result<StoreTip, StoreError> {
        self.close_account()?;
        if self.next != self.manifest.chunks.len() {
            return Err(StoreError::Snapshot("chunks are missing"));
        }
        if self.root != self.manifest.header.state_root {
            return Err(StoreError::Snapshot("its state is not the one of its header"));
        }
        let mut batch = Batch::default();
        let header = &self.manifest.header;
        for header in self.manifest.older.iter().chain([header]) {
            let block = BlockBytes::bare(header);
            batch.put(Table::Headers, header.number.to_be_bytes(), alloy_rlp::encode(header));
            batch.put(Table::Hashes, block.hash.to_vec(), header.number.to_be_bytes());
        }
        batch.put(Table::Certificates, header.number.to_be_bytes(), self.manifest.certificate.to_vec());
        batch.put(Table::Meta, META_FORMAT, FORMAT.to_be_bytes());
        // The body of this block is not here: blocks begin with the next one.
        batch.put(Table::Meta, META_BASE, (header.number + 1).to_be_bytes());
        let tip = StoreTip { height: header.number, hash: header.hash(), root: self.root };
        self.store.publish(batch, tip, header.number)
    }

    fn account(&mut self, entry: &Entry, update: &mut StateUpdate) -> Result<(), StoreError> {
        self.fold_slots(update)?;
        let previous = self.last.as_ref().map(|open| open.owner);
        self.close_account()?;
        let owner = B256::try_from(&entry.key[..]).map_err(|_| StoreError::Snapshot("a key has the wrong length"))?;
        if previous.is_some_and(|previous| owner <= previous) {
            return Err(StoreError::Snapshot("its accounts are not in order"));
        }
        let record =
            AccountRecord::decode(&entry.value).map_err(|_| StoreError::Snapshot("an account is not readable"))?;
        update.records.insert(owner, (None, Some(record)));
        self.accounts += 1;
        let code_seen = record.account.code_hash == KECCAK_EMPTY;
        self.last = Some(Open { owner, record, storage_root: EMPTY_ROOT_HASH, code_seen, last_slot: None });
        Ok(())
    }

    fn code(&mut self, code: Bytes, update: &mut StateUpdate) -> Result<(), StoreError> {
        let wrong = StoreError::Snapshot("code that is not of the account before it");
        let open = self.last.as_mut().ok_or(wrong.clone())?;
        if keccak256(&code) != open.record.account.code_hash {
            return Err(wrong);
        }
        open.code_seen = true;
        update.codes.insert(open.record.account.code_hash, code);
        Ok(())
    }

    fn slot(&mut self, entry: &Entry, update: &mut StateUpdate) -> Result<(), StoreError> {
        let wrong = StoreError::Snapshot("a slot that is not readable or not in order");
        let open = self.last.as_mut().ok_or(wrong.clone())?;
        let slot = B256::try_from(&entry.key[..]).map_err(|_| wrong.clone())?;
        if open.last_slot.is_some_and(|last| slot <= last) {
            return Err(wrong);
        }
        open.last_slot = Some(slot);
        let value = decode_slot(&entry.value).map_err(|_| wrong)?;
        update.slots.insert((open.owner, slot), (alloy_primitives::U256::ZERO, value));
        Ok(())
    }

    /// Adds the slots of this chunk to the trie of the open account.
    fn fold_slots(&mut self, update: &mut StateUpdate) -> Result<(), StoreError> {
        let Some(open) = self.last.as_mut() else { return Ok(()) };
        let range = (open.owner, B256::ZERO)..=(open.owner, B256::repeat_byte(0xff));
        let slots: Vec<_> = update.slots.range(range).map(|((_, slot), (_, value))| (*slot, *value)).collect();
        if slots.is_empty() {
            return Ok(());
        }
        let nodes: NodeUpdates;
        (open.storage_root, nodes) = extend_slots(&KvTables(self.store.kv()), open.owner, open.storage_root, &slots)?;
        update.storage_nodes.insert(open.owner, nodes);
        Ok(())
    }

    /// The open account is complete: its storage and code must be what its record says.
    fn close_account(&mut self) -> Result<(), StoreError> {
        let Some(open) = self.last.take() else { return Ok(()) };
        if open.storage_root != open.record.storage_root {
            return Err(StoreError::Snapshot("the slots of an account are not those of its record"));
        }
        if open.code_seen { Ok(()) } else { Err(StoreError::Snapshot("the code of an account is missing")) }
    }
}
