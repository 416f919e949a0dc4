//! Dates of FHIR with the precision with which they were written: a year alone stays a year.

/// A time of day, with the zone in which it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// Minutes east of UTC.
    pub offset_minutes: i16,
}

/// A date of FHIR (R4, datatypes.html#dateTime).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The year.
    pub year: i32,
    /// 1 to 12.
    pub month: Option<u8>,
    /// 1 to 31.
    pub day: Option<u8>,
    /// The time, where the day has one.
    pub time: Option<TimeOfDay>,
    /// Its first second, in seconds since 1970; before that, below zero.
    pub seconds: i64,
}

impl Moment {
    /// Reads `2020`, `2020-03`, `2020-03-01` or `2020-03-01T10:00:00+01:00`; nothing else. Of a time without a zone, which R4
    /// forbids, the day stays.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let mut parts = date.split('-');
        let year: i32 = digits(parts.next()?, 4)?.try_into().ok()?;
        let month = parts.next().map(|part| digits(part, 2).filter(|month| (1..=12).contains(month)));
        let day = parts.next().map(|part| digits(part, 2));
        if parts.next().is_some() || month == Some(None) || day == Some(None) || year == 0 {
            return None;
        }
        let month = month.flatten().and_then(|month| u8::try_from(month).ok());
        let day = day.flatten().and_then(|day| u8::try_from(day).ok());
        let first =
            time::Date::from_calendar_date(year, time::Month::try_from(month.unwrap_or(1)).ok()?, day.unwrap_or(1));
        let midnight = first.ok()?.midnight().assume_utc().unix_timestamp();
        let Some(time) = time else {
            return Some(Self { year, month, day, time: None, seconds: midnight });
        };
        day?;
        if !time.contains(['Z', '+', '-']) {
            time_of_day(&format!("{time}Z"))?;
            return Some(Self { year, month, day, time: None, seconds: midnight });
        }
        let (time, seconds) = time_of_day(time)?;
        let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + seconds;
        let seconds = midnight + of_day - i64::from(time.offset_minutes) * 60;
        Some(Self { year, month, day, time: Some(time), seconds })
    }
}

/// `10:00`, `10:00:00`, `10:00:00.123`, with `Z` or an offset.
fn time_of_day(text: &str) -> Option<(TimeOfDay, i64)> {
    let zone = text.find(['Z', '+', '-'])?;
    let (clock, zone) = text.split_at(zone);
    let mut parts = clock.split(':');
    let hour = digits(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = digits(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let seconds = match parts.next() {
        None => 0,
        Some(part) => digits(part.split('.').next()?, 2).filter(|second| *second <= 60)?,
    };
    if parts.next().is_some() {
        return None;
    }
    let offset_minutes = if zone == "Z" {
        0
    } else {
        let (hours, minutes) = zone.get(1..)?.split_once(':')?;
        let (hours, minutes) = (digits(hours, 2).filter(|it| *it <= 14)?, digits(minutes, 2).filter(|it| *it < 60)?);
        let all = i16::try_from(hours * 60 + minutes).ok()?;
        if zone.starts_with('-') { -all } else { all }
    };
    let time = TimeOfDay { hour: u8::try_from(hour).ok()?, minute: u8::try_from(minute).ok()?, offset_minutes };
    Some((time, seconds.into()))
}

fn digits(text: &str, count: usize) -> Option<u32> {
    let sound = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if sound { text.parse().ok() } else { None }
}
