//! Numbers, times and foreign text, as people read them.

/// `text` without control characters and without the marks that reorder text: names come from other members, and a
/// terminal obeys escape sequences.
pub(crate) fn clean(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// Seconds of `30s`, `15m`, `24h` or `7d`.
///
/// # Errors
/// A text for the user when the number or its unit is missing, or the time is over ten years.
pub(crate) fn parse_duration_s(text: &str) -> Result<u64, String> {
    /// More than any option means; keeps the product below from overflowing.
    const MAX_S: u64 = 10 * 365 * 86_400;
    let bad = || String::from("give a number with s, m, h or d, like 24h");
    let unit = text.chars().last().ok_or_else(bad)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let number: u64 = text.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or_else(bad)?;
    number.checked_mul(factor).filter(|s| (1..=MAX_S).contains(s)).ok_or_else(bad)
}

/// `42 s`, `12 min`, `3 h 12 min`, `5 d 2 h`.
pub(crate) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{big} {big_unit}") } else { format!("{big} {big_unit} {small} {small_unit}") }
    };
    if minutes == 0 {
        format!("{seconds} s")
    } else if hours == 0 {
        format!("{minutes} min")
    } else if days == 0 {
        two(hours, "h", minutes % 60, "min")
    } else {
        two(days, "d", hours % 24, "h")
    }
}

/// `0 B`, `999 B`, `1.5 KiB`, `2.0 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count;
    let mut tenths = 0;
    let mut name = "B";
    for unit in UNITS {
        if value < 1024 {
            break;
        }
        tenths = (value % 1024) * 10 / 1024;
        value /= 1024;
        name = unit;
    }
    format!("{value}.{tenths} {name}")
}

/// Bits per second as link rates are written: decimal, `640 kbit/s`, `94 Mbit/s`, `1.2 Gbit/s`.
pub(crate) fn bits(bps: u64) -> String {
    match bps {
        1_000_000_000.. => format!("{}.{} Gbit/s", bps / 1_000_000_000, bps % 1_000_000_000 / 100_000_000),
        1_000_000.. => format!("{} Mbit/s", bps / 1_000_000),
        _ => format!("{} kbit/s", bps / 1_000),
    }
}

/// Milliseconds with one decimal below 100: `0.4 ms`, `12.3 ms`, `140 ms`.
pub(crate) fn millis(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// Microseconds as [`millis`].
pub(crate) fn micros(us: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let ms = us as f64 / 1_000.0;
    millis(ms)
}

/// `2026-11-21 02:10 UTC` of seconds since 1970.
pub(crate) fn date(unix_s: u64) -> String {
    // Days to a civil date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", for dates after 1970.
    let (days, of_day) = (unix_s / 86_400, unix_s % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", of_day / 3_600, of_day % 3_600 / 60)
}

/// A node or network id short enough for a table: its first 14 characters. `--json` has the whole one.
pub(crate) fn short_id(id: &str) -> String {
    match id.char_indices().nth(14) {
        Some((at, _)) => format!("{}..", id.get(..at).unwrap_or(id)),
        None => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration_s("90s"), Ok(90));
        assert_eq!(parse_duration_s("24h"), Ok(86_400));
        assert_eq!(parse_duration_s("7d"), Ok(604_800));
        for bad in ["", "h", "24", "-1h", "0s", "1w", "1é", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse_duration_s(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_and_sizes_read_naturally() {
        assert_eq!(
            [duration(59), duration(720), duration(11_520), duration(3_600)],
            ["59 s", "12 min", "3 h 12 min", "1 h"]
        );
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(1 << 31)], ["0 B", "1023 B", "1.5 KiB", "2.0 GiB"]);
        assert_eq!(bytes(u64::MAX), "15.9 EiB");
        assert_eq!([bits(640_999), bits(94_000_000), bits(1_250_000_000)], ["640 kbit/s", "94 Mbit/s", "1.2 Gbit/s"]);
        assert_eq!([micros(420), micros(140_200)], ["0.4 ms", "140 ms"]);
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(date(1_795_226_700), "2026-11-21 02:05 UTC");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00 UTC");
    }

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(clean("bob\u{1b}[2J\n\u{202e}x"), "bob\u{fffd}[2J\u{fffd}\u{fffd}x");
    }

    #[test]
    fn ids_are_cut_at_characters() {
        assert_eq!(short_id("nf1short"), "nf1short");
        assert_eq!(short_id("nf1qqqqqqqqqqqqqqqqq"), "nf1qqqqqqqqqqq..");
        assert_eq!(short_id("ééééééééééééééééé"), "éééééééééééééé..");
    }
}
