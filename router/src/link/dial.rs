//! Opening a link: QUIC first, and where that does not get through, what networks that block UDP let pass.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::select_ok;
use netflow_overlay::node::LinkId;
use netflow_sys::udp::canonical;
use netflow_wire::NodeId;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::Link;
use super::stream::{self, StreamLink};
use super::tls::{HANDSHAKE_TIMEOUT, NO_NAME, Tls};
use super::{LinkEvent, WEB_PORT};

/// Head start of each address over the next one of the same node (RFC 8305 uses 250 ms for TCP; a handshake here is two round trips).
const NEXT_ADDRESS: Duration = Duration::from_millis(500);
/// Head start of QUIC at the relay's own addresses over everything else: four round trips of half a second, so that a slow path is not
/// mistaken for a blocked one.
const NEXT_CARRIER: Duration = Duration::from_secs(2);
/// The same when the last link to this relay was a stream: UDP is probably still blocked.
const NEXT_CARRIER_BLOCKED: Duration = Duration::from_millis(250);
/// Head start among the attempts after that.
const NEXT_FALLBACK: Duration = Duration::from_millis(250);
/// Addresses tried by other carriers than plain QUIC: with three attempts each all of them begin within 5 s.
const MAX_FALLBACK_ADDRS: usize = 4;
/// While a stream carries the link, QUIC is tried again after this time: blocked networks stay blocked, but laptops move.
const RETRY_QUIC: Duration = Duration::from_secs(180);
/// How long such an attempt may take.
const RETRY_PATIENCE: Duration = Duration::from_secs(5);

/// One attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Try {
    after: Duration,
    by: By,
    to: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Quic,
    Tcp,
}

/// What is tried, when and in which order.
fn plan(addrs: &[SocketAddr], udp_blocked: bool) -> Vec<Try> {
    let mut tries = addrs
        .iter()
        .zip(0..)
        .map(|(to, turn)| Try { after: NEXT_ADDRESS * turn, by: By::Quic, to: *to })
        .collect::<Vec<_>>();
    let mut after = if udp_blocked { NEXT_CARRIER_BLOCKED } else { NEXT_CARRIER };
    for address in addrs.iter().take(MAX_FALLBACK_ADDRS) {
        let web = SocketAddr::new(address.ip(), WEB_PORT);
        for (by, to) in [(By::Quic, web), (By::Tcp, web), (By::Tcp, *address)] {
            if !tries.iter().any(|known| known.by == by && known.to == to) {
                tries.push(Try { after, by, to });
                after += NEXT_FALLBACK;
            }
        }
    }
    tries
}

/// A finished handshake.
pub(super) enum Dialled {
    Quic(Connection, SendStream, RecvStream),
    Stream(Box<TlsStream<TcpStream>>, SocketAddr),
}

/// Everything a dial needs.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Arc<Tls>,
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) next_id: Arc<AtomicU64>,
    /// Counts changes of the uplinks.
    pub(super) changes: watch::Receiver<u64>,
}

