//! Values that messages are made of.

use std::net::SocketAddr;

use minicbor::{Decode, Encode};

use super::limits::*;
use crate::bounded;
use crate::ids::{NetworkId, NodeId};

/// What a node is in the network of operators. Decides nothing about trust inside a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Tier {
    /// Edge node: member of private networks.
    #[n(0)]
    Edge,
    /// Central node: relay and rendezvous of its edge nodes.
    #[n(1)]
    Central,
    /// Root node: backbone relay.
    #[n(2)]
    Root,
}

/// Newest entry of one author's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Head {
    /// Ed25519 key of the author.
    #[cbor(n(0), encode_with = "bounded::encode_array", decode_with = "bounded::decode_array")]
    pub author: [u8; 32],
    /// Sequence number of the entry, counted from 0.
    #[n(1)]
    pub seq: u32,
    /// Entry hash.
    #[cbor(n(2), encode_with = "bounded::encode_array", decode_with = "bounded::decode_array")]
    pub hash: [u8; 32],
}

/// A stretch of one author's chain, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Range {
    /// Ed25519 key of the author.
    #[cbor(n(0), encode_with = "bounded::encode_array", decode_with = "bounded::decode_array")]
    pub author: [u8; 32],
    /// First sequence number wanted.
    #[n(1)]
    pub from: u32,
    /// Last sequence number wanted.
    #[n(2)]
    pub to: u32,
}

/// A relay as a network's log and its invites name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RelayInfo {
    /// Key the relay proves on the control link.
    #[n(0)]
    pub node: NodeId,
    /// Its role.
    #[n(1)]
    pub tier: Tier,
    /// UDP addresses, at most [`MAX_RELAY_ADDRS`], in order of preference.
    #[cbor(
        n(2),
        encode_with = "bounded::encode_addrs::<_, _, MAX_RELAY_ADDRS>",
        decode_with = "bounded::decode_addrs::<_, MAX_RELAY_ADDRS>"
    )]
    pub addrs: Vec<SocketAddr>,
}

/// One measured link of a relay of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LinkAdvert {
    /// The relay at the other end.
    #[n(0)]
    pub neighbour: NodeId,
    /// Smoothed round trip in microseconds.
    #[n(1)]
    pub rtt_us: u32,
    /// Part of the frames lost, in thousandths.
    #[n(2)]
    pub loss_permille: u16,
}

/// What one relay says of itself, passed on through the mesh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RelayAdvert {
    /// The relay it is about, and that wrote it.
    #[n(0)]
    pub origin: NodeId,
    /// Rises with every advert of its origin, over restarts too.
    #[n(1)]
    pub seq: u64,
    /// Seconds since it was written, added up by those who passed it on.
    #[n(2)]
    pub age_s: u16,
    /// Relays it has passed.
    #[n(3)]
    pub hops: u8,
    /// Part of its capacity in use, in thousandths.
    #[n(4)]
    pub load_permille: u16,
    /// Price of a gigabyte forwarded, in the unit its operator announces.
    #[n(5)]
    pub price: u32,
    /// Its links, at most [`MAX_LINK_ADVERTS`].
    #[cbor(
        n(6),
        encode_with = "bounded::encode_list::<_, _, _, MAX_LINK_ADVERTS>",
        decode_with = "bounded::decode_list::<_, _, MAX_LINK_ADVERTS>"
    )]
    pub links: Vec<LinkAdvert>,
    /// Of its origin, over everything but `age_s` and `hops`; `docs/spec/routing.md`, "Mesh".
    #[cbor(n(7), encode_with = "bounded::encode_array", decode_with = "bounded::decode_array")]
    pub signature: [u8; 64],
}

/// Names one circuit over several relays: the same at every relay it passes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CircuitPath {
    /// The network both ends are members of.
    #[n(0)]
    pub network: NetworkId,
    /// The member bound at the first relay of the route.
    #[n(1)]
    pub first: NodeId,
    /// The member bound at the last one.
    #[n(2)]
    pub last: NodeId,
    /// Two or [`MAX_ROUTE`] relays, none twice.
    #[cbor(
        n(3),
        encode_with = "bounded::encode_list::<_, _, _, MAX_ROUTE>",
        decode_with = "bounded::decode_list::<_, _, MAX_ROUTE>"
    )]
    pub route: Vec<NodeId>,
}

/// A way to a member as the path service sees it. The legs to the two members are not in the numbers: only the ends can measure them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CandidatePath {
    /// One to [`MAX_ROUTE`] relays, the one that answers first, none twice.
    #[cbor(
        n(0),
        encode_with = "bounded::encode_list::<_, _, _, MAX_ROUTE>",
        decode_with = "bounded::decode_list::<_, _, MAX_ROUTE>"
    )]
    pub relays: Vec<NodeId>,
    /// Sum of the round trips between them in microseconds.
    #[n(1)]
    pub rtt_us: u32,
    /// Part of the frames lost between them, in thousandths.
    #[n(2)]
    pub loss_permille: u16,
    /// Load of the busiest of them, in thousandths.
    #[n(3)]
    pub load_permille: u16,
    /// Sum of their prices.
    #[n(4)]
    pub price: u32,
}
