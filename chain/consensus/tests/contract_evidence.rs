//! The evidence that the witness contract reads (chain/contracts/vectors/evidence.json) is what the engine encodes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use alloy_primitives::{Address, B256};
use netchain_consensus::Evidence;
use netchain_consensus::evidence::Statement;

fn statement(hash: Option<u8>, pol_round: u64, signature: u8) -> Statement {
    Statement { value: hash.map(B256::repeat_byte).into_iter().collect(), pol_round, signature: [signature; 64] }
}

fn one() -> Vec<Evidence> {
    let (first, second) = (statement(Some(0x11), 0, 1), statement(None, 0, 2));
    vec![Evidence { kind: 0, account: Address::repeat_byte(0xa1), height: 5, round: 0, first, second }]
}

/// Every kind, heights of one to three bytes, the most pieces a block may carry.
fn seven() -> Vec<Evidence> {
    let piece = |i: u8| {
        let pol = |n: u8| if i % 3 == 2 { u64::from(n) } else { 0 };
        Evidence {
            kind: i % 3,
            account: Address::repeat_byte(0xa0 + i),
            height: 10u64.pow(u32::from(i)),
            round: u32::from(i),
            first: statement(Some(i), pol(i), i),
            second: statement(Some(i + 100), pol(i + 1), i + 50),
        }
    };
    (0..7).map(piece).collect()
}

#[test]
fn the_contract_s_evidence_vectors_are_the_engine_s_own_bytes() {
    let text = include_str!("../../contracts/vectors/evidence.json");
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    let cases = [Vec::new(), one(), seven()];
    assert_eq!(json["cases"].as_array().unwrap().len(), cases.len());
    for (case, evidence) in json["cases"].as_array().unwrap().iter().zip(&cases) {
        let mut bytes = Vec::new();
        alloy_rlp::encode_list(evidence, &mut bytes);
        assert_eq!(case["rlp"].as_str().unwrap(), format!("0x{}", hex::encode(&bytes)));
        let accounts: Vec<String> = evidence.iter().map(|it| format!("{:#x}", it.account)).collect();
        assert_eq!(case["accounts"], serde_json::json!(accounts));
    }
}
