//! Limits of control messages, the same for sender and receiver.

/// Version of the control protocol in [`ControlMessage::Hello`].
pub const CONTROL_VERSION: u16 = 2;
/// Longest CBOR of one message. One log entry of the largest size and a full batch both fit; a stream buffer of this size per link is affordable.
pub const MAX_MESSAGE_LEN: usize = 65_536;
/// Bytes of the length prefix.
pub const LENGTH_PREFIX: usize = 4;
/// Longest raw log entry. A policy of 128 rules fits; a member with its ML-KEM key takes 1.7 KiB.
pub const MAX_ENTRY_LEN: usize = 8_192;
/// Most entries in one message: 60 KiB of the smallest real entries (about 120 bytes).
pub const MAX_ENTRIES: usize = 512;
/// Most authors in one message. An author is the owner or an admin; 256 heads are 19 KiB.
pub const MAX_HEADS: usize = 256;
/// Longest node record. A record is about 230 bytes; twice that leaves room for a field.
pub const MAX_RECORD_LEN: usize = 512;
/// Longest ML-KEM-768 encapsulation key (FIPS 203, table 3); empty when the node has none.
pub const MAX_KEM_KEY_LEN: usize = 1_184;
/// Longest name of a member or network in bytes: one DNS label (RFC 1035, 2.3.4).
pub const MAX_NAME_LEN: usize = 63;
/// Longest human-readable reason: one line of a terminal, twice.
pub const MAX_TEXT_LEN: usize = 256;
/// Longest software string in [`ControlMessage::Hello`].
pub const MAX_SOFTWARE_LEN: usize = 64;
/// Most addresses of one relay: two families, a few uplinks.
pub const MAX_RELAY_ADDRS: usize = 8;
/// Most relays of one network in one list. A node keeps links to at most four of them.
pub const MAX_RELAYS: usize = 16;
/// Most relays of one path: edge, backbone, edge. Each costs a share of the round trip, a quota and a price.
pub const MAX_ROUTE: usize = 3;
/// Relays of a path after the one a message goes to.
pub const MAX_VIA: usize = MAX_ROUTE - 1;
/// Links one relay tells of: a full mesh of root nodes, and its central nodes.
pub const MAX_LINK_ADVERTS: usize = 64;
/// Adverts in one message: the largest 16 are 46 KiB.
pub const MAX_ADVERTS: usize = 16;
/// Paths in one answer: the end measures them all, and keeps two.
pub const MAX_CANDIDATES: usize = 3;
