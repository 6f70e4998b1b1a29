//! The relays this one works together with: their links, what is measured of them, and what all relays tell of theirs.
//!
//! Spec: `docs/spec/routing.md`, "Mesh". Two relays are neighbours when each names the other in its configuration. A link is
//! measured on the data path, by frame 0x1E: what the control link says of it would be about something else, and QUIC notices
//! after a minute what three unanswered echoes show within a second.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ed25519_dalek::SigningKey;
use netflow_wire::control::{LinkAdvert, MAX_LINK_ADVERTS, RelayAdvert};
use netflow_wire::probe::EchoRepr;
use netflow_wire::{NodeId, RelayInfo};
use rand_core::CryptoRng;

use super::config::LinkId;
use super::neighbour::Neighbour;
use crate::endpoint::Endpoint;
use crate::route::{LinkTable, sign};
use crate::time::{MILLI_US, Now, SECOND_US};

/// Neighbours served: as many as an advert can tell of.
pub(super) const MAX_NEIGHBOURS: usize = MAX_LINK_ADVERTS;
/// Distance of echoes while circuits pass over a link, and while none does: 150 and 30 bytes a second.
const BUSY_ECHO_US: u64 = 400 * MILLI_US;
const IDLE_ECHO_US: u64 = 2 * SECOND_US;
/// An echo leaves up to this much early, together with one that is due: a quarter of their distance on a link in use.
const ECHO_SLACK_US: u64 = 100 * MILLI_US;
/// Echoes in a row without an answer after which a link is down.
const MAX_LOST: u8 = 3;
/// A first measurement comes soon: circuits and the path service wait for it.
const FIRST_ECHOES: u8 = 4;
const FIRST_ECHO_US: u64 = 100 * MILLI_US;
/// Distance of `MeshHello` to a relay that does not answer it: configurations change by hand.
const HELLO_US: u64 = 30 * SECOND_US;
/// Distance of our own adverts without news, and the shortest with.
const ADVERT_US: u64 = 30 * SECOND_US;
const MIN_ADVERT_US: u64 = SECOND_US;
/// News: a round trip that moved by a fifth and this much.
const RTT_NEWS_US: u32 = 2_000;
/// Loss that moved by one per cent, load by ten.
const LOSS_NEWS: u16 = 10;
const LOAD_NEWS: u16 = 100;
/// Distance of measurements of our own load.
const LOAD_US: u64 = 2 * SECOND_US;

/// What an echo that was not answered means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EchoDue {
    /// Send these.
    pub(super) send: Vec<(Endpoint, Vec<u8>)>,
    /// These links are down.
    pub(super) down: Vec<NodeId>,
}

/// All neighbours and the link-state table.
pub(super) struct Mesh {
    me: NodeId,
    /// Signs what this relay tells of itself.
    key: SigningKey,
    pub(super) neighbours: BTreeMap<NodeId, Neighbour>,
    pub(super) table: LinkTable,
    seq: u64,
    price: u32,
    load_permille: u16,
    /// Bytes forwarded when the load was measured last, and when.
    load_from: (u64, u64),
    told: Option<RelayAdvert>,
    told_us: u64,
}

impl Mesh {
    pub(super) fn new(key: SigningKey, now: Now) -> Self {
        let me = NodeId(key.verifying_key().to_bytes());
        Self {
            me,
            key,
            neighbours: BTreeMap::new(),
            table: LinkTable::new(me),
            seq: now.unix_s << 32,
            price: 0,
            load_permille: 0,
            load_from: (0, now.mono_us),
            told: None,
            told_us: 0,
        }
    }

    /// Takes the configuration. Returns neighbours that are none any more.
    pub(super) fn configure(&mut self, now: Now, relays: &[RelayInfo], price: u32) -> Vec<NodeId> {
        self.price = price;
        let wanted = relays.iter().filter(|relay| relay.node != self.me).take(MAX_NEIGHBOURS);
        let wanted: BTreeMap<NodeId, &RelayInfo> = wanted.map(|relay| (relay.node, relay)).collect();
        let gone: Vec<NodeId> = self.neighbours.keys().filter(|node| !wanted.contains_key(node)).copied().collect();
        for (node, relay) in wanted {
            let neighbour = self.neighbours.entry(node).or_insert_with(|| Neighbour::new(now));
            neighbour.addrs.clone_from(&relay.addrs);
        }
        gone
    }

    /// Neighbours this relay dials: those with a larger id. One link is enough.
    pub(super) fn dials(&self) -> impl Iterator<Item = (NodeId, &[SocketAddr])> {
        let me = self.me;
        let ours = self.neighbours.iter().filter(move |(node, _)| **node > me);
        ours.map(|(node, neighbour)| (*node, neighbour.addrs.as_slice()))
    }

    /// Where the frames of a neighbour that is up come from and go to.
    pub(super) fn endpoint(&self, node: &NodeId) -> Option<Endpoint> {
        self.neighbours.get(node)?.up.map(|(_, endpoint)| endpoint)
    }

