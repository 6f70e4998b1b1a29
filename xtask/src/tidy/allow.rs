//! Exceptions, each with a reason; one that is not needed any more is a finding itself.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use crate::finding::Finding;

/// Where the list lives.
const LIST: &str = "xtask/tidy-allow.toml";

/// The list, and which of its entries were used.
pub(crate) struct AllowList {
    entries: Vec<(LargeFile, bool)>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    large_file: Vec<LargeFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LargeFile {
    path: PathBuf,
    lines: usize,
    reason: String,
}

impl AllowList {
    /// An absent file is an empty list.
    pub(crate) fn load(root: &Path) -> anyhow::Result<Self> {
        let content: Content = match std::fs::read_to_string(root.join(LIST)) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("{LIST} does not parse"))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(error).context(LIST),
        };
        Ok(Self { entries: content.large_file.into_iter().map(|entry| (entry, false)).collect() })
    }

    /// Lines a file may have when the list names it.
    pub(crate) fn lines(&mut self, file: &Path) -> Option<usize> {
        let (entry, used) = self.entries.iter_mut().find(|(entry, _)| entry.path == file)?;
        *used = true;
        Some(entry.lines)
    }

    /// Entries without effect or without a reason.
    pub(crate) fn stale(&self, findings: &mut Vec<Finding>) {
        for (entry, used) in &self.entries {
            if !used {
                findings.push(Finding::new(LIST, 0, format!("the entry of {} is not needed", entry.path.display())));
            }
            if entry.reason.trim().is_empty() {
                findings.push(Finding::new(LIST, 0, format!("{} is allowed without a reason", entry.path.display())));
            }
        }
    }
}
