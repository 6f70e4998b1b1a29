//! A payee of a flow (provider or relay): takes vouchers, and stops serving when they lag.

use super::evidence::Equivocation;
use crate::amount::allow_above;
use crate::ids::{Epoch, FlowId, PartyKey, PerDirection};
use crate::params::RETX_MAX_PPM;
use crate::wire::{Contract, Reservation, Signed, View, Voucher, WireError};

/// A flow and epoch at one of its payees.
#[derive(Clone, Debug)]
pub struct Payee {
    contract: Contract,
    epoch: Epoch,
    flow: FlowId,
    /// The payer's home node, whose reservations count.
    home: PartyKey,
    /// Most atto-NB a voucher can be worth: what the home node reserved.
    reserved: u128,
    /// Bytes counted here, both directions.
    carried: u64,
    last: Option<Signed<Voucher>>,
}

/// What a valid voucher did.
#[derive(Clone, PartialEq, Debug)]
pub enum VoucherOutcome {
    /// It is the best so far: store it durably before it is acknowledged.
    Accepted(Signed<Voucher>),
    /// It is the one already held.
    Known,
    /// It is older than the one held.
    Stale,
    /// The payer signed two vouchers with one number: evidence, and no more service.
    Equivocation(Box<Equivocation<Voucher>>),
}

/// Why a voucher was refused. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VoucherError {
    /// Another flow, epoch or channel.
    #[error("the voucher belongs to another flow")]
    OtherFlow,
    /// Not signed by the contract's initiator.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A cumulative count or amount went back.
    #[error("a cumulative value of the voucher went back")]
    NotMonotone,
    /// The amount does not cover the acknowledged bytes.
    #[error("the voucher states less than its bytes cost")]
    TooLow,
    /// The amount is above what the payer's home node reserved: nobody would pay it.
    #[error("the voucher states more than is reserved")]
    Uncovered,
}

impl Payee {
    /// Starts an epoch of a flow; `home` is the payer's home node. Nothing is served before it reserved something.
    #[must_use]
    pub const fn new(contract: Contract, epoch: Epoch, flow: FlowId, home: PartyKey) -> Self {
        Self { contract, epoch, flow, home, reserved: 0, carried: 0, last: None }
    }

    /// Takes a reservation for this flow and epoch.
    ///
    /// # Errors
    /// [`VoucherError::OtherFlow`], [`VoucherError::Wire`]; nothing changed.
    pub fn handle_reservation(&mut self, view: View<Reservation>) -> Result<(), VoucherError> {
        let claimed = view.claimed();
        if (claimed.flow, claimed.epoch, claimed.channel) != (self.flow, self.epoch, self.contract.channel) {
            return Err(VoucherError::OtherFlow);
        }
        let reservation = view.verify(&self.home)?;
        self.reserved = self.reserved.max(reservation.body().amount);
        Ok(())
    }

    /// Notes bytes counted here in either direction. After a restart start from the sum of the committed slots.
    pub const fn note_carried(&mut self, bytes: u64) {
        self.carried = self.carried.saturating_add(bytes);
    }

    /// Bytes that may still be carried before another voucher is needed: acknowledged bytes and 15 % for
    /// retransmissions, and one credit window.
    #[must_use]
    pub fn headroom(&self) -> u64 {
        if self.reserved == 0 {
            return 0;
        }
        let acked = self.acked();
        let covered = allow_above(acked.up.saturating_add(acked.down), RETX_MAX_PPM);
        covered.saturating_add(self.contract.credit_window.into()).saturating_sub(self.carried)
    }

    /// Whether packets of the flow are to be served now. Vouchers and control messages always are.
    #[must_use]
    pub fn may_serve(&self) -> bool {
        self.headroom() > 0
    }

    /// What the payer acknowledged.
    #[must_use]
    pub fn acked(&self) -> PerDirection<u64> {
        let last = self.last.as_ref().map(Signed::body);
        PerDirection { up: last.map_or(0, |v| v.acked_up), down: last.map_or(0, |v| v.acked_down) }
    }

    /// The best voucher held: what the epoch is settled on.
    #[must_use]
    pub const fn last(&self) -> Option<&Signed<Voucher>> {
        self.last.as_ref()
    }

    /// Takes a voucher from the payer, or back from storage after a restart.
    ///
    /// # Errors
    /// [`VoucherError`].
    pub fn handle_voucher(&mut self, view: View<Voucher>) -> Result<VoucherOutcome, VoucherError> {
        let claimed = view.claimed();
        if (claimed.flow, claimed.epoch, claimed.channel) != (self.flow, self.epoch, self.contract.channel) {
            return Err(VoucherError::OtherFlow);
        }
        let voucher = view.verify(&self.contract.initiator)?;
        let new = *voucher.body();
        if let Some(held) = &self.last {
            let old = held.body();
            if new == *old {
                return Ok(VoucherOutcome::Known);
            }
            if let Some(evidence) = Equivocation::new(held.clone(), voucher.clone()) {
                return Ok(VoucherOutcome::Equivocation(Box::new(evidence)));
            }
            if new.seq < old.seq {
                return Ok(VoucherOutcome::Stale);
            }
            let went_back =
                new.acked_down < old.acked_down || new.acked_up < old.acked_up || new.cum_amount < old.cum_amount;
            if went_back {
                return Err(VoucherError::NotMonotone);
            }
        }
        let owed = self.contract.liability(new.acked_up, new.acked_down);
        if owed.is_none_or(|owed| new.cum_amount < owed) {
            return Err(VoucherError::TooLow);
        }
        if new.cum_amount > self.reserved {
            return Err(VoucherError::Uncovered);
        }
        self.last = Some(voucher.clone());
        Ok(VoucherOutcome::Accepted(voucher))
    }
}
