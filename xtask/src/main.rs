//! House rules as code: `cargo xtask tidy`, `cargo xtask deps`, `cargo xtask size`.
//!
//! Each rule is a function from a tree or from data to a list of findings; this file only prints them. Exit code 1 when there is one.

// A tool of the developer's machine: it starts cargo and prints.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

mod deps;
mod finding;
mod size;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::finding::Finding;

#[derive(Parser)]
#[command(name = "xtask", about = "House rules as code")]
struct Arguments {
    #[command(subcommand)]
    rule: Rule,
}

#[derive(Subcommand)]
enum Rule {
    /// File sizes, leftovers, whitespace, manifests, links of the documents
    Tidy,
    /// Dependency direction between crates, and what may never be linked
    Deps,
    /// Stripped size of netflowd against its budget
    Size {
        /// Measure target/release/netflowd as it is
        #[arg(long)]
        no_build: bool,
    },
}

fn main() -> ExitCode {
    let rule = Arguments::parse().rule;
    match run(&rule) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(rule: &Rule) -> anyhow::Result<ExitCode> {
    let root = root()?;
    let (name, findings) = match rule {
        Rule::Tidy => ("tidy", tidy::check(&root)?),
        Rule::Deps => ("deps", deps::check(&root)?),
        Rule::Size { no_build } => ("size", size::check(&root, !no_build)?),
    };
    Ok(report(name, &findings))
}

fn report(rule: &str, findings: &[Finding]) -> ExitCode {
    for finding in findings {
        println!("{rule}: {finding}");
    }
    if findings.is_empty() {
        println!("{rule}: ok");
        ExitCode::SUCCESS
    } else {
        println!("{rule}: {} finding(s)", findings.len());
        ExitCode::FAILURE
    }
}

fn root() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map(Path::to_path_buf).context("xtask has no parent folder")
}
