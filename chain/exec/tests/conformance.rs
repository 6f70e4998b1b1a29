//! The runner of Ethereum's tests: published roots, and a state test whose outcome is worked out by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};
use common::wallet;
use netchain_exec::conformance::run;

#[test]
fn trie_tests_give_their_published_roots() {
    let report = run(include_bytes!("fixtures/trieanyorder.json"), false).unwrap();
    assert_eq!((report.passed, report.failed), (9, Vec::new()));
    let wrong =
        String::from_utf8_lossy(include_bytes!("fixtures/trieanyorder.json")).replace("\"puppy\" }", "\"cat\" }");
    assert_eq!(run(wrong.as_bytes(), false).unwrap().failed.len(), 1);
    // Hashed keys give other roots.
    assert_eq!(run(include_bytes!("fixtures/trieanyorder.json"), true).unwrap().failed.len(), 8);
}

fn leaf(nonce: u64, balance: u128) -> TrieAccount {
    TrieAccount { nonce, balance: U256::from(balance), storage_root: EMPTY_ROOT_HASH, code_hash: KECCAK_EMPTY }
}

/// One transfer of 7 wei at 12 wei a gas with a base fee of 10: the sender pays 21,000 * 12 + 7, the coinbase gets 21,000 * 2.
fn case(root: B256, logs: B256, exception: &str) -> String {
    let (sender, to, coinbase) = (wallet(1).address, Address::repeat_byte(2), Address::repeat_byte(3));
    format!(
        r#"{{ "transfer": {{
            "env": {{ "currentCoinbase": "{coinbase}", "currentDifficulty": "0x0", "currentGasLimit": "0x1000000",
                "currentNumber": "0x1", "currentTimestamp": "0x3e8", "currentRandom": "0x00", "currentBaseFee": "0x0a" }},
            "pre": {{ "{sender}": {{ "balance": "0x0de0b6b3a7640000", "code": "0x", "nonce": "0x00", "storage": {{}} }} }},
            "transaction": {{ "data": ["0x"], "gasLimit": ["0x5208"], "gasPrice": "0x0c", "nonce": "0x00",
                "secretKey": "0x{}", "to": "{to}", "value": ["0x07"] }},
            "post": {{ "Prague": [ {{ "hash": "{root}", "logs": "{logs}", "indexes": {{ "data": 0, "gas": 0, "value": 0 }} {exception} }} ],
                "Osaka": [ {{ "hash": "{root}", "logs": "{logs}", "indexes": {{ "data": 0, "gas": 0, "value": 0 }} {exception} }} ],
                "Homestead": [ {{ "hash": "{root}", "logs": "{logs}", "indexes": {{ "data": 0, "gas": 0, "value": 0 }} }} ] }} }} }}"#,
        hex::encode(wallet(1).key.secret_bytes()),
    )
}

#[test]
fn a_state_test_worked_out_by_hand_passes_and_its_mutations_fail() {
    let before = 1_000_000_000_000_000_000u128;
    let after = [
        (wallet(1).address, leaf(1, before - 21_000 * 12 - 7)),
        (Address::repeat_byte(2), leaf(0, 7)),
        (Address::repeat_byte(3), leaf(0, 21_000 * 2)),
    ];
    // alloy's builder: another implementation than the one under test.
    let root = alloy_trie::root::state_root_unhashed(after);
    let no_logs = keccak256([0xc0]);
    let report = run(case(root, no_logs, "").as_bytes(), false).unwrap();
    assert_eq!((report.passed, report.skipped, report.failed), (2, 1, Vec::new()));
    for bad in [
        case(keccak256("root"), no_logs, ""),
        case(root, keccak256("logs"), ""),
        case(root, no_logs, r#", "expectException": "TR_NoFunds""#),
        case(root, no_logs, "").replace("\"value\": [\"0x07\"]", "\"value\": [\"0x08\"]"),
    ] {
        let report = run(bad.as_bytes(), false).unwrap();
        assert_eq!((report.passed, report.failed.len()), (0, 2), "{:?}", report.failed);
    }
    // A transaction that is refused leaves the state before it.
    let unchanged = alloy_trie::root::state_root_unhashed([(wallet(1).address, leaf(0, before))]);
    let refused = case(unchanged, no_logs, r#", "expectException": "TR_NonceMismatch""#).replacen(
        "\"nonce\": \"0x00\",\n                \"secretKey\"",
        "\"nonce\": \"0x05\",\n                \"secretKey\"",
        1,
    );
    let report = run(refused.as_bytes(), false).unwrap();
    assert_eq!((report.passed, report.failed), (2, Vec::new()));
}

/// Cases of ethereum/tests (tests/data/NOTICE), through the program itself.
#[test]
#[allow(clippy::disallowed_methods, reason = "the test starts the program it tests")]
fn published_cases_pass_and_a_changed_one_fails_the_program() {
    let run = |dir: &std::path::Path| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_statetest")).arg(dir).output().unwrap();
        (out.status.code(), String::from_utf8(out.stdout).unwrap())
    };
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let (code, out) = run(&data);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.ends_with("6 files: 10 passed, 0 failed, 0 skipped\n"), "{out}");
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(data.join("GeneralStateTests/add11.json")).unwrap();
    std::fs::write(dir.path().join("add11.json"), text.replace("0xcd39e0cd", "0xcd39e0ce")).unwrap();
    let (code, out) = run(dir.path());
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("FAILED") && out.ends_with("1 files: 1 passed, 1 failed, 0 skipped\n"), "{out}");
    assert_eq!(run(tempfile::tempdir().unwrap().path()).0, Some(1), "nothing run is nothing passed");
}
