//! ML-KEM-768 (FIPS 203): the post-quantum half of the handshake.
//!
//! The initiator encapsulates to the key pinned by the responder's record; the shared secret enters the handshake as the psk of
//! `IKpsk2`, so a session is broken only if X25519 *and* ML-KEM are. A damaged ciphertext gives the responder an unrelated secret
//! (implicit rejection) and the handshake fails to authenticate: there is no separate error to observe.

use ml_kem::array::Array;
use ml_kem::kem::{Decapsulate, Encapsulate, KeyExport};
use ml_kem::ml_kem_768::{DecapsulationKey, EncapsulationKey};
use netflow_wire::handshake::KEM_CIPHERTEXT_LEN as CIPHERTEXT_LEN;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::primitives::Secret;

/// Length of an encapsulation key.
pub(super) const PUBLIC_LEN: usize = 1184;

/// Not an encapsulation key: a coefficient is not reduced (FIPS 203, section 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadKemKey;

/// Our decapsulation key, expanded once per table.
pub(super) struct KemKey(DecapsulationKey);

impl KemKey {
    pub(super) fn from_seed(seed: &[u8; 64]) -> Self {
        let mut copy = Array::from(*seed);
        let key = Self(DecapsulationKey::from_seed(copy));
        copy.zeroize();
        key
    }

    pub(super) fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> Secret {
        let mut shared = self.0.decapsulate(&Array::from(*ciphertext));
        let secret = Secret::new(shared.into());
        shared.zeroize();
        secret
    }
}

/// The encapsulation key that belongs to a 64-byte seed; its hash goes into the node record.
#[must_use]
pub fn kem_public_key(seed: &[u8; 64]) -> Box<[u8; PUBLIC_LEN]> {
    let key = KemKey::from_seed(seed);
    Box::new(key.0.encapsulation_key().to_bytes().into())
}

/// A fresh secret for the holder of `public`, and the ciphertext that carries it.
pub(super) fn encapsulate(
    public: &[u8; PUBLIC_LEN],
    rng: &mut dyn CryptoRng,
) -> Result<(Box<[u8; CIPHERTEXT_LEN]>, Secret), BadKemKey> {
    let key = EncapsulationKey::new(&Array::from(*public)).map_err(|_| BadKemKey)?;
    let (ciphertext, shared) = key.encapsulate_with_rng(rng);
    let shared = Zeroizing::new(<[u8; 32]>::from(shared));
    Ok((Box::new(ciphertext.into()), Secret::new(*shared)))
}
