//! What a run counted, and its last events.

use std::collections::VecDeque;
use std::fmt;

use crate::model::Direct;
use crate::net::Lost;
use crate::scenario::SECOND;

/// Events kept for the message of a failure.
const TAIL: usize = 40;

/// The diary of a run: the last events, or all of them on the screen.
pub struct Diary {
    trace: bool,
    tail: VecDeque<String>,
}

impl Diary {
    /// An empty diary; `trace`: print everything.
    #[must_use]
    pub const fn new(trace: bool) -> Self {
        Self { trace, tail: VecDeque::new() }
    }

    /// Notes something that explains what follows.
    pub fn note(&mut self, now_us: u64, text: impl FnOnce() -> String) {
        let line = line(now_us, &text());
        if self.trace {
            print(&line);
        }
        if self.tail.len() >= TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Something only a replay shows.
    pub fn detail(&mut self, now_us: u64, text: impl FnOnce() -> String) {
        if self.trace {
            print(&line(now_us, &text()));
        }
    }

    /// Is everything printed?
    #[must_use]
    pub const fn traces(&self) -> bool {
        self.trace
    }

    /// The last events.
    #[must_use]
    pub fn tail(&self) -> String {
        self.tail.iter().map(|line| format!("    {line}\n")).collect()
    }
}

fn line(now_us: u64, text: &str) -> String {
    format!("{:>5}.{:03} s  {text}", now_us / SECOND, now_us % SECOND / 1_000)
}

#[allow(clippy::print_stderr, reason = "a trace is for people")]
fn print(line: &str) {
    eprintln!("{line}");
}

/// Counters of a run, and of many when added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events of the queue.
    pub events: u64,
    /// Datagrams sent.
    pub datagrams: u64,
    /// Lost to the weather.
    pub weather_lost: u64,
    /// Larger than a link on the way.
    pub too_large: u64,
    /// Stopped by a filter, or without a mapping.
    pub filtered: u64,
    /// Used up their hop limit.
    pub ttl_lost: u64,
    /// To an address nobody has, or has any more.
    pub nobody: u64,
    /// Not let out.
    pub blocked: u64,
    /// Control links that came up.
    pub links: u64,
    /// Programs killed.
    pub kills: u64,
    /// Paths changed for the better only.
    pub switches: u64,
    /// Packets given to nodes.
    pub said: u64,
    /// Packets that came out.
    pub heard: u64,
    /// "Packet too big" answers.
    pub too_big_answers: u64,
    /// Pairs judged at the end.
    pub pairs: u64,
    /// Of them: the model says direct is possible; it says so and they are; it says only perhaps; and they are.
    pub must: u64,
    /// See `must`.
    pub must_direct: u64,
    /// See `must`.
    pub may: u64,
    /// See `must`.
    pub may_direct: u64,
    /// Most ports open for punching at one node.
    pub most_ports: usize,
    /// Most entries of one node in connection tracking.
    pub most_pairs: usize,
    /// Longest time from the last repair to the first answer.
    pub slowest_us: u64,
    /// Longest time from the last repair to a direct path, where there must be one.
    pub slowest_direct_us: u64,
    /// Outer addresses given out.
    pub outer_addresses: u64,
}

impl Report {
    /// A datagram is no more.
    pub const fn lost(&mut self, why: Lost) {
        match why {
            Lost::Nobody | Lost::NoRoute => self.nobody += 1,
            Lost::Ttl => self.ttl_lost += 1,
            Lost::Blocked => self.blocked += 1,
            Lost::Filtered => self.filtered += 1,
        }
    }

    /// A pair was judged.
    pub fn direct(&mut self, could: Direct, is: bool, took_us: Option<u64>) {
        match could {
            Direct::Must => {
                self.must += 1;
                self.must_direct += u64::from(is);
                self.slowest_direct_us = self.slowest_direct_us.max(took_us.filter(|_| is).unwrap_or(0));
            }
            Direct::May => {
                self.may += 1;
                self.may_direct += u64::from(is);
            }
            Direct::Never => {}
        }
    }

    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.datagrams += other.datagrams;
        self.weather_lost += other.weather_lost;
        self.too_large += other.too_large;
        self.filtered += other.filtered;
        self.ttl_lost += other.ttl_lost;
        self.nobody += other.nobody;
        self.blocked += other.blocked;
        self.links += other.links;
        self.kills += other.kills;
        self.switches += other.switches;
        self.said += other.said;
        self.heard += other.heard;
        self.too_big_answers += other.too_big_answers;
        self.pairs += other.pairs;
        self.must += other.must;
        self.must_direct += other.must_direct;
        self.may += other.may;
        self.may_direct += other.may_direct;
        self.most_ports = self.most_ports.max(other.most_ports);
        self.most_pairs = self.most_pairs.max(other.most_pairs);
        self.slowest_us = self.slowest_us.max(other.slowest_us);
        self.slowest_direct_us = self.slowest_direct_us.max(other.slowest_direct_us);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "events {}, datagrams {}, links {}, kills {}, voluntary changes of path {}",
            self.events, self.datagrams, self.links, self.kills, self.switches
        )?;
        writeln!(
            f,
            "lost: weather {}, filters {}, hop limit {}, too large {}, nobody there {}, UDP blocked {}",
            self.weather_lost, self.filtered, self.ttl_lost, self.too_large, self.nobody, self.blocked
        )?;
        writeln!(f, "packets: {} said, {} heard, {} 'too big' answers", self.said, self.heard, self.too_big_answers)?;
        writeln!(
            f,
            "pairs at the end: {} connected (slowest {:.1} s after the last repair); direct where it must be {} of {} (slowest {:.1} s), where it may be {} of {}",
            self.pairs,
            self.slowest_us as f64 / 1e6,
            self.must_direct,
            self.must,
            self.slowest_direct_us as f64 / 1e6,
            self.may_direct,
            self.may
        )?;
        write!(f, "most at one node: {} punch ports, {} tracked pairs", self.most_ports, self.most_pairs)
    }
}
