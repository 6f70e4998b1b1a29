//! `netctl bench serve`.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use netctl_api::{NetworkInfo, NetworkListParams};
use serde::Serialize;

use super::protocol::{CHUNK, Hello, MAGIC, MAX_PROBE_LEN, Tally};
use crate::commands::Context;
use crate::failure::{Failure, Local};
use crate::output::Out;
use crate::text;

/// Connections at a time, all members together: four clients with the most streams. Each is a thread and a buffer of [`CHUNK`].
const MAX_CONNECTIONS: usize = 64;
/// A connection that is silent for so long is closed: longer than any switch of paths takes.
const SILENCE: Duration = Duration::from_secs(15);

/// Before the next connection after one that could not be taken.
const AFTER_ERROR: Duration = Duration::from_millis(100);

#[derive(Serialize)]
struct Listening {
    network: String,
    address: SocketAddr,
}

#[derive(Serialize)]
struct Served {
    peer: IpAddr,
    direction: &'static str,
    bytes: u64,
    elapsed_us: u64,
    bits_per_second: u64,
}

/// Answers until it is killed.
pub(super) fn serve(ctx: &Context<'_>, port: u16) -> Result<u8, Failure> {
    let network = own_network(ctx)?;
    let host = network.ipv4.map(IpAddr::V4).or(network.ipv6.map(IpAddr::V6));
    let host = host.filter(|_| network.up).ok_or_else(|| {
        Failure::new(Local::NotFound, format!("network {} is down; nobody could reach this", network.name))
            .next("netctl up")
    })?;
    let address = SocketAddr::new(host, port);
    let listener = TcpListener::bind(address).map_err(|error| cannot_listen(address, &error))?;
    #[allow(clippy::disallowed_methods, reason = "a program of its own, not the daemon: the socket is its service")]
    let echo = UdpSocket::bind(address).map_err(|error| cannot_listen(address, &error))?;
    if ctx.out.is_json() {
        ctx.out.json("bench-serve", &Listening { network: network.name, address })?;
    } else {
        ctx.out.line(format!("answering members of {} at {address}, TCP and UDP; Ctrl-C ends it", network.name))?;
    }
    let open = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| answer_probes(&echo));
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                // Out of files or memory: others' threads end and free some.
                std::thread::park_timeout(AFTER_ERROR);
                continue;
            };
            // Counted here and not in the thread: a burst of connections must not pass the limit before the first thread runs.
            if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (open, out) = (&open, ctx.out);
            scope.spawn(move || {
                if let Some(served) = answer(stream) {
                    // Whoever watches may be gone; the service goes on.
                    let _ = show(out, &served);
                }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    Ok(0)
}

fn own_network(ctx: &Context<'_>) -> Result<NetworkInfo, Failure> {
    let networks = ctx.connect()?.call(NetworkListParams {})?.networks;
    let wanted = ctx.network();
    let mut found = networks.into_iter().filter(|network| match &wanted {
        Some(name) => *name == network.name || *name == network.id,
        None => network.active,
    });
    found.next().ok_or_else(|| {
        let name =
            wanted.map_or_else(|| String::from("no network is active"), |name| format!("no network {name} here"));
        Failure::new(Local::NotFound, name).next("netctl networks")
    })
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    let (kind, next) = if error.kind() == std::io::ErrorKind::AddrInUse {
        (Local::Exists, "--port with another number, there and at the client")
    } else if error.kind() == std::io::ErrorKind::PermissionDenied {
        (Local::Permission, "a --port above 1023")
    } else {
        (Local::Failure, "netctl doctor")
    };
    Failure::new(kind, format!("cannot listen at {address}; {error}")).next(next)
}

fn show(out: Out, served: &Served) -> Result<(), Failure> {
    if out.is_json() {
        return out.json("bench-served", served);
    }
    let (amount, rate) = (text::bytes(served.bytes), text::bits(served.bits_per_second));
    let way = if served.direction == "down" { "to" } else { "from" };
    out.line(format!("{way} {}: {amount}, {rate}", served.peer))
}

/// One connection. `None`: it said nothing sensible, or broke off.
fn answer(mut stream: TcpStream) -> Option<Served> {
    stream.set_read_timeout(Some(SILENCE)).ok()?;
    stream.set_write_timeout(Some(SILENCE)).ok()?;
    let peer = stream.peer_addr().ok()?.ip();
    let mut hello = [0; Hello::LEN];
    stream.read_exact(&mut hello).ok()?;
    let hello = Hello::parse(hello)?;
    let tally = if hello.down { send_for(&mut stream, hello.seconds) } else { count(&mut stream, hello.seconds) }?;
    if !hello.down {
        stream.write_all(&tally.to_bytes()).ok()?;
    }
    let direction = if hello.down { "down" } else { "up" };
    let Tally { bytes, elapsed_us } = tally;
    Some(Served { peer, direction, bytes, elapsed_us, bits_per_second: tally.bits_per_second() })
}

/// Sends for a time.
pub(super) fn send_for(stream: &mut TcpStream, seconds: u32) -> Option<Tally> {
    // Not all zeros: a carrier that compresses would be flattered.
    let chunk = (0..CHUNK).map(|i| u8::try_from(i.wrapping_mul(31) % 251).unwrap_or_default()).collect::<Vec<_>>();
    let (start, long) = (now(), Duration::from_secs(u64::from(seconds)));
    let mut bytes = 0;
    while start.elapsed() < long {
        bytes += stream.write(&chunk).ok()? as u64;
    }
    Some(Tally { bytes, elapsed_us: micros(start) })
}

/// Counts what comes until the other side shuts down, a little longer than it said at most.
fn count(stream: &mut TcpStream, seconds: u32) -> Option<Tally> {
    let mut chunk = vec![0; CHUNK];
    let (mut start, mut bytes) = (now(), 0);
    let limit = Duration::from_secs(u64::from(seconds)) + SILENCE;
    loop {
        match stream.read(&mut chunk).ok()? {
            0 => return Some(Tally { bytes, elapsed_us: micros(start) }),
            n => {
                if bytes == 0 {
                    start = now();
                }
                bytes += n as u64;
            }
        }
        if start.elapsed() > limit {
            return None;
        }
    }
}

/// Sends probes back to where they came from. What is not one is dropped: no stranger's packet is answered.
fn answer_probes(socket: &UdpSocket) {
    let mut packet = [0; MAX_PROBE_LEN];
    loop {
        // An error is one packet's (a port that is closed by now), not the socket's.
        let Ok((len, from)) = socket.recv_from(&mut packet) else { continue };
        if let Some(probe) = packet.get(..len).filter(|probe| probe.starts_with(&MAGIC)) {
            let _ = socket.send_to(probe, from);
        }
    }
}

pub(super) fn micros(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[allow(clippy::disallowed_methods, reason = "a measurement of real time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn connected() -> (TcpStream, std::thread::JoinHandle<Option<Served>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        (client, std::thread::spawn(move || answer(server)))
    }

    #[test]
    fn the_receiver_counts_every_byte_and_tells() {
        let (mut client, server) = connected();
        client.write_all(&Hello { down: false, seconds: 1 }.to_bytes()).unwrap();
        client.write_all(&[1; 300_001]).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut tally = [0; Tally::LEN];
        client.read_exact(&mut tally).unwrap();
        assert_eq!(Tally::parse(tally).bytes, 300_001);
        assert_eq!(server.join().unwrap().unwrap().bytes, 300_001);
    }

    #[test]
    fn a_stranger_gets_no_byte() {
        let (mut client, server) = connected();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        assert!(server.join().unwrap().is_none());
        // What was not read makes the close a reset.
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}
