//! The files the rules look at.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Folders that hold no text written by people.
const SKIPPED: [&str; 6] = ["target", "corpus", "artifacts", "vectors", "node_modules", "vendor"];
/// Hidden folders that do.
const HIDDEN: [&str; 4] = [".ci", ".cargo", ".config", ".github"];
/// Endings of text files; files without an ending are read when they are one of `NAMED`.
const ENDINGS: [&str; 9] = ["rs", "toml", "md", "sh", "py", "yml", "yaml", "sol", "service"];
const NAMED: [&str; 3] = ["Makefile", "run", "LICENSE"];

/// Paths relative to `root`, sorted.
pub(crate) fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() {
                let hidden = name.starts_with('.') && !HIDDEN.contains(&name.as_str());
                if !hidden && !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if kind.is_file() && is_text(&path, &name) {
                found.push(path.strip_prefix(root)?.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Content of a file, or nothing when it vanished or is not UTF-8.
pub(crate) fn read_text(root: &Path, file: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read(root.join(file)) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(file.display().to_string()),
    }
}

fn is_text(path: &Path, name: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some(ending) => ENDINGS.contains(&ending),
        None => NAMED.contains(&name),
    }
}
