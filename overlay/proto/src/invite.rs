//! Invites: one-shot tokens that let a node ask to join.
//!
//! The token holds the seed of an ed25519 key whose public half is in the log. A joiner proves with it that it holds the token; the author of the
//! invite, and nobody else, writes the entry that uses it up. Spec: `docs/spec/network-log.md`, section "Invites".

use ed25519_dalek::SigningKey;
use minicbor::Decoder;
use netflow_wire::control::MAX_NAME_LEN;
use netflow_wire::{InviteId, NetworkId, NodeId, RelayInfo};
use zeroize::Zeroizing;

use crate::cbor;
use crate::identity::{Secret, SignedRecord, decode_text, encode_text, sign, verify};
use crate::netlog::valid_name;
use crate::time::Now;

/// Prefix of the text form.
const PREFIX: &str = "nfinvite";
/// Version of the token.
const VERSION: u8 = 1;
/// Relays in a token: a joiner needs one that answers, and the text must stay short enough for a QR code on a terminal.
const MAX_TOKEN_RELAYS: usize = 4;
/// Addresses of a relay in a token: one of each family, twice.
const MAX_TOKEN_ADDRS: usize = 4;
/// Bytes of the CBOR: bech32m guarantees its checksum up to 1,023 characters, 627 bytes with our prefix.
const MAX_TOKEN_LEN: usize = 620;
/// Domain of join proofs.
const DOMAIN_JOIN: &str = "NFC/1 join";

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Not an invite.
    #[error("this is not a valid invite (copy it whole; it starts with nfinvite1)")]
    Malformed,
    /// Of a later version.
    #[error("this invite needs a newer version of this program")]
    Version,
    /// Its time is over.
    #[error("this invite has expired: ask for a new one")]
    Expired,
    /// It is for another network than asked for.
    #[error("this invite is for another network")]
    Foreign,
    /// Over a limit when written.
    #[error("an invite carries 1 to 4 relays with 1 to 4 addresses each")]
    TooLong,
}

/// What a token says. Secret: who holds it can join once. Neither `Debug` nor `PartialEq`.
#[derive(Clone)]
pub struct InviteToken {
    /// The network.
    pub network: NetworkId,
    /// Its name, to be shown before joining.
    pub network_name: String,
    /// Seed of the invite's ed25519 key.
    pub seed: Secret<32>,
    /// Seconds since 1970 after which it is refused.
    pub expires_unix_s: u64,
    /// Where to ask.
    pub relays: Vec<RelayInfo>,
}

impl InviteToken {
    /// The invite's public key: its name in the log.
    pub fn id(&self) -> InviteId {
        InviteId(self.key().verifying_key().to_bytes())
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_bytes(self.seed.expose())
    }

    /// Text form `nfinvite1...`.
    ///
    /// # Errors
    /// [`InviteError::TooLong`] when it has no relay, more than four, or one with none or more than four addresses.
    pub fn to_text(&self) -> Result<Zeroizing<String>, InviteError> {
        if !self.is_within_limits() {
            return Err(InviteError::TooLong);
        }
        let bytes = Zeroizing::new(self.encode());
        if bytes.len() > MAX_TOKEN_LEN {
            return Err(InviteError::TooLong);
        }
        Ok(Zeroizing::new(encode_text(PREFIX, &bytes)))
    }

