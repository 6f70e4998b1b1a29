//! Amounts of money as people write them: decimal NFC with up to 18 digits behind the point, exact in both directions.

use alloy_primitives::U256;
use clap::ValueEnum;

/// Units of an amount. 1 NFC = 10^9 gwei = 10^18 wei, the names every Ethereum tool uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    /// The coin
    Nfc,
    /// 10^-9 NFC; prices of gas are written in it
    Gwei,
    /// 10^-18 NFC, the smallest amount
    Wei,
}

impl Unit {
    /// Digits behind the point.
    fn digits(self) -> usize {
        match self {
            Self::Nfc => 18,
            Self::Gwei => 9,
            Self::Wei => 0,
        }
    }

    /// As it stands behind a number.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nfc => "NFC",
            Self::Gwei => "gwei",
            Self::Wei => "wei",
        }
    }
}

/// Longest amount read: 2^256 has 78 digits, and 18 may follow.
const MAX_CHARS: usize = 100;

/// The amount in wei of a decimal number: digits with at most one point, no sign, no exponent, no separators.
///
/// # Errors
/// A text for the user: not such a number, more digits than the unit has, or 2^256 and more.
pub(crate) fn parse(text: &str, unit: Unit) -> Result<U256, String> {
    let bad = || format!("give an amount of {} like {}", unit.name(), if unit.digits() > 0 { "1.5" } else { "15" });
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() > MAX_CHARS || whole.is_empty() || !is_number(whole) || !is_number(fraction) || text.ends_with('.') {
        return Err(bad());
    }
    if fraction.len() > unit.digits() {
        return Err(format!("{} has {} digits behind the point, not {}", unit.name(), unit.digits(), fraction.len()));
    }
    let digits = format!("{whole}{fraction}{}", "0".repeat(unit.digits() - fraction.len()));
    U256::from_str_radix(&digits, 10).map_err(|_| String::from("the amount is larger than all money there can be"))
}

/// `1.5 NFC`: every digit that is not a trailing zero.
pub(crate) fn show(wei: U256, unit: Unit) -> String {
    format!("{} {}", decimal(wei, unit), unit.name())
}

/// The number of [`show`] alone.
pub(crate) fn decimal(wei: U256, unit: Unit) -> String {
    let digits = unit.digits();
    let text = format!("{:0>width$}", wei.to_string(), width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

/// A price of gas as clap reads it: gwei.
pub(crate) fn parse_gwei(text: &str) -> Result<u128, String> {
    let wei = parse(text, Unit::Gwei)?;
    u128::try_from(wei).map_err(|_| String::from("the price is larger than all money there can be"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a wrong assumption must fail the test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact_to_the_last_digit() {
        for (text, unit, wei) in [
            ("1", Unit::Nfc, "1000000000000000000"),
            ("0.000000000000000001", Unit::Nfc, "1"),
            ("1.5", Unit::Nfc, "1500000000000000000"),
            ("2.5", Unit::Gwei, "2500000000"),
            ("007", Unit::Wei, "7"),
            ("0", Unit::Nfc, "0"),
        ] {
            assert_eq!(parse(text, unit).unwrap().to_string(), wei, "{text}");
        }
        assert_eq!(show(parse("1.50", Unit::Nfc).unwrap(), Unit::Nfc), "1.5 NFC");
        assert_eq!(show(U256::from(1), Unit::Nfc), "0.000000000000000001 NFC");
        assert_eq!(show(U256::ZERO, Unit::Gwei), "0 gwei");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in
            ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1 ", "0x10", "1.5.5", "１", "1_000", &"9".repeat(101)]
        {
            assert!(parse(text, Unit::Nfc).is_err(), "{text:?}");
        }
        assert!(parse("0.0000000000000000001", Unit::Nfc).unwrap_err().contains("18 digits"));
        assert!(parse("1.5", Unit::Wei).is_err());
        assert!(parse(&U256::MAX.to_string(), Unit::Wei).is_ok());
        assert!(parse(&U256::MAX.to_string(), Unit::Gwei).is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(words: [u64; 4], gwei: bool) {
            let wei = U256::from_limbs(words);
            let unit = if gwei { Unit::Gwei } else { Unit::Nfc };
            prop_assert_eq!(parse(&decimal(wei, unit), unit).unwrap(), wei);
        }
    }
}
