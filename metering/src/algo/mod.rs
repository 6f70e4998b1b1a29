//! The five named algorithms and the decay curve: pure functions over integers, floor division throughout.

pub mod curve;
pub mod discount;
pub mod exchange;
pub mod hedge;
pub mod logm;
pub mod reward;
