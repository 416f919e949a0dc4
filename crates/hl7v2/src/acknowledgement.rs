//! Acknowledgements (HL7 v2.9 sections 2.9 and 2.14.1): MSH, MSA and ERR. They are made of the received
//! bytes alone, so that there is one even for what cannot be read: fields of MSH go back as they came, in
//! the sender's own delimiters and character set, and what we add is ASCII. Whether the data are stored is
//! the caller's to know.

use std::fmt::Write;

use time::{OffsetDateTime, UtcOffset};

use crate::escape;
use crate::message::{Delimiters, Place};
use crate::refused::{Code, Refused};

/// Longest field of MSH that is sent back, in bytes. Longer ones are left out.
pub const ECHO_BYTES_MAX: usize = 250;
/// Longest control id, in letters (v2.9; v2.3 to v2.5 take 20).
pub const CONTROL_ID_LETTERS_MAX: usize = 199;

/// MSH-10 of an acknowledgement: ASCII letters, digits, `-`, `.` and `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlId(String);

impl ControlId {
    /// Takes an id; `None` when it is empty, too long or has other letters.
    pub fn new(id: &str) -> Option<Self> {
        let sound = (1..=CONTROL_ID_LETTERS_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        sound.then(|| Self(id.to_owned()))
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// It is stored durably.
    Stored,
    /// It was refused: the sender's to mend.
    Refused(&'a Refused),
    /// It was refused before it was read, as a broken batch: what to tell the sender.
    Unreadable(&'a str),
    /// It is sound and could not be stored: ours to mend; the sender may send it again.
    NotStored,
}

/// The acknowledgement of a message, or of bytes that are none. `None` when the sender asked in MSH-15 and
/// MSH-16 for no acknowledgement of such an outcome.
///
/// Where MSH-16 asks for an application acknowledgement, or neither field says anything (original mode), the
/// code is AA, AE or AR; where MSH-15 alone asks, CA, CE or CR.
pub fn acknowledge(
    received: &[u8],
    outcome: &Outcome<'_>,
    now: OffsetDateTime,
    control_id: &ControlId,
) -> Option<Vec<u8>> {
    let header = Header::scan(received);
    let stored = matches!(outcome, Outcome::Stored);
    let code = match (Wish::read(header.field(15)), Wish::read(header.field(16))) {
        (Wish::Unsaid, Wish::Unsaid) => code(outcome, 'A'),
        (_, application) if application.asks(stored) => code(outcome, 'A'),
        (accept, _) if accept.asks(stored) => code(outcome, 'C'),
        _ => return None,
    };
    let mut answer = header.answer(now, control_id);
    let control = match header.field(10) {
        b"" => b"UNKNOWN",
        id => id,
    };
    header.segment(&mut answer, &[b"MSA", code.as_bytes(), control], header.problem(outcome).as_deref());
    if !stored {
        let fields = header.error(outcome);
        let fields: Vec<&[u8]> = fields.iter().map(String::as_bytes).collect();
        header.segment(&mut answer, &fields, None);
    }
    Some(answer)
}

fn code(outcome: &Outcome<'_>, mode: char) -> String {
    let letter = match outcome {
        Outcome::Stored => 'A',
        Outcome::Refused(refused) if refused.code() == Code::Error => 'E',
        Outcome::NotStored => 'E',
        Outcome::Refused(_) | Outcome::Unreadable(_) => 'R',
    };
    format!("{mode}{letter}")
}

/// When an acknowledgement is wanted (HL7 table 0155).
#[derive(Clone, Copy)]
enum Wish {
    Unsaid,
    Always,
    Never,
    OnError,
    OnSuccess,
}

impl Wish {
    fn read(field: &[u8]) -> Self {
        match field.trim_ascii() {
            b"AL" => Self::Always,
            b"NE" => Self::Never,
            b"ER" => Self::OnError,
            b"SU" => Self::OnSuccess,
            _ => Self::Unsaid,
        }
    }

    fn asks(self, stored: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never | Self::Unsaid => false,
            Self::OnError => !stored,
            Self::OnSuccess => stored,
        }
    }
}

/// The fields of the first MSH, as bytes, as far as there are any.
struct Header<'r> {
    fields: Vec<&'r [u8]>,
    delimiters: Delimiters,
}

impl<'r> Header<'r> {
    fn scan(received: &'r [u8]) -> Self {
        let lines = received.split(|byte| matches!(byte, b'\r' | b'\n'));
        let bare = |line: &'r [u8]| line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii_start();
        let line = lines.map(bare).find(|line| line.starts_with(b"MSH")).unwrap_or_default();
        let start: Vec<u8> = line.iter().skip(3).take(ENCODING_BYTES).copied().collect();
        // Bytes that are not ASCII become a letter that is no delimiter.
        let start: String = start.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { 'x' }).collect();
        match Delimiters::read(&start) {
            Some(delimiters) => {
                let separator = u8::try_from(delimiters.field).unwrap_or(b'|');
                let fields = line.split(|byte| *byte == separator).take(FIELDS_READ).collect();
                Self { fields, delimiters }
            }
            None => Self { fields: Vec::new(), delimiters: Delimiters::default() },
        }
    }

    /// A field, empty when absent, too long, or with bytes that would break the answer.
    fn field(&self, number: usize) -> &'r [u8] {
        let field = self.fields.get(number.saturating_sub(1)).copied().unwrap_or_default();
        let sound = field.len() <= ECHO_BYTES_MAX && !field.iter().any(u8::is_ascii_control);
        if sound { field } else { b"" }
    }

