//! Key files: mode 0600, made once, never overwritten.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use alloy_primitives::{Address, FixedBytes};
use anyhow::{Context as _, bail, ensure};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::reveal::RevealKey;

/// Keys of a witness: the account it earns for, the vote key and the reveal key.
pub struct WitnessKeys {
    /// Account of the seat. Its own key is the operator's and is not here.
    pub account: Address,
    /// ed25519 key of votes.
    pub vote: SigningKey,
    /// BLS12-381 key of reveals.
    pub reveal: RevealKey,
}

fn random() -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(bytes)
}

fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    file.sync_all().with_context(|| format!("cannot write {}", path.display()))
}

fn read_secret(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let file = File::open(path).with_context(|| format!("cannot read {}; try: netchaind init", path.display()))?;
    let mode = file.metadata()?.permissions().mode();
    ensure!(mode & 0o077 == 0, "{} can be read by others; try: chmod 600 {}", path.display(), path.display());
    Ok(Zeroizing::new(std::fs::read_to_string(path)?))
}

fn hex32(text: &str, path: &Path) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), bytes.as_mut()).map_err(|_| anyhow::anyhow!("{} is damaged", path.display()))?;
    Ok(bytes)
}

/// Makes the secret of the libp2p identity, unless there is one.
///
/// # Errors
/// Of the file system.
pub fn make_node_key(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    write_new(path, &format!("{}\n", Zeroizing::new(hex::encode(random()?.as_slice())).as_str()))
}

/// Reads the secret of the libp2p identity.
///
/// # Errors
/// Missing, readable by others, or damaged.
pub fn read_node_key(path: &Path) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    hex32(&read_secret(path)?, path)
}

/// Makes a witness' keys for an account.
///
/// # Errors
/// There are some already, or the file cannot be written.
pub fn make_witness_keys(path: &Path, account: Address) -> anyhow::Result<WitnessKeys> {
    let vote = random()?;
    let reveal = RevealKey::generate(&*random()?).context("no reveal key can be made")?;
    let lines = Zeroizing::new(format!(
        "account {account}\nvote {}\nreveal {}\n",
        Zeroizing::new(hex::encode(vote.as_slice())).as_str(),
        Zeroizing::new(hex::encode(reveal.to_bytes().as_slice())).as_str(),
    ));
    write_new(path, &lines)?;
    Ok(WitnessKeys { account, vote: SigningKey::from_bytes(&vote), reveal })
}

/// Reads a witness' keys; none when the node is no witness.
///
/// # Errors
/// Readable by others, or damaged.
pub fn read_witness_keys(path: &Path) -> anyhow::Result<Option<WitnessKeys>> {
    if !path.exists() {
        return Ok(None);
    }
    let text = read_secret(path)?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .with_context(|| format!("{} has no {name}", path.display()))
    };
    let Ok(account) = field("account")?.trim().parse::<Address>() else { bail!("{} names no account", path.display()) };
    let vote = SigningKey::from_bytes(&*hex32(field("vote")?, path)?);
    let reveal = RevealKey::from_bytes(&*hex32(field("reveal")?, path)?);
    let reveal = reveal.with_context(|| format!("{} is damaged", path.display()))?;
    Ok(Some(WitnessKeys { account, vote, reveal }))
}

impl WitnessKeys {
    /// The seat of these keys.
    #[must_use]
    pub fn seat(&self) -> netchain_types::Witness {
        netchain_types::Witness {
            account: self.account,
            vote_key: self.vote.verifying_key().to_bytes(),
            reveal_key: self.reveal.public(),
        }
    }

    /// The seat as the genesis file names it.
    #[must_use]
    pub fn genesis_entry(&self) -> netchain_exec::genesis::GenesisWitness {
        let seat = self.seat();
        netchain_exec::genesis::GenesisWitness {
            account: seat.account,
            vote_key: seat.vote_key.into(),
            reveal_key: FixedBytes(seat.reveal_key),
        }
    }
}

/// The account of a secp256k1 secret.
#[must_use]
pub fn account_of_secret(secret: &alloy_primitives::B256) -> Option<Address> {
    let key = secp256k1::SecretKey::from_slice(secret.as_slice()).ok()?;
    let point = secp256k1::PublicKey::from_secret_key(secp256k1::SECP256K1, &key).serialize_uncompressed();
    Some(Address::from_word(alloy_primitives::keccak256(point.get(1..)?)))
}
