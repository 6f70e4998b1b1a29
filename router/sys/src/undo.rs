//! The journal of changes to the machine: each is written to disk before it is made, so that a stop takes it back, and when the daemon was
//! killed, the next start does.
//!
//! TUN devices are not in it: they live as long as the process holds them, and their addresses and routes with them. Rules, routes of type
//! `unreachable` and the packet filter stay, and so are listed. Undoing is idempotent: what is already gone (a reboot) is no error.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{read_optional, remove_durably, write_atomic};
use crate::netlink::{Netlink, NetlinkError};
use crate::nft::{self, FilterError};

/// A change that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Rules that point to this routing table, and the routes in it.
    RoutingTable(u32),
    /// The table `inet netflow`.
    PacketFilter,
}

/// Why a change could not be taken back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// The journal itself.
    #[error("undo journal {path}: {error}")]
    Journal {
        /// The journal's path.
        path: PathBuf,
        /// What failed.
        error: io::Error,
    },
    /// Routes or rules.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The packet filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// The journal on disk.
#[derive(Debug)]
pub struct UndoJournal {
    path: PathBuf,
    changes: BTreeSet<Change>,
}

impl UndoJournal {
    /// Reads the journal a former run left; a missing one is empty.
    ///
    /// # Errors
    /// The file cannot be read, or is not a journal.
    pub fn open(path: &Path) -> Result<Self, UndoError> {
        let error = |error| UndoError::Journal { path: path.to_owned(), error };
        let changes = match read_optional(path).map_err(error)? {
            None => BTreeSet::new(),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|parse| error(io::Error::new(io::ErrorKind::InvalidData, parse)))?,
        };
        Ok(Self { path: path.to_owned(), changes })
    }

    /// What is to be taken back.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    /// Notes a change durably, before it is made.
    ///
    /// # Errors
    /// The journal cannot be written; the change must not be made then.
    pub fn note(&mut self, change: Change) -> Result<(), UndoError> {
        if self.changes.insert(change.clone())
            && let Err(error) = self.write()
        {
            self.changes.remove(&change);
            return Err(error);
        }
        Ok(())
    }

    /// Takes one change back and forgets it.
    ///
    /// # Errors
    /// The change stays noted when it could not be taken back.
    pub async fn undo(&mut self, netlink: &Netlink, change: &Change) -> Result<(), UndoError> {
        match change {
            Change::RoutingTable(table) => netlink.clear_table(*table).await?,
            Change::PacketFilter => nft::remove().await?,
        }
        self.changes.remove(change);
        self.write()
    }

    /// Takes everything back, newest kind first. Goes on after an error, and returns the first.
    ///
    /// # Errors
    /// The first change that could not be taken back.
    pub async fn undo_all(&mut self, netlink: &Netlink) -> Result<(), UndoError> {
        let mut first = Ok(());
        for change in self.changes.clone() {
            let undone = self.undo(netlink, &change).await;
            if let Err(error) = &undone {
                tracing::error!(?change, %error, "cannot take back a change");
            }
            first = first.and(undone);
        }
        first
    }

    fn write(&self) -> Result<(), UndoError> {
        let written = if self.changes.is_empty() {
            remove_durably(&self.path)
        } else {
            serde_json::to_vec(&self.changes)
                .map_err(io::Error::from)
                .and_then(|bytes| write_atomic(&self.path, &bytes))
        };
        written.map_err(|error| UndoError::Journal { path: self.path.clone(), error })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_on_disk_when_note_returns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("undo.json");
        let mut journal = UndoJournal::open(&path).unwrap();
        journal.note(Change::PacketFilter).unwrap();
        journal.note(Change::RoutingTable(7)).unwrap();
        let after_a_crash = UndoJournal::open(&path).unwrap();
        assert_eq!(
            after_a_crash.changes().cloned().collect::<Vec<_>>(),
            [Change::RoutingTable(7), Change::PacketFilter]
        );
    }

    #[test]
    fn a_journal_that_is_none_is_an_error_and_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("undo.json");
        std::fs::write(&path, b"{").unwrap();
        assert!(UndoJournal::open(&path).is_err());
    }
}
