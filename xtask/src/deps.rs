//! Arrows between crates only point down (`docs/ARCHITECTURE.md`), and heavy things stay out of light programs. The rules are data: `xtask/deps.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::finding::Finding;

/// Where the rules live.
const RULES: &str = "xtask/deps.toml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    /// Crate to the crates of this workspace it may depend on.
    edges: BTreeMap<String, BTreeSet<String>>,
    /// The same for tests only, on top.
    #[serde(default)]
    dev_edges: BTreeMap<String, BTreeSet<String>>,
    /// What a crate may not link, directly or through others.
    forbidden: Vec<Forbidden>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Forbidden {
    /// Crates the rule is about.
    crates: Vec<String>,
    /// Names, or beginnings of names that end in `*`.
    names: Vec<String>,
    reason: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `null`, `dev` or `build`.
    kind: Option<String>,
    /// Set for crates of this workspace.
    path: Option<String>,
}

/// Runs both rules over the workspace at `root`.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let text = std::fs::read_to_string(root.join(RULES)).context(RULES)?;
    let rules: Rules = toml::from_str(&text).with_context(|| format!("{RULES} does not parse"))?;
    let metadata = cargo(root, &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("cargo metadata")?;
    let mut findings = edges(&rules, &metadata);
    for rule in &rules.forbidden {
        for package in rule.crates.iter().filter(|name| metadata.packages.iter().any(|package| package.name == **name))
        {
            let tree = cargo(root, &["tree", "-p", package, "-e", "normal", "--prefix", "none", "--format", "{p}"])?;
            findings.extend(linked(rule, package, &tree));
        }
    }
    Ok(findings)
}

/// Every edge between crates of the workspace is allowed, and every crate has a rule.
fn edges(rules: &Rules, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    let none = BTreeSet::new();
    for package in &metadata.packages {
        let Some(allowed) = rules.edges.get(&package.name) else {
            findings.push(Finding::new(RULES, 0, format!("{} has no line in [edges]", package.name)));
            continue;
        };
        let allowed_dev = rules.dev_edges.get(&package.name).unwrap_or(&none);
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let dev = dependency.kind.as_deref() == Some("dev") && allowed_dev.contains(&dependency.name);
            if !dev && !allowed.contains(&dependency.name) {
                let text = format!("{} may not depend on {}", package.name, dependency.name);
                findings.push(Finding::new(RULES, 0, text));
            }
        }
    }
    for name in rules.edges.keys().filter(|name| !metadata.packages.iter().any(|package| package.name == **name)) {
        findings.push(Finding::new(RULES, 0, format!("[edges] names {name}, which is not in the workspace")));
    }
    findings
}

/// Forbidden names in the output of `cargo tree --prefix none`.
fn linked(rule: &Forbidden, package: &str, tree: &str) -> Vec<Finding> {
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let forbidden = |name: &&&str| {
        rule.names.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => pattern == **name,
        })
    };
    names
        .iter()
        .filter(forbidden)
        .map(|name| Finding::new(RULES, 0, format!("{package} links {name}: {}", rule.reason)))
        .collect()
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root).output().context("cargo does not start")?;
    if !output.status.success() {
        bail!("cargo {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = r#"
        [edges]
        core = []
        shell = ["core"]
        [dev_edges]
        core = ["shell"]
        [[forbidden]]
        crates = ["core"]
        names = ["tokio", "chain-*"]
        reason = "cores are pure"
    "#;

    fn package(name: &str, dependency: &str, kind: Option<&str>) -> Package {
        let dependency =
            Dependency { name: dependency.into(), kind: kind.map(Into::into), path: Some("/somewhere".into()) };
        Package { name: name.into(), dependencies: vec![dependency] }
    }

    fn texts(packages: Vec<Package>) -> Vec<String> {
        let rules: Rules = toml::from_str(TEXT).unwrap();
        edges(&rules, &Metadata { packages }).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn an_arrow_that_points_up_is_reported() {
        let found = texts(vec![package("core", "shell", None), package("shell", "core", None)]);
        assert_eq!(found, ["core may not depend on shell"]);
    }

    #[test]
    fn a_build_dependency_counts_and_an_allowed_test_dependency_does_not() {
        assert_eq!(texts(vec![package("core", "shell", Some("dev")), package("shell", "core", None)]), [""; 0]);
        let found = texts(vec![package("core", "shell", Some("build")), package("shell", "core", None)]);
        assert_eq!(found, ["core may not depend on shell"]);
    }

    #[test]
    fn a_crate_without_a_rule_and_a_rule_without_a_crate_are_reported() {
        let found = texts(vec![package("core", "shell", Some("dev")), package("new", "core", None)]);
        assert_eq!(found, ["new has no line in [edges]", "[edges] names shell, which is not in the workspace"]);
    }

    #[test]
    fn a_forbidden_crate_is_found_however_deep_it_is_linked() {
        let rules: Rules = toml::from_str(TEXT).unwrap();
        let tree = "core v0.1.0 (/x)\nserde v1.0.0\nchain-store v0.1.0\ntokio v1.0.0 (*)\ntokio-util v0.7.0\n";
        let rule = rules.forbidden.first().unwrap();
        let found: Vec<String> = linked(rule, "core", tree).into_iter().map(|finding| finding.text).collect();
        assert_eq!(found, ["core links chain-store: cores are pure", "core links tokio: cores are pure"]);
    }
}
