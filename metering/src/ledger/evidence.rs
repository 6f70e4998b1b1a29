//! Two signed statements about one thing are a proof by themselves.

use crate::ids::{Epoch, FlowId, PartyKey, Slot};
use crate::wire::{HopClaim, Object, Signed, SlotRoot, View, Voucher, WireError};

/// A signed object its signer may make once for each subject.
pub trait Statement: Object {
    /// What the statement is about.
    type Subject: Eq;

    /// What this statement is about.
    fn subject(&self) -> Self::Subject;
}

impl Statement for SlotRoot {
    type Subject = (PartyKey, Slot);

    fn subject(&self) -> Self::Subject {
        (self.node, self.slot)
    }
}

impl Statement for HopClaim {
    type Subject = (PartyKey, Epoch, FlowId);

    fn subject(&self) -> Self::Subject {
        (self.node, self.epoch, self.flow)
    }
}

impl Statement for Voucher {
    type Subject = ([u8; 32], Epoch, FlowId, u64);

    fn subject(&self) -> Self::Subject {
        (self.channel, self.epoch, self.flow, self.seq)
    }
}

/// Two different statements of one signer about one subject.
#[derive(Clone, PartialEq, Debug)]
pub struct Equivocation<T> {
    first: Signed<T>,
    second: Signed<T>,
}

impl<T: Statement> Equivocation<T> {
    /// The proof, when it is one: same signer, same subject, different bodies. Two signatures on one body are none.
    #[must_use]
    pub fn new(first: Signed<T>, second: Signed<T>) -> Option<Self> {
        let is_proof = first.signer() == second.signer()
            && first.body().subject() == second.body().subject()
            && first.body() != second.body();
        is_proof.then_some(Self { first, second })
    }

    /// Who is convicted.
    #[must_use]
    pub const fn culprit(&self) -> &PartyKey {
        self.first.signer()
    }

    /// Both statements, as they were signed.
    #[must_use]
    pub fn to_bytes(&self) -> [Vec<u8>; 2] {
        [self.first.to_bytes(), self.second.to_bytes()]
    }

    /// Checks a proof that came from outside against `signer`. `None` inside `Ok` when both are valid and prove nothing.
    ///
    /// # Errors
    /// [`WireError`] when one of the statements is malformed or not the signer's.
    pub fn from_bytes(statements: [&[u8]; 2], signer: &PartyKey) -> Result<Option<Self>, WireError> {
        let [first, second] = statements;
        let first = View::<T>::new_checked(first)?.verify(signer)?;
        let second = View::<T>::new_checked(second)?.verify(signer)?;
        Ok(Self::new(first, second))
    }
}
