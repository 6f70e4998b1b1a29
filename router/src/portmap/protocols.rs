//! The three protocols: PCP (RFC 6887) and NAT-PMP (RFC 6886) by `crab_nat`, UPnP IGD by [`upnp`](super::upnp).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crab_nat::{GatewayAddress, InternetProtocol, PortMappingOptions, PortMappingType, TimeoutConfig};
use netflow_overlay::node::{MapProtocol, PortMapping};

use super::Request;
use super::upnp::{SEARCH, Upnp};

/// Asked of every gateway: long enough for few renewals, short enough that the port of a vanished machine is free again tomorrow.
const LIFETIME_S: u32 = 7_200;
/// 250 ms, 500 ms, 1 s, 2 s: a home gateway answers within milliseconds or not at all. (RFC 6886, 3.1 goes on for a minute.)
const PATIENCE: TimeoutConfig =
    TimeoutConfig { initial_timeout: Duration::from_millis(250), max_retries: 3, max_retry_timeout: None };
/// The same when a mapping is given back, which a stop waits for.
const RELEASE_PATIENCE: TimeoutConfig =
    TimeoutConfig { initial_timeout: Duration::from_millis(250), max_retries: 1, max_retry_timeout: None };
/// Head start of PCP and NAT-PMP over UPnP: they are one exchange, and leave no state behind that nobody ever removes.
const UPNP_AFTER: Duration = Duration::from_millis(1_000);

/// A mapping, and how to renew and remove it.
pub(super) enum Mapping {
    Pmp { mapping: crab_nat::PortMapping, external: SocketAddr },
    Upnp(Box<Upnp>),
}

impl Mapping {
    /// What the node is told.
    pub(super) fn info(&self) -> PortMapping {
        match self {
            Self::Pmp { mapping, external } => {
                let protocol = match mapping.mapping_type() {
                    PortMappingType::NatPmp => MapProtocol::NatPmp,
                    PortMappingType::Pcp { .. } => MapProtocol::Pcp,
                };
                PortMapping { external: *external, protocol, lifetime_s: mapping.lifetime() }
            }
            Self::Upnp(upnp) => PortMapping {
                external: upnp.external,
                protocol: MapProtocol::Upnp,
                // A gateway that knows permanent mappings only is still asked again at times: it may have been reset.
                lifetime_s: if upnp.lifetime_s == 0 { LIFETIME_S } else { upnp.lifetime_s },
            },
        }
    }

    pub(super) async fn renew(&mut self) -> Result<(), String> {
        match self {
            Self::Pmp { mapping, external } => {
                mapping.renew().await.map_err(|error| error.to_string())?;
                *external = external_of(mapping).await?;
                Ok(())
            }
            Self::Upnp(upnp) => {
                upnp.renew().await?;
                usable(upnp.external).map(drop)
            }
        }
    }

    pub(super) async fn release(self) -> Result<(), String> {
        match self {
            Self::Pmp { mut mapping, .. } => {
                mapping.timeout_config = RELEASE_PATIENCE;
                mapping.try_drop().await.map_err(|(error, _)| error.to_string())
            }
            Self::Upnp(upnp) => upnp.release().await,
        }
    }
}

/// Asks by every protocol; the first to give a mapping wins.
pub(super) async fn acquire(request: &Request) -> Result<Mapping, String> {
    acquire_from(request, SEARCH).await
}

/// As [`acquire`], with the address UPnP devices are searched at.
pub(super) async fn acquire_from(request: &Request, search: SocketAddr) -> Result<Mapping, String> {
    let upnp = async {
        tokio::time::sleep(UPNP_AFTER).await;
        by_upnp(request, search).await
    };
    let pmp = by_pmp(request);
    tokio::pin!(upnp, pmp);
    tokio::select! {
        mapped = &mut pmp => match mapped {
            Ok(mapping) => Ok(mapping),
            Err(error) => upnp.await.map_err(|upnp| format!("{error}; {upnp}")),
        },
        mapped = &mut upnp => match mapped {
            Ok(mapping) => Ok(mapping),
            Err(error) => pmp.await.map_err(|pmp| format!("{pmp}; {error}")),
        },
    }
}

async fn by_pmp(request: &Request) -> Result<Mapping, String> {
    let gateway = GatewayAddress::IpV4(request.gateway);
    let options = PortMappingOptions {
        // The same number outside, if it is free: what people put into a firewall rule then fits both.
        external_port: Some(request.port),
        lifetime_seconds: Some(LIFETIME_S),
        timeout_config: Some(PATIENCE),
    };
    let asked =
        crab_nat::PortMapping::new(gateway, request.source.into(), InternetProtocol::Udp, request.port, options).await;
    let mapping = match asked {
        Ok(mapping) => mapping,
        // A gateway that says nothing to PCP, or nothing sensible, may still know its older sister.
        Err(pcp) => crab_nat::natpmp::port_mapping(gateway, InternetProtocol::Udp, request.port, options)
            .await
            .map_err(|natpmp| format!("{pcp}; NAT-PMP({natpmp})"))?,
    };
    let external = external_of(&mapping).await?;
    Ok(Mapping::Pmp { mapping, external })
}

/// PCP says the external address with the mapping; NAT-PMP has a question for it.
async fn external_of(mapping: &crab_nat::PortMapping) -> Result<SocketAddr, String> {
    let ip = match mapping.mapping_type() {
        PortMappingType::Pcp { external_ip, .. } => external_ip.to_canonical(),
        PortMappingType::NatPmp => {
            let address = crab_nat::natpmp::external_address(mapping.gateway(), Some(PATIENCE)).await;
            IpAddr::V4(address.map_err(|error| error.to_string())?)
        }
    };
    usable(SocketAddr::new(ip, mapping.external_port().get()))
}

/// A gateway without an uplink says 0.0.0.0.
fn usable(external: SocketAddr) -> Result<SocketAddr, String> {
    let ip = external.ip();
    if ip.is_unspecified() || ip.is_multicast() || external.port() == 0 {
        return Err(format!("the gateway has no external address ({external})"));
    }
    Ok(external)
}

async fn by_upnp(request: &Request, search: SocketAddr) -> Result<Mapping, String> {
    let upnp = Upnp::map(request, search, LIFETIME_S).await.map_err(|error| format!("UPnP({error})"))?;
    if let Err(error) = usable(upnp.external) {
        let _ = upnp.release().await;
        return Err(format!("UPnP({error})"));
    }
    Ok(Mapping::Upnp(Box::new(upnp)))
}
