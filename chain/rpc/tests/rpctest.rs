//! The conformance runner on our own small files: all pass, and a wrong answer is found.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

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

#[test]
fn a_wrong_answer_fails_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = ">> {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"}\n<< {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x2\"}\n";
    std::fs::write(dir.path().join("wrong.io"), file).unwrap();
    let (success, out) = rpctest(dir.path().to_str().unwrap());
    assert!(!success && out.contains("0 passed, 1 failed"), "{out}");
}
