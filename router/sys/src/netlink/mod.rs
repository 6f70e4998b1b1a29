//! Addresses, routes and rules through rtnetlink. No `ip` program is run.
//!
//! Every network has a routing table of its own. It holds the network's prefixes through its TUN, and under them the same prefixes as
//! `unreachable`: when the TUN goes before the rules do, packets for the overlay die here instead of leaving through the default route.

mod interfaces;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
pub use interfaces::{ChangeMonitor, Gateway, InterfaceAddress};
use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Handle, IpVersion, LinkUnspec, RouteMessageBuilder, new_connection};

/// First of our routing tables: "NF" in ASCII times a hundred, far from what administrators and other VPNs number by hand.
pub const TABLE_BASE: u32 = 2_003_800;
/// Tables, and so networks up at once, per machine.
pub const TABLE_COUNT: u32 = 100;
/// Priority of our rules: before `main` (32766) and before the 5210..5270 of Tailscale, after `local` (0).
const RULE_PRIORITY: u32 = 5_200;
/// Metric of the `unreachable` routes: the kernel prefers lower ones, so these count only when the TUN's route is gone.
const UNREACHABLE_METRIC: u32 = 4_000_000_000;
/// A route this wide is a default route in disguise (VPNs split it into 0.0.0.0/1 and 128.0.0.0/1; 2000::/3), and no clash.
const WIDEST_LOCAL: u8 = 7;

/// Why the kernel's configuration could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {source}")]
pub struct NetlinkError {
    action: &'static str,
    source: io::Error,
}

impl NetlinkError {
    fn is_absent(&self) -> bool {
        // What is to be deleted is gone, or its device is.
        matches!(self.source.raw_os_error(), Some(libc::ENOENT | libc::ESRCH | libc::ENODEV | libc::EADDRNOTAVAIL))
    }

    /// Whether the kernel lacks the protocol family, as with IPv6 switched off.
    #[must_use]
    pub fn is_family_missing(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::EACCES | libc::EPERM))
    }
}

fn failed(action: &'static str) -> impl Fn(rtnetlink::Error) -> NetlinkError {
    move |error| {
        let source = if let rtnetlink::Error::NetlinkError(message) = &error {
            message.to_io()
        } else {
            io::Error::other(error.to_string())
        };
        NetlinkError { action, source }
    }
}

fn absent_is_fine(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}

/// A local address or route that overlaps with a prefix a network wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The wanted prefix.
    pub prefix: IpNet,
    /// What has it already, for a person: "address 100.64.3.1/24 on eth0".
    pub with: String,
}

/// What a network's TUN carries.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// The interface name.
    pub interface: String,
    /// Own addresses.
    pub addresses: Vec<IpAddr>,
    /// Prefixes reached through it.
    pub prefixes: Vec<IpNet>,
    /// Its routing table, from [`TABLE_BASE`].
    pub table: u32,
}

