//! The folder of keystore files: the same names and modes as geth's, so that either program reads the other's folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use alloy_primitives::Address;

use super::account::parse_address;
use super::keystore::Keystore;
use crate::failure::{Failure, Local};
use crate::secrets::read_public_file;

/// Names the folder when no option does.
pub(crate) const KEYSTORE_ENV: &str = "NETFLOW_KEYSTORE";
/// Most files looked at: far more than a person has accounts, and listed in a moment.
const MAX_FILES: usize = 4_096;

/// A folder of keystore files. It need not exist before something is written to it.
pub(crate) struct Store {
    dir: PathBuf,
}

/// One account of the folder.
pub(crate) struct Entry {
    /// The account, as its file says.
    pub(crate) address: Address,
    /// The file.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) keystore: Keystore,
}

impl Store {
    /// The folder of the option, else of the environment, else `netflow/keystore` in the user's data folder.
    ///
    /// # Errors
    /// Exit 2 when nothing says where that is.
    pub(crate) fn locate(option: Option<&Path>) -> Result<Self, Failure> {
        let from_env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = option.map(Path::to_path_buf).or_else(|| from_env(KEYSTORE_ENV));
        let dir = dir.or_else(|| Some(from_env("XDG_DATA_HOME")?.join("netflow/keystore")));
        let dir = dir.or_else(|| Some(from_env("HOME")?.join(".local/share/netflow/keystore")));
        dir.map(|dir| Self { dir }).ok_or_else(|| {
            let text = "no folder for accounts; the environment has no HOME";
            Failure::new(Local::Usage, text).next("the same command with --keystore FOLDER")
        })
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// All accounts, by the name of their file: geth's names begin with the time, so the oldest is first. Files that are no
    /// keystore, or do not say whose key they hold, are left alone.
    ///
    /// # Errors
    /// The folder cannot be read, or holds too much.
    pub(crate) fn list(&self) -> Result<Vec<Entry>, Failure> {
        let reading = |error: std::io::Error| Failure::file("read", &self.dir, &error);
        let folder = match std::fs::read_dir(&self.dir) {
            Ok(folder) => folder,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(reading(error)),
        };
        let mut paths = Vec::new();
        for entry in folder {
            let entry = entry.map_err(reading)?;
            // Files being written, and editors' copies: geth leaves the same ones out.
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if !hidden && entry.file_type().map_err(reading)?.is_file() {
                paths.push(entry.path());
            }
            if paths.len() > MAX_FILES {
                let text = format!("cannot read {}; it holds more than {MAX_FILES} files", self.dir.display());
                return Err(Failure::new(Local::InvalidInput, text).next("a folder of its own for accounts"));
            }
        }
        paths.sort();
        let entries = paths.into_iter().filter_map(|path| {
            let keystore = Keystore::parse(&read_public_file(&path).ok()?).ok()?;
            Some(Entry { address: keystore.address()?, path, keystore })
        });
        Ok(entries.collect())
    }

    /// The account somebody means: an address, or a beginning of one that only one account has; the only account when
    /// nothing is given.
    ///
    /// # Errors
    /// Exit 5 when there is none, 7 when there are several or the words are no address.
    pub(crate) fn find(&self, words: Option<&str>) -> Result<Entry, Failure> {
        let mut entries = self.list()?;
        if entries.is_empty() {
            let text = format!("no account; {} has no keystore file", self.dir.display());
            return Err(Failure::new(Local::NotFound, text).next("netctl wallet new"));
        }
        if let Some(words) = words {
            let digits = words.strip_prefix("0x").unwrap_or(words);
            if digits.len() == 40 {
                let wanted = parse_address(&format!("0x{digits}"))
                    .map_err(|why| Failure::new(Local::InvalidInput, format!("not an address; {why}")))?;
                entries.retain(|entry| entry.address == wanted);
            } else {
                let digits = digits.to_ascii_lowercase();
                entries.retain(|entry| hex::encode(entry.address).starts_with(&digits));
            }
        }
        // Two files of one account are one account: the newest was written last.
        entries.dedup_by(|later, earlier| {
            let same = later.address == earlier.address;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        match (entries.len(), entries.pop()) {
            (1, Some(entry)) => Ok(entry),
            (0, _) | (_, None) => {
                let text = format!("no such account; {} has no key of it", self.dir.display());
                Err(Failure::new(Local::NotFound, text).next("netctl wallet list"))
            }
            _ => {
                let text = "which account is meant; several fit";
                Err(Failure::new(Local::InvalidInput, text).next("netctl wallet list, and the address of one"))
            }
        }
    }

    /// Writes a keystore, whole or not at all, and durably.
    ///
    /// # Errors
    /// Exit 6 when the account is there already; of the file system.
    pub(crate) fn add(&self, keystore: &Keystore, address: Address, now_unix_s: u64) -> Result<PathBuf, Failure> {
        if let Some(entry) = self.list()?.into_iter().find(|entry| entry.address == address) {
            let text = format!("{} is there already; its file is {}", address, entry.path.display());
            return Err(Failure::new(Local::Exists, text).next("netctl wallet list"));
        }
        let text = keystore.to_text().map_err(|error| Failure::new(Local::Failure, error.to_string()))?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|error| Failure::file("create", &self.dir, &error))?;
        let name = file_name(address, now_unix_s);
        let (hidden, path) = (self.dir.join(format!(".{name}.new")), self.dir.join(name));
        let written = write_whole(&hidden, &path, text.as_bytes());
        // Best effort: after a success nothing is left there, after a failure the error told is the first one.
        let _ = std::fs::remove_file(&hidden);
        written.map_err(|error| Failure::file("write", &path, &error))?;
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|error| Failure::file("write", &self.dir, &error))?;
        Ok(path)
    }
}

/// A name appears only once its content is on disk, and never takes the place of another file.
fn write_whole(hidden: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(hidden)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::hard_link(hidden, path)
}

/// geth's name of a keystore file: `UTC--2026-12-01T10-40-02.000000000Z--ADDRESS`.
fn file_name(address: Address, now_unix_s: u64) -> String {
    let date = crate::text::date(now_unix_s);
    let (day, clock) = date.split_once(' ').unwrap_or((&date, ""));
    let clock = clock.trim_end_matches(" UTC").replace(':', "-");
    format!("UTC--{day}T{clock}-{:02}.000000000Z--{}", now_unix_s % 60, hex::encode(address))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a wrong assumption must fail the test")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::wallet::account::AccountKey;
    use crate::wallet::keystore::Cost;

    fn sealed(byte: u8) -> (Keystore, Address) {
        let key = AccountKey::from_bytes(&[byte; 32]).unwrap();
        (Keystore::seal(&key, "x", Cost::Light, |bytes| bytes.fill(byte)).unwrap(), key.address())
    }

    #[test]
    fn a_file_is_private_whole_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::locate(Some(&dir.path().join("a/keystore"))).unwrap();
        assert!(store.list().unwrap().is_empty());
        let (keystore, address) = sealed(1);
        let path = store.add(&keystore, address, 1_795_226_700).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(store.dir())), (0o600, 0o700));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(name, format!("UTC--2026-11-21T02-05-00.000000000Z--{}", hex::encode(address)));
        assert_eq!(store.add(&keystore, address, 1_795_226_701).unwrap_err().exit(), 6);
        let left: Vec<_> = std::fs::read_dir(store.dir()).unwrap().collect();
        assert_eq!(left.len(), 1, "no half-written file stays");
    }

    #[test]
    fn an_account_is_found_by_what_only_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::locate(Some(dir.path())).unwrap();
        let exit = |words: Option<&str>| store.find(words).err().map(|failure| failure.exit());
        assert_eq!(exit(None), Some(5));
        let (first, address) = sealed(1);
        store.add(&first, address, 1).unwrap();
        // Not a keystore, one being written, a folder: all left alone.
        std::fs::write(dir.path().join("readme"), "hello").unwrap();
        std::fs::write(dir.path().join(".new"), first.to_text().unwrap()).unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        assert_eq!(store.find(None).unwrap().address, address);
        let (second, other) = sealed(2);
        store.add(&second, other, 2).unwrap();
        assert_eq!(exit(None), Some(7));
        let text = other.to_checksum(None);
        for words in [text.as_str(), &text[..8], &text.to_lowercase(), &text[2..]] {
            assert_eq!(store.find(Some(words)).unwrap().address, other, "{words}");
        }
        assert_eq!(exit(Some("0x")), Some(7));
        assert_eq!(exit(Some("0xffffffff")), Some(5));
        assert_eq!(exit(Some("zz")), Some(5));
    }
}
