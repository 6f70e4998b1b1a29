//! Every committed corpus file runs through the function its fuzz target runs: what a fuzzer once found stays fixed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

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
            // The name first: a panic inside `run` is then easy to place.
            println!("{}", file.display());
            run(&std::fs::read(&file).unwrap());
        }
    }
}

/// A seed that no decoder accepts seeds nothing.
#[test]
fn the_good_seeds_are_good() {
    for (target, name, bytes) in seeds::all() {
        if name.starts_with("good") {
            assert!(seeds::accepted(target, &bytes), "{target}/{name}");
        }
    }
}

#[test]
fn every_decoder_has_a_fuzz_target() {
    let manifest = std::fs::read_to_string(fuzz_folder().join("Cargo.toml")).unwrap();
    for (name, _) in parsers::TARGETS {
        let source = std::fs::read_to_string(fuzz_folder().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(source.contains("fuzz_target!"), "{name} is not a libFuzzer target");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in chain/fuzz/Cargo.toml");
    }
}

/// Run after a change of format: `cargo test -p netchain-sim --test corpus -- --ignored`.
#[test]
#[ignore = "writes the seeds of the corpus into the tree"]
fn write_the_seeds() {
    for (target, name, bytes) in seeds::all() {
        let folder = fuzz_folder().join("corpus").join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}
