//! The relay as the shelf of network logs: publishing, attaching, O(change) passing on.

use std::sync::Arc;

use netflow_wire::control::{ControlMessage, refused_code};
use netflow_wire::{Head, NetworkId, NodeId, Range};
use rand_core::CryptoRng;

use super::batch::{batches, gap_ranges};
use super::config::LinkId;
use super::hosted::{Hosted, MAX_ENTRIES, Staging};
use super::server::{RelayOutput, RelayServer};
use super::server_join::issuers;
use crate::netlog::{EntryBody, EntryHash, Inserted, LogError, NetworkLog, SignedEntry};
use crate::time::Now;

/// Bytes of a log being published before it has proved that it belongs here: about 5,000 members.
const MAX_STAGED_BYTES: usize = 8 * 1024 * 1024;
/// Logs being published at a time, over all links.
const MAX_STAGINGS: usize = 8;
/// Log bytes one link may ask for in a minute: the largest log twice.
const MAX_PULLED_BYTES: usize = 64 * 1024 * 1024;

impl RelayServer {
    /// A member wants to be served in a network.
    pub(super) fn attach(&mut self, now: Now, link: LinkId, network: NetworkId, rng: &mut dyn CryptoRng) {
        let Some(node) = self.links.get(&link).map(|state| state.node) else { return };
        let Some(hosted) = self.hosted.get(&network) else {
            self.refuse(link, Some(network), refused_code::NOT_ADMITTED, "this relay does not host the network");
            return;
        };
        let state = hosted.log.state();
        if state.is_member(&node) {
            self.welcome(now, link, network, node, rng);
            return;
        }
        if state.is_revoked(&node) {
            self.show_revocation(link, network, &node);
        }
        self.refuse(link, Some(network), refused_code::NOT_MEMBER, "this node is not a member of the network");
    }

    /// Attaches a member: tells it so, shows the heads, and hands over the joins that wait for it.
    pub(super) fn welcome(
        &mut self,
        now: Now,
        link: LinkId,
        network: NetworkId,
        node: NodeId,
        rng: &mut dyn CryptoRng,
    ) {
        if !self.set_attached(link, network) {
            self.refuse(link, Some(network), refused_code::QUOTA, "too many networks on one link");
            return;
        }
        let Some(hosted) = self.hosted.get(&network) else { return };
        let quota = hosted.meter.quota();
        let Some(state) = self.links.get_mut(&link) else { return };
        let heads = state.pulls.entry(network).or_default().show(&hosted.log);
        let waiting: Vec<ControlMessage> = hosted
            .waiting()
            .filter(|(invite, _)| issuers(hosted, invite).contains(&node))
            .map(|(_, waiting)| waiting.request.clone())
            .collect();
        let (quota_bytes_day, rate_bps) = (quota.bytes_per_day, quota.rate_bps);
        self.send(link, ControlMessage::Attached { network, quota_bytes_day, rate_bps });
        self.send(link, ControlMessage::LogHeads { network, heads });
        for request in waiting {
            self.send(link, request);
        }
        self.repeat_labels(node, Some(network));
        self.open_wishes(now, node, rng);
    }

    /// A revoked node may see the chain that says so, up to the entry that says so, and nothing after it.
    fn show_revocation(&mut self, link: LinkId, network: NetworkId, node: &NodeId) {
        let Some(hosted) = self.hosted.get(&network) else { return };
        let Some(hash) = hosted.log.state().revoked().get(node).copied() else { return };
        let Some((author, seq)) = find_entry(&hosted.log, hash) else { return };
        // What one answer holds; a node that lacks more of the chain never got far with this network.
        let range = Range { author, from: seq.saturating_sub(1_000), to: seq };
        let entries: Vec<Vec<u8>> = hosted.log.range(&range).into_iter().map(<[u8]>::to_vec).collect();
        if !self.may_pull(link, &entries) {
            return;
        }
        for entries in batches(entries) {
            self.send(link, ControlMessage::LogEntries { network, entries });
        }
    }

    pub(super) fn is_attached(&self, link: LinkId, network: &NetworkId) -> bool {
        self.links.get(&link).is_some_and(|state| state.attached.contains(network))
    }

