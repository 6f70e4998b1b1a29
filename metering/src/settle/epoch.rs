//! Settlement of an epoch: all settled flows, mutual debts of two wallets set against each other, then rewards and the
//! root the chain pays from.

use std::collections::BTreeMap;

use super::flow::{FlowSettlement, counted_bytes};
use crate::algo::curve;
use crate::algo::hedge;
use crate::algo::reward::{NodeDue, Reward, RewardError, Rewards, Tier, fair_reward};
use crate::amount::{Amount, mul_div};
use crate::hash::Hash;
use crate::ids::PartyKey;
use crate::merkle;

/// Account that pays or is paid on the chain; several nodes and channels may belong to one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Wallet(pub [u8; 20]);

/// A paid position of a flow: the node that serves and the wallet it earns for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payee {
    /// The node.
    pub node: PartyKey,
    /// Its wallet.
    pub wallet: Wallet,
}

/// What the chain knows of a node when the epoch closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Its tier.
    pub tier: Tier,
    /// Its pledge, atto-NFC; zero for an unknown node, which then earns nothing.
    pub pledge: Amount,
}

/// Why a flow or an epoch cannot be settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EpochError {
    /// There must be one payee per paid part.
    #[error("{got} payees for {want} paid parts")]
    Payees {
        /// Payees given.
        got: usize,
        /// Parts of the settlement.
        want: usize,
    },
    /// The ledger holds as many debts as it may; close it and settle the rest in another shard.
    #[error("the ledger of the epoch is full")]
    Full,
    /// The rewards cannot be computed.
    #[error(transparent)]
    Reward(#[from] RewardError),
}

/// Debts one ledger holds: 2^20 of about 150 bytes. A committee's shard is far smaller.
const MAX_DEBTS: usize = 1 << 20;

#[derive(Clone, Copy, Default)]
struct Debt {
    fee: Amount,
    weight: Amount,
}

impl Debt {
    fn add(&mut self, other: &Self) {
        self.fee += other.fee;
        self.weight += other.weight;
    }
}

/// Collects the settled flows of an epoch. The result does not depend on their order.
#[derive(Default)]
pub struct EpochLedger {
    /// Providers' dues by payer, payee and node: these are set against each other.
    provided: BTreeMap<(Wallet, Wallet, PartyKey), Debt>,
    /// Relays' dues: they carry both ways and are not set against anything.
    relayed: BTreeMap<PartyKey, Debt>,
    counted: u128,
}

/// One line of the epoch's root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payout {
    /// The node.
    pub node: PartyKey,
    /// Its tier.
    pub tier: Tier,
    /// Its reward.
    pub reward: Reward,
}

/// What an epoch tells the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EpochSettlement {
    /// Bytes that advance the traffic counter.
    pub counted_bytes: u128,
    /// Atto-NB burnt.
    pub burnt: Amount,
    /// Atto-NB set against each other and neither paid nor burnt.
    pub bartered: Amount,
    /// Totals.
    pub totals: Rewards,
    /// Payouts by node, ascending.
    pub payouts: Vec<Payout>,
    /// Root over the payouts' leaves.
    pub root: Hash,
}

impl EpochLedger {
    /// Adds a settled flow paid by `payer` to `payees`, which are in the order of the settlement's parts.
    ///
    /// # Errors
    /// [`EpochError::Payees`] and [`EpochError::Full`]; nothing was added then.
    pub fn add(&mut self, payer: Wallet, payees: &[Payee], flow: &FlowSettlement) -> Result<(), EpochError> {
        if payees.len() != flow.parts.len() {
            return Err(EpochError::Payees { got: payees.len(), want: flow.parts.len() });
        }
        if self.provided.len() + self.relayed.len() + payees.len() > MAX_DEBTS {
            return Err(EpochError::Full);
        }
        for (i, (payee, part)) in payees.iter().zip(&flow.parts).enumerate() {
            let debt = Debt { fee: part.fee, weight: part.weight };
            if i == 0 {
                self.provided.entry((payer, payee.wallet, payee.node)).or_default().add(&debt);
            } else {
                self.relayed.entry(payee.node).or_default().add(&debt);
            }
        }
        self.counted = self.counted.saturating_add(flow.counted_bytes);
        Ok(())
    }

    /// Closes the epoch at `price` atto-NB per NFC, the network's traffic counter standing at `counter` bytes.
    ///
    /// # Errors
    /// [`EpochError::Reward`].
    pub fn close(
        self,
        standing: impl Fn(&PartyKey) -> Standing,
        price: u128,
        counter: u128,
    ) -> Result<EpochSettlement, EpochError> {
        let counted = self.counted;
        let (dues, bartered) = self.net();
        let burnt = dues.values().fold(Amount::ZERO, |sum, debt| sum + debt.fee);
        // Barter takes fees out of the burn, so the floor price is checked again on what is left.
        let counted_bytes = counted_bytes(counted, burnt);
        let mut nodes = Vec::with_capacity(dues.len());
        let mut list = Vec::with_capacity(dues.len());
        for (node, debt) in dues {
            let Standing { tier, pledge } = standing(&node);
            nodes.push((node, tier));
            list.push(NodeDue { tier, fee: debt.fee, weight: debt.weight, pledge });
        }
        let allowance = curve::allowance(counter, counter.saturating_add(counted_bytes));
        let totals = fair_reward(&list, price, allowance)?;
        let payouts: Vec<Payout> = nodes
            .into_iter()
            .zip(&totals.rewards)
            .map(|((node, tier), reward)| Payout { node, tier, reward: *reward })
            .collect();
        let root = merkle::root(&payouts.iter().map(Payout::leaf).collect::<Vec<_>>());
        Ok(EpochSettlement { counted_bytes, burnt, bartered, totals, payouts, root })
    }

    /// Dues by node after barter, and what was bartered (counted once per pair).
    fn net(self) -> (BTreeMap<PartyKey, Debt>, Amount) {
        let mut owed: BTreeMap<(Wallet, Wallet), Amount> = BTreeMap::new();
        for ((payer, payee, _), debt) in &self.provided {
            *owed.entry((*payer, *payee)).or_default() += debt.fee;
        }
        let mut dues = self.relayed;
        let mut bartered = Amount::ZERO;
        for ((payer, payee, node), debt) in &self.provided {
            let of = |a: &Wallet, b: &Wallet| owed.get(&(*a, *b)).copied().unwrap_or_default();
            let owes = of(payer, payee);
            let hedged = hedge::pair(owes, of(payee, payer));
            // Each node behind the wallet keeps its share of what is left; rounding down keeps weight <= fee.
            let left = |x: Amount| mul_div(x, hedged.net_x, owes).unwrap_or(Amount::ZERO);
            let net = Debt { fee: left(debt.fee), weight: left(debt.weight) };
            bartered += debt.fee - net.fee;
            dues.entry(*node).or_default().add(&net);
        }
        (dues, bartered)
    }
}

impl Payout {
    /// Leaf of the epoch's root: node (32), tier (0 edge, 1 central, 2 root), gross reward in atto-NFC (u128).
    #[must_use]
    pub fn leaf(&self) -> Hash {
        let tier = match self.tier {
            Tier::Edge => 0,
            Tier::Central => 1,
            Tier::Root => 2,
        };
        let mut data = Vec::with_capacity(49);
        data.extend_from_slice(&self.node.0);
        data.push(tier);
        // The gross reward is at most the curve's allowance, far below 2^128.
        data.extend_from_slice(&self.reward.gross.saturating_to::<u128>().to_le_bytes());
        merkle::leaf_hash(&data)
    }
}
