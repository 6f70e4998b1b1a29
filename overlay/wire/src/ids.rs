//! Names of nodes, networks and invites: 32 opaque bytes each, distinct types so that one is never passed for another.

use std::fmt;

use minicbor::decode::{Decode, Decoder, Error as DecodeError};
use minicbor::encode::{Encode, Encoder, Error as EncodeError, Write};

/// Length in bytes of every identifier of this module.
pub const ID_LEN: usize = 32;

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; ID_LEN]);

        impl $name {
            /// The 32 bytes of the identifier.
            pub const fn as_bytes(&self) -> &[u8; ID_LEN] {
                &self.0
            }

            /// The first eight bytes: the short name used inside data-path messages, where 32 bytes per author cost too much.
            pub fn short(&self) -> [u8; 8] {
                let [a, b, c, d, e, f, g, h, ..] = self.0;
                [a, b, c, d, e, f, g, h]
            }
        }

        impl From<[u8; ID_LEN]> for $name {
            fn from(bytes: [u8; ID_LEN]) -> Self {
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = std::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                Ok(Self(bytes.try_into()?))
            }
        }

        /// Eight hex digits: enough to tell two apart in a log line, too few to be mistaken for the text form.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let [a, b, c, d, ..] = self.0;
                write!(f, concat!(stringify!($name), "({:02x}{:02x}{:02x}{:02x})"), a, b, c, d)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), EncodeError<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
                let position = d.position();
                let bytes = d.bytes()?;
                Self::try_from(bytes)
                    .map_err(|_| DecodeError::message("identifier is not 32 bytes").at(position))
            }
        }
    };
}

identifier! {
    /// A node: its ed25519 `NodeKey`. Text form `nf1...` (netflow-overlay).
    NodeId
}
identifier! {
    /// A network: SHA-256 over a domain and the owner's ed25519 key. Text form `nfnet1...` (netflow-overlay). Never on the data wire.
    NetworkId
}
identifier! {
    /// An invite: the ed25519 public key whose secret half is inside the invite token.
    InviteId
}
