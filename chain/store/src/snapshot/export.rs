//! Writing a snapshot.

use std::sync::PoisonError;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Encodable;
use netchain_state::{KECCAK_EMPTY, Tables, encode_slot};

use super::{ACCOUNT, CHUNK_BYTES, CODE, Entry, Manifest, OLDER_HEADERS, SLOT, VERSION};
use crate::kv::Table;
use crate::tables::KvTables;
use crate::{Store, StoreError};

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

/// Writes the state after the tip, chunk by chunk, and returns the manifest. Commits wait until it is done: export from a
/// node that is stopped or following, not from a witness at work.
///
/// # Errors
/// See [`StoreError`]; whatever the sink returns ends it.
pub fn export(
    store: &Store,
    sink: &mut dyn FnMut(usize, Bytes) -> Result<(), StoreError>,
) -> Result<Manifest, StoreError> {
    let _no_commit = store.0.gate.read().unwrap_or_else(PoisonError::into_inner);
    let tip = store.tip().ok_or(StoreError::Empty)?;
    let tables = KvTables(store.kv());
    let mut chunks = Chunks { payload: Vec::new(), hashes: Vec::new(), sink };
    let mut accounts = 0;
    let mut from = Some(B256::ZERO);
    while let Some(start) = from {
        let Some((owner, record)) = tables.next_record(&start)? else { break };
        accounts += 1;
        chunks.entry(ACCOUNT, owner.as_slice(), record.encode())?;
        let code_hash = record.account.code_hash;
        if code_hash != KECCAK_EMPTY {
            let code = tables.code(&code_hash)?.ok_or(StoreError::Corrupt("code of a contract is missing"))?;
            chunks.entry(CODE, &[], code.to_vec())?;
        }
        let mut slot_from = Some(B256::ZERO);
        while let Some(start) = slot_from {
            let Some((slot, value)) = tables.next_slot(&owner, &start)? else { break };
            chunks.entry(SLOT, slot.as_slice(), encode_slot(value))?;
            slot_from = after(&slot);
        }
        from = after(&owner);
    }
    chunks.end()?;
    let mut older = Vec::new();
    for height in (tip.height.saturating_sub(OLDER_HEADERS)..tip.height).rev() {
        match store.header(height)? {
            Some(header) => older.push(header),
            None => break,
        }
    }
    let header = store.header(tip.height)?.ok_or(StoreError::Corrupt("the last header is missing"))?;
    let certificate = store.kv().get(Table::Certificates, &tip.height.to_be_bytes())?.unwrap_or_default().into();
    Ok(Manifest { version: VERSION, header, certificate, older, accounts, chunks: chunks.hashes })
}

/// The next key, none after the last one.
fn after(key: &B256) -> Option<B256> {
    let next = alloy_primitives::U256::from_be_bytes(key.0).checked_add(alloy_primitives::U256::ONE)?;
    Some(B256::from(next.to_be_bytes::<32>()))
}
