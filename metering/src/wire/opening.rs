//! What a hop shows of an audited flow-slot: its leaf, the sampled records, and eight of them under the root.

use std::collections::BTreeSet;

use super::{Object as _, Reader, Record, SlotLeaf, SlotRoot, WireError, record_leaf};
use crate::hash::{Hash, SampleKey};
use crate::merkle;
use crate::params::{DRAWN_LEAVES, LEAF_RECORDS, MAX_OPENED, MAX_PATH, MAX_SAMPLES, OPENED_RECORDS};
use crate::sample::Level;

/// One Merkle leaf of records, shown with its path to the record root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeafOpening {
    /// Index of the leaf under the record root.
    pub index: u32,
    /// Its records: 16, fewer in the last leaf.
    pub records: Vec<Record>,
    /// Path to the record root.
    pub path: Vec<Hash>,
}

/// Opening of one flow, slot and direction at one hop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// Level the samples were taken at.
    pub level: Level,
    /// The committed leaf.
    pub leaf: SlotLeaf,
    /// Index of the leaf under the SlotRoot.
    pub index: u32,
    /// Number of leaves under the SlotRoot.
    pub n_leaves: u32,
    /// Path to the SlotRoot.
    pub path: Vec<Hash>,
    /// The sampled records, sorted.
    pub samples: Vec<Record>,
    /// Leaves that hold the records [`Opening::chosen`] names and those [`Opening::drawn`] names, by index.
    pub opened: Vec<LeafOpening>,
}

/// What is wrong with an opening. Each is provable to anyone who has the signed SlotRoot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpeningFault {
    /// The leaf is not under this SlotRoot.
    #[error("slot leaf is not under the slot root")]
    NotCommitted,
    /// A shown record is not selected by the key.
    #[error("a disclosed record is not selected")]
    WrongSelection,
    /// A shown leaf holds a selected record that was not disclosed.
    #[error("a selected record was not disclosed")]
    Hidden,
    /// A shown leaf of records is not under the record root.
    #[error("a leaf of records is not under the record root")]
    NotUnderRoot,
    /// A record or a leaf that had to be opened was not.
    #[error("a chosen record or a drawn leaf was not opened")]
    NotOpened,
}

const KIND_OPENING: u8 = 3;
/// [`LEAF_RECORDS`] in the type of packet counts.
const RECORDS_PER_LEAF: u32 = 16;
const _: () = assert!(RECORDS_PER_LEAF as usize == LEAF_RECORDS);

impl Opening {
    /// The records of `samples` whose leaves must be shown: the eight with the smallest keyed hash, or all.
    #[must_use]
    pub fn chosen(flow_key: SampleKey, samples: &[Record]) -> Vec<Record> {
        let key = flow_key.of_openings();
        let mut ranked: Vec<(u64, Record)> = samples.iter().map(|r| (key.mac(&r.0.to_le_bytes()), *r)).collect();
        ranked.sort_unstable();
        ranked.dedup();
        ranked.truncate(OPENED_RECORDS);
        ranked.into_iter().map(|(_, record)| record).collect()
    }

    /// The leaves that must be shown whatever was sampled, of a slot of `pkts` records: four draws of the key.
    #[must_use]
    pub fn drawn(flow_key: SampleKey, pkts: u32) -> BTreeSet<u32> {
        let (key, n) = (flow_key.of_openings(), u64::from(record_leaves(pkts)));
        let draws = (0..DRAWN_LEAVES).filter_map(|i| key.mac(&i.to_le_bytes()).checked_rem(n));
        draws.filter_map(|index| u32::try_from(index).ok()).collect()
    }

    /// Checks everything one hop's opening can be checked for alone: the leaf under `slot_root`, the selection under
    /// `flow_key`, and the chosen records under the record root.
    ///
    /// # Errors
    /// The first [`OpeningFault`] found.
    pub fn check(&self, slot_root: &SlotRoot, flow_key: SampleKey) -> Result<(), OpeningFault> {
        let committed = self.leaf.slot == slot_root.slot
            && self.n_leaves == slot_root.n_leaves
            && verify(&self.leaf.hash(), self.index, self.n_leaves, &self.path, &slot_root.root);
        if !committed {
            return Err(OpeningFault::NotCommitted);
        }
        if !self.samples.iter().all(|record| self.level.selects(flow_key, *record)) {
            return Err(OpeningFault::WrongSelection);
        }
        let n = record_leaves(self.leaf.pkts);
        let under = |o: &LeafOpening| verify(&record_leaf(&o.records), o.index, n, &o.path, &self.leaf.record_root);
        if !self.opened.iter().all(under) {
            return Err(OpeningFault::NotUnderRoot);
        }
        let is_disclosed = |r: &Record| !self.level.selects(flow_key, *r) || self.samples.binary_search(r).is_ok();
        if !self.opened.iter().flat_map(|o| &o.records).all(is_disclosed) {
            return Err(OpeningFault::Hidden);
        }
        let is_shown = |record: &Record| self.opened.iter().any(|o| o.records.contains(record));
        let is_open = |index: &u32| self.opened.iter().any(|o| o.index == *index);
        let is_complete = Self::chosen(flow_key, &self.samples).iter().all(is_shown)
            && Self::drawn(flow_key, self.leaf.pkts).iter().all(is_open);
        if is_complete { Ok(()) } else { Err(OpeningFault::NotOpened) }
    }

