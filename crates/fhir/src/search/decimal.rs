//! Decimal numbers by their digits: compared exactly, without floating point, and in the same time whatever
//! the exponent is.

use std::cmp::Ordering;

/// Most digits that count; FHIR promises 18 (R4 datatypes, `decimal`).
pub(super) const DIGITS_MAX: usize = 36;
/// Exponents beyond these are taken as these.
const EXPONENT_MAX: i64 = 1_000_000_000;

/// A decimal number. Digits after the first [`DIGITS_MAX`] do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// The power of ten just above the number; nothing tells zero.
    magnitude: Option<i64>,
    /// From the first digit that is not zero on.
    digits: [u8; DIGITS_MAX],
}

impl Decimal {
    const ZERO: Self = Self { negative: false, magnitude: None, digits: [0; DIGITS_MAX] };

    /// Reads a literal such as `-1.50e3`.
    pub(super) fn parse(literal: &[u8]) -> Option<Self> {
        Some(Parts::parse(literal)?.decimal())
    }

    /// The number in a form whose bytes are in the order of the numbers.
    pub(super) fn sort_key(&self) -> Vec<u8> {
        let Some(magnitude) = self.magnitude else { return vec![1] };
        let mut key = vec![2];
        key.extend_from_slice(&(magnitude + 2 * EXPONENT_MAX).to_be_bytes());
        let used = self.digits.iter().rposition(|digit| *digit > 0).map_or(0, |at| at + 1);
        key.extend(self.digits.iter().take(used).map(|digit| digit + 1));
        if self.negative {
            // The end must sort after what is longer.
            key.push(0);
            for byte in &mut key {
                *byte = !*byte;
            }
            if let Some(first) = key.first_mut() {
                *first = 0;
            }
        }
        key
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let absolute = || (self.magnitude, self.digits).cmp(&(other.magnitude, other.digits));
        match (self.negative, other.negative) {
            (false, false) => absolute(),
            (true, true) => absolute().reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A number asked for, with the span of what rounds to it (R4 search, "number") and of what is near it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The number itself.
    pub(super) exact: Decimal,
    /// From half a unit of the last digit below, up to half a unit above, not included.
    pub(super) rounded: (Decimal, Decimal),
    /// From a tenth below to a tenth above, no narrower than `rounded`.
    pub(super) near: (Decimal, Decimal),
}

impl Asked {
    /// Reads the number of a search; at most [`DIGITS_MAX`] digits less two.
    pub(super) fn parse(literal: &str) -> Option<Self> {
        let parts = Parts::parse(literal.as_bytes())?;
        if parts.digits.len() > DIGITS_MAX - 2 {
            return None;
        }
        let whole = parts.digits.iter().fold(0_i128, |number, digit| number * 10 + i128::from(*digit));
        let whole = if parts.negative { -whole } else { whole };
        let span = |half: i128| {
            let end = |number: i128| Parts::of(number, parts.exponent - 1).decimal();
            (end(whole * 10 - half), end(whole * 10 + half))
        };
        Some(Self { exact: parts.decimal(), rounded: span(5), near: span(whole.abs().max(5)) })
    }
}

/// A literal taken apart: the number is its digits times ten to the exponent.
struct Parts {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Parts {
    fn parse(literal: &[u8]) -> Option<Self> {
        let (negative, rest) = match literal.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, literal),
        };
        let mut split = rest.splitn(2, |byte| matches!(byte, b'e' | b'E'));
        let mantissa = split.next()?;
        let exponent = split.next().map_or(Some(0), exponent)?;
        let mut halves = mantissa.splitn(2, |byte| *byte == b'.');
        let (whole, fraction) = (halves.next()?, halves.next());
        if whole.is_empty() || fraction.is_some_and(<[u8]>::is_empty) {
            return None;
        }
        let fraction = fraction.unwrap_or_default();
        let mut digits = Vec::with_capacity(whole.len() + fraction.len());
        for byte in whole.iter().chain(fraction) {
            if !byte.is_ascii_digit() {
                return None;
            }
            digits.push(byte - b'0');
        }
        Some(Self { negative, digits, exponent: exponent - i64::try_from(fraction.len()).ok()? })
    }

    fn of(number: i128, exponent: i64) -> Self {
        let digits = number.unsigned_abs().to_string().bytes().map(|byte| byte - b'0').collect();
        Self { negative: number < 0, digits, exponent }
    }

    fn decimal(&self) -> Decimal {
        let Some(first) = self.digits.iter().position(|digit| *digit > 0) else { return Decimal::ZERO };
        let counting = self.digits.get(first..).unwrap_or_default();
        let mut digits = [0; DIGITS_MAX];
        for (place, digit) in digits.iter_mut().zip(counting) {
            *place = *digit;
        }
        let length = i64::try_from(counting.len()).unwrap_or(i64::MAX);
        Decimal { negative: self.negative, magnitude: Some(self.exponent.saturating_add(length)), digits }
    }
}

/// Reads an exponent, however long.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_i64, |number, byte| {
        byte.is_ascii_digit().then(|| (number * 10 + i64::from(byte - b'0')).min(EXPONENT_MAX))
    })?;
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn order() {
        // Each group is equal; the groups ascend.
        let groups: &[&[&str]] = &[
            &["-1e999999999999999999999"],
            &["-1.5E3", "-1500", "-1500.00"],
            &["-1.45"],
            &["-1.4", "-14e-1"],
            &["-1e-400"],
            &["0", "-0", "0.00", "0e7"],
            &["1e-400"],
            &["0.1", "1e-1", "0.10"],
            &["0.11"],
            &["1", "1.0", "10e-1", "0.001e3", "+1"],
            &["1.0000000000000000000000000000000001"],
            &["9.99"],
            &["10", "1e1"],
            &["120000000000000000000"],
            &["1e400"],
            &["1e999999999999999999999", "1e1000000000"],
        ];
        for (at, group) in groups.iter().enumerate() {
            for left in *group {
                for (other_at, others) in groups.iter().enumerate() {
                    for right in *others {
                        assert_eq!(decimal(left).cmp(&decimal(right)), at.cmp(&other_at), "{left} {right}");
                        let keys = decimal(left).sort_key().cmp(&decimal(right).sort_key());
                        assert_eq!(keys, at.cmp(&other_at), "keys {left} {right}");
                    }
                }
            }
        }
        for text in ["", "-", "e1", "1e", "1e+", ".5", "5.", "1.2.3", "0x1", "1e1.5", "١", "1 ", "NaN", "--1"] {
            assert_eq!(Decimal::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn spans() {
        for (text, low, high, near_low, near_high) in [
            ("100", "99.5", "100.5", "90", "110"),
            ("100.00", "99.995", "100.005", "90", "110"),
            ("1e2", "50", "150", "50", "150"),
            ("-5", "-5.5", "-4.5", "-5.5", "-4.5"),
            ("0", "-0.5", "0.5", "-0.5", "0.5"),
            ("0.00", "-0.005", "0.005", "-0.005", "0.005"),
            ("5.40", "5.395", "5.405", "4.86", "5.94"),
            ("1e-1000000000000", "0.5e-1000000000", "1.5e-1000000000", "0.5e-1000000000", "1.5e-1000000000"),
        ] {
            let asked = Asked::parse(text).unwrap();
            assert_eq!(asked.rounded, (decimal(low), decimal(high)), "{text}");
            assert_eq!(asked.near, (decimal(near_low), decimal(near_high)), "{text}");
        }
        assert_eq!(Asked::parse(&"1".repeat(DIGITS_MAX - 1)), None);
        assert!(Asked::parse(&"1".repeat(DIGITS_MAX - 2)).is_some());
    }
}
