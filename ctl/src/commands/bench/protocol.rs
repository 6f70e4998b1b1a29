//! What `bench serve` and its clients say to each other.
//!
//! TCP: the client sends [`Hello`]. Direction up: it then sends bytes and shuts its side down; the answer is [`Tally`]. Direction down:
//! the server sends bytes for the time asked and closes. UDP: a packet that begins with [`MAGIC`] comes back as it is.

/// First bytes of everything: name and version.
pub(super) const MAGIC: [u8; 8] = *b"nfbench1";

/// Longest transfer a server takes part in, seconds; what the command line allows.
pub(super) const MAX_SECONDS: u32 = 300;

/// Bytes of one write or read: a full segment of TUN offload, twice. Larger ones gain nothing, smaller ones are more system calls.
pub(super) const CHUNK: usize = 128 * 1024;

/// Smallest probe: magic, run and number.
pub(super) const PROBE_LEN: usize = 24;
/// Largest UDP payload that is sent back: more than any MTU of a network that `bench latency` asks for (1,200).
pub(super) const MAX_PROBE_LEN: usize = 1_500;

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The server sends, not the client.
    pub(super) down: bool,
    /// How long, 1 to [`MAX_SECONDS`].
    pub(super) seconds: u32,
}

impl Hello {
    pub(super) const LEN: usize = 16;

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (magic, rest) = bytes.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        let seconds = self.seconds.to_le_bytes();
        for (to, from) in rest.iter_mut().zip([u8::from(self.down), 0, 0, 0].into_iter().chain(seconds)) {
            *to = from;
        }
        bytes
    }

    /// `None`: no client of ours, or one that asks for too much.
    pub(super) fn parse(bytes: [u8; Self::LEN]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC.as_slice())?;
        let (down, rest) = rest.split_first_chunk::<4>()?;
        let seconds = u32::from_le_bytes(rest.try_into().ok()?);
        let down = match down {
            [0, 0, 0, 0] => false,
            [1, 0, 0, 0] => true,
            _ => return None,
        };
        (1..=MAX_SECONDS).contains(&seconds).then_some(Self { down, seconds })
    }
}

/// What the receiving server counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Bytes that arrived.
    pub(super) bytes: u64,
    /// From the first of them to the last.
    pub(super) elapsed_us: u64,
}

impl Tally {
    pub(super) const LEN: usize = 16;

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let numbers = self.bytes.to_le_bytes().into_iter().chain(self.elapsed_us.to_le_bytes());
        for (to, from) in bytes.iter_mut().zip(numbers) {
            *to = from;
        }
        bytes
    }

    pub(super) fn parse(bytes: [u8; Self::LEN]) -> Self {
        let (count, elapsed) = bytes.split_at(8);
        let number = |part: &[u8]| part.try_into().map(u64::from_le_bytes).unwrap_or_default();
        Self { bytes: number(count), elapsed_us: number(elapsed) }
    }

    /// Bits a second; 0 when there was no time to measure.
    pub(super) const fn bits_per_second(self) -> u64 {
        match (self.bytes as u128 * 8_000_000).checked_div(self.elapsed_us as u128) {
            #[allow(clippy::cast_possible_truncation, reason = "no machine carries 2^64 bits a second")]
            Some(rate) => rate as u64,
            None => 0,
        }
    }
}

/// The probe number `seq` of a run, in `packet`.
pub(super) fn write_probe(packet: &mut [u8], run: u64, seq: u64) {
    let head = MAGIC.into_iter().chain(run.to_le_bytes()).chain(seq.to_le_bytes());
    for (to, from) in packet.iter_mut().zip(head) {
        *to = from;
    }
}

/// The number of a probe of this run.
pub(super) fn read_probe(packet: &[u8], run: u64) -> Option<u64> {
    let rest = packet.strip_prefix(MAGIC.as_slice())?;
    let (of_run, rest) = rest.split_first_chunk::<8>()?;
    let (seq, _) = rest.split_first_chunk::<8>()?;
    (u64::from_le_bytes(*of_run) == run).then_some(u64::from_le_bytes(*seq))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_read_as_it_was_written_and_nothing_else_is_one() {
        for hello in [Hello { down: true, seconds: 1 }, Hello { down: false, seconds: MAX_SECONDS }] {
            assert_eq!(Hello::parse(hello.to_bytes()), Some(hello));
        }
        assert_eq!(Hello::parse(*b"GET / HTTP/1.1\r\n"), None);
        for seconds in [0, MAX_SECONDS + 1, u32::MAX] {
            assert_eq!(Hello::parse(Hello { down: false, seconds }.to_bytes()), None, "{seconds} s");
        }
        let mut odd = Hello { down: false, seconds: 1 }.to_bytes();
        odd[9] = 1;
        assert_eq!(Hello::parse(odd), None, "bits of a later version");
    }

    #[test]
    fn a_rate_is_bits_by_time_and_never_a_division_by_nothing() {
        let tally = Tally { bytes: 125_000_000, elapsed_us: 1_000_000 };
        assert_eq!(tally.bits_per_second(), 1_000_000_000);
        assert_eq!(Tally::parse(tally.to_bytes()), tally);
        assert_eq!(Tally { bytes: u64::MAX, elapsed_us: 0 }.bits_per_second(), 0);
        assert_eq!(Tally { bytes: 0, elapsed_us: 5 }.bits_per_second(), 0);
    }

    #[test]
    fn a_probe_belongs_to_its_run() {
        let mut packet = [0; PROBE_LEN];
        write_probe(&mut packet, 7, 12);
        assert_eq!(read_probe(&packet, 7), Some(12));
        assert_eq!(read_probe(&packet, 8), None);
        assert_eq!(read_probe(&packet[..PROBE_LEN - 1], 7), None, "cut short");
    }
}
