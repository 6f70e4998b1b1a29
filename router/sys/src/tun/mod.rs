//! One TUN device per network (`tun-rs`): packets in and out of the kernel, in batches when the kernel offers the vnet header.
//!
//! With offload the kernel hands over TCP super-packets of up to 64 KiB and computes no checksums; `tun-rs` splits them into packets of the
//! MTU, completes the checksums, and merges in the other direction.

mod merge;

use std::io;
use std::task::{Context, Poll};

use tun_rs::{AsyncDevice, DeviceBuilder, IDEAL_BATCH_SIZE, VIRTIO_NET_HDR_LEN};

pub use merge::{Merges, WriteBatch};

/// The device node; absent in a container that was not given it, or in a kernel without CONFIG_TUN.
pub const DEVICE_NODE: &str = "/dev/net/tun";
/// The largest super-packet.
const MAX_MERGED: usize = 65_535;

/// A TUN device; it disappears with this value, or with the process.
pub struct Tun {
    device: AsyncDevice,
    name: String,
}

impl std::fmt::Debug for Tun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tun").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tun {
    /// Creates the device `name`, down and without addresses: it goes up when its routes and filters stand.
    ///
    /// # Errors
    /// `AlreadyExists` / `ResourceBusy` when the name is taken, `PermissionDenied` without CAP_NET_ADMIN, `NotFound` without [`DEVICE_NODE`].
    pub fn create(name: &str, mtu: u16) -> io::Result<Self> {
        let build = |offload: bool| {
            DeviceBuilder::new()
                .name(name)
                .mtu(mtu)
                .enable(false)
                .with(|options| {
                    options.offload(offload);
                })
                .build_async()
        };
        // A kernel without offload for TUN refuses the flag as invalid; anything else is the real error.
        let device = match build(true) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => build(false)?,
            other => other?,
        };
        Ok(Self { device, name: name.to_owned() })
    }

    /// The interface name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the kernel hands over super-packets.
    #[must_use]
    pub fn has_offload(&self) -> bool {
        self.device.tcp_gso()
    }

    /// What the kernel takes merged.
    #[must_use]
    pub fn merges(&self) -> Merges {
        Merges { tcp: self.device.tcp_gso(), udp: self.device.udp_gso() }
    }

    /// Ready when [`Tun::try_read`] may have something.
    ///
    /// # Errors
    /// The error of the failed call.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.device.poll_readable(cx)
    }

    /// One read: one packet, or the packets of one super-packet.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; otherwise the error of the failed call.
    pub fn try_read(&self, batch: &mut ReadBatch) -> io::Result<()> {
        batch.filled = 0;
        let ReadBatch { raw, packets, sizes, filled } = batch;
        *filled = self.device.try_recv_multiple(raw, packets, sizes, 0)?;
        Ok(())
    }

    /// Hands packets to the kernel, merged where they are segments of one flow, and empties the batch.
    ///
    /// # Errors
    /// The error of the last failed call; its packets are lost then, as on any link. The kernel queues or drops a TUN write at once; should it
    /// ever not be ready, dropping is right: waiting here would stop the loop.
    pub fn write(&self, batch: &mut WriteBatch) -> io::Result<()> {
        let start = if self.has_offload() { 0 } else { VIRTIO_NET_HDR_LEN };
        let mut result = Ok(());
        batch.drain(|bytes| {
            if let Err(error) = self.device.try_send(bytes.get(start..).unwrap_or_default()) {
                result = Err(error);
            }
        });
        result
    }
}

/// Buffers of reads, shared by all devices of a daemon.
#[derive(Debug)]
pub struct ReadBatch {
    raw: Vec<u8>,
    packets: Vec<Vec<u8>>,
    sizes: Vec<usize>,
    filled: usize,
}

impl ReadBatch {
    /// Buffers for devices of at most `mtu`.
    #[must_use]
    pub fn new(mtu: u16) -> Self {
        Self {
            raw: vec![0; VIRTIO_NET_HDR_LEN + MAX_MERGED],
            packets: vec![vec![0; usize::from(mtu)]; IDEAL_BATCH_SIZE],
            sizes: vec![0; IDEAL_BATCH_SIZE],
            filled: 0,
        }
    }

    /// The packets of the last read.
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.packets.iter().zip(&self.sizes).take(self.filled).filter_map(|(packet, size)| packet.get(..*size))
    }
}
