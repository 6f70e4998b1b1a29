//! The write-ahead log of consensus as a file. Every failure is returned: the node must not vote on what is not durable.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The log of the height under way.
#[derive(Debug)]
pub struct WalFile {
    path: PathBuf,
    file: File,
}

impl WalFile {
    /// Opens the log and reads what the last run left.
    ///
    /// # Errors
    /// Of the file system, here and below.
    pub fn open(path: &Path) -> std::io::Result<(Self, Vec<u8>)> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        sync_folder(path)?;
        Ok((Self { path: path.to_owned(), file }, bytes))
    }

    /// Appends.
    ///
    /// # Errors
    /// As above.
    pub fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// As above. Afterwards nothing may be published.
    pub fn sync(&mut self) -> std::io::Result<()> {
        self.file.sync_data()
    }

    /// Cuts a torn tail.
    ///
    /// # Errors
    /// As above.
    pub fn cut(&mut self, length: usize) -> std::io::Result<()> {
        self.file.set_len(length as u64)?;
        self.file.seek(SeekFrom::End(0))?;
        self.file.sync_data()
    }

    /// Replaces the log: written aside, synced, renamed, and the folder synced.
    ///
    /// # Errors
    /// As above.
    pub fn reset(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let aside = self.path.with_extension("new");
        let mut file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        std::fs::rename(&aside, &self.path)?;
        sync_folder(&self.path)?;
        self.file = file;
        Ok(())
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_again_and_a_reset_replaces_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wal");
        let (mut wal, left) = WalFile::open(&path).unwrap();
        assert!(left.is_empty());
        wal.append(b"abc").unwrap();
        wal.append(b"def").unwrap();
        wal.sync().unwrap();
        let (mut wal, left) = WalFile::open(&path).unwrap();
        assert_eq!(left, b"abcdef");
        wal.cut(4).unwrap();
        wal.append(b"X").unwrap();
        assert_eq!(WalFile::open(&path).unwrap().1, b"abcdX");
        wal.reset(b"new").unwrap();
        wal.append(b"er").unwrap();
        assert_eq!(WalFile::open(&path).unwrap().1, b"newer");
    }
}
