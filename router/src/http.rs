//! `/metrics`, `/live` and `/ready` on a loopback address.
//!
//! A page in a browser on this machine must not read them (DNS rebinding): a request whose `Host` is a name, or which carries an `Origin`,
//! comes from a page and is refused. Programs that scrape use the address and send no `Origin`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::daemon::Job;

/// A loop that does not answer in this time is not alive: an iteration takes milliseconds, a slow disk a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// A scraper, a supervisor and a person, and some to spare; more wait.
const MAX_CONNECTIONS: usize = 16;
/// A request of a program on this machine takes no longer to arrive.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors left) the next one would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

type Answer = Response<Full<Bytes>>;

/// Serves until the daemon ends.
pub(crate) async fn serve(listener: TcpListener, jobs: mpsc::Sender<Job>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "metrics: accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let jobs = jobs.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&jobs, request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "metrics");
            }
            drop(permit);
        });
    }
}

async fn answer(jobs: &mpsc::Sender<Job>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    if !is_local_program(request.headers()) {
        return Ok(text(StatusCode::FORBIDDEN, "this address is for programs on this machine\n"));
    }
    let known = matches!(request.uri().path(), "/metrics" | "/live" | "/ready");
    if known && !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
        return Ok(refused);
    }
    Ok(match request.uri().path() {
        "/metrics" => metrics(jobs).await,
        "/live" => live(jobs).await,
        "/ready" => ready(jobs).await,
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /live and /ready\n"),
    })
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PLAIN));
    answer
}

fn is_local_program(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    !headers.contains_key(header::ORIGIN) && host.is_some_and(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

async fn ask<T>(jobs: &mpsc::Sender<Job>, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    let asked = async {
        jobs.send(job(sender)).await.ok()?;
        receiver.await.ok()
    };
    tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
}

async fn metrics(jobs: &mpsc::Sender<Job>) -> Answer {
    let Some(body) = ask(jobs, Job::Metrics).await else { return not_answering() };
    let mut answer = text(StatusCode::OK, body);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    answer
}

async fn live(jobs: &mpsc::Sender<Job>) -> Answer {
    match ask(jobs, Job::Ready).await {
        Some(_) => text(StatusCode::OK, "live\n"),
        None => not_answering(),
    }
}

async fn ready(jobs: &mpsc::Sender<Job>) -> Answer {
    match ask(jobs, Job::Ready).await {
        Some(Ok(())) => text(StatusCode::OK, "ready\n"),
        Some(Err(why)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        None => not_answering(),
    }
}

fn not_answering() -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, "the event loop does not answer\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pitfall_28_a_page_in_a_browser_gets_nothing() {
        let allowed = |pairs: &[(header::HeaderName, &str)]| {
            let headers = pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
            is_local_program(&headers)
        };
        for host in ["127.0.0.1:9090", "127.0.0.1", "[::1]:9090", "localhost:9090"] {
            assert!(allowed(&[(header::HOST, host)]), "{host}");
            assert!(!allowed(&[(header::HOST, host), (header::ORIGIN, "http://evil.example")]), "{host} from a page");
        }
        for host in
            ["evil.example:9090", "127.0.0.1.evil.example", "192.0.2.1:9090", "[::1.evil]:9090", "", "localhost.evil"]
        {
            assert!(!allowed(&[(header::HOST, host)]), "{host:?} is a rebound name");
        }
        assert!(!allowed(&[]), "no host at all");
    }
}
