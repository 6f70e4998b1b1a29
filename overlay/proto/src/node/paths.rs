//! One path to a peer: where its frames go, what is under way on it, and what was measured.

use std::collections::VecDeque;
use std::sync::Arc;

use netflow_wire::inner::ProbeAck;

pub(crate) use super::via::Via;
use crate::endpoint::{Endpoint, PathKey};
use crate::path::liveness::Action;
use crate::path::pmtud::BASE;
use crate::path::{Health, Liveness, Metrics, Offer, Pmtud, Snapshot, Standing};
use crate::plane::PathTraffic;
use crate::time::{MILLI_US, Now, SECOND_US};

/// Probes of one path without an answer that are remembered: three suspicious ones, a regular one, and a search for its size.
const MAX_IN_FLIGHT: usize = 24;
/// An answer that comes after its time still measures; after this long nobody waits for it.
const FORGOTTEN_US: u64 = 5 * SECOND_US;
/// A probe on a path on which frames arrive has at least this long: a full queue is not a dead path.
const PATIENT_US: u64 = SECOND_US;
/// Distance of regular probes: of a path that carries a flow, of one in use that carries little, of the second choice, of any other.
const BUSY_US: u64 = SECOND_US;
const USED_US: u64 = 5 * SECOND_US;
const WARM_US: u64 = 5 * SECOND_US;
const OTHER_US: u64 = 15 * SECOND_US;
/// Frames since the last probe that make a flow.
const BUSY_PACKETS: u32 = 16;
/// How a path stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Circuit {
    /// Asked for; asked again when due.
    Wanted { due_us: u64, tries: u32 },
    /// Carries frames through relays.
    Open { to: Endpoint, label: u32, epoch: u16 },
    /// Carries frames without a relay.
    Direct { to: Endpoint },
}

/// A probe that left and was not answered yet.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    id: u64,
    sent: Snapshot,
    /// Outer size under test; `None`: a small probe.
    size: Option<u16>,
    due_us: u64,
    overdue: bool,
}

/// What a path wants done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PathWork {
    /// Send a small probe.
    pub(super) probe: bool,
    /// Send probes padded to these outer sizes.
    pub(super) sizes: Vec<u16>,
    /// It just died.
    pub(super) died: bool,
}

/// How important a path is to its peer right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Carries some class of traffic.
    Used,
    /// Next in line.
    Warm,
    /// Known.
    Other,
}

/// One path to a peer.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) circuit: Circuit,
    /// The control link of its relay is down: used only when nothing else is there.
    pub(super) suspect: bool,
    /// Price of a byte on it, relative to others.
    pub(super) price: u64,
    pub(super) metrics: Metrics,
    pub(super) life: Liveness,
    pub(super) mtu: Pmtud,
    /// Data frames it carried, those the node did not see included: what the peer's probes are answered with.
    pub(super) traffic: Arc<PathTraffic>,
    in_flight: VecDeque<InFlight>,
    pub(super) next_probe_us: u64,
    probed_tx: u32,
    opened_us: u64,
}

impl Path {
    pub(super) fn new(now: Now, circuit: Circuit, relays: usize) -> Self {
        Self {
            circuit,
            suspect: false,
            price: relays as u64,
            metrics: Metrics::default(),
            life: Liveness::new(now),
            mtu: Pmtud::new(now, BASE),
            traffic: Arc::default(),
            in_flight: VecDeque::new(),
            next_probe_us: now.mono_us,
            probed_tx: 0,
            opened_us: now.mono_us,
        }
    }

    pub(super) fn wanted(now: Now, key: &PathKey) -> Self {
        Self::new(now, Circuit::Wanted { due_us: now.mono_us, tries: 0 }, relays(key))
    }

    /// It carries frames from now on; what was measured before on other circuits is kept only when they were the same.
    pub(super) fn opened(&mut self, now: Now, key: &PathKey, circuit: Circuit, inner_mtu: u16) {
        if self.circuit != circuit {
            *self = Self { price: self.price, ..Self::new(now, circuit, relays(key)) };
        }
        self.suspect = false;
        self.next_probe_us = now.mono_us;
        if let Some(via) = self.via(key) {
            let limit = inner_mtu.saturating_add(via.overhead());
            if self.mtu.limit() != limit {
                self.mtu = Pmtud::new(now, limit);
            }
        }
    }

