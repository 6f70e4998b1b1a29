//! One network namespace: made, entered, removed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::cmd::Cmd;

/// A named network namespace. A cheap handle: the [`crate::lab::Lab`] that made it removes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes the namespace and brings its loopback up.
    ///
    /// # Errors
    /// When `ip netns add` fails.
    pub fn create(name: &str) -> Result<Self> {
        Cmd::new(["ip", "netns", "add", name]).run()?;
        let ns = Self { name: name.to_owned() };
        ns.ip("link set lo up")?;
        // Addresses must be usable at once: duplicate detection would cost every topology a second.
        ns.sysctl("ipv6/conf/all/accept_dad", "0")?;
        ns.sysctl("ipv6/conf/default/accept_dad", "0")?;
        Ok(ns)
    }

    /// The name `ip netns` knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs lines of `ip` commands (without the word `ip`) inside.
    ///
    /// # Errors
    /// One line naming the command that failed.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let batch: String = lines.lines().map(|l| format!("{}\n", l.trim())).collect();
        Cmd::new(["ip", "-netns", &self.name, "-batch", "-"])
            .input(batch)
            .run()
            .map_err(|e| anyhow!("{e} (in: {})", lines.split_whitespace().collect::<Vec<_>>().join(" ")))?;
        Ok(())
    }

    /// Loads an nft script inside, as one transaction.
    ///
    /// # Errors
    /// One line with nft's complaint.
    pub fn nft(&self, script: &str) -> Result<()> {
        Cmd::new(["nft", "-f", "-"]).within(self).input(script).run()?;
        Ok(())
    }

    /// Runs a program inside and hands back its stdout.
    ///
    /// # Errors
    /// One line naming the command, its exit code and its complaint.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        Cmd::new(words).within(self).run()
    }

    /// Writes `/proc/sys/net/<key>` inside.
    ///
    /// # Errors
    /// When the kernel has no such knob.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{key}");
        self.within(|| fs::write(&path, value).with_context(|| format!("cannot write {path}")))?
    }

    /// Gives the programs started inside from now on these lines as their `/etc/hosts`.
    ///
    /// # Errors
    /// When `/etc/netns` cannot be written.
    pub fn set_hosts(&self, lines: &str) -> Result<()> {
        fs::create_dir_all(etc(&self.name))?;
        fs::write(etc(&self.name).join("hosts"), lines).context("cannot write into /etc/netns")
    }

    /// Runs `job` on a thread that lives in this namespace: sockets it opens stay there, wherever they are used later.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn within<T: Send>(&self, job: impl FnOnce() -> T + Send) -> Result<T> {
        let path = format!("/run/netns/{}", self.name);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| -> Result<T> {
                let file = fs::File::open(&path).with_context(|| format!("no namespace {path}"))?;
                setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {path}"))?;
                Ok(job())
            });
            thread.join().map_err(|_| anyhow!("a job in {path} panicked"))?
        })
    }
}

/// Kills every process inside the namespace `name` and removes it. Best effort: used while cleaning up.
pub fn remove(name: &str) {
    // Twice: a process may fork between the list and the kill.
    for _ in 0..2 {
        let pids = Cmd::new(["ip", "netns", "pids", name]).run().unwrap_or_default();
        for pid in pids.split_whitespace().filter_map(|p| p.parse().ok()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
    let _ = Cmd::new(["ip", "netns", "del", name]).run();
    let _ = fs::remove_dir_all(etc(name));
}

/// What `ip netns exec` puts over `/etc`.
fn etc(name: &str) -> PathBuf {
    Path::new("/etc/netns").join(name)
}

/// Names of all namespaces whose name starts with `prefix`, sorted.
#[must_use]
pub fn list(prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(Path::new("/run/netns"))
        .map(|dir| {
            dir.filter_map(|e| e.ok()?.file_name().into_string().ok()).filter(|n| n.starts_with(prefix)).collect()
        })
        .unwrap_or_default();
    names.sort();
    names
}

/// A handle on a namespace another process made.
#[must_use]
pub fn existing(name: &str) -> Netns {
    Netns { name: name.to_owned() }
}
