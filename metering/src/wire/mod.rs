//! Wire objects: fixed layouts, little endian. Each is an owned `Repr` (a plain struct) behind a checked view
//! ([`View`]); parsing refuses every missing, trailing or non-zero reserved byte, so one value has one encoding.

mod claim;
mod contract;
mod opening;
mod record;
mod reservation;
mod signed;
mod slot;
mod voucher;

pub use claim::{Counts, HopClaim, Role};
pub use contract::{Contract, ContractFlags, DigestAlg, Relay};
pub use opening::{LeafOpening, Opening, OpeningFault};
pub(crate) use record::record_leaf;
pub use record::{Record, record_root};
pub use reservation::Reservation;
pub use signed::{Object, Signed, View};
pub use slot::{SlotLeaf, SlotRoot};
pub use voucher::Voucher;

use crate::hash::Hash;
use crate::ids::{Direction, FlowId, PartyKey};

/// Version byte of every object of NFC-PoVF/1.
pub(crate) const VERSION: u8 = 1;

/// Why bytes are not the object they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than the object has.
    #[error("object is cut short")]
    Truncated,
    /// Bytes after the end of the object.
    #[error("object has trailing bytes")]
    Trailing,
    /// The version byte is not 1.
    #[error("unknown version {0}")]
    Version(u8),
    /// A field has a value the layout does not allow; the name of the field.
    #[error("field `{0}` has a value that is not allowed")]
    Field(&'static str),
    /// The signature is not the signer's over this body.
    #[error("signature does not verify")]
    Signature,
    /// The bytes are a valid key's in no case.
    #[error("public key is not a point of the curve")]
    Key,
}

/// Reads fields from the front of a buffer.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(u8::from_le_bytes(self.bytes()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.bytes()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, WireError> {
        Ok(u128::from_le_bytes(self.bytes()?))
    }

    pub(crate) fn hash(&mut self) -> Result<Hash, WireError> {
        self.bytes()
    }

    pub(crate) fn key(&mut self) -> Result<PartyKey, WireError> {
        Ok(PartyKey(self.bytes()?))
    }

    pub(crate) fn flow(&mut self) -> Result<FlowId, WireError> {
        Ok(FlowId(self.bytes()?))
    }

    pub(crate) fn direction(&mut self) -> Result<Direction, WireError> {
        Direction::from_byte(self.u8()?).ok_or(WireError::Field("direction"))
    }

    pub(crate) fn version(&mut self) -> Result<(), WireError> {
        match self.u8()? {
            VERSION => Ok(()),
            other => Err(WireError::Version(other)),
        }
    }

    /// Takes one byte that must be `want` (a kind, a reserved zero).
    pub(crate) fn constant(&mut self, want: u8, field: &'static str) -> Result<(), WireError> {
        if self.u8()? == want { Ok(()) } else { Err(WireError::Field(field)) }
    }

    pub(crate) const fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Trailing) }
    }
}
