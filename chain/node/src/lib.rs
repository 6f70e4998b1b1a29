//! The chain daemon as a library: what `netchaind` is wired from (docs/spec/chain.md).

pub mod mempool;