    /// The encoding: version, kind, level, number of opened leaves; the leaf; index and number of leaves; path; number of
    /// samples and samples; per opened leaf its index, records and path. Lengths of paths and of record lists follow
    /// from the indices, so there is one encoding only.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let opened = u8::try_from(self.opened.len()).unwrap_or(u8::MAX);
        let mut out = vec![super::VERSION, KIND_OPENING, self.level.get(), opened];
        self.leaf.emit(&mut out);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.n_leaves.to_le_bytes());
        self.path.iter().for_each(|hash| out.extend_from_slice(hash));
        out.extend_from_slice(&u16::try_from(self.samples.len()).unwrap_or(u16::MAX).to_le_bytes());
        self.samples.iter().for_each(|record| out.extend_from_slice(&record.0.to_le_bytes()));
        for leaf in &self.opened {
            out.extend_from_slice(&leaf.index.to_le_bytes());
            leaf.records.iter().for_each(|record| out.extend_from_slice(&record.0.to_le_bytes()));
            leaf.path.iter().for_each(|hash| out.extend_from_slice(hash));
        }
        out
    }

    /// Parses exactly one opening.
    ///
    /// # Errors
    /// [`WireError`] for anything that [`Opening::to_bytes`] would not have written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(bytes);
        reader.version()?;
        reader.constant(KIND_OPENING, "kind")?;
        let level = Level::from_byte(reader.u8()?)?;
        let n_opened = usize::from(reader.u8()?);
        if n_opened > MAX_OPENED {
            return Err(WireError::Field("opened"));
        }
        let leaf = SlotLeaf::parse(&mut reader)?;
        let (index, n_leaves) = (reader.u32()?, reader.u32()?);
        let path = parse_path(&mut reader, index, n_leaves)?;
        let n_samples = usize::from(reader.u16()?);
        if n_samples > MAX_SAMPLES {
            return Err(WireError::Field("samples"));
        }
        let samples = parse_records(&mut reader, n_samples)?;
        if !samples.is_sorted() {
            return Err(WireError::Field("samples"));
        }
        let mut opened: Vec<LeafOpening> = Vec::with_capacity(n_opened);
        for _ in 0..n_opened {
            let next = parse_leaf(&mut reader, leaf.pkts)?;
            if opened.last().is_some_and(|last| last.index >= next.index) {
                return Err(WireError::Field("opened"));
            }
            opened.push(next);
        }
        reader.finish()?;
        Ok(Self { level, leaf, index, n_leaves, path, samples, opened })
    }
}

/// Leaves of records under a record root over `pkts` records.
const fn record_leaves(pkts: u32) -> u32 {
    pkts.div_ceil(RECORDS_PER_LEAF)
}

fn verify(leaf: &Hash, index: u32, n: u32, path: &[Hash], root: &Hash) -> bool {
    merkle::verify(leaf, u64::from(index), u64::from(n), path, root)
}

fn parse_path(reader: &mut Reader<'_>, index: u32, n: u32) -> Result<Vec<Hash>, WireError> {
    let length = merkle::path_len(u64::from(index), u64::from(n)).ok_or(WireError::Field("index"))?;
    (0..length.min(MAX_PATH)).map(|_| reader.hash()).collect()
}

fn parse_records(reader: &mut Reader<'_>, n: usize) -> Result<Vec<Record>, WireError> {
    (0..n).map(|_| Ok(Record(reader.u64()?))).collect()
}

fn parse_leaf(reader: &mut Reader<'_>, pkts: u32) -> Result<LeafOpening, WireError> {
    let index = reader.u32()?;
    let before = index.checked_mul(RECORDS_PER_LEAF).ok_or(WireError::Field("index"))?;
    let n = pkts.checked_sub(before).filter(|n| *n > 0).ok_or(WireError::Field("index"))?;
    let records = parse_records(reader, usize::try_from(n).unwrap_or(LEAF_RECORDS).min(LEAF_RECORDS))?;
    let path = parse_path(reader, index, record_leaves(pkts))?;
    Ok(LeafOpening { index, records, path })
}
