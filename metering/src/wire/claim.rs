//! What a node claims for a flow and an epoch.

use super::{Object, Reader, WireError};
use crate::hash::Hash;
use crate::ids::{Epoch, FlowId, PartyKey, PerDirection};
use crate::params::MAX_HOPS;

/// Role of a node on a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Pays.
    Initiator,
    /// Is paid for the bytes it provides.
    Provider,
    /// Is paid for the bytes it forwards.
    Relay,
}

impl Role {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Initiator => 0,
            Self::Provider => 1,
            Self::Relay => 2,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Initiator),
            1 => Some(Self::Provider),
            2 => Some(Self::Relay),
            _ => None,
        }
    }
}

/// Totals of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Packets counted.
    pub pkts: u64,
    /// Ciphertext bytes counted.
    pub bytes: u64,
    /// Packets whose counter was seen before.
    pub dups: u32,
}

/// One node's claim for one flow and epoch (152 bytes, 216 signed): exactly the sum of its committed slot leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HopClaim {
    /// What the node did.
    pub role: Role,
    /// Position on the path.
    pub hop: u8,
    /// The epoch.
    pub epoch: Epoch,
    /// The flow.
    pub flow: FlowId,
    /// Totals at egress (sender, relay) or after verification and replay check (receiver).
    pub counts: PerDirection<Counts>,
    /// Unique unpadded session bytes, where the node is the receiver; zero elsewhere.
    pub goodput: PerDirection<u64>,
    /// Root over the hashes of the slot leaves the claim sums up, in order of slot and direction.
    pub slots_root: Hash,
    /// The node that signs.
    pub node: PartyKey,
}

impl HopClaim {
    /// Bytes of one signed claim.
    pub const SIGNED_LEN: usize = 216;
}

impl Object for HopClaim {
    const TAG: &'static str = "povf/hop-claim";

    fn emit(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[super::VERSION, self.role.to_byte(), self.hop, 0]);
        out.extend_from_slice(&self.epoch.0.to_le_bytes());
        out.extend_from_slice(&self.flow.0);
        for counts in [&self.counts.up, &self.counts.down] {
            out.extend_from_slice(&counts.pkts.to_le_bytes());
            out.extend_from_slice(&counts.bytes.to_le_bytes());
            out.extend_from_slice(&counts.dups.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        }
        out.extend_from_slice(&self.goodput.up.to_le_bytes());
        out.extend_from_slice(&self.goodput.down.to_le_bytes());
        out.extend_from_slice(&self.slots_root);
        out.extend_from_slice(&self.node.0);
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.version()?;
        let role = Role::from_byte(reader.u8()?).ok_or(WireError::Field("role"))?;
        let hop = reader.u8()?;
        if usize::from(hop) >= MAX_HOPS {
            return Err(WireError::Field("hop"));
        }
        reader.constant(0, "flags")?;
        let epoch = Epoch(reader.u32()?);
        let flow = reader.flow()?;
        let counts = PerDirection { up: parse_counts(reader)?, down: parse_counts(reader)? };
        Ok(Self {
            role,
            hop,
            epoch,
            flow,
            counts,
            goodput: PerDirection { up: reader.u64()?, down: reader.u64()? },
            slots_root: reader.hash()?,
            node: reader.key()?,
        })
    }
}

fn parse_counts(reader: &mut Reader<'_>) -> Result<Counts, WireError> {
    let counts = Counts { pkts: reader.u64()?, bytes: reader.u64()?, dups: reader.u32()? };
    if reader.u32()? == 0 { Ok(counts) } else { Err(WireError::Field("reserved")) }
}