    fn answer(&self, now: OffsetDateTime, control_id: &ControlId) -> Vec<u8> {
        let now = now.to_offset(UtcOffset::UTC);
        let (date, time) = (now.date(), now.time());
        let (month, day) = (u8::from(date.month()), date.day());
        let written = format!(
            "{:04}{month:02}{day:02}{:02}{:02}{:02}+0000",
            date.year(),
            time.hour(),
            time.minute(),
            time.second()
        );
        let message_type = self.message_type();
        let or = |field: &'r [u8], otherwise: &'static [u8]| if field.is_empty() { otherwise } else { field };
        let d = &self.delimiters;
        let encoding: String = [d.component, d.repetition, d.escape, d.subcomponent].iter().collect();
        let mut fields: Vec<&[u8]> = vec![b"MSH", encoding.as_bytes()];
        fields.extend([self.field(5), self.field(6), self.field(3), self.field(4)]);
        fields.extend([written.as_bytes(), b"", &message_type, control_id.0.as_bytes()]);
        fields.extend([or(self.field(11), b"P"), or(self.field(12), b"2.5")]);
        let character_set = self.field(18);
        if !character_set.is_empty() {
            fields.extend([b"", b"", b"", b"", b"", character_set]);
        }
        let mut answer = Vec::new();
        self.segment(&mut answer, &fields, None);
        answer
    }

    /// `ACK`, with the event where there is one, and the structure where the sender names structures.
    fn message_type(&self) -> Vec<u8> {
        let separator = u8::try_from(self.delimiters.component).unwrap_or(b'^');
        let mut parts = self.field(9).split(|byte| *byte == separator).skip(1);
        let event = parts.next().unwrap_or_default();
        let mut message_type = b"ACK".to_vec();
        if !event.is_empty() {
            message_type.push(separator);
            message_type.extend_from_slice(event);
            if parts.next().is_some_and(|structure| !structure.is_empty()) {
                message_type.push(separator);
                message_type.extend_from_slice(b"ACK");
            }
        }
        message_type
    }

    fn segment(&self, answer: &mut Vec<u8>, fields: &[&[u8]], last: Option<&str>) {
        let separator = u8::try_from(self.delimiters.field).unwrap_or(b'|');
        let all = fields.iter().copied().chain(last.map(str::as_bytes));
        for (at, field) in all.enumerate() {
            if at > 0 {
                answer.push(separator);
            }
            answer.extend_from_slice(field);
        }
        answer.push(b'\r');
    }

    /// Before v2.5 the text stands in MSA-3 and ERR-1; from v2.5 on in ERR alone.
    fn is_before_2_5(&self) -> bool {
        let version = self.field(12);
        [b"2.1".as_slice(), b"2.2", b"2.3", b"2.4"].iter().any(|old| version.starts_with(old))
    }

