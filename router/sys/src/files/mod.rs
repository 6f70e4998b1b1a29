//! Files that survive a crash at any write, and that nobody else can read.
//!
//! * [`write_atomic`]: temporary file, fsync, rename, fsync of the directory. A reader sees the old or the new content, never a mix.
//! * [`AppendLog`]: framed records; a torn tail is cut on load.
//! * [`InstanceLock`]: one daemon per state directory.

mod append_log;
mod crc;

pub use append_log::{AppendLog, MAX_RECORD};

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

/// Owner reads and writes, nobody else: the mode of every state file, secret or not.
pub const PRIVATE_FILE: u32 = 0o600;
/// Owner only: the mode of the state directory.
pub const PRIVATE_DIR: u32 = 0o700;
/// The largest state file read back at once. Larger ones are corrupt or not ours; an unbounded read would be a way to exhaust memory.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Creates `path` and its parents; `path` itself gets mode 0700, also when it existed.
///
/// # Errors
/// The error of the failed call.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(PRIVATE_DIR).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::metadata(path)?.permissions().mode() & 0o7777 == PRIVATE_DIR {
                return Ok(());
            }
            fs::set_permissions(path, Permissions::from_mode(PRIVATE_DIR))
        }
        other => other,
    }
}

/// Replaces `path` by `bytes` durably: after `Ok`, a power cut leaves the new content; before, the old one. Mode 0600 from the first byte on.
///
/// # Errors
/// The error of the failed call; the old content is then still in place.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = temporary_name(path)?;
    // A leftover of a crash may be there: its content never counted.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    sync_dir(parent)
}

fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    let mut name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path has no name"))?.to_owned();
    name.push(".tmp");
    Ok(path.with_file_name(name))
}

/// Makes renames, creations and removals inside `dir` durable.
///
/// # Errors
/// The error of the failed call.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Reads a file of at most [`MAX_FILE_BYTES`]; `None` when it does not exist.
///
/// # Errors
/// The error of the failed call, or `InvalidData` for a file that is too large.
pub fn read_optional(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "file is larger than any state file can be"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Like [`read_optional`] for a secret: refuses a file that group or others may touch, since its content can no longer be called secret.
///
/// # Errors
/// The error of the failed call; `PermissionDenied` names the mode.
pub fn read_secret(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    let mode = fs::metadata(path)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let text = format!("mode is {mode:04o}, others may have read it; expected 0600");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(Some(bytes))
}

/// Removes a file durably; absent is fine.
///
/// # Errors
/// The error of the failed call.
pub fn remove_durably(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => path.parent().map_or(Ok(()), sync_dir),
    }
}

/// How long a held lock is waited for. A daemon killed while it starts `nft` leaves a child that has the lock until its exec;
/// seen on a busy machine in two of three starts right after a kill; a service manager that restarts at once must not meet it.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// Time between two tries for the lock.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Held as long as this daemon owns its state directory. The kernel lets go of it at any kind of death.
#[derive(Debug)]
pub struct InstanceLock {
    _lock: Flock<File>,
}

impl InstanceLock {
    /// Takes the lock, or fails with `AddrInUse` when another process still holds it after [`LOCK_PATIENCE`].
    ///
    /// # Errors
    /// The error of the failed call.
    pub fn acquire(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE_FILE).open(path)?;
        for _ in 0..LOCK_PATIENCE.as_millis() / LOCK_RETRY.as_millis() {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Self { _lock: lock }),
                Err((back, nix::errno::Errno::EWOULDBLOCK)) => file = back,
                Err((_, errno)) => return Err(errno.into()),
            }
            // There is nothing to wait on: the kernel tells nobody that a lock is free without blocking for good.
            #[allow(clippy::disallowed_methods, reason = "at start, before the event loop")]
            std::thread::sleep(LOCK_RETRY);
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "another netflowd uses this state directory"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_29_state_files_and_directories_are_private_from_the_first_byte() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        create_private_dir(&state).unwrap();
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        create_private_dir(&state).unwrap();
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o777, 0o700, "an existing directory is closed too");
        let key = state.join("key");
        write_atomic(&key, b"secret").unwrap();
        assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
        let log = state.join("log");
        drop(AppendLog::open(&log).unwrap());
        assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn pitfall_29_a_secret_that_others_could_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        write_atomic(&key, b"secret").unwrap();
        assert_eq!(read_secret(&key).unwrap().unwrap(), b"secret");
        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let error = read_secret(&key).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("0640"), "{error}");
    }

    #[test]
    fn an_interrupted_write_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_atomic(&path, b"old").unwrap();
        // A crash between the write and the rename leaves this behind.
        fs::write(dir.path().join("file.tmp"), b"half of the ne").unwrap();
        assert_eq!(read_optional(&path).unwrap().unwrap(), b"old");
        write_atomic(&path, b"new").unwrap();
        assert_eq!(read_optional(&path).unwrap().unwrap(), b"new");
        assert!(!dir.path().join("file.tmp").exists());
    }

    #[test]
    fn a_second_daemon_does_not_get_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = InstanceLock::acquire(&path).unwrap();
        assert_eq!(InstanceLock::acquire(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        InstanceLock::acquire(&path).unwrap();
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the other holder is a thread that waits")]
    fn a_restart_outlives_what_a_killed_daemon_left_holding_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let left_over = InstanceLock::acquire(&path).unwrap();
        let holder = std::thread::spawn(move || {
            std::thread::sleep(LOCK_RETRY * 5);
            drop(left_over);
        });
        InstanceLock::acquire(&path).unwrap();
        holder.join().unwrap();
    }
}
