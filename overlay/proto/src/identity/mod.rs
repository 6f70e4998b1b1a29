//! Who a node is: its three key pairs, the record that binds them together, and the text forms of ids.

mod keys;
mod record;
mod secret;
mod signature;
mod text;

pub use keys::{KeyFileError, NodeKeys};
pub use record::{NodeRecord, RECORD_VERSION, RecordError, SignedRecord};
pub use secret::Secret;
pub use signature::{SignatureError, Signatures, Strict, sign, verify};
pub use text::{TextError, format_invite_id, format_network_id, format_node_id, parse_network_id, parse_node_id};
pub(crate) use text::{decode_text, encode_text};

#[cfg(test)]
mod tests;
