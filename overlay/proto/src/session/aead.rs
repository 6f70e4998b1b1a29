//! One AEAD key through aws-lc-rs, in place. The handshake and the record layer both seal and open through this and nothing else,
//! so the Wycheproof vectors that run through it cover both.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use netflow_wire::{Suite, TAG_LEN};

/// Authentication failed, or the input is longer than the algorithm takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AeadError;

/// A key bound to its algorithm. aws-lc cleanses the key schedule when it is dropped (`OPENSSL_free` wipes what it frees).
pub(super) struct Aead {
    key: LessSafeKey,
}

impl Aead {
    pub(super) fn new(suite: Suite, key: &[u8; 32]) -> Result<Self, AeadError> {
        let algorithm: &'static Algorithm = match suite {
            Suite::ChaChaPoly => &CHACHA20_POLY1305,
            Suite::AesGcm => &AES_256_GCM,
        };
        Ok(Self { key: LessSafeKey::new(UnboundKey::new(algorithm, key).map_err(|_| AeadError)?) })
    }

    /// Encrypts `buffer` in place and returns the tag.
    pub(super) fn seal(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut [u8]) -> Result<[u8; TAG_LEN], AeadError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), buffer).map_err(|_| AeadError)?;
        tag.as_ref().try_into().map_err(|_| AeadError)
    }

    /// Decrypts `buffer` in place; after an error its content is garbage and must not be used.
    pub(super) fn open(&self, nonce: [u8; 12], aad: &[u8], buffer: &mut [u8], tag: &[u8]) -> Result<(), AeadError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, buffer).map_err(|_| AeadError)?;
        Ok(())
    }
}
