//! Signed objects. A body that came from outside is a [`View`] until its signature was checked; only [`View::verify`]
//! makes a [`Signed`], so code that takes a `Signed` cannot be handed something unauthenticated.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{Reader, WireError};
use crate::hash::{Hash, tagged};
use crate::ids::PartyKey;

const SIGNATURE_LEN: usize = 64;

/// A body with a fixed encoding and a domain of its own for signatures.
pub trait Object: Sized + Clone + PartialEq {
    /// Domain of the hash that is signed.
    const TAG: &'static str;

    /// Appends the encoding of the unsigned body.
    fn emit(&self, out: &mut Vec<u8>);

    /// Takes one body from the front of `reader`.
    ///
    /// # Errors
    /// [`WireError`] when a byte is missing or a field has a value the layout does not allow.
    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError>;

    /// The encoding of the unsigned body.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.emit(&mut out);
        out
    }

    /// The body whose encoding is exactly `bytes`.
    ///
    /// # Errors
    /// [`WireError`] when `bytes` are not exactly one body.
    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let body = Self::parse(&mut reader)?;
        reader.finish()?;
        Ok(body)
    }

    /// What a signature covers: `H(TAG, body)`.
    fn signing_hash(&self) -> Hash {
        tagged(Self::TAG, &[&self.to_bytes()])
    }
}

/// A well-formed object whose signature nobody has checked yet.
#[derive(Clone, PartialEq, Debug)]
pub struct View<T> {
    body: T,
    signature: [u8; SIGNATURE_LEN],
}

impl<T: Object> View<T> {
    /// Checks the layout of `bytes`: body, then 64 bytes of signature, then nothing.
    ///
    /// # Errors
    /// [`WireError`] for anything else.
    pub fn new_checked(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        let body = T::parse(&mut reader)?;
        let signature = reader.bytes()?;
        reader.finish()?;
        Ok(Self { body, signature })
    }

    /// The claimed body: good for looking up which key should have signed, for nothing else.
    #[must_use]
    pub const fn claimed(&self) -> &T {
        &self.body
    }

    /// Checks the signature of `signer` (strictly: no small-order keys, no second encoding).
    ///
    /// # Errors
    /// [`WireError::Key`] for bytes that are no key, [`WireError::Signature`] for any other signer or body.
    pub fn verify(self, signer: &PartyKey) -> Result<Signed<T>, WireError> {
        let key = VerifyingKey::from_bytes(&signer.0).map_err(|_| WireError::Key)?;
        key.verify_strict(&self.body.signing_hash(), &Signature::from_bytes(&self.signature))
            .map_err(|_| WireError::Signature)?;
        Ok(Signed { body: self.body, signature: self.signature, signer: *signer })
    }
}

/// An object whose signature was made or checked here.
#[derive(Clone, PartialEq, Debug)]
pub struct Signed<T> {
    body: T,
    signature: [u8; SIGNATURE_LEN],
    signer: PartyKey,
}

impl<T: Object> Signed<T> {
    /// Signs `body`.
    #[must_use]
    pub fn sign(body: T, key: &SigningKey) -> Self {
        let signature = key.sign(&body.signing_hash()).to_bytes();
        Self { body, signature, signer: PartyKey(key.verifying_key().to_bytes()) }
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &T {
        &self.body
    }

    /// Who signed.
    #[must_use]
    pub const fn signer(&self) -> &PartyKey {
        &self.signer
    }

    /// The 64 bytes of the signature.
    #[must_use]
    pub const fn signature(&self) -> &[u8; SIGNATURE_LEN] {
        &self.signature
    }

    /// Body and signature as they travel and as they are stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.body.to_bytes();
        out.extend_from_slice(&self.signature);
        out
    }
}
