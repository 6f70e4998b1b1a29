//! Signatures: the seam to the key of a witness, and the one strict check of everybody else's.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

/// The vote key of this witness and the check of others' signatures. A seam: a key may live in another process or device.
pub trait Keys {
    /// ed25519 signature over `bytes`.
    fn sign(&self, bytes: &[u8]) -> [u8; 64];

    /// Strict ed25519 verification.
    fn verify(&self, key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> bool {
        verify_strict(key, bytes, signature)
    }
}

impl Keys for SigningKey {
    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        ed25519_dalek::Signer::sign(self, bytes).to_bytes()
    }
}

/// RFC 8032 verification that accepts one signature per text only: canonical scalars, no weak key, no cofactor.
#[must_use]
pub fn verify_strict(key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok())
}
