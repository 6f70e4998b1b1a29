//! The reference: could there be a direct path between two members, judged from the boxes alone? Knows nothing of the code
//! under test; what it calls possible is argued case by case.

use crate::nat::{Filtering, Mapping, NatKind, Ports};
use crate::net::{HostId, INTERNET, SegmentId};
use crate::world::World;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direct {
    /// There is none.
    Never,
    /// With patience, or luck, or against the interests of a box.
    May,
    /// Ordinary means find it.
    Must,
}

/// How the world sees a host's main socket over IPv4.
#[derive(Clone, Copy, Debug)]
struct Side {
    segment: SegmentId,
    /// The same port for everybody.
    stable: bool,
    /// The same port for every port of one address.
    stable_for_one: bool,
    /// Its port can be told before it is used.
    foreseeable: bool,
    /// Who may send to it after it has sent something somewhere.
    filtering: Filtering,
    /// A port mapping lets everybody in.
    open: bool,
    /// Boxes that cut long flows make a path come and go.
    unsteady: bool,
}

impl Side {
    fn can_be_guessed(&self) -> bool {
        self.stable_for_one && self.filtering != Filtering::AddressAndPortDependent
    }

    fn lets_all_in(&self) -> bool {
        self.filtering == Filtering::EndpointIndependent
    }
}

/// Could the two be direct, over the interfaces that are up now?
#[must_use]
pub fn direct(world: &World, a: HostId, b: HostId) -> Direct {
    same_segment(world, a, b).max(over_v6(world, a, b)).max(over_v4(world, a, b))
}

fn up(world: &World, host: HostId) -> impl Iterator<Item = &crate::host::Interface> {
    world.hosts[host].interfaces.iter().filter(|interface| interface.up)
}

/// Two hosts of one home see each other's addresses. The path is only demanded where both also use that home's way out: the
/// rule about private addresses wants the same outer address on both sides as evidence.
fn same_segment(world: &World, a: HostId, b: HostId) -> Direct {
    let shared = up(world, a).any(|x| {
        let near = |y: &crate::host::Interface| {
            y.segment == x.segment
                && x.segment != INTERNET
                && (x.v4.is_some() && y.v4.is_some() || x.v6.is_some() && y.v6.is_some())
        };
        up(world, b).any(near)
    });
    let first = |host: HostId| up(world, host).find(|it| it.v4.is_some()).map(|it| it.segment);
    let blocked = |host: HostId| up(world, host).any(|it| blocks(world, it.segment));
    match (shared, first(a) == first(b) && first(a).is_some()) {
        (true, true) if !blocked(a) && !blocked(b) => Direct::Must,
        (true, _) => Direct::May,
        (false, _) => Direct::Never,
    }
}

/// Stateful firewalls open from inside, and addresses are what they are: simultaneous open always works.
fn over_v6(world: &World, a: HostId, b: HostId) -> Direct {
    let first = |host: HostId| up(world, host).find(|it| it.v6.is_some());
    match (first(a), first(b)) {
        (Some(x), Some(y)) if !blocks(world, x.segment) && !blocks(world, y.segment) => Direct::Must,
        _ => Direct::Never,
    }
}

fn over_v4(world: &World, a: HostId, b: HostId) -> Direct {
    let (Some(x), Some(y)) = (side(world, a), side(world, b)) else { return Direct::Never };
    if shares_a_box(world, &x, &y) {
        // By hairpin, or on the segment between a carrier's box and its homes.
        return Direct::May;
    }
    let best = match (x.open || x.stable, y.open || y.stable) {
        (true, true) => Direct::Must,
        (true, false) => one_hard(&x),
        (false, true) => one_hard(&y),
        (false, false) if x.foreseeable || y.foreseeable => Direct::May,
        // A box that lets everybody in answers from another port than the one it was reached at; where the other side lets that in, and
        // the port stays the same for an address, the two find each other.
        (false, false) if x.lets_all_in() || y.lets_all_in() => Direct::May,
        // One port for all of the peer's ports, and all of them let in: whoever guesses it once has it for good.
        (false, false) if x.can_be_guessed() || y.can_be_guessed() => Direct::May,
        (false, false) => Direct::Never,
    };
    if x.unsteady || y.unsteady { best.min(Direct::May) } else { best }
}

