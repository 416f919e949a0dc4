//! Formats of the primitive types (R4 datatypes.html#primitive), checked by hand: the patterns of
//! the definitions are the reference that a test below compares with. What a pattern cannot say is
//! checked here as well: days that the calendar has, ranges of integers, padding of base64.

use std::cmp::Ordering;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::id::ResourceId;
use crate::structure::Primitive;

/// Longest string, in bytes (R4 datatypes, `string`: 1 MB). Narratives and base64 have no such limit.
pub const STRING_BYTES_MAX: usize = 1024 * 1024;

/// What is wrong with a primitive value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrimitiveFault {
    /// It is another kind of JSON value.
    WrongJson,
    /// An empty string.
    Empty,
    /// It does not have the format of its type.
    Format,
    /// A well-formed date that the calendar lacks.
    NoSuchDate,
    /// An integer beyond the range of its type.
    OutOfRange,
    /// A string beyond its limit.
    TooLong,
}

/// Checks a value against its type. The content of `xhtml` is checked elsewhere.
pub(crate) fn check(primitive: Primitive, value: &Value) -> Result<(), PrimitiveFault> {
    match (primitive, value) {
        (Primitive::Boolean, Value::Bool(_)) | (Primitive::Decimal, Value::Number(_)) => Ok(()),
        (Primitive::Integer, Value::Number(number)) => integer(number.as_str(), i64::from(i32::MIN)),
        (Primitive::UnsignedInt, Value::Number(number)) => integer(number.as_str(), 0),
        (Primitive::PositiveInt, Value::Number(number)) => integer(number.as_str(), 1),
        (
            Primitive::Boolean
            | Primitive::Decimal
            | Primitive::Integer
            | Primitive::UnsignedInt
            | Primitive::PositiveInt,
            _,
        ) => Err(PrimitiveFault::WrongJson),
        (_, Value::String(text)) if text.is_empty() => Err(PrimitiveFault::Empty),
        (_, Value::String(text)) => check_text(primitive, text),
        _ => Err(PrimitiveFault::WrongJson),
    }
}

/// What a value of the type looks like, for people.
pub(crate) fn describe(primitive: Primitive) -> &'static str {
    match primitive {
        Primitive::Base64Binary => "base64: groups of four characters out of A-Z a-z 0-9 + / with = at the end",
        Primitive::Boolean => "true or false, without quotes",
        Primitive::Canonical | Primitive::Uri | Primitive::Url => "a URI without white space",
        Primitive::Code => "a code without white space at its ends or twice within",
        Primitive::Date => "a date such as 2024-05-31, 2024-05 or 2024",
        Primitive::DateTime => "a date and time with its zone, such as 2024-05-31T17:05:00+02:00, or a date",
        Primitive::Decimal => "a number, without quotes",
        Primitive::Id => "an id of 1 to 64 characters out of letters, digits, '-' and '.'",
        Primitive::Instant => "a moment with seconds and zone, such as 2024-05-31T17:05:00Z",
        Primitive::Integer => "a whole number from -2147483648 to 2147483647, without quotes",
        Primitive::Markdown | Primitive::String => "a string of 1 MB or less",
        Primitive::Oid => "an object identifier such as urn:oid:1.2.3",
        Primitive::PositiveInt => "a whole number from 1 to 2147483647, without quotes",
        Primitive::Time => "a time such as 17:05:00",
        Primitive::UnsignedInt => "a whole number from 0 to 2147483647, without quotes",
        Primitive::Uuid => "a lower-case UUID such as urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        Primitive::Xhtml => "XHTML in a string",
    }
}

