//! Encodings of the sync protocol and of transaction gossip: `kind u8 | RLP`, canonical, bounded.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};
use netchain_consensus::message::MAX_MESSAGE_BYTES;

/// Most blocks of one answer. Empty ones are 2 KB each; full ones meet [`MAX_RESPONSE_BYTES`] first.
pub const MAX_BLOCKS: u64 = 64;
/// Longest answer: one snapshot chunk or one largest block, and as much again, so that a few usual blocks fit.
pub const MAX_RESPONSE_BYTES: usize = 2 * MAX_MESSAGE_BYTES;
/// Longest request: a kind and two numbers.
pub const MAX_REQUEST_BYTES: usize = 64;
/// Longest gossiped batch of transactions.
pub const MAX_BATCH_BYTES: usize = 256 << 10;
/// Most transactions of a batch: 2,000 a second gathered for a tenth of one, and some.
pub const MAX_BATCH: usize = 512;
/// Most changes of the witness set in one answer: at most 5.4 KB each, a third of a megabyte in all.
pub const MAX_SET_CHANGES: usize = 64;
/// Most snapshots a node offers.
pub const MAX_SNAPSHOTS: usize = 4;

/// What a node asks another for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncRequest {
    /// "Where are you? I am at this height."
    Status(u64),
    /// Certified blocks from a height on, at most so many.
    Blocks(u64, u64),
    /// Which snapshots there are.
    Snapshots,
    /// Chunk of the snapshot of a height.
    Chunk(u64, u64),
    /// Blocks after a height that changed the witness set.
    SetChanges(u64),
}

/// A snapshot of the state that a node offers.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct SnapshotInfo {
    /// Height of the block after which it was taken.
    pub height: u64,
    /// Hash of that block.
    pub block_hash: B256,
    /// The manifest, as the store encodes it: hashes of the chunks, header, certificate.
    pub manifest: Bytes,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncResponse {
    /// Height and hash of the tip.
    Status(u64, B256),
    /// Encoded [`Message::Block`](netchain_consensus::Message)s, heights ascending without a gap. Fewer than asked for when they are
    /// long or not there.
    Blocks(Vec<Bytes>),
    /// Snapshots, newest first.
    Snapshots(Vec<SnapshotInfo>),
    /// A chunk; empty when it is not there.
    Chunk(Bytes),
    /// Not now.
    Busy,
    /// RLP `[header, certificate, next set]` of blocks that changed the witness set, the oldest first.
    SetChanges(Vec<Bytes>),
}

/// Not an encoding of ours, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded sync message")]
pub struct WireError;

#[derive(RlpEncodable, RlpDecodable)]
struct One {
    a: u64,
}

#[derive(RlpEncodable, RlpDecodable)]
struct Two {
    a: u64,
    b: u64,
}

#[derive(RlpEncodable, RlpDecodable)]
struct StatusWire {
    height: u64,
    hash: B256,
}

fn tagged(tag: u8, value: &impl Encodable) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + value.length());
    bytes.push(tag);
    value.encode(&mut bytes);
    bytes
}

fn exact<T: Decodable>(rlp: &[u8]) -> Result<T, WireError> {
    alloy_rlp::decode_exact(rlp).map_err(|_| WireError)
}

impl SyncRequest {
    /// `kind u8 | RLP`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Self::Status(a) => tagged(0, &One { a }),
            Self::Blocks(a, b) => tagged(1, &Two { a, b }),
            Self::Snapshots => vec![2],
            Self::Chunk(a, b) => tagged(3, &Two { a, b }),
            Self::SetChanges(a) => tagged(5, &One { a }),
        }
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// Anything else. Safe on any input.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (kind, rlp) = bytes.split_first().ok_or(WireError)?;
        match kind {
            0 => exact::<One>(rlp).map(|one| Self::Status(one.a)),
            1 => exact::<Two>(rlp).map(|two| Self::Blocks(two.a, two.b)),
            2 if rlp.is_empty() => Ok(Self::Snapshots),
            3 => exact::<Two>(rlp).map(|two| Self::Chunk(two.a, two.b)),
            5 => exact::<One>(rlp).map(|one| Self::SetChanges(one.a)),
            _ => Err(WireError),
        }
    }
}

impl SyncResponse {
    /// `kind u8 | RLP`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Status(height, hash) => tagged(0, &StatusWire { height: *height, hash: *hash }),
            Self::Blocks(blocks) => tagged(1, blocks),
            Self::Snapshots(infos) => tagged(2, infos),
            Self::Chunk(chunk) => tagged(3, chunk),
            Self::Busy => vec![4],
            Self::SetChanges(changes) => tagged(5, changes),
        }
    }

    /// Reads what [`encode`](Self::encode) wrote. Blocks inside are not decoded yet.
    ///
    /// # Errors
    /// Anything else. Safe on any input.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (kind, rlp) = bytes.split_first().ok_or(WireError)?;
        if bytes.len() > MAX_RESPONSE_BYTES {
            return Err(WireError);
        }
        match kind {
            0 => exact::<StatusWire>(rlp).map(|status| Self::Status(status.height, status.hash)),
            1 => {
                let blocks: Vec<Bytes> = exact(rlp)?;
                if blocks.len() as u64 > MAX_BLOCKS { Err(WireError) } else { Ok(Self::Blocks(blocks)) }
            }
            2 => {
                let infos: Vec<SnapshotInfo> = exact(rlp)?;
                if infos.len() > MAX_SNAPSHOTS { Err(WireError) } else { Ok(Self::Snapshots(infos)) }
            }
            3 => exact(rlp).map(Self::Chunk),
            4 if rlp.is_empty() => Ok(Self::Busy),
            5 => {
                let changes: Vec<Bytes> = exact(rlp)?;
                if changes.len() > MAX_SET_CHANGES { Err(WireError) } else { Ok(Self::SetChanges(changes)) }
            }
            _ => Err(WireError),
        }
    }
}

/// Cuts transactions into gossip messages (RLP lists of encoded transactions) within the limits.
#[must_use]
pub fn encode_batches(txs: &[Bytes]) -> Vec<Vec<u8>> {
    let (mut batches, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
    for tx in txs.iter().filter(|tx| tx.len() + 16 <= MAX_BATCH_BYTES) {
        // 9 bytes are the longest RLP head of a string.
        if batch.len() == MAX_BATCH || bytes + tx.len() + 18 > MAX_BATCH_BYTES {
            batches.push(alloy_rlp::encode(std::mem::take(&mut batch)));
            bytes = 0;
        }
        bytes += tx.len() + 9;
        batch.push(tx.clone());
    }
    if !batch.is_empty() {
        batches.push(alloy_rlp::encode(batch));
    }
    batches
}

/// Reads a batch.
///
/// # Errors
/// Not a list of 1 to [`MAX_BATCH`] strings, or too long. Safe on any input.
pub fn decode_batch(bytes: &[u8]) -> Result<Vec<Bytes>, WireError> {
    if bytes.len() > MAX_BATCH_BYTES {
        return Err(WireError);
    }
    let txs: Vec<Bytes> = exact(bytes)?;
    if txs.is_empty() || txs.len() > MAX_BATCH { Err(WireError) } else { Ok(txs) }
}
