//! One relay of the mesh: its link, and what was measured of it.

use std::net::SocketAddr;

use super::bucket::Bucket;
use super::config::LinkId;
use crate::endpoint::Endpoint;
use crate::time::{MILLI_US, Now};

/// How long an echo waits at least: with three in a row a dead link in use is seen within a second.
const MIN_ECHO_WAIT_US: u64 = 150 * MILLI_US;
/// `WhereIs` passed on for one neighbour in a second.
const WHERE_PER_SECOND: u32 = 64;
/// Adverts taken from one neighbour in a second, at a time: the whole table twice.
const ADVERTS_PER_SECOND: u32 = 64;
const ADVERTS_BURST: u32 = 512;

/// One relay of the configuration.
pub(super) struct Neighbour {
    pub(super) addrs: Vec<SocketAddr>,
    /// Its control link and where its frames come from, once both have said `MeshHello`.
    pub(super) up: Option<(LinkId, Endpoint)>,
    /// A link we dialled, on which the other side has not said it yet, and when to say it again.
    pub(super) awaited: Option<(LinkId, Endpoint)>,
    pub(super) hello_due_us: u64,
    /// Circuits pass over it.
    pub(super) busy: bool,
    /// Smoothed round trip and its deviation (RFC 6298); `None` before the first answer.
    pub(super) rtt: Option<(u32, u32)>,
    /// Part lost in 1/65,536.
    pub(super) loss: u32,
    pub(super) echo: Option<(u64, u64)>,
    pub(super) lost_in_row: u8,
    pub(super) answered: u8,
    pub(super) next_echo_us: u64,
    pub(super) where_budget: Bucket,
    pub(super) advert_budget: Bucket,
}

impl Neighbour {
    pub(super) fn new(now: Now) -> Self {
        Self {
            addrs: Vec::new(),
            up: None,
            awaited: None,
            hello_due_us: 0,
            busy: false,
            rtt: None,
            loss: 0,
            echo: None,
            lost_in_row: 0,
            answered: 0,
            next_echo_us: now.mono_us,
            where_budget: Bucket::new(WHERE_PER_SECOND, WHERE_PER_SECOND, now),
            advert_budget: Bucket::new(ADVERTS_PER_SECOND, ADVERTS_BURST, now),
        }
    }

    /// One echo came back after so long, or did not.
    pub(super) fn measured(&mut self, rtt_us: Option<u64>) {
        let lost = u32::from(rtt_us.is_none());
        self.loss = self.loss - self.loss / 16 + lost * (65_536 / 16);
        let Some(rtt_us) = rtt_us else {
            self.lost_in_row = self.lost_in_row.saturating_add(1);
            return;
        };
        self.lost_in_row = 0;
        self.answered = self.answered.saturating_add(1);
        let new = u32::try_from(rtt_us).unwrap_or(u32::MAX);
        // RFC 6298, 2.2 and 2.3.
        self.rtt =
            Some(self.rtt.map_or((new, new / 2), |(srtt, var)| {
                (srtt - srtt / 8 + new / 8, var - var / 4 + srtt.abs_diff(new) / 4)
            }));
    }

    pub(super) fn loss_permille(&self) -> u16 {
        u16::try_from(u64::from(self.loss) * 1_000 / 65_536).unwrap_or(1_000)
    }

    /// How long an echo waits for its answer.
    pub(super) fn wait_us(&self) -> u64 {
        let (srtt, var) = self.rtt.unwrap_or((0, 0));
        MIN_ECHO_WAIT_US.max(u64::from(srtt).saturating_mul(2).saturating_add(u64::from(var).saturating_mul(4)))
    }
}
