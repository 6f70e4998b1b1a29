//! Hostile bytes at every decoder: an error, never a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Bytes, TxKind};
use alloy_rpc_types_eth::TransactionRequest;
use common::{CHAIN_ID, chain, genesis_json, sign, transfer, wallet};
use netchain_exec::precompiles::{SIGNATURES, TRIE_PROOF};
use netchain_exec::{
    Call, Genesis, SignedTransaction, conformance, decode_body, decode_stored_all, encode_senders, roots_of_body,
};
use proptest::prelude::*;

fn changed(mut bytes: Vec<u8>, at: usize, flip: u8, cut: usize) -> Vec<u8> {
    let at = at % bytes.len();
    bytes[at] ^= flip;
    bytes.truncate(bytes.len() - cut.min(bytes.len()));
    bytes
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = SignedTransaction::decode(&bytes, CHAIN_ID);
        let _ = decode_body(&bytes, CHAIN_ID);
        let _ = roots_of_body(&bytes);
        let _ = Genesis::from_json(&bytes);
        let _ = conformance::run(&bytes, true);
    }

    #[test]
    fn a_changed_transaction_is_another_one_or_none(at in 0usize..200, flip in 1u8..=255, cut in 0usize..3) {
        let a = wallet(1);
        let good = sign(&a.key, transfer(&a, 0, a.address, 1)).encoded_2718();
        let bad = changed(good.clone(), at, flip, cut);
        if let Ok(other) = SignedTransaction::decode(&bad, CHAIN_ID) {
            // Valid bytes all the same: then somebody else signed, or the hash is that of other bytes.
            prop_assert_eq!(other.bytes().to_vec(), bad);
            prop_assert!(other.sender() != a.address);
        }
    }

    #[test]
    fn a_changed_genesis_file_never_panics(at in 0usize..4_000, flip in 1u8..128) {
        let json = changed(genesis_json("", "").into_bytes(), at, flip, 0);
        if let Ok(genesis) = Genesis::from_json(&json) {
            let _ = genesis.block();
        }
    }
}

#[test]
fn stored_transactions_are_read_with_the_senders_noted_and_without_notes_recovered() {
    let (a, b) = (wallet(1), wallet(2));
    let raws: Vec<Bytes> = [(&a, 0), (&b, 0), (&a, 1)]
        .iter()
        .map(|(from, nonce)| sign(&from.key, transfer(from, *nonce, b.address, 1)).encoded_2718().into())
        .collect();
    let read: Vec<_> = raws.iter().map(|raw| SignedTransaction::decode(raw, CHAIN_ID).unwrap()).collect();
    let notes = encode_senders(&read);
    // Notes are believed: that is what makes them cheap. So a changed one shows.
    let mut changed = notes.to_vec();
    changed[20] ^= 1;
    let senders = |notes: &[u8]| -> Vec<_> {
        decode_stored_all(&raws, notes, CHAIN_ID).unwrap().iter().map(SignedTransaction::sender).collect()
    };
    assert_eq!(senders(&notes), [a.address, b.address, a.address]);
    assert_ne!(senders(&changed)[1], b.address);
    // Notes of another length are none: the signatures decide.
    for notes in [&changed[..40], &changed[..59], &[], &[changed.clone(), changed.clone()].concat()] {
        assert_eq!(senders(notes), [a.address, b.address, a.address]);
    }
    assert!(decode_stored_all(&[], &[], CHAIN_ID).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_input_makes_a_precompile_panic(
        first in 0u8..3, bytes in prop::collection::vec(any::<u8>(), 0..300), signatures in any::<bool>()
    ) {
        let chain = chain("", "");
        let to = if signatures { SIGNATURES } else { TRIE_PROOF };
        let request = TransactionRequest {
            to: Some(TxKind::Call(to)),
            input: Bytes::from([vec![first], bytes].concat()).into(),
            ..TransactionRequest::default()
        };
        let call = Call { request: &request, overrides: None, gas_cap: 1_000_000 };
        let outcome = chain.executor.call(&chain.state, &chain.context(), &call).unwrap();
        prop_assert!(outcome.result.is_success());
    }
}
