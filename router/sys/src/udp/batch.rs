//! What goes into a send call and what comes out of a receive call.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use quinn_udp::{EcnCodepoint, RecvMeta};

use super::canonical;

/// Buffers of one receive call. Each may hold up to 64 KiB of merged datagrams; eight keep the batch at 512 KiB of resident memory. All sockets
/// of the daemon share one batch.
const RECV_BUFFERS: usize = 8;
/// The largest UDP payload, and so the largest merged receive.
const MAX_MERGED: usize = 65_535;

/// One datagram, or several of equal size for one destination.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where to; IPv4 in its own form or mapped.
    pub to: SocketAddr,
    /// The payloads, one after the other.
    pub bytes: &'a [u8],
    /// Size of each payload but the last, when there is more than one.
    pub segment_size: Option<usize>,
    /// Source address to use; `None` lets the kernel choose.
    pub from: Option<IpAddr>,
    /// Congestion mark of the outer header.
    pub ecn: Option<EcnCodepoint>,
}

/// One received datagram.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Who sent it; IPv4 always in its own form, never mapped.
    pub from: SocketAddr,
    /// The local address it came to.
    pub to_ip: Option<IpAddr>,
    /// Congestion mark of the outer header.
    pub ecn: Option<EcnCodepoint>,
    /// The payload.
    pub bytes: &'a mut [u8],
}

/// Datagrams of one sender that the kernel merged.
#[derive(Debug)]
pub struct Run<'a> {
    /// Who sent them; IPv4 always in its own form, never mapped.
    pub from: SocketAddr,
    /// The local address they came to.
    pub to_ip: Option<IpAddr>,
    /// Congestion mark of the outer headers: the kernel merges only equal ones.
    pub ecn: Option<EcnCodepoint>,
    /// The payloads, one behind the other.
    pub bytes: &'a mut [u8],
    /// Size of each but the last, which may be shorter.
    pub stride: usize,
}

impl<'a> Run<'a> {
    /// One by one.
    pub fn datagrams(self) -> impl Iterator<Item = Incoming<'a>> {
        let Self { from, to_ip, ecn, bytes, stride } = self;
        bytes.chunks_mut(stride).map(move |bytes| Incoming { from, to_ip, ecn, bytes })
    }
}

/// Buffers of receive calls, reused for the life of the daemon.
pub struct RecvBatch {
    storage: Vec<Vec<u8>>,
    metas: [RecvMeta; RECV_BUFFERS],
    filled: usize,
}

impl std::fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecvBatch").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl Default for RecvBatch {
    fn default() -> Self {
        let storage = (0..RECV_BUFFERS).map(|_| vec![0; MAX_MERGED]).collect();
        Self { storage, metas: [RecvMeta::default(); RECV_BUFFERS], filled: 0 }
    }
}

impl RecvBatch {
    /// Runs one receive call over the buffers.
    pub(super) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.filled = 0;
        let mut buffers = self.storage.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect::<Vec<_>>();
        self.filled = receive(&mut buffers, &mut self.metas)?;
        Ok(())
    }

    /// What the kernel merged: datagrams of one sender one behind the other, `stride` bytes each, the last perhaps shorter.
    pub fn runs(&mut self) -> impl Iterator<Item = Run<'_>> {
        self.storage.iter_mut().zip(&self.metas).take(self.filled).map(|(buffer, meta)| Run {
            from: canonical(meta.addr),
            to_ip: meta.dst_ip.map(|ip| ip.to_canonical()),
            ecn: meta.ecn,
            bytes: buffer.get_mut(..meta.len).unwrap_or_default(),
            // A stride of zero would only come from a broken kernel; chunks_mut panics on it.
            stride: meta.stride.max(1),
        })
    }

    /// The datagrams of the last receive, in order of arrival.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Incoming<'_>> {
        self.runs().flat_map(Run::datagrams)
    }
}
