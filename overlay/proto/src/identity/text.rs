//! Text forms of ids: bech32m (BIP 350), lower case.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use netflow_wire::{InviteId, NetworkId, NodeId};

const NODE: &str = "nf";
const NETWORK: &str = "nfnet";
const INVITE: &str = "nfinv";

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Checksum, alphabet or length is wrong: most likely a typing mistake.
    #[error("not a valid {0}1... text (check for a typing mistake)")]
    Malformed(&'static str),
    /// A valid text of another kind, for instance a network where a node is wanted.
    #[error("this is not a {0}1... text but one of another kind")]
    OtherKind(&'static str),
}

/// `nf1...`
pub fn format_node_id(id: &NodeId) -> String {
    encode_text(NODE, &id.0)
}

/// `nfnet1...`
pub fn format_network_id(id: &NetworkId) -> String {
    encode_text(NETWORK, &id.0)
}

/// `nfinv1...`: names an invite without giving it away.
pub fn format_invite_id(id: &InviteId) -> String {
    encode_text(INVITE, &id.0)
}

/// Reads `nf1...`.
///
/// # Errors
/// [`TextError`].
pub fn parse_node_id(text: &str) -> Result<NodeId, TextError> {
    parse(NODE, text).map(NodeId)
}

/// Reads `nfnet1...`.
///
/// # Errors
/// [`TextError`].
pub fn parse_network_id(text: &str) -> Result<NetworkId, TextError> {
    parse(NETWORK, text).map(NetworkId)
}

pub(crate) fn encode_text(prefix: &'static str, data: &[u8]) -> String {
    bech32::encode::<Bech32m>(Hrp::parse_unchecked(prefix), data)
        .expect("callers keep within the bech32m code length of 1,023 characters")
}

fn parse(prefix: &'static str, text: &str) -> Result<[u8; 32], TextError> {
    decode_text(prefix, text)?.try_into().map_err(|_| TextError::Malformed(prefix))
}

pub(crate) fn decode_text(prefix: &'static str, text: &str) -> Result<Vec<u8>, TextError> {
    let checked = CheckedHrpstring::new::<Bech32m>(text.trim()).map_err(|_| TextError::Malformed(prefix))?;
    if !checked.hrp().as_str().eq_ignore_ascii_case(prefix) {
        return Err(TextError::OtherKind(prefix));
    }
    Ok(checked.byte_iter().collect())
}
