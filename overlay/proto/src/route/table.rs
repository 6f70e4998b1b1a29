//! The link-state table: the newest advert of every relay of the mesh.
//!
//! An advert is taken when its number is above the one held for its origin, so a change costs one message per link and a copy
//! that went round is dropped where it was before. The number of a relay that was forgotten is kept for a while: otherwise whoever
//! kept its last words could make it live again. A link counts only when both of its ends tell it: a relay can lie about
//! itself, and not invent a link to somebody else.

use std::collections::{BTreeMap, VecDeque};

use netflow_wire::NodeId;
use netflow_wire::control::{LinkAdvert, MAX_LINK_ADVERTS, RelayAdvert};

use super::advert::Verified;
use crate::time::{Now, SECOND_US};

/// Relays kept: a backbone of 64 and three central nodes at each. About 3 KiB each when full.
const MAX_ORIGINS: usize = 256;
/// Numbers of forgotten relays kept, 40 bytes each: four times as many as there may be.
const MAX_GONE: usize = 1_024;
/// Age at which an advert is forgotten: three times the distance at which its origin repeats it.
pub(crate) const MAX_AGE_S: u16 = 90;
/// Relays an advert passes: more than any path is long, and an end to a mistake.
pub(crate) const MAX_ADVERT_HOPS: u8 = 8;

/// What a link is worth, both directions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkQuality {
    /// Round trip in microseconds.
    pub rtt_us: u32,
    /// Part of the frames lost, in thousandths.
    pub loss_permille: u16,
}

/// What became of an advert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Newer than what was held: send this on to the other neighbours.
    New(RelayAdvert),
    /// Old, or over a limit: dropped.
    Dropped,
    /// Of this relay itself, with a number above its own: an earlier life of it, and a clock set back.
    Own(u64),
}

#[derive(Debug)]
struct Held {
    advert: RelayAdvert,
    links: BTreeMap<NodeId, LinkQuality>,
    /// When it was written, by our clock.
    born_us: u64,
}

/// Newest adverts by origin.
#[derive(Debug)]
pub struct LinkTable {
    me: NodeId,
    held: BTreeMap<NodeId, Held>,
    /// Last numbers of those that were forgotten, the latest last.
    gone: VecDeque<(NodeId, u64)>,
}

impl LinkTable {
    /// An empty table of the relay `me`.
    #[must_use]
    pub const fn new(me: NodeId) -> Self {
        Self { me, held: BTreeMap::new(), gone: VecDeque::new() }
    }

    /// Relays known, this one included once it told of itself.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Nothing known at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Is it worth checking its signature? [`LinkTable::insert`] drops all others.
    #[must_use]
    pub fn wants(&self, advert: &RelayAdvert) -> bool {
        let in_time = advert.hops < MAX_ADVERT_HOPS && advert.age_s < MAX_AGE_S;
        let has_room = self.held.len() < MAX_ORIGINS || self.held.contains_key(&advert.origin);
        self.is_newer(advert) && (advert.origin == self.me || (in_time && has_room))
    }

    /// Takes what a neighbour passed on.
    pub fn insert(&mut self, now: Now, advert: Verified) -> Accepted {
        let mut advert = advert.into_inner();
        if !self.wants(&advert) {
            return Accepted::Dropped;
        }
        if advert.origin == self.me {
            return Accepted::Own(advert.seq);
        }
        self.gone.retain(|(origin, _)| *origin != advert.origin);
        self.hold(now, advert.clone());
        advert.hops = advert.hops.saturating_add(1);
        Accepted::New(advert)
    }

    /// Sets what this relay tells of itself.
    pub fn set_own(&mut self, now: Now, advert: RelayAdvert) {
        self.hold(now, advert);
    }

    fn is_newer(&self, advert: &RelayAdvert) -> bool {
        let gone = self.gone.iter().find(|(origin, _)| *origin == advert.origin).map(|(_, seq)| *seq);
        let last = self.held.get(&advert.origin).map(|held| held.advert.seq).or(gone);
        last.is_none_or(|last| advert.seq > last)
    }

    fn hold(&mut self, now: Now, advert: RelayAdvert) {
        let quality = |link: &LinkAdvert| LinkQuality { rtt_us: link.rtt_us, loss_permille: link.loss_permille };
        let told = advert.links.iter().take(MAX_LINK_ADVERTS).filter(|link| link.neighbour != advert.origin);
        let links = told.map(|link| (link.neighbour, quality(link))).collect();
        let born_us = now.mono_us.saturating_sub(u64::from(advert.age_s).saturating_mul(SECOND_US));
        self.held.insert(advert.origin, Held { advert, links, born_us });
    }

    /// Forgets what is too old. `true`: something went.
    pub fn expire(&mut self, now: Now) -> bool {
        let (me, limit) = (self.me, u64::from(MAX_AGE_S) * SECOND_US);
        let old = self.held.extract_if(.., |origin, held| *origin != me && now.since(held.born_us) >= limit);
        let old: Vec<(NodeId, u64)> = old.map(|(origin, held)| (origin, held.advert.seq)).collect();
        for gone in &old {
            if self.gone.len() >= MAX_GONE {
                self.gone.pop_front();
            }
            self.gone.push_back(*gone);
        }
        !old.is_empty()
    }

    /// When [`LinkTable::expire`] has something to do.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        let others = self.held.iter().filter(|(origin, _)| **origin != self.me);
        others.map(|(_, held)| held.born_us.saturating_add(u64::from(MAX_AGE_S) * SECOND_US)).min()
    }

    /// Everything, as a new neighbour is told it: with the age it has now.
    #[must_use]
    pub fn all(&self, now: Now) -> Vec<RelayAdvert> {
        let aged = |held: &Held| {
            let age_s = u16::try_from(now.since(held.born_us) / SECOND_US).unwrap_or(u16::MAX);
            let hops = held.advert.hops.saturating_add(u8::from(held.advert.origin != self.me));
            RelayAdvert { age_s, hops, ..held.advert.clone() }
        };
        self.held.values().map(aged).filter(|advert| advert.age_s < MAX_AGE_S).collect()
    }

    /// The link between two relays, when both tell it: the worse of their values.
    #[must_use]
    pub fn link(&self, a: &NodeId, b: &NodeId) -> Option<LinkQuality> {
        let (there, back) = (self.held.get(a)?.links.get(b)?, self.held.get(b)?.links.get(a)?);
        Some(LinkQuality {
            rtt_us: there.rtt_us.max(back.rtt_us),
            loss_permille: there.loss_permille.max(back.loss_permille),
        })
    }

    /// Neighbours of a relay with the links to them.
    pub fn neighbours(&self, relay: &NodeId) -> impl Iterator<Item = (NodeId, LinkQuality)> {
        let told = self.held.get(relay).into_iter().flat_map(|held| held.links.keys());
        let relay = *relay;
        told.filter_map(move |other| Some((*other, self.link(&relay, other)?)))
    }

    /// Load in thousandths, and price of a relay. Zeros for one that said nothing.
    #[must_use]
    pub fn relay(&self, relay: &NodeId) -> (u16, u32) {
        self.held.get(relay).map_or((0, 0), |held| (held.advert.load_permille, held.advert.price))
    }

    /// Every relay known.
    pub fn relays(&self) -> impl Iterator<Item = NodeId> {
        self.held.keys().copied()
    }
}
