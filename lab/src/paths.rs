//! Where this build put its programs and files.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The `netflow-lab` program: this one, or beside the test that runs.
///
/// # Errors
/// When it has not been built.
pub fn lab_binary() -> Result<PathBuf> {
    built_program("netflow-lab", "NETFLOW_LAB_BIN")
}

/// A program of this workspace: the environment variable `variable`, or beside the running one.
///
/// # Errors
/// When it is at neither place.
pub fn built_program(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let exe = std::env::current_exe()?;
    let found = exe.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built: make build (or set {variable})"))
}

/// The `target` folder of this build.
///
/// # Errors
/// When the running program is not in one.
pub fn target_dir() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let dir = exe.ancestors().find(|d| d.file_name().is_some_and(|n| n.to_string_lossy().starts_with("target")));
    Ok(dir.context("this program does not run from a target folder")?.to_path_buf())
}
