//! What is inside a data frame once it is open: an IP packet, or a message between two members.
//!
//! Spec: `docs/spec/wire.md`, section "Inner messages". The high nibble of the first byte tells: 4 or 6 is an IP version.

use crate::bytes::{array_ref, check_length, u16_at, u32_at, u64_at};
use crate::control::MAX_ENTRY_LEN;
use crate::frame::WireError;

mod direct;

pub use direct::{
    Candidate, CandidateKind, Candidates, Filtering, MAX_CANDIDATES, MAX_PART_LEN, Mapping, PART_HEADER_LEN,
    PROBE_ACK_LEN, PROBE_HEADER_LEN, Part, ProbeAck,
};

/// Most items of one `Heads` or `Pull`: 60 heads are 1,202 bytes, within the smallest inner MTU of 1,280.
pub const MAX_ITEMS: usize = 60;
/// Most entry bytes of one fragment: 1,117 bytes with its header, within the smallest inner MTU.
pub const MAX_FRAGMENT_LEN: usize = 1_100;
/// Bytes before the entry bytes of a fragment.
pub const FRAGMENT_HEADER_LEN: usize = 17;

const HEAD_LEN: usize = 20;
const WANT_LEN: usize = 16;
const KEEPALIVE_LEN: usize = 17;
const ECHO_LEN: usize = 17;

/// First byte of every inner message. 0 is the null message, one byte, which the session layer keeps to itself.
mod kind {
    pub(super) const KEEPALIVE: u8 = 1;
    pub(super) const HEADS: u8 = 2;
    pub(super) const PULL: u8 = 3;
    pub(super) const FRAGMENT: u8 = 4;
    pub(super) const PING: u8 = 5;
    pub(super) const PONG: u8 = 6;
    pub(super) const CANDIDATES: u8 = 7;
    pub(super) const PROBE: u8 = 8;
    pub(super) const PROBE_ACK: u8 = 9;
    pub(super) const PART: u8 = 10;
}

/// Newest entry of an author, in short: [`crate::NodeId::short`] and the first eight bytes of the entry hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortHead {
    /// First eight bytes of the author's key.
    pub author: [u8; 8],
    /// Sequence number of the entry.
    pub seq: u32,
    /// First eight bytes of its hash.
    pub hash: [u8; 8],
}

/// A stretch of an author's chain, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortRange {
    /// First eight bytes of the author's key.
    pub author: [u8; 8],
    /// First sequence number wanted.
    pub from: u32,
    /// Last sequence number wanted; not below `from`.
    pub to: u32,
}

/// Part of a raw log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// First eight bytes of the author's key.
    pub author: [u8; 8],
    /// Sequence number of the entry.
    pub seq: u32,
    /// Bytes of the whole raw entry.
    pub total: u16,
    /// Where these bytes start in it: a multiple of [`MAX_FRAGMENT_LEN`].
    pub offset: u16,
    /// [`MAX_FRAGMENT_LEN`] bytes of it, or the rest.
    pub bytes: &'a [u8],
}

