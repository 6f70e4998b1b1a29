//! One peer: packets waiting for a path, its paths, which of them is used for what, and when something is due for it.

use std::collections::{BTreeMap, VecDeque};

use rand_core::CryptoRng;

use super::api::MIN_MTU;
use super::fragments::Reassembly;
use super::parts::Parts;
use super::paths::{Circuit, Path, Role, Via};
use super::spread::Spread;
use crate::endpoint::{Endpoint, PathKey};
use crate::nat::budget::ENTRY_LIFE_US;
use crate::netlog::ShortHead;
use crate::path::select::equals;
use crate::path::{Chooser, Class, Offer};
use crate::time::{MILLI_US, Now, SECOND_US};

/// Packets kept per peer while there is no path yet. The session keeps as many again during the handshake.
const MAX_WAITING: usize = 64;
/// A circuit asked for and not answered is asked for again after this time, doubling up to the longest.
const OPEN_RETRY_US: u64 = 2 * SECOND_US;
const MAX_OPEN_RETRY_US: u64 = 60 * SECOND_US;
/// Paths are measured while the peer has had traffic for no longer than this ago.
pub(super) const ACTIVE_US: u64 = 30 * SECOND_US;
/// Circuits of a peer without traffic are given back after this time.
pub(super) const IDLE_US: u64 = 600 * SECOND_US;
/// A peer whose frames come from an unknown address makes us probe this often at most.
const PROBE_BACK_US: u64 = 100 * MILLI_US;
/// New addresses in a window as long as a NAT remembers an unanswered flow. A peer has a few; where a NAT gives each destination a
/// port of its own and lets everybody in, each answer comes from a new one, for ever.
const MAX_CHASED: u32 = 8;
const CHASE_WINDOW_US: u64 = ENTRY_LIFE_US;
/// A direct path that has been dead for this long is forgotten: the search begins anew where the peer is now.
const FORGET_DIRECT_US: u64 = 60 * SECOND_US;

/// What is known about the peer's copy of the log, and what is being fetched from it.
#[derive(Debug, Default)]
pub(super) struct PeerSync {
    pub(super) their_heads: Vec<ShortHead>,
    /// When to look whether the last pull was answered.
    pub(super) check_us: Option<u64>,
    /// Pulls in a row that brought nothing.
    pub(super) fruitless: u32,
    pub(super) last_heads_us: Option<u64>,
    pub(super) reassembly: Reassembly,
    /// Entry bytes sent to this peer in the second that began then.
    pub(super) sent_window_us: u64,
    pub(super) sent_bytes: usize,
}

/// What fits the paths of a peer, as inner packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Passes whole on every path worth using.
    pub(super) whole: u16,
    /// What the inside is told.
    pub(super) mtu: u16,
    /// What TCP connections are made for: nothing of them has to be cut.
    pub(super) clamp: u16,
    /// Bulk flows have more than one path.
    pub(super) spread: bool,
}

impl Sizes {
    /// Nothing is known against this size.
    pub(super) const fn whole(mtu: u16) -> Self {
        Self { whole: mtu, mtu, clamp: mtu, spread: false }
    }
}

/// Addresses probed because frames of a peer came from there: each costs an entry in connection tracking.
#[derive(Debug, Default)]
pub(super) struct Chase {
    last: Option<(u64, Endpoint)>,
    window_us: u64,
    fresh: u32,
}

impl Chase {
    /// May this address be probed now? It is counted when it may.
    pub(super) fn may_probe(&mut self, now: Now, to: Endpoint) -> bool {
        if self.last.is_some_and(|(last_us, _)| now.since(last_us) < PROBE_BACK_US) {
            return false;
        }
        if self.last.is_none_or(|(_, last)| last != to) {
            if now.since(self.window_us) >= CHASE_WINDOW_US {
                (self.window_us, self.fresh) = (now.mono_us, 0);
            }
            if self.fresh >= MAX_CHASED {
                return false;
            }
            self.fresh += 1;
        }
        self.last = Some((now.mono_us, to));
        true
    }
}

/// One peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) paths: BTreeMap<PathKey, Box<Path>>,
    chooser: Chooser<PathKey>,
    spread: Spread,
    warm: Option<PathKey>,
    waiting: VecDeque<Vec<u8>>,
    /// Last user packet or log entry in either direction.
    pub(super) last_traffic_us: u64,
    /// Last packet of each class from inside, in the order of [`Class::ALL`]; 0: none.
    class_us: [u64; 3],
    pub(super) keepalive_us: Option<u64>,
    pub(super) sync: PeerSync,
    pub(super) parts: Parts,
    /// Addresses its frames came from that were no path.
    pub(super) chase: Chase,
    /// Largest inner packet that passes on every path worth using, 0 while there is none.
    inner_mtu: u16,
    /// The same as far as hoped while the first search is under way: what new TCP connections are made for.
    clamp_mtu: u16,
    /// The deadline that is filed for it.
    pub(super) scheduled_us: Option<u64>,
}

