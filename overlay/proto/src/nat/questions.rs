//! What a classification of the NAT asks for.

use std::net::SocketAddr;

use netflow_wire::NodeId;
use netflow_wire::stun::{BindingRequest, TRANSACTION_LEN};
use rand_core::CryptoRng;

use crate::endpoint::PortId;

/// What the node is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Send this STUN request.
    Stun { port: PortId, to: SocketAddr, transaction: [u8; TRANSACTION_LEN] },
    /// Open one local port.
    OpenPort,
    /// It is not needed any more.
    ClosePort(PortId),
    /// Ask a relay for a frame 0x1D.
    ProbeMe { relay: NodeId, addr: SocketAddr, token: u64, alt: bool },
    /// The results changed: tell peers.
    Changed,
}

/// Names one request.
pub(crate) fn transaction(rng: &mut dyn CryptoRng) -> [u8; TRANSACTION_LEN] {
    let mut bytes = [0; TRANSACTION_LEN];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// The datagram of a [`Ask::Stun`].
pub(crate) fn request(transaction: [u8; TRANSACTION_LEN]) -> Vec<u8> {
    BindingRequest { transaction }.to_bytes().to_vec()
}
