//! The pool on disk: frames `length u32 LE | crc32c u32 LE | encoded transaction`, appended before a transaction is
//! acknowledged. A torn or damaged frame ends the reading: what follows it was not acknowledged, or the disk is broken.

use alloy_primitives::Bytes;
use netchain_consensus::wal::crc32c;

use super::MAX_TX_BYTES;

const HEADER_BYTES: usize = 8;

/// The frame of a transaction.
#[must_use]
pub fn frame(raw: &[u8]) -> Vec<u8> {
    let length = u32::try_from(raw.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), &crc32c(raw).to_le_bytes(), raw].concat()
}

/// Reads a journal: its transactions and how many bytes of it are good.
#[must_use]
pub fn read(journal: &[u8]) -> (Vec<Bytes>, usize) {
    let (mut txs, mut good) = (Vec::new(), 0);
    while let Some(raw) = journal.get(good..).and_then(front) {
        good += HEADER_BYTES + raw.len();
        txs.push(Bytes::copy_from_slice(raw));
    }
    (txs, good)
}

fn front(journal: &[u8]) -> Option<&[u8]> {
    let length: [u8; 4] = journal.get(..4)?.try_into().ok()?;
    let sum: [u8; 4] = journal.get(4..HEADER_BYTES)?.try_into().ok()?;
    let length =
        usize::try_from(u32::from_le_bytes(length)).ok().filter(|length| (1..=MAX_TX_BYTES).contains(length))?;
    let raw = journal.get(HEADER_BYTES..HEADER_BYTES.checked_add(length)?)?;
    (crc32c(raw) == u32::from_le_bytes(sum)).then_some(raw)
}
