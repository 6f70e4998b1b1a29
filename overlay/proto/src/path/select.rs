//! Which of several paths is used, for each class of traffic.
//!
//! A path that is dead is left at once. Everything else is voluntary, and voluntary changes of a peer are [`MIN_SWITCH_US`] apart, all
//! classes together, however the measurements jump (pitfall 17). Near-equals: direct beats relayed, fewer relays beat more, and
//! among the rest a weighted draw decides, so that a thousand nodes that lose one relay do not all fall upon the same next one.

use rand_core::CryptoRng;

use super::class::Class;
use super::loss::LossRange;
use crate::time::{MILLI_US, Now, SECOND_US};

/// Shortest time between two voluntary changes for one peer.
pub const MIN_SWITCH_US: u64 = 10 * SECOND_US;
/// In this time after the first path, one relay is not left for another only because it is faster: the search for a direct path
/// ends in it, and is not to wait for the next voluntary change.
const SETTLE_US: u64 = 10 * SECOND_US;
/// A path this close to the best is as good: a part, and an absolute amount against jitter.
const NEAR_PART: u64 = 8;
const NEAR_US: u64 = 4 * MILLI_US;
/// The one in use is left only when it is further off than this: the gap to the above keeps measurements at the edge from flapping.
const FAR_PART: u64 = 4;
const FAR_US: u64 = 8 * MILLI_US;
/// One percent of loss is worth this much round trip to a person: about what its repair costs a call or a shell.
const INTERACTIVE_LOSS_US_PER_PERCENT: u64 = 10 * MILLI_US;
/// The same for a transfer, whose congestion control takes loss for a full queue.
const BULK_LOSS_US_PER_PERCENT: u64 = 40 * MILLI_US;
/// Bulk compares the time for this many bits: 1 MiB, a page of pictures.
const BULK_BITS: u64 = 8 << 20;
/// One unit of price weighs more than any difference in round trip.
const CHEAP_US_PER_PRICE: u64 = 10 * SECOND_US;

/// How far a path can be relied on. Earlier is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Works.
    Good,
    /// Works, but the control link of its relay is down.
    LinkLost,
    /// Was dead; begins to answer.
    Recovering,
    /// Does not answer.
    Dead,
}

/// One path to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Offer<K> {
    /// Names it.
    pub key: K,
    /// Relays on it; 0: direct.
    pub relays: u8,
    /// Can it be relied on?
    pub standing: Standing,
    /// Smoothed round trip; `None`: not measured yet.
    pub rtt_us: Option<u64>,
    /// What is known of its loss.
    pub loss: LossRange,
    /// What is known to have passed, in bits a second.
    pub goodput_bps: Option<u64>,
    /// Price of a byte relative to the other paths; a direct path is free.
    pub price: u64,
}

/// The choice for one peer.
#[derive(Clone, Debug)]
pub struct Chooser<K> {
    current: [Option<K>; 3],
    reason: [String; 3],
    voluntary: [bool; 3],
    first_us: Option<u64>,
    last_switch_us: Option<u64>,
}

impl<K> Default for Chooser<K> {
    fn default() -> Self {
        let reason = std::array::from_fn(|_| "no path".to_owned());
        Self { current: [None, None, None], reason, voluntary: [false; 3], first_us: None, last_switch_us: None }
    }
}

enum Verdict<K> {
    Keep,
    /// The one in use cannot go on.
    Forced(Option<K>, String),
    /// Another one is better.
    Voluntary(K, String),
}

impl<K: Copy + Ord> Chooser<K> {
    /// The path in use for a class.
    #[must_use]
    pub fn current(&self, class: Class) -> Option<K> {
        self.current.get(class.index()).copied().flatten()
    }

    /// Why it is the one it is.
    #[must_use]
    pub fn reason(&self, class: Class) -> &str {
        self.reason.get(class.index()).map_or("", String::as_str)
    }

    /// Was the last change for the better only? Then the one before would have gone on working.
    #[must_use]
    pub fn was_voluntary(&self, class: Class) -> bool {
        self.voluntary.get(class.index()).copied().unwrap_or(false)
    }

