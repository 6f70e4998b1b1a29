//! A replica of the log.

mod authoring;

use std::collections::BTreeMap;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ipnet::Ipv4Net;
use netflow_wire::{NetworkId, NodeId, Range};

use super::authority::Authority;
use super::body::{EntryBody, GenesisBody};
use super::chain::Chain;
use super::entry::{Entry, EntryError, EntryHash, MergeKey, SignedEntry, network_id};
use super::outcome::{Inserted, LogError};
use super::state::{NetworkState, default_ipv4_prefix};
use crate::identity::{Signatures, Strict};
use crate::time::Now;

/// What `create-network` decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisParams {
    /// Name of the network: a DNS label.
    pub name: String,
    /// Its IPv4 addresses; `None`: a /16 of 100.64.0.0/10 derived from the network id.
    pub ipv4: Option<Ipv4Net>,
}

/// Entries one answer carries at most; a control message holds 512.
const MAX_RANGE_ENTRIES: usize = 1_024;

/// A replica of a network's log together with the state it says.
pub struct NetworkLog {
    network: NetworkId,
    /// The owner's chain decides about all others; it is found by the network id, which is a hash of the owner's key.
    owner: Option<[u8; 32]>,
    chains: BTreeMap<[u8; 32], Chain>,
    authority: Authority,
    state: NetworkState,
    /// The last entry replayed. What sorts behind it is applied alone; anything else makes a replay necessary.
    applied: Option<MergeKey>,
    stale: bool,
    highest_lamport: u64,
    revision: u64,
    replays: u64,
    signatures: Arc<dyn Signatures>,
}

impl NetworkLog {
    /// A new network: its owner's chain with the genesis entry.
    ///
    /// # Errors
    /// [`LogError::Entry`] when the name or the prefix is not valid.
    pub fn create(owner: &SigningKey, params: GenesisParams, now: Now) -> Result<Self, LogError> {
        let key = owner.verifying_key().to_bytes();
        let network = network_id(&key);
        let ipv4 = params.ipv4.unwrap_or_else(|| default_ipv4_prefix(&network));
        let mut log = Self::empty(network);
        let body = EntryBody::Genesis(GenesisBody { name: params.name, ipv4, owner: key });
        let prev = EntryHash([0; 32]);
        let entry = Entry { network, author: key, seq: 0, prev, lamport: 1, unix_s: now.unix_s, body };
        log.place(&SignedEntry::sign(owner, &entry)?)?;
        Ok(log)
    }

    /// A replica that has nothing yet but the name of the network.
    pub fn empty(network: NetworkId) -> Self {
        Self::empty_with(network, Arc::new(Strict))
    }

    /// [`NetworkLog::empty`], with somebody else's word for signatures.
    pub(crate) fn empty_with(network: NetworkId, signatures: Arc<dyn Signatures>) -> Self {
        Self {
            network,
            owner: None,
            chains: BTreeMap::new(),
            authority: Authority::default(),
            state: NetworkState::new(network),
            applied: None,
            stale: false,
            highest_lamport: 0,
            revision: 0,
            replays: 0,
            signatures,
        }
    }

