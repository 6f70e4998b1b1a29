//! `/metrics` in the text format of Prometheus. Only totals: no addresses, no names, nothing about who talks to whom.

use netflow_overlay::node::{Counters, RelayStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::io::IoCounters;

/// How often traffic took another path since the start, each class of traffic counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PathChanges {
    /// The path before would have gone on working.
    pub(crate) voluntary: u64,
    /// It was dead.
    pub(crate) forced: u64,
}

/// One reading of everything.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) uptime_s: u64,
    pub(crate) networks_wanted: usize,
    pub(crate) networks_up: usize,
    pub(crate) links_up: usize,
    pub(crate) links_by_stream: usize,
    pub(crate) stream_frames_dropped: u64,
    pub(crate) extra_ports: usize,
    pub(crate) port_mapped: bool,
    pub(crate) peers_direct: usize,
    pub(crate) peers_relayed: usize,
    pub(crate) path_changes: PathChanges,
    pub(crate) node: Counters,
    pub(crate) io: IoCounters,
    pub(crate) quic_dropped: u64,
    pub(crate) relay: Option<RelayStatus>,
}

/// The text of a reading.
pub(crate) fn render(snapshot: &Snapshot) -> String {
    let mut registry = Registry::with_prefix("netflow");
    registry.register_collector(Box::new(Reading { counters: counters(snapshot), gauges: gauges(snapshot) }));
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => text,
        Err(error) => format!("# cannot encode: {error}\n"),
    }
}

type Row = (&'static str, &'static str, u64);

fn counters(snapshot: &Snapshot) -> Vec<Row> {
    let Snapshot { node, io, quic_dropped, stream_frames_dropped, path_changes, relay, .. } = snapshot;
    let mut rows = vec![
        ("rx_datagrams", "UDP datagrams of the data path received", node.rx_datagrams),
        ("rx_unknown", "Frames of no known kind, label or address", node.rx_unknown),
        ("rx_refused", "Frames that did not authenticate, and replays", node.rx_refused),
        ("rx_spoofed", "Packets from a peer with another's source address", node.rx_spoofed),
        ("tx_spoofed", "Packets from inside with a foreign source address", node.tx_spoofed),
        ("policy_denied", "Packets the policy denied", node.policy_denied),
        ("tx_no_route", "Packets to an address nobody has", node.tx_no_route),
        ("tx_too_big", "Packets from inside over the MTU", node.tx_too_big),
        ("queue_full", "Packets dropped because a queue was full", node.queue_full),
        ("rx_packets", "IP packets delivered to the inside", node.rx_packets),
        ("tx_packets", "IP packets sealed and sent", node.tx_packets),
        ("rx_known", "Of the IP packets delivered, those of flows the data path knew", node.rx_known),
        ("tx_known", "Of the IP packets sealed and sent, those of flows the data path knew", node.tx_known),
        ("rx_foreign", "UDP datagrams that are neither ours nor QUIC", io.rx_foreign),
        ("tx_dropped", "UDP datagrams the kernel did not take", io.tx_dropped),
        ("inside_dropped", "Packets a TUN did not take", io.inside_dropped),
        ("quic_dropped", "QUIC datagrams dropped because of overload", *quic_dropped),
        ("path_changes_voluntary", "Times traffic left a working path for a better one", path_changes.voluntary),
        ("path_changes_forced", "Times traffic left a path that had died", path_changes.forced),
        ("stream_frames_dropped", "Frames that links over TCP were too slow for", *stream_frames_dropped),
    ];
    if let Some(relay) = relay {
        rows.extend([
            ("relay_forwarded_frames", "Frames forwarded for others", relay.forwarded_frames),
            ("relay_forwarded_bytes", "Bytes forwarded for others", relay.forwarded_bytes),
            ("relay_dropped_frames", "Frames of no circuit", relay.dropped_frames),
            ("relay_quota_dropped_frames", "Frames over rate or quota", relay.quota_dropped_frames),
            (
                "relay_queue_dropped_frames",
                "Frames that did not fit into the queue of their network",
                relay.queue_dropped_frames,
            ),
            ("relay_forged_adverts", "Link states whose signature did not hold", relay.forged_adverts),
        ]);
    }
    rows
}

fn gauges(snapshot: &Snapshot) -> Vec<Row> {
    let size = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut rows = vec![
        ("uptime_seconds", "Seconds since the start", snapshot.uptime_s),
        ("networks_wanted", "Networks that shall be up", size(snapshot.networks_wanted)),
        ("networks_up", "Networks that are up", size(snapshot.networks_up)),
        ("control_links", "Control links that are up", size(snapshot.links_up)),
        (
            "control_links_stream",
            "Control links that are up and carried by TLS over TCP",
            size(snapshot.links_by_stream),
        ),
        ("udp_ports_extra", "UDP ports open beside the main one", size(snapshot.extra_ports)),
        ("peers_direct", "Peers sent to without a relay", size(snapshot.peers_direct)),
        ("peers_relayed", "Peers sent to through relays", size(snapshot.peers_relayed)),
        ("port_mapped", "1 while the gateway maps a port to this node", u64::from(snapshot.port_mapped)),
    ];
    if let Some(relay) = &snapshot.relay {
        rows.extend([
            ("relay_bindings", "Nodes with a bound address", size(relay.bindings)),
            ("relay_circuits", "Circuits open", size(relay.circuits)),
            (
                "relay_mesh_links",
                "Links to relays of the mesh that are up",
                size(relay.mesh.iter().filter(|mesh| mesh.up).count()),
            ),
            ("relay_networks", "Networks hosted", size(relay.networks.len())),
        ]);
    }
    rows
}

#[derive(Debug)]
struct Reading {
    counters: Vec<Row>,
    gauges: Vec<Row>,
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in &self.counters {
            let metric = ConstCounter::new(*value);
            metric.encode(encoder.encode_descriptor(name, help, None, EncodeMetric::metric_type(&metric))?)?;
        }
        for (name, help, value) in &self.gauges {
            let metric = ConstGauge::new(i64::try_from(*value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, EncodeMetric::metric_type(&metric))?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_text_that_prometheus_reads() {
        let snapshot = Snapshot {
            uptime_s: 7,
            networks_wanted: 1,
            networks_up: 1,
            links_up: 2,
            links_by_stream: 1,
            stream_frames_dropped: 0,
            extra_ports: 0,
            port_mapped: true,
            peers_direct: 3,
            peers_relayed: 1,
            path_changes: PathChanges { voluntary: 1, forced: 2 },
            node: Counters { rx_packets: 42, ..Counters::default() },
            io: IoCounters::default(),
            quic_dropped: 0,
            relay: None,
        };
        let text = render(&snapshot);
        assert!(text.contains("netflow_rx_packets_total 42\n"), "{text}");
        assert!(text.contains("netflow_control_links 2\n"), "{text}");
        assert!(text.contains("netflow_control_links_stream 1\n"), "{text}");
        assert!(text.contains("netflow_peers_direct 3\n"), "{text}");
        assert!(text.contains("netflow_path_changes_forced_total 2\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
