//! What must never happen, whoever lies and whatever fails.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use netchain_consensus::{CertifiedBlock, Evidence, Keys, Message};
use netchain_light::LightClient;
use netchain_state::AccountRecord;
use netchain_store::{Store, Table};
use netchain_types::{ChainDomain, VoteKind, WitnessSet, vote_signing_bytes};
use netchaind::chain::certified;

use crate::report::Report;
use crate::scenario::Scenario;

/// Judges a run as it goes.
pub struct Oracle {
    /// How signatures are judged: through the world's cache.
    keys: Box<dyn Keys>,
    domain: ChainDomain,
    sets: Vec<WitnessSet>,
    supply: U256,
    blocks: BTreeMap<u64, B256>,
    rounds: BTreeMap<u64, u32>,
    signed: BTreeMap<(Address, u64, u32, u8), Vec<u8>>,
}

impl Oracle {
    /// For a chain whose sets serve in turn and whose accounts hold `supply` together.
    #[must_use]
    pub fn new(keys: Box<dyn Keys>, domain: ChainDomain, sets: Vec<WitnessSet>, supply: U256, genesis: B256) -> Self {
        let blocks = BTreeMap::from([(0, genesis)]);
        Self { keys, domain, sets, supply, blocks, rounds: BTreeMap::new(), signed: BTreeMap::new() }
    }

    fn set(&self, scenario: &Scenario, height: u64) -> Result<&WitnessSet, String> {
        self.sets.get(scenario.set_at(height)).ok_or_else(|| "the scenario has no set".to_owned())
    }

    /// Agreement and validity of what a node has just committed, and the supply after it.
    ///
    /// # Errors
    /// What was violated.
    pub fn committed(
        &mut self,
        scenario: &Scenario,
        store: &Store,
        height: u64,
        report: &mut Report,
    ) -> Result<(), String> {
        let block = certified(store, height).ok_or_else(|| format!("lost: block {height} is not in the store"))?;
        let hash = block.block.hash();
        self.certificate(scenario, &block)?;
        let round = block.certificate.round;
        if *self.rounds.entry(height).or_insert(round) != round {
            report.rounds_differ += 1;
        }
        if let Some(known) = self.blocks.get(&height) {
            return if *known == hash { Ok(()) } else { Err(format!("agreement: two blocks at height {height}")) };
        }
        // Every node that committed the block before may have lost its power in the middle of it: nobody has shown it yet.
        if height > 1 && !self.blocks.contains_key(&(height - 1)) {
            self.committed(scenario, store, height - 1, report)?;
        }
        self.blocks.insert(height, hash);
        let (header, extra) = (block.block.header(), block.block.extra());
        if self.blocks.get(&(height - 1)) != Some(&header.parent_hash) {
            return Err(format!("validity: height {height} does not follow its parent"));
        }
        let next = self.set(scenario, height + 1)?.hash();
        let sets = (extra.validators_hash, extra.next_validators_hash);
        if sets != (self.set(scenario, height)?.hash(), next) {
            return Err(format!("validity: height {height} names other witness sets than the contract's"));
        }
        self.supply_holds(store, height)?;
        report.set_changes += u64::from(sets.0 != sets.1);
        report.evidence += block.block.evidence().len() as u64;
        let body = netchain_store::transactions_of(block.block.body()).map_err(|error| error.to_string())?;
        report.transactions += (body.len() as u64).saturating_sub(1);
        Ok(())
    }

    /// Counted here, not by the code under test: distinct seats of the set that serves, more than two thirds, good signatures.
    fn certificate(&self, scenario: &Scenario, block: &CertifiedBlock) -> Result<(), String> {
        let (certificate, height) = (&block.certificate, block.block.height());
        let set = self.set(scenario, height)?;
        let hash = block.block.hash();
        let text = vote_signing_bytes(&self.domain, VoteKind::Precommit, height, certificate.round, Some(&hash));
        let mut seats = std::collections::BTreeSet::new();
        for commit in &certificate.signatures {
            let seat = set.seats().get(usize::from(commit.seat));
            if seat.is_some_and(|seat| self.keys.verify(&seat.vote_key, &text, &commit.signature)) {
                seats.insert(commit.seat);
            }
        }
        let enough = seats.len() * 3 > set.len() * 2 && seats.len() == certificate.signatures.len();
        if enough && certificate.block_hash == hash && certificate.height == height {
            Ok(())
        } else {
            Err(format!("validity: the certificate of height {height} proves nothing"))
        }
    }

