//! Changes of the witness set: each is kept for ever with what proves it, so that a new node that knows only the genesis can
//! follow who votes up to a snapshot of today, 5.4 KB a change and nothing in between.

use std::collections::BTreeMap;

use alloy_primitives::Bytes;
use alloy_rlp::{RlpDecodable, RlpEncodable};
use anyhow::ensure;
use netchain_exec::GenesisBlock;
use netchain_light::{LightClient, TRUSTING_PERIOD_S};
use netchain_store::{Store, StoreError};
use netchain_types::{ChainDomain, Header, WitnessSet};

/// Most changes one start follows: 300 years of weekly elections, or a year of a seat lost every half hour. At most 125 MB for as long as
/// the command runs.
const MAX_WALK: usize = 16_384;

/// A block that changed the set.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct SetChange {
    /// RLP of its header.
    pub header: Bytes,
    /// Its certificate.
    pub certificate: Bytes,
    /// The set that votes from the next block on.
    pub next_set: Bytes,
}

/// Keeps the set that votes after a committed block, and the proof when the block changed it. Written once more at the next start when
/// the machine stopped in between: the tip is that block then.
///
/// # Errors
/// Of the database.
pub fn note(store: &Store, header: &Header, next: &WitnessSet) -> Result<(), StoreError> {
    let Ok(extra) = header.check() else { return Err(StoreError::Corrupt("the header of the tip is not readable")) };
    if store.witness_set(&next.hash())?.is_none() {
        store.keep_witness_set(next)?;
    }
    if extra.validators_hash == extra.next_validators_hash {
        return Ok(());
    }
    let certificate = store.certificate(header.number)?.unwrap_or_default();
    let header_bytes = alloy_rlp::encode(header).into();
    let change = SetChange { header: header_bytes, certificate, next_set: next.encode().into() };
    store.keep_set_change(header.number, &alloy_rlp::encode(change))
}

/// Who votes at which height, followed from the genesis through certificates.
#[derive(Debug)]
pub struct Walk {
    client: LightClient,
    /// Height after which a set is in office -> the set.
    sets: BTreeMap<u64, WitnessSet>,
    /// The changes as they came: this node will be asked for them too.
    changes: Vec<(u64, Bytes)>,
    /// Seconds between two changes at most.
    longest_s: u64,
}

impl Walk {
    /// Begins at the genesis.
    ///
    /// # Errors
    /// The genesis header is none.
    pub fn new(genesis: &GenesisBlock) -> anyhow::Result<Self> {
        let domain = ChainDomain { chain_id: genesis.params.chain_id, genesis: genesis.header.hash() };
        let client = LightClient::new(domain, &genesis.header, genesis.witnesses.clone())?;
        let sets = BTreeMap::from([(0, genesis.witnesses.clone())]);
        Ok(Self { client, sets, changes: Vec::new(), longest_s: 0 })
    }

    /// Height of the last change that is known.
    #[must_use]
    pub const fn height(&self) -> u64 {
        self.client.trusted().number
    }

    /// The set that votes on a block as far as is known; a later change may lie before it.
    #[must_use]
    pub fn set_at(&self, height: u64) -> Option<&WitnessSet> {
        self.sets.range(..height).next_back().map(|(_, set)| set)
    }

    /// The changes followed.
    #[must_use]
    pub fn changes(&self) -> &[(u64, Bytes)] {
        &self.changes
    }

    /// Whether two changes lie so far apart that the earlier set could not be punished any more for what it signed.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.longest_s >= TRUSTING_PERIOD_S
    }

    /// Follows encoded changes, those known skipped. What does not prove itself changes nothing, and nothing after it is looked at.
    ///
    /// # Errors
    /// The first that is no change, or is not signed by the set in office.
    pub fn follow(&mut self, encoded: &[Bytes]) -> anyhow::Result<()> {
        for bytes in encoded {
            let change: SetChange = alloy_rlp::decode_exact(bytes)?;
            let (header, extra) = Header::decode_checked(&change.header)?;
            if header.number <= self.height() {
                continue;
            }
            ensure!(self.changes.len() < MAX_WALK, "more than {MAX_WALK} changes of the witness set; give --trusted");
            ensure!(extra.validators_hash != extra.next_validators_hash, "block {} changes no set", header.number);
            let before = self.client.trusted().timestamp;
            self.client.follow(&change.header, &change.certificate, Some(&change.next_set))?;
            self.longest_s = self.longest_s.max(header.timestamp.saturating_sub(before));
            self.sets.insert(header.number, WitnessSet::decode(&change.next_set)?);
            self.changes.push((header.number, bytes.clone()));
        }
        Ok(())
    }
}
