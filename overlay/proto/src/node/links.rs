//! Control links to the relays of this node's networks: which are wanted, which are up, and what each of them serves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use netflow_wire::{NetworkId, NodeId};

use super::api::{Carrier, LinkId, Quota};
use crate::endpoint::Endpoint;
use crate::relay::{BindClient, Pull};
use crate::time::{MILLI_US, Now, SECOND_US};

/// A dial that was not answered by the shell counts as failed after this time.
const DIAL_TIMEOUT_US: u64 = 20 * SECOND_US;
/// First pause after a failed dial; doubles up to the longest.
const FIRST_PAUSE_US: u64 = 500 * MILLI_US;
/// Longest pause between dials: a relay that comes back is found within half a minute.
const MAX_PAUSE_US: u64 = 30 * SECOND_US;
/// A relay that refused a network is asked again after this time: quotas and grants change by hand.
const REFUSED_PAUSE_US: u64 = 60 * SECOND_US;
/// A relay that does not know us as a member while our log does is asked again after this time: somebody will bring it the entry.
const BEHIND_PAUSE_US: u64 = 5 * SECOND_US;
/// An `Attach` without answer is repeated after this time.
const ATTACH_TIMEOUT_US: u64 = 10 * SECOND_US;

/// What a relay serves of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    /// `Attach` was sent.
    Asked { since_us: u64 },
    /// `Publish` was sent after the relay did not know the network.
    Publishing { since_us: u64 },
    /// Served.
    Attached(Quota),
    /// Refused; asked again later.
    Refused { retry_us: u64, text: String },
}

/// How a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkPhase {
    Idle { due_us: u64 },
    Dialing { since_us: u64 },
    Up { link: LinkId, remote: SocketAddr, carrier: Carrier },
}

/// One relay this node wants a link to.
pub(super) struct RelayLink {
    pub(super) addrs: Vec<SocketAddr>,
    pub(super) phase: LinkPhase,
    failures: u32,
    pub(super) last_error: Option<String>,
    pub(super) attachments: BTreeMap<NetworkId, Attachment>,
    /// Networks whose refusal was reported since the link came up: once is enough.
    pub(super) told_refused: BTreeSet<NetworkId>,
    /// Log entries being fetched over this link.
    pub(super) pulls: BTreeMap<NetworkId, Pull>,
    /// A ticket was asked for on this link.
    pub(super) ticket_asked: bool,
    pub(super) bind: BindClient,
}

impl RelayLink {
    pub(super) const fn up(&self) -> Option<(LinkId, SocketAddr)> {
        match self.phase {
            LinkPhase::Up { link, remote, .. } => Some((link, remote)),
            LinkPhase::Idle { .. } | LinkPhase::Dialing { .. } => None,
        }
    }

    /// Where frames for this relay go, while the link is up.
    pub(super) const fn endpoint(&self) -> Option<Endpoint> {
        match self.phase {
            LinkPhase::Up { link, carrier: Carrier::Stream, .. } => Some(Endpoint::Carrier(link)),
            LinkPhase::Up { remote, carrier: Carrier::Quic, .. } => Some(Endpoint::main(remote)),
            LinkPhase::Idle { .. } | LinkPhase::Dialing { .. } => None,
        }
    }

    pub(super) fn is_attached(&self, network: &NetworkId) -> bool {
        matches!(self.attachments.get(network), Some(Attachment::Attached(_)))
    }

    /// Can circuits be asked for here?
    pub(super) fn is_usable(&self, network: &NetworkId) -> bool {
        self.up().is_some() && self.bind.is_bound() && self.is_attached(network)
    }

    /// Networks whose attachment is to be asked for (again) now.
    pub(super) fn overdue(&self, now: Now) -> Vec<NetworkId> {
        let due = |attachment: &Attachment| attachment_due(attachment).is_some_and(|due| due <= now.mono_us);
        self.attachments.iter().filter(|(_, attachment)| due(attachment)).map(|(network, _)| *network).collect()
    }

    fn fail(&mut self, now: Now, error: Option<&str>) {
        let pause = FIRST_PAUSE_US.saturating_mul(1 << self.failures.min(6)).min(MAX_PAUSE_US);
        self.failures = self.failures.saturating_add(1);
        self.phase = LinkPhase::Idle { due_us: now.after(pause) };
        if let Some(error) = error {
            self.last_error = Some(error.to_owned());
        }
    }

    fn next_due(&self) -> Option<u64> {
        match self.phase {
            LinkPhase::Idle { due_us } => Some(due_us),
            LinkPhase::Dialing { since_us } => Some(since_us.saturating_add(DIAL_TIMEOUT_US)),
            LinkPhase::Up { .. } => {
                let attach = self.attachments.values().filter_map(attachment_due).min();
                [attach, self.bind.poll_timeout()].into_iter().flatten().min()
            }
        }
    }
}

const fn attachment_due(attachment: &Attachment) -> Option<u64> {
    match attachment {
        Attachment::Asked { since_us } | Attachment::Publishing { since_us } => {
            Some(since_us.saturating_add(ATTACH_TIMEOUT_US))
        }
        Attachment::Refused { retry_us, .. } => Some(*retry_us),
        Attachment::Attached(_) => None,
    }
}

/// When a refused attachment is tried again; `behind`: the relay seems to lack the newest entries.
pub(super) const fn refused_until(now: Now, behind: bool) -> u64 {
    now.after(if behind { BEHIND_PAUSE_US } else { REFUSED_PAUSE_US })
}

