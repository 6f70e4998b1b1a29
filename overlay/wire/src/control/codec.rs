//! Bytes of a control message, and back.

use std::fmt;

use super::ControlMessage;
use super::limits::{LENGTH_PREFIX, MAX_MESSAGE_LEN};

/// Why a control message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Longer than [`super::MAX_MESSAGE_LEN`], or empty.
    #[error("control message length outside 1..=65536")]
    Length,
    /// Not CBOR of a known message, or a field over its limit.
    #[error("control message malformed")]
    Malformed,
    /// A valid message spelled in another way than the deterministic one, or followed by bytes.
    #[error("control message not in deterministic encoding")]
    NotCanonical,
    /// A field of a message to be sent is over its limit.
    #[error("control message field over its limit")]
    OverLimit,
}

impl ControlMessage {
    /// CBOR of the message, without the length prefix.
    ///
    /// # Errors
    /// [`ControlError::OverLimit`] and [`ControlError::Length`] when the message breaks a limit of this module.
    pub fn encode(&self) -> Result<Vec<u8>, ControlError> {
        let bytes = minicbor::to_vec(self).map_err(|_| ControlError::OverLimit)?;
        if bytes.len() > MAX_MESSAGE_LEN {
            return Err(ControlError::Length);
        }
        Ok(bytes)
    }

    /// Length prefix and CBOR: what goes into the stream.
    ///
    /// # Errors
    /// As [`ControlMessage::encode`].
    pub fn encode_framed(&self) -> Result<Vec<u8>, ControlError> {
        let body = self.encode()?;
        let length = u32::try_from(body.len()).map_err(|_| ControlError::Length)?;
        let mut framed = Vec::with_capacity(LENGTH_PREFIX + body.len());
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend_from_slice(&body);
        Ok(framed)
    }

    /// Reads exactly one message (without the length prefix).
    ///
    /// # Errors
    /// [`ControlError`]; nothing was changed anywhere.
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        if bytes.is_empty() || bytes.len() > MAX_MESSAGE_LEN {
            return Err(ControlError::Length);
        }
        let message: Self = minicbor::decode(bytes).map_err(|_| ControlError::Malformed)?;
        // One spelling only: also refuses trailing bytes, unknown fields and indefinite lengths.
        if message.encode().as_deref() != Ok(bytes) {
            return Err(ControlError::NotCanonical);
        }
        Ok(message)
    }

    /// Name of the message for logs and counters.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Attach { .. } => "attach",
            Self::Attached { .. } => "attached",
            Self::LogHeads { .. } => "log_heads",
            Self::LogPull { .. } => "log_pull",
            Self::LogEntries { .. } => "log_entries",
            Self::Publish { .. } => "publish",
            Self::JoinRequest { .. } => "join_request",
            Self::JoinPending { .. } => "join_pending",
            Self::JoinRefused { .. } => "join_refused",
            Self::BindRequest => "bind_request",
            Self::BindTicket { .. } => "bind_ticket",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::CircuitOpened { .. } => "circuit_opened",
            Self::CircuitClosed { .. } => "circuit_closed",
            Self::Refused { .. } => "refused",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::ProbeMe { .. } => "probe_me",
            Self::MeshHello => "mesh_hello",
            Self::LinkState { .. } => "link_state",
            Self::WhereIs { .. } => "where_is",
            Self::Here { .. } => "here",
            Self::CircuitExtend { .. } => "circuit_extend",
            Self::CircuitExtended { .. } => "circuit_extended",
            Self::CircuitRelease { .. } => "circuit_release",
            Self::PathQuery { .. } => "path_query",
            Self::PathAnswer { .. } => "path_answer",
            Self::TimeQuery { .. } => "time_query",
            Self::TimeAnswer { .. } => "time_answer",
        }
    }
}

/// The name only: `BindTicket` carries a secret, and entries are long.
impl fmt::Debug for ControlMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Reads the length prefix at the start of a stream buffer.
///
/// `Ok(None)`: the buffer is shorter than the prefix. `Ok(Some(n))`: the message takes `n` bytes after the prefix.
///
/// # Errors
/// [`ControlError::Length`] when the peer announces 0 or more than [`super::MAX_MESSAGE_LEN`]: close the link, the stream cannot be resynchronised.
pub fn message_length(buffer: &[u8]) -> Result<Option<usize>, ControlError> {
    let Some(prefix) = buffer.first_chunk::<LENGTH_PREFIX>() else { return Ok(None) };
    match usize::try_from(u32::from_le_bytes(*prefix)) {
        Ok(length) if (1..=MAX_MESSAGE_LEN).contains(&length) => Ok(Some(length)),
        _ => Err(ControlError::Length),
    }
}
