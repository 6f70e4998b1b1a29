//! The contract of a flow: who carries it for whom and at what price.

use super::{Object, Reader, WireError};
use crate::hash::{first16, tagged};
use crate::ids::{Epoch, FlowId, PartyKey};
use crate::params::{LOSS_SHARE_PPM, MAX_RELAYS, PPM, RETX_MAX_PPM};

/// What the digest of a record is taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigestAlg {
    /// First six bytes of the AEAD tag: free, and bound to the ciphertext by the receiver's check.
    AeadTag,
    /// First six bytes of SHA-256 of the ciphertext: costs a hash per packet, allows slices to be shown.
    Sha256,
}

/// Flags of a contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ContractFlags {
    /// Paid with promotional NB, which never mint.
    pub promo: bool,
    /// The relays were assigned by the beacon, not chosen.
    pub assigned: bool,
}

/// A relay and its price.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Relay {
    /// The relay's node key.
    pub node: PartyKey,
    /// Atto-NB per byte.
    pub price: u64,
}

/// The terms of one flow (132 bytes and 40 per relay), signed by initiator, provider and each relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contract {
    /// Digest of the records.
    pub digest_alg: DigestAlg,
    /// Flags.
    pub flags: ContractFlags,
    /// First epoch the contract is good for.
    pub epoch_start: Epoch,
    /// Bytes a payee serves beyond what was acknowledged.
    pub credit_window: u32,
    /// The provider's price, atto-NB per byte.
    pub price_provider: u64,
    /// Makes two contracts of the same parties different.
    pub nonce: [u8; 16],
    /// Payment channel the vouchers draw on.
    pub channel: [u8; 32],
    /// Key that signs the vouchers.
    pub initiator: PartyKey,
    /// The provider's node key.
    pub provider: PartyKey,
    /// Relays in path order from the initiator; at most [`MAX_RELAYS`].
    pub relays: Vec<Relay>,
}

impl Contract {
    /// The flow's name in `epoch`; without `flow_secret` two epochs cannot be linked.
    #[must_use]
    pub fn flow_id(&self, flow_secret: &[u8; 32], epoch: Epoch) -> FlowId {
        FlowId(first16(&tagged("povf/flow", &[&self.to_bytes(), flow_secret, &epoch.0.to_le_bytes()])))
    }

    /// The most settlement can burn when these goodput bytes are acknowledged, in atto-NB: what a voucher's cumulative
    /// amount states and a reservation must cover. Grows with both counts. `None` above 2^128 - 1.
    #[must_use]
    pub fn liability(&self, acked_up: u64, acked_down: u64) -> Option<u128> {
        let above = |x: u64, ppm: u64| u128::from(x) * u128::from(PPM + ppm) / u128::from(PPM);
        let provider = above(acked_down, LOSS_SHARE_PPM).checked_mul(u128::from(self.price_provider))?;
        let carried = above(acked_up, RETX_MAX_PPM).checked_add(above(acked_down, RETX_MAX_PPM))?;
        self.relays
            .iter()
            .try_fold(provider, |sum, relay| sum.checked_add(carried.checked_mul(u128::from(relay.price))?))
    }
}

impl Object for Contract {
    const TAG: &'static str = "povf/contract";

    fn emit(&self, out: &mut Vec<u8>) {
        // A contract with more relays cannot be parsed from the wire; one built by hand is cut, and nobody can sign it
        // into being longer.
        let relays = self.relays.iter().take(MAX_RELAYS);
        let digest = match self.digest_alg {
            DigestAlg::AeadTag => 1,
            DigestAlg::Sha256 => 2,
        };
        let flags = u8::from(self.flags.promo) | u8::from(self.flags.assigned) << 1;
        out.extend_from_slice(&[super::VERSION, digest, u8::try_from(relays.len()).unwrap_or(0), flags]);
        out.extend_from_slice(&self.epoch_start.0.to_le_bytes());
        out.extend_from_slice(&self.credit_window.to_le_bytes());
        out.extend_from_slice(&self.price_provider.to_le_bytes());
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.channel);
        out.extend_from_slice(&self.initiator.0);
        out.extend_from_slice(&self.provider.0);
        for relay in relays {
            out.extend_from_slice(&relay.node.0);
            out.extend_from_slice(&relay.price.to_le_bytes());
        }
    }

    fn parse(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.version()?;
        let digest_alg = match reader.u8()? {
            1 => DigestAlg::AeadTag,
            2 => DigestAlg::Sha256,
            _ => return Err(WireError::Field("digest_alg")),
        };
        let n_relays = usize::from(reader.u8()?);
        if n_relays > MAX_RELAYS {
            return Err(WireError::Field("n_relays"));
        }
        let flags = match reader.u8()? {
            bits if bits <= 3 => ContractFlags { promo: bits & 1 != 0, assigned: bits & 2 != 0 },
            _ => return Err(WireError::Field("flags")),
        };
        let mut contract = Self {
            digest_alg,
            flags,
            epoch_start: Epoch(reader.u32()?),
            credit_window: reader.u32()?,
            price_provider: reader.u64()?,
            nonce: reader.bytes()?,
            channel: reader.bytes()?,
            initiator: reader.key()?,
            provider: reader.key()?,
            relays: Vec::with_capacity(n_relays),
        };
        for _ in 0..n_relays {
            contract.relays.push(Relay { node: reader.key()?, price: reader.u64()? });
        }
        Ok(contract)
    }
}