    /// Loads stored entries, in any order; fastest in the order in which they were stored. Everything is verified again: a disk is not to be
    /// trusted more than a peer. Entries that do not verify or do not fit are left out; sync fetches them again.
    ///
    /// # Errors
    /// [`LogError::NoGenesis`] when nothing usable is left.
    pub fn from_entries(network: NetworkId, raws: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, LogError> {
        Self::from_entries_with(network, raws, Arc::new(Strict))
    }

    /// [`NetworkLog::from_entries`], with somebody else's word for signatures.
    ///
    /// # Errors
    /// [`LogError::NoGenesis`].
    pub(crate) fn from_entries_with(
        network: NetworkId,
        raws: impl IntoIterator<Item = Vec<u8>>,
        signatures: Arc<dyn Signatures>,
    ) -> Result<Self, LogError> {
        let mut log = Self::empty_with(network, signatures);
        let mut waiting = Vec::new();
        for raw in raws {
            if let Ok(entry) = log.verify(&raw) {
                let placed = log.place_later(&entry);
                if may_fit_later(&placed) {
                    waiting.push(entry);
                }
            }
        }
        let mut progress = true;
        while std::mem::take(&mut progress) {
            waiting.retain(|entry| {
                let placed = log.place_later(entry);
                progress |= matches!(placed, Ok(Inserted::New | Inserted::Fork));
                may_fit_later(&placed)
            });
        }
        log.settle();
        if log.owner.is_some() { Ok(log) } else { Err(LogError::NoGenesis) }
    }

    /// Verifies and inserts one entry. Nothing changes before the signature holds.
    ///
    /// Persist the entry when the answer is [`Inserted::New`] or [`Inserted::Fork`].
    ///
    /// # Errors
    /// [`LogError`]; nothing changed.
    pub fn insert(&mut self, raw: &[u8]) -> Result<Inserted, LogError> {
        let entry = self.verify(raw)?;
        self.place(&entry)
    }

    /// Reads and verifies. A member gets every entry from each of its relays: what is stored byte for byte held when it came.
    fn verify(&self, raw: &[u8]) -> Result<SignedEntry, EntryError> {
        SignedEntry::verify_unless(raw, self.signatures.as_ref(), |entry| {
            self.chains.get(&entry.author).is_some_and(|chain| chain.holds(entry.seq, raw))
        })
    }

    /// Inserts a batch in whatever order it can be inserted, with at most one replay. Answer `i` is about entry `i`; the second list holds the
    /// indices of those answered [`Inserted::New`] or [`Inserted::Fork`], which are to be persisted, in the order in which they were inserted.
    pub fn insert_all(&mut self, raws: &[Vec<u8>]) -> (Vec<Result<Inserted, LogError>>, Vec<usize>) {
        let verified: Vec<_> = raws.iter().map(|raw| self.verify(raw)).collect();
        let mut results: Vec<Result<Inserted, LogError>> = verified
            .iter()
            .map(|entry| entry.as_ref().map(|_| Inserted::Known).map_err(|e| e.clone().into()))
            .collect();
        let mut waiting: Vec<usize> = (0..raws.len()).collect();
        let mut order = Vec::new();
        let mut progress = true;
        while std::mem::take(&mut progress) {
            waiting.retain(|&index| {
                let (Some(Ok(entry)), Some(result)) = (verified.get(index), results.get_mut(index)) else {
                    return false;
                };
                *result = self.place_later(entry);
                if matches!(result, Ok(Inserted::New | Inserted::Fork)) {
                    progress = true;
                    order.push(index);
                }
                may_fit_later(result)
            });
        }
        self.settle();
        (results, order)
    }

    fn place(&mut self, entry: &SignedEntry) -> Result<Inserted, LogError> {
        let placed = self.place_later(entry);
        self.settle();
        placed
    }

    /// Puts a verified entry into its chain, and into the state if it sorts last.
    fn place_later(&mut self, signed: &SignedEntry) -> Result<Inserted, LogError> {
        let entry = signed.entry();
        if entry.network != self.network {
            return Err(LogError::OtherNetwork);
        }
        let by_owner = network_id(&entry.author) == self.network;
        check_place(entry, by_owner, &self.authority)?;
        let inserted = self.chains.entry(entry.author).or_default().offer(signed)?;
        match &inserted {
            Inserted::New => {
                self.revision += 1;
                self.highest_lamport = self.highest_lamport.max(entry.lamport);
                if by_owner {
                    self.owner = Some(entry.author);
                    self.apply_authority(entry);
                }
                self.apply_or_defer(signed);
            }
            Inserted::Fork => {
                self.revision += 1;
                self.stale = true;
                if by_owner {
                    self.rebuild_authority();
                }
            }
            Inserted::Known | Inserted::Gap { .. } | Inserted::Beyond => {}
        }
        Ok(inserted)
    }

    fn apply_or_defer(&mut self, signed: &SignedEntry) {
        let entry = signed.entry();
        let key = entry.merge_key();
        if self.applied == Some(key) {
            return;
        }
        // An ended chain may have been relinked, which replaces entries that were applied.
        let relinked = self.chains.get(&entry.author).is_some_and(Chain::is_ended);
        if self.stale || relinked || self.applied.is_some_and(|last| key <= last) {
            self.stale = true;
            return;
        }
        // A void entry is part of the log and changes nothing.
        let _ = self.state.apply(signed);
        self.applied = Some(key);
    }

    fn apply_authority(&mut self, entry: &Entry) {
        if self.authority.apply(entry).is_err() {
            return;
        }
        if let EntryBody::AdminRemove { node, last } = &entry.body {
            self.stale |= self.chains.entry(node.0).or_default().end_at(*last);
        }
    }

    /// The owner's chain became shorter: appointments and ends may be gone.
    fn rebuild_authority(&mut self) {
        let mut authority = Authority::default();
        let owner_chain = self.owner.and_then(|owner| self.chains.get(&owner));
        for stored in owner_chain.map_or(&[][..], Chain::entries) {
            if let Ok(entry) = SignedEntry::trusted(&stored.raw) {
                let _ = authority.apply(entry.entry());
            }
        }
        let owner = self.owner;
        self.chains.retain(|author, chain| {
            let node = NodeId(*author);
            if Some(*author) == owner {
                return true;
            }
            if authority.end_of(&node).is_none() && chain.is_ended() {
                chain.reopen();
            }
            authority.was_appointed(&node)
        });
        self.authority = authority;
    }

    fn settle(&mut self) {
        if std::mem::take(&mut self.stale) {
            self.replay();
        }
    }

    fn replay(&mut self) {
        self.replays += 1;
        let mut order: Vec<(MergeKey, &[u8])> = self.merged(|_, _| true);
        order.sort_unstable_by_key(|(key, _)| *key);
        let mut state = NetworkState::new(self.network);
        for (_, raw) in &order {
            if let Ok(entry) = SignedEntry::trusted(raw) {
                let _ = state.apply(&entry);
            }
        }
        self.applied = order.last().map(|(key, _)| *key);
        self.highest_lamport = self.applied.map_or(0, |(lamport, _, _)| lamport);
        self.state = state;
    }

    /// Entries of all chains that `keep(author, seq)` chooses, chain by chain.
    fn merged(&self, keep: impl Fn(&[u8; 32], u32) -> bool) -> Vec<(MergeKey, &[u8])> {
        let entries = self.chains.iter().flat_map(|(author, chain)| {
            chain.entries().iter().zip(0u32..).map(move |(stored, seq)| ((stored.lamport, *author, seq), &*stored.raw))
        });
        entries.filter(|((_, author, seq), _)| keep(author, *seq)).collect()
    }

    /// The state the log says.
    pub const fn state(&self) -> &NetworkState {
        &self.state
    }

    /// The network.
    pub const fn network(&self) -> NetworkId {
        self.network
    }

    /// Rises with every change of the log. Of this replica only: two replicas of the same log may differ.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// How often the whole log was replayed: entries that arrive in order need none.
    pub const fn replays(&self) -> u64 {
        self.replays
    }

    /// Raw bytes held in chains.
    pub fn bytes(&self) -> u64 {
        self.chains.values().map(Chain::bytes).sum()
    }

    /// Authors whose chain is frozen by a fork. The owner heals an admin's with [`NetworkLog::admin_remove_body`].
    pub fn frozen(&self) -> Vec<NodeId> {
        self.chains.iter().filter(|(_, chain)| chain.is_frozen()).map(|(author, _)| NodeId(*author)).collect()
    }

    pub(super) const fn chains(&self) -> &BTreeMap<[u8; 32], Chain> {
        &self.chains
    }

    /// Is this the owner, or a node the owner appointed?
    pub(super) fn may_author(&self, author: &[u8; 32]) -> bool {
        network_id(author) == self.network || self.authority.was_appointed(&NodeId(*author))
    }

    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Keys of the owner and of every admin ever appointed.
    pub(super) fn known_authors(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.owner.iter().chain(self.authority.ever().map(NodeId::as_bytes))
    }

    /// Every raw entry, in an order in which an empty replica can insert them one by one: that of the replay but for entries dated below
    /// what they depend on.
    pub fn entries(&self) -> Vec<&[u8]> {
        self.missing_for(&[])
    }

    /// The entries of a stretch, at most 1,024, those of a fork included.
    pub fn range(&self, range: &Range) -> Vec<&[u8]> {
        let Some(chain) = self.chains.get(&range.author) else { return Vec::new() };
        chain.range(range.from, range.to).take(MAX_RANGE_ENTRIES).map(|(_, stored)| &*stored.raw).collect()
    }
}

/// Could an entry with this answer be placed once others are? One beyond an end can when the owner forked, which takes the end back; one that
/// breaks its chain is the proof of a fork once another entry has its place.
fn may_fit_later(result: &Result<Inserted, LogError>) -> bool {
    matches!(result, Ok(Inserted::Gap { .. } | Inserted::Beyond) | Err(LogError::NotAuthorized | LogError::BrokenChain))
}

/// Rules that hold whatever else is in the log: who may write at all, and that genesis is the first entry of the owner's chain and nothing else.
fn check_place(entry: &Entry, by_owner: bool, authority: &Authority) -> Result<(), LogError> {
    if !by_owner {
        let appointed = authority.was_appointed(&NodeId(entry.author));
        return if appointed && !entry.body.owner_only() { Ok(()) } else { Err(LogError::NotAuthorized) };
    }
    let fits = if let EntryBody::Genesis(genesis) = &entry.body {
        entry.seq == 0 && genesis.owner == entry.author
    } else {
        entry.seq > 0
    };
    if fits { Ok(()) } else { Err(LogError::BrokenChain) }
}