/// A netlink connection, served by a task of the current runtime.
#[derive(Debug, Clone)]
pub struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Opens the connection. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The error of the failed call.
    pub fn open() -> io::Result<Self> {
        let (connection, handle, _) = new_connection()?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Finds a local address or route that overlaps with one of `prefixes`. Our own tables and the interfaces `ours` do not count.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub async fn find_clash(&self, prefixes: &[IpNet], ours: &[&str]) -> Result<Option<Clash>, NetlinkError> {
        let names = self.interface_names().await?;
        let name_of = |index: u32| {
            let found = names.iter().find(|(known, _)| *known == index);
            found.map_or_else(|| format!("interface {index}"), |(_, name)| name.clone())
        };
        for (index, net) in self.local_addresses().await? {
            let name = name_of(index);
            if let Some(prefix) = overlapping(prefixes, net).filter(|_| !ours.contains(&name.as_str())) {
                return Ok(Some(Clash { prefix, with: format!("address {net} on {name}") }));
            }
        }
        for (table, index, net) in self.local_routes().await? {
            let name = index.map_or_else(|| format!("table {table}"), name_of);
            if let Some(prefix) = overlapping(prefixes, net).filter(|_| !ours.contains(&name.as_str())) {
                return Ok(Some(Clash { prefix, with: format!("route {net} on {name}") }));
            }
        }
        Ok(None)
    }

    /// Local prefixes a new network should keep away from: every address and every route but default ones.
    ///
    /// # Errors
    /// The kernel did not answer.
    pub async fn occupied(&self) -> Result<Vec<IpNet>, NetlinkError> {
        let addresses = self.local_addresses().await?.into_iter().map(|(_, net)| net);
        let routes = self.local_routes().await?.into_iter().map(|(_, _, net)| net);
        Ok(addresses.chain(routes).filter(|net| net.prefix_len() > WIDEST_LOCAL).collect())
    }

    /// Gives the TUN its addresses, brings it up, and routes the prefixes into it. IPv6 parts are left out on a machine without IPv6.
    ///
    /// # Errors
    /// The first refused step. The caller undoes the table; the rest goes with the TUN.
    pub async fn attach(&self, attachment: &Attachment) -> Result<(), NetlinkError> {
        let index = self.index_of(&attachment.interface).await?;
        let mut has_ipv6 = true;
        for address in &attachment.addresses {
            match self.add_address(index, *address).await {
                Err(error) if address.is_ipv6() && error.is_family_missing() => has_ipv6 = false,
                other => other?,
            }
        }
        let up = LinkUnspec::new_with_index(index).up().build();
        self.handle.link().set(up).execute().await.map_err(failed("bring the interface up"))?;
        for prefix in attachment.prefixes.iter().filter(|prefix| has_ipv6 || prefix.addr().is_ipv4()) {
            let source = attachment.addresses.iter().find(|address| address.is_ipv4() == prefix.addr().is_ipv4());
            self.add_routes(index, *prefix, source.copied(), attachment.table).await?;
            self.add_rule(*prefix, attachment.table).await?;
        }
        Ok(())
    }

    async fn index_of(&self, interface: &str) -> Result<u32, NetlinkError> {
        let mut links = self.handle.link().get().match_name(interface).execute();
        let link = links.try_next().await.map_err(failed("find the interface"))?;
        let missing = || NetlinkError { action: "find the interface", source: io::ErrorKind::NotFound.into() };
        link.map(|link| link.header.index).ok_or_else(missing)
    }

    async fn add_address(&self, index: u32, address: IpAddr) -> Result<(), NetlinkError> {
        let host = if address.is_ipv4() { 32 } else { 128 };
        let mut request = self.handle.address().add(index, address, host);
        if address.is_ipv6() {
            // The kernel would put a route into `main`; ours stand in the network's own table. A point-to-point device has no duplicates to detect.
            let flags = AddressFlags::Noprefixroute | AddressFlags::Nodad;
            request.message_mut().attributes.push(AddressAttribute::Flags(flags));
        }
        request.execute().await.map_err(failed("add the overlay address"))
    }

    async fn add_routes(
        &self,
        index: u32,
        prefix: IpNet,
        source: Option<IpAddr>,
        table: u32,
    ) -> Result<(), NetlinkError> {
        let mut through_tun = route(prefix, table).map_err(failed("build a route"))?;
        through_tun.header.scope = RouteScope::Link;
        through_tun.attributes.push(RouteAttribute::Oif(index));
        if let Some(source) = source {
            through_tun.attributes.push(RouteAttribute::PrefSource(RouteAddress::from(source)));
        }
        let mut unreachable = route(prefix, table).map_err(failed("build a route"))?;
        unreachable.header.kind = RouteType::Unreachable;
        unreachable.attributes.push(RouteAttribute::Priority(UNREACHABLE_METRIC));
        // Replacing, not adding: right after a kill the dying TUN changes the table under our feet, and a route that a dump
        // missed while clearing it is as good as ours.
        for message in [unreachable, through_tun] {
            self.handle.route().add(message).replace().execute().await.map_err(failed("add a route"))?;
        }
        Ok(())
    }

    async fn add_rule(&self, prefix: IpNet, table: u32) -> Result<(), NetlinkError> {
        let request = self.handle.rule().add().table_id(table).priority(RULE_PRIORITY).action(RuleAction::ToTable);
        let added = match prefix {
            IpNet::V4(net) => request.v4().destination_prefix(net.network(), net.prefix_len()).execute().await,
            IpNet::V6(net) => request.v6().destination_prefix(net.network(), net.prefix_len()).execute().await,
        };
        match added.map_err(failed("add a routing rule")) {
            // The same rule to the same table, missed while clearing it.
            Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Deletes every rule that points to `table` and every route in it. Nothing there is fine.
    ///
    /// # Errors
    /// The kernel refused a deletion.
    pub async fn clear_table(&self, table: u32) -> Result<(), NetlinkError> {
        for version in [IpVersion::V4, IpVersion::V6] {
            let rules = self.rules(version.clone()).await?;
            for rule in rules.into_iter().filter(|rule| rule_table(rule) == table) {
                let deleted = self.handle.rule().del(rule).execute().await;
                absent_is_fine(deleted.map_err(failed("delete a routing rule")))?;
            }
            let routes = self.routes(version).await?;
            for route in routes.into_iter().filter(|route| route_table(route) == table) {
                let deleted = self.handle.route().del(route).execute().await;
                absent_is_fine(deleted.map_err(failed("delete a route")))?;
            }
        }
        Ok(())
    }

    async fn rules(&self, version: IpVersion) -> Result<Vec<RuleMessage>, NetlinkError> {
        let rules = self.handle.rule().get(version).execute().try_collect().await;
        without_family(rules.map_err(failed("list routing rules")))
    }

    async fn routes(&self, version: IpVersion) -> Result<Vec<RouteMessage>, NetlinkError> {
        let filter = match version {
            IpVersion::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
            IpVersion::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
        };
        let routes = self.handle.route().get(filter).execute().try_collect().await;
        without_family(routes.map_err(failed("list routes")))
    }

    async fn interface_names(&self) -> Result<Vec<(u32, String)>, NetlinkError> {
        use netlink_packet_route::link::LinkAttribute;
        let links: Vec<_> =
            self.handle.link().get().execute().try_collect().await.map_err(failed("list interfaces"))?;
        let name = |attribute: &LinkAttribute| {
            if let LinkAttribute::IfName(name) = attribute { Some(name.clone()) } else { None }
        };
        Ok(links.iter().filter_map(|link| Some((link.header.index, link.attributes.iter().find_map(name)?))).collect())
    }

    async fn local_addresses(&self) -> Result<Vec<(u32, IpNet)>, NetlinkError> {
        let addresses: Vec<AddressMessage> =
            self.handle.address().get().execute().try_collect().await.map_err(failed("list addresses"))?;
        let own =
            |attribute: &AddressAttribute| if let AddressAttribute::Local(ip) = attribute { Some(*ip) } else { None };
        let peer =
            |attribute: &AddressAttribute| if let AddressAttribute::Address(ip) = attribute { Some(*ip) } else { None };
        Ok(addresses
            .iter()
            .filter_map(|message| {
                let attributes = &message.attributes;
                let ip = attributes.iter().find_map(own).or_else(|| attributes.iter().find_map(peer))?;
                Some((message.header.index, IpNet::new(ip, message.header.prefix_len).ok()?))
            })
            .collect())
    }

    /// Routes of every table but ours and the kernel's own `local` one, whose content the addresses already tell.
    async fn local_routes(&self) -> Result<Vec<(u32, Option<u32>, IpNet)>, NetlinkError> {
        const RT_TABLE_LOCAL: u32 = 255;
        let mut found = Vec::new();
        for version in [IpVersion::V4, IpVersion::V6] {
            for route in self.routes(version).await? {
                let table = route_table(&route);
                let is_ours = (TABLE_BASE..TABLE_BASE + TABLE_COUNT).contains(&table);
                if table != RT_TABLE_LOCAL
                    && !is_ours
                    && let Some(net) = route_destination(&route)
                {
                    found.push((table, route_interface(&route), net));
                }
            }
        }
        Ok(found)
    }
}

/// A machine without IPv6 has no IPv6 rules and routes.
fn without_family<T>(result: Result<Vec<T>, NetlinkError>) -> Result<Vec<T>, NetlinkError> {
    match result {
        Err(error) if error.is_family_missing() => Ok(Vec::new()),
        other => other,
    }
}

fn route(prefix: IpNet, table: u32) -> Result<RouteMessage, rtnetlink::Error> {
    // `protocol static` would look like an administrator's; 0x4e is unused in /etc/iproute2/rt_protos.
    const PROTOCOL: RouteProtocol = RouteProtocol::Other(0x4e);
    let builder = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(prefix.network(), prefix.prefix_len())
        .map_err(|error| rtnetlink::Error::InvalidNla(error.to_string()))?;
    Ok(builder.table_id(table).protocol(PROTOCOL).build())
}

fn route_table(route: &RouteMessage) -> u32 {
    let table =
        |attribute: &RouteAttribute| if let RouteAttribute::Table(table) = attribute { Some(*table) } else { None };
    route.attributes.iter().find_map(table).unwrap_or_else(|| route.header.table.into())
}

fn rule_table(rule: &RuleMessage) -> u32 {
    let table =
        |attribute: &RuleAttribute| if let RuleAttribute::Table(table) = attribute { Some(*table) } else { None };
    rule.attributes.iter().find_map(table).unwrap_or_else(|| rule.header.table.into())
}

fn route_interface(route: &RouteMessage) -> Option<u32> {
    route
        .attributes
        .iter()
        .find_map(|attribute| if let RouteAttribute::Oif(index) = attribute { Some(*index) } else { None })
}

fn route_destination(route: &RouteMessage) -> Option<IpNet> {
    let address = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Destination(RouteAddress::Inet(ip)) = attribute {
            Some(IpAddr::V4(*ip))
        } else if let RouteAttribute::Destination(RouteAddress::Inet6(ip)) = attribute {
            Some(IpAddr::V6(*ip))
        } else {
            None
        }
    })?;
    IpNet::new(address, route.header.destination_prefix_length).ok()
}

fn overlapping(wanted: &[IpNet], local: IpNet) -> Option<IpNet> {
    let overlaps = |prefix: &&IpNet| prefix.contains(&local) || local.contains(*prefix);
    wanted.iter().filter(|_| local.prefix_len() > WIDEST_LOCAL).find(overlaps).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_local_net_inside_or_around_the_prefix_clashes_and_a_default_route_does_not() {
        let wanted: [IpNet; 2] = ["100.70.0.0/16".parse().unwrap(), "fd12:3456:789a::/48".parse().unwrap()];
        let clashes = |local: &str| overlapping(&wanted, local.parse().unwrap()).is_some();
        assert!(clashes("100.70.3.0/24"));
        assert!(clashes("100.64.0.0/10"));
        assert!(clashes("fd12:3456:789a:7::/64"));
        assert!(!clashes("100.71.0.0/16"));
        assert!(!clashes("0.0.0.0/0"));
        assert!(!clashes("0.0.0.0/1"));
        assert!(!clashes("2000::/3"));
    }
}
