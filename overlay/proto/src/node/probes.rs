//! Round trips asked for by `netctl ping`. What the node measures for itself is in `measure`.
//!
//! The clock never leaves the node: a probe carries a random-looking number, and when it left is remembered here.

use std::collections::BTreeMap;

use netflow_wire::inner::Inner;
use netflow_wire::{NetworkId, NodeId};

use super::Node;
use super::api::{CommandError, ErrorKind, Event, PathInfo};
use super::commands::known;
use super::peers::Via;
use crate::session::PeerRef;
use crate::time::{MILLI_US, Now, SECOND_US};

/// Probes without an answer yet, over all pings: eight seconds of the fastest ones allowed, for a few users at a time.
const MAX_OUTSTANDING: usize = 4_096;
/// Ping jobs at a time.
const MAX_JOBS: usize = 64;
/// How long a ping waits for its answer: a handshake with one lost message fits in.
const PING_TIMEOUT_US: u64 = 8 * SECOND_US;
/// Most probes of one ping.
const MAX_PINGS: u32 = 10_000;
/// Shortest distance of probes.
const MIN_PING_GAP_US: u64 = 10 * MILLI_US;

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    peer: PeerRef,
    job: u64,
    seq: u32,
    sent_us: u64,
}

impl Outstanding {
    const fn due_us(&self) -> u64 {
        self.sent_us.saturating_add(PING_TIMEOUT_US)
    }
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

/// All pings under way.
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

    fn start_job(&mut self, now: Now, peer: PeerRef, count: u32, interval_us: u64) -> Option<u64> {
        if self.jobs.len() >= MAX_JOBS {
            return None;
        }
        self.last_job = self.last_job.wrapping_add(1);
        self.jobs.insert(self.last_job, Job { peer, count, sent: 0, interval_us, next_us: now.mono_us });
        Some(self.last_job)
    }

    fn stop_job(&mut self, id: u64) {
        self.jobs.remove(&id);
        self.outstanding.retain(|_, probe| probe.job != id);
    }

    pub(super) fn forget_peer(&mut self, peer: &PeerRef) {
        self.jobs.retain(|_, job| job.peer != *peer);
        self.outstanding.retain(|_, probe| probe.peer != *peer);
    }

    pub(super) fn forget_network(&mut self, network: &NetworkId) {
        self.jobs.retain(|_, job| job.peer.network != *network);
        self.outstanding.retain(|_, probe| probe.peer.network != *network);
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
            .filter(|(_, probe)| probe.due_us() <= now.mono_us)
            .map(|(id, probe)| (*id, *probe))
            .collect();
        for (id, _) in &late {
            self.outstanding.remove(id);
        }
        (sends, late.into_iter().map(|(_, probe)| probe).collect())
    }

    fn end_jobs(&mut self) {
        let outstanding = &self.outstanding;
        self.jobs.retain(|id, job| job.sent < job.count || outstanding.values().any(|probe| probe.job == *id));
    }

    /// When the next probe leaves, or the next answer is overdue. Looks at pings only, of which there are few.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let jobs = self.jobs.values().filter(|job| job.sent < job.count).map(|job| job.next_us).min();
        [jobs, self.outstanding.values().map(Outstanding::due_us).min()].into_iter().flatten().min()
    }
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
            let text = self.why_silent(&probe.peer).to_owned();
            self.outbox.event(Event::PingLost { ping: probe.job, seq: probe.seq, text });
        }
        for (job, peer, seq) in sends {
            self.traffic(now, peer);
            let id = self.rng.next_u64();
            let Ok(plaintext) = (Inner::Ping { id, t: 0 }).to_vec() else { continue };
            if self.probes.remember(id, Outstanding { peer, job, seq, sent_us: now.mono_us }) {
                self.send_plain(now, peer, &plaintext, None);
            }
        }
        self.probes.end_jobs();
    }

    /// When the next probe of a ping is due, or its answer overdue.
    pub(super) fn next_probe_due(&self) -> Option<u64> {
        self.probes.poll_timeout()
    }

    /// An answer came over a path.
    pub(super) fn pong(&mut self, now: Now, peer: PeerRef, via: &Via, id: u64) {
        let known = self.probes.outstanding.get(&id).is_some_and(|probe| probe.peer == peer);
        let Some(probe) = known.then(|| self.probes.outstanding.remove(&id)).flatten() else { return };
        let (rtt_us, path) = (now.since(probe.sent_us), PathInfo::of(via.key, via.to));
        self.outbox.event(Event::PingReply { ping: probe.job, seq: probe.seq, rtt_us, path });
        self.probes.end_jobs();
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