fn check_text(primitive: Primitive, text: &str) -> Result<(), PrimitiveFault> {
    let sound = match primitive {
        Primitive::String | Primitive::Markdown if text.len() > STRING_BYTES_MAX => {
            return Err(PrimitiveFault::TooLong);
        }
        // Of the white space, strings hold blank, tab and line ends only.
        Primitive::String | Primitive::Markdown => !text.bytes().any(|b| matches!(b, 0x0b | 0x0c)),
        Primitive::Code => is_code(text.as_bytes()),
        Primitive::Id => text.parse::<ResourceId>().is_ok(),
        Primitive::Uri | Primitive::Url | Primitive::Canonical => !text.bytes().any(is_space),
        Primitive::Oid => is_oid(text),
        Primitive::Uuid => is_uuid(text),
        Primitive::Base64Binary => is_base64(text.as_bytes()),
        Primitive::Date | Primitive::DateTime | Primitive::Instant => return check_moment(primitive, text),
        Primitive::Time => clock(text.as_bytes()).is_some_and(<[u8]>::is_empty),
        // The others are no strings in JSON, or checked elsewhere.
        _ => true,
    };
    if sound { Ok(()) } else { Err(PrimitiveFault::Format) }
}

fn integer(literal: &str, least: i64) -> Result<(), PrimitiveFault> {
    if !literal.bytes().all(|b| b.is_ascii_digit() || b == b'-') || (least >= 0 && literal.starts_with("-0")) {
        return Err(PrimitiveFault::Format);
    }
    match literal.parse::<i64>() {
        Ok(number) if (least..=i64::from(i32::MAX)).contains(&number) => Ok(()),
        _ => Err(PrimitiveFault::OutOfRange),
    }
}

/// White space as the patterns mean it: that of ASCII.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_code(text: &[u8]) -> bool {
    let mut spaced = true;
    for byte in text {
        let space = is_space(*byte);
        if space && spaced {
            return false;
        }
        spaced = space;
    }
    !spaced
}

fn is_oid(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("urn:oid:") else { return false };
    let mut arcs = rest.split('.');
    matches!(arcs.next(), Some("0" | "1" | "2"))
        && rest.contains('.')
        && arcs.all(|arc| arc == "0" || (!arc.starts_with('0') && is_digits(arc.as_bytes())))
}

fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

fn is_uuid(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("urn:uuid:") else { return false };
    rest.len() == 36
        && rest.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// Groups of four with white space between groups alone, as the pattern has it; padding at the end
/// alone, as RFC 4648 has it.
fn is_base64(text: &[u8]) -> bool {
    let (mut within, mut padding) = (0_u8, 0_u8);
    for byte in text {
        match byte {
            b'=' if within >= 2 => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            space if is_space(*space) && within == 0 => continue,
            _ => return false,
        }
        within = (within + 1) % 4;
    }
    within == 0 && !text.iter().all(|byte| is_space(*byte))
}

fn check_moment(primitive: Primitive, text: &str) -> Result<(), PrimitiveFault> {
    let moment = Moment::read(text).ok_or(PrimitiveFault::Format)?;
    let sound = match primitive {
        Primitive::Date => !moment.has_time,
        Primitive::Instant => moment.has_time,
        _ => true,
    };
    if !sound {
        return Err(PrimitiveFault::Format);
    }
    if moment.is_on_calendar() { Ok(()) } else { Err(PrimitiveFault::NoSuchDate) }
}

/// A date as far as it was sent, and whether a time follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    year: u16,
    month: Option<u8>,
    day: Option<u8>,
    has_time: bool,
}

impl Moment {
    fn read(text: &str) -> Option<Self> {
        let (year, rest) = text.as_bytes().split_first_chunk::<4>()?;
        let year = year.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + u16::from(*b - b'0')))?;
        if year == 0 {
            return None;
        }
        let mut moment = Self { year, month: None, day: None, has_time: false };
        if rest.is_empty() {
            return Some(moment);
        }
        let (month, rest) = two_digits(rest.strip_prefix(b"-")?)?;
        moment.month = Some(month);
        if rest.is_empty() {
            return (1..=12).contains(&month).then_some(moment);
        }
        let (day, rest) = two_digits(rest.strip_prefix(b"-")?)?;
        moment.day = Some(day);
        moment.has_time = !rest.is_empty();
        if moment.has_time && !is_zone(clock(rest.strip_prefix(b"T")?)?) {
            return None;
        }
        ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(moment)
    }

    fn is_on_calendar(self) -> bool {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let last = match self.month {
            Some(2) if leap => 29,
            Some(2) => 28,
            Some(4 | 6 | 9 | 11) => 30,
            _ => 31,
        };
        self.day.is_none_or(|day| day <= last)
    }
}

