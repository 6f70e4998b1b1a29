//! Rules for manifests of crates.

use std::path::Path;

use anyhow::Context;
use toml::Table;

use crate::finding::Finding;

pub(crate) fn check(file: &Path, content: &str, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let manifest: Table = content.parse().with_context(|| format!("{} does not parse", file.display()))?;
    let Some(package) = manifest.get("package").and_then(|package| package.as_table()) else { return Ok(()) };
    for key in ["description", "license"] {
        let inherited = package.get(key).is_some_and(toml::Value::is_table);
        let written = package.get(key).and_then(|value| value.as_str()).is_some_and(|text| !text.trim().is_empty());
        if !inherited && !written {
            findings.push(Finding::new(file, 0, format!("the package has no {key}")));
        }
    }
    // A workspace of its own (the fuzz targets) has no lints to inherit.
    let own_workspace = manifest.contains_key("workspace");
    let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    if !own_workspace && inherits != Some(true) {
        findings.push(Finding::new(file, 0, "does not inherit the workspace lints: add `[lints] workspace = true`"));
    }
    Ok(())
}
