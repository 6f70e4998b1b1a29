//! Which peer is which witness: a statement signed by the witness' vote key.
//!
//! RLP `[account, peer id, unix seconds, [address...], signature]`. Signed text: `"NFC/PEER/v1" | chain_id u64 | genesis 32 |
//! rlp([account, peer id, unix seconds, [address...]])`, ed25519, strict. A node believes the newest one of each account of the
//! witness sets it knows, if its clock agrees within [`MAX_SKEW_S`].

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use netchain_consensus::keys::verify_strict;
use netchain_types::{ChainDomain, WitnessSet};

/// Longest announcement: eight addresses of 128 bytes and the rest.
pub const MAX_ANNOUNCEMENT_BYTES: usize = 1_400;
/// Addresses of one witness: two protocols for IPv4 and IPv6, inside and outside.
pub const MAX_ADDRESSES: usize = 8;
/// Longest encoded address.
pub const MAX_ADDRESS_BYTES: usize = 128;
/// Seconds by which clocks may differ: a statement of yesterday is a replay.
pub const MAX_SKEW_S: u64 = 600;
const MAX_PEER_ID_BYTES: usize = 64;

const DOMAIN: &[u8] = b"NFC/PEER/v1";

/// "Witness `account` is the libp2p peer `peer`, and listens there."
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Announcement {
    /// The witness.
    pub account: Address,
    /// Bytes of its libp2p peer id.
    pub peer: Bytes,
    /// When it was signed, seconds since 1970. A newer one replaces an older one.
    pub unix_s: u64,
    /// Encoded multiaddresses.
    pub addresses: Vec<Bytes>,
    /// By the vote key of the witness.
    pub signature: [u8; 64],
}

#[derive(RlpEncodable)]
struct Signed<'a> {
    account: &'a Address,
    peer: &'a Bytes,
    unix_s: u64,
    addresses: &'a Vec<Bytes>,
}

/// Why an announcement is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// Not an encoded announcement, or too long.
    #[error("not an encoded announcement")]
    Encoding,
    /// Not a witness of the sets known here.
    #[error("the account is no witness")]
    Unknown,
    /// Signed too long ago or in the future.
    #[error("the clocks differ by more than {MAX_SKEW_S} s")]
    Clock,
    /// Signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// Not newer than the one that is known.
    #[error("not newer than what is known")]
    Old,
}

impl Announcement {
    /// What is signed.
    #[must_use]
    pub fn signing_bytes(&self, chain: &ChainDomain) -> Vec<u8> {
        let Self { account, peer, unix_s, addresses, .. } = self;
        let mut bytes = [DOMAIN, &chain.chain_id.to_be_bytes(), chain.genesis.as_slice()].concat();
        bytes.extend(alloy_rlp::encode(Signed { account, peer, unix_s: *unix_s, addresses }));
        bytes
    }

    /// RLP.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(self)
    }

    /// Reads what [`encode`](Self::encode) wrote. The signature is not checked here.
    ///
    /// # Errors
    /// [`AnnounceError::Encoding`]. Safe on any input.
    pub fn decode(bytes: &[u8]) -> Result<Self, AnnounceError> {
        if bytes.len() > MAX_ANNOUNCEMENT_BYTES {
            return Err(AnnounceError::Encoding);
        }
        let it: Self = alloy_rlp::decode_exact(bytes).map_err(|_| AnnounceError::Encoding)?;
        let short = it.addresses.iter().all(|address| address.len() <= MAX_ADDRESS_BYTES);
        let bounded = short && it.addresses.len() <= MAX_ADDRESSES && it.peer.len() <= MAX_PEER_ID_BYTES;
        if bounded && it.encode() == bytes { Ok(it) } else { Err(AnnounceError::Encoding) }
    }
}

/// The announcements believed: at most one for each seat of the sets known.
#[derive(Debug)]
pub struct Announcer {
    chain: ChainDomain,
    keys: BTreeMap<Address, [u8; 32]>,
    known: BTreeMap<Address, Announcement>,
}

impl Announcer {
    /// Believes nobody yet.
    #[must_use]
    pub const fn new(chain: ChainDomain) -> Self {
        Self { chain, keys: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// Sets whose members count: that of the next block and the one before. Others are forgotten.
    pub fn set_witnesses(&mut self, sets: &[WitnessSet]) {
        self.keys = sets.iter().flat_map(WitnessSet::seats).map(|seat| (seat.account, seat.vote_key)).collect();
        let keys = &self.keys;
        self.known.retain(|account, _| keys.contains_key(account));
    }

    /// Believes an announcement or says why not. Cheap checks come first.
    ///
    /// # Errors
    /// See [`AnnounceError`]; nothing changes then.
    pub fn take(&mut self, it: Announcement, unix_s: u64) -> Result<(), AnnounceError> {
        let key = self.keys.get(&it.account).ok_or(AnnounceError::Unknown)?;
        if it.unix_s.abs_diff(unix_s) > MAX_SKEW_S {
            return Err(AnnounceError::Clock);
        }
        if self.known.get(&it.account).is_some_and(|known| known.unix_s >= it.unix_s) {
            return Err(AnnounceError::Old);
        }
        if !verify_strict(key, &it.signing_bytes(&self.chain), &it.signature) {
            return Err(AnnounceError::Signature);
        }
        self.known.insert(it.account, it);
        Ok(())
    }

    /// The witness that a peer is, by its peer id.
    #[must_use]
    pub fn witness(&self, peer: &[u8]) -> Option<Address> {
        self.known.values().find(|it| it.peer.as_ref() == peer).map(|it| it.account)
    }

    /// Everybody believed.
    pub fn known(&self) -> impl Iterator<Item = &Announcement> {
        self.known.values()
    }

    /// Whether an account is in the sets.
    #[must_use]
    pub fn is_witness(&self, account: &Address) -> bool {
        self.keys.contains_key(account)
    }
}