    /// Where its frames go, with label and epoch when relays carry them.
    pub(super) const fn open(&self) -> Option<(Endpoint, Option<(u32, u16)>)> {
        match self.circuit {
            Circuit::Open { to, label, epoch } => Some((to, Some((label, epoch)))),
            Circuit::Direct { to } => Some((to, None)),
            Circuit::Wanted { .. } => None,
        }
    }

    pub(super) fn via(&self, key: &PathKey) -> Option<Via> {
        self.open().map(|(to, label)| Via { key: *key, to, label })
    }

    pub(super) fn label(&self) -> Option<(Endpoint, u32)> {
        self.open().and_then(|(to, label)| Some((to, label?.0)))
    }

    /// Largest inner packet that passes whole.
    pub(super) fn capacity(&self, via: &Via) -> u16 {
        self.mtu.confirmed().saturating_sub(via.overhead())
    }

    /// The same while the first search is not over: what is hoped for.
    pub(super) fn hoped_capacity(&self, via: &Via) -> u16 {
        let size = if self.mtu.is_searching() { self.mtu.limit() } else { self.mtu.confirmed() };
        size.saturating_sub(via.overhead())
    }

    pub(super) const fn is_dead(&self) -> bool {
        matches!(self.life.health(), Health::Dead | Health::Recovering)
    }

    pub(super) fn offer(&self, now: Now, key: &PathKey) -> Offer<PathKey> {
        let standing = match self.life.health() {
            Health::Dead => Standing::Dead,
            Health::Recovering => Standing::Recovering,
            Health::Alive | Health::Suspect if self.suspect => Standing::LinkLost,
            Health::Alive | Health::Suspect => Standing::Good,
        };
        Offer {
            key: *key,
            relays: u8::try_from(relays(key)).unwrap_or(u8::MAX),
            standing,
            rtt_us: self.metrics.rtt.smoothed_us(),
            loss: self.metrics.loss_range(),
            goodput_bps: self.metrics.goodput_bps(now),
            price: self.price,
        }
    }

    // ---- frames

    /// A data frame leaves on it. `asks`: the peer has traffic and something should come back. Returns the deadline it sets.
    pub(super) fn sent(&mut self, now: Now, outer_len: u16, asks: bool) -> Option<u64> {
        self.traffic.sent(now);
        if !asks {
            return None;
        }
        // A packet larger than what is known to pass may vanish for its size alone: that says nothing about life.
        let within = outer_len <= self.mtu.confirmed();
        let set = within && self.life.sent(now, self.metrics.rtt.timeout_us()) | self.mtu.used(now, outer_len);
        if set { self.next_us() } else { None }
    }

    /// An authentic data frame came over it. Returns the deadline it sets.
    pub(super) fn heard(&mut self, now: Now, len: usize) -> Option<u64> {
        self.traffic.heard(now, len);
        if self.life.heard(now) { self.life.next_us() } else { None }
    }

    /// When a data frame passed last, in either direction.
    pub(super) fn last_us(&self) -> u64 {
        self.opened_us.max(self.traffic.last_us())
    }

    /// Frames arrived that only the data path saw: a sign of life like any other.
    pub(super) fn absorb(&mut self, now: Now) {
        let heard_us = self.traffic.heard_us();
        if heard_us > self.life.heard_us() {
            let asked = self.traffic.last_us() > heard_us;
            self.life.heard_before(now, heard_us, asked, self.metrics.rtt.timeout_us());
        }
    }

    // ---- probes