    /// Looks at all paths again. `true`: the path of some class changed.
    pub fn choose(&mut self, now: Now, offers: &[Offer<K>], rng: &mut dyn CryptoRng) -> bool {
        if !offers.is_empty() {
            self.first_us.get_or_insert(now.mono_us);
        }
        let may_switch = self.last_switch_us.is_none_or(|last| now.since(last) >= MIN_SWITCH_US);
        let (mut changed, mut switched) = (false, false);
        for class in Class::ALL {
            let (next, reason, voluntary) = match self.judge(now, class, offers, may_switch, rng) {
                Verdict::Keep => continue,
                Verdict::Voluntary(next, reason) => {
                    switched = true;
                    (Some(next), reason, true)
                }
                Verdict::Forced(next, reason) => (next, reason, false),
            };
            let at = class.index();
            if let (Some(current), Some(why), Some(how)) =
                (self.current.get_mut(at), self.reason.get_mut(at), self.voluntary.get_mut(at))
            {
                changed |= *current != next;
                (*current, *why, *how) = (next, reason, voluntary);
            }
        }
        if switched {
            self.last_switch_us = Some(now.mono_us);
        }
        changed
    }

    fn judge(
        &self,
        now: Now,
        class: Class,
        offers: &[Offer<K>],
        may_switch: bool,
        rng: &mut dyn CryptoRng,
    ) -> Verdict<K> {
        let before = self.current(class);
        let current = before.and_then(|key| offers.iter().find(|offer| offer.key == key));
        let Some(standing) = offers.iter().map(|offer| offer.standing).min() else {
            return if before.is_none() { Verdict::Keep } else { Verdict::Forced(None, "no path".to_owned()) };
        };
        // Nothing but the best standing counts, and there nothing but what was measured, if anything was.
        let usable = || offers.iter().filter(|offer| offer.standing == standing);
        let any_measured = usable().any(|offer| offer.rtt_us.is_some());
        let goodput = usable().filter_map(|offer| offer.goodput_bps).max();
        let priced = |offer: &&Offer<K>| !any_measured || offer.rtt_us.is_some();
        let tolerated = usable().filter(priced).map(|offer| offer.loss.high_ppm).min().unwrap_or(0);
        let cost = |offer: &Offer<K>| cost(class, offer, goodput, tolerated);
        let Some(least) = usable().filter(priced).map(cost).min() else { return Verdict::Keep };
        let near = || usable().filter(priced).filter(|offer| cost(offer) <= margin(least, NEAR_PART, NEAR_US));
        let fewest = near().map(|offer| offer.relays).min().unwrap_or(0);
        let pick = || near().filter(|offer| offer.relays == fewest);
        match current {
            None => {
                let reason = if before.is_none() { "first path" } else { "the path before was closed" };
                Verdict::Forced(draw(pick(), cost, rng), format!("{reason}; {}", describe(class, pick(), offers.len())))
            }
            Some(current) if current.standing > standing => {
                let reason = match current.standing {
                    Standing::Dead | Standing::Recovering => "the path before stopped answering",
                    Standing::LinkLost | Standing::Good => "the path before lost its relay's control link",
                };
                Verdict::Forced(draw(pick(), cost, rng), reason.to_owned())
            }
            // Not measured yet: no ground to leave it.
            Some(current) if current.rtt_us.is_none() => Verdict::Keep,
            Some(current) => {
                let is_far = cost(current) > margin(least, FAR_PART, FAR_US);
                let has_simpler = fewest < current.relays;
                let settling =
                    current.relays > 0 && fewest > 0 && self.first_us.is_none_or(|at| now.since(at) < SETTLE_US);
                if settling || !may_switch || !(is_far || has_simpler) {
                    return Verdict::Keep;
                }
                let Some(next) = draw(pick(), cost, rng).filter(|next| *next != current.key) else {
                    return Verdict::Keep;
                };
                let reason = why(current, offers.iter().find(|offer| offer.key == next), is_far);
                Verdict::Voluntary(next, reason)
            }
        }
    }
}

/// A path beside the chosen one that bulk flows may use as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Equal<K> {
    /// Names it.
    pub key: K,
    /// Worth relative to the others, the larger the better.
    pub weight: u64,
    /// As good as the best.
    pub is_near: bool,
    /// Clearly worse: what uses it should leave.
    pub is_far: bool,
}

