//! Quantities with units, as people write them: `15s`, `500ms`, `64MiB`. A bare number counts
//! seconds or bytes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: a number of seconds, or a whole number followed by `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(pub Duration);

/// A number of bytes: a plain number, or a whole number followed by `B`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(pub u64);

impl Interval {
    /// An interval of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// An interval of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl From<Interval> for Duration {
    fn from(interval: Interval) -> Duration {
        interval.0
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text)
            .ok_or_else(|| format!("`{text}` is not a length of time; write it like {INTERVAL_EXAMPLES}"))?;
        let millis = match unit {
            "ms" => Some(1),
            "" | "s" => Some(1000),
            "m" | "min" => Some(60 * 1000),
            "h" => Some(60 * 60 * 1000),
            "d" => Some(24 * 60 * 60 * 1000),
            _ => None,
        };
        millis
            .and_then(|factor: u64| number.checked_mul(factor))
            .filter(|millis| *millis <= INTERVAL_MILLIS_MAX)
            .map(Interval::from_millis)
            .ok_or_else(|| format!("`{text}` is not a length of time; write it like {INTERVAL_EXAMPLES}"))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) { write!(out, "{}s", millis / 1000) } else { write!(out, "{millis}ms") }
    }
}

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not a number of bytes; write it like `4096`, `64KiB` or `16MiB`");
        let (number, unit) = split(text).ok_or_else(refuse)?;
        let shift = match unit {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(refuse()),
        };
        number.checked_mul(1 << shift).map(ByteCount).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(out, "{}{unit}", self.0 >> shift);
            }
        }
        write!(out, "{}B", self.0)
    }
}

/// `15ms` into 15 and `ms`.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

struct QuantityVisitor<Q>(&'static str, std::marker::PhantomData<Q>);

impl<Q: FromStr<Err = String>> Visitor<'_> for QuantityVisitor<Q> {
    type Value = Q;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Q, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Q, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Q, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! serde_as_text {
    ($type:ty, $expecting:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(QuantityVisitor($expecting, std::marker::PhantomData))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

serde_as_text!(Interval, "a length of time such as `15s`");
serde_as_text!(ByteCount, "a number of bytes such as `16MiB`");

const INTERVAL_EXAMPLES: &str = "`500ms`, `15s`, `5m`, `2h` or `30d`";
/// A hundred years: more is a slip, and would overflow the runtime's timer.
const INTERVAL_MILLIS_MAX: u64 = 100 * 365 * 24 * 60 * 60 * 1000;
