//! UPnP Internet Gateway Device (UDA 1.1, WANIPConnection 1 and 2, WANPPPConnection 1), as little of it as one UDP port needs.
//!
//! Written here because the libraries for it bring a URL parser, the Unicode tables of international names, an XML tree and an HTTP client:
//! a tenth of the daemon, to talk to one machine about one number. All answers come from the gateway and from nobody else on the LAN, and are
//! bounded in size and time; nothing in them is followed to another address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket};

use super::Request;

/// Where devices are searched (UDA 1.1, 1.3.2).
pub(super) const SEARCH: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900));
/// Devices wait a random part of this before they answer (MX).
const SEARCH_MX_S: u32 = 1;
/// How often, and how long each time, an answer is waited for.
const SEARCH_ROUNDS: u32 = 2;
const SEARCH_PATIENCE: Duration = Duration::from_millis(1_500);
/// One HTTP exchange with the gateway.
const HTTP_PATIENCE: Duration = Duration::from_secs(3);
/// Largest answer: descriptions of home routers are 2 to 20 KiB.
const MAX_ANSWER: usize = 256 * 1024;
/// External ports tried when the wished one is somebody else's.
const MAX_PORTS: usize = 4;
/// What people see in the list of their router.
const DESCRIPTION: &str = "netflowd";
/// Services that map ports, the better one first.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// "The specified port mapping entry conflicts with a mapping assigned previously to another client" (WANIPConnection 1, 2.4.16).
const CONFLICT: &str = "718";
/// "The NAT implementation only supports permanent lease times on port mappings".
const ONLY_PERMANENT: &str = "725";

/// A mapping; UPnP names it by its external port.
pub(super) struct Upnp {
    service: Service,
    client: Ipv4Addr,
    port: u16,
    /// Where the world reaches the port.
    pub(super) external: SocketAddr,
    /// Seconds; 0: for ever.
    pub(super) lifetime_s: u32,
}

/// Where the gateway takes orders.
struct Service {
    at: SocketAddr,
    path: String,
    kind: &'static str,
    source: Ipv4Addr,
}

/// Why an order was not followed: the UPnP error code if the gateway gave one, and a line for the log.
struct Refusal {
    code: String,
    text: String,
}

impl Upnp {
    /// Searches the gateway and maps the port.
    pub(super) async fn map(request: &Request, search: SocketAddr, lifetime_s: u32) -> Result<Self, String> {
        let location = find(request, search).await?;
        let service = Service::read(request, &location).await?;
        let port = request.port.get();
        let external = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let mut upnp = Self { service, client: request.source, port, external, lifetime_s };
        upnp.renew().await?;
        Ok(upnp)
    }

    /// Makes the mapping (again).
    pub(super) async fn renew(&mut self) -> Result<(), String> {
        let ip = self.service.external_ip().await?;
        let mut wished = self.external.port();
        for _ in 0..MAX_PORTS {
            match self.add(wished).await {
                Ok(()) => {
                    self.external = SocketAddr::new(ip, wished);
                    return Ok(());
                }
                Err(refusal) if refusal.code == ONLY_PERMANENT && self.lifetime_s > 0 => self.lifetime_s = 0,
                Err(refusal) if refusal.code == CONFLICT => wished = random_port(),
                Err(refusal) => return Err(refusal.text),
            }
        }
        Err("the gateway gives no port".to_owned())
    }

    async fn add(&self, external: u16) -> Result<(), Refusal> {
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort><NewProtocol>UDP</NewProtocol>\
             <NewInternalPort>{}</NewInternalPort><NewInternalClient>{}</NewInternalClient><NewEnabled>1</NewEnabled>\
             <NewPortMappingDescription>{DESCRIPTION}</NewPortMappingDescription><NewLeaseDuration>{}</NewLeaseDuration>",
            self.port, self.client, self.lifetime_s
        );
        self.service.order("AddPortMapping", &arguments).await.map(drop)
    }

    /// Removes the mapping.
    pub(super) async fn release(&self) -> Result<(), String> {
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{}</NewExternalPort><NewProtocol>UDP</NewProtocol>",
            self.external.port()
        );
        self.service.order("DeletePortMapping", &arguments).await.map(drop).map_err(|refusal| refusal.text)
    }
}

