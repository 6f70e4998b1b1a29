//! The economy at genesis (docs/spec/economy.md): system contracts, the 2.1 billion NFC, and the parameters of the chains
//! `main`, `test` and `dev`.
//!
//! The code is that of `chain/contracts/artifacts`, compiled in; `make contracts-check` reproduces it from the sources.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alloy_primitives::{Address, B256, Bytes, U256};
use anyhow::{Context as _, ensure};
use netchain_exec::genesis::{GenesisAccount, GenesisConfig, GenesisNfc, GenesisWitness};
use netchain_exec::{ChainParams, Genesis};
use serde::Deserialize;

use crate::init::DEV_ACCOUNTS;

/// Base units of one NFC.
const NFC: u64 = 1_000_000_000_000_000_000;
/// All NFC there will ever be.
pub const SUPPLY_NFC: u64 = 2_100_000_000;
/// Of them liquid at genesis; what the genesis gives to other accounts is taken from it.
const FOUNDATION_NFC: u64 = 105_000_000;
const TEAM_NFC: u64 = 315_000_000;
const BLOCK_NFC: u64 = 336_000_000;
const TRAFFIC_NFC: u64 = 1_344_000_000;

const ARTIFACTS: [(&str, u64); 10] = [
    (include_str!("../../contracts/artifacts/Witness.json"), 0),
    (include_str!("../../contracts/artifacts/Ballots.json"), 0),
    (include_str!("../../contracts/artifacts/BlockRewardVault.json"), BLOCK_NFC),
    (include_str!("../../contracts/artifacts/TrafficVault.json"), TRAFFIC_NFC),
    (include_str!("../../contracts/artifacts/PrizePool.json"), 0),
    (include_str!("../../contracts/artifacts/TeamVesting.json"), TEAM_NFC),
    (include_str!("../../contracts/artifacts/TrafficSettlement.json"), 0),
    (include_str!("../../contracts/artifacts/Pledge.json"), 0),
    (include_str!("../../contracts/artifacts/PriceOracle.json"), 0),
    (include_str!("../../contracts/artifacts/Params.json"), 0),
];

/// A chain's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// The chain of the white paper: 3 s blocks, weeks and days.
    Main,
    /// The same with small pledges.
    Test,
    /// 1 s blocks, minutes instead of days: an election and an unlock cycle within a demonstration.
    Dev,
}

/// What a preset decides. Votes are counted every seven days, and ballots come back after seven days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    /// Seconds from block to block.
    block_s: u64,
    /// Seconds of a day.
    day_s: u64,
    /// Seconds of a traffic epoch.
    epoch_s: u64,
    /// Least pledge of a candidate, NFC.
    pledge_nfc: u64,
    /// Least pledges of edge, certification and relay nodes, NFC.
    tiers_nfc: [u64; 3],
    /// Most trust; 0: no limit.
    trust_max: u64,
    /// Seats.
    seats: u64,
}

impl Preset {
    const fn rules(self) -> Rules {
        // Neither the white paper nor the design names pledges. 100,000 NFC are 1/21,000 of the supply: 21 liars burn 2.1 million. An edge
        // node with 100 NFC may earn 2 NFC a day; certification and relay nodes answer for others, too.
        let main = Rules {
            block_s: 3,
            day_s: 86_400,
            epoch_s: 600,
            pledge_nfc: 100_000,
            tiers_nfc: [100, 10_000, 50_000],
            trust_max: 0,
            seats: 21,
        };
        match self {
            Self::Main => main,
            Self::Test => Rules { pledge_nfc: 1_000, tiers_nfc: [1, 10, 50], ..main },
            Self::Dev => {
                Rules { block_s: 1, day_s: 60, epoch_s: 10, pledge_nfc: 1_000, tiers_nfc: [1, 10, 50], ..main }
            }
        }
    }
}

/// Who gets what is not in a vault.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    /// The foundation's 105 million NFC.
    pub foundation: Address,
    /// Beneficiary of the team's vesting.
    pub team: Address,
}

/// Owners on a local network: accounts whose keys everybody knows.
pub const DEV_OWNERS: Owners = Owners { foundation: DEV_ACCOUNTS[0], team: DEV_ACCOUNTS[1] };

/// What a genesis with the economy is made of.
#[derive(Clone, Debug, clap::Args)]
pub struct NewGenesis {
    /// Parameters of the chain.
    #[arg(long)]
    pub preset: Preset,
    /// EIP-155 chain id.
    #[arg(long)]
    pub chain_id: u64,
    /// Time of the first block, unix seconds: where the team's year of waiting begins.
    #[arg(long)]
    pub timestamp: u64,
    /// First randomness, 32 bytes: something nobody could choose, a block hash of another chain that was named beforehand.
    #[arg(long)]
    pub mix_hash: B256,
    /// Account of the foundation.
    #[arg(long)]
    pub foundation: Address,
    /// Beneficiary of the team's vesting.
    #[arg(long)]
    pub team: Address,
    /// JSON list of the first witnesses, `{ "account", "voteKey", "revealKey" }` each.
    #[arg(long)]
    pub witnesses: PathBuf,
}

