//! Real programs as measuring tools: ping, curl, iperf3, tcpdump; and a look into a process's memory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::cmd::{Cmd, Proc};
use crate::netns::Netns;
use crate::wait;

/// One kernel ping; the round trip in milliseconds.
///
/// # Errors
/// When there is no answer within `wait_s` seconds.
pub fn ping(from: &Netns, to: IpAddr, wait_s: u32) -> Result<f64> {
    ping_with(from, to, wait_s, &[])
}

/// [`ping`] whose payload repeats `pattern` (at most 16 bytes).
///
/// # Errors
/// When there is no answer within `wait_s` seconds.
pub fn ping_pattern(from: &Netns, to: IpAddr, wait_s: u32, pattern: &[u8]) -> Result<f64> {
    let digits: String = pattern.iter().map(|b| format!("{b:02x}")).collect();
    ping_with(from, to, wait_s, &["-s", "512", "-p", &digits])
}

/// [`ping`] with `bytes` of payload, without DF: the kernel may cut it into fragments.
///
/// # Errors
/// When there is no answer within `wait_s` seconds.
pub fn ping_size(from: &Netns, to: IpAddr, wait_s: u32, bytes: u32) -> Result<f64> {
    ping_with(from, to, wait_s, &["-s", &bytes.to_string(), "-M", "dont"])
}

fn ping_with(from: &Netns, to: IpAddr, wait_s: u32, more: &[&str]) -> Result<f64> {
    let (to, wait) = (to.to_string(), wait_s.to_string());
    let words = [&["ping", "-n", "-c", "1", "-W", &wait], more, &[&to]].concat();
    let done = Cmd::new(&words).within(from).finish()?;
    let rtt = done.stdout.split("time=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    match rtt {
        Some(rtt) if done.code == 0 => Ok(rtt),
        _ => bail!("no answer from {to} within {wait} s"),
    }
}

/// Serves the files of `dir` over HTTP on `address`, from inside `ns`.
///
/// # Errors
/// When the server does not listen in time.
pub fn serve(ns: &Netns, dir: &Path, address: Ipv4Addr, port: u16, log: &Path) -> Result<Proc> {
    let (dir, address, port) = (dir.to_string_lossy().into_owned(), address.to_string(), port.to_string());
    let words = ["python3", "-m", "http.server", &port, "--bind", &address, "--directory", &dir];
    let server = Cmd::new(words).within(ns).spawn(log)?;
    listens(ns, &port)?;
    Ok(server)
}

fn listens(ns: &Netns, port: &str) -> Result<()> {
    let filter = format!("sport = :{port}");
    let look = || Cmd::new(["ss", "-ltnH", &filter]).within(ns).run().is_ok_and(|text| !text.trim().is_empty());
    wait::until(&format!("a server on port {port}"), 20_000, look)?;
    Ok(())
}

/// Fetches `url` from inside `ns` into `file`; megabytes per second as curl says.
///
/// # Errors
/// curl's complaint.
pub fn fetch(ns: &Netns, url: &str, file: &Path, limit_s: u32) -> Result<f64> {
    let (file, limit) = (file.to_string_lossy().into_owned(), limit_s.to_string());
    let words = ["curl", "-sS", "--fail", "-m", &limit, "-w", "%{speed_download}", "-o", &file, url];
    let text = Cmd::new(words).within(ns).run()?;
    Ok(text.trim().parse::<f64>().context("curl did not say how fast it was")? / 1e6)
}

/// One iperf3 run over TCP from `client` to `server`; megabits per second that arrived.
///
/// # Errors
/// When iperf3 fails on either side.
pub fn iperf(server: &Netns, client: &Netns, address: Ipv4Addr, seconds: u32, log: &Path) -> Result<f64> {
    let address = address.to_string();
    let _server = Cmd::new(["iperf3", "-s", "-1", "-B", &address]).within(server).spawn(log)?;
    listens(server, "5201")?;
    let (time, limit) = (seconds.to_string(), (seconds + 20).to_string());
    let text = client.run(&["timeout", &limit, "iperf3", "-c", &address, "-t", &time, "-J"])?;
    let report: serde_json::Value = serde_json::from_str(&text).context("iperf3 printed no report")?;
    let bits = report.pointer("/end/sum_received/bits_per_second").and_then(serde_json::Value::as_f64);
    Ok(bits.context("iperf3's report has no result")? / 1e6)
}

/// The SHA-256 of a file, as `sha256sum` prints it.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256(file: &Path) -> Result<String> {
    let text = Cmd::new([Path::new("sha256sum"), file]).run()?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Writes a file of `mib` MiB that is `line` over and over: any 64 bytes of it are easy to recognise in a capture.
///
/// # Errors
/// When the disk is full.
pub fn write_pattern_file(file: &Path, mib: usize, line: &str) -> Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    let mut number = 0_u32;
    let mut written = 0;
    while written < mib << 20 {
        let text = format!("{number:08} {line}\n");
        out.write_all(text.as_bytes())?;
        written += text.len();
        number += 1;
    }
    out.flush()?;
    Ok(())
}