    pub(super) fn link(&self, node: &NodeId) -> Option<LinkId> {
        self.neighbours.get(node)?.up.map(|(link, _)| link)
    }

    /// The neighbour whose mesh link this is.
    pub(super) fn by_link(&self, link: LinkId) -> Option<NodeId> {
        self.neighbours.iter().find(|(_, neighbour)| neighbour.up.is_some_and(|(up, _)| up == link)).map(|(id, _)| *id)
    }

    pub(super) fn by_endpoint(&self, from: Endpoint) -> Option<NodeId> {
        let at = |neighbour: &Neighbour| neighbour.up.is_some_and(|(_, endpoint)| endpoint == from);
        self.neighbours.iter().find(|(_, neighbour)| at(neighbour)).map(|(id, _)| *id)
    }

    /// We said `MeshHello` over a link we dialled.
    pub(super) fn await_hello(&mut self, now: Now, node: &NodeId, link: LinkId, endpoint: Endpoint) {
        if let Some(neighbour) = self.neighbours.get_mut(node) {
            neighbour.awaited = Some((link, endpoint));
            neighbour.hello_due_us = now.after(HELLO_US);
        }
    }

    /// Links on which `MeshHello` is to be said again: the other side may name us by now.
    pub(super) fn hellos(&mut self, now: Now) -> Vec<LinkId> {
        let mut links = Vec::new();
        for neighbour in self.neighbours.values_mut() {
            if let Some((link, _)) = neighbour.awaited.filter(|_| neighbour.hello_due_us <= now.mono_us) {
                neighbour.hello_due_us = now.after(HELLO_US);
                links.push(link);
            }
        }
        links
    }

    /// Is its `MeshHello` awaited on this link?
    pub(super) fn awaits(&self, node: &NodeId, link: LinkId) -> bool {
        let awaited = self.neighbours.get(node).and_then(|neighbour| neighbour.awaited);
        awaited.is_some_and(|(awaited, _)| awaited == link)
    }

    /// The other side says it too: where its frames go.
    pub(super) fn awaited(&mut self, node: &NodeId, link: LinkId) -> Option<Endpoint> {
        let neighbour = self.neighbours.get_mut(node)?;
        neighbour.awaited.take_if(|(awaited, _)| *awaited == link).map(|(_, endpoint)| endpoint)
    }

