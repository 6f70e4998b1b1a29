//! What an entry says: thirteen kinds of change, each `[kind, fields]` in CBOR.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use minicbor::Decoder;
use minicbor::decode::Error;
use netflow_wire::{InviteId, NodeId, RelayInfo};

use super::entry::EntryHash;
use super::limits::{MAX_ENTRY_LEN, MAX_NAME_LEN, MAX_RELAYS, MAX_TAG_LEN, MAX_TAGS};
use crate::cbor::{self, Enc, EncError};
use crate::identity::{RecordError, Signatures, SignedRecord};
use crate::policy::Policy;

/// The first entry of the owner's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisBody {
    /// Name of the network.
    pub name: String,
    /// Its IPv4 addresses: a /16 inside 100.64.0.0/10 (RFC 6598).
    pub ipv4: Ipv4Net,
    /// The owner's ed25519 key, whose hash is the network id.
    pub owner: [u8; 32],
}

/// A new member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberAddBody {
    /// Its signed record, raw.
    pub record: Vec<u8>,
    /// Its ML-KEM-768 encapsulation key, empty for none. Must match the hash in the record.
    pub kem_key: Vec<u8>,
    /// Its address inside the network.
    pub ipv4: Ipv4Addr,
    /// Its name.
    pub name: String,
    /// Its tags, sorted, without repetition.
    pub tags: Vec<String>,
    /// The invite redeemed by this entry.
    pub invite: Option<InviteId>,
    /// The newest revocation of this node, when it was revoked before.
    pub readmit: Option<EntryHash>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryBody {
    /// 0: the network begins.
    Genesis(GenesisBody),
    /// 1: a node becomes a member.
    MemberAdd(Box<MemberAddBody>),
    /// 2: a node loses access, member or not, until readmitted by name of this entry.
    MemberRevoke {
        /// The node.
        node: NodeId,
    },
    /// 3: replaces a member's tags.
    MemberTags {
        /// The member.
        node: NodeId,
        /// All its tags from now on, sorted, without repetition.
        tags: Vec<String>,
    },
    /// 4: gives a member another IPv4 address.
    MemberAddress {
        /// The member.
        node: NodeId,
        /// The address.
        ipv4: Ipv4Addr,
    },
    /// 5: owner only: a node may write entries.
    AdminAdd {
        /// The node.
        node: NodeId,
    },
    /// 6: owner only: a node's chain ends here, whatever else it signs or signed.
    AdminRemove {
        /// The node.
        node: NodeId,
        /// Sequence number and hash of its last entry that counts; nothing counts when `None`.
        last: Option<(u32, EntryHash)>,
    },
    /// 7: an invite. Only its author can redeem it.
    InviteCreate {
        /// Public key of the invite.
        invite: InviteId,
        /// Seconds since 1970 after which it cannot be redeemed.
        expires_unix_s: u64,
        /// Tags the new member gets, sorted, without repetition.
        tags: Vec<String>,
    },
    /// 8: the invite cannot be redeemed any more.
    InviteCancel {
        /// The invite.
        invite: InviteId,
    },
    /// 9: replaces the list of relays.
    RelaySet {
        /// All relays from now on.
        relays: Vec<RelayInfo>,
    },
    /// 10: replaces the policy.
    PolicySet {
        /// The rules from now on.
        policy: Policy,
    },
    /// 11: a member changed keys or reward address. The record's `seq` must rise.
    RecordUpdate {
        /// The new signed record, raw.
        record: Vec<u8>,
        /// Its ML-KEM-768 key, empty for none.
        kem_key: Vec<u8>,
    },
    /// 12: renames a member.
    MemberRename {
        /// The member.
        node: NodeId,
        /// Its new name.
        name: String,
    },
    /// Any later kind: kept and passed on, changes nothing here.
    Unknown {
        /// The kind, 13 or more.
        kind: u16,
        /// Its fields, one CBOR item.
        fields: Vec<u8>,
    },
}

