//! Where the machine is connected, and what follows from a change of it: the node hears of it, every link has to prove that it still works, and
//! the gateway of the day is asked for a port.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use netflow_overlay::node::{LocalInterface, PortMapping};
use netflow_sys::netlink::{ChangeMonitor, Gateway, InterfaceAddress, Netlink};
use netflow_wire::control::ControlMessage;
use tokio::sync::mpsc;

use super::{Daemon, Job};
use crate::portmap::{PortMapper, Request};

/// One reading of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Uplinks {
    pub(crate) addresses: Vec<InterfaceAddress>,
    pub(crate) gateway: Option<Gateway>,
}

/// What is mapped at the gateway, and who asks for it.
pub(super) struct Mapping {
    pub(super) mapper: PortMapper,
    /// The node wants one.
    wanted: bool,
    /// There is one.
    pub(super) current: Option<PortMapping>,
}

impl Mapping {
    pub(super) fn start() -> Self {
        Self { mapper: PortMapper::start(), wanted: false, current: None }
    }
}

async fn read(netlink: &Netlink) -> Uplinks {
    let addresses = netlink.interface_addresses(&[]).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "uplinks");
        Vec::new()
    });
    let gateway = netlink.default_gateway().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "uplinks");
        None
    });
    Uplinks { addresses, gateway }
}

/// Tells the loop how the machine is connected, now and after each change. Reading it takes milliseconds, which the loop does not have.
pub(super) async fn watch(netlink: Netlink, jobs: mpsc::Sender<Job>) {
    // Watching begins before the first reading, so that no change falls between.
    let monitor = ChangeMonitor::open();
    if jobs.send(Job::Uplinks(read(&netlink).await)).await.is_err() {
        return;
    }
    let mut monitor = match monitor {
        Ok(monitor) => monitor,
        Err(error) => {
            tracing::warn!(%error, "cannot watch the uplinks; a change of them is noticed by silence only");
            return;
        }
    };
    loop {
        monitor.changed().await;
        if jobs.send(Job::Uplinks(read(&netlink).await)).await.is_err() {
            return;
        }
    }
}

impl Daemon {
    /// Takes over a reading of the machine.
    pub(super) fn set_uplinks(&mut self, mut uplinks: Uplinks) {
        let ours = self.io.interfaces().map(str::to_owned).collect::<Vec<_>>();
        uplinks.addresses.retain(|address| !ours.contains(&address.name));
        let before = self.uplinks.replace(uplinks);
        if before == self.uplinks {
            return;
        }
        let now = self.now();
        self.node.handle_interfaces(now, self.local_interfaces());
        if before.is_some() {
            tracing::info!(addresses = ?self.addresses(), "the uplinks changed");
            // The answer is a Pong, which nobody needs: that something came back is enough.
            if let Ok(question) = (ControlMessage::Ping { id: 0 }).encode() {
                self.links.uplinks_changed(&question);
            }
        }
        self.ask_for_a_port();
    }

    fn local_interfaces(&self) -> Vec<LocalInterface> {
        let addresses = self.uplinks.iter().flat_map(|uplinks| &uplinks.addresses);
        addresses
            .map(|address| LocalInterface {
                name: address.name.clone(),
                addr: address.addr,
                prefix_len: address.prefix_len,
                has_default_route: address.has_default_route,
            })
            .collect()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.uplinks.iter().flat_map(|uplinks| &uplinks.addresses).map(|address| address.addr).collect()
    }

    /// The node wants a port at the gateway, or none any more.
    pub(super) fn map_port(&mut self, wanted: bool) {
        self.mapping.wanted = wanted;
        self.ask_for_a_port();
    }

    pub(super) fn ask_for_a_port(&self) {
        let port = NonZeroU16::new(self.io.ports().local_addr().port());
        let gateway = self.uplinks.as_ref().and_then(|uplinks| uplinks.gateway);
        let request = port.zip(gateway).map(|(port, Gateway { gateway, source })| Request { gateway, source, port });
        let is_allowed = self.mapping.wanted && self.config.port_mapping && self.config.direct;
        self.mapping.mapper.want(request.filter(|request| is_allowed && is_behind_a_gateway(request.source)));
    }

    /// Whether the way out over IPv4 goes through somebody's NAT, as far as the own address tells.
    pub(super) fn is_behind_a_gateway(&self) -> bool {
        let gateway = self.uplinks.as_ref().and_then(|uplinks| uplinks.gateway);
        gateway.is_some_and(|gateway| is_behind_a_gateway(gateway.source))
    }

    /// The gateway gave a port, another one, or took it back.
    pub(super) fn port_mapped(&mut self, mapping: Option<PortMapping>) {
        self.mapping.current = mapping;
        let now = self.now();
        self.node.handle_port_map(now, mapping);
    }
}

/// An address the world knows needs no port of a gateway: whoever gave the address is a provider, and its gateway maps nothing.
fn is_behind_a_gateway(source: Ipv4Addr) -> bool {
    let is_shared =
        source.octets().first() == Some(&100) && source.octets().get(1).is_some_and(|second| second & 0xc0 == 64);
    source.is_private() || is_shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_and_shared_addresses_ask_a_gateway() {
        for behind in [[10, 0, 0, 1], [192, 168, 1, 2], [172, 20, 0, 1], [100, 64, 3, 4]] {
            assert!(is_behind_a_gateway(behind.into()), "{behind:?}");
        }
        for public in [[203, 0, 113, 1], [100, 128, 0, 1], [172, 32, 0, 1], [8, 8, 8, 8]] {
            assert!(!is_behind_a_gateway(public.into()), "{public:?}");
        }
    }
}
