//! Where this machine stands in the world: addresses of its uplinks, the default gateway, and the news when either changes.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel's attributes are open lists; ours are the few that are named"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{IpVersion, MulticastGroup, new_multicast_connection};
use tokio::sync::watch;

use super::{Netlink, NetlinkError, TABLE_BASE, TABLE_COUNT, failed, route_destination, route_interface, route_table};

/// One change of an uplink is a burst of messages (link, addresses, routes): this long after the first, what is there is read once.
/// Short, because a path that died with an uplink is not replaced before.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Beginnings of the names of bridges that container and machine managers make for themselves: their addresses are the same on thousands of
/// machines and reach nobody outside. (`br-lan` of OpenWrt is a real LAN; Docker's `br-` is followed by twelve hex digits.)
const PRIVATE_BRIDGES: [&str; 8] = ["docker", "virbr", "lxcbr", "lxdbr", "cni", "flannel", "podman", "incusbr"];

/// An address others might reach this machine at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceAddress {
    /// The interface.
    pub name: String,
    /// The address.
    pub addr: IpAddr,
    /// Length of the prefix that is on the link.
    pub prefix_len: u8,
    /// Whether a default route of this address family leaves through the interface.
    pub has_default_route: bool,
}

/// The way out of the home network, over IPv4: the machine to ask for port mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gateway {
    /// Address of the gateway.
    pub gateway: Ipv4Addr,
    /// Our address on its link.
    pub source: Ipv4Addr,
}

impl Netlink {
    /// Addresses of interfaces that are up, without loopback, link-local and container-internal ones, in a fixed order. `ours` are the
    /// overlay's own interfaces, which are left out as well.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub async fn interface_addresses(&self, ours: &[&str]) -> Result<Vec<InterfaceAddress>, NetlinkError> {
        let usable = self.usable_links(ours).await?;
        let defaults = self.default_routes().await?;
        let addresses: Vec<AddressMessage> =
            self.handle.address().get().execute().try_collect().await.map_err(failed("list addresses"))?;
        let mut found = addresses
            .iter()
            .filter_map(|message| {
                let (_, name) = usable.iter().find(|(index, _)| *index == message.header.index)?;
                let addr = settled_address(message)?;
                let is_default =
                    |route: &DefaultRoute| route.interface == message.header.index && route.is_ipv4 == addr.is_ipv4();
                let has_default_route = defaults.iter().any(is_default);
                Some(InterfaceAddress {
                    name: name.clone(),
                    addr,
                    prefix_len: message.header.prefix_len,
                    has_default_route,
                })
            })
            .collect::<Vec<_>>();
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// The gateway of the preferred IPv4 default route, if it has one.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub async fn default_gateway(&self) -> Result<Option<Gateway>, NetlinkError> {
        let routes = self.default_routes().await?;
        let best = routes.into_iter().filter(|route| route.is_ipv4).min_by_key(|route| route.metric);
        let Some(DefaultRoute { interface, gateway: Some(IpAddr::V4(gateway)), source, .. }) = best else {
            return Ok(None);
        };
        let addresses = self.local_addresses().await?;
        let on_link = |(index, net): &(u32, ipnet::IpNet)| {
            let IpAddr::V4(addr) = net.addr() else { return None };
            (*index == interface).then(|| (net.contains(&IpAddr::V4(gateway)), addr))
        };
        let mut candidates = addresses.iter().filter_map(on_link).collect::<Vec<_>>();
        // The address in the gateway's own subnet first.
        candidates.sort_by_key(|(same_subnet, _)| !same_subnet);
        let source = source.or_else(|| candidates.first().map(|(_, addr)| *addr));
        Ok(source.map(|source| Gateway { gateway, source }))
    }

    async fn usable_links(&self, ours: &[&str]) -> Result<Vec<(u32, String)>, NetlinkError> {
        let links: Vec<LinkMessage> =
            self.handle.link().get().execute().try_collect().await.map_err(failed("list interfaces"))?;
        let usable = |link: &LinkMessage| {
            let flags = link.header.flags;
            let name = link.attributes.iter().find_map(|attribute| {
                if let LinkAttribute::IfName(name) = attribute { Some(name.clone()) } else { None }
            })?;
            let works = flags.contains(LinkFlags::Up | LinkFlags::LowerUp) && !flags.contains(LinkFlags::Loopback);
            let is_uplink = works && !ours.contains(&name.as_str()) && !is_private_bridge(&name);
            is_uplink.then_some((link.header.index, name))
        };
        Ok(links.iter().filter_map(usable).collect())
    }

    async fn default_routes(&self) -> Result<Vec<DefaultRoute>, NetlinkError> {
        let mut found = Vec::new();
        for version in [IpVersion::V4, IpVersion::V6] {
            let is_ipv4 = version == IpVersion::V4;
            let routes = self.routes(version).await?;
            let defaults = routes.iter().filter(|route| is_default(route));
            found.extend(defaults.flat_map(|route| default_routes_of(route, is_ipv4)));
        }
        Ok(found)
    }
}

struct DefaultRoute {
    interface: u32,
    is_ipv4: bool,
    gateway: Option<IpAddr>,
    source: Option<Ipv4Addr>,
    metric: u32,
}

