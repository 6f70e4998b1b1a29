//! Results of `path` and `trace`: the ways to one member, and the hops of the one in use.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::PathKind;

/// What becomes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathState {
    /// Carries traffic of at least one class.
    Primary,
    /// Measured and kept open: takes over when the primary one dies.
    Warm,
    /// Open, measured rarely.
    Ready,
    /// Silent under traffic; probes are on their way.
    Suspect,
    /// Three probes in a row were lost.
    Dead,
    /// Was dead; begins to answer.
    Recovering,
    /// A state this version does not know.
    #[serde(other)]
    Unknown,
}

/// One path to a member, with what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathReport {
    /// How packets travel.
    pub kind: PathKind,
    /// Node ids of the relays, first hop first; empty for a direct path.
    #[serde(default)]
    pub hops: Vec<String>,
    /// Underlay address packets are sent to.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// What becomes of it.
    pub state: PathState,
    /// Classes whose traffic it carries now: `interactive`, `bulk`, `cheap`.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Smoothed round trip, milliseconds.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
    /// Mean deviation of the round trip, milliseconds.
    #[serde(default)]
    pub rtt_var_ms: Option<f64>,
    /// Lost packets and probes, percent.
    #[serde(default)]
    pub loss_pct: Option<f64>,
    /// Most that got through lately, bits per second; absent before there was traffic.
    #[serde(default)]
    pub goodput_bps: Option<u64>,
    /// Largest underlay packet that passes, bytes.
    #[serde(default)]
    pub mtu_bytes: Option<u16>,
}

/// Why a class of traffic takes the path it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathChoice {
    /// `interactive`, `bulk` or `cheap`.
    pub class: String,
    /// Position of the path in [`PathResult::paths`], from 0; absent when there is none.
    #[serde(default)]
    pub path: Option<u32>,
    /// One line.
    pub reason: String,
}

/// Result of `path`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PathResult {
    /// Node id of the member.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Every known path, those in use first.
    pub paths: Vec<PathReport>,
    /// One entry for each class.
    pub choices: Vec<PathChoice>,
}

/// One hop of `trace`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceHop {
    /// Node id.
    pub node: String,
    /// Its name, where it is a member of the network.
    #[serde(default)]
    pub name: Option<String>,
    /// `true` for a relay, `false` for the member at the end.
    pub relay: bool,
    /// Its underlay address, where this node knows it.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// Round trip from this node to that hop, milliseconds; absent when it did not answer or was not measured.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
}

/// Result of `trace`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TraceResult {
    /// Node id of the member.
    pub node: String,
    /// Its name.
    pub name: String,
    /// Whether the path is direct or relayed.
    pub kind: PathKind,
    /// From the first hop to the member itself.
    pub hops: Vec<TraceHop>,
    /// Why this path, one line.
    pub reason: String,
}