/// The hard side's port is unknown; its address is not. A stable side that lets in whoever comes from an address it has sent
/// to is reached at once, another one has to be guessed at.
fn one_hard(stable: &Side) -> Direct {
    if stable.open || stable.filtering != Filtering::AddressAndPortDependent { Direct::Must } else { Direct::May }
}

fn shares_a_box(world: &World, x: &Side, y: &Side) -> bool {
    let boxes = world.net.boxes(y.segment);
    world.net.boxes(x.segment).iter().any(|gateway| boxes.contains(gateway))
}

fn blocks(world: &World, segment: SegmentId) -> bool {
    world.net.boxes(segment).into_iter().any(|gateway| world.net.gateway(gateway).blocks_udp)
}

fn side(world: &World, host: HostId) -> Option<Side> {
    let segment = up(world, host).find(|it| it.v4.is_some())?.segment;
    if blocks(world, segment) {
        return None;
    }
    let boxes = world.net.boxes(segment);
    let mut kinds: Vec<NatKind> = boxes.iter().map(|gateway| world.net.gateway(*gateway).nat.kind).collect();
    // A node asks the nearest box for a mapping of its main port: that is one port for everybody and everybody's way in, whatever
    // the box does with other flows. Boxes behind it still do what they do.
    if let Some(near) = kinds.first_mut().filter(|near| near.maps_ports) {
        (near.mapping, near.filtering) = (Mapping::EndpointIndependent, Filtering::EndpointIndependent);
    }
    let stricter = |a: Filtering, b: Filtering| if rank(a) >= rank(b) { a } else { b };
    Some(Side {
        segment,
        stable: kinds.iter().all(|kind| kind.mapping == Mapping::EndpointIndependent),
        stable_for_one: kinds.iter().all(|kind| kind.mapping != Mapping::AddressAndPortDependent),
        foreseeable: kinds
            .iter()
            .all(|kind| kind.mapping == Mapping::EndpointIndependent || kind.ports == Ports::Preserving),
        filtering: kinds.iter().map(|kind| kind.filtering).fold(Filtering::EndpointIndependent, stricter),
        open: kinds.len() == 1 && kinds.iter().all(|kind| kind.maps_ports),
        unsteady: kinds.iter().any(|kind| kind.absolute_us.is_some()),
    })
}

const fn rank(filtering: Filtering) -> u8 {
    match filtering {
        Filtering::EndpointIndependent => 0,
        Filtering::AddressDependent => 1,
        Filtering::AddressAndPortDependent => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{FINE, PLAIN, Plug, SECOND, Scenario, Site};

    #[test]
    fn a_mapped_port_makes_a_random_box_stable_and_the_carrier_behind_it_still_filters() {
        let random = NatKind { mapping: Mapping::AddressAndPortDependent, ports: Ports::Random, ..PLAIN };
        let judge = |home: NatKind, carrier: NatKind| {
            let mut scenario = Scenario::pair(Some(carrier), Some(random), SECOND);
            scenario.sites.push(Site { nat: home, behind: Some(0), v6: false, blocks_udp: false, place: FINE });
            scenario.members[0].plugs = vec![Plug::Site(2)];
            direct(&World::new(scenario, false), 0, 1)
        };
        assert_eq!(judge(random, PLAIN), Direct::Never, "both random");
        let mapped = NatKind { maps_ports: true, ..random };
        assert_eq!(judge(mapped, PLAIN), Direct::May, "one port for everybody, behind a filter");
        assert_eq!(judge(mapped, random), Direct::Never, "the carrier's box is random all the same");
        let lax = NatKind { filtering: Filtering::EndpointIndependent, ..PLAIN };
        assert_eq!(judge(mapped, lax), Direct::Must, "nothing filters");
    }
}