/// A running `tcpdump` that writes whole packets to a file.
#[derive(Debug)]
pub struct Capture {
    process: Proc,
    file: PathBuf,
}

/// What a capture holds.
#[derive(Debug, Clone, Copy)]
pub struct Captured {
    /// Size of the capture file in bytes.
    pub bytes: u64,
    /// Packets in it.
    pub packets: usize,
}

impl Capture {
    /// Captures everything on every device of `ns`.
    ///
    /// # Errors
    /// When tcpdump does not start.
    pub fn start(ns: &Netns, file: &Path) -> Result<Self> {
        let name = file.to_string_lossy().into_owned();
        let log = file.with_extension("log");
        // -Z root: Debian's tcpdump would give up the right to write into our folder. -B: a 16 MiB ring, so that nothing is lost.
        let words = ["tcpdump", "-i", "any", "-n", "-s", "0", "-U", "-Z", "root", "-B", "16384", "-w", &name];
        let process = Cmd::new(words).within(ns).spawn(&log)?;
        wait::until("tcpdump listens", 10_000, || fs::read_to_string(&log).is_ok_and(|t| t.contains("listening on")))?;
        Ok(Self { process, file: file.to_owned() })
    }

    /// Ends the capture and counts what is in it.
    ///
    /// # Errors
    /// When tcpdump does not end.
    pub fn stop(mut self) -> Result<Captured> {
        self.process.signal(Signal::SIGINT);
        let process = &mut self.process;
        wait::until("tcpdump ends", 10_000, || process.ended().is_some())?;
        let bytes = fs::metadata(&self.file)?.len();
        let listing = Cmd::new([Path::new("tcpdump"), Path::new("-nr"), &self.file]).run()?;
        Ok(Captured { bytes, packets: listing.lines().count() })
    }
}

/// Which of `needles` occur in a file; read in pieces, a needle across two pieces is found.
///
/// # Errors
/// When the file cannot be read.
pub fn file_contains(file: &Path, needles: &[Vec<u8>]) -> Result<BTreeSet<usize>> {
    let mut found = BTreeSet::new();
    let mut input = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    scan(&mut input, u64::MAX, needles, &mut found)?;
    Ok(found)
}

/// Which of `needles` occur in the memory of a process (heap, stacks, data; not its mapped files).
///
/// # Errors
/// When the process is gone or may not be read.
pub fn memory_contains(pid: u32, needles: &[Vec<u8>]) -> Result<BTreeSet<usize>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).with_context(|| format!("process {pid} is gone"))?;
    let mut memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut found = BTreeSet::new();
    for line in maps.lines().filter(|l| l.contains(" rw")) {
        let range = line.split(' ').next().and_then(|r| r.split_once('-'));
        let Some((Ok(from), Ok(to))) = range.map(|(a, b)| (u64::from_str_radix(a, 16), u64::from_str_radix(b, 16)))
        else {
            continue;
        };
        memory.seek(SeekFrom::Start(from))?;
        // A part the kernel will not show (a guard page, [vvar]) ends the scan of that range, not of the process.
        let _ = scan(&mut memory, to - from, needles, &mut found);
    }
    Ok(found)
}

/// A piece is 1 MiB: big beside every needle, small beside a capture of gigabytes.
const PIECE: usize = 1 << 20;

fn scan(input: &mut impl Read, mut left: u64, needles: &[Vec<u8>], found: &mut BTreeSet<usize>) -> Result<()> {
    let overlap = needles.iter().map(Vec::len).max().unwrap_or(1).saturating_sub(1);
    let mut window: Vec<u8> = Vec::new();
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let Some(room) = piece.get_mut(..wanted) else { break };
        let length = input.read(room)?;
        if length == 0 {
            break;
        }
        left -= u64::try_from(length)?;
        window.extend(piece.iter().take(length));
        for (index, needle) in needles.iter().enumerate() {
            if !found.contains(&index) && contains(&window, needle) {
                found.insert(index);
            }
        }
        window.drain(..window.len().saturating_sub(overlap));
    }
    Ok(())
}

/// Substring search that jumps over bytes which are not the needle's first: fast enough for captures in a debug build.
fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some(&first) = needle.first() else { return false };
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|&b| b == first) {
        let Some(tail) = rest.get(at..) else { return false };
        if tail.starts_with(needle) {
            return true;
        }
        rest = tail.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{PIECE, scan};

    #[test]
    fn a_needle_across_two_pieces_is_found_and_others_are_not() {
        let mut data = vec![b'x'; PIECE + 100];
        data.splice(PIECE - 3..PIECE + 3, *b"needle");
        let mut found = std::collections::BTreeSet::new();
        scan(&mut data.as_slice(), u64::MAX, &[b"needle".to_vec(), b"other".to_vec()], &mut found).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [0]);
    }
}