impl Dialler {
    pub(super) fn new_id(&self) -> LinkId {
        LinkId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Dials a node and serves the link to its end. An event follows in every case.
    pub(super) async fn run(self, node: NodeId, addrs: Vec<SocketAddr>, udp_blocked: bool, wait: Duration) {
        tokio::time::sleep(wait).await;
        if addrs.is_empty() {
            let error = "the relay has no known address".to_owned();
            let _ = self.events.send(LinkEvent::Failed { node, error }).await;
            return;
        }
        let attempt = self.attempt(node, plan(&addrs, udp_blocked));
        let dialled = match tokio::time::timeout(HANDSHAKE_TIMEOUT, attempt).await {
            Ok(dialled) => dialled,
            Err(_) => Err("no answer within 10 s".to_owned()),
        };
        match dialled {
            Ok(Dialled::Quic(connection, send, receive)) => self.serve_quic(node, connection, send, receive).await,
            Ok(Dialled::Stream(stream, remote)) => self.serve_stream(node, &addrs, *stream, remote).await,
            Err(error) => {
                let _ = self.events.send(LinkEvent::Failed { node, error }).await;
            }
        }
    }

    async fn serve_quic(&self, peer: NodeId, connection: Connection, send: SendStream, receive: RecvStream) {
        let link = Link { id: self.new_id(), peer, connection, outgoing: true, events: self.events.clone() };
        link.run(send, receive).await;
    }

    /// Serves a stream, and looks for a way back to QUIC meanwhile. The new link is announced like any other; the node closes the old one.
    async fn serve_stream(&self, peer: NodeId, addrs: &[SocketAddr], stream: TlsStream<TcpStream>, remote: SocketAddr) {
        let link = StreamLink { id: self.new_id(), peer, remote, outgoing: true, events: self.events.clone() };
        let serving = link.run(stream);
        tokio::pin!(serving);
        tokio::select! {
            // The search for a better link ends with this one; a better link that was found outlives it.
            () = &mut serving => {}
            (connection, send, receive) = self.clone().upgrade(peer, addrs) => {
                let better = async { self.serve_quic(peer, connection, send, receive).await };
                tokio::join!(better, serving);
            }
        }
    }

    async fn upgrade(mut self, node: NodeId, addrs: &[SocketAddr]) -> (Connection, SendStream, RecvStream) {
        // Changes from before this link are no news.
        self.changes.mark_unchanged();
        loop {
            // An error means that the daemon ends, and this task with it.
            let _ = tokio::time::timeout(RETRY_QUIC, self.changes.changed()).await;
            let tries = plan(addrs, true).into_iter().filter(|attempt| attempt.by == By::Quic).collect();
            if let Ok(Ok(Dialled::Quic(connection, send, receive))) =
                tokio::time::timeout(RETRY_PATIENCE, self.attempt(node, tries)).await
            {
                return (connection, send, receive);
            }
        }
    }

    /// Every attempt gets its turn; the first that proves the key wins.
    async fn attempt(&self, node: NodeId, tries: Vec<Try>) -> Result<Dialled, String> {
        let quic = self.tls.client(node).map_err(|error| error.to_string())?;
        let stream = Arc::new(self.tls.stream_client(node).map_err(|error| error.to_string())?);
        let attempts = tries.into_iter().map(|Try { after, by, to }| {
            let (quic, stream) = (quic.clone(), Arc::clone(&stream));
            let attempt: Pin<Box<dyn Future<Output = Result<Dialled, String>> + Send>> = Box::pin(async move {
                tokio::time::sleep(after).await;
                match by {
                    By::Quic => self.dial_quic(quic, to).await.map_err(|error| format!("{to}: {error}")),
                    By::Tcp => dial_tcp(stream, to).await.map_err(|error| format!("{to} (TCP): {error}")),
                }
            });
            attempt
        });
        let (dialled, _) = select_ok(attempts).await?;
        Ok(dialled)
    }

    async fn dial_quic(&self, config: quinn::ClientConfig, to: SocketAddr) -> Result<Dialled, String> {
        let connecting = self.endpoint.connect_with(config, to, NO_NAME).map_err(|error| error.to_string())?;
        let connection = connecting.await.map_err(|error| error.to_string())?;
        let (send, receive) = connection.open_bi().await.map_err(|error| error.to_string())?;
        Ok(Dialled::Quic(connection, send, receive))
    }
}

async fn dial_tcp(config: Arc<rustls::ClientConfig>, to: SocketAddr) -> Result<Dialled, String> {
    let connect = async {
        let tcp = TcpStream::connect(to).await?;
        stream::prepare(&tcp)?;
        let name = ServerName::try_from(NO_NAME).map_err(std::io::Error::other)?;
        TlsConnector::from(config).connect(name, tcp).await
    };
    let stream = connect.await.map_err(|error| error.to_string())?;
    Ok(Dialled::Stream(Box::new(stream), canonical(to)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn quic_has_two_seconds_before_anything_else_is_tried_and_nothing_is_tried_twice() {
        let tries = plan(&[address("192.0.2.1:4790"), address("[2001:db8::1]:443")], false);
        let first = tries.iter().filter(|attempt| attempt.after < NEXT_CARRIER).collect::<Vec<_>>();
        assert!(first.len() == 2 && first.iter().all(|attempt| attempt.by == By::Quic), "{first:?}");
        for (by, to) in [
            (By::Quic, "192.0.2.1:443"),
            (By::Tcp, "192.0.2.1:443"),
            (By::Tcp, "192.0.2.1:4790"),
            (By::Tcp, "[2001:db8::1]:443"),
        ] {
            assert_eq!(tries.iter().filter(|attempt| attempt.by == by && attempt.to == address(to)).count(), 1, "{to}");
        }
        assert_eq!(tries.len(), 6);
        let longest = vec![address("192.0.2.1:1"); 8];
        assert!(plan(&longest, false).iter().all(|attempt| attempt.after < HANDSHAKE_TIMEOUT), "all get their turn");
    }

    #[test]
    fn after_a_stream_the_next_dial_does_not_wait_for_quic_to_fail_again() {
        let tries = plan(&[address("192.0.2.1:4790")], true);
        let first_tcp = tries.iter().find(|attempt| attempt.by == By::Tcp).unwrap();
        assert!(first_tcp.after < Duration::from_secs(1), "{first_tcp:?}");
    }
}
