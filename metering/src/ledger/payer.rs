//! The payer of a flow: acknowledges what it received in small cumulative steps, so that either side can walk away at any
//! moment with at most one credit window of the other's.

use ed25519_dalek::SigningKey;

use crate::ids::{Epoch, FlowId, PerDirection};
use crate::wire::{Contract, Signed, Voucher};

/// After this silence a quarter of the window is acknowledged too: the payees may have stopped because so much was lost
/// that half a window never arrived. A slow flow is acknowledged when its epoch ends, which keeps vouchers below 80 ppm.
const SILENCE_MS: u64 = 2_000;

/// Why no voucher can be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PayerError {
    /// The reservation does not cover what was received; the flow must end or the reservation grow.
    #[error("the reservation is used up")]
    Exhausted,
    /// The stored voucher is of another flow.
    #[error("the voucher belongs to another flow")]
    OtherFlow,
}

/// A flow and epoch at its payer.
#[derive(Clone, Debug)]
pub struct Payer {
    contract: Contract,
    epoch: Epoch,
    flow: FlowId,
    /// Most atto-NB a voucher may state: what the home node reserved.
    reserved: u128,
    seq: u64,
    acked: PerDirection<u64>,
    goodput: PerDirection<u64>,
    /// When the last byte was noted.
    last_ms: u64,
}

impl Payer {
    /// Starts an epoch of a flow with `reserved` atto-NB behind it.
    #[must_use]
    pub const fn new(contract: Contract, epoch: Epoch, flow: FlowId, reserved: u128) -> Self {
        Self {
            contract,
            epoch,
            flow,
            reserved,
            seq: 0,
            acked: PerDirection { up: 0, down: 0 },
            goodput: PerDirection { up: 0, down: 0 },
            last_ms: 0,
        }
    }

    /// Continues after a restart from the last voucher stored. What came after it stays unacknowledged: at most a credit
    /// window, and the payees stop there.
    ///
    /// # Errors
    /// [`PayerError::OtherFlow`].
    pub fn restore(&mut self, last: &Voucher) -> Result<(), PayerError> {
        if (last.flow, last.epoch, last.channel) != (self.flow, self.epoch, self.contract.channel) {
            return Err(PayerError::OtherFlow);
        }
        self.seq = self.seq.max(last.seq);
        self.acked.up = self.acked.up.max(last.acked_up);
        self.acked.down = self.acked.down.max(last.acked_down);
        self.goodput.up = self.goodput.up.max(self.acked.up);
        self.goodput.down = self.goodput.down.max(self.acked.down);
        Ok(())
    }

    /// Notes `bytes` of unique, unpadded session bytes received from the provider.
    pub fn note_received(&mut self, bytes: u64, now_ms: u64) {
        self.goodput.down = self.goodput.down.saturating_add(bytes);
        self.last_ms = now_ms;
    }

    /// Notes that the provider acknowledged, end to end, `total` session bytes of this epoch. Lower totals are ignored.
    pub fn note_delivered(&mut self, total: u64, now_ms: u64) {
        if total > self.goodput.up {
            self.goodput.up = total;
            self.last_ms = now_ms;
        }
    }

    /// Raises the reservation; a lower amount changes nothing.
    pub fn reserve(&mut self, reserved: u128) {
        self.reserved = self.reserved.max(reserved);
    }

    /// The next voucher, when half a credit window is unacknowledged, a quarter after two seconds of silence, or anything
    /// once the epoch is over. Store it durably before any copy is sent.
    ///
    /// # Errors
    /// [`PayerError::Exhausted`]; the state is unchanged, and nothing more should be asked of the payees.
    pub fn poll_voucher(&mut self, now_ms: u64, key: &SigningKey) -> Result<Option<Signed<Voucher>>, PayerError> {
        let is_due = self.poll_timeout().is_some_and(|due| due <= now_ms);
        if !is_due {
            return Ok(None);
        }
        let amount = self.contract.liability(self.goodput.up, self.goodput.down);
        let cum_amount = amount.filter(|amount| *amount <= self.reserved).ok_or(PayerError::Exhausted)?;
        self.seq += 1;
        self.acked = self.goodput;
        let voucher = Voucher {
            epoch: self.epoch,
            flow: self.flow,
            channel: self.contract.channel,
            seq: self.seq,
            acked_down: self.acked.down,
            acked_up: self.acked.up,
            cum_amount,
        };
        Ok(Some(Signed::sign(voucher, key)))
    }

    /// When [`Payer::poll_voucher`] has something to do, in milliseconds; 0 is now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        let unacked = (self.goodput.up - self.acked.up).saturating_add(self.goodput.down - self.acked.down);
        let window = u64::from(self.contract.credit_window);
        if unacked == 0 {
            None
        } else if unacked >= window / 2 {
            Some(0)
        } else if unacked >= window / 4 {
            Some(self.last_ms.saturating_add(SILENCE_MS).min(self.epoch.end_ms()))
        } else {
            Some(self.epoch.end_ms())
        }
    }
}