    /// Reads the text form. Does not look at the clock: see [`InviteToken::check`].
    ///
    /// # Errors
    /// [`InviteError::Malformed`], [`InviteError::Version`].
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        let bytes = Zeroizing::new(decode_text(PREFIX, text).map_err(|_| InviteError::Malformed)?);
        if bytes.len() > MAX_TOKEN_LEN {
            return Err(InviteError::Malformed);
        }
        let mut d = Decoder::new(&bytes);
        let version = read_version(&mut d).map_err(|_| InviteError::Malformed)?;
        if version != VERSION {
            return Err(InviteError::Version);
        }
        let token = Self::read_fields(&mut d).map_err(|_| InviteError::Malformed)?;
        let canonical = token.is_within_limits() && *Zeroizing::new(token.encode()) == *bytes;
        if canonical { Ok(token) } else { Err(InviteError::Malformed) }
    }

    fn is_within_limits(&self) -> bool {
        valid_name(&self.network_name)
            && (1..=MAX_TOKEN_RELAYS).contains(&self.relays.len())
            && self.relays.iter().all(|relay| (1..=MAX_TOKEN_ADDRS).contains(&relay.addrs.len()))
    }

    fn encode(&self) -> Vec<u8> {
        cbor::encode(|e| {
            e.array(6)?.u8(VERSION)?.bytes(&self.network.0)?.str(&self.network_name)?.bytes(self.seed.expose())?;
            e.u64(self.expires_unix_s)?.array(self.relays.len() as u64)?;
            self.relays.iter().try_for_each(|relay| e.encode(relay).map(|_| ()))
        })
    }

    fn read_fields(d: &mut Decoder<'_>) -> Result<Self, minicbor::decode::Error> {
        Ok(Self {
            network: NetworkId(cbor::fixed(d)?),
            network_name: cbor::text(d, MAX_NAME_LEN)?,
            seed: Secret::new(cbor::fixed(d)?),
            expires_unix_s: d.u64()?,
            relays: {
                let count = cbor::list(d, MAX_TOKEN_RELAYS)?;
                (0..count).map(|_| d.decode()).collect::<Result<_, _>>()?
            },
        })
    }

    /// Is it worth asking with this token now? A router whose clock still stands in 1970 asks anyway: the issuer checks as well.
    ///
    /// # Errors
    /// [`InviteError::Expired`].
    pub fn check(&self, now: Now) -> Result<(), InviteError> {
        if now.unix_s > self.expires_unix_s { Err(InviteError::Expired) } else { Ok(()) }
    }

    /// Signature of a join request: the holder of this token asks for this node, with exactly this record.
    pub fn prove(&self, record: &SignedRecord) -> [u8; 64] {
        sign(&self.key(), DOMAIN_JOIN, &join_message(&self.network, record))
    }
}

/// Does the proof of a join request hold? The invite's id is the key it must be made with.
pub fn proof_holds(invite: &InviteId, network: &NetworkId, record: &SignedRecord, proof: &[u8; 64]) -> bool {
    verify(&invite.0, DOMAIN_JOIN, &join_message(network, record), proof).is_ok()
}

/// `network id | node id | SHA-256(raw record)`.
fn join_message(network: &NetworkId, record: &SignedRecord) -> Vec<u8> {
    let NodeId(node) = record.record().node;
    [network.0, node, record.hash()].concat()
}

fn read_version(d: &mut Decoder<'_>) -> Result<u8, minicbor::decode::Error> {
    cbor::array(d, 6)?;
    d.u8()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use netflow_wire::Tier;

    use super::*;

    fn token(relays: usize, addrs: usize) -> InviteToken {
        let relay = RelayInfo {
            node: NodeId([1; 32]),
            tier: Tier::Central,
            addrs: vec!["[2001:db8::1]:4790".parse().unwrap(); addrs],
        };
        InviteToken {
            network: NetworkId([2; 32]),
            network_name: "home".into(),
            seed: Secret::new([3; 32]),
            expires_unix_s: 1_000,
            relays: vec![relay; relays],
        }
    }

    #[test]
    fn a_token_reads_back_and_every_typing_mistake_is_found() {
        let text = token(2, 2).to_text().unwrap();
        assert!(text.starts_with("nfinvite1"));
        let read = InviteToken::parse(&format!("  {}\n", *text)).unwrap();
        assert_eq!(*read.to_text().unwrap(), *text);
        assert_eq!(read.id(), token(2, 2).id());
        for at in 9..text.len() {
            let mut typo = text.as_bytes().to_vec();
            typo[at] = if typo[at] == b'q' { b'p' } else { b'q' };
            assert!(InviteToken::parse(std::str::from_utf8(&typo).unwrap()).is_err());
            assert!(InviteToken::parse(&text[..at]).is_err());
        }
        for foreign in ["", "nf1qqqq", "nfinvite1", "https://example.net"] {
            assert_eq!(InviteToken::parse(foreign).err(), Some(InviteError::Malformed));
        }
    }

    #[test]
    fn a_token_of_a_later_version_says_so() {
        let mut bytes = token(1, 1).encode();
        assert_eq!(bytes[1], 1);
        bytes[1] = 2;
        assert_eq!(InviteToken::parse(&encode_text(PREFIX, &bytes)).err(), Some(InviteError::Version));
    }

    #[test]
    fn an_expired_token_is_not_even_sent() {
        let at = |unix_s| Now { mono_us: 0, unix_s };
        assert_eq!(token(1, 1).check(at(1_000)), Ok(()));
        assert_eq!(token(1, 1).check(at(1_001)), Err(InviteError::Expired));
    }

    #[test]
    fn the_largest_token_fits_and_a_larger_one_is_refused() {
        let mut largest = token(4, 4);
        largest.network_name = "n".repeat(63);
        assert!(InviteToken::parse(&largest.to_text().unwrap()).is_ok());
        for (relays, addrs) in [(0, 1), (5, 1), (1, 0), (1, 5)] {
            assert_eq!(token(relays, addrs).to_text().err(), Some(InviteError::TooLong));
        }
    }
}