impl NewGenesis {
    /// The genesis file.
    ///
    /// # Errors
    /// The list of witnesses cannot be read, or is no witness set.
    pub fn make(&self) -> anyhow::Result<String> {
        let path = self.witnesses.display();
        let json = std::fs::read(&self.witnesses).with_context(|| format!("cannot read {path}"))?;
        let witnesses: Vec<GenesisWitness> =
            serde_json::from_slice(&json).with_context(|| format!("{path} is no list of witnesses"))?;
        let params = ChainParams::new(self.chain_id);
        let mut genesis = Genesis {
            config: GenesisConfig {
                chain_id: self.chain_id,
                nfc: GenesisNfc {
                    min_base_fee: params.min_base_fee,
                    prize_pool: None,
                    witness_contract: params.witness_contract,
                    witnesses,
                },
            },
            timestamp: self.timestamp,
            gas_limit: params.gas_limit,
            mix_hash: self.mix_hash,
            alloc: BTreeMap::new(),
        };
        install(&mut genesis, self.preset, &Owners { foundation: self.foundation, team: self.team })?;
        genesis.block()?;
        Ok(serde_json::to_string_pretty(&genesis)?)
    }
}

#[derive(Deserialize)]
struct Artifact {
    name: String,
    address: Address,
    code: Bytes,
}

/// Puts the economy into a genesis whose witnesses, randomness, timestamp and other accounts are set.
///
/// # Errors
/// An account stands where a contract goes, or the accounts hold more than the foundation's part.
pub fn install(genesis: &mut Genesis, preset: Preset, owners: &Owners) -> anyhow::Result<()> {
    let given = genesis.alloc.values().try_fold(U256::ZERO, |sum, it| sum.checked_add(it.balance));
    let left = given.and_then(|given| nfc(FOUNDATION_NFC).checked_sub(given));
    let left = left.context("the accounts of the genesis hold more than the foundation's 105 million NFC")?;
    for (json, balance) in ARTIFACTS {
        let artifact: Artifact = serde_json::from_str(json).context("an artifact is damaged")?;
        ensure!(!genesis.alloc.contains_key(&artifact.address), "{} is a system contract", artifact.address);
        if artifact.name == "PrizePool" {
            genesis.config.nfc.prize_pool = Some(artifact.address);
        }
        if artifact.name == "Witness" {
            genesis.config.nfc.witness_contract = artifact.address;
        }
        let storage = slots(&artifact.name, preset.rules(), genesis, owners);
        let account = GenesisAccount {
            balance: nfc(balance),
            nonce: Some(1),
            code: artifact.code,
            storage: storage.into_iter().map(|(slot, value)| (U256::from(slot), value)).collect(),
        };
        genesis.alloc.insert(artifact.address, account);
    }
    genesis.alloc.entry(owners.foundation).or_default().balance += left;
    Ok(())
}

fn nfc(amount: u64) -> U256 {
    U256::from(amount) * U256::from(NFC)
}

/// Storage at genesis, by the layouts in the artifacts.
fn slots(name: &str, rules: Rules, genesis: &Genesis, owners: &Owners) -> Vec<(u64, U256)> {
    let word = |address: Address| U256::from_be_bytes(address.into_word().0);
    let mix = U256::from_be_bytes(genesis.mix_hash.0);
    let week_s = 7 * rules.day_s;
    match name {
        "Witness" => vec![
            (0, nfc(rules.pledge_nfc)),
            (1, U256::from(week_s / rules.block_s)),
            (2, U256::from(rules.trust_max)),
            (3, U256::from(rules.seats)),
            (4, U256::from(rules.day_s)),
            // The orders of the first two shuffle rounds are drawn with the randomness of the genesis.
            (5, mix),
            (6, mix),
        ],
        "Ballots" => vec![(0, U256::from(week_s))],
        "TeamVesting" => vec![(0, word(owners.team)), (1, U256::from(genesis.timestamp))],
        "Pledge" => {
            let [edge, certification, relay] = rules.tiers_nfc.map(nfc);
            vec![(0, U256::from(rules.day_s)), (1, edge), (2, certification), (3, relay)]
        }
        // Mint rule 0: at most 0.9 of what was burnt.
        "TrafficSettlement" => vec![(0, U256::from(rules.day_s)), (1, U256::from(rules.epoch_s)), (2, U256::ZERO)],
        // One NB for one NFC until the witnesses quote; no anchor.
        "PriceOracle" => vec![(0, U256::from(NFC)), (1, U256::ZERO)],
        "Params" => vec![(0, U256::from(rules.day_s))],
        _ => Vec::new(),
    }
}

/// What a candidate's vote key signs to register: `"NFC/REGISTER/v1" | chain id u64 | account | vote key | reveal key`.
#[must_use]
pub fn registration_text(chain_id: u64, seat: &netchain_types::Witness) -> Vec<u8> {
    [b"NFC/REGISTER/v1".as_slice(), &chain_id.to_be_bytes(), seat.account.as_slice(), &seat.vote_key, &seat.reveal_key]
        .concat()
}
