//! Dates of resources and of searches as spans of time. FHIR dates may be partial: `2024-03` is the whole
//! month. Where neither says its zone, both are taken as UTC (R4 search, "date": the server's own zone).

use time::{Date, Month};

use super::packed::DateValue;

const MICROSECONDS: i64 = 1_000_000;
/// Before all times, for spans without a beginning.
pub(super) const FIRST: i64 = i64::MIN;
/// After all times, for spans without an end.
pub(super) const LAST: i64 = i64::MAX;

/// Reads a `date`, `dateTime` or `instant`. Searches may leave out the seconds (R4 search, "date"), and a
/// space stands for a `+` that somebody forgot to encode.
pub(super) fn parse(text: &str) -> Option<DateValue> {
    let mut reader = Reader { rest: text.as_bytes() };
    let year = i32::try_from(reader.digits(4)?).ok()?;
    if reader.rest.is_empty() {
        return Some(DateValue { low: midnight(year, 1, 1)?, high: midnight(year + 1, 1, 1)? });
    }
    reader.skip(b'-')?;
    let month = u8::try_from(reader.digits(2)?).ok()?;
    if reader.rest.is_empty() {
        let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        return Some(DateValue { low: midnight(year, month, 1)?, high: midnight(next_year, next, 1)? });
    }
    reader.skip(b'-')?;
    let low = midnight(year, month, u8::try_from(reader.digits(2)?).ok()?)?;
    if reader.rest.is_empty() {
        return Some(DateValue { low, high: low + 86_400 * MICROSECONDS });
    }
    reader.skip(b'T')?;
    let (seconds, fraction, width) = reader.time_of_day()?;
    let low = low + (seconds - reader.zone()?) * MICROSECONDS + fraction;
    reader.rest.is_empty().then_some(DateValue { low, high: low + width })
}

/// The first microsecond of a day. The first day of the year 10000 ends the last year.
fn midnight(year: i32, month: u8, day: u8) -> Option<i64> {
    const YEAR_10000: i64 = 253_402_300_800 * MICROSECONDS;
    if year == 10_000 {
        return Some(YEAR_10000);
    }
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    Some(date.midnight().assume_utc().unix_timestamp() * MICROSECONDS)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn skip(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
    }

    fn digits_up_to(&mut self, max: u32) -> Option<i64> {
        self.digits(2).filter(|number| *number <= max).map(i64::from)
    }

    /// Seconds since midnight, microseconds, and how long the span is that the text names.
    fn time_of_day(&mut self) -> Option<(i64, i64, i64)> {
        let minutes = self.digits_up_to(23)? * 60 + {
            self.skip(b':')?;
            self.digits_up_to(59)?
        };
        if self.skip(b':').is_none() {
            return Some((minutes * 60, 0, 60 * MICROSECONDS));
        }
        // 60 is a leap second.
        let seconds = minutes * 60 + self.digits_up_to(60)?;
        if self.skip(b'.').is_none() {
            return Some((seconds, 0, MICROSECONDS));
        }
        let (mut fraction, mut width, mut some) = (0, MICROSECONDS, false);
        while let Some((digit, rest)) = self.rest.split_first().filter(|(digit, _)| digit.is_ascii_digit()) {
            some = true;
            self.rest = rest;
            // Digits beyond the microsecond do not count.
            if width > 1 {
                width /= 10;
                fraction += i64::from(digit - b'0') * width;
            }
        }
        some.then_some((seconds, fraction, width))
    }

    /// Seconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        let sign = match self.rest.split_first() {
            None => return Some(0),
            Some((b'Z', rest)) => {
                self.rest = rest;
                return Some(0);
            }
            Some((b'+' | b' ', rest)) => {
                self.rest = rest;
                1
            }
            Some((b'-', rest)) => {
                self.rest = rest;
                -1
            }
            Some(_) => return None,
        };
        let hours = self.digits_up_to(14)?;
        self.skip(b':')?;
        Some(sign * (hours * 60 + self.digits_up_to(59)?) * 60)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn spans() {
        const DAY: i64 = 86_400;
        // Text, first second, seconds long.
        for (text, low, seconds) in [
            ("1970", 0, 365 * DAY),
            ("1970-02", 31 * DAY, 28 * DAY),
            ("1972-02", 31 * DAY + 730 * DAY, 29 * DAY),
            ("1970-12", 334 * DAY, 31 * DAY),
            ("1970-01-02", DAY, DAY),
            ("1970-01-01T01:02", 3720, 60),
            ("1970-01-01T01:02Z", 3720, 60),
            ("1970-01-01T01:02:03", 3723, 1),
            ("1970-01-01T01:02:03Z", 3723, 1),
            ("1970-01-01T01:02:03+01:00", 123, 1),
            ("1970-01-01T01:02:03 01:00", 123, 1),
            ("1970-01-01T01:02:03-01:30", 3723 + 5400, 1),
            ("1969-12-31T23:59:60Z", 0, 1),
            ("9999", 253_370_764_800, 365 * DAY),
        ] {
            let span = parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((span.low, span.high - span.low), (low * MICROSECONDS, seconds * MICROSECONDS), "{text}");
        }
        for (text, low, width) in [
            ("1970-01-01T00:00:01.5Z", 1_500_000, 100_000),
            ("1970-01-01T00:00:01.123Z", 1_123_000, 1000),
            ("1970-01-01T00:00:01.123456789Z", 1_123_456, 1),
        ] {
            assert_eq!(parse(text), Some(DateValue { low, high: low + width }), "{text}");
        }
        for text in [
            "",
            "70",
            "1970-",
            "1970-1",
            "1970-13",
            "1970-00",
            "1970-02-30",
            "1970-01-01T",
            "1970-01-01T1",
            "1970-01-01T24:00:00Z",
            "1970-01-01T01:60",
            "1970-01-01T01:02:03.",
            "1970-01-01T01:02:03.Z",
            "1970-01-01T01:02:03+1",
            "1970-01-01T01:02:03+15:00",
            "1970-01-01T01:02:03Zx",
            "1970-01-01 01:02",
            "+970",
            "19700101",
            "1970-01-01Z",
            "१९७०",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