/// Content of a data frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inner<'a> {
    /// An IPv4 or IPv6 packet; only its version nibble has been looked at.
    Ip(&'a [u8]),
    /// I am here, and this is what I know of the network.
    Keepalive {
        /// Digest of the sender's log heads.
        heads_digest: [u8; 16],
    },
    /// Newest entries known, at most [`MAX_ITEMS`].
    Heads(Vec<ShortHead>),
    /// Entries wanted, 1..=[`MAX_ITEMS`] stretches.
    Pull(Vec<ShortRange>),
    /// Part of a log entry.
    EntryFragment(Fragment<'a>),
    /// Round-trip probe of this path.
    Ping {
        /// Names the probe.
        id: u64,
        /// The sender's clock; means nothing to the receiver.
        t: u64,
    },
    /// Answer of a probe, on the path the probe came.
    Pong {
        /// From the probe.
        id: u64,
        /// From the probe.
        t: u64,
    },
    /// Where the sender may be reached directly.
    Candidates(Candidates),
    /// Does this path work, at this size? Answered by [`ProbeAck`] on the path it came.
    Probe {
        /// Names the probe.
        id: u64,
        /// The sender means to use this path.
        nominate: bool,
        /// Zero bytes after it, up to the size under test.
        padding: u16,
    },
    /// Answer of a probe.
    ProbeAck(ProbeAck),
    /// Half of an inside packet.
    Part(Part<'a>),
}

impl<'a> Inner<'a> {
    /// Reads an opened data frame. An IP packet costs no allocation.
    ///
    /// # Errors
    /// [`WireError`]: the frame was authentic, so a member runs other software or misbehaves; drop it.
    pub fn parse(plaintext: &'a [u8]) -> Result<Self, WireError> {
        let first = *plaintext.first().ok_or(WireError::Length)?;
        match first {
            kind::KEEPALIVE => {
                check_length(plaintext, KEEPALIVE_LEN)?;
                Ok(Self::Keepalive { heads_digest: *array_ref(plaintext, 1) })
            }
            kind::HEADS => items(plaintext, 0, head).map(Self::Heads),
            kind::PULL => items(plaintext, 1, range).map(Self::Pull),
            kind::FRAGMENT => fragment(plaintext).map(Self::EntryFragment),
            kind::PING | kind::PONG => {
                check_length(plaintext, ECHO_LEN)?;
                let (id, t) = (u64_at(plaintext, 1), u64_at(plaintext, 9));
                Ok(if first == kind::PING { Self::Ping { id, t } } else { Self::Pong { id, t } })
            }
            kind::CANDIDATES => direct::parse_candidates(plaintext).map(Self::Candidates),
            kind::PROBE => {
                direct::parse_probe(plaintext).map(|(id, nominate, padding)| Self::Probe { id, nominate, padding })
            }
            kind::PROBE_ACK => direct::parse_probe_ack(plaintext).map(Self::ProbeAck),
            kind::PART => direct::parse_part(plaintext).map(Self::Part),
            _ if is_ip(first) => Ok(Self::Ip(plaintext)),
            _ => Err(WireError::Kind),
        }
    }

    /// Bytes [`Inner::to_vec`] gives.
    pub fn buffer_len(&self) -> usize {
        match self {
            Self::Ip(packet) => packet.len(),
            Self::Keepalive { .. } => KEEPALIVE_LEN,
            Self::Heads(heads) => 2 + heads.len() * HEAD_LEN,
            Self::Pull(ranges) => 2 + ranges.len() * WANT_LEN,
            Self::EntryFragment(fragment) => FRAGMENT_HEADER_LEN + fragment.bytes.len(),
            Self::Ping { .. } | Self::Pong { .. } => ECHO_LEN,
            Self::Candidates(candidates) => candidates.buffer_len(),
            Self::Probe { padding, .. } => PROBE_HEADER_LEN + usize::from(*padding),
            Self::ProbeAck(_) => PROBE_ACK_LEN,
            Self::Part(part) => PART_HEADER_LEN + part.bytes.len(),
        }
    }

    /// The plaintext of a data frame.
    ///
    /// # Errors
    /// [`WireError::Value`] or [`WireError::Length`] when the message breaks a rule the receiver checks.
    pub fn to_vec(&self) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::with_capacity(self.buffer_len());
        match self {
            Self::Ip(packet) => out.extend_from_slice(packet),
            Self::Keepalive { heads_digest } => {
                out.push(kind::KEEPALIVE);
                out.extend_from_slice(heads_digest);
            }
            Self::Heads(heads) => {
                out.extend_from_slice(&[kind::HEADS, count(heads.len())?]);
                for head in heads {
                    out.extend_from_slice(&head.author);
                    out.extend_from_slice(&head.seq.to_le_bytes());
                    out.extend_from_slice(&head.hash);
                }
            }
            Self::Pull(ranges) => {
                out.extend_from_slice(&[kind::PULL, count(ranges.len())?]);
                for range in ranges {
                    out.extend_from_slice(&range.author);
                    out.extend_from_slice(&range.from.to_le_bytes());
                    out.extend_from_slice(&range.to.to_le_bytes());
                }
            }
            Self::EntryFragment(fragment) => {
                out.push(kind::FRAGMENT);
                out.extend_from_slice(&fragment.author);
                out.extend_from_slice(&fragment.seq.to_le_bytes());
                out.extend_from_slice(&fragment.total.to_le_bytes());
                out.extend_from_slice(&fragment.offset.to_le_bytes());
                out.extend_from_slice(fragment.bytes);
            }
            Self::Ping { id, t } => echo(&mut out, kind::PING, *id, *t),
            Self::Pong { id, t } => echo(&mut out, kind::PONG, *id, *t),
            Self::Candidates(candidates) => candidates.emit(kind::CANDIDATES, &mut out)?,
            Self::Probe { id, nominate, padding } => {
                direct::emit_probe(kind::PROBE, *id, *nominate, *padding, &mut out);
            }
            Self::ProbeAck(ack) => ack.emit(kind::PROBE_ACK, &mut out),
            Self::Part(part) => part.emit(kind::PART, &mut out),
        }
        // The receiver's rules are the only statement of what is valid: hold the sender to them.
        if Inner::parse(&out)? != *self {
            return Err(WireError::Kind);
        }
        Ok(out)
    }
}

/// Cuts a raw entry into fragments; empty when it is longer than [`MAX_ENTRY_LEN`].
pub fn fragments(author: [u8; 8], seq: u32, raw: &[u8]) -> impl Iterator<Item = Fragment<'_>> {
    let raw = if raw.len() <= MAX_ENTRY_LEN { raw } else { &[] };
    let total = u16::try_from(raw.len()).unwrap_or(0);
    raw.chunks(MAX_FRAGMENT_LEN).zip((0u16..).step_by(MAX_FRAGMENT_LEN)).map(move |(bytes, offset)| Fragment {
        author,
        seq,
        total,
        offset,
        bytes,
    })
}

