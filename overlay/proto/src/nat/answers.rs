//! What one round of STUN says about the mapping.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use netflow_wire::NodeId;
use netflow_wire::inner::Mapping;

/// One address of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server {
    pub(crate) relay: NodeId,
    pub(crate) addr: SocketAddr,
    /// The address its data path uses, not a second port of it.
    pub(crate) main: bool,
}

/// The answer of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) server: Server,
    /// Our main port as it sees it.
    pub(crate) mapped: SocketAddr,
    pub(crate) rtt_us: u64,
}

/// The mapping class that one round of answers shows; IPv4 when there are such.
pub(crate) fn mapping_class(answers: &[Answer]) -> Mapping {
    let v4: Vec<&Answer> = answers.iter().filter(|answer| answer.server.addr.is_ipv4()).collect();
    let of_family = if v4.is_empty() { answers.iter().collect() } else { v4 };
    let servers: BTreeSet<IpAddr> = of_family.iter().map(|answer| answer.server.addr.ip()).collect();
    let mapped: BTreeSet<SocketAddr> = of_family.iter().map(|answer| answer.mapped).collect();
    // Two ports of one server tell address-dependent from port-dependent.
    let by_port = of_family.iter().any(|one| {
        let mut same_host = of_family.iter().filter(|two| two.server.addr.ip() == one.server.addr.ip());
        same_host.any(|two| two.mapped != one.mapped)
    });
    let two_ports = of_family.len() > servers.len();
    match (mapped.len(), servers.len()) {
        (0, _) => Mapping::Unknown,
        (1, 1) if !two_ports => Mapping::Unknown,
        // Two ports of one relay cannot tell it from address-dependent mapping, which hardly any NAT has.
        (1, _) => Mapping::EndpointIndependent,
        _ if !by_port && two_ports => Mapping::AddressDependent,
        _ => Mapping::AddressAndPortDependent,
    }
}

/// Relays that answered over a family, by the address their data path uses.
fn of_family(answers: &[Answer], v4: bool) -> impl Iterator<Item = &Answer> {
    answers.iter().filter(move |answer| answer.server.main && answer.server.addr.is_ipv4() == v4)
}

/// The relay the fresh port of a filter test talks to.
pub(crate) fn first(answers: &[Answer], v4: bool) -> Option<Answer> {
    of_family(answers, v4).next().copied()
}

/// A relay at another address, which that port has never talked to.
pub(crate) fn other(answers: &[Answer], v4: bool) -> Option<Answer> {
    let first = first(answers, v4)?.server.addr.ip();
    of_family(answers, v4).find(|answer| answer.server.addr.ip() != first).copied()
}

/// Reflexive addresses of the main port, each once.
pub(crate) fn reflexive(answers: &[Answer]) -> Vec<SocketAddr> {
    let mut list: Vec<SocketAddr> = Vec::new();
    for answer in answers {
        if !list.contains(&answer.mapped) {
            list.push(answer.mapped);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers as (server, what it saw).
    fn class(answers: &[(&str, &str)]) -> Mapping {
        let answer = |(server, mapped): &(&str, &str)| {
            let server = Server { relay: NodeId([1; 32]), addr: server.parse().unwrap(), main: true };
            Answer { server, mapped: mapped.parse().unwrap(), rtt_us: 1 }
        };
        mapping_class(&answers.iter().map(answer).collect::<Vec<_>>())
    }

    #[test]
    fn the_class_of_a_mapping_is_what_its_servers_saw_and_no_more() {
        use Mapping::{AddressAndPortDependent, AddressDependent, EndpointIndependent, Unknown};
        let (a, a2, b) = ("192.0.2.1:4790", "192.0.2.1:443", "192.0.2.2:4790");
        let (x, y, z) = ("203.0.113.1:1000", "203.0.113.1:2000", "203.0.113.1:3000");
        assert_eq!(class(&[]), Unknown);
        assert_eq!(class(&[(a, x)]), Unknown);
        assert_eq!(class(&[(a, x), (a2, x)]), EndpointIndependent);
        assert_eq!(class(&[(a, x), (b, x)]), EndpointIndependent);
        assert_eq!(class(&[(a, x), (b, y)]), AddressAndPortDependent);
        assert_eq!(class(&[(a, x), (a2, x), (b, y)]), AddressDependent);
        assert_eq!(class(&[(a, x), (a2, y), (b, z)]), AddressAndPortDependent);
        assert_eq!(class(&[(a, x), (a2, y)]), AddressAndPortDependent);
        // A family without translation says nothing about the other one.
        let v6 = ("[2001:db8::1]:4790", "[2001:db8:9::9]:4790");
        assert_eq!(class(&[(a, x), (b, y), v6]), AddressAndPortDependent);
        assert_eq!(class(&[v6, ("[2001:db8::2]:4790", "[2001:db8:9::9]:4790")]), EndpointIndependent);
    }
}
