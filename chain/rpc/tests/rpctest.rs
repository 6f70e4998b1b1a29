//! The conformance runner on our own small files: all pass, and a wrong answer is found.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::indexing_slicing, missing_docs)]

use std::process::Command;

fn rpctest(dir: &str) -> (bool, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_rpctest")).arg(dir).output().unwrap();
    (out.status.success(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8_lossy(&out.stderr))
}

#[test]
fn our_request_and_response_files_pass() {
    let (success, out) = rpctest(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/io"));
    assert!(success && out.contains("8 passed, 0 failed"), "{out}");
}

/// The chain and the answers are ethereumjs' (tests/foreign/generate.mjs): Paris, Shanghai, Cancun, Prague.
#[test]
fn a_chain_of_another_implementation_is_taken_block_by_block_and_told_to_the_byte() {
    let (success, out) = rpctest(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign"));
    assert!(success && out.contains("9 passed, 0 failed"), "{out}");
}

#[test]
fn a_changed_chain_is_not_taken() {
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
    let dir = tempfile::tempdir().unwrap();
    let chain = std::fs::read(from.join("chain.rlp")).unwrap();
    let genesis = std::fs::read_to_string(from.join("genesis.json")).unwrap();
    let taken = |genesis: &str, chain: &[u8]| {
        std::fs::write(dir.path().join("genesis.json"), genesis).unwrap();
        std::fs::write(dir.path().join("chain.rlp"), chain).unwrap();
        let (success, out) = rpctest(dir.path().to_str().unwrap());
        assert!(!success);
        out
    };
    // Nothing asked is nothing passed, but the chain is read.
    assert!(taken(&genesis, &chain).contains("0 passed, 0 failed"));
    // Another balance of the sender, other rules, a cut, a changed byte in the last block.
    assert!(taken(&genesis.replace("0x3635c9adc5dea00000", "0x3635c9adc5dea00001"), &chain).contains("block 1"));
    assert!(taken(&genesis.replace("\"shanghaiTime\": 25", "\"shanghaiTime\": 5"), &chain).contains("block"));
    assert!(taken(&genesis, &chain[..chain.len() - 1]).contains("holds no block"));
    let mut changed = chain.clone();
    let last = changed.len() - 40;
    changed[last] ^= 1;
    assert!(!taken(&genesis, &changed).contains("0 passed"));
}

#[test]
fn a_wrong_answer_fails_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = ">> {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"}\n<< {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x2\"}\n";
    std::fs::write(dir.path().join("wrong.io"), file).unwrap();
    let (success, out) = rpctest(dir.path().to_str().unwrap());
    assert!(!success && out.contains("0 passed, 1 failed"), "{out}");
}
