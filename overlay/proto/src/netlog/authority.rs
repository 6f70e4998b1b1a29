//! Who may write: a function of the owner's chain alone, so no admin can take part in deciding it.

use std::collections::BTreeMap;

use netflow_wire::NodeId;

use super::body::EntryBody;
use super::chain::End;
use super::limits::{MAX_ADMINS, MAX_ADMINS_EVER};

/// Admins, in office and removed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Authority {
    /// `None`: in office. `Some`: removed, and where its chain ends.
    appointments: BTreeMap<NodeId, Option<End>>,
    in_office: usize,
}

impl Authority {
    /// Was this node ever appointed? Entries of a removed admin count up to the end the owner named.
    pub(super) fn was_appointed(&self, node: &NodeId) -> bool {
        self.appointments.contains_key(node)
    }

    pub(super) fn is_admin(&self, node: &NodeId) -> bool {
        self.appointments.get(node) == Some(&None)
    }

    /// Where the owner ended this node's chain, if it did.
    pub(super) fn end_of(&self, node: &NodeId) -> Option<End> {
        self.appointments.get(node).copied().flatten()
    }

    pub(super) fn admins(&self) -> impl Iterator<Item = &NodeId> {
        self.appointments.iter().filter(|(_, end)| end.is_none()).map(|(node, _)| node)
    }

    /// Everyone ever appointed.
    pub(super) fn ever(&self) -> impl Iterator<Item = &NodeId> {
        self.appointments.keys()
    }

    /// Applies one entry of the owner's chain; entries about other things change nothing.
    pub(super) fn apply(&mut self, body: &EntryBody) -> Result<(), &'static str> {
        if let EntryBody::AdminAdd { node } = body {
            return self.appoint(*node);
        }
        if let EntryBody::AdminRemove { node, last } = body {
            return self.remove(node, *last);
        }
        Ok(())
    }

    fn appoint(&mut self, node: NodeId) -> Result<(), &'static str> {
        match self.appointments.get(&node) {
            Some(None) => return Err("the node is an admin already"),
            // Its chain has ended. One that went on would be indistinguishable from a fork.
            Some(Some(_)) => return Err("a removed admin cannot be appointed again: give the router new keys first"),
            None => {}
        }
        if self.in_office >= MAX_ADMINS || self.appointments.len() >= MAX_ADMINS_EVER {
            return Err("the network has as many admins as the log allows (32 at a time, 255 ever)");
        }
        self.appointments.insert(node, None);
        self.in_office += 1;
        Ok(())
    }

    fn remove(&mut self, node: &NodeId, last: End) -> Result<(), &'static str> {
        match self.appointments.get_mut(node) {
            Some(end @ None) => {
                *end = Some(last);
                self.in_office -= 1;
                Ok(())
            }
            _ => Err("the node is not an admin"),
        }
    }
}
