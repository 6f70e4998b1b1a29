//! The control API: what `netctl` and other local programs say to `netflowd`, version 1.
//!
//! A unix stream socket carries one JSON object per line (UTF-8, `\n`, at most [`MAX_LINE_BYTES`]).
//! The client sends [`Request`]s; for each one the daemon sends any number of [`Body::Event`] replies and then exactly one
//! [`Body::Result`] or [`Body::Error`], all with the `id` of the request. Requests of one connection are answered in order.
//!
//! * Daemon side: [`LineBuffer`] cuts the bytes into lines, [`Request::parse`] gives a typed [`Call`] or the reply to send instead.
//! * Client side: [`Request::new`], [`Reply::parse`], and [`Method`] ties each parameter struct to its result and event type.
//!
//! Compatibility: unknown fields in a reply are ignored, so results may grow inside a version. Unknown fields in the parameters
//! are refused: a daemon that silently dropped an option it does not know would do something else than was asked.
//! The same page in words, with examples: `docs/spec/control-api.md`.

mod codec;
mod error;
mod method;
mod params;
mod results;
mod secret;

pub use codec::{LineBuffer, LineError};
pub use error::{ApiError, ErrorCode};
pub use method::{Body, Call, METHODS, Method, Reply, Request};
pub use params::*;
pub use results::*;
pub use secret::Secret;

/// The version of this API; `api` in every line. A daemon refuses another one with [`ErrorCode::UnsupportedApi`].
pub const API_VERSION: u32 = 1;

/// Longest line in either direction, newline included: a member list of the largest network (some thousand members of
/// about 300 bytes) fits, and a hostile peer cannot make the other side buffer more than this.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Where the daemon listens unless its configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/netflow/netflowd.sock";

/// Environment variable that names another socket for `netctl`.
pub const SOCKET_ENV: &str = "NETFLOW_SOCKET";

/// Longest ping run one request may ask for; more is another request. Bounds the replies a stuck client can pile up.
pub const MAX_PING_COUNT: u32 = 10_000;
