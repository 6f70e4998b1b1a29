//! Every limit of the log. A replica refuses what is over a limit, so the limits are part of the format.

/// Longest raw entry. The longest sensible one is a policy of 128 rules; a member with its ML-KEM key takes 1.7 KiB.
pub const MAX_ENTRY_LEN: usize = 8_192;
// What the log takes, messages must carry, and the other way round.
const _: () = assert!(MAX_ENTRY_LEN == netflow_wire::control::MAX_ENTRY_LEN, "two limits for one thing");
/// Entries of one author: ten changes a day for 70 years.
pub const MAX_ENTRIES_PER_AUTHOR: u32 = 262_144;
/// Raw bytes of one author's chain: 65,534 members with their keys and some room. Bounds what a hostile admin can make others store.
pub const MAX_BYTES_PER_AUTHOR: u64 = 160 * 1024 * 1024;
/// Members: the host addresses of a /16.
pub const MAX_MEMBERS: usize = 65_534;
/// Admins at a time. Sync messages carry a head per author.
pub const MAX_ADMINS: usize = 32;
/// Admins ever appointed, removed ones included: their chains stay part of the log. With the owner, as many heads as one message carries.
pub const MAX_ADMINS_EVER: usize = 255;
/// Invites that are neither used, cancelled nor expired.
pub const MAX_INVITES_OUTSTANDING: usize = 1_024;
/// Tags of one member or invite.
pub const MAX_TAGS: usize = 16;
/// Bytes of a tag: fits a column of a terminal.
pub const MAX_TAG_LEN: usize = 32;
/// Bytes of a name: one DNS label (RFC 1035, 2.3.4), since `NAME.NETWORK.nf` is a host name.
pub const MAX_NAME_LEN: usize = netflow_wire::control::MAX_NAME_LEN;
/// Relays of a network.
pub const MAX_RELAYS: usize = netflow_wire::control::MAX_RELAYS;
/// Rules of a policy.
pub const MAX_RULES: usize = 128;
/// Port ranges of one rule.
pub const MAX_PORT_RANGES: usize = 16;
/// Highest lamport clock. Leaves 2^62 values in which a counter can still be incremented, so nothing here overflows.
pub const MAX_LAMPORT: u64 = 1 << 62;
/// Nodes revoked and not readmitted. The list only grows while somebody with authority makes it grow.
pub const MAX_REVOKED: usize = 262_144;
