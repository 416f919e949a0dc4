//! A point in time as the protocol counts it: whole seconds since 1970, UTC.
//! The clock itself is read elsewhere.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The time `seconds` after 1970-01-01T00:00:00Z.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// This time and `span` later, whole seconds; stops at the end of `u64`.
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }

    /// This time less `span`, whole seconds; stops at 1970.
    #[must_use]
    pub const fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.as_secs()))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// The calendar date, clamped to the last one that X.509 can write.
    pub(crate) fn to_date(self) -> OffsetDateTime {
        let seconds = self.0.min(X509_SECONDS_MAX).cast_signed();
        OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// From a certificate's date; `None` before 1970.
    pub(crate) fn from_timestamp(seconds: i64) -> Option<Self> {
        u64::try_from(seconds).ok().map(Self)
    }
}

/// RFC 3339 in UTC, as logs and messages to people show it.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_date().format(&Rfc3339) {
            Ok(text) => f.write_str(&text),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// 9999-12-31T23:59:59Z, the last date of a GeneralizedTime (RFC 5280, 4.1.2.5).
const X509_SECONDS_MAX: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_dates_and_saturate() {
        assert_eq!(UnixTime::from_secs(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(UnixTime::from_secs(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
        let hour = Duration::from_hours(1);
        assert_eq!(UnixTime::from_secs(5).minus(hour), UnixTime::from_secs(0));
        assert_eq!(UnixTime::from_secs(7200).since(UnixTime::from_secs(3600)), hour);
        assert_eq!(UnixTime::from_secs(1).since(UnixTime::from_secs(2)), Duration::ZERO);
    }
}