    fn problem(&self, outcome: &Outcome<'_>) -> Option<String> {
        let told = self.is_before_2_5() && !matches!(outcome, Outcome::Stored);
        told.then(|| escape::encode(&sentence(outcome), &self.delimiters))
    }

    fn error(&self, outcome: &Outcome<'_>) -> Vec<String> {
        let (number, name) = match outcome {
            Outcome::Refused(refused) => refused.condition(),
            Outcome::Unreadable(_) => (100, "Segment sequence error"),
            Outcome::Stored | Outcome::NotStored => (207, "Application internal error"),
        };
        let place = match outcome {
            Outcome::Refused(refused) => refused.place(),
            _ => None,
        };
        let Delimiters { component: c, subcomponent: s, .. } = self.delimiters;
        if self.is_before_2_5() {
            let place = place.map(|place| located(place, 3, c)).unwrap_or_default();
            let missing = c.to_string().repeat(3_usize.saturating_sub(place.matches(c).count()));
            return vec!["ERR".to_owned(), format!("{place}{missing}{number}{s}{name}{s}HL70357")];
        }
        let place = place.map(|place| located(place, 5, c)).unwrap_or_default();
        let told = escape::encode(&sentence(outcome), &self.delimiters);
        let mut fields = vec!["ERR".to_owned(), String::new(), place, format!("{number}{c}{name}{c}HL70357")];
        fields.extend(["E".to_owned(), String::new(), String::new(), String::new(), told]);
        fields
    }
}

fn sentence(outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::Stored => String::new(),
        Outcome::Refused(refused) => refused.to_string(),
        Outcome::Unreadable(why) => (*why).to_owned(),
        Outcome::NotStored => "the message could not be stored; send it again later".to_owned(),
    }
}

/// An ERL (or, of its first parts, an ELD): segment, its number, field, repetition, component.
fn located(place: Place, parts: usize, separator: char) -> String {
    let mut text = place.segment.to_string();
    let numbers = [place.occurrence, place.field, place.repetition, place.component];
    // Whole things have no number; what follows the last one known is left out.
    let known = numbers.iter().take(parts - 1).rposition(|number| *number > 0).map_or(0, |at| at + 1);
    for number in numbers.iter().take(known) {
        text.push(separator);
        if *number > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{number}");
        }
    }
    text
}

