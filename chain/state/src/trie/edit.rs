//! Inserting and removing.

use alloy_trie::Nibbles;

use super::{Child, Kind, Node, Trie, TrieSource};
use crate::StateError;

impl Child {
    fn fresh(kind: Kind) -> Self {
        Self::Node(Box::new(Node { kind, clean: None }))
    }
}

/// Puts `child` under the non-empty path `suffix`, or returns it as it is.
fn under(suffix: Nibbles, child: Child) -> Child {
    if suffix.is_empty() { child } else { Child::fresh(Kind::Extension { suffix, child }) }
}

/// Hangs something at `rest` below a branch: a child, or the branch's own value when the path is at its end.
fn hang(children: &mut [Child; 16], value: &mut Option<Vec<u8>>, rest: &Nibbles, leaf: Vec<u8>) {
    match rest.get(0).and_then(|nibble| children.get_mut(usize::from(nibble))) {
        Some(child) => *child = Child::fresh(Kind::Leaf { suffix: rest.slice(1..), value: leaf }),
        None => *value = Some(leaf),
    }
}

impl<S: TrieSource> Trie<S> {
    /// Inserts below `child`, which stands at the first `depth` nibbles of `key`. Says whether anything changed.
    pub(super) fn insert_at(
        &mut self,
        child: &mut Child,
        depth: usize,
        key: &Nibbles,
        new: Vec<u8>,
    ) -> Result<bool, StateError> {
        self.resolve(child, &key.slice(..depth))?;
        let rest = key.slice(depth..);
        let Child::Node(node) = child else {
            *child = Child::fresh(Kind::Leaf { suffix: rest, value: new });
            return Ok(true);
        };
        let changed = match &mut node.kind {
            Kind::Leaf { suffix, value } if *suffix == rest => {
                let changed = *value != new;
                *value = new;
                changed
            }
            Kind::Extension { suffix, child } if rest.starts_with(suffix) => {
                let depth = depth + suffix.len();
                self.insert_at(child, depth, key, new)?
            }
            Kind::Branch { children, value } => {
                match rest.get(0).and_then(|nibble| children.get_mut(usize::from(nibble))) {
                    Some(child) => self.insert_at(child, depth + 1, key, new)?,
                    None => value.replace(new.clone()) != Some(new),
                }
            }
            Kind::Leaf { .. } | Kind::Extension { .. } => {
                *child = split(std::mem::take(child), &rest, new);
                return Ok(true);
            }
        };
        if changed {
            node.clean = None;
        }
        Ok(changed)
    }

    /// Removes below `child`. Says whether anything changed.
    pub(super) fn remove_at(&mut self, child: &mut Child, depth: usize, key: &Nibbles) -> Result<bool, StateError> {
        self.resolve(child, &key.slice(..depth))?;
        let rest = key.slice(depth..);
        let Child::Node(node) = child else { return Ok(false) };
        let changed = match &mut node.kind {
            Kind::Leaf { suffix, .. } => {
                if *suffix == rest {
                    *child = Child::Empty;
                    return Ok(true);
                }
                false
            }
            Kind::Extension { suffix, child } => {
                let depth = depth + suffix.len();
                rest.starts_with(suffix) && self.remove_at(child, depth, key)?
            }
            Kind::Branch { children, value } => {
                match rest.get(0).and_then(|nibble| children.get_mut(usize::from(nibble))) {
                    Some(child) => self.remove_at(child, depth + 1, key)?,
                    None => value.take().is_some(),
                }
            }
        };
        if changed {
            node.clean = None;
            self.normalise(child, &key.slice(..depth))?;
        }
        Ok(changed)
    }

    /// Restores the shape after a removal below: no branch of one item, no extension before anything but a branch.
    fn normalise(&mut self, child: &mut Child, path: &Nibbles) -> Result<(), StateError> {
        let Child::Node(node) = child else { return Ok(()) };
        let (suffix, mut only) = match &mut node.kind {
            Kind::Leaf { .. } => return Ok(()),
            Kind::Extension { suffix, child } => (*suffix, std::mem::take(child)),
            Kind::Branch { children, value } => {
                let mut used = (0u8..).zip(children.iter_mut()).filter(|(_, child)| !matches!(child, Child::Empty));
                match (used.next(), used.next(), &value) {
                    (Some((nibble, only)), None, None) => (Nibbles::from_nibbles([nibble]), std::mem::take(only)),
                    (None, None, Some(_)) => {
                        let value = value.take().unwrap_or_default();
                        *child = Child::fresh(Kind::Leaf { suffix: Nibbles::new(), value });
                        return Ok(());
                    }
                    (None, None, None) => {
                        *child = Child::Empty;
                        return Ok(());
                    }
                    _ => return Ok(()),
                }
            }
        };
        self.resolve(&mut only, &path.join(&suffix))?;
        *child = match only {
            Child::Node(below) => match *below {
                Node { kind: Kind::Leaf { suffix: tail, value }, .. } => {
                    Child::fresh(Kind::Leaf { suffix: suffix.join(&tail), value })
                }
                Node { kind: Kind::Extension { suffix: tail, child }, .. } => {
                    Child::fresh(Kind::Extension { suffix: suffix.join(&tail), child })
                }
                branch @ Node { kind: Kind::Branch { .. }, .. } => under(suffix, Child::Node(Box::new(branch))),
            },
            Child::Empty | Child::Ref(_) => Child::Empty,
        };
        Ok(())
    }
}

/// Divides a leaf or extension that `rest` leaves on its way, and hangs the new value beside it.
fn split(old: Child, rest: &Nibbles, new: Vec<u8>) -> Child {
    let Child::Node(old) = old else { return old };
    let mut children: [Child; 16] = Default::default();
    let mut value = None;
    let common = match old.kind {
        Kind::Leaf { suffix, value: old } => {
            let common = suffix.common_prefix_length(rest);
            hang(&mut children, &mut value, &suffix.slice(common..), old);
            common
        }
        Kind::Extension { suffix, child } => {
            let common = suffix.common_prefix_length(rest);
            // The extension is longer than what is common, else the path would have gone through it.
            let nibble = suffix.get(common).unwrap_or_default();
            if let Some(place) = children.get_mut(usize::from(nibble)) {
                *place = under(suffix.slice(common + 1..), child);
            }
            common
        }
        branch @ Kind::Branch { .. } => return Child::fresh(branch),
    };
    hang(&mut children, &mut value, &rest.slice(common..), new);
    under(rest.slice(..common), Child::fresh(Kind::Branch { children, value }))
}