/// Whether `end` is surely before `start`. Where one of them is less precise, the shared part decides;
/// a date beside a time decides nothing, for the zone of the date is not known.
pub(crate) fn is_reversed(start: &str, end: &str) -> bool {
    let (Some(from), Some(to)) = (Moment::read(start), Moment::read(end)) else { return false };
    if from.has_time && to.has_time {
        let read = |text| OffsetDateTime::parse(text, &Rfc3339);
        return read(start).is_ok_and(|start| read(end).is_ok_and(|end| end < start));
    }
    from.has_time == to.has_time
        && to
            .year
            .cmp(&from.year)
            .then_with(|| shared(to.month, from.month))
            .then_with(|| shared(to.day, from.day))
            .is_lt()
}

/// The order of two parts of a date; equal where one was not sent.
fn shared(a: Option<u8>, b: Option<u8>) -> Ordering {
    a.zip(b).map_or(Ordering::Equal, |(a, b)| a.cmp(&b))
}

fn two_digits(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [tens @ b'0'..=b'9', units @ b'0'..=b'9', rest @ ..] => Some(((tens - b'0') * 10 + (units - b'0'), rest)),
        _ => None,
    }
}

/// Reads `hh:mm:ss` with a fraction, and gives back what follows. A leap second is allowed.
fn clock(text: &[u8]) -> Option<&[u8]> {
    let (hour, rest) = two_digits(text)?;
    let (minute, rest) = two_digits(rest.strip_prefix(b":")?)?;
    let (second, rest) = two_digits(rest.strip_prefix(b":")?)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let Some(fraction) = rest.strip_prefix(b".") else { return Some(rest) };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 { None } else { fraction.get(digits..) }
}