    /// A probe left, counted as sent already.
    pub(super) fn probe_left(&mut self, now: Now, id: u64, size: Option<u16>) {
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            self.in_flight.pop_front();
        }
        let due_us = now.after(self.metrics.rtt.timeout_us());
        let sent = Snapshot { sent_us: now.mono_us, tx_packets: self.traffic.tx_packets() };
        self.in_flight.push_back(InFlight { id, sent, size, due_us, overdue: false });
    }

    /// One of our probes was answered. `false`: not one of ours.
    pub(super) fn answered(&mut self, now: Now, ack: &ProbeAck) -> bool {
        let Some(at) = self.in_flight.iter().position(|probe| probe.id == ack.id) else { return false };
        let Some(probe) = self.in_flight.remove(at) else { return false };
        match probe.size {
            None => self.metrics.answered(now, probe.sent, ack.rx_packets, ack.rx_bytes),
            Some(size) => {
                self.mtu.answered(now, size);
            }
        }
        if self.life.answered(now) {
            self.metrics.revived();
            self.next_probe_us = now.mono_us;
        }
        true
    }

    /// Runs what is due on an open path of an active peer.
    pub(super) fn run(&mut self, now: Now, role: Role) -> PathWork {
        self.absorb(now);
        let mut work = PathWork { died: self.expire(now), ..PathWork::default() };
        let timeout_us = self.metrics.rtt.timeout_us();
        match self.life.timeout(now, timeout_us) {
            Some(Action::Probe) => work.probe = true,
            Some(Action::Died) => work.died = true,
            None => {}
        }
        if self.next_probe_us <= now.mono_us {
            // A dead path has its own, rarer turns.
            work.probe |= !self.is_dead();
            let tx_packets = self.traffic.tx_packets();
            let is_busy = tx_packets.wrapping_sub(self.probed_tx) >= BUSY_PACKETS;
            self.probed_tx = tx_packets;
            self.next_probe_us = now.after(match role {
                Role::Used if is_busy => BUSY_US,
                Role::Used => USED_US,
                Role::Warm => WARM_US,
                Role::Other => OTHER_US,
            });
        }
        match self.life.health() {
            Health::Alive => work.sizes = self.mtu.poll(now, timeout_us),
            // Small probes come first; what is due for sizes waits for their answer.
            Health::Suspect => {}
            Health::Dead | Health::Recovering => self.mtu.forgive(now),
        }
        work
    }

    /// Probes whose time is over. `true`: that was one too many.
    fn expire(&mut self, now: Now) -> bool {
        let patience = PATIENT_US.max(self.metrics.rtt.timeout_us().saturating_mul(2));
        let heard_us = self.life.heard_us();
        let mut lost = 0u32;
        self.in_flight.retain_mut(|probe| {
            if probe.due_us > now.mono_us {
                return true;
            }
            if probe.overdue {
                return false;
            }
            let patient_us = probe.sent.sent_us.saturating_add(patience);
            if heard_us > probe.sent.sent_us && patient_us > now.mono_us {
                probe.due_us = patient_us;
                return true;
            }
            // Kept for a late answer, which still tells the round trip.
            probe.overdue = true;
            probe.due_us = now.after(FORGOTTEN_US);
            lost += u32::from(probe.size.is_none());
            true
        });
        let mut died = false;
        for _ in 0..lost {
            self.metrics.lost();
            died |= self.life.probe_lost(now);
        }
        died
    }

    /// When [`Path::run`] is due, while the peer is active.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.open()?;
        let in_flight = self.in_flight.iter().filter(|probe| !probe.overdue).map(|probe| probe.due_us).min();
        let mtu = if self.life.health() == Health::Suspect { None } else { self.mtu.next_us() };
        [Some(self.next_probe_us), self.life.next_us(), mtu, in_flight].into_iter().flatten().min()
    }

    /// Nothing can be sealed for this peer now, so nothing can be asked: later.
    pub(super) fn defer(&mut self, now: Now) {
        let until_us = now.after(SECOND_US);
        self.in_flight.clear();
        self.life.defer(until_us);
        self.mtu.forgive(now);
        self.next_probe_us = self.next_probe_us.max(until_us);
    }

    /// Traffic begins again after an idle time: measurements are old, and a direct path may have lost its NAT mapping.
    pub(super) fn resume(&mut self, now: Now) {
        self.in_flight.clear();
        if matches!(self.circuit, Circuit::Direct { .. }) && self.life.resume(now) {
            return;
        }
        self.life.forgive();
        self.next_probe_us = now.mono_us;
    }

    /// Another uplink, or a node that came back: everything is doubtful until it answers.
    pub(super) fn doubt(&mut self, now: Now) {
        self.life.suspect(now);
        self.next_probe_us = now.after(100 * MILLI_US);
    }
}

pub(super) fn relays(key: &PathKey) -> usize {
    match key {
        PathKey::Direct { .. } => 0,
        PathKey::Relay(hops) => hops.as_slice().len(),
    }
}