/// True when the first byte of an inside packet names IP version 4 or 6.
pub const fn is_ip(first: u8) -> bool {
    matches!(first >> 4, 4 | 6)
}

fn count(length: usize) -> Result<u8, WireError> {
    u8::try_from(length).map_err(|_| WireError::Value)
}

fn echo(out: &mut Vec<u8>, kind: u8, id: u64, t: u64) {
    out.push(kind);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&t.to_le_bytes());
}

/// `type u8 | n u8 | n items`, with `least <= n <= MAX_ITEMS`.
fn items<T, const LEN: usize>(
    plaintext: &[u8],
    least: usize,
    item: impl Fn(&[u8; LEN]) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let declared = usize::from(*plaintext.get(1).ok_or(WireError::Length)?);
    if !(least..=MAX_ITEMS).contains(&declared) {
        return Err(WireError::Value);
    }
    let (chunks, rest) = plaintext.get(2..).unwrap_or_default().as_chunks::<LEN>();
    if chunks.len() != declared || !rest.is_empty() {
        return Err(WireError::Length);
    }
    chunks.iter().map(item).collect()
}

fn head(item: &[u8; HEAD_LEN]) -> Result<ShortHead, WireError> {
    Ok(ShortHead { author: *array_ref(item, 0), seq: u32_at(item, 8), hash: *array_ref(item, 12) })
}

fn range(item: &[u8; WANT_LEN]) -> Result<ShortRange, WireError> {
    let range = ShortRange { author: *array_ref(item, 0), from: u32_at(item, 8), to: u32_at(item, 12) };
    if range.from <= range.to { Ok(range) } else { Err(WireError::Value) }
}

fn fragment(plaintext: &[u8]) -> Result<Fragment<'_>, WireError> {
    let bytes = plaintext.get(FRAGMENT_HEADER_LEN..).ok_or(WireError::Length)?;
    if bytes.is_empty() || bytes.len() > MAX_FRAGMENT_LEN {
        return Err(WireError::Length);
    }
    let fragment = Fragment {
        author: *array_ref(plaintext, 1),
        seq: u32_at(plaintext, 9),
        total: u16_at(plaintext, 13),
        offset: u16_at(plaintext, 15),
        bytes,
    };
    // Every sender cuts at the same places, so pieces never overlap and a receiver needs no interval arithmetic.
    let (total, offset) = (usize::from(fragment.total), usize::from(fragment.offset));
    let expected = total.saturating_sub(offset).min(MAX_FRAGMENT_LEN);
    if total > MAX_ENTRY_LEN || !offset.is_multiple_of(MAX_FRAGMENT_LEN) || bytes.len() != expected {
        return Err(WireError::Value);
    }
    Ok(fragment)
}
