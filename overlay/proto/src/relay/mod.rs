//! Relay circuits, both ends: the service others use ([`RelayServer`]) and this node's bindings at the relays it uses.
//!
//! Spec: `docs/spec/wire.md`, sections "Relay" and "Relay bind". A relay is trusted with availability only.

mod auth;
mod batch;
mod bind;
mod bucket;
mod circuits;
mod client;
mod config;
mod hosted;
mod mesh;
mod neighbour;
mod quota;
mod server;
mod server_admission;
mod server_circuits;
mod server_extend;
mod server_forward;
mod server_join;
mod server_links;
mod server_log;
mod server_mesh;
mod server_paths;
mod server_probes;
mod server_status;
mod shaper;
mod wishes;

pub(crate) use batch::{Pull, batches, gap_ranges};
pub(crate) use bucket::Bucket;
pub(crate) use client::{BindClient, BindProgress};
pub use config::{Carrier, Grant, HostedInfo, LinkId, MeshInfo, Quota, RelayConfig, RelayStatus, Transit};
pub use server::{RelayOutput, RelayServer};
pub(crate) use server_join::reason_of;
