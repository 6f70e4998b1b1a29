//! Round trips: of every open path while a peer has traffic, and of `netctl ping`.
//!
//! The clock never leaves the node: a probe carries a random-looking number, and when it left is remembered here.

use std::collections::BTreeMap;

use netflow_wire::inner::Inner;
use netflow_wire::{NetworkId, NodeId};

use super::Node;
use super::api::{CommandError, ErrorKind, Event, PathInfo};
use super::commands::known;
use super::peers::Peer;
use crate::endpoint::PathKey;
use crate::session::PeerRef;
use crate::time::{MILLI_US, Now, SECOND_US};

/// Probes without an answer yet. A ping job has a few, a path one.
const MAX_OUTSTANDING: usize = 16_384;
/// Ping jobs at a time.
const MAX_JOBS: usize = 64;
/// How long a ping waits for its answer: a handshake with one lost message fits in.
const PING_TIMEOUT_US: u64 = 8 * SECOND_US;
/// How long a path probe waits.
const PATH_TIMEOUT_US: u64 = SECOND_US;
/// Distance of probes of the path in use, of another path, and of one that just missed an answer.
const PRIMARY_US: u64 = 5 * SECOND_US;
const OTHER_US: u64 = 15 * SECOND_US;
const DOUBT_US: u64 = 300 * MILLI_US;
/// Paths are probed while the peer has had traffic for no longer than this ago.
const ACTIVE_US: u64 = 30 * SECOND_US;

/// Most probes of one ping.
const MAX_PINGS: u32 = 10_000;
/// Shortest distance of probes.
const MIN_PING_GAP_US: u64 = 10 * MILLI_US;

#[derive(Clone, Copy, Debug)]
enum Purpose {
    Path(PathKey),
    Job { job: u64, seq: u32 },
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    peer: PeerRef,
    purpose: Purpose,
    sent_us: u64,
}

/// One `netctl ping`.
#[derive(Debug)]
struct Job {
    peer: PeerRef,
    count: u32,
    sent: u32,
    interval_us: u64,
    next_us: u64,
}

/// All measurements under way.
#[derive(Default)]
pub(super) struct Probes {
    outstanding: BTreeMap<u64, Outstanding>,
    jobs: BTreeMap<u64, Job>,
    last_job: u64,
}

impl Probes {
    /// Does a ping wait for this peer?
    pub(super) fn wants(&self, peer: &PeerRef) -> bool {
        self.jobs.values().any(|job| job.peer == *peer)
    }

    pub(super) fn start_job(&mut self, now: Now, peer: PeerRef, count: u32, interval_us: u64) -> Option<u64> {
        if self.jobs.len() >= MAX_JOBS {
            return None;
        }
        self.last_job = self.last_job.wrapping_add(1);
        self.jobs.insert(self.last_job, Job { peer, count, sent: 0, interval_us, next_us: now.mono_us });
        Some(self.last_job)
    }

    pub(super) fn stop_job(&mut self, id: u64) {
        self.jobs.remove(&id);
        self.outstanding.retain(|_, probe| !matches!(probe.purpose, Purpose::Job { job, .. } if job == id));
    }

    pub(super) fn forget_peer(&mut self, peer: &PeerRef) {
        self.jobs.retain(|_, job| job.peer != *peer);
        self.outstanding.retain(|_, probe| probe.peer != *peer);
    }

    pub(super) fn forget_network(&mut self, network: &NetworkId) {
        self.jobs.retain(|_, job| job.peer.network != *network);
        self.outstanding.retain(|_, probe| probe.peer.network != *network);
    }

    /// A path is gone: what was under way on it is not lost, it was never carried.
    pub(super) fn path_closed(&mut self, peer: &PeerRef, key: &PathKey) {
        self.outstanding
            .retain(|_, probe| !(probe.peer == *peer && matches!(probe.purpose, Purpose::Path(via) if via == *key)));
    }

    fn remember(&mut self, id: u64, probe: Outstanding) -> bool {
        if self.outstanding.len() >= MAX_OUTSTANDING {
            return false;
        }
        self.outstanding.insert(id, probe);
        true
    }

