//! Snapshots: the whole state after one block, in chunks that can be fetched from anybody and checked one by one.
//!
//! Manifest = RLP `[1, header, certificate, [older header...], accounts, [keccak(chunk)...]]`; a chunk is an RLP list of
//! entries `[kind, key, value]` in the order of the tries: 0 account (`keccak(address)`, record), then 1 its code (empty
//! key), then 2 its slots (`keccak(slot)`, RLP of the value). An account's slots may go on in the next chunk. Nothing of it
//! is believed: the importer builds the tries and compares the roots (docs/spec/chain.md).

mod export;
mod import;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use netchain_types::Header;

use crate::StoreError;

pub use export::export;
pub use import::Importer;

/// Bytes after which a chunk ends: what one peer sends in a second on a home line.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Longest chunk accepted: one entry more, and no code is longer than 64 KiB.
pub const MAX_CHUNK_BYTES: usize = CHUNK_BYTES + (128 << 10);
/// Older headers in a manifest: as far back as `BLOCKHASH` reaches, and more than two shuffle rounds for the order of creators.
pub const OLDER_HEADERS: u64 = 256;
/// Most chunks of a snapshot: 1 TiB of state.
pub const MAX_CHUNKS: usize = 1 << 20;
/// Longest manifest accepted: headers and a hash a chunk.
pub const MAX_MANIFEST_BYTES: usize = (MAX_CHUNKS + 4) * 33 + 512 * 1_024;

const VERSION: u8 = 1;
const ACCOUNT: u8 = 0;
const CODE: u8 = 1;
const SLOT: u8 = 2;

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Manifest {
    version: u8,
    /// Header whose state it is.
    pub header: Header,
    /// Certificate of that header as the exporter knows it.
    pub certificate: Bytes,
    /// Headers before it, the newest first.
    pub older: Vec<Header>,
    /// Number of accounts, for showing progress.
    pub accounts: u64,
    /// keccak256 of each chunk, in order.
    pub chunks: Vec<B256>,
}

impl Manifest {
    /// RLP of it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(self)
    }

    /// Reads a manifest and checks that its headers are a chain. Whether the header is final is for the caller to check
    /// with the certificate and the witness set (`netchain-light`).
    ///
    /// # Errors
    /// [`StoreError::Snapshot`]. Safe on any input.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(StoreError::Snapshot("the manifest is too long"));
        }
        let manifest: Self =
            alloy_rlp::decode_exact(bytes).map_err(|_| StoreError::Snapshot("not an encoded manifest"))?;
        if manifest.version != VERSION {
            return Err(StoreError::Snapshot("another version"));
        }
        if manifest.chunks.len() > MAX_CHUNKS || manifest.older.len() as u64 > OLDER_HEADERS {
            return Err(StoreError::Snapshot("more chunks or headers than a snapshot may have"));
        }
        let mut child = &manifest.header;
        for parent in &manifest.older {
            if parent.hash() != child.parent_hash || parent.number.checked_add(1) != Some(child.number) {
                return Err(StoreError::Snapshot("its older headers are no chain"));
            }
            child = parent;
        }
        Ok(manifest)
    }

    /// Whether bytes are the chunk of this number: what a fetcher asks before it goes on to the next peer.
    #[must_use]
    pub fn is_chunk(&self, index: usize, bytes: &[u8]) -> bool {
        bytes.len() <= MAX_CHUNK_BYTES && self.chunks.get(index) == Some(&keccak256(bytes))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct Entry {
    kind: u8,
    key: Bytes,
    value: Bytes,
}
