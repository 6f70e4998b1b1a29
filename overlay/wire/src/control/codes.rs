//! Numbers that say why.

/// Codes of [`super::ControlMessage::JoinRefused::reason`].
pub mod join_reason {
    /// No invite of this id in the log.
    pub const UNKNOWN: u8 = 0;
    /// The invite was redeemed before.
    pub const USED: u8 = 1;
    /// The invite's time is over.
    pub const EXPIRED: u8 = 2;
    /// The issuer cancelled the invite.
    pub const CANCELLED: u8 = 3;
    /// The request does not parse, or a proof in it does not verify.
    pub const MALFORMED: u8 = 4;
    /// The network has no address or place left.
    pub const FULL: u8 = 5;
    /// The node was revoked from this network.
    pub const REVOKED: u8 = 6;
}

/// Codes of [`super::ControlMessage::CircuitClosed::reason`].
pub mod circuit_reason {
    /// One of the two ends is not a member of the network.
    pub const NOT_MEMBER: u8 = 0;
    /// The network's quota is used up.
    pub const QUOTA: u8 = 1;
    /// The peer is not bound here. The wish is kept and the circuit opens when it binds.
    pub const PEER_OFFLINE: u8 = 2;
    /// No label, or no room in the wish list.
    pub const FULL: u8 = 3;
    /// One of the two ends was revoked.
    pub const REVOKED: u8 = 4;
    /// A relay on the way is not reachable, or is gone.
    pub const UNREACHABLE: u8 = 5;
    /// A relay on the way carries nothing for this network and has no agreement with the relay before it.
    pub const NO_TRANSIT: u8 = 6;
    /// The path is none: a relay twice, too many, or not with the relay it was sent to.
    pub const BAD_PATH: u8 = 7;
}

/// Codes of [`super::ControlMessage::Refused::code`].
pub mod refused_code {
    /// Anything without a code of its own; the text says what.
    pub const OTHER: u8 = 0;
    /// The relay does not host this network and nothing entitles it to.
    pub const NOT_ADMITTED: u8 = 1;
    /// The node is not a member of the network.
    pub const NOT_MEMBER: u8 = 2;
    /// Quota or a limit of the relay is used up.
    pub const QUOTA: u8 = 3;
    /// The message is not allowed in this state.
    pub const UNEXPECTED: u8 = 4;
    /// No common control version.
    pub const VERSION: u8 = 5;
    /// An entry or record in the message does not verify.
    pub const INVALID: u8 = 6;
}

/// Codes of [`super::ControlMessage::PathQuery::class`]: what counts most on the way.
pub mod path_class {
    /// Round trip and loss.
    pub const INTERACTIVE: u8 = 0;
    /// Room and loss, then price.
    pub const BULK: u8 = 1;
    /// Price, then round trip.
    pub const CHEAP: u8 = 2;
}
