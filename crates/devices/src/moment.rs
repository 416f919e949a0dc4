//! When something was measured. Times keep the text that the device sent; they are parsed only to be judged.

use time::format_description::well_known::Rfc3339;
use time::{Date, Duration, OffsetDateTime, UtcOffset};

use crate::error::DeviceError;
use crate::fields::Place;

/// How far a measurement may lie ahead of the gateway's clock, in seconds. Old ones are welcome: devices queue while
/// they have no network.
pub const CLOCK_AHEAD_SECONDS_MAX: i64 = 300;
/// Longest text of a time, in bytes: nanoseconds and an offset.
const MOMENT_BYTES_MAX: usize = 35;

/// A point in time with its zone, as `Observation.effectiveDateTime` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) text: String,
    pub(crate) at: OffsetDateTime,
}

impl Moment {
    /// Reads the forms that both RFC 3339 and FHIR allow (R4 datatypes.html, dateTime), up to a little after `now`.
    pub(crate) fn read(text: &str, place: &Place<'_>, now: OffsetDateTime) -> Result<Self, DeviceError> {
        let wrong = || place.bad("expected a time with seconds and zone, such as 2026-11-28T19:44:40+01:00");
        let canonical = text.is_ascii()
            && text.len() <= MOMENT_BYTES_MAX
            && text.as_bytes().get(10) == Some(&b'T')
            && !text.contains('z');
        if !canonical {
            return Err(wrong());
        }
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
        if at.offset().whole_seconds().abs() > 14 * 3600 || at.year() < 1900 {
            return Err(wrong());
        }
        not_ahead(at, place, now)?;
        Ok(Self { text: text.to_owned(), at })
    }

    /// A time some time after this one, in the same zone, to the millisecond.
    pub(crate) fn after(&self, by: Duration) -> Option<String> {
        let at = self.at.checked_add(by)?;
        let whole = at.replace_millisecond(at.millisecond()).ok()?;
        whole.format(&Rfc3339).ok()
    }
}

fn not_ahead(at: OffsetDateTime, place: &Place<'_>, now: OffsetDateTime) -> Result<(), DeviceError> {
    if at > now.saturating_add(Duration::seconds(CLOCK_AHEAD_SECONDS_MAX)) {
        return Err(DeviceError::InFuture { place: place.to_string(), tolerance_seconds: CLOCK_AHEAD_SECONDS_MAX });
    }
    Ok(())
}

/// Checks a day without a time: it must have begun somewhere.
pub(crate) fn check_day(text: &str, place: &Place<'_>, now: OffsetDateTime) -> Result<(), DeviceError> {
    let wrong = || place.bad("expected a day, such as 2026-11-28");
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let day = Date::parse(text, format).map_err(|_| wrong())?;
    let east = UtcOffset::from_hms(14, 0, 0).map_err(|_| wrong())?;
    if day.year() < 1900 {
        return Err(wrong());
    }
    not_ahead(day.midnight().assume_offset(east), place, now)
}

/// `Observation.effective[x]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At a point in time.
    At(Moment),
    /// Over a period.
    Period {
        /// Its begin, as sent.
        start: String,
        /// Its end, as sent or computed.
        end: String,
    },
    /// On a day, with what the device said about the time.
    Day {
        /// The day.
        date: String,
        /// Part of the day.
        part: &'static str,
    },
    /// The format did not ask for it and the device did not say.
    Unknown,
}

impl When {
    /// What to know a repetition by, where the sender gave no number.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::At(moment) => moment.text.clone(),
            Self::Period { start, end } => format!("{start}/{end}"),
            Self::Day { date, part } => format!("{date}/{part}"),
            Self::Unknown => "unknown".to_owned(),
        }
    }
}

/// A period whose end does not lie before its begin.
pub(crate) fn period(start: Moment, end: Moment, place: &Place<'_>) -> Result<When, DeviceError> {
    if end.at < start.at {
        return Err(place.bad("the end lies before the begin"));
    }
    Ok(When::Period { start: start.text, end: end.text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn times() {
        let now = datetime!(2026-11-28 12:00 UTC);
        for (text, code) in [
            ("2026-11-28T12:00:00Z", None),
            ("2026-11-28T12:05:00Z", None),
            ("2026-11-28T12:05:01Z", Some("in-future")),
            ("2026-11-28T13:05:01+01:00", Some("in-future")),
            ("2026-11-28T13:05:00.000+01:00", None),
            ("2001-02-28T23:59:59.123456789-08:00", None),
            ("2026-11-28 12:00:00Z", Some("bad-value")),
            ("2026-11-28t12:00:00Z", Some("bad-value")),
            ("2026-11-28T12:00:00z", Some("bad-value")),
            ("2026-11-28T12:00:00", Some("bad-value")),
            ("2026-11-28T12:00Z", Some("bad-value")),
            ("2026-02-30T12:00:00Z", Some("bad-value")),
            ("2026-11-28T12:00:00+15:00", Some("bad-value")),
            ("0001-01-01T00:00:00Z", Some("bad-value")),
            ("201-02-05T07:25:00Z", Some("bad-value")),
            ("", Some("bad-value")),
        ] {
            let found = Moment::read(text, &Place::Root, now).map(|moment| moment.text);
            match code {
                None => assert_eq!(found.as_deref(), Ok(text)),
                Some(code) => assert_eq!(found.map_err(|error| error.code()), Err(code), "{text}"),
            }
        }
        for (text, code) in [
            ("2026-11-29", None),
            ("2026-11-30", Some("in-future")),
            ("2026-11", Some("bad-value")),
            ("2026-11-31", Some("bad-value")),
        ] {
            assert_eq!(check_day(text, &Place::Root, now).err().map(|error| error.code()), code, "{text}");
        }
    }
}