    /// Both have said `MeshHello`. `false`: not a neighbour, or known already.
    pub(super) fn link_up(&mut self, now: Now, node: &NodeId, link: LinkId, endpoint: Endpoint) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(node) else { return false };
        if neighbour.up == Some((link, endpoint)) {
            return false;
        }
        let addrs = std::mem::take(&mut neighbour.addrs);
        *neighbour = Neighbour { addrs, up: Some((link, endpoint)), ..Neighbour::new(now) };
        true
    }

    /// A link is gone. Returns the neighbour it led to.
    pub(super) fn link_down(&mut self, now: Now, link: LinkId) -> Option<NodeId> {
        for neighbour in self.neighbours.values_mut() {
            neighbour.awaited.take_if(|(awaited, _)| *awaited == link);
        }
        let node = self.by_link(link)?;
        let neighbour = self.neighbours.get_mut(&node)?;
        let addrs = std::mem::take(&mut neighbour.addrs);
        *neighbour = Neighbour { addrs, ..Neighbour::new(now) };
        Some(node)
    }

    /// The address of a link moved.
    pub(super) fn moved(&mut self, link: LinkId, remote: SocketAddr) {
        let Some(node) = self.by_link(link) else { return };
        if let Some(neighbour) = self.neighbours.get_mut(&node)
            && let Some((_, Endpoint::Udp { addr, .. })) = &mut neighbour.up
        {
            *addr = remote;
        }
    }

    // ---- measurement

    /// Echoes that are due, and links that do not answer.
    pub(super) fn echoes(&mut self, now: Now, busy: impl Fn(&NodeId) -> bool, rng: &mut dyn CryptoRng) -> EchoDue {
        let mut due = EchoDue { send: Vec::new(), down: Vec::new() };
        for (node, neighbour) in &mut self.neighbours {
            // Those that are due soon go now: one wake for all links, and not one for each.
            let at_us = if neighbour.echo.is_none() { now.after(ECHO_SLACK_US) } else { now.mono_us };
            let Some((_, endpoint)) = neighbour.up.filter(|_| neighbour.next_echo_us <= at_us) else { continue };
            neighbour.busy = busy(node);
            if neighbour.echo.take().is_some() {
                neighbour.measured(None);
            }
            if neighbour.lost_in_row >= MAX_LOST {
                due.down.push(*node);
                continue;
            }
            let id = rng.next_u64();
            neighbour.echo = Some((id, now.mono_us));
            neighbour.next_echo_us = now.after(neighbour.wait_us());
            let frame = EchoRepr { hop_limit: 1, epoch: 0, label: 0, id, answer: None };
            due.send.push((endpoint, frame.to_bytes().to_vec()));
        }
        due
    }

    /// The answer to an echo of a link.
    pub(super) fn answered(&mut self, now: Now, from: Endpoint, id: u64, relay: [u8; 8]) -> bool {
        let Some(node) = self.by_endpoint(from) else { return false };
        let Some(neighbour) = self.neighbours.get_mut(&node) else { return false };
        let Some((_, sent_us)) = neighbour.echo.filter(|(asked, _)| *asked == id && node.short() == relay) else {
            return false;
        };
        neighbour.echo = None;
        neighbour.measured(Some(now.since(sent_us)));
        let pause = match (neighbour.answered < FIRST_ECHOES, neighbour.busy) {
            (true, _) => FIRST_ECHO_US,
            (false, true) => BUSY_ECHO_US,
            (false, false) => IDLE_ECHO_US,
        };
        neighbour.next_echo_us = now.after(pause);
        true
    }

    /// Round trip and loss of a link, for `netctl relay status`.
    pub(super) fn measured(&self, node: &NodeId) -> Option<(u32, u16)> {
        let neighbour = self.neighbours.get(node)?;
        Some((neighbour.rtt?.0, neighbour.loss_permille()))
    }

    // ---- link state

    /// Measures the own load: bytes forwarded so far, against the capacity.
    pub(super) fn measure_load(&mut self, now: Now, forwarded_bytes: u64, capacity_bps: Option<u64>) {
        let (before, since_us) = self.load_from;
        let elapsed = now.since(since_us);
        if elapsed < LOAD_US {
            return;
        }
        self.load_from = (forwarded_bytes, now.mono_us);
        let Some(capacity) = capacity_bps.filter(|capacity| *capacity > 0) else { return };
        let bits = u128::from(forwarded_bytes.saturating_sub(before)) * 8;
        let could = u128::from(capacity) * u128::from(elapsed) / u128::from(SECOND_US);
        let load = u16::try_from(bits * 1_000 / could.max(1)).unwrap_or(u16::MAX);
        // Half of each new value: a few seconds of memory.
        self.load_permille = u16::midpoint(self.load_permille, load.min(1_000));
    }

    /// What this relay tells of itself, when there is news or it is time. Without neighbours it tells itself alone: what its paths cost.
    pub(super) fn own_advert(&mut self, now: Now) -> Option<RelayAdvert> {
        let age = now.since(self.told_us);
        if self.told.is_some() && age < MIN_ADVERT_US {
            return None;
        }
        let links = self.neighbours.iter().filter(|(_, neighbour)| neighbour.up.is_some());
        let links = links.filter_map(|(node, neighbour)| {
            let (rtt_us, loss_permille) = (neighbour.rtt?.0, neighbour.loss_permille());
            Some(LinkAdvert { neighbour: *node, rtt_us, loss_permille })
        });
        let advert = RelayAdvert {
            origin: self.me,
            seq: self.seq,
            age_s: 0,
            hops: 0,
            load_permille: self.load_permille,
            price: self.price,
            links: links.collect(),
            signature: [0; 64],
        };
        let due = self.told.as_ref().is_none_or(|told| age >= ADVERT_US || news(told, &advert));
        let advert = due.then(|| self.tell(now, advert))?;
        (!self.neighbours.is_empty()).then_some(advert)
    }

    fn tell(&mut self, now: Now, mut advert: RelayAdvert) -> RelayAdvert {
        self.seq = self.seq.saturating_add(1);
        advert.seq = self.seq;
        sign(&self.key, &mut advert);
        self.table.set_own(now, advert.clone());
        self.told = Some(advert.clone());
        self.told_us = now.mono_us;
        advert
    }

    /// Somebody holds an advert of ours with this number: go on above it, and tell at once.
    pub(super) fn outrun(&mut self, seq: u64) {
        if seq > self.seq {
            self.seq = seq;
            self.told = None;
        }
    }

    /// When something of the mesh is due.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        if self.neighbours.is_empty() {
            return None;
        }
        let echoes = self.neighbours.values().filter(|neighbour| neighbour.up.is_some());
        let echoes = echoes.map(|neighbour| neighbour.next_echo_us).min();
        let awaited = self.neighbours.values().filter(|neighbour| neighbour.awaited.is_some());
        let hello = awaited.map(|neighbour| neighbour.hello_due_us).min();
        // News is looked for whenever an echo is due.
        let advert = self.told.as_ref().map(|_| self.told_us.saturating_add(ADVERT_US));
        [echoes, hello, advert, self.table.next_expiry()].into_iter().flatten().min()
    }
}

/// Has what we tell changed enough to tell it?
fn news(told: &RelayAdvert, now: &RelayAdvert) -> bool {
    let load = told.load_permille.abs_diff(now.load_permille) >= LOAD_NEWS;
    let links = told.links.len() != now.links.len()
        || told.links.iter().zip(&now.links).any(|(old, new)| {
            let rtt = old.rtt_us.abs_diff(new.rtt_us);
            old.neighbour != new.neighbour
                || (rtt >= RTT_NEWS_US && rtt >= old.rtt_us / 5)
                || old.loss_permille.abs_diff(new.loss_permille) >= LOSS_NEWS
        });
    load || links || told.price != now.price
}