    fn supply_holds(&self, store: &Store, height: u64) -> Result<(), String> {
        if store.tip().is_none_or(|tip| tip.height != height) {
            return Ok(());
        }
        let sum = supply(store)?;
        if sum == self.supply {
            Ok(())
        } else {
            Err(format!("supply: {sum} after height {height}, {} at genesis", self.supply))
        }
    }

    /// No honest witness ever signs two things in one place.
    ///
    /// # Errors
    /// What was signed twice.
    pub fn signed(&mut self, message: &Message) -> Result<(), String> {
        let (voter, round, kind, said) = match message {
            Message::Vote(vote) => {
                let m = &vote.message;
                (m.voter, m.round, m.kind as u8, format!("{:?}", m.value).into_bytes())
            }
            Message::Proposal(proposal) => {
                let m = &proposal.message;
                (m.voter, m.round, 2, format!("{} {:?}", m.block.hash(), m.pol_round).into_bytes())
            }
            Message::Polka(_) | Message::Round(_) | Message::BlockRequest(_) | Message::Block(_) => return Ok(()),
        };
        let key = (voter.0, message.height(), round.as_u32().unwrap_or(u32::MAX), kind);
        let known = self.signed.entry(key).or_insert_with(|| said.clone());
        if *known == said { Ok(()) } else { Err(format!("double-sign by an honest witness: {key:?}")) }
    }

    /// An honest creator offers evidence that others accept: against members of the last two sets.
    ///
    /// # Errors
    /// Against whom it was.
    pub fn offered(&self, scenario: &Scenario, message: &Message) -> Result<(), String> {
        let Message::Proposal(proposal) = message else { return Ok(()) };
        let block = &proposal.message.block;
        let height = block.height();
        let (next, voted) = (self.set(scenario, height)?, self.set(scenario, height - 1)?);
        let stranger = |evidence: &&Evidence| [next, voted].iter().all(|set| set.seat_of(&evidence.account).is_none());
        match block.evidence().iter().find(stranger) {
            Some(evidence) => {
                Err(format!("validity: height {height} offers evidence against {}, of no set", evidence.account))
            }
            None => Ok(()),
        }
    }

    /// Nobody honest is ever convicted.
    ///
    /// # Errors
    /// Who was.
    pub fn convicted(&self, evidence: &Evidence, honest: bool) -> Result<(), String> {
        if honest { Err(format!("evidence against an honest witness: {:?}", evidence.account)) } else { Ok(()) }
    }

    /// A node's whole database, at the end: every trie is what the headers say.
    ///
    /// # Errors
    /// The first contradiction.
    pub fn database(&self, store: &Store) -> Result<(), String> {
        store.verify(&mut |_| {}).map(drop).map_err(|error| format!("state: {error}"))
    }

    /// A light client that begins with the genesis follows a node's chain by one header for each change of the set.
    ///
    /// # Errors
    /// Why it does not.
    pub fn light_client(&self, scenario: &Scenario, store: &Store) -> Result<(), String> {
        let header = |height| store.header(height).map_err(|error| error.to_string());
        let genesis = header(0)?.ok_or("no genesis")?;
        let first = self.sets.first().ok_or("no set")?.clone();
        let mut client = LightClient::new(self.domain, &genesis, first).map_err(|error| format!("light: {error}"))?;
        let tip = store.tip().map_or(0, |tip| tip.height);
        for height in 1..=tip {
            let header = header(height)?.ok_or("a header is missing")?;
            let extra = header.check().map_err(|error| error.to_string())?;
            let changes = extra.validators_hash != extra.next_validators_hash;
            if !changes && height != tip {
                continue;
            }
            let certificate = store.certificate(height).map_err(|error| error.to_string())?.ok_or("no certificate")?;
            let next = self.set(scenario, height + 1)?.encode();
            let update = client.update(
                header.timestamp,
                &alloy_rlp::encode(&header),
                &certificate,
                None,
                changes.then_some(next.as_slice()),
            );
            update.map_err(|error| format!("light: height {height}: {error}"))?;
        }
        Ok(())
    }
}

/// What all accounts of the last state hold.
///
/// # Errors
/// The table cannot be read.
pub fn supply(store: &Store) -> Result<U256, String> {
    let records = store.kv().scan(Table::Accounts, &[], 0, usize::MAX).map_err(|error| error.to_string())?;
    records.iter().try_fold(U256::ZERO, |sum, (_, record)| {
        let record = AccountRecord::decode(record).map_err(|error| error.to_string())?;
        Ok(sum + record.account.balance)
    })
}
