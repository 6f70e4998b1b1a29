//! Ways over several relays, computed and nothing else: what relays told of their links, and the best paths through them.
//!
//! Spec: `docs/spec/routing.md`. No input of a stranger comes here: adverts come from relays this one's operator named, signed by
//! the relay they are about. What they say is still only a hint; the ends of a path measure it and choose for themselves.

mod advert;
mod paths;
mod table;
#[cfg(test)]
mod tests;

pub use advert::Verified;
pub(crate) use advert::sign;
pub use paths::{Class, best_paths};
pub use table::{Accepted, LinkQuality, LinkTable};