impl EntryBody {
    /// Number of the kind on the wire.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Genesis(_) => 0,
            Self::MemberAdd(_) => 1,
            Self::MemberRevoke { .. } => 2,
            Self::MemberTags { .. } => 3,
            Self::MemberAddress { .. } => 4,
            Self::AdminAdd { .. } => 5,
            Self::AdminRemove { .. } => 6,
            Self::InviteCreate { .. } => 7,
            Self::InviteCancel { .. } => 8,
            Self::RelaySet { .. } => 9,
            Self::PolicySet { .. } => 10,
            Self::RecordUpdate { .. } => 11,
            Self::MemberRename { .. } => 12,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// May only the owner write this kind?
    pub const fn owner_only(&self) -> bool {
        matches!(self, Self::Genesis(_) | Self::AdminAdd { .. } | Self::AdminRemove { .. })
    }

    /// Verifies the node record inside, if there is one: its signature, and that the ML-KEM key is the one it names.
    pub(super) fn check_record(&self, signatures: &dyn Signatures) -> Result<(), RecordError> {
        let (record, kem_key) = match self {
            Self::MemberAdd(member) => (&member.record, &member.kem_key),
            Self::RecordUpdate { record, kem_key } => (record, kem_key),
            Self::Genesis(_)
            | Self::MemberRevoke { .. }
            | Self::MemberTags { .. }
            | Self::MemberAddress { .. }
            | Self::AdminAdd { .. }
            | Self::AdminRemove { .. }
            | Self::InviteCreate { .. }
            | Self::InviteCancel { .. }
            | Self::RelaySet { .. }
            | Self::PolicySet { .. }
            | Self::MemberRename { .. }
            | Self::Unknown { .. } => return Ok(()),
        };
        SignedRecord::verify_with(record, signatures)?.record().check_kem_key(kem_key)
    }

