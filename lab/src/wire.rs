//! A cable with a delay and a rate, in user space: two TAP devices and a bounded queue for each direction.
//!
//! This kernel has no `netem`. The process is started by the lab with its stdin on a pipe; when the pipe closes it ends, and
//! both devices go with it.

use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::cmd::{Cmd, Proc};
use crate::netns::Netns;
use crate::paths::lab_binary;

/// What a cable does to packets. The default is a plain cable (a veth pair, no process).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WireSpec {
    /// One-way delay in microseconds, each direction.
    pub delay_us: u64,
    /// Rate in kbit/s, each direction; 0 is as fast as the machine.
    pub rate_kbit: u64,
    /// Largest IP packet it passes, in bytes; larger ones vanish without a word to anybody. 0 is what the devices allow.
    pub mtu: u16,
}

/// Packets waiting in one direction: 4096 full packets are 49 ms at 1 Gbit/s; what comes beyond is dropped, as a router does.
const QUEUE: usize = 4096;

/// A frame on an Ethernet with the largest MTU the tests use (9000), its header and a VLAN tag.
const FRAME: usize = 9018;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

impl WireSpec {
    /// A cable of `ms` milliseconds one way, without a limit of rate.
    #[must_use]
    pub fn delay_ms(ms: u64) -> Self {
        Self { delay_us: ms * 1000, ..Self::default() }
    }

    /// A cable on which packets over `mtu` bytes vanish.
    #[must_use]
    pub fn narrow(mtu: u16) -> Self {
        Self { mtu, ..Self::default() }
    }

    /// Whether a frame of this length (with its Ethernet header) is narrow enough.
    fn passes(self, frame: usize) -> bool {
        self.mtu == 0 || frame <= usize::from(self.mtu) + ETHERNET
    }

    /// Starts the process that joins the two ends and waits until both devices exist.
    ///
    /// # Errors
    /// When the process ends before it says that it is ready.
    pub(crate) fn start(self, a: (&Netns, &str), b: (&Netns, &str)) -> Result<Proc> {
        let exe = lab_binary()?.to_string_lossy().into_owned();
        let (delay, rate, mtu) = (self.delay_us.to_string(), self.rate_kbit.to_string(), self.mtu.to_string());
        let mut process =
            Cmd::new([exe.as_str(), "wire", &delay, &rate, &mtu, a.0.name(), a.1, b.0.name(), b.1]).spawn_piped()?;
        let mut line = String::new();
        let stdout = process.child().stdout.take().context("the wire has no stdout")?;
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim() != "ready" {
            bail!("the wire between {} and {} did not start", a.0.name(), b.0.name());
        }
        Ok(process)
    }
}

/// Body of the wire process: joins `a` and `b` (namespace name, device name) until stdin closes.
///
/// # Errors
/// When a TAP device cannot be made.
pub fn run(a: (&str, &str), b: (&str, &str), spec: WireSpec) -> Result<()> {
    let a = Arc::new(tap(a)?);
    let b = Arc::new(tap(b)?);
    for (from, to) in [(Arc::clone(&a), Arc::clone(&b)), (b, a)] {
        let (queue, due) = sync_channel(QUEUE);
        std::thread::spawn(move || take_in(&from, &queue, spec));
        std::thread::spawn(move || give_out(&to, &due));
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "ready")?;
    stdout.flush()?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn tap((ns, device): (&str, &str)) -> Result<SyncDevice> {
    let made = crate::netns::existing(ns)
        .within(|| DeviceBuilder::new().name(device).layer(Layer::L2).enable(false).build_sync())?
        .with_context(|| format!("cannot make the TAP device {device} in {ns}"))?;
    Ok(made)
}

type Waiting = (Instant, Box<[u8]>);

/// Reads frames and stamps each with the moment it leaves the other end: behind the one before it, at the rate of the cable.
fn take_in(from: &SyncDevice, queue: &SyncSender<Waiting>, spec: WireSpec) {
    let mut buffer = [0; FRAME];
    let mut free_at = Instant::now();
    while let Ok(length) = receive(from, &mut buffer) {
        let Some(frame) = buffer.get(..length).filter(|frame| spec.passes(frame.len())) else { continue };
        let bits = u64::try_from(length).unwrap_or(u64::MAX).saturating_mul(8);
        let sending = Duration::from_micros((bits * 1000).checked_div(spec.rate_kbit).unwrap_or(0));
        free_at = free_at.max(Instant::now()) + sending;
        match queue.try_send((free_at + Duration::from_micros(spec.delay_us), frame.into())) {
            Ok(()) => {}
            // Full queue: tail drop; the dropped frame takes no time on the cable.
            Err(TrySendError::Full(_)) => free_at -= sending,
            Err(TrySendError::Disconnected(_)) => return,
        }
    }
}

/// A device that is still down answers with an error (EIO): wait for the lab to bring it up.
fn receive(from: &SyncDevice, buffer: &mut [u8]) -> std::io::Result<usize> {
    const TRIES: u32 = 500;
    for _ in 0..TRIES {
        match from.recv(buffer) {
            Ok(length) => return Ok(length),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
    from.recv(buffer)
}

fn give_out(to: &SyncDevice, due: &Receiver<Waiting>) {
    while let Ok((at, frame)) = due.recv() {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        // A device that is down (a cut cable) loses the frame.
        let _ = to.send(&frame);
    }
}
