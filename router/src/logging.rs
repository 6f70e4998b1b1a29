//! Logs on standard error. Inner addresses and payloads appear at TRACE only, secrets never.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

/// Changes the filter while the daemon runs.
pub(crate) struct LogControl {
    handle: Handle<Targets, Registry>,
}

/// Whether `filter` is one.
pub(crate) fn check(filter: &str) -> Result<(), String> {
    parse(filter).map(|_| ())
}

// `Targets`, not `EnvFilter`: the same words without a regex engine, a quarter of a megabyte on a router's flash.
fn parse(filter: &str) -> Result<Targets, String> {
    filter.parse::<Targets>().map_err(|_| {
        "it must be a level (error, warn, info, debug, trace) or a filter like \"info,netflowd=debug\"".to_owned()
    })
}

/// Starts logging.
pub(crate) fn start(filter: &str) -> Result<LogControl, String> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let output =
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_target(false);
    tracing_subscriber::registry().with(filter).with(output).try_init().map_err(|error| error.to_string())?;
    Ok(LogControl { handle })
}

impl LogControl {
    /// Replaces the filter.
    pub(crate) fn set(&self, filter: &str) {
        match parse(filter) {
            Ok(filter) => {
                if let Err(error) = self.handle.reload(filter) {
                    tracing::warn!(%error, "cannot change the log filter");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot change the log filter"),
        }
    }
}
