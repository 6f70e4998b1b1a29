//! An append-only file of records: `u32 LE length | u32 LE crc32(length bytes | record) | record`.
//!
//! On load the file is read up to the first frame that is short or whose checksum is wrong, and cut there: what follows was being written
//! when the machine died, and nobody was told that it was stored, because [`AppendLog::append`] returns only after fdatasync.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{PRIVATE_FILE, crc::crc32, read_optional, sync_dir};

const FRAME_HEAD: usize = 8;
/// The largest record: a log entry fits one 64 KiB control message, so anything longer is a rotten length field.
pub const MAX_RECORD: usize = 64 * 1024;

/// An open log, positioned at its end.
#[derive(Debug)]
pub struct AppendLog {
    file: File,
    /// Bytes of whole records; a failed append is cut back to this.
    len: u64,
}

impl AppendLog {
    /// Opens or creates the log and returns its whole records in order. A torn tail is cut off the file.
    ///
    /// # Errors
    /// The error of the failed call.
    pub fn open(path: &Path) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let bytes = read_optional(path)?;
        let is_new = bytes.is_none();
        let bytes = bytes.unwrap_or_default();
        let (records, whole) = split_records(&bytes);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(PRIVATE_FILE).open(path)?;
        if whole < bytes.len() {
            tracing::warn!(path = %path.display(), cut_bytes = bytes.len() - whole, "cut a torn tail off a log");
            file.set_len(whole as u64)?;
            file.sync_all()?;
        }
        if is_new && let Some(parent) = path.parent() {
            sync_dir(parent)?;
        }
        file.seek(SeekFrom::Start(whole as u64))?;
        Ok((Self { file, len: whole as u64 }, records))
    }

    /// Appends one record durably.
    ///
    /// # Errors
    /// `InvalidInput` for a record over [`MAX_RECORD`]; otherwise the error of the failed call, and the log is as it was before.
    pub fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let frame = frame(record)?;
        let written = self.file.write_all(&frame).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.file.set_len(self.len)?;
            self.file.seek(SeekFrom::Start(self.len))?;
            return Err(error);
        }
        self.len += frame.len() as u64;
        Ok(())
    }
}

fn frame(record: &[u8]) -> io::Result<Vec<u8>> {
    let len = u32::try_from(record.len())
        .ok()
        .filter(|_| record.len() <= MAX_RECORD)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "record is too long for a log"))?;
    let mut frame = Vec::with_capacity(FRAME_HEAD + record.len());
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(&checksum(len, record).to_le_bytes());
    frame.extend_from_slice(record);
    Ok(frame)
}

/// The length is covered too: otherwise a run of zeros, which file systems leave after a crash, would read as empty records.
fn checksum(len: u32, record: &[u8]) -> u32 {
    let mut covered = Vec::with_capacity(4 + record.len());
    covered.extend_from_slice(&len.to_le_bytes());
    covered.extend_from_slice(record);
    crc32(&covered)
}

/// The whole records at the start of `bytes`, and how many bytes they take.
fn split_records(bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let mut records = Vec::new();
    let mut rest = bytes;
    while let Some((record, next)) = next_record(rest) {
        records.push(record.to_vec());
        rest = next;
    }
    (records, bytes.len() - rest.len())
}

fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len);
    let (record, rest) = rest.split_at_checked(usize::try_from(len).ok().filter(|len| *len <= MAX_RECORD)?)?;
    (checksum(len, record) == u32::from_le_bytes(*crc)).then_some((record, rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn three_records(path: &Path) -> Vec<Vec<u8>> {
        let records = vec![b"first".to_vec(), Vec::new(), vec![7; 300]];
        let (mut log, existing) = AppendLog::open(path).unwrap();
        assert!(existing.is_empty());
        for record in &records {
            log.append(record).unwrap();
        }
        records
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_and_the_log_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let records = three_records(&path);
        let whole = std::fs::read(&path).unwrap();
        let ends = [0, 13, 21, whole.len()];
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut log, loaded) = AppendLog::open(&path).unwrap();
            let kept = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(loaded, records[..kept], "cut at {cut}");
            log.append(b"after the crash").unwrap();
            let (_, loaded) = AppendLog::open(&path).unwrap();
            assert_eq!(loaded.len(), kept + 1, "cut at {cut}");
            assert_eq!(loaded[kept], b"after the crash");
        }
    }

    #[test]
    fn a_rotten_byte_ends_the_log_before_it_and_zeros_are_no_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        three_records(&path);
        let whole = std::fs::read(&path).unwrap();
        for position in 0..whole.len() {
            let mut rotten = whole.clone();
            rotten[position] ^= 0x10;
            std::fs::write(&path, &rotten).unwrap();
            let (_, loaded) = AppendLog::open(&path).unwrap();
            assert!(loaded.len() < 3, "flip at {position} went unnoticed");
        }
        std::fs::write(&path, [0; 64]).unwrap();
        assert!(AppendLog::open(&path).unwrap().1.is_empty());
    }

    #[test]
    fn an_oversized_record_is_refused_and_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = AppendLog::open(&dir.path().join("log")).unwrap();
        assert!(log.append(&vec![0; MAX_RECORD + 1]).is_err());
        assert_eq!(AppendLog::open(&dir.path().join("log")).unwrap().1.len(), 0);
    }
}
