//! The payer's cumulative acknowledgement.

use super::{Object, Reader, WireError};
use crate::ids::{Epoch, FlowId};

/// What the payer admits having received (96 bytes, 160 signed). Cumulative in the epoch: a later voucher is never below
/// an earlier one in any field, and only the last one counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Voucher {
    /// The epoch.
    pub epoch: Epoch,
    /// The flow.
    pub flow: FlowId,
    /// The payment channel of the contract.
    pub channel: [u8; 32],
    /// Strictly growing in a flow and epoch, from 1.
    pub seq: u64,
    /// Goodput bytes the initiator received.
    pub acked_down: u64,
    /// Goodput bytes of the initiator that the provider acknowledged end to end.
    pub acked_up: u64,
    /// The most that may be burnt for these bytes, atto-NB ([`super::Contract::liability`]).
    pub cum_amount: u128,
}

impl Voucher {
    /// Bytes of one signed voucher.
    pub const SIGNED_LEN: usize = 160;
}

impl Object for Voucher {
    const TAG: &'static str = "povf/voucher";

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[super::VERSION, KIND_VOUCHER, 0, 0]);
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(&self.flow.0);
        out.extend_from_slice(&self.channel);
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.acked_down.to_le_bytes());
        out.extend_from_slice(&self.acked_up.to_le_bytes());
        out.extend_from_slice(&self.cum_amount.to_le_bytes());
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.version()?;
        reader.constant(KIND_VOUCHER, "kind")?;
        reader.constant(0, "reserved")?;
        reader.constant(0, "reserved")?;
        Ok(Self {
            epoch: Epoch(reader.u32()?),
            flow: reader.flow()?,
            channel: reader.bytes()?,
            seq: reader.u64()?,
            acked_down: reader.u64()?,
            acked_up: reader.u64()?,
            cum_amount: reader.u128()?,
        })
    }
}

const KIND_VOUCHER: u8 = 2;
