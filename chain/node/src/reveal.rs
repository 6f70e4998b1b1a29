//! The randomness reveal of a block's creator: a BLS12-381 signature, unique per key and height, so it cannot be ground.
//!
//! Keys in G1 (48 bytes), signatures in G2 (96 bytes), hash to curve with [`DST`] (RFC 9380). Signed text:
//! `"NFC/REVEAL/v1" | chain_id u64 | genesis 32 | height u64`.

use blst::BLST_ERROR;
use blst::min_pk::{PublicKey, SecretKey, Signature};
use netchain_types::ChainDomain;
use zeroize::Zeroizing;

/// Domain separation tag of the hash to curve: the basic scheme of draft-irtf-cfrg-bls-signature.
pub const DST: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_";
const TEXT: &[u8] = b"NFC/REVEAL/v1";

fn text(chain: &ChainDomain, height: u64) -> Vec<u8> {
    [TEXT, &chain.chain_id.to_be_bytes(), chain.genesis.as_slice(), &height.to_be_bytes()].concat()
}

/// The reveal key of a witness. blst wipes it when dropped.
pub struct RevealKey(SecretKey);

impl RevealKey {
    /// A key from 32 random bytes (HKDF of the draft above).
    #[must_use]
    pub fn generate(entropy: &[u8; 32]) -> Option<Self> {
        SecretKey::key_gen(entropy, &[]).ok().map(Self)
    }

    /// Reads 32 secret bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        SecretKey::from_bytes(bytes).ok().map(Self)
    }

    /// The secret bytes, for the key file.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key: `reveal_key` of the witness' seat.
    #[must_use]
    pub fn public(&self) -> [u8; 48] {
        self.0.sk_to_pk().to_bytes()
    }

    /// The reveal of a height.
    #[must_use]
    pub fn reveal(&self, chain: &ChainDomain, height: u64) -> [u8; 96] {
        self.0.sign(&text(chain, height), DST, &[]).to_bytes()
    }
}

/// Whether `reveal` is the reveal of `key` for `height`. Safe on any input.
#[must_use]
pub fn verify_reveal(key: &[u8; 48], chain: &ChainDomain, height: u64, reveal: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (PublicKey::key_validate(key), Signature::sig_validate(reveal, true)) else {
        return false;
    };
    signature.verify(false, &text(chain, height), DST, &[], &key, false) == BLST_ERROR::BLST_SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;

    #[test]
    fn a_reveal_is_of_one_key_height_and_chain() {
        let chain = ChainDomain { chain_id: 7, genesis: B256::repeat_byte(1) };
        let key = RevealKey::generate(&[7; 32]).unwrap();
        let same = RevealKey::from_bytes(&key.to_bytes()).unwrap();
        let reveal = key.reveal(&chain, 5);
        assert_eq!(reveal, same.reveal(&chain, 5), "unique");
        assert!(verify_reveal(&key.public(), &chain, 5, &reveal));
        assert!(!verify_reveal(&key.public(), &chain, 6, &reveal));
        assert!(!verify_reveal(&key.public(), &ChainDomain { chain_id: 8, ..chain }, 5, &reveal));
        assert!(!verify_reveal(&RevealKey::generate(&[8; 32]).unwrap().public(), &chain, 5, &reveal));
        assert!(!verify_reveal(&[0; 48], &chain, 5, &reveal) && !verify_reveal(&key.public(), &chain, 5, &[0; 96]));
    }
}
