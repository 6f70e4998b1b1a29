//! The libp2p behaviours of a node and their limits.

use std::time::Duration;

use alloy_primitives::keccak256;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, StreamProtocol, allow_block_list, identify, request_response};
use netchain_consensus::message::MAX_MESSAGE_BYTES;
use netchain_types::ChainDomain;

use crate::codec::SyncCodec;
use crate::task::NetError;

/// Connections others may open here.
const MAX_INCOMING: u32 = 128;
/// All connections: with the 20 other witnesses and as many again that this node sought.
const MAX_CONNECTIONS: u32 = 192;
/// TCP and QUIC to one peer, and one of each crossing.
const MAX_PER_PEER: u32 = 4;
/// Handshakes under way.
const MAX_PENDING: u32 = 64;
/// An answer of 4 MiB at 2 Mbit/s takes 17 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests of one peer at a time.
const MAX_REQUEST_STREAMS: usize = 8;

/// Names of the protocols of one chain instance: nodes of another chain have nothing to say to each other.
pub(crate) struct Names {
    pub(crate) consensus: StreamProtocol,
    pub(crate) sync: StreamProtocol,
    pub(crate) kad: StreamProtocol,
    pub(crate) identify: String,
    pub(crate) transactions: IdentTopic,
    pub(crate) blocks: IdentTopic,
    pub(crate) witnesses: IdentTopic,
}

impl Names {
    pub(crate) fn new(chain: &ChainDomain) -> Result<Self, NetError> {
        let digits: String = chain.genesis.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let base = format!("/nfc/{}-{digits}", chain.chain_id);
        let stream = |name: &str| {
            StreamProtocol::try_from_owned(format!("{base}/{name}/1")).map_err(|_| NetError::Setup("protocol name"))
        };
        let topic = |name: &str| IdentTopic::new(format!("{base}/{name}/1"));
        Ok(Self {
            consensus: stream("consensus")?,
            sync: stream("sync")?,
            kad: stream("kad")?,
            identify: format!("{base}/1"),
            transactions: topic("tx"),
            blocks: topic("block"),
            witnesses: topic("witness"),
        })
    }
}

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) limits: connection_limits::Behaviour,
    pub(crate) blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(crate) identify: identify::Behaviour,
    pub(crate) kad: kad::Behaviour<MemoryStore>,
    pub(crate) gossip: gossipsub::Behaviour,
    pub(crate) sync: request_response::Behaviour<SyncCodec>,
    pub(crate) streams: libp2p_stream::Behaviour,
}

impl Behaviour {
    pub(crate) fn new(key: &Keypair, names: &Names) -> Result<Self, NetError> {
        let peer = PeerId::from(key.public());
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(MAX_PENDING))
            .with_max_pending_outgoing(Some(MAX_PENDING))
            .with_max_established_incoming(Some(MAX_INCOMING))
            .with_max_established(Some(MAX_CONNECTIONS))
            .with_max_established_per_peer(Some(MAX_PER_PEER));
        let mut kad_config = kad::Config::new(names.kad.clone());
        kad_config.set_periodic_bootstrap_interval(Some(Duration::from_secs(60)));
        let mut kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), kad_config);
        kad.set_mode(Some(kad::Mode::Server));
        let sync = request_response::Behaviour::with_codec(
            SyncCodec,
            [(names.sync.clone(), request_response::ProtocolSupport::Full)],
            request_response::Config::default()
                .with_request_timeout(REQUEST_TIMEOUT)
                .with_max_concurrent_streams(MAX_REQUEST_STREAMS),
        );
        let identify = identify::Config::new(names.identify.clone(), key.public())
            .with_agent_version(concat!("netchaind/", env!("CARGO_PKG_VERSION")).to_owned());
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits),
            blocked: allow_block_list::Behaviour::default(),
            identify: identify::Behaviour::new(identify),
            kad,
            gossip: gossip(names)?,
            sync,
            streams: libp2p_stream::Behaviour::new(),
        })
    }
}

/// Messages are not signed by their forwarder: transactions, blocks and announcements carry their own signatures. Every one is
/// held until this node has judged it; who forwards bad ones loses its score, then its place in the mesh, then is not heard.
fn gossip(names: &Names) -> Result<gossipsub::Behaviour, NetError> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .max_transmit_size(MAX_MESSAGE_BYTES + 1_024)
        .duplicate_cache_time(Duration::from_secs(120))
        .heartbeat_interval(Duration::from_millis(700))
        .message_id_fn(|message: &gossipsub::Message| {
            MessageId::from(keccak256([message.topic.as_str().as_bytes(), &[0], &message.data].concat()).to_vec())
        })
        .build()
        .map_err(|_| NetError::Setup("gossip configuration"))?;
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config)
        .map_err(|_| NetError::Setup("gossip behaviour"))?;
    let topics = [&names.transactions, &names.blocks, &names.witnesses];
    let mut params = gossipsub::PeerScoreParams {
        // Test networks and data centres have many nodes behind one address.
        ip_colocation_factor_weight: 0.0,
        ..gossipsub::PeerScoreParams::default()
    };
    for topic in topics {
        // Slow delivery is no crime on a chain that is quiet for hours: only invalid messages cost.
        let score = gossipsub::TopicScoreParams {
            mesh_message_deliveries_weight: 0.0,
            mesh_failure_penalty_weight: 0.0,
            invalid_message_deliveries_weight: -10.0,
            ..gossipsub::TopicScoreParams::default()
        };
        params.topics.insert(topic.hash(), score);
    }
    gossip
        .with_peer_score(params, gossipsub::PeerScoreThresholds::default())
        .map_err(|_| NetError::Setup("gossip scores"))?;
    for topic in topics {
        gossip.subscribe(topic).map_err(|_| NetError::Setup("gossip topic"))?;
    }
    Ok(gossip)
}
