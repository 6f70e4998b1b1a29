//! Relays of the configuration by name: what a new network waits for.
//!
//! A network is created with the relays there are at that moment, and a machine that has just started has none yet: a network made
//! then would have none for good, without a word.

use crate::config::RelayAddress;

/// How long a new network waits for the names: longer than a resolver waits for its first server (5 s), and with the wait for a relay
/// still within the patience of netctl.
pub(super) const LOOKUP_US: u64 = 6_000_000;

/// How the look-up stands.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Nothing has to be looked up, or something was found.
    #[default]
    Done,
    /// No answer yet.
    Open,
    /// None of the names has an answer so far, and why not; it goes on.
    Missing(String),
}

impl Lookup {
    /// Begins. Without a name there is nothing to wait for but one turn of the loop.
    pub(super) fn of(relays: &[RelayAddress]) -> Self {
        if relays.is_empty() { Self::Done } else { Self::Open }
    }

    /// One round is over.
    pub(super) fn answered(&mut self, any_found: bool, missing: &[String]) {
        *self = match missing.first() {
            Some(why) if !any_found => Self::Missing(why.clone()),
            Some(_) | None => Self::Done,
        };
    }

    /// Are there relays to name, as far as there will be any?
    pub(super) fn is_done(&self) -> bool {
        *self == Self::Done
    }

    /// Why there is none.
    pub(super) fn problem(&self) -> &str {
        match self {
            Self::Missing(why) => why,
            Self::Open | Self::Done => "the relays of the configuration are still being looked up",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_waits_for_the_first_relay_that_is_found_and_no_longer() {
        let relay = "nf1qqqq@relay.example:4790".parse::<RelayAddress>();
        assert!(Lookup::of(&[]).is_done(), "without relays nothing will come");
        if let Ok(relay) = relay {
            assert_eq!(Lookup::of(&[relay]), Lookup::Open);
        }
        let missing = ["cannot look up relay.example:4790; no such host".to_owned()];
        let mut lookup = Lookup::Open;
        lookup.answered(false, &missing);
        assert!(!lookup.is_done() && lookup.problem().contains("relay.example"));
        lookup.answered(true, &missing);
        assert!(lookup.is_done(), "one of two is enough to begin with");
        lookup.answered(false, &[]);
        assert!(lookup.is_done());
    }
}
