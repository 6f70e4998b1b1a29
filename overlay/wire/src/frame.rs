//! Which of the things that share the one UDP port a datagram is, and what can be wrong with it.
//!
//! Spec: `docs/spec/wire.md`, section "Demultiplexing".

/// Longest datagram any parser looks at: the most UDP over IPv4 can carry is 65,507 bytes; a merged (GRO) buffer never comes here unsplit.
pub const MAX_DATAGRAM_LEN: usize = 65_535;

/// Why a frame was refused. The frame is dropped; nothing is answered and nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WireError {
    /// Too short, too long, or not the length its own fields announce.
    #[error("frame length wrong")]
    Length,
    /// The first byte is not that of the frame expected.
    #[error("frame kind wrong")]
    Kind,
    /// A reserved bit is set.
    #[error("reserved bit set")]
    Reserved,
    /// A field holds a value that means nothing.
    #[error("field value out of range")]
    Value,
}

/// First byte of every frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// First message of a session handshake.
    HandshakeInit = 0x10,
    /// Second message of a session handshake.
    HandshakeResponse = 0x11,
    /// Answer of a node under load: prove your address first.
    CookieReply = 0x12,
    /// Sealed payload of a session.
    Data = 0x13,
    /// Relay header in front of one of the four frames above.
    Relay = 0x18,
    /// Client asks the relay to bind its address.
    RelayBind = 0x19,
    /// Relay asks the client to prove its address.
    RelayChallenge = 0x1a,
    /// Client proves its address.
    RelayBindConfirm = 0x1b,
    /// Relay says the address is bound.
    RelayBound = 0x1c,
    /// Relay shows a client that a datagram of its reaches it.
    ReachProbe = 0x1d,
    /// Round trip to a relay, along a circuit or over one link of the mesh.
    RelayEcho = 0x1e,
}

impl FrameKind {
    /// The kind a first byte announces.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x10 => Self::HandshakeInit,
            0x11 => Self::HandshakeResponse,
            0x12 => Self::CookieReply,
            0x13 => Self::Data,
            0x18 => Self::Relay,
            0x19 => Self::RelayBind,
            0x1a => Self::RelayChallenge,
            0x1b => Self::RelayBindConfirm,
            0x1c => Self::RelayBound,
            0x1d => Self::ReachProbe,
            0x1e => Self::RelayEcho,
            _ => return None,
        })
    }

    /// True for the frames two members exchange: the only ones a relay carries.
    pub const fn is_end_to_end(self) -> bool {
        match self {
            Self::HandshakeInit | Self::HandshakeResponse | Self::CookieReply | Self::Data => true,
            Self::Relay
            | Self::RelayBind
            | Self::RelayChallenge
            | Self::RelayBindConfirm
            | Self::RelayBound
            | Self::ReachProbe
            | Self::RelayEcho => false,
        }
    }
}

/// What a datagram is by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Datagram {
    /// RFC 8489 STUN message (first byte 0x00..=0x03).
    Stun,
    /// One of our frames.
    Frame(FrameKind),
    /// QUIC packet of a control connection: the fixed bit 0x40 is set (RFC 9000, 17; the peers never grease it).
    Quic,
    /// Anything else: drop.
    Unknown,
}

/// Sorts a datagram by its first byte.
pub const fn classify(first: u8) -> Datagram {
    match first {
        0x00..=0x03 => Datagram::Stun,
        _ if first & 0x40 != 0 => Datagram::Quic,
        _ => match FrameKind::from_byte(first) {
            Some(kind) => Datagram::Frame(kind),
            None => Datagram::Unknown,
        },
    }
}

/// [`classify`] of a whole datagram; an empty one is unknown.
pub fn classify_datagram(datagram: &[u8]) -> Datagram {
    datagram.first().map_or(Datagram::Unknown, |first| classify(*first))
}

/// AEAD of a handshake or of a session's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Suite {
    /// ChaCha20-Poly1305 (RFC 8439).
    ChaChaPoly = 1,
    /// AES-256-GCM (NIST SP 800-38D).
    AesGcm = 2,
}

impl Suite {
    /// The suite a byte names.
    ///
    /// # Errors
    /// [`WireError::Value`] for any other byte.
    pub const fn from_byte(byte: u8) -> Result<Self, WireError> {
        match byte {
            1 => Ok(Self::ChaChaPoly),
            2 => Ok(Self::AesGcm),
            _ => Err(WireError::Value),
        }
    }
}
