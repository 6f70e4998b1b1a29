//! What the node must never forget, on disk.
//!
//! ```text
//! state_dir/            0700
//!   identity.key        the node's keys
//!   boot_epoch          u32 LE
//!   active              the network commands mean when they name none
//!   undo.json           changes of the machine to take back
//!   networks/<id>/      log, secret, meta, join
//!   hosted/<id>/        log, meta              (relay)
//! ```
//!
//! Every write is durable when it returns; the event loop waits for the disk. That is a choice: these writes are rare (a member joins, an
//! invite is made), and an entry that left before it was stored could be signed a second time with other content after a crash.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use netflow_overlay::node::{Persist, Restored, RestoredHosted, RestoredNetwork};
use netflow_sys::files::{
    AppendLog, create_private_dir, read_optional, read_secret, remove_durably, sync_dir, write_atomic,
};
use netflow_wire::NetworkId;

use crate::exit::{Code, Failure};

const NETWORKS: &str = "networks";
const HOSTED: &str = "hosted";
const LOG: &str = "log";
const SECRET: &str = "secret";
const META: &str = "meta";
const JOIN: &str = "join";
const BOOT_EPOCH: &str = "boot_epoch";
const ACTIVE: &str = "active";
/// A directory on its way out: renamed first, so that a crash in the middle of removing leaves no half network.
const REMOVED: &str = ".removed";

/// The state directory.
pub(crate) struct Store {
    root: PathBuf,
    logs: BTreeMap<(&'static str, NetworkId), AppendLog>,
}

impl Store {
    /// Reads everything back.
    pub(crate) fn open(root: &Path) -> Result<(Self, Restored), Failure> {
        let mut store = Self { root: root.to_owned(), logs: BTreeMap::new() };
        let restored = store.restore().map_err(|error| {
            Failure::new(Code::State, format!("state directory {}: {error}; restore it from a backup", root.display()))
        })?;
        Ok((store, restored))
    }

    fn restore(&mut self) -> io::Result<Restored> {
        let boot_epoch = read_optional(&self.root.join(BOOT_EPOCH))?.map_or(Ok(0), |bytes| {
            let bytes = <[u8; 4]>::try_from(bytes).map_err(|_| invalid("boot_epoch is not four bytes"))?;
            Ok::<_, io::Error>(u32::from_le_bytes(bytes))
        })?;
        let networks = self.networks_in(NETWORKS)?.into_iter().map(|network| self.restore_network(network));
        let networks = networks.collect::<io::Result<_>>()?;
        let hosted = self.networks_in(HOSTED)?.into_iter().map(|network| self.restore_hosted(network));
        Ok(Restored { boot_epoch, networks, hosted: hosted.collect::<io::Result<_>>()? })
    }

    fn restore_network(&mut self, network: NetworkId) -> io::Result<RestoredNetwork> {
        let dir = self.dir(NETWORKS, &network);
        Ok(RestoredNetwork {
            network,
            log: self.open_log(NETWORKS, network)?,
            secret: read_secret(&dir.join(SECRET))?,
            meta: read_optional(&dir.join(META))?,
            pending_join: read_secret(&dir.join(JOIN))?,
        })
    }

    fn restore_hosted(&mut self, network: NetworkId) -> io::Result<RestoredHosted> {
        let meta = read_optional(&self.dir(HOSTED, &network).join(META))?;
        Ok(RestoredHosted { network, log: self.open_log(HOSTED, network)?, meta })
    }