/// A usable route to everywhere that is not ours.
fn is_default(route: &RouteMessage) -> bool {
    route.header.destination_prefix_length == 0
        && route.header.kind == RouteType::Unicast
        && !(TABLE_BASE..TABLE_BASE + TABLE_COUNT).contains(&route_table(route))
        && route_destination(route).is_none_or(|net| net.addr().is_unspecified())
}

fn default_routes_of(route: &RouteMessage, is_ipv4: bool) -> Vec<DefaultRoute> {
    let metric = route
        .attributes
        .iter()
        .find_map(|attribute| if let RouteAttribute::Priority(metric) = attribute { Some(*metric) } else { None });
    let source = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::PrefSource(RouteAddress::Inet(source)) = attribute { Some(*source) } else { None }
    });
    let metric = metric.unwrap_or_default();
    let make = |interface, attributes: &[RouteAttribute]| DefaultRoute {
        interface,
        is_ipv4,
        gateway: gateway_of(attributes),
        source,
        metric,
    };
    let several = route
        .attributes
        .iter()
        .find_map(|attribute| if let RouteAttribute::MultiPath(hops) = attribute { Some(hops) } else { None });
    match several {
        Some(hops) => hops.iter().map(|hop| make(hop.interface_index, &hop.attributes)).collect(),
        None => route_interface(route).map(|interface| make(interface, &route.attributes)).into_iter().collect(),
    }
}

fn gateway_of(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Gateway(RouteAddress::Inet(ip)) = attribute {
            Some(IpAddr::V4(*ip))
        } else if let RouteAttribute::Gateway(RouteAddress::Inet6(ip)) = attribute {
            Some(IpAddr::V6(*ip))
        } else {
            None
        }
    })
}

/// The address of a message, when it can be used and told to others.
fn settled_address(message: &AddressMessage) -> Option<IpAddr> {
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    let (mut own, mut peer) = (None, None);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(ip) = attribute {
            own = Some(*ip);
        } else if let AddressAttribute::Address(ip) = attribute {
            peer = Some(*ip);
        } else if let AddressAttribute::Flags(all) = attribute {
            flags = *all;
        }
    }
    let is_passing = flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed | AddressFlags::Deprecated);
    own.or(peer).filter(|ip| !is_passing && is_reachable_by_others(*ip))
}

/// Neither loopback nor link-local: those mean another machine everywhere, and a link-local one needs an interface beside it.
fn is_reachable_by_others(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified() && !ip.is_multicast(),
        IpAddr::V6(ip) => {
            let is_link_local = ip.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80);
            ip != Ipv6Addr::LOCALHOST && !is_link_local && !ip.is_unspecified() && !ip.is_multicast()
        }
    }
}

fn is_private_bridge(name: &str) -> bool {
    let is_docker_network =
        name.strip_prefix("br-").is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_docker_network || PRIVATE_BRIDGES.iter().any(|prefix| name.starts_with(prefix))
}

/// Watches links, addresses and default routes. Ends with this value.
#[derive(Debug)]
pub struct ChangeMonitor {
    changes: watch::Receiver<u64>,
}

impl ChangeMonitor {
    /// Starts watching. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The error of the failed call.
    pub fn open() -> io::Result<Self> {
        let (connection, _, mut messages) = new_multicast_connection(&[
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ])?;
        tokio::spawn(connection);
        let (sender, changes) = watch::channel(0);
        // A task of its own: messages are thrown away as they come, so that no burst of them waits in memory for a busy daemon.
        tokio::spawn(async move {
            while let Some((message, _)) = messages.next().await {
                if !is_relevant(&message.payload) {
                    continue;
                }
                let burst = async { while messages.next().await.is_some() {} };
                if tokio::time::timeout(DEBOUNCE, burst).await.is_ok() {
                    return;
                }
                sender.send_modify(|count| *count += 1);
                if sender.is_closed() {
                    return;
                }
            }
        });
        Ok(Self { changes })
    }

    /// Waits for the next change since the last call; a burst counts as one.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The kernel closed the socket: there is no news any more, which is not news.
            std::future::pending::<()>().await;
        }
    }
}

/// On a router with a full table the thousands of ordinary routes must not set anything off.
fn is_relevant(payload: &rtnetlink::packet_core::NetlinkPayload<RouteNetlinkMessage>) -> bool {
    use rtnetlink::packet_core::NetlinkPayload;
    if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route)) =
        payload
    {
        return route.header.destination_prefix_length == 0;
    }
    // Messages were lost, or it is about a link or an address.
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_of_container_managers_are_no_uplinks_and_those_of_routers_are() {
        for name in ["docker0", "br-0123456789ab", "virbr0", "lxcbr0", "cni0"] {
            assert!(is_private_bridge(name), "{name}");
        }
        for name in ["br-lan", "eth0", "br0", "wlan0", "br-guestnetwork", "ppp0", "wan"] {
            assert!(!is_private_bridge(name), "{name}");
        }
    }

    #[test]
    fn only_addresses_that_mean_this_machine_elsewhere_are_told() {
        let told = |text: &str| text.parse().is_ok_and(is_reachable_by_others);
        assert!(told("192.168.1.2") && told("203.0.113.9") && told("fd00::1") && told("2001:db8::1"));
        assert!(!told("127.0.0.1") && !told("169.254.3.4") && !told("::1") && !told("fe80::1") && !told("ff02::1"));
    }
}
