//! Deposits at a payer's home node: no channel ever has more reserved than it holds, whatever number of flows asks.

use std::collections::BTreeMap;

use crate::ids::{Epoch, FlowId, PartyKey};
use crate::wire::{Contract, Reservation, Signed};

/// Reservations one channel may have open: flows of an epoch and of the ones not settled yet.
const MAX_OPEN: usize = 4_096;

/// Why nothing was reserved. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DepositError {
    /// The channel has no deposit here.
    #[error("the channel is unknown")]
    UnknownChannel,
    /// The contract is not signed by the channel's owner.
    #[error("the contract is not the channel owner's")]
    NotOwner,
    /// The deposit does not cover it; what is left of it in atto-NB.
    #[error("only {0} atto-NB of the deposit are free")]
    Insufficient(u128),
    /// As many channels, or reservations of the channel, as there may be.
    #[error("too many channels or reservations")]
    Full,
}

#[derive(Debug)]
struct Channel {
    owner: PartyKey,
    deposit: u128,
    open: BTreeMap<(Epoch, FlowId), u128>,
}

impl Channel {
    /// Sum of the open reservations; at most the deposit at the time each was made, so it cannot overflow.
    fn reserved(&self) -> u128 {
        self.open.values().fold(0, |sum, amount| sum.saturating_add(*amount))
    }
}

/// The deposits of the payers at home with this node.
#[derive(Debug)]
pub struct Deposits {
    home: PartyKey,
    limit: usize,
    channels: BTreeMap<[u8; 32], Channel>,
}

impl Deposits {
    /// The deposits at `home`, of at most `limit` channels.
    #[must_use]
    pub const fn new(home: PartyKey, limit: usize) -> Self {
        Self { home, limit, channels: BTreeMap::new() }
    }

    /// Sets what the chain says of a channel: its owner and what it holds, settled flows already paid.
    ///
    /// # Errors
    /// [`DepositError::Full`].
    pub fn set_deposit(&mut self, channel: [u8; 32], owner: PartyKey, deposit: u128) -> Result<(), DepositError> {
        if !self.channels.contains_key(&channel) && self.channels.len() >= self.limit {
            return Err(DepositError::Full);
        }
        let entry = self.channels.entry(channel).or_insert(Channel { owner, deposit, open: BTreeMap::new() });
        (entry.owner, entry.deposit) = (owner, deposit);
        Ok(())
    }

    /// Reserves `amount` in total for a flow and epoch; a lower amount than reserved before changes nothing. Store the
    /// returned reservation durably before it is signed and sent.
    ///
    /// # Errors
    /// [`DepositError`].
    pub fn reserve(
        &mut self,
        contract: &Signed<Contract>,
        epoch: Epoch,
        flow: FlowId,
        amount: u128,
    ) -> Result<Reservation, DepositError> {
        let id = contract.body().channel;
        let channel = self.channels.get_mut(&id).ok_or(DepositError::UnknownChannel)?;
        if *contract.signer() != channel.owner || contract.body().initiator != channel.owner {
            return Err(DepositError::NotOwner);
        }
        let held = channel.open.get(&(epoch, flow)).copied();
        if held.is_none() && channel.open.len() >= MAX_OPEN {
            return Err(DepositError::Full);
        }
        let total = amount.max(held.unwrap_or(0));
        let free = channel.deposit.saturating_sub(channel.reserved() - held.unwrap_or(0));
        if total > free {
            return Err(DepositError::Insufficient(free));
        }
        channel.open.insert((epoch, flow), total);
        Ok(Reservation { epoch, flow, channel: id, amount: total, home: self.home })
    }

    /// Feeds a stored reservation back after a restart, deposits first. It is taken as it is: it was given out.
    ///
    /// # Errors
    /// [`DepositError::UnknownChannel`].
    pub fn restore(&mut self, reservation: &Reservation) -> Result<(), DepositError> {
        let channel = self.channels.get_mut(&reservation.channel).ok_or(DepositError::UnknownChannel)?;
        let held = channel.open.entry((reservation.epoch, reservation.flow)).or_default();
        *held = reservation.amount.max(*held);
        Ok(())
    }

    /// The flow and epoch is settled: its reservation ends, and what it burnt is off the deposit.
    pub fn settle(&mut self, channel: &[u8; 32], epoch: Epoch, flow: FlowId, burnt: u128) {
        if let Some(channel) = self.channels.get_mut(channel)
            && channel.open.remove(&(epoch, flow)).is_some()
        {
            channel.deposit = channel.deposit.saturating_sub(burnt);
        }
    }

    /// Atto-NB of a channel that nothing is reserved of.
    #[must_use]
    pub fn free(&self, channel: &[u8; 32]) -> u128 {
        self.channels.get(channel).map_or(0, |channel| channel.deposit.saturating_sub(channel.reserved()))
    }
}
