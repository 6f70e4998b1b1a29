//! Proof of Valuable Flow (NFC-PoVF/1) without IO: what `docs/spec/povf.md` specifies, from the counter of a packet to
//! the minted coin.
//!
//! | module | owns |
//! |---|---|
//! | [`meter`] | counters and records of packets, a slot's commitment and its openings |
//! | [`wire`] | the objects nodes exchange, one encoding each, signatures |
//! | [`ledger`] | vouchers of payer and payee, claims of an epoch, proof of two statements |
//! | [`collect`] | a collector's batch of SlotRoots and the receipts for them |
//! | [`sample`], [`audit`], [`verdict`] | what is drawn, checked and flagged after the slot's key is known |
//! | [`algo`], [`settle`] | the five named algorithms, settlement of a flow and of an epoch |
//! | [`amount`], [`merkle`], [`hash`], [`ids`], [`params`] | arithmetic, trees, hashes, names, numbers |
//!
//! Invariants: no clock, no socket, no global; time and keys are arguments. No floating point. Every division rounds
//! down. Whatever comes from outside is a [`wire::View`] until its signature is checked. Every map and ring has a limit.
//! No input panics.
#![forbid(unsafe_code)]

pub mod algo;
pub mod amount;
pub mod audit;
pub mod collect;
pub mod hash;
pub mod ids;
pub mod ledger;
pub mod merkle;
pub mod meter;
pub mod params;
pub mod sample;
pub mod settle;
pub mod verdict;
pub mod wire;
