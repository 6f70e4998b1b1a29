//! Who may write: a function of the owner's chain alone, so no admin can take part in deciding it.

use std::collections::BTreeMap;

use netflow_wire::NodeId;

use super::body::EntryBody;
use super::chain::End;
use super::entry::{Entry, MergeKey};
use super::limits::{MAX_ADMINS, MAX_ADMINS_EVER};

/// What the owner said about one admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Office {
    /// The entry that appointed it.
    since: MergeKey,
    /// The entry that removed it, and where its chain ends.
    until: Option<(MergeKey, End)>,
}

/// Admins, in office and removed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Authority {
    appointments: BTreeMap<NodeId, Office>,
    in_office: usize,
}

impl Authority {
    /// Was this node ever appointed? Entries of a removed admin count up to the end the owner named.
    pub(super) fn was_appointed(&self, node: &NodeId) -> bool {
        self.appointments.contains_key(node)
    }

    pub(super) fn is_admin(&self, node: &NodeId) -> bool {
        self.appointments.get(node).is_some_and(|office| office.until.is_none())
    }

    /// Where the owner ended this node's chain, if it did.
    pub(super) fn end_of(&self, node: &NodeId) -> Option<End> {
        self.appointments.get(node).and_then(|office| office.until).map(|(_, end)| end)
    }

    pub(super) fn admins(&self) -> impl Iterator<Item = &NodeId> {
        self.appointments.iter().filter(|(_, office)| office.until.is_none()).map(|(node, _)| node)
    }

    /// Where the owner appointed this node, and where it removed it again.
    pub(super) fn term_of(&self, node: &NodeId) -> Option<(MergeKey, Option<MergeKey>)> {
        self.appointments.get(node).map(|office| (office.since, office.until.map(|(key, _)| key)))
    }

    /// Everyone ever appointed.
    pub(super) fn ever(&self) -> impl Iterator<Item = &NodeId> {
        self.appointments.keys()
    }

    /// Applies one entry of the owner's chain; entries about other things change nothing.
    pub(super) fn apply(&mut self, entry: &Entry) -> Result<(), &'static str> {
        if let EntryBody::AdminAdd { node } = &entry.body {
            return self.appoint(*node, entry.merge_key());
        }
        if let EntryBody::AdminRemove { node, last } = &entry.body {
            return self.remove(node, entry.merge_key(), *last);
        }
        Ok(())
    }

    fn appoint(&mut self, node: NodeId, since: MergeKey) -> Result<(), &'static str> {
        match self.appointments.get(&node) {
            Some(Office { until: None, .. }) => return Err("the node is an admin already"),
            // Its chain has ended. One that went on would be indistinguishable from a fork.
            Some(Office { until: Some(_), .. }) => {
                return Err("a removed admin cannot be appointed again: give the router new keys first");
            }
            None => {}
        }
        if self.in_office >= MAX_ADMINS || self.appointments.len() >= MAX_ADMINS_EVER {
            return Err("the network has as many admins as the log allows (32 at a time, 255 ever)");
        }
        self.appointments.insert(node, Office { since, until: None });
        self.in_office += 1;
        Ok(())
    }

    fn remove(&mut self, node: &NodeId, key: MergeKey, last: End) -> Result<(), &'static str> {
        match self.appointments.get_mut(node) {
            Some(Office { until: until @ None, .. }) => {
                *until = Some((key, last));
                self.in_office -= 1;
                Ok(())
            }
            _ => Err("the node is not an admin"),
        }
    }
}
