//! Two endpoints on loopback sockets, with the event loop's part played by a task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netflow_overlay::NodeKeys;
use netflow_overlay::session::PqMode;
use netflow_sys::udp::{RecvBatch, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

struct End {
    manager: LinkManager,
    events: mpsc::Receiver<LinkEvent>,
    address: SocketAddr,
    node: NodeId,
    udp: Arc<UdpSocket>,
    pump: JoinHandle<()>,
}

fn keys() -> NodeKeys {
    NodeKeys::generate(&mut crate::identity::random())
}

fn end(keys: &NodeKeys, pq: PqMode, max_accepted: usize) -> End {
    let udp = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    start(keys, pq, max_accepted, Arc::new(udp))
}

fn start(keys: &NodeKeys, pq: PqMode, max_accepted: usize, udp: Arc<UdpSocket>) -> End {
    let address = udp.local_addr();
    let quic = Arc::new(QuicSocket::new(Arc::clone(&udp)));
    let (manager, events) = LinkManager::start(Arc::clone(&quic), &LinkSettings { keys, pq, max_accepted }).unwrap();
    let socket = Arc::clone(&udp);
    let pump = tokio::spawn(async move {
        let udp = socket;
        let mut batch = RecvBatch::default();
        loop {
            udp.readable().await.unwrap();
            if udp.try_recv(&mut batch).is_ok() {
                batch.datagrams().for_each(|datagram| quic.deliver(&datagram));
            }
        }
    });
    End { manager, events, address, node: keys.node_id(), udp, pump }
}

impl End {
    async fn next(&mut self) -> LinkEvent {
        let event = tokio::time::timeout(Duration::from_secs(15), self.events.recv()).await.unwrap().unwrap();
        self.manager.note(&event);
        event
    }

    async fn up(&mut self) -> (LinkId, NodeId) {
        let event = self.next().await;
        let LinkEvent::Up { link, peer, .. } = event else { panic!("not up: {event:?}") };
        (link, peer)
    }
}

#[tokio::test(flavor = "current_thread")]
async fn both_ends_learn_the_proven_key_and_messages_pass_both_ways() {
    let (mut client, mut server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 8));
    client.manager.dial(server.node, &[server.address]);
    client.manager.dial(server.node, &[server.address]);
    let (link, peer) = client.up().await;
    assert_eq!(peer, server.node);
    client.manager.send(link, b"hello".to_vec());
    let (accepted, peer) = server.up().await;
    assert_eq!(peer, client.node, "mutual authentication");
    assert!(matches!(server.next().await, LinkEvent::Message { bytes, .. } if bytes == b"hello"));
    server.manager.send(accepted, vec![7; 65_536]);
    assert!(matches!(client.next().await, LinkEvent::Message { bytes, .. } if bytes == vec![7; 65_536]));
    client.manager.send(link, b"last".to_vec());
    client.manager.close(link);
    assert!(
        matches!(server.next().await, LinkEvent::Message { bytes, .. } if bytes == b"last"),
        "close comes after what was sent"
    );
    assert!(matches!(server.next().await, LinkEvent::Down { .. }));
}

#[tokio::test(flavor = "current_thread")]
async fn another_key_at_the_dialled_address_is_refused() {
    let (mut client, server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 8));
    let expected = keys().node_id();
    client.manager.dial(expected, &[server.address]);
    assert!(matches!(client.next().await, LinkEvent::Failed { node, .. } if node == expected));
}

#[tokio::test(flavor = "current_thread")]
async fn pitfall_23_a_control_link_is_post_quantum_or_not_at_all() {
    // A client that offers the hybrid group first and the classical one second still ends up with the hybrid one.
    let (mut client, mut server) = (end(&keys(), PqMode::Off, 0), end(&keys(), PqMode::Prefer, 8));
    client.manager.dial(server.node, &[server.address]);
    let (link, _) = client.up().await;
    client.manager.send(link, b"hello".to_vec());
    server.up().await;
    // One that offers only the classical group is refused.
    let server_keys = keys();
    let server = end(&server_keys, PqMode::Strict, 8);
    let tls = tls::Tls::classical_only(&keys()).unwrap();
    let socket = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = quinn::Endpoint::client(socket).unwrap();
    let refused = endpoint.connect_with(tls.client(server.node).unwrap(), server.address, "nfc.invalid").unwrap().await;
    assert!(refused.is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn an_edge_node_accepts_no_links() {
    let (mut client, server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 0));
    client.manager.dial(server.node, &[server.address]);
    assert!(matches!(client.next().await, LinkEvent::Failed { .. }));
}

#[tokio::test(flavor = "current_thread")]
async fn links_over_the_limit_are_refused() {
    let mut server = end(&keys(), PqMode::Prefer, 1);
    let (mut first, mut second) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 0));
    first.manager.dial(server.node, &[server.address]);
    let (link, _) = first.up().await;
    first.manager.send(link, b"hello".to_vec());
    server.up().await;
    second.manager.dial(server.node, &[server.address]);
    assert!(matches!(second.next().await, LinkEvent::Failed { .. }));
}

#[tokio::test(flavor = "current_thread")]
async fn a_relay_that_vanished_is_noticed_in_seconds_once_something_is_sent() {
    let (mut client, mut server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 8));
    client.manager.dial(server.node, &[server.address]);
    let (link, _) = client.up().await;
    client.manager.send(link, b"hello".to_vec());
    server.up().await;
    server.next().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.pump.abort();
    let began = Instant::now();
    client.manager.send(link, b"anybody?".to_vec());
    assert!(matches!(client.next().await, LinkEvent::Down { .. }));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "current_thread")]
async fn a_relay_that_was_restarted_is_noticed_after_one_packet() {
    let server_keys = keys();
    let (mut client, mut server) = (end(&keys(), PqMode::Prefer, 0), end(&server_keys, PqMode::Prefer, 8));
    client.manager.dial(server.node, &[server.address]);
    let (link, _) = client.up().await;
    client.manager.send(link, b"hello".to_vec());
    server.up().await;
    server.next().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    // kill -9 and a new start: no close is sent, the port is the same, the keys are the same, and nothing is known of the link.
    server.pump.abort();
    let _restarted = start(&server_keys, PqMode::Prefer, 8, Arc::clone(&server.udp));
    let began = Instant::now();
    client.manager.send(link, b"anybody?".to_vec());
    assert!(matches!(client.next().await, LinkEvent::Down { .. }));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
