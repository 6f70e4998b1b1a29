//! Writing a snapshot.

use std::sync::PoisonError;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Encodable;
use netchain_state::{AccountRecord, EMPTY_ROOT_HASH, KECCAK_EMPTY, Tables, decode_slot, encode_slot};

use super::{ACCOUNT, CHUNK_BYTES, CODE, Entry, Manifest, OLDER_HEADERS, SLOT, VERSION};
use crate::kv::{Kv, Table};
use crate::tables::KvTables;
use crate::{Store, StoreError};

/// Entries read at a time: 100 KB of accounts, and an iterator of the database costs as much as a hundred entries.
const PAGE: usize = 1_000;

/// Collects entries into chunks.
struct Chunks<'a> {
    payload: Vec<u8>,
    hashes: Vec<B256>,
    sink: &'a mut dyn FnMut(usize, Bytes) -> Result<(), StoreError>,
}

impl Chunks<'_> {
    fn entry(&mut self, kind: u8, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        Entry { kind, key: Bytes::copy_from_slice(key), value: value.into() }.encode(&mut self.payload);
        if self.payload.len() >= CHUNK_BYTES { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), StoreError> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let mut chunk = Vec::with_capacity(self.payload.len() + 4);
        alloy_rlp::Header { list: true, payload_length: self.payload.len() }.encode(&mut chunk);
        chunk.append(&mut self.payload);
        let index = self.hashes.len();
        self.hashes.push(keccak256(&chunk));
        (self.sink)(index, chunk.into())
    }
}

/// Writes the state after the tip, chunk by chunk, and returns the manifest. Blocks go on being committed: what is read is
/// the database as it was when this began.
///
/// # Errors
/// See [`StoreError`]; whatever the sink returns ends it. A block that changes the witness set is refused: a node that begins there
/// could not tell who voted on it.
pub fn export(
    store: &Store,
    sink: &mut dyn FnMut(usize, Bytes) -> Result<(), StoreError>,
) -> Result<Manifest, StoreError> {
    let (view, tip) = {
        let _no_commit = store.0.gate.read().unwrap_or_else(PoisonError::into_inner);
        (store.kv().view()?, store.tip().ok_or(StoreError::Empty)?)
    };
    let header = store.header(tip.height)?.ok_or(StoreError::Corrupt("the last header is missing"))?;
    // Headers of tests and benchmarks carry no consensus fields; then there is nothing to compare.
    if header.check().is_ok_and(|extra| extra.validators_hash != extra.next_validators_hash) {
        return Err(StoreError::Snapshot("the last block changes the witness set; try again after the next one"));
    }
    let tables = KvTables(&*view);
    let mut chunks = Chunks { payload: Vec::new(), hashes: Vec::new(), sink };
    let mut accounts = 0;
    pages(&*view, Table::Accounts, &[], |key, value| {
        let owner = B256::try_from(key).map_err(|_| StoreError::Corrupt("a key has the wrong length"))?;
        let record = AccountRecord::decode(value)?;
        accounts += 1;
        chunks.entry(ACCOUNT, owner.as_slice(), record.encode())?;
        let code_hash = record.account.code_hash;
        if code_hash != KECCAK_EMPTY {
            let code = tables.code(&code_hash)?.ok_or(StoreError::Corrupt("code of a contract is missing"))?;
            chunks.entry(CODE, &[], code.to_vec())?;
        }
        if record.storage_root == EMPTY_ROOT_HASH {
            return Ok(());
        }
        pages(&*view, Table::Slots, owner.as_slice(), |key, value| {
            let slot = key.get(32..).unwrap_or_default();
            chunks.entry(SLOT, slot, encode_slot(decode_slot(value)?))
        })
    })?;
    chunks.end()?;
    let mut older = Vec::new();
    for height in (tip.height.saturating_sub(OLDER_HEADERS)..tip.height).rev() {
        match store.header(height)? {
            Some(header) => older.push(header),
            None => break,
        }
    }
    let certificate = store.kv().get(Table::Certificates, &tip.height.to_be_bytes())?.unwrap_or_default().into();
    Ok(Manifest { version: VERSION, header, certificate, older, accounts, chunks: chunks.hashes })
}

/// Shows every entry of a table whose key begins with `prefix`, in order, a page in memory at a time.
fn pages(
    view: &dyn Kv,
    table: Table,
    prefix: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut from = prefix.to_vec();
    loop {
        let page = view.scan(table, &from, prefix.len(), PAGE)?;
        for (key, value) in &page {
            each(key, value)?;
        }
        let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else { return Ok(()) };
        // The first key after it.
        from = [last.as_slice(), &[0]].concat();
    }
}
