//! Who may call through somebody's browser.
//!
//! A page from anywhere can make the browser of an operator send requests to a port on the operator's machine, and by DNS rebinding (its
//! own name suddenly resolves to 127.0.0.1) even read the answers. What the page cannot do is lie in `Host` and `Origin`, which
//! the browser writes. So a request must name a host of the configuration, or an address (which nobody can rebind), and when a page
//! made it, the page must be one of the configuration. Pages that may call also get the CORS headers without which
//! the browser would not show them the answer. Programs send no `Origin`, and name the address they connect to.

use std::future::{Ready, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use tower::{Layer, Service};

/// Seconds a browser may remember that a page may call: as long as Chrome does by itself, 5 s, would double the requests.
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("600");
/// Browser extensions, wallets above all: what the user installed, not a page that came along.
const EXTENSIONS: [&str; 3] = ["chrome-extension", "moz-extension", "safari-web-extension"];

/// Hosts and pages that are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callers {
    /// Names in the `Host` header, without port; `*`: every one. Addresses always are.
    pub hosts: Vec<String>,
    /// Pages: a host (any scheme and port), or an origin such as `https://wallet.example`; `*`: every one. `localhost` also
    /// means the loopback addresses.
    pub origins: Vec<String>,
}

impl Default for Callers {
    fn default() -> Self {
        Self { hosts: vec!["localhost".to_owned()], origins: vec!["localhost".to_owned()] }
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judged {
    /// Nobody's page asked.
    Program,
    /// A page that may.
    Page(HeaderValue),
    /// The browser asks whether a page may.
    Preflight(HeaderValue),
    /// Not answered; why.
    Refused(&'static str),
}

impl Callers {
    fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Judged {
        let mut named = headers.get_all(header::HOST).iter();
        let host = named.next().map(|value| value.to_str().unwrap_or("?"));
        // HTTP/2 names it in the request line. Who names none is no browser.
        let host = uri.authority().map(http::uri::Authority::as_str).or(host);
        if named.next().is_some() || !host.is_none_or(|host| self.knows_host(host)) {
            return Judged::Refused("this host name is not answered here; see [rpc] hosts in netchaind.toml\n");
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Judged::Program };
        if origins.next().is_some() || !origin.to_str().is_ok_and(|it| self.knows_origin(it)) {
            return Judged::Refused(
                "pages of this origin are not answered here; see [rpc] origins in netchaind.toml\n",
            );
        }
        let asks = method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if asks { Judged::Preflight(origin.clone()) } else { Judged::Page(origin.clone()) }
    }

    fn knows_host(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        address_of(host).is_some() || self.hosts.iter().any(|known| known == "*" || same_host(known, host))
    }

    fn knows_origin(&self, origin: &str) -> bool {
        // "null", a page without an origin of its own, only counts where every page does.
        let Some((scheme, authority)) = origin.split_once("://") else {
            return self.origins.iter().any(|it| it == "*");
        };
        if EXTENSIONS.contains(&scheme) {
            return true;
        }
        let Some(host) = host_of(authority) else { return false };
        self.origins.iter().any(|known| match known.as_str() {
            "*" => true,
            "localhost" if address_of(host).is_some_and(|address| address.is_loopback()) => true,
            known if known.contains("://") => known.trim_end_matches('/').eq_ignore_ascii_case(origin),
            known => same_host(known, host),
        })
    }
}

/// The host of `host` or `host:port`, an IPv6 address with its brackets.
fn host_of(authority: &str) -> Option<&str> {
    let end = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, port) = authority.split_at_checked(end)?;
    let port_is_one = port.strip_prefix(':').is_none_or(|port| port.parse::<u16>().is_ok());
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty() && port_is_one && (port.is_empty() || port.starts_with(':'))).then_some(host)
}

fn address_of(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.map_or_else(|| host.parse().ok().filter(IpAddr::is_ipv4), |bare| bare.parse().ok().filter(IpAddr::is_ipv6))
}

fn same_host(known: &str, host: &str) -> bool {
    known.strip_suffix('.').unwrap_or(known).eq_ignore_ascii_case(host)
}

/// Puts [`Callers`] in front of the server.
#[derive(Clone, Debug)]
pub(crate) struct CallersLayer(pub(crate) Arc<Callers>);

impl<S> Layer<S> for CallersLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, callers: self.0.clone() }
    }
}

/// A service that answers only those who may call.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<S> {
    inner: S,
    callers: Arc<Callers>,
}

impl<S, B> Service<HttpRequest<B>> for Guarded<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        match self.callers.judge(request.method(), request.uri(), request.headers()) {
            Judged::Program => Box::pin(self.inner.call(request)),
            Judged::Page(origin) => {
                let answer = self.inner.call(request);
                Box::pin(async move { Ok(shown_to(answer.await?, origin)) })
            }
            Judged::Preflight(origin) => Box::pin(at_once(preflight(origin))),
            Judged::Refused(why) => {
                tracing::debug!(why, "a request is refused");
                let mut answer = HttpResponse::new(HttpBody::from(why));
                *answer.status_mut() = StatusCode::FORBIDDEN;
                Box::pin(at_once(answer))
            }
        }
    }
}