/// Searches the gateway; returns the address of its description.
async fn find(request: &Request, search: SocketAddr) -> Result<String, String> {
    let socket = UdpSocket::bind(SocketAddr::new(request.source.into(), 0)).await.map_err(|error| error.to_string())?;
    for _ in 0..SEARCH_ROUNDS {
        for target in [
            "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
            "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
        ] {
            let question = format!(
                "M-SEARCH * HTTP/1.1\r\nHOST: {search}\r\nMAN: \"ssdp:discover\"\r\nMX: {SEARCH_MX_S}\r\nST: {target}\r\n\r\n"
            );
            socket.send_to(question.as_bytes(), search).await.map_err(|error| error.to_string())?;
        }
        if let Ok(found) = tokio::time::timeout(SEARCH_PATIENCE, answer_of(&socket, request.gateway)).await {
            return found;
        }
    }
    Err("no UPnP gateway answers".to_owned())
}

/// Any device on the LAN may answer the search. Only the one that our packets go through can map anything.
async fn answer_of(socket: &UdpSocket, gateway: Ipv4Addr) -> Result<String, String> {
    let mut bytes = [0; 1_500];
    loop {
        let (len, from) = socket.recv_from(&mut bytes).await.map_err(|error| error.to_string())?;
        let answer = bytes.get(..len).unwrap_or_default();
        if from.ip() == IpAddr::V4(gateway)
            && let Ok(text) = std::str::from_utf8(answer)
            && let Some(location) = header(text, "location")
        {
            return Ok(location.to_owned());
        }
    }
}

impl Service {
    /// Reads the description and finds the service that maps ports.
    async fn read(request: &Request, location: &str) -> Result<Self, String> {
        let (at, path) = place(location, request.gateway).ok_or("the gateway's description is somewhere else")?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
        let (_, xml) = http(request.source, at, &head).await?;
        let (kind, control) = SERVICES
            .iter()
            .find_map(|kind| Some((*kind, control_url(&xml, kind)?)))
            .ok_or("the gateway has no service that maps ports")?;
        let (at, path) = match place(&control, request.gateway) {
            Some(place) => place,
            None if control.contains("://") => return Err("the gateway's service is somewhere else".to_owned()),
            None => (at, format!("/{}", control.trim_start_matches('/'))),
        };
        Ok(Self { at, path, kind, source: request.source })
    }

    async fn external_ip(&self) -> Result<IpAddr, String> {
        let xml = self.order("GetExternalIPAddress", "").await.map_err(|refusal| refusal.text)?;
        let ip = text_of(&xml, "NewExternalIPAddress").and_then(|text| text.trim().parse::<Ipv4Addr>().ok());
        ip.map(IpAddr::V4).ok_or_else(|| "the gateway does not say its external address".to_owned())
    }

    /// One SOAP action.
    async fn order(&self, action: &str, arguments: &str) -> Result<String, Refusal> {
        let Self { at, path, kind, source } = self;
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{kind}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        );
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {at}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: \"{kind}#{action}\"\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let failed = |text| Refusal { code: String::new(), text };
        let (status, xml) = http(*source, *at, &request).await.map_err(failed)?;
        if status == 200 {
            return Ok(xml);
        }
        let code = text_of(&xml, "errorCode").unwrap_or_default().trim().to_owned();
        let why = text_of(&xml, "errorDescription").unwrap_or_default();
        Err(Refusal { text: format!("the gateway refuses {action}: {status} {code} {why}"), code })
    }
}

/// One HTTP exchange: status and body.
async fn http(source: Ipv4Addr, to: SocketAddr, request: &str) -> Result<(u16, String), String> {
    let exchange = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source.into(), 0))?;
        let mut stream = socket.connect(to).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        // The gateway was asked to close; one that keeps the connection open is read until its body is complete.
        while !is_complete(&answer) && answer.len() < MAX_ANSWER {
            if stream.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(HTTP_PATIENCE, exchange).await;
    let answer = answer.map_err(|_| format!("{to} does not answer"))?.map_err(|error| format!("{to}: {error}"))?;
    parse_answer(&answer).ok_or_else(|| format!("{to} does not speak HTTP"))
}

/// Whether a body with a known length is there as a whole.
fn is_complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    match header(head, "content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => body.len() >= length,
        None => header(head, "transfer-encoding").is_some() && body.ends_with("0\r\n\r\n"),
    }
}

fn parse_answer(answer: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split_whitespace().nth(1)?.parse().ok()?;
    let is_chunked = header(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    Some((status, if is_chunked { unchunk(body) } else { body.to_owned() }))
}

/// RFC 9112, 7.1; what is wrong ends the body.
fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = size.split(';').next().unwrap_or_default().trim();
        let Some(size) = usize::from_str_radix(size, 16).ok().filter(|size| *size > 0) else { break };
        let Some((chunk, after)) = after.split_at_checked(size) else { break };
        body.push_str(chunk);
        rest = after.strip_prefix("\r\n").unwrap_or(after);
    }
    body
}

