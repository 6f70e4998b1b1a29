//! The owner key sealed with a passphrase, for a drawer or a friend's disk: who loses the key loses the network, who reads it owns the network.
//!
//! `[magic, version, salt, m_cost, t_cost, p_cost, nonce, sealed]`: Argon2id (RFC 9106) stretches the passphrase, HKDF-SHA256 (RFC 5869) binds the
//! result to this purpose, ChaCha20-Poly1305 (RFC 8439) seals, with every byte before the sealed part as associated data.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use minicbor::Decoder;
use netflow_wire::NetworkId;
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::cbor;
use crate::identity::Secret;
use crate::netlog::network_id;

const MAGIC: &str = "netflow-owner-backup";
const VERSION: u8 = 1;
/// HKDF info.
const INFO: &[u8] = b"NFC/1 owner backup";
/// 64 MiB, three passes, one lane: the second recommendation of RFC 9106 (4.) with the memory a small router has.
const M_COST_KIB: u32 = 64 * 1024;
const T_COST: u32 = 3;
const P_COST: u32 = 1;
/// A backup from elsewhere may ask for more than this program writes, but not for all memory of the router.
const MAX_M_COST_KIB: u32 = 256 * 1024;
const MAX_T_COST: u32 = 16;
const MAX_P_COST: u32 = 4;
/// Guesses (as a power of ten) a passphrase must withstand. With the cost above, 10^12 guesses are thousands of years of one core.
const MIN_GUESSES_LOG10: f64 = 12.0;
/// zxcvbn looks at 100 characters at most; more than this is a mistake of the caller.
const MAX_PASSPHRASE_LEN: usize = 1_024;
/// Sealed bytes: seed and tag.
const SEALED_LEN: usize = 32 + 16;

/// Why a backup was not made or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// Too easy to guess.
    #[error("passphrase too weak: use five random words")]
    WeakPassphrase,
    /// Not a backup, or one that asks for too much memory.
    #[error("not an owner key backup, or a damaged one")]
    Malformed,
    /// Wrong passphrase, or changed bytes: these cannot be told apart.
    #[error("wrong passphrase, or a damaged backup")]
    Refused,
}

struct Header {
    salt: [u8; 16],
    nonce: [u8; 12],
    costs: (u32, u32, u32),
}

impl Header {
    fn encode(&self, sealed: &[u8]) -> Vec<u8> {
        let (m, t, p) = self.costs;
        cbor::encode(|e| {
            e.array(8)?.str(MAGIC)?.u8(VERSION)?.bytes(&self.salt)?.u32(m)?.u32(t)?.u32(p)?;
            e.bytes(&self.nonce)?.bytes(sealed)?.ok()
        })
    }

    fn decode(bytes: &[u8]) -> Result<(Self, Vec<u8>), BackupError> {
        let read = |d: &mut Decoder<'_>| -> Result<_, minicbor::decode::Error> {
            cbor::array(d, 8)?;
            let (magic, version) = (d.str()?.to_owned(), d.u8()?);
            let salt = cbor::fixed(d)?;
            let costs = (d.u32()?, d.u32()?, d.u32()?);
            Ok((magic, version, Self { salt, costs, nonce: cbor::fixed(d)? }, cbor::bytes(d, SEALED_LEN)?))
        };
        let (magic, version, header, sealed) = read(&mut Decoder::new(bytes)).map_err(|_| BackupError::Malformed)?;
        let (m, t, p) = header.costs;
        let fits = m <= MAX_M_COST_KIB && t <= MAX_T_COST && p <= MAX_P_COST && sealed.len() == SEALED_LEN;
        if magic != MAGIC || version != VERSION || !fits || header.encode(&sealed) != bytes {
            return Err(BackupError::Malformed);
        }
        Ok((header, sealed))
    }

    /// Everything that is not sealed, as associated data.
    fn associated(&self) -> Vec<u8> {
        self.encode(&[])
    }

    fn key(&self, passphrase: &str) -> Result<Secret<32>, BackupError> {
        let (m, t, p) = self.costs;
        let params = Params::new(m, t, p, Some(32)).map_err(|_| BackupError::Malformed)?;
        let mut stretched = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &self.salt, stretched.as_mut())
            .map_err(|_| BackupError::Malformed)?;
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(Some(&self.salt), stretched.as_ref())
            .expand(INFO, &mut key)
            .expect("32 bytes are a valid HKDF-SHA256 length");
        let secret = Secret::new(key);
        key.zeroize();
        Ok(secret)
    }
}

/// Refuses what a guesser finds soon.
///
/// # Errors
/// [`BackupError::WeakPassphrase`].
pub fn check_passphrase(passphrase: &str) -> Result<(), BackupError> {
    let strong = passphrase.len() <= MAX_PASSPHRASE_LEN
        && zxcvbn::zxcvbn(passphrase, &["netflow", "netflowcoin", "netctl"]).guesses_log10() >= MIN_GUESSES_LOG10;
    if strong { Ok(()) } else { Err(BackupError::WeakPassphrase) }
}

