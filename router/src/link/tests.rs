//! Two endpoints on loopback sockets, with the event loop's part played by a task.

use std::sync::Arc;
use std::time::{Duration, Instant};

use netflow_overlay::NodeKeys;
use netflow_overlay::session::PqMode;
use netflow_sys::tcp;
use netflow_sys::udp::{RecvBatch, UdpSocket};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;

struct End {
    manager: LinkManager,
    events: mpsc::Receiver<LinkEvent>,
    address: SocketAddr,
    node: NodeId,
    udp: Arc<UdpSocket>,
    quic: Arc<QuicSocket>,
    pump: JoinHandle<()>,
}

/// Hands every datagram to quinn, as the loop does.
fn pump(udp: Arc<UdpSocket>, quic: Arc<QuicSocket>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut batch = RecvBatch::default();
        loop {
            udp.readable().await.unwrap();
            if udp.try_recv(&mut batch).is_ok() {
                batch.datagrams().for_each(|datagram| quic.deliver(&datagram));
            }
        }
    })
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
    // A relay listens on the TCP port with the same number; where that is taken by somebody else, the test that needs it says so.
    let tcp = if max_accepted > 0 { tcp::listen(address).into_iter().collect() } else { Vec::new() };
    let listeners = Listeners { alternate_quic: None, tcp };
    let (manager, events) =
        LinkManager::start(Arc::clone(&quic), listeners, &LinkSettings { keys, pq, max_accepted }).unwrap();
    let pump = pump(Arc::clone(&udp), Arc::clone(&quic));
    End { manager, events, address, node: keys.node_id(), udp, quic, pump }
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
async fn a_thousand_small_messages_at_once_do_not_close_a_link_and_a_pile_of_large_ones_does() {
    let (mut client, mut server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 8));
    client.manager.dial(server.node, &[server.address]);
    let (link, _) = client.up().await;
    // What a relay is asked when its link comes up again: everything that was open, in one go, while nothing is written.
    for number in 0..1_000_u32 {
        client.manager.send(link, number.to_be_bytes().repeat(20));
    }
    server.up().await;
    for number in 0..1_000_u32 {
        let event = server.next().await;
        assert!(
            matches!(&event, LinkEvent::Message { bytes, .. } if bytes.starts_with(&number.to_be_bytes())),
            "{event:?}"
        );
    }
    for _ in 0..66 {
        client.manager.send(link, vec![0; 65_536]);
    }
    let event = client.next().await;
    assert!(matches!(&event, LinkEvent::Down { .. }), "4 MiB that nobody takes: {event:?}");
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

#[tokio::test(flavor = "current_thread")]
async fn without_udp_the_link_is_a_stream_that_carries_frames_too_and_becomes_quic_again_when_udp_works() {
    let (mut client, mut server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 8));
    server.pump.abort();
    client.manager.dial(server.node, &[server.address]);
    let LinkEvent::Up { link, peer, carrier, remote, .. } = client.next().await else { panic!("not up") };
    assert_eq!((peer, carrier, remote), (server.node, Carrier::Stream, server.address));
    let LinkEvent::Up { link: accepted, peer, carrier, .. } = server.next().await else { panic!("not up") };
    assert_eq!((peer, carrier), (client.node, Carrier::Stream), "mutual authentication");
    client.manager.send(link, b"hello".to_vec());
    assert!(matches!(server.next().await, LinkEvent::Message { bytes, .. } if bytes == b"hello"));
    server.manager.send(accepted, vec![7; 65_536]);
    assert!(matches!(client.next().await, LinkEvent::Message { bytes, .. } if bytes == vec![7; 65_536]));
    client.manager.send_frame(link, vec![0x13; 1_300]);
    client.manager.send_frame(link, vec![0x19; 40]);
    let mut frames = Vec::new();
    while frames.len() < 2 {
        let LinkEvent::Frames { frames: some, .. } = server.next().await else { panic!("no frames") };
        frames.extend(some);
    }
    assert_eq!(frames, [vec![0x13; 1_300], vec![0x19; 40]]);
    // UDP works again, and the uplinks changed: the better carrier takes over without a moment without link.
    server.pump = pump(Arc::clone(&server.udp), Arc::clone(&server.quic));
    client.manager.uplinks_changed(b"?");
    let LinkEvent::Up { link: better, carrier: Carrier::Quic, .. } = client.next().await else { panic!("no QUIC") };
    client.manager.send(link, b"last".to_vec());
    client.manager.close(link);
    client.manager.send(better, b"first".to_vec());
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let LinkEvent::Message { bytes, .. } = server.next().await {
            seen.push(bytes);
        }
    }
    seen.sort();
    assert_eq!(seen, [b"first".to_vec(), b"last".to_vec()]);
}

#[tokio::test(flavor = "current_thread")]
async fn another_key_behind_a_stream_is_refused() {
    let (mut client, server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 8));
    server.pump.abort();
    let expected = keys().node_id();
    client.manager.dial(expected, &[server.address]);
    assert!(matches!(client.next().await, LinkEvent::Failed { node, .. } if node == expected));
}

#[tokio::test(flavor = "current_thread")]
async fn strangers_that_open_tcp_connections_and_say_nothing_keep_nobody_out() {
    let (mut client, mut server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 8));
    server.pump.abort();
    let mut silent = Vec::new();
    for _ in 0..20 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 99], 0))).unwrap();
        silent.push(socket.connect(server.address).await.unwrap());
    }
    client.manager.dial(server.node, &[server.address]);
    client.up().await;
    server.up().await;
}

#[tokio::test(flavor = "current_thread")]
async fn after_a_change_of_the_uplinks_a_dead_link_ends_within_a_second_and_a_living_one_stays() {
    let (mut client, mut server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 8));
    client.manager.dial(server.node, &[server.address]);
    let (link, _) = client.up().await;
    client.manager.send(link, b"hello".to_vec());
    server.up().await;
    server.next().await;
    client.manager.uplinks_changed(b"alive?");
    assert!(matches!(server.next().await, LinkEvent::Message { bytes, .. } if bytes == b"alive?"));
    let nothing = tokio::time::timeout(Duration::from_millis(1_300), client.events.recv()).await;
    assert!(nothing.is_err(), "the living link stays: {nothing:?}");
    server.pump.abort();
    let began = Instant::now();
    client.manager.uplinks_changed(b"alive?");
    assert!(matches!(client.next().await, LinkEvent::Down { .. }));
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "current_thread")]
async fn a_stream_whose_relay_is_killed_ends_at_once() {
    let (mut client, mut server) = (end(&keys(), PqMode::Prefer, 0), end(&keys(), PqMode::Prefer, 8));
    server.pump.abort();
    client.manager.dial(server.node, &[server.address]);
    client.up().await;
    let (accepted, _) = server.up().await;
    server.manager.get(accepted).unwrap().abort("killed");
    let began = Instant::now();
    assert!(matches!(client.next().await, LinkEvent::Down { .. }));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
