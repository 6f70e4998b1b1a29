//! Who may send what to whom inside a network: default deny, rules by tag, replies of an allowed flow pass.
//!
//! Both ends check every packet, the sender before sealing and the receiver after opening it, so a member with a changed program gains nothing.

mod engine;
mod flows;
mod packet;
mod rules;

pub use engine::{Denied, Engine, owner_of};
pub use rules::{Action, Policy, Proto, Rule, Selector};

#[cfg(test)]
mod tests;