    /// Jobs to send a probe for now, with the number of the probe; and probes whose time is over.
    fn due(&mut self, now: Now) -> (Vec<(u64, PeerRef, u32)>, Vec<Outstanding>) {
        let mut sends = Vec::new();
        for (id, job) in &mut self.jobs {
            if job.sent < job.count && job.next_us <= now.mono_us {
                sends.push((*id, job.peer, job.sent));
                job.sent += 1;
                job.next_us = now.after(job.interval_us);
            }
        }
        let late: Vec<(u64, Outstanding)> = self
            .outstanding
            .iter()
            .filter(|(_, probe)| deadline(probe) <= now.mono_us)
            .map(|(id, probe)| (*id, *probe))
            .collect();
        for (id, _) in &late {
            self.outstanding.remove(id);
        }
        (sends, late.into_iter().map(|(_, probe)| probe).collect())
    }

    fn end_jobs(&mut self) {
        let outstanding = &self.outstanding;
        self.jobs.retain(|id, job| {
            job.sent < job.count
                || outstanding.values().any(|probe| matches!(probe.purpose, Purpose::Job { job, .. } if job == *id))
        });
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let jobs = self.jobs.values().filter(|job| job.sent < job.count).map(|job| job.next_us).min();
        [jobs, self.outstanding.values().map(deadline).min()].into_iter().flatten().min()
    }
}

const fn deadline(probe: &Outstanding) -> u64 {
    let patience = match probe.purpose {
        Purpose::Path(_) => PATH_TIMEOUT_US,
        Purpose::Job { .. } => PING_TIMEOUT_US,
    };
    probe.sent_us.saturating_add(patience)
}

impl Node {
    /// Starts `count` probes (1..=10,000), one every `interval_us`; events `PingReply` and `PingLost` carry the returned number.
    ///
    /// # Errors
    /// Unknown network or node, network down, this node itself.
    pub fn ping(
        &mut self,
        now: Now,
        network: &NetworkId,
        node: &NodeId,
        count: u32,
        interval_us: u64,
    ) -> Result<u64, CommandError> {
        let state = self.member_network(network)?;
        known(state, node)?;
        if !state.is_up() {
            return Err(CommandError::new(ErrorKind::Offline, "the network is down").next("netctl up"));
        }
        if *node == self.id || !(1..=MAX_PINGS).contains(&count) {
            return Err(CommandError::new(ErrorKind::Invalid, "ping another node, 1 to 10,000 times"));
        }
        let peer = PeerRef { network: *network, node: *node };
        let job = self.probes.start_job(now, peer, count, interval_us.max(MIN_PING_GAP_US));
        let job = job
            .ok_or_else(|| CommandError::new(ErrorKind::Conflict, format!("{MAX_JOBS} pings are under way already")))?;
        self.probes_timeout(now);
        self.settle(now);
        Ok(job)
    }

    /// Ends a ping early.
    pub fn stop_ping(&mut self, ping: u64) {
        self.probes.stop_job(ping);
    }

    pub(super) fn probes_timeout(&mut self, now: Now) {
        let (sends, late) = self.probes.due(now);
        for probe in late {
            self.probe_lost(now, &probe);
        }
        for (job, peer, seq) in sends {
            if let Some(state) = self.peers.entry(peer) {
                state.last_traffic_us = now.mono_us;
            }
            self.send_probe(now, peer, Purpose::Job { job, seq });
        }
        self.probes.end_jobs();
        // Their turn is taken even without a session, so that the timer moves on.
        for (peer, key) in self.paths_to_probe(now) {
            if self.sessions.info(&peer).is_some() {
                self.send_probe(now, peer, Purpose::Path(key));
            }
        }
    }

    /// Open paths of active peers whose turn it is. Their next turn is set.
    fn paths_to_probe(&mut self, now: Now) -> Vec<(PeerRef, PathKey)> {
        let mut due = Vec::new();
        for (peer, state) in self.peers.iter_mut() {
            if !is_active(state, now) {
                // Not due again before there is traffic, whenever that will be.
                let end = state.last_traffic_us.saturating_add(ACTIVE_US);
                for path in state.paths.values_mut() {
                    path.next_probe_us = path.next_probe_us.max(end);
                }
                continue;
            }
            let primary = state.primary().map(|via| via.key);
            for (key, path) in &mut state.paths {
                if path.open().is_some() && path.probe.is_none() && path.next_probe_us <= now.mono_us {
                    let pause = if path.lost > 0 {
                        DOUBT_US
                    } else if primary == Some(*key) {
                        PRIMARY_US
                    } else {
                        OTHER_US
                    };
                    path.next_probe_us = now.after(pause);
                    due.push((*peer, *key));
                }
            }
        }
        due
    }