fn at_once<E>(answer: HttpResponse) -> Ready<Result<HttpResponse, E>> {
    ready(Ok(answer))
}

/// The answer with leave for the page to see it.
fn shown_to(mut answer: HttpResponse, origin: HeaderValue) -> HttpResponse {
    answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.headers_mut().insert(header::VARY, HeaderValue::from(header::ORIGIN));
    answer
}

fn preflight(origin: HeaderValue) -> HttpResponse {
    let mut answer = shown_to(HttpResponse::new(HttpBody::empty()), origin);
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::header::HeaderName;

    use super::*;

    fn judged(callers: &Callers, method: &Method, headers: &[(&str, &str)]) -> Judged {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        callers.judge(method, &Uri::from_static("/"), &map)
    }

    fn host(callers: &Callers, host: &str) -> bool {
        judged(callers, &Method::POST, &[("host", host)]) == Judged::Program
    }

    fn page(callers: &Callers, origin: &str) -> bool {
        let judged = judged(callers, &Method::POST, &[("host", "localhost:8545"), ("origin", origin)]);
        judged == Judged::Page(origin.parse().unwrap())
    }

    #[test]
    fn pitfall_28_a_name_that_was_rebound_to_this_machine_is_refused() {
        let callers = Callers::default();
        for good in [
            "localhost",
            "LOCALHOST:8545",
            "localhost.:8545",
            "127.0.0.1:8545",
            "192.168.1.7",
            "[::1]:8545",
            "[2001:db8::1]",
        ] {
            assert!(host(&callers, good), "{good}");
        }
        let bad = [
            "evil.example",
            "evil.example:8545",
            "localhost.evil.example",
            "evil.example.",
            "127.0.0.1.evil.example",
            "",
            ":8545",
            "localhost:x",
            "localhost:99999",
            "[::1",
            "[::1]evil",
            "::1",
            "[127.0.0.1]",
            "localhost@evil.example",
            "[evil]",
            "?",
        ];
        for bad in bad {
            assert!(!host(&callers, bad), "{bad}");
        }
        let two = judged(&callers, &Method::POST, &[("host", "localhost"), ("host", "evil.example")]);
        assert!(matches!(two, Judged::Refused(_)));
        assert_eq!(judged(&callers, &Method::POST, &[]), Judged::Program, "no browser");
        let named = Callers { hosts: vec!["node.example".to_owned()], ..Callers::default() };
        assert!(host(&named, "node.example:8545") && !host(&named, "localhost") && !host(&named, "x.node.example"));
        let all = Callers { hosts: vec!["*".to_owned()], ..Callers::default() };
        assert!(host(&all, "evil.example") && !host(&all, "[::1"));
    }

    #[test]
    fn the_host_of_the_request_line_counts_before_the_header() {
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost"))]);
        let judged = Callers::default().judge(&Method::POST, &Uri::from_static("http://evil.example/"), &headers);
        assert!(matches!(judged, Judged::Refused(_)));
    }

    #[test]
    fn pitfall_28_only_pages_of_the_configuration_and_installed_extensions_may_call() {
        let callers = Callers::default();
        for good in [
            "http://localhost:3000",
            "https://localhost",
            "http://127.0.0.1:8080",
            "http://[::1]:3000",
            "chrome-extension://nkbihfbeogaeaoehlefnkodbefgpgknn",
        ] {
            assert!(page(&callers, good), "{good}");
        }
        for bad in [
            "https://evil.example",
            "http://localhost.evil.example",
            "null",
            "http://93.184.216.34",
            "file://",
            "evil-extension://localhost.x",
            "",
        ] {
            assert!(!page(&callers, bad), "{bad}");
        }
        let exact = Callers { origins: vec!["https://wallet.example".to_owned()], ..Callers::default() };
        assert!(page(&exact, "https://wallet.example"));
        for bad in
            ["http://wallet.example", "https://wallet.example:444", "https://x.wallet.example", "http://localhost"]
        {
            assert!(!page(&exact, bad), "{bad}");
        }
        let all = Callers { origins: vec!["*".to_owned()], ..Callers::default() };
        assert!(page(&all, "https://evil.example") && page(&all, "null"));
    }

    #[test]
    fn a_browser_is_told_that_a_page_may_call_only_when_it_may() {
        let ask = |origin| {
            let headers = [("host", "localhost"), ("origin", origin), ("access-control-request-method", "POST")];
            judged(&Callers::default(), &Method::OPTIONS, &headers)
        };
        let Judged::Preflight(origin) = ask("http://localhost:3000") else { unreachable!("refused") };
        let answer = preflight(origin);
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        assert_eq!(answer.headers().get("access-control-allow-origin").unwrap(), "http://localhost:3000");
        assert!(matches!(ask("https://evil.example"), Judged::Refused(_)));
    }
}
