//! Gateways that speak each protocol as its RFC has it, on loopback addresses of their own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use netflow_overlay::node::MapProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::protocols::{acquire, acquire_from};
use super::*;

/// What the gateway says it is outside.
const EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// The port every gateway here gives, whatever is asked for.
const GIVEN: u16 = 40_123;

/// Mappings a gateway holds: internal port and lifetime.
type Table = Arc<Mutex<Vec<(u16, u32)>>>;

fn set(table: &Table, internal: u16, lifetime_s: u32) {
    let mut table = table.lock().unwrap();
    table.retain(|(port, _)| *port != internal);
    if lifetime_s > 0 {
        table.push((internal, lifetime_s));
    }
}

fn request(gateway: [u8; 4]) -> Request {
    Request { gateway: gateway.into(), source: Ipv4Addr::LOCALHOST, port: NonZeroU16::new(4790).unwrap() }
}

fn be16(bytes: &[u8]) -> u16 {
    u16::from_be_bytes(bytes.try_into().unwrap())
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

/// RFC 6887, 7.2 and 11.1.
fn pcp_answer(question: &[u8], table: &Table, limit_s: u32) -> Vec<u8> {
    assert_eq!((question[0], question[1], question.len()), (2, 1, 60), "a MAP request");
    let (lifetime_s, internal) = (be32(&question[4..8]).min(limit_s), be16(&question[40..42]));
    assert_eq!(question[36], 17, "UDP");
    set(table, internal, lifetime_s);
    let mut answer = vec![2, 0x81, 0, 0];
    answer.extend(lifetime_s.to_be_bytes());
    answer.extend(1_000_u32.to_be_bytes());
    answer.extend([0; 12]);
    answer.extend(&question[24..40]);
    answer.extend(internal.to_be_bytes());
    answer.extend(GIVEN.to_be_bytes());
    answer.extend(EXTERNAL.to_ipv6_mapped().octets());
    answer
}

/// RFC 6886, 3.2 and 3.3; a version it does not know is answered as 3.5 says.
fn natpmp_answer(question: &[u8], table: &Table) -> Vec<u8> {
    let epoch = 1_000_u32.to_be_bytes();
    if question[0] != 0 {
        return [&[0, 0x80 | question[1], 0, 1], &epoch[..]].concat();
    }
    let head = [&[0, 0x80 | question[1], 0, 0], &epoch[..]].concat();
    if question[1] == 0 {
        return [&head[..], &EXTERNAL.octets()].concat();
    }
    assert_eq!((question[1], question.len()), (1, 12), "map UDP");
    let (internal, lifetime_s) = (be16(&question[4..6]), be32(&question[8..12]));
    set(table, internal, lifetime_s);
    let external = if lifetime_s == 0 { 0 } else { GIVEN };
    [&head[..], &internal.to_be_bytes(), &external.to_be_bytes(), &lifetime_s.to_be_bytes()].concat()
}

/// A gateway on the port that both protocols have.
async fn gateway(ip: [u8; 4], answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) {
    let socket = UdpSocket::bind(SocketAddr::from((ip, crab_nat::GATEWAY_PORT))).await.unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 1_100];
        loop {
            let (len, from) = socket.recv_from(&mut bytes).await.unwrap();
            socket.send_to(&answer(&bytes[..len]), from).await.unwrap();
        }
    });
}

#[tokio::test(flavor = "current_thread")]
async fn pcp_maps_and_gives_back() {
    let table = Table::default();
    let ip = [127, 71, 0, 1];
    let held = Arc::clone(&table);
    gateway(ip, move |question| pcp_answer(question, &held, 7_200)).await;
    let mut mapping = acquire(&request(ip)).await.unwrap();
    let external = SocketAddr::from((EXTERNAL, GIVEN));
    let expected = PortMapping { external, protocol: MapProtocol::Pcp, lifetime_s: 7_200 };
    assert_eq!(mapping.info(), expected);
    assert_eq!(*table.lock().unwrap(), [(4790, 7_200)]);
    table.lock().unwrap().clear();
    mapping.renew().await.unwrap();
    assert_eq!(*table.lock().unwrap(), [(4790, 7_200)], "a renewal makes it again at a gateway that forgot it");
    mapping.release().await.unwrap();
    assert!(table.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_gateway_that_knows_natpmp_only_is_asked_by_natpmp() {
    let table = Table::default();
    let ip = [127, 71, 0, 2];
    let held = Arc::clone(&table);
    gateway(ip, move |question| natpmp_answer(question, &held)).await;
    let mapping = acquire(&request(ip)).await.unwrap();
    let external = SocketAddr::from((EXTERNAL, GIVEN));
    assert_eq!(mapping.info(), PortMapping { external, protocol: MapProtocol::NatPmp, lifetime_s: 7_200 });
    assert_eq!(*table.lock().unwrap(), [(4790, 7_200)]);
    mapping.release().await.unwrap();
    assert!(table.lock().unwrap().is_empty());
}

/// A UPnP device with the two services of an IGD; mappings have permanent leases only, as with many a home router.
async fn upnp_device(table: Table) -> SocketAddr {
    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/root.xml", http.local_addr().unwrap());
    let ssdp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let search = ssdp.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 1_500];
        loop {
            let (len, from) = ssdp.recv_from(&mut bytes).await.unwrap();
            let question = std::str::from_utf8(&bytes[..len]).unwrap();
            assert!(question.starts_with("M-SEARCH * HTTP/1.1") && question.contains("ssdp:discover"), "{question}");
            let st = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
            let answer = format!("HTTP/1.1 200 OK\r\nST: {st}\r\nLOCATION: {location}\r\nEXT:\r\n\r\n");
            ssdp.send_to(answer.as_bytes(), from).await.unwrap();
        }
    });
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = http.accept().await.unwrap();
            let question = read_request(&mut stream).await;
            let (status, body) = upnp_answer(&question, &table);
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    search
}

