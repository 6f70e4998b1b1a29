//! What a payer's home node vouches for.

use super::{Object, Reader, WireError};
use crate::ids::{Epoch, FlowId, PartyKey};

/// A part of a channel's deposit set aside for one flow and epoch (104 bytes, 168 signed). A later one for the same flow
/// and epoch replaces it and is never lower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reservation {
    /// The epoch.
    pub epoch: Epoch,
    /// The flow.
    pub flow: FlowId,
    /// The channel whose deposit it is.
    pub channel: [u8; 32],
    /// Atto-NB.
    pub amount: u128,
    /// The home node, which answers for it with its pledge.
    pub home: PartyKey,
}

impl Reservation {
    /// Bytes of one signed reservation.
    pub const SIGNED_LEN: usize = 168;
}

impl Object for Reservation {
    const TAG: &'static str = "povf/reservation";

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[super::VERSION, KIND_RESERVATION, 0, 0]);
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(&self.flow.0);
        out.extend_from_slice(&self.channel);
        out.extend_from_slice(&self.amount.to_le_bytes());
        out.extend_from_slice(&self.home.0);
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.version()?;
        reader.constant(KIND_RESERVATION, "kind")?;
        reader.constant(0, "reserved")?;
        reader.constant(0, "reserved")?;
        Ok(Self {
            epoch: Epoch(reader.u32()?),
            flow: reader.flow()?,
            channel: reader.bytes()?,
            amount: reader.u128()?,
            home: reader.key()?,
        })
    }
}

const KIND_RESERVATION: u8 = 4;
