//! Keys and addresses of accounts: secp256k1 and EIP-55.

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use zeroize::Zeroizing;

/// The secret key of an account. Wiped when dropped; neither printed nor compared.
pub(crate) struct AccountKey(SecretKey);

impl Drop for AccountKey {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl AccountKey {
    /// A key from 32 bytes; none when they are 0 or not below the order of the curve.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        SecretKey::from_byte_array(bytes).ok().map(Self)
    }

    /// The 32 bytes.
    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.secret_bytes())
    }

    /// A new key; `fill` gives random bytes. Bytes that are no key come once in 2^128 draws.
    pub(crate) fn generate(mut fill: impl FnMut(&mut [u8; 32])) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            fill(&mut bytes);
            if let Some(key) = Self::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// The account: the last 20 bytes of the public key's hash.
    pub(crate) fn address(&self) -> Address {
        let point = PublicKey::from_secret_key(SECP256K1, &self.0).serialize_uncompressed();
        // The first byte tells the encoding and is not hashed.
        Address::from_word(keccak256(point.get(1..).unwrap_or_default()))
    }

    /// Signs a hash; deterministic (RFC 6979), low s.
    pub(crate) fn sign(&self, hash: &B256) -> Signature {
        let signature = SECP256K1.sign_ecdsa_recoverable(&Message::from_digest(hash.0), &self.0);
        let (id, bytes) = signature.serialize_compact();
        let (r, s) = bytes.split_at(32);
        Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), i32::from(id) & 1 == 1)
    }
}

/// An address as a person gives it: 40 hexadecimal digits behind `0x`. Letters of both cases are a checksum (EIP-55) and must
/// be right, so that a typing error pays nobody.
///
/// # Errors
/// A text for the user.
pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
    let digits = text.strip_prefix("0x").ok_or("an address begins with 0x")?;
    let address: Address = digits.parse().map_err(|_| String::from("an address is 0x and 40 hexadecimal digits"))?;
    let mixed = digits.bytes().any(|b| b.is_ascii_uppercase()) && digits.bytes().any(|b| b.is_ascii_lowercase());
    if mixed && address.to_checksum(None) != text {
        return Err(String::from("its capital letters are a checksum, and it does not fit: a digit is wrong"));
    }
    Ok(address)
}

/// A transaction or block hash as a person gives it.
///
/// # Errors
/// A text for the user.
pub(crate) fn parse_hash(text: &str) -> Result<B256, String> {
    let hash = text.strip_prefix("0x").and_then(|digits| digits.parse().ok());
    hash.ok_or_else(|| String::from("a hash is 0x and 64 hexadecimal digits"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a wrong assumption must fail the test")]
mod tests {
    use super::*;

    /// Addresses of EIP-55, section "Test Cases".
    const EIP_55: [&str; 8] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn addresses_have_the_checksum_of_eip_55() {
        for text in EIP_55 {
            assert_eq!(parse_address(text).unwrap().to_checksum(None), text);
            assert!(parse_address(&text.to_lowercase()).is_ok());
        }
        // One letter of the wrong case, one wrong digit, too short, no prefix.
        for wrong in [
            "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeA",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "",
            "0x",
            "0xé",
        ] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_known_key_has_its_known_address() {
        // The first account of the mnemonic "test test .. junk", which every Ethereum tool prints.
        let mut bytes = [0; 32];
        hex::decode_to_slice("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", &mut bytes).unwrap();
        let key = AccountKey::from_bytes(&bytes).unwrap();
        assert_eq!(key.address().to_checksum(None), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    }

    #[test]
    fn numbers_that_are_no_key_are_refused_and_drawn_again() {
        assert!(AccountKey::from_bytes(&[0; 32]).is_none());
        assert!(AccountKey::from_bytes(&[255; 32]).is_none());
        let mut draws = 0;
        let key = AccountKey::generate(|bytes| {
            draws += 1;
            bytes.fill(if draws == 1 { 0 } else { 7 });
        });
        assert_eq!((draws, *key.to_bytes()), (2, [7; 32]));
    }
}