/// MSH-1 and MSH-2 and one byte more, in bytes.
const ENCODING_BYTES: usize = 8;
/// Fields of MSH that an answer takes something from.
const FIELDS_READ: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, ReadError, SegmentName};

    fn answer(received: &[u8], outcome: &Outcome<'_>) -> Option<String> {
        let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        let bytes = acknowledge(received, outcome, now, &ControlId::new("A1").unwrap())?;
        let text = String::from_utf8_lossy(&bytes).replace('\r', "\n");
        // Every answer is a message that we could read ourselves.
        Message::read(&bytes).unwrap();
        Some(text.trim_end().to_owned())
    }

    fn check(received: &[u8], outcome: &Outcome<'_>, expected: Option<&str>) {
        assert_eq!(answer(received, outcome).as_deref(), expected, "{}", received.escape_ascii());
    }

    const HEADER: &str = "MSH|^~\\&|APP|FAC|US|OURS|20240101||ADT^A01^ADT_A01|77|T|2.5.1";

    #[test]
    fn codes_follow_outcome_and_mode() {
        let error =
            Refused::MissingField(Place { repetition: 1, component: 1, ..Place::field(SegmentName::PID, 1, 3) });
        let reject = Refused::UnsupportedType { message_type: "SIU^S12".to_owned() };
        let cases: &[(&str, Outcome<'_>, Option<&str>)] = &[
            ("", Outcome::Stored, Some("AA")),
            ("", Outcome::Refused(&error), Some("AE")),
            ("", Outcome::Refused(&reject), Some("AR")),
            ("", Outcome::NotStored, Some("AE")),
            ("", Outcome::Unreadable("why"), Some("AR")),
            ("|||AL|NE", Outcome::Stored, Some("CA")),
            ("|||AL", Outcome::Refused(&error), Some("CE")),
            ("|||AL", Outcome::Refused(&reject), Some("CR")),
            ("|||AL|AL", Outcome::Stored, Some("AA")),
            ("|||NE|AL", Outcome::Stored, Some("AA")),
            ("|||NE|ER", Outcome::Stored, None),
            ("|||NE|ER", Outcome::Refused(&error), Some("AE")),
            ("|||SU|NE", Outcome::Stored, Some("CA")),
            ("|||SU|NE", Outcome::NotStored, None),
            ("|||NE|NE", Outcome::Stored, None),
        ];
        for (rest, outcome, code) in cases {
            let found = answer(format!("{HEADER}{rest}\rPID|1").as_bytes(), outcome);
            let found = found.map(|text| text.split("MSA|").nth(1).unwrap_or_default()[..2].to_owned());
            assert_eq!(found.as_deref(), *code, "{rest} {outcome:?}");
        }
    }

    #[test]
    fn answers_are_as_expected_to_the_letter() {
        let error =
            Refused::MissingField(Place { repetition: 1, component: 1, ..Place::field(SegmentName::PID, 1, 3) });
        let begin = "MSH|^~\\&|US|OURS|APP|FAC|20231114221320+0000||ACK^A01^ACK|A1|T|2.5.1";
        check(HEADER.as_bytes(), &Outcome::Stored, Some(&format!("{begin}\nMSA|AA|77")));
        check(
            HEADER.as_bytes(),
            &Outcome::Refused(&error),
            Some(&format!(
                "{begin}\nMSA|AE|77\nERR||PID^1^3^1^1|101^Required field missing^HL70357|E||||PID-3[1].1 is required"
            )),
        );
        // Before v2.5, with other delimiters and a character set, in which our text stays readable.
        check(
            b"MSH#*+!%#\xC4PP#FAC#US#OURS#20240101##ADT*A01#77#T#2.3######8859/1",
            &Outcome::Refused(&error),
            Some(
                "MSH#*+!%#US#OURS#\u{FFFD}PP#FAC#20231114221320+0000##ACK*A01#A1#T#2.3######8859/1\n\
                 MSA#AE#77#PID-3[1].1 is required\nERR#PID*1*3*101%Required field missing%HL70357",
            ),
        );
    }

    #[test]
    fn there_is_an_answer_to_what_cannot_be_read() {
        let refused = Refused::Unreadable(ReadError::NoHeader);
        let minimal = "MSH|^~\\&|||||20231114221320+0000||ACK|A1|P|2.5\nMSA|AR|UNKNOWN\n\
                       ERR|||100^Segment sequence error^HL70357|E||||a message must begin with the segment MSH";
        for received in
            [b"".as_slice(), b"\xFF\xFE", b"GET / HTTP/1.1\r\n", b"MSH", b"MSH|", b"MSHabcdefgh", b"MSH\xC3\xA4"]
        {
            check(received, &Outcome::Refused(&refused), Some(minimal));
        }
        let torn =
            answer(b"\xEF\xBB\xBFMSH|^~\\&|APP|FAC|US|OURS|2024||ADT^A01|7", &Outcome::Unreadable("cut")).unwrap();
        assert!(torn.starts_with("MSH|^~\\&|US|OURS|APP|FAC|") && torn.contains("\nMSA|AR|7\n"), "{torn}");
        let giant = format!("MSH|^~\\&|{}|FAC|||||ADT|{}", "x".repeat(1_000_000), "y".repeat(ECHO_BYTES_MAX + 1));
        let answered = answer(giant.as_bytes(), &Outcome::Stored).unwrap();
        assert!(answered.len() < 200 && answered.contains("MSA|AA|UNKNOWN"), "{answered}");
    }

    #[test]
    fn a_control_id_is_plain() {
        assert!(ControlId::new("20240101-1.a_b").is_some());
        for id in ["", "a|b", "a\rb", "ä", &"x".repeat(CONTROL_ID_LETTERS_MAX + 1)] {
            assert_eq!(ControlId::new(id), None, "{id}");
        }
    }
}
