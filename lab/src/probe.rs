//! Measures with plain UDP what a NAT box does: how it maps and whom it lets in (RFC 4787 terms, RFC 5780 method).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::lab::Host;

/// How a property of a NAT depends on the remote endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It does not depend on it.
    EndpointIndependent,
    /// It depends on the remote address.
    AddressDependent,
    /// It depends on the remote address and port.
    AddressAndPortDependent,
}

/// The class of a NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatClass {
    /// Which outside port an inside endpoint gets.
    pub mapping: Behaviour,
    /// Which remote endpoints may send to that port.
    pub filtering: Behaviour,
}

/// How long one answer may take inside one machine, and how often to ask before silence counts as "dropped": a machine that
/// is compiling beside the lab may stop a process for half a second, but not three times in a row.
const ANSWER: Duration = Duration::from_millis(300);
const TRIES: u32 = 3;

/// Classifies the path from `client` to the internet with the help of two public hosts; `None` when no UDP comes back.
///
/// # Errors
/// When a socket cannot be opened or a host has no address of the family asked for.
pub fn classify(client: &Host, one: &Host, two: &Host, ipv6: bool) -> Result<Option<NatClass>> {
    let servers = [open(one, ipv6)?, open(one, ipv6)?, open(two, ipv6)?, open(two, ipv6)?];
    let [first, first_other_port, second, second_other_port] = &servers;

    // Mapping: one client socket, three remote endpoints, what each of them sees.
    let probe = open(client, ipv6)?;
    let Some(seen) = observed(&probe, first)? else { return Ok(None) };
    let by_port = observed(&probe, first_other_port)?.context("the second port of a host got nothing")?;
    let by_address = observed(&probe, second)?.context("the second host got nothing")?;
    let mapping = if seen == by_port && seen == by_address {
        Behaviour::EndpointIndependent
    } else if seen == by_port {
        Behaviour::AddressDependent
    } else {
        Behaviour::AddressAndPortDependent
    };

    // Filtering: a fresh socket that has talked to `first` alone; who else gets through?
    let probe = open(client, ipv6)?;
    let mapped = observed(&probe, first)?.context("a fresh socket got nothing through")?;
    let filtering = if reaches(second_other_port, &probe, mapped)? {
        Behaviour::EndpointIndependent
    } else if reaches(first_other_port, &probe, mapped)? {
        Behaviour::AddressDependent
    } else if reaches(first, &probe, mapped)? {
        Behaviour::AddressAndPortDependent
    } else {
        bail!("not even the remote endpoint that was asked can answer")
    };
    Ok(Some(NatClass { mapping, filtering }))
}

/// A UDP socket on the host's own address, living in the host's namespace.
///
/// # Errors
/// When the host has no address of that family or no socket can be opened.
pub fn open(host: &Host, ipv6: bool) -> Result<UdpSocket> {
    let ip: IpAddr = if ipv6 {
        host.v6.with_context(|| format!("{} has no IPv6 address", host.ns.name()))?.into()
    } else {
        host.v4.with_context(|| format!("{} has no IPv4 address", host.ns.name()))?.into()
    };
    let socket = host.ns.within(|| UdpSocket::bind((ip, 0)))?.context("cannot open a probe socket")?;
    socket.set_read_timeout(Some(ANSWER))?;
    Ok(socket)
}

/// The source address `server` sees when `probe` sends to it; the answer is awaited so that the mapping is established. `None` when
/// nothing comes back.
///
/// # Errors
/// When a socket fails.
pub fn observed(probe: &UdpSocket, server: &UdpSocket) -> Result<Option<SocketAddr>> {
    let mut buffer = [0; 64];
    // Says who asks: a late repetition of another socket's question is not taken for this one's.
    let question = probe.local_addr()?.to_string();
    for _ in 0..TRIES {
        probe.send_to(question.as_bytes(), server.local_addr()?)?;
        let Ok((length, from)) = server.recv_from(&mut buffer) else { continue };
        if buffer.get(..length) != Some(question.as_bytes()) {
            continue;
        }
        server.send_to(b"answer", from)?;
        if receives(probe, server.local_addr()?)? {
            return Ok(Some(from));
        }
    }
    Ok(None)
}

/// Whether a datagram of `server` to the outside address `mapped` arrives at `probe`, from exactly `server`'s own address.
fn reaches(server: &UdpSocket, probe: &UdpSocket, mapped: SocketAddr) -> Result<bool> {
    for _ in 0..TRIES {
        server.send_to(b"knock", mapped)?;
        if receives(probe, server.local_addr()?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn receives(probe: &UdpSocket, wanted: SocketAddr) -> Result<bool> {
    let end = Instant::now() + ANSWER;
    let mut buffer = [0; 64];
    while Instant::now() < end {
        match probe.recv_from(&mut buffer) {
            Ok((_, from)) if from == wanted => return Ok(true),
            Ok(_) => {}
            Err(_) => return Ok(false),
        }
    }
    Ok(false)
}