    /// The other side's heads: ask for what is missing here. It does the same with ours.
    pub(super) fn log_heads(&mut self, link: LinkId, network: NetworkId, heads: Vec<Head>) {
        if !self.is_attached(link, &network) {
            // The end of a publication that did not prove itself.
            let staged = self.links.get_mut(&link).and_then(|state| state.staging.take());
            if staged.is_some_and(|staging| staging.network == network) {
                let text = "the log does not name this relay, or its sender is not a member";
                self.refuse(link, Some(network), refused_code::NOT_ADMITTED, text);
            }
            return;
        }
        let Some(hosted) = self.hosted.get(&network) else { return };
        let Some(state) = self.links.get_mut(&link) else { return };
        let pull = state.pulls.entry(network).or_default();
        let ranges = pull.heads(&hosted.log, heads);
        let answer = pull.answer(&hosted.log);
        if !ranges.is_empty() {
            self.send(link, ControlMessage::LogPull { network, ranges });
        }
        if let Some(heads) = answer {
            self.send(link, ControlMessage::LogHeads { network, heads });
        }
    }

    pub(super) fn log_pull(&mut self, link: LinkId, network: NetworkId, ranges: &[Range]) {
        if !self.is_attached(link, &network) {
            self.strike(link, "pull of a network not attached");
            return;
        }
        let Some(hosted) = self.hosted.get(&network) else { return };
        let mut entries: Vec<Vec<u8>> = Vec::new();
        for range in ranges {
            entries.extend(hosted.log.range(range).into_iter().map(<[u8]>::to_vec));
        }
        if !self.may_pull(link, &entries) {
            self.refuse(link, Some(network), refused_code::QUOTA, "too many log pulls, wait a minute");
            return;
        }
        for entries in batches(entries) {
            self.send(link, ControlMessage::LogEntries { network, entries });
        }
    }

    fn may_pull(&mut self, link: LinkId, entries: &[Vec<u8>]) -> bool {
        let bytes: usize = entries.iter().map(Vec::len).sum();
        let Some(state) = self.links.get_mut(&link) else { return false };
        state.pulled_bytes = state.pulled_bytes.saturating_add(bytes);
        state.pulled_bytes <= MAX_PULLED_BYTES
    }

    pub(super) fn log_entries(
        &mut self,
        now: Now,
        link: LinkId,
        network: NetworkId,
        entries: Vec<Vec<u8>>,
        rng: &mut dyn CryptoRng,
    ) {
        if self.is_attached(link, &network) {
            self.insert(now, link, network, entries, rng);
        } else if self.links.get(&link).and_then(|state| state.staging.as_ref()).is_some_and(|s| s.network == network) {
            self.stage(now, link, network, entries, rng);
        } else {
            self.strike(link, "entries of a network not attached");
        }
    }

    /// A member brings a network this relay does not host yet.
    pub(super) fn publish(
        &mut self,
        now: Now,
        link: LinkId,
        network: NetworkId,
        entries: Vec<Vec<u8>>,
        rng: &mut dyn CryptoRng,
    ) {
        if self.hosted.contains_key(&network) {
            self.attach(now, link, network, rng);
            if self.is_attached(link, &network) {
                self.insert(now, link, network, entries, rng);
            }
            return;
        }
        if self.quota_of(&network).is_none() {
            self.refuse(link, Some(network), refused_code::NOT_ADMITTED, "no grant for this network at this relay");
            return;
        }
        let staging = self.links.values().filter(|state| state.staging.is_some()).count();
        if !self.has_room() || staging >= MAX_STAGINGS {
            self.refuse(link, Some(network), refused_code::QUOTA, "this relay hosts as many networks as it may");
            return;
        }
        let log = NetworkLog::empty_with(network, Arc::clone(&self.signatures));
        let Some(state) = self.links.get_mut(&link) else { return };
        state.staging = Some(Staging { network, log, raws: Vec::new(), bytes: 0 });
        self.stage(now, link, network, entries, rng);
    }

    /// Adds to a log being published; hosts it as soon as it shows that the sender is a member and this relay is named.
    fn stage(&mut self, now: Now, link: LinkId, network: NetworkId, entries: Vec<Vec<u8>>, rng: &mut dyn CryptoRng) {
        let Some(state) = self.links.get_mut(&link) else { return };
        let Some(mut staging) = state.staging.take() else { return };
        let node = state.node;
        let (results, _) = staging.log.insert_all(&entries);
        let valid = results.iter().all(|result| matches!(result, Ok(Inserted::New | Inserted::Known)));
        staging.bytes = entries.iter().fold(staging.bytes, |sum, raw| sum.saturating_add(raw.len()));
        staging.raws.extend(entries);
        if !valid || staging.bytes > MAX_STAGED_BYTES || staging.raws.len() > MAX_ENTRIES {
            self.refuse(link, Some(network), refused_code::INVALID, "the log does not verify");
            return;
        }
        let proved = staging.log.state().is_member(&node) && self.names_me(&staging.log);
        match self.quota_of(&network) {
            Some(quota) if proved && self.has_room() => {
                for raw in &staging.raws {
                    self.emit(RelayOutput::Append { network, raw: raw.clone() });
                }
                self.hosted.insert(network, Hosted::new(staging.log, staging.raws.len(), quota, now));
                self.welcome(now, link, network, node, rng);
            }
            _ => {
                if let Some(state) = self.links.get_mut(&link) {
                    state.staging = Some(staging);
                }
            }
        }
    }

