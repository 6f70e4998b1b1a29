//! The one way this project signs and verifies: ed25519 (RFC 8032), strict, with a domain string in front of the message.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// A signature that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signature does not verify")]
pub struct SignatureError;

/// Who says that a signature holds.
///
/// One implementation checks it, [`Strict`], and every program uses that one. It is a seam because the answer is a pure function of its
/// arguments: a simulator whose thousand nodes all get the same entries may remember what held instead of checking it a thousand times.
pub trait Signatures: Send + Sync {
    /// As [`verify`].
    ///
    /// # Errors
    /// [`SignatureError`] for every reason alike.
    fn verify(&self, key: &[u8; 32], domain: &str, message: &[u8], signature: &[u8; 64]) -> Result<(), SignatureError>;
}

/// Checks every signature.
#[derive(Debug, Clone, Copy, Default)]
pub struct Strict;

impl Signatures for Strict {
    fn verify(&self, key: &[u8; 32], domain: &str, message: &[u8], signature: &[u8; 64]) -> Result<(), SignatureError> {
        verify(key, domain, message, signature)
    }
}

/// Signs `domain | message`. Domains end where the message begins, so every domain of this project is a fixed text and no prefix of another.
pub fn sign(key: &SigningKey, domain: &str, message: &[u8]) -> [u8; 64] {
    key.sign(&joined(domain, message)).to_bytes()
}

/// Verifies `domain | message` strictly: the scalar must be canonical, neither key nor nonce point of small order.
///
/// Of all byte strings exactly those a signer with the key made are accepted, so a signature cannot be changed into another one that holds.
///
/// # Errors
/// [`SignatureError`] for every reason alike.
pub fn verify(key: &[u8; 32], domain: &str, message: &[u8], signature: &[u8; 64]) -> Result<(), SignatureError> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| SignatureError)?;
    key.verify_strict(&joined(domain, message), &Signature::from_bytes(signature)).map_err(|_| SignatureError)
}

fn joined(domain: &str, message: &[u8]) -> Vec<u8> {
    [domain.as_bytes(), message].concat()
}