/// All relays wanted.
#[derive(Default)]
pub(super) struct Links {
    relays: BTreeMap<NodeId, RelayLink>,
    by_link: BTreeMap<LinkId, NodeId>,
}

impl Links {
    pub(super) fn get(&self, relay: &NodeId) -> Option<&RelayLink> {
        self.relays.get(relay)
    }

    pub(super) fn get_mut(&mut self, relay: &NodeId) -> Option<&mut RelayLink> {
        self.relays.get_mut(relay)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeId, &RelayLink)> {
        self.relays.iter()
    }

    /// The relay at the other end of a link of ours.
    pub(super) fn relay_of(&self, link: LinkId) -> Option<NodeId> {
        self.by_link.get(&link).copied()
    }

    /// The relay whose link leads to this address: the only place its bind frames may come from.
    pub(super) fn relay_at(&self, from: Endpoint) -> Option<NodeId> {
        let at = |relay: &RelayLink| relay.endpoint() == Some(from);
        self.relays.iter().find(|(_, relay)| at(relay)).map(|(node, _)| *node)
    }

    /// Links that serve a network, with their relays.
    pub(super) fn attached(&self, network: &NetworkId) -> Vec<(NodeId, LinkId)> {
        let serving = |(node, relay): (&NodeId, &RelayLink)| {
            let (link, _) = relay.up()?;
            relay.is_attached(network).then_some((*node, link))
        };
        self.relays.iter().filter_map(serving).collect()
    }

    /// Relays at which circuits of a network can be asked for.
    pub(super) fn usable(&self, network: &NetworkId) -> Vec<NodeId> {
        self.relays.iter().filter(|(_, relay)| relay.is_usable(network)).map(|(node, _)| *node).collect()
    }

    /// Sets what is wanted. Returns the links to close.
    pub(super) fn set_wanted(&mut self, now: Now, wanted: &BTreeMap<NodeId, Vec<SocketAddr>>) -> Vec<LinkId> {
        for (node, addrs) in wanted {
            let relay = self.relays.entry(*node).or_insert_with(|| RelayLink {
                addrs: Vec::new(),
                phase: LinkPhase::Idle { due_us: now.mono_us },
                failures: 0,
                last_error: None,
                attachments: BTreeMap::new(),
                told_refused: BTreeSet::new(),
                pulls: BTreeMap::new(),
                ticket_asked: false,
                bind: BindClient::default(),
            });
            relay.addrs.clone_from(addrs);
        }
        let unwanted: Vec<NodeId> = self.relays.keys().filter(|node| !wanted.contains_key(node)).copied().collect();
        let mut close = Vec::new();
        for node in unwanted {
            if let Some((link, _)) = self.relays.remove(&node).and_then(|relay| relay.up()) {
                self.by_link.remove(&link);
                close.push(link);
            }
        }
        close
    }

    /// Relays to dial now; they count as being dialled afterwards.
    pub(super) fn take_dials(&mut self, now: Now) -> Vec<(NodeId, Vec<SocketAddr>)> {
        let mut dials = Vec::new();
        for (node, relay) in &mut self.relays {
            if let LinkPhase::Dialing { since_us } = relay.phase
                && now.since(since_us) >= DIAL_TIMEOUT_US
            {
                relay.fail(now, Some("no answer"));
            }
            if let LinkPhase::Idle { due_us } = relay.phase
                && due_us <= now.mono_us
            {
                relay.phase = LinkPhase::Dialing { since_us: now.mono_us };
                dials.push((*node, relay.addrs.clone()));
            }
        }
        dials
    }

    /// A dialled link is up. `None`: nobody wants it (any more), close it. Otherwise the link it replaces, if any.
    pub(super) fn link_up(
        &mut self,
        link: LinkId,
        node: NodeId,
        remote: SocketAddr,
        carrier: Carrier,
    ) -> Option<Option<LinkId>> {
        let relay = self.relays.get_mut(&node)?;
        let old = relay.up().map(|(old, _)| old);
        if let Some(old) = old {
            self.by_link.remove(&old);
        }
        relay.phase = LinkPhase::Up { link, remote, carrier };
        relay.failures = 0;
        relay.last_error = None;
        relay.attachments.clear();
        relay.pulls.clear();
        relay.told_refused.clear();
        relay.ticket_asked = false;
        relay.bind.reset();
        self.by_link.insert(link, node);
        Some(old)
    }

    pub(super) fn link_failed(&mut self, now: Now, node: &NodeId, error: &str) {
        if let Some(relay) = self.relays.get_mut(node)
            && relay.up().is_none()
        {
            relay.fail(now, Some(error));
        }
    }

    /// A link of ours is gone: returns its relay.
    pub(super) fn link_down(&mut self, now: Now, link: LinkId) -> Option<NodeId> {
        let node = self.by_link.remove(&link)?;
        if let Some(relay) = self.relays.get_mut(&node) {
            relay.attachments.clear();
            relay.pulls.clear();
            relay.ticket_asked = false;
            relay.bind.reset();
            relay.fail(now, Some("connection lost"));
        }
        Some(node)
    }

    /// Our address is another one, most likely: every relay is told at once.
    pub(super) fn rebind(&mut self, now: Now) {
        for relay in self.relays.values_mut() {
            relay.bind.again(now);
            // What failed over the old uplink may work over the new one: no pause is worth waiting for.
            relay.failures = 0;
            if let LinkPhase::Idle { due_us } = &mut relay.phase {
                *due_us = now.mono_us;
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.relays.values().filter_map(RelayLink::next_due).min()
    }
}
