//! One signed entry: `[body bytes, signature]`, where the body bytes are the CBOR array
//! `[version, network, author, seq, prev, lamport, unix_s, body]`.

use ed25519_dalek::SigningKey;
use minicbor::Decoder;
use netflow_wire::NetworkId;
use sha2::{Digest as _, Sha256};

use super::body::EntryBody;
use super::check::BodyError;
use super::limits::{MAX_ENTRY_LEN, MAX_LAMPORT};
use crate::cbor;
use crate::identity::{RecordError, Signatures, Strict, sign};

/// Version of the entry format.
pub const ENTRY_VERSION: u8 = 1;
/// Domain of entry signatures.
const DOMAIN_SIGN: &str = "NFC/1 entry";
/// Domain of entry hashes. Differs from the signature's only after its end, so it must not be used with [`sign`].
const DOMAIN_HASH: &str = "NFC/1 entry-hash";
/// Domain of the mark of a frozen chain.
const DOMAIN_FORK: &str = "NFC/1 fork";
/// Domain of network ids.
const DOMAIN_NETWORK: &str = "NFC/1 network";

/// Name of an entry: a hash of the signed bytes without the signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryHash(pub [u8; 32]);

impl EntryHash {
    /// What a frozen chain shows as the hash of its head: SHA-256("NFC/1 fork" | hash of the last entry that counts, or zeros).
    pub(super) fn fork_mark(&self) -> Self {
        Self(Sha256::new().chain_update(DOMAIN_FORK).chain_update(self.0).finalize().into())
    }
}

impl std::fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "EntryHash({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

/// The id of the network a key owns: SHA-256("NFC/1 network" | key).
pub fn network_id(owner: &[u8; 32]) -> NetworkId {
    NetworkId(Sha256::new().chain_update(DOMAIN_NETWORK).chain_update(owner).finalize().into())
}

/// The fields of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The network it belongs to.
    pub network: NetworkId,
    /// Ed25519 key of the author: the owner's, or an admin's node key.
    pub author: [u8; 32],
    /// Position in the author's chain, counted from 0.
    pub seq: u32,
    /// Hash of the author's entry before; zeros at position 0.
    pub prev: EntryHash,
    /// Logical clock: above every entry the author had seen.
    pub lamport: u64,
    /// The author's wall clock. Only the expiry of invites looks at it.
    pub unix_s: u64,
    /// The change.
    pub body: EntryBody,
}

/// Position in the order in which entries are replayed: (lamport, author, seq).
pub(super) type MergeKey = (u64, [u8; 32], u32);

/// Why bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Over 8 KiB.
    #[error("entry over 8,192 bytes")]
    TooLong,
    /// Not the CBOR of an entry, or a field over its limit.
    #[error("entry malformed")]
    Malformed,
    /// Another format version.
    #[error("entry of unknown version {0}")]
    Version(u8),
    /// Spelled in another way than the deterministic one.
    #[error("entry not in deterministic encoding")]
    NotCanonical,
    /// The author did not sign this.
    #[error("entry signature does not verify")]
    Signature,
    /// The node record inside does not hold.
    #[error("entry with a bad node record: {0}")]
    Record(#[from] RecordError),
    /// A value to be signed is over a limit; the text says which and why. Never for what others signed: that is [`EntryError::Malformed`].
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// A verified entry: raw bytes, hash and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEntry {
    entry: Entry,
    hash: EntryHash,
    raw: Vec<u8>,
}

impl Entry {
    pub(super) const fn merge_key(&self) -> MergeKey {
        (self.lamport, self.author, self.seq)
    }

