//! `/metrics`, `/live` and `/ready` on a loopback address.
//!
//! A page in a browser on this machine must not read them (DNS rebinding): a request whose `Host` is a name, or which carries an `Origin`,
//! comes from a page and is refused. Programs that scrape use the address and send no `Origin`.

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::daemon::Job;

/// A loop that does not answer in this time is not alive: an iteration takes milliseconds, a slow disk a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// Content type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until the daemon ends.
pub(crate) async fn serve(listener: TcpListener, jobs: mpsc::Sender<Job>) {
    if let Err(error) = axum::serve(listener, router(jobs)).await {
        tracing::error!(%error, "metrics are not served any more");
    }
}

fn router(jobs: mpsc::Sender<Job>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .layer(from_fn(local_programs_only))
        .with_state(jobs)
}

async fn local_programs_only(request: Request, next: Next) -> Response {
    if is_local_program(request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "this address is for programs on this machine\n").into_response()
    }
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

async fn metrics(State(jobs): State<mpsc::Sender<Job>>) -> Response {
    match ask(&jobs, Job::Metrics).await {
        Some(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        None => not_answering(),
    }
}

async fn live(State(jobs): State<mpsc::Sender<Job>>) -> Response {
    match ask(&jobs, Job::Ready).await {
        Some(_) => "live\n".into_response(),
        None => not_answering(),
    }
}

async fn ready(State(jobs): State<mpsc::Sender<Job>>) -> Response {
    match ask(&jobs, Job::Ready).await {
        Some(Ok(())) => "ready\n".into_response(),
        Some(Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
        None => not_answering(),
    }
}

fn not_answering() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the event loop does not answer\n").into_response()
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