/// All paths that work as the chosen one does (no worse standing, as many relays, measured), the best first; the chosen one among
/// them. Empty when it does not work itself.
pub fn equals<K: Copy + Ord>(class: Class, chosen: K, offers: &[Offer<K>]) -> Vec<Equal<K>> {
    let Some(current) = offers.iter().find(|offer| offer.key == chosen && offer.standing == Standing::Good) else {
        return Vec::new();
    };
    let alike = |offer: &&Offer<K>| {
        let is_known = offer.rtt_us.is_some() || offer.key == chosen;
        offer.standing == Standing::Good && offer.relays == current.relays && is_known
    };
    let goodput = offers.iter().filter(alike).filter_map(|offer| offer.goodput_bps).max();
    let tolerated = offers.iter().filter(alike).map(|offer| offer.loss.high_ppm).min().unwrap_or(0);
    let mut costs: Vec<(u64, K)> =
        offers.iter().filter(alike).map(|offer| (cost(class, offer, goodput, tolerated), offer.key)).collect();
    costs.sort_unstable();
    let least = costs.first().map_or(0, |(cost, _)| *cost);
    let equal = |(cost, key): (u64, K)| Equal {
        key,
        weight: weight(cost),
        is_near: cost <= margin(least, NEAR_PART, NEAR_US),
        is_far: cost > margin(least, FAR_PART, FAR_US),
    };
    costs.into_iter().map(equal).collect()
}

/// What a path is worth in a draw: the cheaper the likelier.
const fn weight(cost: u64) -> u64 {
    SECOND_US * 1_000 / cost.saturating_add(MILLI_US)
}

/// What using a path costs, in microseconds; only differences mean something. `tolerated`: what the surest of the paths may lose. A path is
/// charged for what it surely loses beyond that, so that neither a short history nor a line all of them share moves anything.
fn cost<K>(class: Class, offer: &Offer<K>, best_goodput: Option<u64>, tolerated_ppm: u32) -> u64 {
    let rtt = offer.rtt_us.unwrap_or(0);
    let excess = u64::from(offer.loss.low_ppm.saturating_sub(tolerated_ppm));
    let loss = |per_percent: u64| excess.saturating_mul(per_percent) / 10_000;
    match class {
        Class::Interactive => rtt.saturating_add(loss(INTERACTIVE_LOSS_US_PER_PERCENT)),
        Class::Bulk => {
            // A path nothing large was sent over yet is taken for as fast as the fastest.
            let transfer = offer.goodput_bps.or(best_goodput).map_or(0, |bps| BULK_BITS * SECOND_US / bps.max(1));
            transfer.saturating_add(rtt).saturating_add(loss(BULK_LOSS_US_PER_PERCENT))
        }
        Class::Cheap => offer.price.saturating_mul(CHEAP_US_PER_PRICE).saturating_add(rtt),
    }
}

const fn margin(cost: u64, part: u64, least: u64) -> u64 {
    let share = cost / part;
    cost.saturating_add(if share > least { share } else { least })
}

/// Draws one, the cheaper the likelier.
fn draw<'a, K: Copy + 'a>(
    from: impl Iterator<Item = &'a Offer<K>>,
    cost: impl Fn(&Offer<K>) -> u64,
    rng: &mut dyn CryptoRng,
) -> Option<K> {
    let weighted: Vec<(K, u64)> = from.map(|offer| (offer.key, weight(cost(offer)))).collect();
    if let [(only, _)] = weighted.as_slice() {
        return Some(*only);
    }
    let total: u64 = weighted.iter().map(|(_, weight)| weight.saturating_add(1)).sum();
    let mut left = rng.next_u64().checked_rem(total)?;
    for (key, weight) in &weighted {
        match left.checked_sub(weight.saturating_add(1)) {
            Some(rest) => left = rest,
            None => return Some(*key),
        }
    }
    None
}

fn describe<'a, K: 'a>(class: Class, pick: impl Iterator<Item = &'a Offer<K>>, all: usize) -> String {
    match (all, pick.count()) {
        (1, _) => "the only one".to_owned(),
        (_, 1) => format!("best for {} of {all}", class.name()),
        (_, equal) => format!("drawn from {equal} of {all} that are as good"),
    }
}

fn why<K>(current: &Offer<K>, next: Option<&Offer<K>>, is_far: bool) -> String {
    let Some(next) = next else { return String::new() };
    let ms = |rtt_us: Option<u64>| rtt_us.map_or("?".to_owned(), |us| format!("{}.{}", us / 1_000, us % 1_000 / 100));
    let (now, before) = (ms(next.rtt_us), ms(current.rtt_us));
    match (next.relays, is_far) {
        (0, _) => format!("direct, {now} ms; the relayed path before had {before} ms"),
        (_, true) => {
            let (less, more) = (next.loss.high_ppm, current.loss.low_ppm);
            format!("better: {now} ms and at most {less} ppm lost, before {before} ms and at least {more} ppm")
        }
        (_, false) => format!("as good with fewer relays: {now} ms, before {before} ms"),
    }
}

#[cfg(test)]
mod tests;
