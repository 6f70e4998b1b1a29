//! The owner key sealed with a passphrase.
use ed25519_dalek::SigningKey;
use rand_core::CryptoRng;
use netflow_wire::NetworkId;

/// Why a backup was not made or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// Too easy to guess.
    #[error("passphrase too weak: use 5 random words or 14 mixed characters")]
    WeakPassphrase,
    /// Not a backup.
    #[error("not an owner key backup, or a damaged one")]
    Malformed,
    /// Wrong passphrase, or changed bytes: these cannot be told apart.
    #[error("wrong passphrase, or a damaged backup")]
    Refused,
}

#[expect(unused_variables, clippy::todo, missing_docs, clippy::missing_errors_doc, reason = "surface first")]
pub fn seal(owner: &SigningKey, passphrase: &str, rng: &mut dyn CryptoRng) -> Result<Vec<u8>, BackupError> { todo!() }
#[expect(unused_variables, clippy::todo, missing_docs, clippy::missing_errors_doc, reason = "surface first")]
pub fn open(sealed: &[u8], passphrase: &str) -> Result<(NetworkId, SigningKey), BackupError> { todo!() }
