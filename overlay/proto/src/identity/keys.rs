//! The key file of a node.

use aws_lc_rs::agreement;
use ed25519_dalek::SigningKey;
use minicbor::Decoder;
use ml_kem::kem::KeyExport as _;
use ml_kem::{DecapsulationKey, MlKem768};
use netflow_wire::NodeId;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::record::{NodeRecord, SignedRecord};
use super::secret::Secret;
use crate::cbor;

/// First field of a key file: tells it from every other file of the state directory.
const MAGIC: &str = "netflow-node-keys";
/// Version of the key file.
const VERSION: u8 = 1;

/// The secret keys of a node: separate keys for separate jobs, no conversion between curves.
///
/// Wiped on drop; neither `Debug`, `PartialEq` nor `Clone`.
pub struct NodeKeys {
    /// Ed25519 `NodeKey`: the node's name, control links, log entries of an admin.
    pub node: SigningKey,
    /// X25519 static key of sessions.
    pub statik: Secret<32>,
    /// Seed (d | z) of the ML-KEM-768 key pair, FIPS 203.
    pub kem_seed: Secret<64>,
}

/// Why a key file was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Not a key file, or damaged.
    #[error("not a node key file, or a damaged one")]
    Malformed,
    /// Written by a later program.
    #[error("node key file of version {0}, this program reads version 1")]
    Version(u8),
}

impl NodeKeys {
    /// New keys.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        let node = Secret::<32>::generate(rng);
        Self {
            node: SigningKey::from_bytes(node.expose()),
            statik: Secret::generate(rng),
            kem_seed: Secret::generate(rng),
        }
    }

    /// The node id: the ed25519 public key.
    pub fn node_id(&self) -> NodeId {
        NodeId(self.node.verifying_key().to_bytes())
    }

    /// Public half of the session key.
    pub fn x25519_public(&self) -> [u8; 32] {
        let private = agreement::PrivateKey::from_private_key(&agreement::X25519, self.statik.expose())
            .expect("every 32 bytes are an X25519 private key");
        let public = private.compute_public_key().expect("an X25519 public key always exists");
        public.as_ref().try_into().expect("X25519 public keys are 32 bytes")
    }

    /// ML-KEM-768 encapsulation key, 1,184 bytes.
    pub fn kem_public(&self) -> Vec<u8> {
        let key = DecapsulationKey::<MlKem768>::from_seed((*self.kem_seed.expose()).into());
        key.encapsulation_key().to_bytes().to_vec()
    }

    /// The signed record of these keys. `seq` must rise with every change; `reward` is an EVM address or zeros.
    pub fn record(&self, seq: u64, reward: [u8; 20]) -> SignedRecord {
        let record = NodeRecord {
            node: self.node_id(),
            x25519: self.x25519_public(),
            kem_hash: Sha256::digest(self.kem_public()).into(),
            reward,
            seq,
        };
        SignedRecord::sign(&self.node, record)
    }

    /// Contents of the key file (mode 0600): CBOR `[magic, version, node seed, x25519, kem seed]`.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let seed = Zeroizing::new(self.node.to_bytes());
        Zeroizing::new(cbor::encode(|e| {
            e.array(5)?.str(MAGIC)?.u8(VERSION)?.bytes(seed.as_ref())?;
            e.bytes(self.statik.expose())?.bytes(self.kem_seed.expose())?.ok()
        }))
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`]; nothing of the contents is in the error.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyFileError> {
        let mut d = Decoder::new(bytes);
        let version = read_version(&mut d).map_err(|_| KeyFileError::Malformed)?;
        if version != VERSION {
            return Err(KeyFileError::Version(version));
        }
        let keys = Self::read_keys(&mut d).map_err(|_| KeyFileError::Malformed)?;
        // A truncated or padded file is a damaged one.
        if keys.to_bytes().as_slice() != bytes {
            return Err(KeyFileError::Malformed);
        }
        Ok(keys)
    }

    fn read_keys(d: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        let node = Secret::<32>::new(cbor::fixed(d)?);
        Ok(Self {
            node: SigningKey::from_bytes(node.expose()),
            statik: Secret::new(cbor::fixed(d)?),
            kem_seed: Secret::new(cbor::fixed(d)?),
        })
    }
}

fn read_version(d: &mut Decoder<'_>) -> Result<u8, minicbor::decode::Error> {
    cbor::array(d, 5)?;
    let at = d.position();
    if d.str()? != MAGIC {
        return Err(minicbor::decode::Error::message("another magic").at(at));
    }
    d.u8()
}