/// Seals an owner key. Takes 64 MiB and about a quarter of a second.
///
/// # Errors
/// [`BackupError::WeakPassphrase`].
pub fn seal(owner: &SigningKey, passphrase: &str, rng: &mut dyn CryptoRng) -> Result<Vec<u8>, BackupError> {
    check_passphrase(passphrase)?;
    let mut header = Header { salt: [0; 16], nonce: [0; 12], costs: (M_COST_KIB, T_COST, P_COST) };
    rng.fill_bytes(&mut header.salt);
    rng.fill_bytes(&mut header.nonce);
    let key = header.key(passphrase)?;
    let seed = Zeroizing::new(owner.to_bytes());
    let aad = header.associated();
    let sealed = ChaCha20Poly1305::new(key.expose().into())
        .encrypt(&Nonce::from(header.nonce), Payload { msg: seed.as_ref(), aad: &aad })
        .map_err(|_| BackupError::Malformed)?;
    Ok(header.encode(&sealed))
}

/// Opens a backup: the owner key, and the network it owns.
///
/// # Errors
/// [`BackupError::Malformed`] and [`BackupError::Refused`].
pub fn open(backup: &[u8], passphrase: &str) -> Result<(NetworkId, SigningKey), BackupError> {
    let (header, sealed) = Header::decode(backup)?;
    let key = header.key(passphrase)?;
    let aad = header.associated();
    let seed = ChaCha20Poly1305::new(key.expose().into())
        .decrypt(&Nonce::from(header.nonce), Payload { msg: &sealed, aad: &aad })
        .map(Zeroizing::new)
        .map_err(|_| BackupError::Refused)?;
    let owner = SigningKey::try_from(seed.as_slice()).map_err(|_| BackupError::Malformed)?;
    Ok((network_id(&owner.verifying_key().to_bytes()), owner))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    const GOOD: &str = "harvest violin magnet tundra oxygen";

    fn header(salt: u8) -> Header {
        // Costs of a test: the smallest Argon2id takes.
        Header { salt: [salt; 16], nonce: [0; 12], costs: (8, 1, 1) }
    }

    #[test]
    fn a_backup_gives_the_owner_key_back_to_its_passphrase_only() {
        let owner = SigningKey::from_bytes(&[7; 32]);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let backup = seal(&owner, GOOD, &mut rng).unwrap();
        let (network, opened) = open(&backup, GOOD).unwrap();
        assert_eq!(opened.to_bytes(), owner.to_bytes());
        assert_eq!(network, network_id(&owner.verifying_key().to_bytes()));
        assert_eq!(open(&backup, "harvest violin magnet tundra oxygem").err(), Some(BackupError::Refused));
        assert_ne!(seal(&owner, GOOD, &mut rng).unwrap(), backup, "salt and nonce are fresh");
        assert!(!backup.windows(32).any(|window| window == owner.to_bytes()));
    }

    #[test]
    fn a_changed_backup_is_refused() {
        let owner = SigningKey::from_bytes(&[7; 32]);
        let backup = seal(&owner, GOOD, &mut ChaCha20Rng::seed_from_u64(1)).unwrap();
        for cut in 0..backup.len() {
            assert_eq!(open(&backup[..cut], GOOD).err(), Some(BackupError::Malformed));
        }
        // One bit in the magic, the nonce and the sealed bytes each; the costs are associated data as well.
        for at in [3, backup.len() - 60, backup.len() - 1] {
            let mut changed = backup.clone();
            changed[at] ^= 1;
            assert!(open(&changed, GOOD).is_err(), "byte {at}");
        }
        let mut hungry = header(1);
        hungry.costs.0 = MAX_M_COST_KIB + 1;
        assert_eq!(open(&hungry.encode(&[0; SEALED_LEN]), GOOD).err(), Some(BackupError::Malformed));
    }

    #[test]
    fn pitfall_01_secrets_that_differ_in_one_bit_give_unrelated_keys() {
        let key = |passphrase: &str, salt| *header(salt).key(passphrase).unwrap().expose();
        let reference = key(GOOD, 1);
        for at in 0..GOOD.len() {
            let mut near = GOOD.as_bytes().to_vec();
            near[at] ^= 1;
            assert_unrelated(&reference, &key(std::str::from_utf8(&near).unwrap(), 1));
        }
        assert_unrelated(&reference, &key(GOOD, 2));
    }

    /// Two random 256-bit strings differ in 128 bits, with a deviation of 8: outside 80..=176 once in a billion.
    fn assert_unrelated(left: &[u8; 32], right: &[u8; 32]) {
        let distance: u32 = left.iter().zip(right).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert!((80..=176).contains(&distance), "{distance} bits differ");
    }

    #[test]
    fn pitfall_01_a_weak_passphrase_is_refused() {
        let owner = SigningKey::from_bytes(&[7; 32]);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for weak in [
            "",
            "password",
            "netflow2026",
            "correct horse",
            "aaaaaaaaaaaaaaaaaaaaaaaa",
            "qwertyuiopasdfgh",
            "12345678901234567890",
        ] {
            assert_eq!(seal(&owner, weak, &mut rng).err(), Some(BackupError::WeakPassphrase), "{weak}");
        }
        for good in [GOOD, "vK8#pz!Lq29xWm4t"] {
            assert_eq!(check_passphrase(good), Ok(()), "{good}");
        }
        assert_eq!(check_passphrase(&"x9-Q".repeat(400)), Err(BackupError::WeakPassphrase));
    }
}
