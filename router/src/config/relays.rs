//! Relays as people write them: `nf1...@host:port`.

use std::net::SocketAddr;
use std::str::FromStr;

use netflow_overlay::identity::{format_node_id, parse_node_id};
use netflow_wire::{NodeId, RelayInfo, Tier};

/// Where a relay is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RelayName {
    Address(SocketAddr),
    /// A DNS name with port; looked up again whenever the configuration is read.
    Dns(String),
}

/// A relay and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RelayAddress {
    pub(crate) node: NodeId,
    pub(crate) name: RelayName,
}

impl FromStr for RelayAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hint = "a relay is written nf1...@host:port, as `netctl status` on the relay shows it";
        let (node, place) = text.split_once('@').ok_or_else(|| format!("\"{text}\" has no @; {hint}"))?;
        let node = parse_node_id(node).map_err(|error| format!("\"{node}\": {error}; {hint}"))?;
        if let Ok(address) = place.parse() {
            return Ok(Self { node, name: RelayName::Address(address) });
        }
        let port =
            place.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            Some(1..) => Ok(Self { node, name: RelayName::Dns(place.to_owned()) }),
            _ => Err(format!("\"{place}\" is not host:port; {hint}")),
        }
    }
}

impl RelayAddress {
    /// For a place where nothing may wait.
    pub(crate) fn without_lookup(self) -> Result<RelayInfo, String> {
        match self.name {
            RelayName::Address(address) => Ok(RelayInfo { node: self.node, tier: Tier::Central, addrs: vec![address] }),
            RelayName::Dns(name) => Err(format!("{name} was not looked up")),
        }
    }

    /// Looks the name up. At most four addresses are kept: a relay needs one per family, and a DNS answer is a stranger's.
    pub(crate) async fn resolve(&self) -> Result<RelayInfo, String> {
        const MAX_ADDRESSES: usize = 4;
        let addrs = match &self.name {
            RelayName::Address(address) => vec![*address],
            RelayName::Dns(name) => {
                let found =
                    tokio::net::lookup_host(name).await.map_err(|error| format!("cannot look up {name}; {error}"))?;
                found.take(MAX_ADDRESSES).collect()
            }
        };
        Ok(RelayInfo { node: self.node, tier: Tier::Central, addrs })
    }
}

/// Looks names up; what is written several times with several addresses is one relay with all of them. With it a line for each name
/// that has no answer (yet).
pub(crate) async fn resolve_all(names: &[RelayAddress]) -> (Vec<RelayInfo>, Vec<String>) {
    let (mut found, mut missing) = (Vec::<RelayInfo>::new(), Vec::new());
    for name in names {
        match name.resolve().await {
            Ok(relay) => match found.iter_mut().find(|known| known.node == relay.node) {
                Some(known) => known.addrs.extend(relay.addrs),
                None => found.push(relay),
            },
            Err(error) => {
                tracing::warn!(error, "relay of the configuration");
                missing.push(error);
            }
        }
    }
    (found, missing)
}

/// `nf1...@address:port` for every address of a relay.
pub(crate) fn format_relay(relay: &RelayInfo) -> Vec<String> {
    let node = format_node_id(&relay.node);
    relay.addrs.iter().map(|address| format!("{node}@{address}")).collect()
}