/// Head and body, by its Content-Length.
async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length:").map(|value| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "cut off: {text}");
    }
}

fn value<'a>(question: &'a str, tag: &str) -> &'a str {
    let (_, rest) = question.split_once(&format!("<{tag}>")).unwrap();
    rest.split_once(&format!("</{tag}>")).unwrap().0
}

fn upnp_answer(question: &str, table: &Table) -> (&'static str, String) {
    const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";
    let action = |name: &str| question.contains(&format!("{SERVICE}#{name}\""));
    let reply = |name: &str, body: &str| {
        let envelope = "xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"";
        let text = format!(
            "<?xml version=\"1.0\"?><s:Envelope {envelope}><s:Body><u:{name}Response xmlns:u=\"{SERVICE}\">{body}</u:{name}Response></s:Body></s:Envelope>"
        );
        ("200 OK", text)
    };
    if question.starts_with("GET /root.xml") {
        let service = format!("<service><serviceType>{SERVICE}</serviceType><controlURL>/ctl</controlURL></service>");
        return ("200 OK", format!("<root><device><serviceList>{service}</serviceList></device></root>"));
    }
    if action("GetExternalIPAddress") {
        return reply("GetExternalIPAddress", &format!("<NewExternalIPAddress>{EXTERNAL}</NewExternalIPAddress>"));
    }
    if action("DeletePortMapping") {
        set(table, value(question, "NewExternalPort").parse().unwrap(), 0);
        return reply("DeletePortMapping", "");
    }
    assert!(action("AddPortMapping"), "{question}");
    if value(question, "NewLeaseDuration") != "0" {
        let error = "<UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>725</errorCode><errorDescription>OnlyPermanentLeasesSupported</errorDescription></UPnPError>";
        let fault = format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>{error}</detail></s:Fault></s:Body></s:Envelope>"
        );
        return ("500 Internal Server Error", fault);
    }
    assert_eq!((value(question, "NewProtocol"), value(question, "NewInternalClient")), ("UDP", "127.0.0.1"));
    set(table, value(question, "NewExternalPort").parse().unwrap(), u32::MAX);
    reply("AddPortMapping", "")
}

#[tokio::test(flavor = "current_thread")]
async fn a_gateway_that_knows_upnp_only_is_asked_by_upnp_also_when_its_leases_are_permanent() {
    let table = Table::default();
    let search = upnp_device(Arc::clone(&table)).await;
    let mut mapping = acquire_from(&request([127, 0, 0, 1]), search).await.map_err(|error| panic!("{error}")).unwrap();
    let external = SocketAddr::from((EXTERNAL, 4790));
    assert_eq!(mapping.info(), PortMapping { external, protocol: MapProtocol::Upnp, lifetime_s: 7_200 });
    assert_eq!(*table.lock().unwrap(), [(4790, u32::MAX)]);
    mapping.renew().await.unwrap();
    mapping.release().await.unwrap();
    assert!(table.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_upnp_device_that_is_not_the_gateway_maps_nothing() {
    let table = Table::default();
    let search = upnp_device(Arc::clone(&table)).await;
    assert!(acquire_from(&request([127, 71, 0, 9]), search).await.is_err());
    assert!(table.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_mapping_is_kept_while_it_is_wanted_and_removed_when_it_is_not() {
    let table = Table::default();
    let ip = [127, 71, 0, 3];
    let held = Arc::clone(&table);
    gateway(ip, move |question| pcp_answer(question, &held, 2)).await;
    let mut mapper = PortMapper::renewing_after(Duration::from_millis(100));
    mapper.want(Some(request(ip)));
    assert_eq!(mapper.changed().await.unwrap().external, SocketAddr::from((EXTERNAL, GIVEN)));
    // The gateway is rebooted and forgets. Half of its two seconds later it knows again.
    table.lock().unwrap().clear();
    let began = Instant::now();
    while table.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(began.elapsed() < Duration::from_secs(5), "not renewed");
    }
    mapper.want(None);
    assert_eq!(mapper.changed().await, None);
    assert!(table.lock().unwrap().is_empty(), "given back");
    mapper.want(Some(request(ip)));
    assert!(mapper.changed().await.is_some());
    mapper.stop().await;
    assert!(table.lock().unwrap().is_empty(), "given back at the stop");
}