    /// When the next probe is due, or the next answer overdue.
    pub(super) fn next_probe_due(&self) -> Option<u64> {
        let paths = self.peers.iter().filter_map(|(_, state)| next_path_probe(state)).min();
        [paths, self.probes.poll_timeout()].into_iter().flatten().min()
    }

    fn send_probe(&mut self, now: Now, peer: PeerRef, purpose: Purpose) {
        let id = self.rng.next_u64();
        if !self.probes.remember(id, Outstanding { peer, purpose, sent_us: now.mono_us }) {
            return;
        }
        let Ok(plaintext) = (Inner::Ping { id, t: 0 }).to_vec() else { return };
        let via = match purpose {
            Purpose::Path(key) => {
                if let Some(path) = self.peers.get_mut(&peer).and_then(|state| state.paths.get_mut(&key)) {
                    path.probe = Some((id, now.mono_us));
                }
                Some(key)
            }
            Purpose::Job { .. } => None,
        };
        self.send_plain(now, peer, &plaintext, via.as_ref());
    }

    /// An answer came over a path.
    pub(super) fn pong(&mut self, now: Now, peer: PeerRef, key: &PathKey, id: u64) {
        let known = self.probes.outstanding.get(&id).is_some_and(|probe| probe.peer == peer);
        let Some(probe) = known.then(|| self.probes.outstanding.remove(&id)).flatten() else { return };
        let rtt_us = now.since(probe.sent_us);
        match probe.purpose {
            Purpose::Path(via) => self.path_measured(now, peer, &via, rtt_us),
            Purpose::Job { job, seq } => {
                let Some(via) = self.peers.get(&peer).and_then(|state| state.via(key)) else { return };
                let path = PathInfo::of(via.key, via.to);
                self.outbox.event(Event::PingReply { ping: job, seq, rtt_us, path });
                self.probes.end_jobs();
            }
        }
    }

    /// Smooths like TCP (RFC 6298, 2): one eighth of each new value.
    fn path_measured(&mut self, now: Now, peer: PeerRef, via: &PathKey, rtt_us: u64) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let Some(path) = state.paths.get_mut(via) else { return };
        path.probe = None;
        path.lost = 0;
        path.rtt_us = Some(path.rtt_us.map_or(rtt_us, |old| old - old / 8 + rtt_us / 8));
        state.choose(now);
    }

    fn probe_lost(&mut self, now: Now, probe: &Outstanding) {
        match probe.purpose {
            Purpose::Path(via) => {
                let Some(state) = self.peers.get_mut(&probe.peer) else { return };
                let Some(path) = state.paths.get_mut(&via) else { return };
                path.probe = None;
                path.lost = path.lost.saturating_add(1);
                path.next_probe_us = now.mono_us;
                state.choose(now);
            }
            Purpose::Job { job, seq } => {
                let text = self.why_silent(&probe.peer).to_owned();
                self.outbox.event(Event::PingLost { ping: job, seq, text });
            }
        }
    }

    /// What is known about why a peer does not answer.
    fn why_silent(&self, peer: &PeerRef) -> &'static str {
        if self.links.usable(&peer.network).is_empty() {
            "no relay of this network is reachable"
        } else if self.peers.get(peer).is_none_or(|state| state.primary().is_none()) {
            "the other node is not connected to any common relay"
        } else if self.sessions.info(peer).is_none() {
            "the other node does not answer the handshake"
        } else {
            "no answer"
        }
    }
}

const fn is_active(state: &Peer, now: Now) -> bool {
    state.last_traffic_us > 0 && now.since(state.last_traffic_us) < ACTIVE_US
}

/// The next turn of any path of a peer, while that lies within its time of activity.
fn next_path_probe(state: &Peer) -> Option<u64> {
    let open = state.paths.values().filter(|path| path.open().is_some() && path.probe.is_none());
    let next = open.map(|path| path.next_probe_us).min()?;
    (state.last_traffic_us > 0 && next < state.last_traffic_us.saturating_add(ACTIVE_US)).then_some(next)
}
