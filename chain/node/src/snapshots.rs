//! Snapshots a node offers its peers: made in the background every so many blocks, kept as files, handed out chunk by chunk.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alloy_primitives::Bytes;
use anyhow::Context as _;
use netchain_net::SnapshotInfo;
use netchain_net::wire::MAX_RESPONSE_BYTES;
use netchain_store::snapshot::{MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES, Manifest};
use netchain_store::{Store, StoreError};
use tokio::sync::broadcast;

use crate::offline::{MANIFEST_FILE, chunk_file, export_into, read_file};

/// Snapshots kept: the one being fetched by somebody, and the next one.
const KEPT: usize = 2;

/// The snapshots of a node.
pub struct Snapshots {
    folder: PathBuf,
    /// Newest first.
    offered: Mutex<Vec<SnapshotInfo>>,
}

impl Snapshots {
    /// Looks at what the last run left. A folder without a manifest is half a snapshot and goes.
    ///
    /// # Errors
    /// Of the file system.
    pub fn open(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut offered = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            match info(&path) {
                Ok(info) => offered.push(info),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), path = %path.display(), "half a snapshot is removed");
                    std::fs::remove_dir_all(&path)?;
                }
            }
        }
        let snapshots = Self { folder, offered: Mutex::new(offered) };
        snapshots.prune();
        Ok(snapshots)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SnapshotInfo>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is offered, newest first, as much as one answer holds.
    #[must_use]
    pub fn offered(&self) -> Vec<SnapshotInfo> {
        let mut bytes = 0;
        let fits = |info: &&SnapshotInfo| {
            bytes += info.manifest.len() + 64;
            bytes <= MAX_RESPONSE_BYTES
        };
        self.lock().iter().take_while(fits).cloned().collect()
    }

    /// A chunk; empty when it is not there.
    #[must_use]
    pub fn chunk(&self, height: u64, index: u64) -> Bytes {
        let known = self.lock().iter().any(|info| info.height == height);
        let path = usize::try_from(index).map(|index| self.folder.join(height.to_string()).join(chunk_file(index)));
        let read = path.ok().filter(|_| known).and_then(|path| read_file(&path, MAX_CHUNK_BYTES).ok());
        read.unwrap_or_default().into()
    }

    /// Makes a snapshot of the state after the tip.
    ///
    /// # Errors
    /// Of the database or the file system.
    pub fn make(&self, store: &Store) -> anyhow::Result<u64> {
        let aside = self.folder.join("new");
        if aside.exists() {
            std::fs::remove_dir_all(&aside)?;
        }
        let manifest = export_into(store, &aside)?;
        let height = manifest.header.number;
        let path = self.folder.join(height.to_string());
        if path.exists() {
            std::fs::remove_dir_all(&aside)?;
            return Ok(height);
        }
        std::fs::rename(&aside, &path)?;
        let info = info(&path)?;
        self.lock().push(info);
        self.prune();
        Ok(height)
    }

    /// Orders what is offered and removes what is too old.
    fn prune(&self) {
        let mut offered = self.lock();
        offered.sort_unstable_by_key(|info| std::cmp::Reverse(info.height));
        while offered.len() > KEPT {
            let Some(old) = offered.pop() else { return };
            let path = self.folder.join(old.height.to_string());
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(%error, path = %path.display(), "an old snapshot cannot be removed");
            }
        }
    }
}

/// A snapshot's folder as an offer.
fn info(path: &std::path::Path) -> anyhow::Result<SnapshotInfo> {
    let bytes = read_file(&path.join(MANIFEST_FILE), MAX_MANIFEST_BYTES)?;
    let manifest = Manifest::decode(&bytes)?;
    let height = manifest.header.number;
    anyhow::ensure!(path.file_name().is_some_and(|name| *name == *height.to_string()), "the folder has another name");
    Ok(SnapshotInfo { height, block_hash: manifest.header.hash(), manifest: bytes.into() })
}

/// Makes a snapshot whenever the chain has gone on by `every` blocks since the last one.
pub async fn make_regularly(snapshots: Arc<Snapshots>, store: Store, every: u64, mut heads: broadcast::Receiver<u64>) {
    let mut next = snapshots.offered().first().map_or(0, |info| info.height).saturating_add(every);
    loop {
        let height = match heads.recv().await {
            Ok(height) => height,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if height < next {
            continue;
        }
        let (snapshots, store) = (snapshots.clone(), store.clone());
        let made = tokio::task::spawn_blocking(move || snapshots.make(&store)).await;
        match made {
            Ok(Ok(height)) => {
                tracing::info!(height, "snapshot made");
                next = height.saturating_add(every);
            }
            // The set of witnesses changes with this block: the next one will do.
            Ok(Err(error)) if matches!(error.downcast_ref(), Some(StoreError::Snapshot(_))) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = format!("{error:#}"), "no snapshot could be made");
                next = height.saturating_add(every);
            }
            Err(_) => return,
        }
    }
}