impl Peer {
    /// Keeps a packet until there is a path. `false`: the oldest one was dropped for it.
    pub(super) fn wait(&mut self, packet: &[u8]) -> bool {
        let room = self.waiting.len() < MAX_WAITING;
        if !room {
            self.waiting.pop_front();
        }
        self.waiting.push_back(packet.to_vec());
        room
    }

    pub(super) fn take_waiting(&mut self) -> VecDeque<Vec<u8>> {
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has it had traffic lately?
    pub(super) const fn is_active(&self, now: Now) -> bool {
        self.last_traffic_us > 0 && now.since(self.last_traffic_us) < ACTIVE_US
    }

    /// The path messages are sent on.
    pub(super) fn primary(&self) -> Option<Via> {
        self.via_for(Class::Interactive)
    }

    /// The path a class of packets is sent on; any open one before the first choice.
    pub(super) fn via_for(&self, class: Class) -> Option<Via> {
        let chosen = self.chooser.current(class).and_then(|key| self.via(&key));
        chosen.or_else(|| self.paths.iter().find_map(|(key, path)| path.via(key)))
    }

    /// The path of the bulk flow a packet belongs to, where there is a choice.
    pub(super) fn via_for_flow(&self, packet: &[u8]) -> Option<Via> {
        self.via(&self.spread.pick(packet)?)
    }

    /// Do bulk flows share this path with the chosen one?
    pub(super) fn shares_bulk(&self, key: &PathKey) -> bool {
        self.spread.is_wide() && self.spread.has(key) && self.chooser.current(Class::Bulk) != Some(*key)
    }

    /// A packet of this class comes from inside.
    pub(super) const fn used_by(&mut self, now: Now, class: Class) {
        match class {
            Class::Interactive => self.class_us[0] = now.mono_us,
            Class::Bulk => self.class_us[1] = now.mono_us,
            Class::Cheap => self.class_us[2] = now.mono_us,
        }
    }

    /// Classes with packets from inside lately.
    pub(super) fn classes_used(&self, now: Now) -> impl Iterator<Item = Class> {
        let used = Class::ALL.into_iter().zip(self.class_us);
        used.filter(move |(_, at_us)| *at_us > 0 && now.since(*at_us) < ACTIVE_US).map(|(class, _)| class)
    }

    /// One path, while it is open.
    pub(super) fn via(&self, key: &PathKey) -> Option<Via> {
        self.paths.get(key)?.via(key)
    }

    /// Why a class uses the path it uses.
    pub(super) fn reason(&self, class: Class) -> &str {
        self.chooser.reason(class)
    }

    /// Was its last change only for the better?
    pub(super) fn was_voluntary(&self, class: Class) -> bool {
        self.chooser.was_voluntary(class)
    }

    /// Is it the second choice?
    pub(super) fn is_warm(&self, key: &PathKey) -> bool {
        self.warm == Some(*key)
    }

    pub(super) fn role(&self, key: &PathKey) -> Role {
        let is_chosen = Class::ALL.iter().any(|class| self.chooser.current(*class) == Some(*key));
        if is_chosen || self.shares_bulk(key) {
            Role::Used
        } else if self.warm == Some(*key) {
            Role::Warm
        } else {
            Role::Other
        }
    }

    /// What fits, for a network of this MTU. Hoped for while the sizes of the paths are being found: the inside remembers for
    /// minutes what it is told.
    pub(super) fn sizes(&self, mtu: u16) -> Sizes {
        if self.clamp_mtu == 0 {
            return Sizes::whole(mtu);
        }
        Sizes {
            whole: self.inner_mtu,
            mtu: self.clamp_mtu.clamp(MIN_MTU, mtu.max(MIN_MTU)),
            clamp: self.clamp_mtu.min(mtu),
            spread: self.spread.is_wide(),
        }
    }

    /// Open paths, those that may be dead last: circuits stay open while their relay is out of reach.
    pub(super) fn open_by_doubt(&self) -> impl Iterator<Item = Via> {
        let open = self.paths.iter().filter_map(|(key, path)| Some((path.suspect || path.is_dead(), path.via(key)?)));
        let mut open: Vec<(bool, Via)> = open.collect();
        open.sort_by_key(|(is_doubtful, _)| *is_doubtful);
        open.into_iter().map(|(_, via)| via)
    }

    /// Is any path alive?
    pub(super) fn has_live_path(&self) -> bool {
        self.paths.values().any(|path| path.open().is_some() && !path.is_dead())
    }

    /// Is a direct path alive?
    pub(super) fn has_direct(&self) -> bool {
        self.paths.iter().any(|(key, path)| key.is_direct() && path.open().is_some() && !path.is_dead())
    }

    /// Wants circuits through relays. `true`: ask for them now.
    pub(super) fn want(&mut self, now: Now, key: PathKey) -> bool {
        let path = self.paths.entry(key).or_insert_with(|| Box::new(Path::wanted(now, &key)));
        match &mut path.circuit {
            Circuit::Wanted { due_us, tries } if *due_us <= now.mono_us => {
                let pause = OPEN_RETRY_US.saturating_mul(1 << (*tries).min(5)).min(MAX_OPEN_RETRY_US);
                *tries = tries.saturating_add(1);
                *due_us = now.after(pause);
                true
            }
            Circuit::Wanted { .. } | Circuit::Open { .. } | Circuit::Direct { .. } => false,
        }
    }

    /// When a circuit that is wanted is to be asked for again.
    fn next_want(&self) -> Option<u64> {
        let due = |path: &Path| match path.circuit {
            Circuit::Wanted { due_us, .. } => Some(due_us),
            Circuit::Open { .. } | Circuit::Direct { .. } => None,
        };
        self.paths.values().filter_map(|path| due(path)).min()
    }

    /// Circuits that were due but whose relay is not there: later.
    pub(super) fn defer_wants(&mut self, now: Now) {
        for path in self.paths.values_mut() {
            if let Circuit::Wanted { due_us, .. } = &mut path.circuit
                && *due_us <= now.mono_us
            {
                *due_us = now.after(OPEN_RETRY_US);
            }
        }
    }

    /// Traffic begins again after an idle time.
    pub(super) fn resume(&mut self, now: Now) {
        for path in self.paths.values_mut() {
            path.resume(now);
        }
    }

    /// Direct paths dead for so long that the peer must be looked for anew.
    pub(super) fn lost_direct(&self, now: Now) -> Vec<PathKey> {
        let is_lost = |path: &Path| path.life.died_us().is_some_and(|died| now.since(died) >= FORGET_DIRECT_US);
        self.paths.iter().filter(|(key, path)| key.is_direct() && is_lost(path)).map(|(key, _)| *key).collect()
    }

    /// Chooses the paths of all classes, the second one, and the sizes that pass. Returns the classes whose path changed.
    pub(super) fn choose(&mut self, now: Now, rng: &mut dyn CryptoRng) -> Vec<Class> {
        let offers: Vec<Offer<PathKey>> = self
            .paths
            .iter()
            .filter(|(_, path)| path.open().is_some())
            .map(|(key, path)| path.offer(now, key))
            .collect();
        let before = Class::ALL.map(|class| self.chooser.current(class));
        if self.chooser.choose(now, &offers, rng) {
            // Whatever is used now was perhaps not looked at for a while, and what was left should say why.
            for path in self.paths.values_mut() {
                path.next_probe_us = path.next_probe_us.min(now.mono_us);
            }
        }
        let used = Class::ALL.map(|class| self.chooser.current(class));
        // Direct paths lead over one uplink to one house, and some the long way round: nothing is won by using two of them.
        let bulk = self.chooser.current(Class::Bulk).filter(|key| !key.is_direct());
        self.spread.update(now, bulk, &bulk.map_or_else(Vec::new, |key| equals(Class::Bulk, key, &offers)));
        let first = used.iter().flatten().next().and_then(PathKey::first_relay);
        // A second path that shares no relay with the first survives what kills the first.
        let rank = |offer: &Offer<PathKey>| {
            let shares = first.is_some() && offer.key.first_relay() == first;
            (offer.standing, shares, offer.rtt_us.unwrap_or(u64::MAX), offer.key)
        };
        let is_used = |key: PathKey| used.contains(&Some(key)) || self.spread.has(&key);
        let others = offers.iter().filter(|offer| !is_used(offer.key));
        self.warm = others.min_by_key(|offer| rank(offer)).map(|offer| offer.key);
        self.measure_mtu();
        let changed = Class::ALL.into_iter().zip(before).filter(|(class, key)| self.chooser.current(*class) != *key);
        changed.map(|(class, _)| class).collect()
    }

    fn measure_mtu(&mut self) {
        let alive = || {
            let open = self.paths.iter().filter_map(|(key, path)| Some((path.via(key)?, path)));
            open.filter(|(_, path)| !path.is_dead())
        };
        self.inner_mtu = alive().map(|(via, path)| path.capacity(&via)).min().unwrap_or(0);
        self.clamp_mtu = alive().map(|(via, path)| path.hoped_capacity(&via)).min().unwrap_or(0);
    }

    pub(super) fn next_due(&self, now: Now) -> Option<u64> {
        let retry = if self.has_waiting() { self.next_want() } else { None };
        let idle = (!self.has_waiting()).then(|| self.last_traffic_us.saturating_add(IDLE_US));
        let paths =
            if self.is_active(now) { self.paths.values().filter_map(|path| path.next_us()).min() } else { None };
        [self.keepalive_us, self.sync.check_us, retry, idle, paths].into_iter().flatten().min()
    }
}