/// The value of a header, by its name in lower case.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Address and path of `http://ADDRESS[:PORT]/PATH`, when it is at the gateway.
fn place(url: &str, gateway: Ipv4Addr) -> Option<(SocketAddr, String)> {
    let rest = url.trim().strip_prefix("http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (ip, port) = host.split_once(':').unwrap_or((host, "80"));
    let (ip, port): (Ipv4Addr, u16) = (ip.parse().ok()?, port.parse().ok()?);
    let is_clean = path.bytes().all(|byte| byte.is_ascii_graphic());
    (ip == gateway && port != 0 && is_clean).then(|| (SocketAddr::new(ip.into(), port), format!("/{path}")))
}

/// The control URL of the service of this type.
fn control_url(xml: &str, kind: &str) -> Option<String> {
    let services = xml.split("<service>").skip(1).filter_map(|rest| rest.split("</service>").next());
    let service =
        services.into_iter().find(|service| text_of(service, "serviceType").is_some_and(|text| text.trim() == kind))?;
    let url = text_of(service, "controlURL")?.trim().replace("&amp;", "&");
    (!url.is_empty() && url.bytes().all(|byte| byte.is_ascii_graphic())).then_some(url)
}

/// The text of the first element with this local name, whatever its namespace.
fn text_of<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    xml.split('<').skip(1).find_map(|element| {
        let (tag, text) = element.split_once('>')?;
        let tag = tag.split_whitespace().next()?;
        let local = tag.rsplit(':').next()?;
        (local == name && !tag.starts_with('/')).then_some(text)
    })
}

/// A port in the dynamic range (RFC 6335, 6).
fn random_port() -> u16 {
    let mut random = [0; 2];
    // Without randomness it is the first of the range, and the gateway refuses it or not.
    let _ = getrandom::fill(&mut random);
    0xc000 | (u16::from_be_bytes(random) & 0x3fff)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_places_at_the_gateway_are_gone_to() {
        let gateway = Ipv4Addr::new(192, 168, 1, 1);
        let (at, path) = place("http://192.168.1.1:5000/rootDesc.xml", gateway).unwrap();
        assert_eq!((at.to_string().as_str(), path.as_str()), ("192.168.1.1:5000", "/rootDesc.xml"));
        assert_eq!(place("http://192.168.1.1", gateway).unwrap().0.port(), 80);
        for elsewhere in [
            "http://192.168.1.2:5000/x",
            "https://192.168.1.1/x",
            "http://router.lan/x",
            "http://192.168.1.1:0/x",
            "http://192.168.1.1/a b\r\nHost: c",
            "",
        ] {
            assert_eq!(place(elsewhere, gateway), None, "{elsewhere}");
        }
    }

    #[test]
    fn descriptions_are_read_with_any_namespace_and_answers_in_any_coding() {
        let service = |kind: &str, url: &str| {
            format!("<service><serviceType>{kind}</serviceType><controlURL>{url}</controlURL></service>")
        };
        let xml = service("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3")
            + &service(SERVICES[1], "/ctl?a=1&amp;b=2");
        assert_eq!(control_url(&xml, SERVICES[1]).as_deref(), Some("/ctl?a=1&b=2"));
        assert_eq!(control_url(&xml, SERVICES[0]), None);
        assert_eq!(control_url(&service(SERVICES[1], "/a\r\nb"), SERVICES[1]), None);
        assert_eq!(text_of("<m:NewIP xmlns:m=\"x\">1.2.3.4</m:NewIP>", "NewIP"), Some("1.2.3.4"));
        assert_eq!(text_of("<a></NewIP>x", "NewIP"), None);
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        assert!(is_complete(chunked));
        assert_eq!(parse_answer(chunked), Some((200, "abcde".to_owned())));
        let plain = b"HTTP/1.0 500 Error\r\ncontent-length: 2\r\n\r\nno";
        assert!(is_complete(plain) && !is_complete(plain.split_last().unwrap().1));
        assert_eq!(parse_answer(plain), Some((500, "no".to_owned())));
        assert_eq!(parse_answer(b"SSH-2.0-dropbear\r\n\r\n"), None);
    }

    #[test]
    fn whatever_a_device_says_is_read_without_a_panic() {
        proptest::proptest!(|(text: String, name in "[a-z]{1,5}", bytes: Vec<u8>)| {
            let _ = (text_of(&text, &name), control_url(&text, &name), place(&text, Ipv4Addr::LOCALHOST));
            let _ = (unchunk(&text), header(&text, &name), is_complete(&bytes), parse_answer(&bytes));
        });
    }
}
