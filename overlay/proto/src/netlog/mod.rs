//! The signed log of a network: everything its members must agree on, written by the owner and the admins it appointed.
//!
//! Spec: `docs/spec/network-log.md`. In one paragraph: every author keeps a hash chain of signed entries ([`entry`]); a replica keeps the chains
//! it could verify ([`NetworkLog`]); the owner's chain alone decides who the authors are and where a removed one's chain ends; the entries of all
//! valid chains in the order (lamport, author, seq) are replayed into a [`NetworkState`]. So replicas that hold the same chains agree, in whatever
//! order the entries came, and nobody has to trust whoever stored or carried them.

mod admission;
mod apply;
mod authority;
mod body;
mod chain;
mod check;
pub mod entry;
pub mod limits;
mod log;
mod outcome;
mod state;
mod sync;
mod syntax;

pub use admission::{Admission, JoinError};
pub use body::{EntryBody, GenesisBody, MemberAddBody};
pub use check::BodyError;
pub use entry::{EntryError, EntryHash, SignedEntry, network_id};
pub use log::{GenesisParams, NetworkLog};
pub use outcome::{Inserted, LogError};
pub use state::{Invite, InviteStatus, Member, NetworkState, default_ipv4_prefix, ipv6_address, ipv6_prefix, to_name};
pub use sync::{ShortHead, ShortRange};
pub use syntax::{LabelError, LabelFault, check_name, check_tag, valid_name, valid_tag};

#[cfg(test)]
mod tests;
