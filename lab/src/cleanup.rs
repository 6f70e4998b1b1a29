//! How labs end: by the watchdog of each, and by the sweep at the start of the next one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::lab::PREFIX;
use crate::netns;
use crate::paths::target_dir;

/// Removes the namespaces (and the processes in them) of labs whose owner is dead.
pub fn sweep() {
    for name in netns::list(PREFIX) {
        if dead(&name) {
            netns::remove(&name);
        }
    }
    let entries = fs::read_dir("/run").into_iter().flatten().flatten();
    for name in entries.filter_map(|e| e.file_name().into_string().ok()).filter(|name| dead(name)) {
        let _ = fs::remove_dir_all(run_dir(&name));
    }
}

pub(crate) fn run_dir(id: &str) -> PathBuf {
    Path::new("/run").join(id)
}

fn dead(name: &str) -> bool {
    owner(name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// The process a namespace name belongs to: `nfl-<pid>x<n>-<host>`.
fn owner(name: &str) -> Option<u32> {
    let digits: String = name.strip_prefix(PREFIX)?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Removes the folders of dead labs, which failed tests keep for a look.
///
/// # Errors
/// When this program does not run from a target folder.
pub fn sweep_files() -> Result<()> {
    let entries = fs::read_dir(target_dir()?.join("lab")).into_iter().flatten().flatten();
    for entry in entries.filter(|e| e.file_name().to_str().is_some_and(dead)) {
        let _ = fs::remove_dir_all(entry.path());
    }
    Ok(())
}

/// Body of the watchdog process: waits until its stdin closes, then removes every namespace of the lab `id`.
pub fn watchdog(id: &str) {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    for name in netns::list(&format!("{id}-")) {
        netns::remove(&name);
    }
    let _ = fs::remove_dir_all(run_dir(id));
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn a_namespace_without_a_pid_in_its_name_is_nobody_s_to_sweep() {
        assert_eq!(owner("nfl-123x0-inet"), Some(123));
        assert_eq!(owner("nfl-other"), None);
        assert_eq!(owner("docker-1"), None);
    }
}
