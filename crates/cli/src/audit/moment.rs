//! `--from` and `--to`: a day, or a moment with its time zone.

use std::str::FromStr;

use clap::Args;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, Time};

/// A span of time.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct SpanArgs {
    /// From this day or moment on: 2026-01-31 (UTC) or 2026-01-31T08:00:00+01:00.
    #[arg(long, value_name = "WHEN")]
    from: Option<Moment>,
    /// Up to this moment, or with the whole of this day.
    #[arg(long, value_name = "WHEN")]
    to: Option<Moment>,
}

impl SpanArgs {
    /// The first millisecond.
    pub(super) fn since(self) -> Option<u64> {
        self.from.map(|moment| moment.begin)
    }

    /// After the last millisecond.
    pub(super) fn before(self) -> Option<u64> {
        self.to.map(|moment| moment.end)
    }
}

/// A day or a moment, in Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment {
    begin: u64,
    end: u64,
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let millis = |at: OffsetDateTime| u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok();
        let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
        let span = match day {
            Some(day) => millis(day.with_time(Time::MIDNIGHT).assume_utc()).map(|begin| (begin, begin + DAY_MILLIS)),
            None => OffsetDateTime::parse(text, &Rfc3339).ok().and_then(millis).map(|at| (at, at)),
        };
        let (begin, end) = span.ok_or("write a day, 2026-01-31, or a moment, 2026-01-31T08:00:00Z")?;
        Ok(Self { begin, end })
    }
}

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_a_length_and_a_moment_none() {
        assert_eq!("1970-01-02".parse(), Ok(Moment { begin: DAY_MILLIS, end: 2 * DAY_MILLIS }));
        assert_eq!("1970-01-01T01:00:01+01:00".parse(), Ok(Moment { begin: 1000, end: 1000 }));
        for wrong in ["", "1969-01-01", "2026-13-01", "2026-01-01T00:00:00", "yesterday"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
    }
}