    fn encode(&self) -> Vec<u8> {
        cbor::encode(|e| {
            e.array(8)?.u8(ENTRY_VERSION)?.bytes(&self.network.0)?.bytes(&self.author)?.u32(self.seq)?;
            e.bytes(&self.prev.0)?.u64(self.lamport)?.u64(self.unix_s)?;
            self.body.encode(e)
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut d = Decoder::new(bytes);
        let version = read_version(&mut d).map_err(|_| EntryError::Malformed)?;
        if version != ENTRY_VERSION {
            return Err(EntryError::Version(version));
        }
        let entry = Self::read_fields(&mut d).map_err(|_| EntryError::Malformed)?;
        if entry.encode() != bytes {
            return Err(EntryError::NotCanonical);
        }
        Ok(entry)
    }

    fn read_fields(d: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        let entry = Self {
            network: NetworkId(cbor::fixed(d)?),
            author: cbor::fixed(d)?,
            seq: d.u32()?,
            prev: EntryHash(cbor::fixed(d)?),
            lamport: d.u64()?,
            unix_s: d.u64()?,
            body: EntryBody::decode(d)?,
        };
        if entry.lamport > MAX_LAMPORT || entry.body.check().is_err() {
            return Err(minicbor::decode::Error::message("a field is over its limit"));
        }
        Ok(entry)
    }
}

impl SignedEntry {
    /// Signs an entry. `entry.author` must be the key's public half.
    ///
    /// # Errors
    /// [`EntryError`] when the entry is over a limit: what others would refuse is never signed.
    pub fn sign(key: &SigningKey, entry: &Entry) -> Result<Self, EntryError> {
        entry.body.check()?;
        let body = entry.encode();
        let signature = sign(key, DOMAIN_SIGN, &body);
        Self::verify(&join(&body, &signature))
    }

    /// Reads and verifies: size, deterministic encoding, strict signature by the author it names.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn verify(raw: &[u8]) -> Result<Self, EntryError> {
        Self::verify_unless(raw, &Strict, |_| false)
    }

    /// [`SignedEntry::verify`], with somebody else's word for signatures, and without asking for it where `is_stored` knows these very bytes,
    /// which were verified then.
    pub(super) fn verify_unless(
        raw: &[u8],
        signatures: &dyn Signatures,
        is_stored: impl FnOnce(&Entry) -> bool,
    ) -> Result<Self, EntryError> {
        let (body, signature) = split(raw)?;
        let entry = Entry::decode(body)?;
        if !is_stored(&entry) {
            let author = &entry.author;
            signatures.verify(author, DOMAIN_SIGN, body, &signature).map_err(|_| EntryError::Signature)?;
            entry.body.check_record(signatures)?;
        }
        let hash = hash(body);
        Ok(Self { entry, hash, raw: raw.to_vec() })
    }

    /// Reads bytes this replica verified before, without verifying again.
    pub(crate) fn trusted(raw: &[u8]) -> Result<Self, EntryError> {
        let (body, _) = split(raw)?;
        Ok(Self { entry: Entry::decode(body)?, hash: hash(body), raw: raw.to_vec() })
    }

    /// The fields.
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The name of the entry. The signature is no part of it: two signatures of the same bytes are the same entry.
    pub const fn hash(&self) -> EntryHash {
        self.hash
    }

    /// The bytes as stored and passed on.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Takes the fields and the bytes out.
    pub fn into_parts(self) -> (Entry, EntryHash, Vec<u8>) {
        (self.entry, self.hash, self.raw)
    }
}

fn hash(body: &[u8]) -> EntryHash {
    EntryHash(Sha256::new().chain_update(DOMAIN_HASH).chain_update(body).finalize().into())
}

fn read_version(d: &mut Decoder<'_>) -> Result<u8, minicbor::decode::Error> {
    cbor::array(d, 8)?;
    d.u8()
}

fn join(body: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    cbor::encode(|e| e.array(2)?.bytes(body)?.bytes(signature)?.ok())
}

fn split(raw: &[u8]) -> Result<(&[u8], [u8; 64]), EntryError> {
    if raw.len() > MAX_ENTRY_LEN {
        return Err(EntryError::TooLong);
    }
    let mut d = Decoder::new(raw);
    let parts = (|| {
        cbor::array(&mut d, 2)?;
        Ok::<_, minicbor::decode::Error>((d.bytes()?, cbor::fixed::<64>(&mut d)?))
    })();
    let (body, signature) = parts.map_err(|_| EntryError::Malformed)?;
    // One spelling only: also refuses bytes after the signature.
    if join(body, &signature) != raw {
        return Err(EntryError::NotCanonical);
    }
    Ok((body, signature))
}