    /// Networks with a directory; what was being removed is removed.
    fn networks_in(&self, kind: &'static str) -> io::Result<Vec<NetworkId>> {
        let parent = self.root.join(kind);
        create_private_dir(&parent)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&parent)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(REMOVED) {
                fs::remove_dir_all(entry.path())?;
                continue;
            }
            let mut id = [0; 32];
            hex::decode_to_slice(&name, &mut id).map_err(|_| invalid(&format!("{kind}/{name} is no network")))?;
            found.push(NetworkId(id));
        }
        // Directory order is the file system's business, not the node's.
        found.sort_unstable();
        Ok(found)
    }

    fn open_log(&mut self, kind: &'static str, network: NetworkId) -> io::Result<Vec<Vec<u8>>> {
        let (log, records) = AppendLog::open(&self.dir(kind, &network).join(LOG))?;
        self.logs.insert((kind, network), log);
        Ok(records)
    }

    fn dir(&self, kind: &str, network: &NetworkId) -> PathBuf {
        self.root.join(kind).join(hex::encode(network.as_bytes()))
    }

    /// Makes one change durable. After an error the caller must end: the node went on as if it had been stored.
    pub(crate) fn persist(&mut self, change: &Persist) -> io::Result<()> {
        match change {
            Persist::LogAppend { network, raw } => self.append(NETWORKS, *network, raw),
            Persist::HostedAppend { network, raw } => self.append(HOSTED, *network, raw),
            Persist::NetworkSecret { network, bytes } if bytes.is_empty() => {
                self.remove_part(NETWORKS, network, SECRET)
            }
            Persist::NetworkSecret { network, bytes } => self.replace(NETWORKS, network, SECRET, bytes),
            Persist::NetworkMeta { network, bytes } => self.replace(NETWORKS, network, META, bytes),
            Persist::HostedMeta { network, bytes } => self.replace(HOSTED, network, META, bytes),
            Persist::PendingJoin { network, bytes: Some(bytes) } => self.replace(NETWORKS, network, JOIN, bytes),
            Persist::PendingJoin { network, bytes: None } => self.remove_part(NETWORKS, network, JOIN),
            Persist::NetworkRemove { network } => self.remove_network(NETWORKS, *network),
            Persist::HostedRemove { network } => self.remove_network(HOSTED, *network),
            Persist::BootEpoch(epoch) => write_atomic(&self.root.join(BOOT_EPOCH), &epoch.to_le_bytes()),
        }
    }

    fn append(&mut self, kind: &'static str, network: NetworkId, raw: &[u8]) -> io::Result<()> {
        if !self.logs.contains_key(&(kind, network)) {
            self.make_dir(kind, &network)?;
            self.open_log(kind, network)?;
        }
        let log = self.logs.get_mut(&(kind, network)).ok_or_else(|| invalid("the log was not opened"))?;
        log.append(raw)
    }

    fn replace(&self, kind: &str, network: &NetworkId, part: &str, bytes: &[u8]) -> io::Result<()> {
        self.make_dir(kind, network)?;
        write_atomic(&self.dir(kind, network).join(part), bytes)
    }

    fn remove_part(&self, kind: &str, network: &NetworkId, part: &str) -> io::Result<()> {
        remove_durably(&self.dir(kind, network).join(part))
    }

    fn make_dir(&self, kind: &str, network: &NetworkId) -> io::Result<()> {
        let dir = self.dir(kind, network);
        if dir.is_dir() {
            return Ok(());
        }
        create_private_dir(&dir)?;
        sync_dir(&self.root.join(kind))
    }

    fn remove_network(&mut self, kind: &'static str, network: NetworkId) -> io::Result<()> {
        self.logs.remove(&(kind, network));
        let dir = self.dir(kind, &network);
        if !dir.exists() {
            return Ok(());
        }
        let removed = dir.with_extension(REMOVED.trim_start_matches('.'));
        fs::rename(&dir, &removed)?;
        sync_dir(&self.root.join(kind))?;
        fs::remove_dir_all(removed)
    }

    /// The network commands mean when they name none.
    pub(crate) fn active(&self) -> Option<NetworkId> {
        let bytes = read_optional(&self.root.join(ACTIVE)).ok()??;
        <[u8; 32]>::try_from(bytes).ok().map(NetworkId)
    }

    /// Stores the choice.
    pub(crate) fn set_active(&self, network: Option<NetworkId>) -> io::Result<()> {
        match network {
            Some(network) => write_atomic(&self.root.join(ACTIVE), network.as_bytes()),
            None => remove_durably(&self.root.join(ACTIVE)),
        }
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const NET: NetworkId = NetworkId([7; 32]);

    fn store(dir: &Path) -> (Store, Restored) {
        Store::open(dir).ok().unwrap()
    }

    fn filled(dir: &Path) {
        let (mut store, restored) = store(dir);
        assert!(restored.networks.is_empty() && restored.boot_epoch == 0);
        for change in [
            Persist::BootEpoch(9),
            Persist::NetworkSecret { network: NET, bytes: b"owner".to_vec() },
            Persist::LogAppend { network: NET, raw: b"genesis".to_vec() },
            Persist::LogAppend { network: NET, raw: b"member".to_vec() },
            Persist::NetworkMeta { network: NET, bytes: b"meta".to_vec() },
            Persist::HostedAppend { network: NetworkId([8; 32]), raw: b"other".to_vec() },
        ] {
            store.persist(&change).unwrap();
        }
    }

    #[test]
    fn everything_persisted_comes_back_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let (_, restored) = store(dir.path());
        assert_eq!(restored.boot_epoch, 9);
        let network = &restored.networks[0];
        assert_eq!(network.log, [b"genesis".to_vec(), b"member".to_vec()]);
        assert_eq!(network.secret.as_deref(), Some(&b"owner"[..]));
        assert_eq!((network.meta.as_deref(), network.pending_join.as_deref()), (Some(&b"meta"[..]), None));
        assert_eq!(restored.hosted[0].log, [b"other".to_vec()]);
    }

    #[test]
    fn a_network_that_was_left_is_gone_even_when_the_removal_was_cut_short() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        // kill -9 between the rename and the removal.
        let path = dir.path().join(NETWORKS).join(hex::encode(NET.as_bytes()));
        fs::rename(&path, path.with_extension("removed")).unwrap();
        let (mut store, restored) = store(dir.path());
        assert!(restored.networks.is_empty());
        assert_eq!(fs::read_dir(dir.path().join(NETWORKS)).unwrap().count(), 0);
        store.persist(&Persist::NetworkRemove { network: NET }).unwrap();
    }

    #[test]
    fn a_removed_secret_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let (mut store, _) = store(dir.path());
        store.persist(&Persist::NetworkSecret { network: NET, bytes: Vec::new() }).unwrap();
        assert!(!store.dir(NETWORKS, &NET).join(SECRET).exists());
    }

    #[test]
    fn a_foreign_file_in_the_state_directory_is_an_error_and_not_silence() {
        let dir = tempfile::tempdir().unwrap();
        create_private_dir(&dir.path().join(NETWORKS).join("letters")).unwrap();
        assert_eq!(Store::open(dir.path()).err().unwrap().code, Code::State);
    }
}