/// `Z`, or an offset up to 14 hours.
fn is_zone(text: &[u8]) -> bool {
    let [b'+' | b'-', offset @ ..] = text else { return text == b"Z" };
    let Some((hours, rest)) = two_digits(offset) else { return false };
    let minutes = rest.strip_prefix(b":").and_then(two_digits);
    matches!(minutes, Some((minutes, [])) if hours < 14 && minutes <= 59 || hours == 14 && minutes == 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::structure::{find, patterns};

    /// The patterns, with `\s` and `\S` as ASCII: they were written for engines where that is so,
    /// and a no-break space in a name is no fault.
    fn reference() -> Vec<(Primitive, regex::Regex)> {
        patterns()
            .iter()
            .map(|(name, pattern)| {
                let ascii = pattern
                    .replace("[^\\s]", "[^ \t\n\x0B\x0C\r]")
                    .replace("[ \\r\\n\\t\\S]", "[^\x0B\x0C]")
                    .replace("\\S", "[^ \t\n\x0B\x0C\r]")
                    .replace("\\s", "[ \t\n\x0B\x0C\r]");
                (find(name).unwrap().primitive().unwrap(), regex::Regex::new(&format!("^(?:{ascii})$")).unwrap())
            })
            .collect()
    }

    const SEEDS: &[&str] = &[
        "",
        " ",
        "a",
        "a b",
        "a  b",
        " a",
        "a ",
        "a\tb",
        "a\n",
        "\u{b}",
        "\u{c}x",
        "\u{a0}",
        "é 😀",
        "a\r\nb",
        "0",
        "-0",
        "00",
        "1",
        "-1",
        "01",
        "1.0",
        "1.10",
        "1e5",
        "1E-22",
        "+1",
        "-",
        "1.",
        ".5",
        "2147483647",
        "true",
        "false",
        "True",
        "2024",
        "0000",
        "0001",
        "202",
        "20245",
        "2024-05",
        "2024-13",
        "2024-00",
        "2024-5",
        "2024-05-31",
        "2024-05-00",
        "2024-05-32",
        "2024-05-3",
        "2024-05-31T",
        "2024-05-31T17:05",
        "2024-05-31T17:05:00",
        "2024-05-31T17:05:00Z",
        "2024-05-31T17:05:00z",
        "2024-05-31T24:00:00Z",
        "2024-05-31T23:60:00Z",
        "2024-05-31T23:59:60Z",
        "2024-05-31T23:59:61Z",
        "2024-05-31T17:05:00.123+02:00",
        "2024-05-31T17:05:00.Z",
        "2024-05-31T17:05:00+14:00",
        "2024-05-31T17:05:00+14:01",
        "2024-05-31T17:05:00-15:00",
        "2024-05-31 17:05:00Z",
        "2024-05-31T17:05:00+0200",
        "2024-05-31T17:05:00+02",
        "17:05:00",
        "17:05",
        "17:05:00.5",
        "17:05:00Z",
        "24:00:00",
        "urn:oid:1.2.3",
        "urn:oid:1",
        "urn:oid:3.1",
        "urn:oid:1.02",
        "urn:oid:1.0",
        "urn:oid:1..2",
        "urn:oid:1.2.",
        "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
        "urn:uuid:C757873d-ec9a-4326-a141-556f43239520",
        "urn:uuid:c757873d-ec9a-4326-a141-556f4323952",
        "c757873d-ec9a-4326-a141-556f43239520",
        "YWJj",
        "YWI=",
        "YQ==",
        "YWJjZGVm",
        "YWJj ZGVm",
        "YWJj\r\nZGVm",
        "YWJ jZGVm",
        " YWJj ",
        "YWJ",
        "YWJjZ",
        "Y-_j",
        "http://example.org/a b",
        "http://example.org/é",
        "#x",
        "A-b.9",
        "a_b",
    ];

    #[test]
    fn checks_agree_with_the_patterns_of_the_definitions() {
        let mut state = 11_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        let alphabet: Vec<char> = "0123456789-+:.TZ= \t\n\u{b}aZz/uéoid\u{a0}".chars().collect();
        let mut strings: Vec<String> = SEEDS.iter().map(|seed| (*seed).to_owned()).collect();
        for seed in SEEDS {
            for _ in 0..150 {
                let mut chars: Vec<char> = seed.chars().collect();
                for _ in 0..=next(2) {
                    let at = next(chars.len() + 1);
                    match next(3) {
                        0 if at < chars.len() => chars[at] = alphabet[next(alphabet.len())],
                        1 if at < chars.len() => drop(chars.remove(at)),
                        _ => chars.insert(at, alphabet[next(alphabet.len())]),
                    }
                }
                strings.push(chars.into_iter().collect());
            }
        }
        let padding = regex::Regex::new(r"^[^=]*(=|=\s*=)?\s*$").unwrap();
        let (mut accepted, mut refused) = (0, 0);
        for (primitive, pattern) in reference() {
            for text in &strings {
                let number: Option<serde_json::Number> = text.parse().ok();
                let value = match (primitive, number) {
                    (Primitive::Boolean, _) => continue,
                    (
                        Primitive::Integer | Primitive::Decimal | Primitive::PositiveInt | Primitive::UnsignedInt,
                        number,
                    ) => {
                        // What is no JSON number never gets here.
                        let Some(number) = number else { continue };
                        Value::Number(number)
                    }
                    _ => Value::String(text.clone()),
                };
                let found = check(primitive, &value);
                let expected = match (primitive, &value) {
                    (_, Value::Number(number)) => pattern.is_match(number.as_str()),
                    (Primitive::Base64Binary, _) => pattern.is_match(text) && padding.is_match(text),
                    _ => pattern.is_match(text) && !text.is_empty(),
                };
                match found {
                    // Beyond the patterns.
                    Err(PrimitiveFault::NoSuchDate) => assert!(expected, "{primitive:?} {text:?}"),
                    Err(PrimitiveFault::OutOfRange) => {}
                    _ => assert_eq!(found.is_ok(), expected, "{primitive:?} {text:?} {found:?}"),
                }
                if expected { accepted += 1 } else { refused += 1 }
            }
        }
        println!("{} strings: {accepted} accepted, {refused} refused by pattern and check alike", strings.len());
        assert!(accepted > 10_000 && refused > 10_000);
    }

    #[test]
    fn what_patterns_cannot_say() {
        let text = |text: &str| Value::String(text.to_owned());
        let long = "a".repeat(STRING_BYTES_MAX + 1);
        for (primitive, value, expected) in [
            (Primitive::Date, text("2023-02-29"), Err(PrimitiveFault::NoSuchDate)),
            (Primitive::Date, text("2024-02-29"), Ok(())),
            (Primitive::Date, text("1900-02-29"), Err(PrimitiveFault::NoSuchDate)),
            (Primitive::Date, text("2000-02-29"), Ok(())),
            (Primitive::DateTime, text("2024-04-31T00:00:00Z"), Err(PrimitiveFault::NoSuchDate)),
            (Primitive::Instant, text("2024-11-31T00:00:00Z"), Err(PrimitiveFault::NoSuchDate)),
            (Primitive::Date, text("2024-05-31T00:00:00Z"), Err(PrimitiveFault::Format)),
            (Primitive::Instant, text("2024-05-31"), Err(PrimitiveFault::Format)),
            (Primitive::Integer, serde_json::json!(2_147_483_648_i64), Err(PrimitiveFault::OutOfRange)),
            (Primitive::Integer, serde_json::json!(-2_147_483_648_i64), Ok(())),
            (
                Primitive::Integer,
                serde_json::from_str("99999999999999999999999").unwrap(),
                Err(PrimitiveFault::OutOfRange),
            ),
            (Primitive::PositiveInt, serde_json::json!(0), Err(PrimitiveFault::OutOfRange)),
            (Primitive::UnsignedInt, serde_json::json!(-1), Err(PrimitiveFault::OutOfRange)),
            (Primitive::Integer, serde_json::from_str("1.0").unwrap(), Err(PrimitiveFault::Format)),
            (Primitive::Integer, text("1"), Err(PrimitiveFault::WrongJson)),
            (Primitive::Decimal, text("1.10"), Err(PrimitiveFault::WrongJson)),
            (Primitive::Decimal, serde_json::from_str("1.10").unwrap(), Ok(())),
            (Primitive::Boolean, text("true"), Err(PrimitiveFault::WrongJson)),
            (Primitive::Boolean, Value::Bool(true), Ok(())),
            (Primitive::String, Value::Bool(true), Err(PrimitiveFault::WrongJson)),
            (Primitive::String, serde_json::json!(7), Err(PrimitiveFault::WrongJson)),
            (Primitive::String, text(""), Err(PrimitiveFault::Empty)),
            (Primitive::Uri, text(""), Err(PrimitiveFault::Empty)),
            (Primitive::String, text(&long), Err(PrimitiveFault::TooLong)),
            (Primitive::Base64Binary, text("Y==="), Err(PrimitiveFault::Format)),
            (Primitive::Base64Binary, text("YQ==YQ=="), Err(PrimitiveFault::Format)),
        ] {
            assert_eq!(check(primitive, &value), expected, "{primitive:?} {:.40}", value.to_string());
        }
    }

    #[test]
    fn order_of_dates() {
        for (start, end, reversed) in [
            ("2024", "2023", true),
            ("2024", "2024", false),
            ("2024-05", "2024", false),
            ("2024-05", "2024-04-30", true),
            ("2024-05-02", "2024-05-01", true),
            ("2024-05-02", "2024-05", false),
            ("2024-05-02T10:00:00Z", "2024-05-02T09:59:59Z", true),
            ("2024-05-02T10:00:00+02:00", "2024-05-02T08:00:00Z", false),
            ("2024-05-02T10:00:00+02:00", "2024-05-02T07:59:59.9Z", true),
            ("2024-05-02T10:00:00Z", "2024-05-01", false),
            ("nonsense", "2024", false),
        ] {
            assert_eq!(is_reversed(start, end), reversed, "{start} {end}");
        }
    }
}