    /// Verifies entries, stores the new ones, passes them on, and acts on what they say.
    fn insert(&mut self, now: Now, link: LinkId, network: NetworkId, entries: Vec<Vec<u8>>, rng: &mut dyn CryptoRng) {
        let Some(hosted) = self.hosted.get_mut(&network) else { return };
        let mut entries = entries;
        let mut refusal = None;
        let room = MAX_ENTRIES.saturating_sub(hosted.entries);
        if entries.len() > room {
            entries.truncate(room);
            refusal = Some((refused_code::QUOTA, "the log of this network is as long as this relay keeps"));
        }
        let (results, order) = hosted.log.insert_all(&entries);
        let mut gaps = Vec::new();
        let mut behind = false;
        for result in results {
            match result {
                Ok(Inserted::Gap { author, have, got }) => gaps.push((author, have, got)),
                Ok(_) => {}
                Err(LogError::NotAuthorized) => behind = true,
                Err(_) => refusal = Some((refused_code::INVALID, "an entry does not verify")),
            }
        }
        let fresh: Vec<Vec<u8>> = order.iter().filter_map(|index| entries.get(*index).cloned()).collect();
        hosted.entries = hosted.entries.saturating_add(fresh.len());
        if let Some((code, text)) = refusal {
            self.refuse(link, Some(network), code, text);
        }
        self.pull_on(link, network, &gaps, behind, !fresh.is_empty());
        if fresh.is_empty() {
            return;
        }
        for raw in &fresh {
            self.emit(RelayOutput::Append { network, raw: raw.clone() });
        }
        self.spread(network, link, &fresh);
        self.enforce(now, network, rng);
    }

    /// After entries came over a link: what else to ask there.
    fn pull_on(&mut self, link: LinkId, network: NetworkId, gaps: &[([u8; 32], u32, u32)], behind: bool, fresh: bool) {
        let Some(hosted) = self.hosted.get(&network) else { return };
        let Some(state) = self.links.get_mut(&link) else { return };
        let pull = state.pulls.entry(network).or_default();
        if fresh {
            pull.progressed();
        }
        if behind {
            pull.fell_behind();
        }
        let next = pull.next(&hosted.log);
        let ranges = if gaps.is_empty() { next } else { gap_ranges(gaps) };
        let heads = pull.ask(&hosted.log);
        if !ranges.is_empty() {
            self.send(link, ControlMessage::LogPull { network, ranges });
        }
        if let Some(heads) = heads {
            self.send(link, ControlMessage::LogHeads { network, heads });
        }
    }

    /// New entries to everybody attached but the one who brought them.
    fn spread(&mut self, network: NetworkId, from: LinkId, fresh: &[Vec<u8>]) {
        let Some(hosted) = self.hosted.get(&network) else { return };
        let links: Vec<LinkId> = hosted.attached.values().copied().filter(|link| *link != from).collect();
        for entries in batches(fresh.to_vec()) {
            for link in &links {
                self.send(*link, ControlMessage::LogEntries { network, entries: entries.clone() });
            }
        }
    }

    /// The log changed: whoever is out is out at once, whoever is in is welcome, and waiting joins are answered.
    fn enforce(&mut self, now: Now, network: NetworkId, rng: &mut dyn CryptoRng) {
        let Some(hosted) = self.hosted.get(&network) else { return };
        if !self.names_me(&hosted.log) {
            self.unhost(network, refused_code::NOT_ADMITTED, "the network does not name this relay any more");
            return;
        }
        let state = hosted.log.state();
        let out: Vec<NodeId> = self.circuit_ends(network).into_iter().filter(|node| !state.is_member(node)).collect();
        let gone: Vec<NodeId> = hosted.attached.keys().filter(|node| !state.is_member(node)).copied().collect();
        for node in out.into_iter().chain(gone) {
            self.expel(network, node);
        }
        self.answer_waiting(now, network, rng);
    }
}

/// Where in the log an entry is. Rare: only a revoked node that comes back asks for it.
fn find_entry(log: &NetworkLog, hash: EntryHash) -> Option<([u8; 32], u32)> {
    log.entries().into_iter().find_map(|raw| {
        let entry = SignedEntry::trusted(raw).ok()?;
        let revokes = matches!(entry.entry().body, EntryBody::MemberRevoke { .. });
        (revokes && entry.hash() == hash).then(|| (entry.entry().author, entry.entry().seq))
    })
}
