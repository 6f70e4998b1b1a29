//! Accounts of the chain on this machine: keys in Ethereum's keystore files, transactions signed with them.
//!
//! The keys never leave this process unencrypted, except into a file of mode 0600 that the user asks for. What goes to a
//! node is a signed transaction and nothing else.

pub(crate) mod account;
pub(crate) mod amount;
pub(crate) mod keystore;
pub(crate) mod store;
pub(crate) mod transaction;
