//! Dates and times of HL7 v2 (data types DT, TM and DTM) as FHIR writes them. Precision is kept: what the
//! sender did not say is not made up, save the seconds and the zone that FHIR demands with a time.

use time::{Date, Month, UtcOffset};

/// A date and perhaps a time, read from `YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp {
    date: String,
    full_date: bool,
    time: Option<String>,
    zone: Option<String>,
}

impl Timestamp {
    /// Reads a DT or DTM. `None` when it is none, or names a day that does not exist.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (digits, zone) = match text.find(['+', '-']) {
            Some(at) => (text.get(..at)?, Some(zone(text.get(at..)?)?)),
            None => (text.strip_suffix('Z').unwrap_or(text), text.ends_with('Z').then(|| "Z".to_owned())),
        };
        let (digits, fraction) = match digits.split_once('.') {
            Some((digits, fraction)) if digits.len() == 14 => (digits, Some(fraction)),
            Some(_) => return None,
            None => (digits, None),
        };
        let year = number(digits, 0, 4)?;
        let month = part(digits, 4)?;
        let day = part(digits, 6)?;
        if year == 0 || digits.len() > 14 {
            return None;
        }
        let date = match (month, day) {
            (None, _) => format!("{year:04}"),
            (Some(month), None) => {
                Month::try_from(u8::try_from(month).ok()?).ok()?;
                format!("{year:04}-{month:02}")
            }
            (Some(month), Some(day)) => {
                let name = Month::try_from(u8::try_from(month).ok()?).ok()?;
                Date::from_calendar_date(i32::try_from(year).ok()?, name, u8::try_from(day).ok()?).ok()?;
                format!("{year:04}-{month:02}-{day:02}")
            }
        };
        let time = match digits.get(8..) {
            None | Some("") => None,
            Some(clock) => Some(clock_time(clock, fraction)?),
        };
        Some(Self { date, full_date: day.is_some(), time, zone })
    }

    /// As FHIR `date`: the time is left out.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// Whether there is a time other than midnight, which many systems send for "no time".
    pub fn has_time(&self) -> bool {
        self.time.as_deref().is_some_and(|time| !time.starts_with("00:00:00"))
    }

    /// As FHIR `dateTime`. A time without a zone is taken to be local.
    pub fn date_time(&self, local: UtcOffset) -> String {
        match &self.time {
            Some(time) => {
                let zone = self.zone.clone().unwrap_or_else(|| offset(local));
                format!("{}T{time}{zone}", self.date)
            }
            None => self.date.clone(),
        }
    }

    /// As FHIR `instant`, which takes no less than a time.
    pub fn instant(&self, local: UtcOffset) -> Option<String> {
        (self.full_date && self.time.is_some()).then(|| self.date_time(local))
    }
}

/// A TM as FHIR `time`, which has no zone.
pub fn time_of_day(text: &str) -> Option<String> {
    let clock = text.trim().split(['+', '-']).next()?;
    match clock.split_once('.') {
        Some((clock, fraction)) if clock.len() == 6 => clock_time(clock, Some(fraction)),
        Some(_) => None,
        None => clock_time(clock, None),
    }
}

/// `HH[MM[SS]]` and a fraction as `HH:MM:SS.S`.
fn clock_time(clock: &str, fraction: Option<&str>) -> Option<String> {
    let hour = number(clock, 0, 2)?;
    let minute = part(clock, 2)?.unwrap_or(0);
    let second = part(clock, 4)?.unwrap_or(0);
    if hour > 23 || minute > 59 || second > 59 || clock.len() > 6 {
        return None;
    }
    match fraction {
        None => Some(format!("{hour:02}:{minute:02}:{second:02}")),
        Some(digits) if (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(format!("{hour:02}:{minute:02}:{second:02}.{digits}"))
        }
        Some(_) => None,
    }
}

/// Two digits at a place: `Some(None)` where the text ends before them.
#[expect(clippy::option_option, reason = "absent and wrong are different answers")]
fn part(digits: &str, at: usize) -> Option<Option<u32>> {
    if digits.len() <= at { Some(None) } else { number(digits, at, 2).map(Some) }
}

fn number(digits: &str, at: usize, length: usize) -> Option<u32> {
    let part = digits.get(at..at + length)?;
    part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
}

/// `+0100` as `+01:00`; R4 takes up to 14 hours.
fn zone(text: &str) -> Option<String> {
    let (sign, digits) = text.split_at_checked(1)?;
    let (hours, minutes) = (number(digits, 0, 2)?, number(digits, 2, 2)?);
    let sound = digits.len() == 4 && minutes < 60 && (hours < 14 || (hours == 14 && minutes == 0));
    sound.then(|| format!("{sign}{hours:02}:{minutes:02}"))
}

fn offset(local: UtcOffset) -> String {
    let (hours, minutes, _) = local.as_hms();
    let sign = if local.is_negative() { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", hours.unsigned_abs(), minutes.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let local = UtcOffset::from_hms(1, 0, 0).unwrap();
        let found = Timestamp::read(text).map(|timestamp| timestamp.date_time(local));
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn precision_and_zone_are_kept() {
        let cases = [
            ("2024", Some("2024")),
            ("202402", Some("2024-02")),
            ("20240229", Some("2024-02-29")),
            ("2024022913", Some("2024-02-29T13:00:00+01:00")),
            ("202402291305", Some("2024-02-29T13:05:00+01:00")),
            ("20240229130559", Some("2024-02-29T13:05:59+01:00")),
            ("20240229130559.1230-0330", Some("2024-02-29T13:05:59.1230-03:30")),
            ("202402291305+0000", Some("2024-02-29T13:05:00+00:00")),
            ("202402291305Z", Some("2024-02-29T13:05:00Z")),
            ("19890118000000", Some("1989-01-18T00:00:00+01:00")),
            ("20230229", None),
            ("20241301", None),
            ("202400", None),
            ("0000", None),
            ("202", None),
            ("20245", None),
            ("2024022924", None),
            ("202402291360", None),
            ("20240229130559.", None),
            ("2024.5", None),
            ("202402291305+1500", None),
            ("202402291305+01", None),
            ("Aug 15, 1942", None),
            ("2024-02-29", None),
            ("２０２４", None),
            ("", None),
            ("202402291305591", None),
        ];
        for (text, expected) in cases {
            check(text, expected);
        }
    }

    #[test]
    fn an_instant_needs_a_time_and_midnight_is_none() {
        let read = |text: &str| Timestamp::read(text).unwrap();
        assert_eq!(read("20240229").instant(UtcOffset::UTC), None);
        assert_eq!(read("2024022910").instant(UtcOffset::UTC).as_deref(), Some("2024-02-29T10:00:00+00:00"));
        assert!(!read("19890118000000").has_time());
        assert!(read("19890118000100").has_time());
        let west = UtcOffset::from_hms(-3, -30, 0).unwrap();
        assert_eq!(read("2024022910").date_time(west), "2024-02-29T10:00:00-03:30");
    }

    #[test]
    fn times_of_day_are_read() {
        for (text, expected) in [
            ("1305", Some("13:05:00")),
            ("130559.12+0100", Some("13:05:59.12")),
            ("13", Some("13:00:00")),
            ("2500", None),
            ("1", None),
            ("11:30:05", None),
        ] {
            assert_eq!(time_of_day(text).as_deref(), expected, "{text}");
        }
    }
}
