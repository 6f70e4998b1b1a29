//! The other end: its address in the network, and how it is reached.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use netctl_api::{PeersParams, PingEvent, PingParams};

use crate::commands::Context;
use crate::failure::{Failure, Local};

/// The daemon's own probes before the measurement: they bring session and path up, and find the fault when there is none.
const PROBES: u32 = 3;
/// Time between them, and for each.
const PROBE_INTERVAL_MS: u32 = 50;
const PROBE_WAIT_MS: u32 = 2_000;
/// For a connection through a path that just answered.
const CONNECT: Duration = Duration::from_secs(5);

/// A member, reached.
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) address: SocketAddr,
}

impl Peer {
    /// Asks the daemon who that is, and makes sure that the member answers.
    pub(super) fn find(ctx: &Context<'_>, peer: &str, port: u16) -> Result<Self, Failure> {
        let params = PingParams {
            network: ctx.network(),
            peer: peer.to_owned(),
            count: PROBES,
            interval_ms: PROBE_INTERVAL_MS,
            timeout_ms: PROBE_WAIT_MS,
        };
        let longest = Duration::from_millis(u64::from(PROBES * (PROBE_INTERVAL_MS + PROBE_WAIT_MS)));
        let found = ctx.connect()?.call_with(params, longest, |_: PingEvent| Ok(()))?;
        let host = found.ipv4.map(IpAddr::V4).or(found.ipv6.map(IpAddr::V6)).ok_or_else(|| {
            Failure::new(Local::NotFound, format!("{} has no address in this network", found.name))
                .next("netctl members")
        })?;
        Ok(Self { name: found.name, address: SocketAddr::new(host, port) })
    }

    /// A connection to `netctl bench serve` there.
    pub(super) fn connect(&self) -> Result<TcpStream, Failure> {
        TcpStream::connect_timeout(&self.address, CONNECT).map_err(|error| self.unreachable(&error))
    }

    /// Why a connection failed, to a member that answers pings.
    pub(super) fn unreachable(&self, error: &std::io::Error) -> Failure {
        use std::io::ErrorKind::{ConnectionRefused, TimedOut, WouldBlock};
        let (name, address) = (&self.name, self.address);
        if error.kind() == ConnectionRefused {
            return Failure::new(Local::NotRunning, format!("{name} is there, but nothing answers at {address}"))
                .next(format!("on {name}: netctl bench serve"));
        }
        if [TimedOut, WouldBlock].contains(&error.kind()) {
            let why = "the policy, or a firewall there, may forbid it";
            return Failure::new(Local::Timeout, format!("{name} is there, but {address} does not answer; {why}"))
                .next("netctl policy get");
        }
        Failure::new(Local::Failure, format!("cannot connect to {name} at {address}; {error}")).next("netctl doctor")
    }

    /// `direct, AES-256-GCM`: what the daemon uses to reach it now. A measurement without it says little.
    pub(super) fn path(&self, ctx: &Context<'_>) -> Option<String> {
        let result = ctx.connect().ok()?.call(PeersParams { network: ctx.network() }).ok()?;
        let peer = result.peers.into_iter().find(|peer| peer.name == self.name)?;
        let path = peer.path.map_or("no path", |path| crate::commands::peers::kind(path.kind));
        let suite = peer.session.map(|session| format!(", {}", session.suite)).unwrap_or_default();
        Some(format!("{path}{suite}"))
    }
}
