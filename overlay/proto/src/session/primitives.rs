//! Hashes, MACs, HKDF and X25519 in the shapes the session layer needs.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use blake2::digest::consts::{U16, U32};
use blake2::digest::{Digest, KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// A 32-byte secret that is wiped when dropped. Deliberately without comparison and `Debug` of its own: never compare secrets with `==`.
pub(super) struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// BLAKE2s-256 of the concatenation of `parts` (RFC 7693).
pub(super) fn blake2s256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Blake2s256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// BLAKE2s-256 in keyed mode.
pub(super) fn keyed_blake2s256(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    let mut mac = Blake2sMac::<U32>::new(key.into());
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// BLAKE2s-128 in keyed mode: the mac of handshake frames and of cookies.
pub(super) fn keyed_blake2s128(key: &[u8; 32], data: &[u8]) -> [u8; 16] {
    let mut mac = Blake2sMac::<U16>::new(key.into());
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// HKDF-SHA256 (RFC 5869), one 32-byte output.
pub(super) fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[&[u8]]) -> Secret {
    let mut out = Zeroizing::new([0u8; 32]);
    // 32 bytes are one block of SHA-256: far below HKDF's limit of 255 blocks, the only error there is.
    Hkdf::<Sha256>::new(Some(salt), ikm)
        .expand_multi_info(info, out.as_mut())
        .expect("one block is within HKDF's limit");
    Secret(out)
}

/// Public key of an x25519 private key (RFC 7748). `None` only if aws-lc cannot allocate.
pub(super) fn x25519_public(secret: &[u8; 32]) -> Option<[u8; 32]> {
    let key = PrivateKey::from_private_key(&X25519, secret).ok()?;
    key.compute_public_key().ok()?.as_ref().try_into().ok()
}

/// X25519. `None` when the shared secret would be all zero (a low-order public key), as RFC 7748 section 6.1 allows to refuse.
pub(super) fn x25519(secret: &[u8; 32], public: &[u8; 32]) -> Option<Secret> {
    let key = PrivateKey::from_private_key(&X25519, secret).ok()?;
    agreement::agree(&key, UnparsedPublicKey::new(&X25519, public), (), |shared| {
        Ok(Secret::new(shared.try_into().map_err(|_| ())?))
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::Secret;
    use crate::session::LocalIdentity;
    use crate::session::cookie::{CookieSecrets, MacKey};
    use crate::session::kem::KemKey;
    use crate::session::record::{OpenState, SealState};

    #[test]
    fn pitfall_20_secret_types_cannot_be_compared_or_printed_and_macs_are_compared_in_constant_time() {
        assert_not_impl_any!(Secret: PartialEq, Eq, std::fmt::Debug, Clone);
        assert_not_impl_any!(LocalIdentity: PartialEq, Eq, std::fmt::Debug, Clone);
        assert_not_impl_any!(KemKey: PartialEq, Eq, std::fmt::Debug, Clone);
        assert_not_impl_any!(MacKey: PartialEq, Eq, std::fmt::Debug, Clone);
        assert_not_impl_any!(CookieSecrets: PartialEq, Eq, std::fmt::Debug, Clone);
        assert_not_impl_any!(SealState: PartialEq, Eq, std::fmt::Debug, Clone);
        assert_not_impl_any!(OpenState: PartialEq, Eq, std::fmt::Debug, Clone);
        // The one place that compares a mac we made with a mac we were given; AEAD tags are compared inside aws-lc.
        let source = include_str!("cookie.rs");
        assert!(source.contains(".ct_eq(mac)") && !source.contains("== mac") && !source.contains("== *mac"));
    }
}
