//! The signed node record: which keys belong to a node id, and where its rewards go.
//!
//! Spec: `docs/spec/network-log.md`, section "Node record".

use ed25519_dalek::SigningKey;
use minicbor::Decoder;
use netflow_wire::NodeId;
use sha2::{Digest as _, Sha256};

use super::signature::{self, SignatureError, Signatures, Strict};
use crate::cbor;

/// Version of the record format.
pub const RECORD_VERSION: u8 = 1;
/// Domain of the record signature.
const DOMAIN: &str = "NFC/1 record";
/// Longest raw record. Version 1 takes 250 bytes at most; the same limit holds in `netflow_wire::control`.
const MAX_RECORD_LEN: usize = netflow_wire::control::MAX_RECORD_LEN;

/// The keys of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Ed25519 key of the node: its name.
    pub node: NodeId,
    /// X25519 static key of its sessions.
    pub x25519: [u8; 32],
    /// SHA-256 of its ML-KEM-768 encapsulation key; all zeros when it has none.
    pub kem_hash: [u8; 32],
    /// EVM address its rewards go to; zeros for none.
    pub reward: [u8; 20],
    /// Higher replaces lower.
    pub seq: u64,
}

/// A record together with the exact bytes that were signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRecord {
    record: NodeRecord,
    raw: Vec<u8>,
}

/// Why a record was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not a record of a known version, or over 512 bytes.
    #[error("node record malformed")]
    Malformed,
    /// A valid record spelled in another way than the deterministic one.
    #[error("node record not in deterministic encoding")]
    NotCanonical,
    /// The signature does not hold.
    #[error("node record: {0}")]
    Signature(#[from] SignatureError),
    /// The encapsulation key is not the one the record names.
    #[error("the ML-KEM key does not match the hash in the node record")]
    KemKey,
}

impl NodeRecord {
    fn encode(&self) -> Vec<u8> {
        cbor::encode(|e| {
            e.array(6)?.u8(RECORD_VERSION)?.bytes(&self.node.0)?.bytes(&self.x25519)?.bytes(&self.kem_hash)?;
            e.bytes(&self.reward)?.u64(self.seq)?.ok()
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let read = |d: &mut Decoder<'_>| -> Result<Option<Self>, minicbor::decode::Error> {
            cbor::array(d, 6)?;
            if d.u8()? != RECORD_VERSION {
                return Ok(None);
            }
            let node = NodeId(cbor::fixed(d)?);
            Ok(Some(Self {
                node,
                x25519: cbor::fixed(d)?,
                kem_hash: cbor::fixed(d)?,
                reward: cbor::fixed(d)?,
                seq: d.u64()?,
            }))
        };
        let record = read(&mut Decoder::new(bytes)).ok().flatten().ok_or(RecordError::Malformed)?;
        if record.encode() != bytes {
            return Err(RecordError::NotCanonical);
        }
        Ok(record)
    }

    /// Does `kem_key` (empty: none) belong to this record?
    ///
    /// # Errors
    /// [`RecordError::KemKey`].
    pub fn check_kem_key(&self, kem_key: &[u8]) -> Result<(), RecordError> {
        let expected = if kem_key.is_empty() { [0; 32] } else { Sha256::digest(kem_key).into() };
        if self.kem_hash == expected { Ok(()) } else { Err(RecordError::KemKey) }
    }
}

impl SignedRecord {
    /// Signs a record with the node's own key.
    pub fn sign(key: &SigningKey, record: NodeRecord) -> Self {
        let body = record.encode();
        let signature = signature::sign(key, DOMAIN, &body);
        let raw = raw(&body, &signature);
        Self { record, raw }
    }

    /// Reads bytes this replica verified before, without verifying again.
    pub(crate) fn trusted(bytes: &[u8]) -> Result<Self, RecordError> {
        let (body, _) = split(bytes)?;
        Ok(Self { record: NodeRecord::decode(body)?, raw: bytes.to_vec() })
    }

    /// Reads and verifies a record: deterministic encoding, strict signature by the node it names.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn verify(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::verify_with(bytes, &Strict)
    }

    /// [`SignedRecord::verify`], with somebody else's word for the signature.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(crate) fn verify_with(bytes: &[u8], signatures: &dyn Signatures) -> Result<Self, RecordError> {
        let (body, signature) = split(bytes)?;
        let record = NodeRecord::decode(body)?;
        signatures.verify(&record.node.0, DOMAIN, body, &signature)?;
        Ok(Self { record, raw: bytes.to_vec() })
    }

    /// The verified record.
    pub const fn record(&self) -> &NodeRecord {
        &self.record
    }

    /// The signed bytes, as they travel.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// SHA-256 of the signed bytes, which join proofs name.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.raw).into()
    }
}

fn raw(body: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    cbor::encode(|e| e.array(2)?.bytes(body)?.bytes(signature)?.ok())
}

fn split(bytes: &[u8]) -> Result<(&[u8], [u8; 64]), RecordError> {
    if bytes.len() > MAX_RECORD_LEN {
        return Err(RecordError::Malformed);
    }
    let mut d = Decoder::new(bytes);
    let parts = (|| {
        cbor::array(&mut d, 2)?;
        Ok::<_, minicbor::decode::Error>((d.bytes()?, cbor::fixed::<64>(&mut d)?))
    })();
    let (body, signature) = parts.map_err(|_| RecordError::Malformed)?;
    // One spelling only: also refuses bytes after the signature.
    if raw(body, &signature) != bytes {
        return Err(RecordError::NotCanonical);
    }
    Ok((body, signature))
}
