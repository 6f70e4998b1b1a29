//! Size of the program a home router flashes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::finding::Finding;

/// Stripped `netflowd`: it shares 16 MiB of flash with an OpenWrt image (`docs/ARCHITECTURE.md`, budgets).
const BUDGET: usize = 6 << 20;
/// The program, below the target folder.
const PROGRAM: &str = "release/netflowd";

/// Builds when asked to, then measures.
pub(crate) fn check(root: &Path, build: bool) -> anyhow::Result<Vec<Finding>> {
    if build {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "-p", "netflowd"]).current_dir(root);
        if !command.status().context("cargo does not start")?.success() {
            bail!("the release build failed");
        }
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let path = target.join(PROGRAM);
    let program = std::fs::read(&path).with_context(|| format!("{}: run without --no-build", path.display()))?;
    let mebibytes = program.len() as f64 / f64::from(1 << 20);
    println!("size: netflowd {} bytes = {mebibytes:.2} MiB of {} MiB", program.len(), BUDGET >> 20);
    Ok(measure(&program))
}

fn measure(program: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if program.len() > BUDGET {
        findings.push(Finding::new(PROGRAM, 0, format!("{} bytes, budget {BUDGET}", program.len())));
    }
    // The name of the symbol table's section: `strip` removes both.
    if program.windows(8).any(|window| window == b".symtab\0") {
        findings.push(Finding::new(PROGRAM, 0, "is not stripped: measure the release profile"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_over_the_budget_is_reported() {
        assert_eq!(measure(&vec![0; BUDGET]), []);
        assert_eq!(measure(&vec![0; BUDGET + 1]).len(), 1);
    }

    #[test]
    fn a_program_with_symbols_is_reported() {
        assert_eq!(measure(b"ELF .strtab\0.symtab\0").len(), 1);
    }
}
