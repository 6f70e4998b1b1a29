//! Signing changes of one's own.

use ed25519_dalek::SigningKey;
use netflow_wire::NodeId;

use super::NetworkLog;
use crate::netlog::body::EntryBody;
use crate::netlog::chain::Chain;
use crate::netlog::entry::{Entry, EntryHash, SignedEntry};
use crate::netlog::limits::MAX_LAMPORT;
use crate::netlog::outcome::LogError;
use crate::netlog::sync::ShortHead;
use crate::time::Now;

impl NetworkLog {
    /// Signs a change and inserts it, if every replica that holds the same log applies it. The raw entry is to be persisted and spread.
    ///
    /// # Errors
    /// [`LogError`]; nothing changed. [`LogError::Void`] carries the reason for people.
    pub fn author(&mut self, key: &SigningKey, body: EntryBody, now: Now) -> Result<Vec<u8>, LogError> {
        let author = key.verifying_key().to_bytes();
        self.check_author(&author, &body)?;
        let chain = self.chains.get(&author);
        let (seq, prev, own) = chain.map_or((0, EntryHash([0; 32]), 0), |chain| {
            let prev = chain.last().map_or(EntryHash([0; 32]), |(_, hash)| hash);
            (chain.next_seq(), prev, chain.last_lamport())
        });
        // An admin may have set its clock to the highest value. Then order among authors is lost, but not the way to remove that admin.
        let lamport = if self.highest_lamport < MAX_LAMPORT { self.highest_lamport + 1 } else { own + 1 };
        let entry = Entry { network: self.network, author, seq, prev, lamport, unix_s: now.unix_s, body };
        let signed = SignedEntry::sign(key, &entry)?;
        self.apply_own(&signed)?;
        if let Err(error) = self.place(&signed) {
            // Only a limit of the chain gets here; the state was ahead of the chain.
            self.replay();
            return Err(error);
        }
        Ok(signed.into_parts().2)
    }

    fn check_author(&self, author: &[u8; 32], body: &EntryBody) -> Result<(), LogError> {
        let owner = self.owner.ok_or(LogError::NoGenesis)?;
        let node = NodeId(*author);
        let is_admin = self.authority.is_admin(&node) && !body.owner_only() && !self.state.is_revoked(&node);
        if owner != *author && !is_admin {
            return Err(LogError::NotAuthorized);
        }
        if self.chains.get(author).is_some_and(Chain::is_frozen) {
            return Err(LogError::Void("this key signed two entries for one place (a restored backup?) and is frozen"));
        }
        if self.chains.get(author).is_some_and(Chain::lags) {
            return Err(LogError::Void(
                "this key has signed entries that are not here yet (a restored backup?): sync first, else it would be frozen",
            ));
        }
        Ok(())
    }

    /// Applies a change about to be placed, or says why every replica would void it.
    fn apply_own(&mut self, signed: &SignedEntry) -> Result<(), LogError> {
        let key = signed.entry().merge_key();
        if self.applied.is_none_or(|last| last < key) {
            self.state.apply(signed).map_err(LogError::Void)?;
            self.applied = Some(key);
            return Ok(());
        }
        // Only with lamport clocks at their end does an own entry not sort last.
        self.state.clone().apply(signed).map_err(LogError::Void)
    }

    /// What ends an admin's office: its chain counts up to the last entry known here.
    pub fn admin_remove_body(&self, node: &NodeId) -> EntryBody {
        EntryBody::AdminRemove { node: *node, last: self.chains.get(&node.0).and_then(Chain::last) }
    }

    /// What revokes a node: its office as an admin first, if it has one (owner only), then its membership.
    pub fn revoke_bodies(&self, node: &NodeId) -> Vec<EntryBody> {
        let office = self.authority.is_admin(node).then(|| self.admin_remove_body(node));
        office.into_iter().chain([EntryBody::MemberRevoke { node: *node }]).collect()
    }

    /// The first place of this author's chain that a replica with these heads holds and this one does not; `None` when they show nothing newer.
    ///
    /// Heads are claims: a node that asks before it signs with a key that came out of a backup should ask all it can reach, and let people
    /// overrule it. Entries themselves are proof, and [`NetworkLog::author`] refuses without being asked once one was seen that does not fit yet.
    pub fn lags(&self, author: &[u8; 32], theirs: &[ShortHead]) -> Option<u32> {
        let next = self.chains.get(author).map_or(0, Chain::next_seq);
        let newer = |head: &ShortHead| author.starts_with(&head.author) && head.seq >= next;
        let settled = self.chains.get(author).is_some_and(|chain| chain.is_frozen() || chain.is_ended());
        (!settled && theirs.iter().any(newer)).then_some(next)
    }
}
