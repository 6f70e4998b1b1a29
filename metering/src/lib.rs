//! Proof of Valuable Flow (NFC-PoVF/1) without IO.
#![forbid(unsafe_code)]

pub mod algo;
pub mod amount;
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