    pub(super) fn encode(&self, e: &mut Enc) -> Result<(), EncError> {
        e.array(2)?.u16(self.kind())?;
        match self {
            Self::Genesis(genesis) => {
                e.array(3)?.str(&genesis.name)?.bytes(&genesis.ipv4.network().octets())?.bytes(&genesis.owner)?.ok()
            }
            Self::MemberAdd(member) => encode_member(e, member),
            Self::MemberRevoke { node } | Self::AdminAdd { node } => e.array(1)?.bytes(&node.0)?.ok(),
            Self::MemberTags { node, tags } => {
                e.array(2)?.bytes(&node.0)?;
                encode_tags(e, tags)
            }
            Self::MemberAddress { node, ipv4 } => e.array(2)?.bytes(&node.0)?.bytes(&ipv4.octets())?.ok(),
            Self::AdminRemove { node, last } => {
                e.array(2)?.bytes(&node.0)?;
                match last {
                    Some((seq, hash)) => e.array(2)?.u32(*seq)?.bytes(&hash.0)?.ok(),
                    None => e.null()?.ok(),
                }
            }
            Self::InviteCreate { invite, expires_unix_s, tags } => {
                e.array(3)?.bytes(&invite.0)?.u64(*expires_unix_s)?;
                encode_tags(e, tags)
            }
            Self::InviteCancel { invite } => e.array(1)?.bytes(&invite.0)?.ok(),
            Self::RelaySet { relays } => {
                e.array(1)?.array(relays.len() as u64)?;
                relays.iter().try_for_each(|relay| e.encode(relay).map(|_| ()))
            }
            Self::PolicySet { policy } => {
                e.array(1)?;
                policy.encode(e)
            }
            Self::RecordUpdate { record, kem_key } => e.array(2)?.bytes(record)?.bytes(kem_key)?.ok(),
            Self::MemberRename { node, name } => e.array(2)?.bytes(&node.0)?.str(name)?.ok(),
            Self::Unknown { fields, .. } => {
                e.writer_mut().extend_from_slice(fields);
                e.ok()
            }
        }
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, Error> {
        cbor::array(d, 2)?;
        let kind = d.u16()?;
        let node = |d: &mut Decoder<'_>| cbor::fixed(d).map(NodeId);
        Ok(match kind {
            0 => Self::Genesis(decode_genesis(d)?),
            1 => Self::MemberAdd(Box::new(decode_member(d)?)),
            2 | 5 => {
                cbor::array(d, 1)?;
                let node = node(d)?;
                if kind == 2 { Self::MemberRevoke { node } } else { Self::AdminAdd { node } }
            }
            3 => {
                cbor::array(d, 2)?;
                Self::MemberTags { node: node(d)?, tags: decode_tags(d)? }
            }
            4 => {
                cbor::array(d, 2)?;
                Self::MemberAddress { node: node(d)?, ipv4: decode_ipv4(d)? }
            }
            6 => {
                cbor::array(d, 2)?;
                Self::AdminRemove { node: node(d)?, last: decode_last(d)? }
            }
            7 => {
                cbor::array(d, 3)?;
                let invite = InviteId(cbor::fixed(d)?);
                Self::InviteCreate { invite, expires_unix_s: d.u64()?, tags: decode_tags(d)? }
            }
            8 => {
                cbor::array(d, 1)?;
                Self::InviteCancel { invite: InviteId(cbor::fixed(d)?) }
            }
            9 => {
                cbor::array(d, 1)?;
                let count = cbor::list(d, MAX_RELAYS)?;
                Self::RelaySet { relays: (0..count).map(|_| d.decode()).collect::<Result<_, _>>()? }
            }
            10 => {
                cbor::array(d, 1)?;
                Self::PolicySet { policy: Policy::decode(d)? }
            }
            11 => {
                cbor::array(d, 2)?;
                Self::RecordUpdate { record: cbor::bytes(d, MAX_ENTRY_LEN)?, kem_key: cbor::bytes(d, MAX_ENTRY_LEN)? }
            }
            12 => {
                cbor::array(d, 2)?;
                Self::MemberRename { node: node(d)?, name: cbor::text(d, MAX_NAME_LEN)? }
            }
            _ => Self::Unknown { kind, fields: decode_unknown(d)? },
        })
    }
}

fn encode_member(e: &mut Enc, member: &MemberAddBody) -> Result<(), EncError> {
    e.array(7)?.bytes(&member.record)?.bytes(&member.kem_key)?.bytes(&member.ipv4.octets())?.str(&member.name)?;
    encode_tags(e, &member.tags)?;
    cbor::optional_bytes(e, member.invite.as_ref().map(|id| id.0.as_slice()))?;
    cbor::optional_bytes(e, member.readmit.as_ref().map(|hash| hash.0.as_slice()))
}

fn decode_member(d: &mut Decoder<'_>) -> Result<MemberAddBody, Error> {
    cbor::array(d, 7)?;
    Ok(MemberAddBody {
        record: cbor::bytes(d, MAX_ENTRY_LEN)?,
        kem_key: cbor::bytes(d, MAX_ENTRY_LEN)?,
        ipv4: decode_ipv4(d)?,
        name: cbor::text(d, MAX_NAME_LEN)?,
        tags: decode_tags(d)?,
        invite: cbor::optional_fixed(d)?.map(InviteId),
        readmit: cbor::optional_fixed(d)?.map(EntryHash),
    })
}

fn decode_genesis(d: &mut Decoder<'_>) -> Result<GenesisBody, Error> {
    cbor::array(d, 3)?;
    let name = cbor::text(d, MAX_NAME_LEN)?;
    let ipv4 = Ipv4Net::new_assert(decode_ipv4(d)?, 16);
    Ok(GenesisBody { name, ipv4, owner: cbor::fixed(d)? })
}

fn decode_last(d: &mut Decoder<'_>) -> Result<Option<(u32, EntryHash)>, Error> {
    if d.datatype()? == minicbor::data::Type::Null {
        d.null()?;
        return Ok(None);
    }
    cbor::array(d, 2)?;
    Ok(Some((d.u32()?, EntryHash(cbor::fixed(d)?))))
}

fn decode_unknown(d: &mut Decoder<'_>) -> Result<Vec<u8>, Error> {
    let start = d.position();
    d.skip()?;
    d.input().get(start..d.position()).map(<[u8]>::to_vec).ok_or_else(Error::end_of_input)
}

fn decode_ipv4(d: &mut Decoder<'_>) -> Result<Ipv4Addr, Error> {
    cbor::fixed::<4>(d).map(Ipv4Addr::from)
}

pub(super) fn encode_tags(e: &mut Enc, tags: &[String]) -> Result<(), EncError> {
    e.array(tags.len() as u64)?;
    tags.iter().try_for_each(|tag| e.str(tag).map(|_| ()))
}

pub(super) fn decode_tags(d: &mut Decoder<'_>) -> Result<Vec<String>, Error> {
    let count = cbor::list(d, MAX_TAGS)?;
    (0..count).map(|_| cbor::text(d, MAX_TAG_LEN)).collect()
}
