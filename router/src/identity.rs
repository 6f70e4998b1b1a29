//! The node's keys on disk: made at the first start, 0600, never overwritten.

use std::path::Path;

use netflow_overlay::NodeKeys;
use netflow_sys::files::{read_secret, write_atomic};

use crate::exit::{Code, Failure};

const FILE: &str = "identity.key";

/// Reads the keys, or makes and stores them when there are none.
pub(crate) fn load_or_create(state_dir: &Path) -> Result<NodeKeys, Failure> {
    let path = state_dir.join(FILE);
    let unreadable = |why: &dyn std::fmt::Display| {
        Failure::new(
            Code::State,
            format!("key file {}: {why}; restore it from a backup or fix its mode", path.display()),
        )
    };
    if let Some(bytes) = read_secret(&path).map_err(|error| unreadable(&error))?.map(zeroize::Zeroizing::new) {
        return NodeKeys::from_bytes(&bytes).map_err(|error| unreadable(&error));
    }
    let keys = NodeKeys::generate(&mut random());
    write_atomic(&path, &keys.to_bytes()).map_err(|error| unreadable(&error))?;
    tracing::info!("made the keys of this node");
    Ok(keys)
}

/// The kernel's generator; a machine where it fails cannot make keys, and must not pretend to.
pub(crate) fn random() -> rand_core::UnwrapErr<getrandom::SysRng> {
    rand_core::UnwrapErr(getrandom::SysRng)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn pitfall_29_the_key_file_is_private_and_a_second_start_keeps_the_keys() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create(dir.path()).unwrap().node_id();
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load_or_create(dir.path()).unwrap().node_id(), first);
    }

    #[test]
    fn a_damaged_or_open_key_file_stops_the_start_and_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        load_or_create(dir.path()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(load_or_create(dir.path()).err().unwrap().code, Code::State);
        write_atomic(&path, b"not a key").unwrap();
        assert_eq!(load_or_create(dir.path()).err().unwrap().code, Code::State);
        assert_eq!(std::fs::read(&path).unwrap(), b"not a key");
    }
}
