//! A port of the home gateway that leads to our main port: asked for by PCP, NAT-PMP or UPnP, kept alive, and given back.
//!
//! One task does the asking, so that a gateway that takes seconds to answer, or never does, holds nothing up. The loop tells it what is wanted
//! ([`PortMapper::want`]) and hears of every change of what is there ([`PortMapper::changed`]).

mod protocols;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests fail loudly"
)]
mod tests;
mod upnp;

use std::net::Ipv4Addr;
use std::num::NonZeroU16;
use std::time::Duration;

use netflow_overlay::node::PortMapping;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use protocols::Mapping;

/// A gateway that gave no mapping is asked again after this time, which doubles up to the longest: routers are rebooted and reconfigured.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const MAX_RETRY: Duration = Duration::from_secs(3600);
/// A renewal that failed is tried again after this time, until the mapping has run out.
const RENEW_RETRY: Duration = Duration::from_secs(30);
/// Renewed no more often than this, however short the gateway's promises are.
const MIN_RENEWAL: Duration = Duration::from_secs(30);
/// A stop waits no longer than this for the gateway to take the mapping back; it runs out by itself.
const STOP_PATIENCE: Duration = Duration::from_millis(800);

/// What is to be mapped, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// The gateway of the default route.
    pub(crate) gateway: Ipv4Addr,
    /// Our address towards it.
    pub(crate) source: Ipv4Addr,
    /// The port to map, UDP.
    pub(crate) port: NonZeroU16,
}

/// The loop's end of the task.
pub(crate) struct PortMapper {
    wish: watch::Sender<Option<Request>>,
    news: mpsc::Receiver<Option<PortMapping>>,
    task: JoinHandle<()>,
}

impl PortMapper {
    /// Starts the task; it does nothing until something is wanted.
    pub(crate) fn start() -> Self {
        Self::renewing_after(MIN_RENEWAL)
    }

    fn renewing_after(min_renewal: Duration) -> Self {
        let (wish, wished) = watch::channel(None);
        // One is enough: the task waits until its last news was read.
        let (teller, news) = mpsc::channel(1);
        Self { wish, news, task: tokio::spawn(Keeper { wished, teller, min_renewal }.run()) }
    }

    /// Wants a mapping, another one, or none any more.
    pub(crate) fn want(&self, request: Option<Request>) {
        self.wish.send_if_modified(|wish| {
            let is_new = *wish != request;
            *wish = request;
            is_new
        });
    }

    /// Waits for the next change of what is mapped.
    pub(crate) async fn changed(&mut self) -> Option<PortMapping> {
        match self.news.recv().await {
            Some(news) => news,
            // The task ends with this value only.
            None => std::future::pending().await,
        }
    }

    /// Gives the mapping back, and ends the task.
    pub(crate) async fn stop(&mut self) {
        self.news.close();
        self.wish.send_replace(None);
        let _ = tokio::time::timeout(STOP_PATIENCE, &mut self.task).await;
    }
}

/// The task.
struct Keeper {
    wished: watch::Receiver<Option<Request>>,
    teller: mpsc::Sender<Option<PortMapping>>,
    min_renewal: Duration,
}

impl Keeper {
    async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            let wish = *self.wished.borrow_and_update();
            let Some(request) = wish else {
                // Nobody listens any more: the daemon stops.
                if self.teller.is_closed() || self.wished.changed().await.is_err() {
                    return;
                }
                retry = FIRST_RETRY;
                continue;
            };
            let acquired = tokio::select! {
                acquired = protocols::acquire(&request) => acquired,
                _ = self.wished.changed() => continue,
            };
            match acquired {
                Ok(mapping) => {
                    retry = FIRST_RETRY;
                    tracing::info!(external = %mapping.info().external, protocol = ?mapping.info().protocol, "port mapped at the gateway");
                    self.tell(Some(mapping.info())).await;
                    self.keep(mapping).await;
                    self.tell(None).await;
                }
                Err(error) => {
                    tracing::debug!(gateway = %request.gateway, error, "no port mapping");
                    let changed = tokio::time::timeout(retry, self.wished.changed()).await;
                    retry = if changed.is_ok() { FIRST_RETRY } else { (retry * 2).min(MAX_RETRY) };
                }
            }
        }
    }

    /// Keeps a mapping until it is not wanted any more (then it is given back) or is lost.
    async fn keep(&mut self, mut mapping: Mapping) {
        let lifetime = |mapping: &Mapping| Duration::from_secs(mapping.info().lifetime_s.into());
        let mut due = Instant::now() + (lifetime(&mapping) / 2).max(self.min_renewal);
        let mut end = Instant::now() + lifetime(&mapping).max(self.min_renewal);
        loop {
            tokio::select! {
                // Whatever is wanted now is not this one: the loop tells of changes only.
                _ = self.wished.changed() => {
                    if let Err(error) = mapping.release().await {
                        tracing::debug!(error, "the gateway did not take the port mapping back");
                    }
                    // The new wish is still to be seen.
                    self.wished.mark_changed();
                    return;
                }
                () = tokio::time::sleep_until(due) => {}
            }
            let before = mapping.info();
            match mapping.renew().await {
                Ok(()) => {
                    due = Instant::now() + (lifetime(&mapping) / 2).max(self.min_renewal);
                    end = Instant::now() + lifetime(&mapping).max(self.min_renewal);
                    if mapping.info() != before {
                        self.tell(Some(mapping.info())).await;
                    }
                }
                Err(error) if Instant::now() >= end => {
                    tracing::info!(error, "the port mapping is lost");
                    return;
                }
                Err(error) => {
                    tracing::debug!(error, "the port mapping is not renewed yet");
                    due = Instant::now() + RENEW_RETRY;
                }
            }
        }
    }

    async fn tell(&self, news: Option<PortMapping>) {
        // It fails only when the daemon stops.
        let _ = self.teller.send(news).await;
    }
}
