//! Runs ethereum/tests GeneralStateTests and TrieTests from a folder: `statetest FOLDER...`. Exit code 0 when all passed.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program that prints

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use netchain_exec::conformance::{Report, run};

/// Failures shown; the rest is counted.
const SHOWN: usize = 50;

fn main() -> anyhow::Result<ExitCode> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if folders.is_empty() {
        eprintln!("usage: statetest FOLDER...   (a checkout of github.com/ethereum/tests, or a part of it)");
        return Ok(ExitCode::from(2));
    }
    let mut report = Report::default();
    let mut files = 0;
    for folder in &folders {
        for file in json_files(folder)? {
            let secure = file.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().contains("secure"));
            let json = std::fs::read(&file).with_context(|| file.display().to_string())?;
            match run(&json, secure) {
                Ok(mut of_file) => {
                    of_file.failed.iter_mut().for_each(|why| *why = format!("{}: {why}", file.display()));
                    report.add(of_file);
                }
                Err(_) => report.skipped += 1,
            }
            files += 1;
        }
    }
    report.failed.iter().take(SHOWN).for_each(|why| println!("FAILED {why}"));
    if report.failed.len() > SHOWN {
        println!("... and {} more", report.failed.len() - SHOWN);
    }
    println!("{files} files: {} passed, {} failed, {} skipped", report.passed, report.failed.len(), report.skipped);
    let good = report.failed.is_empty() && report.passed > 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All JSON files below a folder, sorted; a file alone is itself.
fn json_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(|| path.display().to_string())? {
                left.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
