//! The primitives `snow` uses: aws-lc-rs for X25519 and the AEADs, blake2 for BLAKE2s, and one ephemeral key given in advance.

use blake2::Blake2s256;
use blake2::digest::Digest;
use netflow_wire::{Suite, TAG_LEN};
use snow::Error;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

use super::aead::Aead;
use super::primitives::{Secret, x25519, x25519_public};

/// Gives snow our primitives. The ephemeral private key is drawn by the caller: one handshake generates exactly one.
pub(super) struct Resolver {
    ephemeral: Secret,
}

impl Resolver {
    pub(super) const fn new(ephemeral: Secret) -> Self {
        Self { ephemeral }
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneEphemeral(Some(Secret::new(*self.ephemeral.expose())))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        (*choice == DHChoice::Curve25519).then(|| Box::new(X25519Dh::new()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        (*choice == HashChoice::Blake2s).then(|| Box::new(Blake2sHash(Blake2s256::new())) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        let suite = match choice {
            CipherChoice::ChaChaPoly => Suite::ChaChaPoly,
            CipherChoice::AESGCM => Suite::AesGcm,
        };
        Some(Box::new(NoiseCipher { suite, key: None }))
    }
}

/// "Random" source holding the 32 bytes of the ephemeral key; a second draw is an error, never a repetition.
struct OneEphemeral(Option<Secret>);

impl Random for OneEphemeral {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        let secret = self.0.take().ok_or(Error::Rng)?;
        if dest.len() != secret.expose().len() {
            return Err(Error::Rng);
        }
        dest.copy_from_slice(secret.expose());
        Ok(())
    }
}

struct X25519Dh {
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl X25519Dh {
    fn new() -> Self {
        Self { private: Zeroizing::new([0; 32]), public: [0; 32] }
    }

    fn derive_public(&mut self) -> Result<(), Error> {
        self.public = x25519_public(&self.private).ok_or(Error::Dh)?;
        Ok(())
    }
}

impl Dh for X25519Dh {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        // A wrong length leaves the zero public key, with which no handshake completes; callers pass `[u8; 32]`.
        if let Ok(bytes) = privkey.try_into() {
            self.private = Zeroizing::new(bytes);
            let _ = self.derive_public();
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        rng.try_fill_bytes(self.private.as_mut())?;
        self.derive_public()
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.private.as_ref()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public = pubkey.first_chunk().ok_or(Error::Dh)?;
        let shared = x25519(&self.private, public).ok_or(Error::Dh)?;
        out.first_chunk_mut().map(|out| *out = *shared.expose()).ok_or(Error::Dh)
    }
}

/// BLAKE2s for snow's HMAC and HKDF.
struct Blake2sHash(Blake2s256);

impl Hash for Blake2sHash {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Blake2s256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let digest: [u8; 32] = std::mem::replace(&mut self.0, Blake2s256::new()).finalize().into();
        if let Some(out) = out.first_chunk_mut() {
            *out = digest;
        }
    }
}

struct NoiseCipher {
    suite: Suite,
    key: Option<Aead>,
}

impl NoiseCipher {
    /// Noise, section 12: ChaChaPoly counts in little endian, AESGCM in big endian.
    fn nonce(&self, counter: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        if let Some(tail) = nonce.last_chunk_mut() {
            *tail = match self.suite {
                Suite::ChaChaPoly => counter.to_le_bytes(),
                Suite::AesGcm => counter.to_be_bytes(),
            };
        }
        nonce
    }
}

impl Cipher for NoiseCipher {
    fn name(&self) -> &'static str {
        match self.suite {
            Suite::ChaChaPoly => "ChaChaPoly",
            Suite::AesGcm => "AESGCM",
        }
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key = Aead::new(self.suite, key).ok();
    }

    /// Returns 0, which our callers take for a failed handshake, when no key is set or `out` is too short.
    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (Some(key), Some((body, rest))) = (&self.key, out.split_at_mut_checked(plaintext.len())) else { return 0 };
        let Some(tag) = rest.first_chunk_mut::<TAG_LEN>() else { return 0 };
        body.copy_from_slice(plaintext);
        match key.seal(self.nonce(nonce), authtext, body) {
            Ok(sealed) => {
                *tag = sealed;
                plaintext.len() + TAG_LEN
            }
            Err(_) => {
                body.fill(0);
                0
            }
        }
    }

    fn decrypt(&self, nonce: u64, authtext: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let key = self.key.as_ref().ok_or(Error::Decrypt)?;
        let (body, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Error::Decrypt)?;
        let out = out.get_mut(..body.len()).ok_or(Error::Decrypt)?;
        out.copy_from_slice(body);
        key.open(self.nonce(nonce), authtext, out, tag).map_err(|_| Error::Decrypt)?;
        Ok(body.len())
    }
}
