//! Every committed corpus file of this crate's parsers runs through the function its fuzz target runs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod parsers;
#[path = "parsers/seeds.rs"]
mod seeds;

use std::path::{Path, PathBuf};

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

#[test]
fn every_corpus_file_is_replayed() {
    for (name, run) in parsers::TARGETS {
        let folder = fuzz_folder().join("corpus").join(name);
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            println!("{}", file.display());
            run(&std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn every_parser_has_a_fuzz_target() {
    let manifest = std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for (name, _) in parsers::TARGETS {
        let source = std::fs::read_to_string(fuzz_folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains("fuzz_target!"), "{name} is not a libFuzzer target");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in overlay/fuzz/Cargo.toml");
    }
}

/// Run after a change of format: `cargo test -p netflow-overlay --test corpus -- --ignored`.
#[test]
#[ignore = "writes the seeds of the corpus into the tree"]
fn write_the_seeds() {
    seeds::write();
}
